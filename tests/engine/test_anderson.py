"""Accelerated steps end at the flow's own state of rest, in fewer steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.experiments import modelfile
from tests.helpers.examples import some
from tests.helpers.problems import Problem, dags, kink_distance, random_problem, rings

TAU = 10e-3  # s
FLOWS = (ns.Flow.augmented(1.0), ns.Flow.damped(), ns.Flow.rotated(1.3), ns.Flow.adjoint())


def rested(problem: Problem, flow: ns.Flow, **options: Any) -> ns.Run:
    net, X, Y = problem
    given = {"accelerate": "anderson", "settle": 1e-9, "duration": 300 * TAU} | options
    sim_options = {key: given.pop(key) for key in ("backend", "precision") if key in given}
    sim = ns.Simulation(net, flow, dt=given.pop("dt", 0.1 * TAU), **sim_options)
    return sim.relax(X, Y, **given)


def error(run: ns.Run, problem: Problem) -> float:
    """Largest difference of the multipliers from the reference."""
    net, X, Y = problem
    exact = ns.reference.backprop(net, X, Y)
    return max(float(np.abs(run.lam[n] - exact.lam[n]).max()) for n in run.lam)


@settings(
    max_examples=some(20), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(problem=st.one_of(dags(), rings()), flow=st.sampled_from(FLOWS))
def test_a_state_that_rests_is_that_of_the_flow(problem: Problem, flow: ns.Flow) -> None:
    net, X, Y = problem
    assume(kink_distance(net, ns.reference.forward(net, X), Y) > 1e-6)
    run = rested(problem, flow)
    assume(run.settled)
    assert error(run, problem) < 1e-6


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_it_rests_in_fewer_steps(flow: ns.Flow, backend: str) -> None:
    problem = random_problem([6, 8, 7, 4], seed=2, patterns=5, loss="cross_entropy")
    plain = rested(problem, flow, backend="numpy", accelerate=None)
    fast = rested(problem, flow, backend=backend)
    assert plain.settled
    assert fast.settled
    assert fast.steps < 0.6 * plain.steps
    assert error(fast, problem) < 1e-7


def test_each_pattern_is_extrapolated_on_its_own() -> None:
    net, X, Y = random_problem([6, 8, 4], seed=3, patterns=4, loss="mse")
    # four steps: later the least squares amplify rounding
    whole = rested((net, X, Y), FLOWS[0], settle=None, duration=0.4 * TAU, backend="numpy")
    for row in range(len(X)):
        own = {name: targets[[row]] for name, targets in Y.items()}
        alone = rested((net, X[[row]], own), FLOWS[0], settle=None, duration=0.4 * TAU)
        for name in net.neurons:
            np.testing.assert_allclose(alone.lam[name][0], whole.lam[name][row], atol=1e-9)


def test_the_step_may_be_longer_than_euler_allows() -> None:
    problem = random_problem([6, 8, 4], seed=4, patterns=4, loss="mse")
    flow = ns.Flow.augmented(4.0)
    with pytest.raises(ns.DivergenceError), pytest.warns(ns.StabilityWarning):
        rested(problem, flow, accelerate=None, dt=0.6 * TAU)
    run = rested(problem, flow, dt=0.6 * TAU)
    assert run.settled
    assert error(run, problem) < 1e-7


def test_single_precision_rests_as_far_as_it_can() -> None:
    problem = random_problem([6, 8, 4], seed=5, patterns=4, loss="mse")
    for backend in ("numpy", "standalone"):
        run = rested(problem, FLOWS[1], settle=1e-4, precision="float32", backend=backend)
        assert run.settled
        assert error(run, problem) < 1e-3


def test_runs_say_how_they_were_made() -> None:
    problem = random_problem([3, 4, 2], seed=6, loss="mse")
    assert rested(problem, FLOWS[1]).settings["method"] == "anderson"
    assert rested(problem, FLOWS[1], accelerate=None).settings["method"] == "euler"


def test_a_model_file_accelerates_and_a_sweep_refuses_to(tmp_path: Path) -> None:
    path = tmp_path / "fast.toml"
    path.write_text(
        """
        [network]
        sizes = [2, 4, 1]
        loss = "mse"
        [flow]
        preset = "damped"
        [simulation]
        duration = 0.1
        accelerate = "anderson"
        [data]
        name = "xor"
        """
    )
    model = modelfile.load(path)
    data = ns.datasets.load("xor")
    run = model.relax(ns.Simulation(model.network(), ns.Flow.damped()), data)
    assert run.settings["method"] == "anderson"
    with pytest.raises(ns.ModelError, match="measures are of the flow in time"):
        ns.sweep(str(path), {"flow.rho": [1.0]})


@pytest.mark.parametrize(
    ("sim_options", "options", "message"),
    [
        ({}, {"accelerate": "aitken"}, "accelerate = 'aitken'; allowed: anderson"),
        ({}, {"record": "x"}, "record = 'x' with accelerate"),
        ({}, {"adaptive": True}, "beside adaptive = True"),
        ({"method": "rk4"}, {}, "with method = 'rk4'; allowed: 'euler'"),
        ({"transport": ns.Events(0.01)}, {}, "with events of input->hidden1"),
        ({"imperfections": [ns.Delay(1)]}, {}, "try it without imperfections"),
        ({"extensions": ns.Extension("hidden1", x="-0.1*x/tau_x")}, {}, "without extensions"),
    ],
)
def test_what_is_not_a_plain_euler_step_is_refused(
    sim_options: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    net, X, Y = random_problem([3, 4, 2], seed=6, loss="mse")
    sim = ns.Simulation(net, ns.Flow.damped(), **sim_options)
    with pytest.raises(ns.ModelError) as refused:
        sim.relax(X, Y, **({"duration": 0.1, "accelerate": "anderson"} | options))
    assert message in str(refused.value)
