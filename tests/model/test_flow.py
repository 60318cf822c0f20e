"""Gains and time constants: presets, units, what they refuse."""

from math import cos, pi, sin

import pytest
from brian2 import Hz, ms, mV, second
from hypothesis import given
from hypothesis import strategies as st

import neurosim as ns
from neurosim.model.flow import PRESETS, seconds


@pytest.mark.parametrize(
    ("flow", "gains"),
    [
        (ns.Flow.arrow_hurwicz(), (1, 0, 0)),
        (ns.Flow.augmented(), (1, 0, 1)),
        (ns.Flow.augmented(3), (1, 0, 3)),
        (ns.Flow.damped(), (1, 1, 0)),
        (ns.Flow.adjoint(), (0, 1, 0)),
        (ns.Flow.rotated(0.3, rho=2), (cos(0.3), sin(0.3), 2)),
        (ns.Flow.rotated(pi / 2), (0, 1, 0)),
        (ns.Flow.rotated(0), (1, 0, 0)),
    ],
)
def test_presets_have_the_gains_of_the_design(flow: ns.Flow, gains: tuple) -> None:
    assert (flow.kappa, flow.gamma, flow.rho) == gains
    assert (flow.tau_x, flow.tau_w) == (0.01, 0.2)


@given(rho=st.floats(0, 100), tau=st.floats(1e-4, 1))
def test_a_strong_augmentation_makes_fast_multipliers(rho: float, tau: float) -> None:
    assert ns.Flow.augmented(rho, tau_x=tau).tau_lam == pytest.approx(tau / max(1, rho))
    assert ns.Flow.augmented(rho, tau_x=tau, tau_lam=tau).tau_lam == tau
    assert ns.Flow.from_preset("augmented", rho=rho, tau_x=tau).tau_lam == pytest.approx(
        tau / max(1, rho)
    )


@pytest.mark.parametrize(
    "value", ["10 ms", "0.01 s", "1e4 us", " 10ms ", 10 * ms, 0.01, 0.01 * second]
)
def test_a_time_is_read_in_every_spelling(value) -> None:
    assert seconds(value, "tau") == pytest.approx(0.01)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "ten ms",
        "10 m",
        "10",
        3 * mV,
        5 * Hz,
        float("nan"),
        float("inf"),
        None,
        True,
        "inf s",
    ],
)
def test_other_than_a_time_is_refused_with_its_name(value) -> None:
    with pytest.raises(ns.ModelError, match=r"flow\.tau_x = .*; allowed: "):
        ns.Flow(tau_x=value)


@pytest.mark.parametrize(
    "gains", [{"kappa": -1}, {"gamma": float("nan")}, {"rho": float("inf")}, {"kappa": "much"}]
)
def test_gains_out_of_range_are_refused(gains: dict) -> None:
    with pytest.raises(ns.ModelError, match=rf"flow\.{next(iter(gains))} = "):
        ns.Flow(**gains)


@pytest.mark.parametrize(
    "make",
    [lambda: ns.Flow.augmented("a"), lambda: ns.Flow.augmented(None), lambda: ns.Flow.rotated("a")],
)
def test_presets_refuse_other_than_a_gain(make) -> None:
    with pytest.raises(
        ns.ModelError, match=r"flow\.(rho|theta) = .*; allowed: a finite number >= 0"
    ):
        make()


def test_a_flow_that_would_not_move_is_refused() -> None:
    with pytest.raises(ns.ModelError, match=r"nothing would move; .* try Flow\.adjoint"):
        ns.Flow(kappa=0, gamma=0)


def test_times_of_single_populations() -> None:
    flow = ns.Flow.augmented(2, tau_x={"hidden1": 4 * ms})
    assert flow.time("tau_x", "hidden1") == pytest.approx(0.004)
    assert flow.time("tau_lam", "hidden1") == pytest.approx(0.002)
    assert flow.time("tau_x", "output") == pytest.approx(0.01)
    assert flow.time("tau_w", "output") == pytest.approx(0.2)
    assert hash(flow) == hash(ns.Flow.augmented(2, tau_x={"hidden1": 0.004}))


def test_populations_that_a_mapping_leaves_out_follow_the_rule_of_the_preset() -> None:
    flow = ns.Flow.augmented(4, tau_x={"hidden1": 4 * ms})
    assert flow.time("tau_lam", "output") == pytest.approx(0.0025)
    own = ns.Flow.augmented(4, tau_x={"hidden1": 4 * ms, "*": 20 * ms})
    assert own.time("tau_x", "output") == pytest.approx(0.02)
    assert own.time("tau_lam", "output") == pytest.approx(0.005)
    net = ns.Network.mlp([2, 3, 1], loss="mse")
    assert ns.Simulation(net, own, backend="numpy").flow == own
    with pytest.raises(ns.ModelError, match="population of a time constant = 'hiden1'"):
        ns.Simulation(net, ns.Flow(tau_x={"hiden1": 1 * ms}))


def test_unknown_presets_and_keys_are_refused() -> None:
    assert set(PRESETS) == {
        "arrow_hurwicz",
        "augmented",
        "damped",
        "rotated",
        "adjoint",
        "local_propagation",
    }
    with pytest.raises(
        ns.ModelError, match=r"flow\.preset = 'augmentd'; .* did you mean 'augmented'\?"
    ):
        ns.Flow.from_preset("augmentd")
    with pytest.raises(ns.ModelError, match=r"did you mean 'tau_x'\?"):
        ns.Flow.from_preset("adjoint", tau_y=1)
    with pytest.raises(ns.ModelError, match="theta"):
        ns.Flow.from_preset("adjoint", theta=1)
    assert ns.Flow.from_preset("adjoint", rho=2).rho == 2
