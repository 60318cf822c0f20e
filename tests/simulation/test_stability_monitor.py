"""The stability monitor never ends a run: where it fails, the run is that without a monitor."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.simulation import stability_monitor, stable_step

X = np.random.default_rng(0).normal(size=(4, 5))
Y = np.arange(4) % 3


def trained() -> ns.Log:
    sim = ns.Simulation(ns.Network.mlp([5, 4, 3], seed=0), ns.Flow.augmented(1.0), backend="numpy")
    return sim.train(X, Y, ns.Simultaneous(duration=0.02, reports=2))


@pytest.mark.parametrize(
    "error",
    [np.linalg.LinAlgError("no"), ns.ConvergenceError("no"), KeyError("no"), MemoryError("no")],
    ids=lambda error: type(error).__name__,
)
def test_a_monitor_that_fails_changes_nothing_but_the_step_that_it_reports(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = trained()

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(stability_monitor, "_known", {})  # of the first training
    monkeypatch.setattr(stable_step, "stable_step", fail)
    found = trained()
    for name in right.run.x:
        np.testing.assert_array_equal(found.run.x[name], right.run.x[name])
    assert found.history.drop_vars("max_step").identical(right.history.drop_vars("max_step"))
    assert np.isnan(found.history.max_step).all()


def test_no_advice_is_given_where_the_remedy_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise np.linalg.LinAlgError("no")

    monkeypatch.setattr(stable_step, "remedy", fail)
    net = ns.Network.mlp([5, 4, 3], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=0.021, backend="numpy")
    sim.relax(X, Y, duration=0.1)


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_a_slope_that_is_not_finite_ends_in_no_error_but_neurosims(method: str) -> None:
    """exp(-a) overflows: the output of the logistic unit is 0, but its slope inf/inf."""
    net = ns.Network.mlp([5, 4, 3], activation="1/(1+exp(-a))", seed=0)
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), method=method, backend="numpy")
    with suppress(ns.DivergenceError):
        sim.relax(1e3 * X, Y, duration=0.02)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_state_that_has_no_linearisation_is_named() -> None:
    net = ns.Network.mlp([5, 4, 3], activation="exp(a)", seed=0)
    for ask in (ns.stability, ns.critical_rho):
        with pytest.raises(ns.NeurosimError, match=r"not finite, so .* try|holds inf at .* try"):
            ask(net, ns.Flow.augmented(1.0), 1e3 * X, Y)
    large = ns.Network.mlp([5, 200, 3], activation="exp(a)", seed=0)
    with pytest.raises(ns.NeurosimError, match=r"the Jacobian is not finite|holds inf at"):
        ns.stability(large, ns.Flow.augmented(1.0), 1e3 * X, Y, patterns=1)


def test_the_warning_points_at_the_line_that_relaxes() -> None:
    sim = ns.Simulation(ns.Network.mlp([5, 4, 3], seed=0), ns.Flow.adjoint(), dt=0.021)
    with pytest.warns(ns.StabilityWarning) as caught:
        sim.relax(X, Y, duration=0.1)
    (warning,) = (one for one in caught if one.category is ns.StabilityWarning)
    assert warning.filename == __file__
