"""Each pattern settles by itself, as if it were relaxed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.model.methods import FIXED_STEP
from tests.helpers.examples import some
from tests.helpers.problems import Problem, dags, kink_distance, random_problem, rings

TAU = 10e-3  # s
FLOWS = (ns.Flow.augmented(1.0), ns.Flow.damped(), ns.Flow.rotated(1.3), ns.Flow.adjoint())
EACH = {"settle": 1e-6, "settle_each": True}
RECORD: dict[str, Any] = {"record": ("x", "lam", "a", "g", "delta", "feedback"), "every": TAU}


def relaxed(problem: Problem, **options: Any) -> ns.Run:
    """Relax with a short step; options of `Simulation` are among the others."""
    net, X, Y = problem
    given = {"duration": 300 * TAU, **EACH} | options
    of_simulation = ("method", "backend", "dt", "threads", "flow", "precision")
    sim_options = {key: given.pop(key) for key in of_simulation if key in given}
    flow = sim_options.pop("flow", ns.Flow.damped())
    sim = ns.Simulation(net, flow, **({"dt": 0.1 * TAU, "backend": "numpy"} | sim_options))
    return sim.relax(X, Y, **given)


def alone(problem: Problem, row: int, **options: Any) -> ns.Run:
    """Relax one pattern without the others, until its whole state has settled."""
    net, X, Y = problem
    own = {name: targets[[row]] for name, targets in Y.items()}
    return relaxed((net, X[[row]], own), settle_each=False, **options)


def assert_as_if_alone(run: ns.Run, problem: Problem, **options: Any) -> None:
    """Compare states and times with those of runs of single patterns."""
    times = run.settle_times
    assert times is not None
    for row in range(len(times)):
        one = alone(problem, row, **options)
        assert_allclose(times[row], one.time if one.settled else np.nan, rtol=1e-12)
        for n in run.x:
            for whole, single in ((run.x, one.x), (run.lam, one.lam)):
                assert_allclose(whole[n][row], single[n][0], rtol=0, atol=1e-12, err_msg=n)


def assert_same(one: ns.Run, other: ns.Run) -> None:
    """Compare final states and times to the last bit."""
    assert_array_equal(one.settle_times, other.settle_times)
    for n in one.x:
        assert_array_equal(one.x[n], other.x[n])
        assert_array_equal(one.lam[n], other.lam[n])


def slow_and_fast(seed: int, patterns: int = 6, loss: str = "mse") -> Problem:
    """Return patterns from small to large, so that they settle one after the other; a sparse skip.

    The second one is 0 with biases of 0 on the way, so nothing moves but by its target.
    """
    net, X, Y = random_problem([5, 6, 4, 3], seed, patterns=patterns, loss=loss)
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 5)) < 0.5
    skip = ns.Projection("input", "output", mask * rng.normal(size=(3, 5)), mask)
    net = ns.Network(
        [*net.populations.values()], [*net.projections.values(), skip], [*net.losses.values()]
    )
    return net, X * np.geomspace(0.01, 3, patterns)[:, None], Y


@settings(
    max_examples=some(15), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(
    problem=st.one_of(dags(), rings()),
    flow=st.sampled_from(FLOWS),
    method=st.sampled_from(FIXED_STEP),
)
def test_a_pattern_settles_as_if_it_were_alone(
    problem: Problem, flow: ns.Flow, method: str
) -> None:
    net, X, Y = problem
    assume(kink_distance(net, ns.reference.forward(net, X), Y) > 1e-6)
    options = {"flow": flow, "method": method, "duration": 60 * TAU}
    try:
        run = relaxed(problem, **options)
    except ns.DivergenceError:
        assume(False)
    assert_as_if_alone(run, problem, **options)


@pytest.mark.parametrize("flow", [ns.Flow.damped(), ns.Flow.augmented(1.0)], ids=["damped", "rho"])
@pytest.mark.parametrize("method", ["euler", "semi_implicit", "rk4"])
@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_both_backends_let_patterns_leave_one_by_one(
    backend: str, method: str, flow: ns.Flow
) -> None:
    problem = slow_and_fast(seed=2)
    options: dict[str, Any] = {"method": method, "flow": flow}
    run = relaxed(problem, backend=backend, **options)
    times = run.settle_times
    assert times is not None
    assert len(set(times)) >= 3
    assert run.settled
    assert run.time == times.max()
    assert_as_if_alone(run, problem, **options)
    divided = relaxed(problem, backend=backend, progress=True, **options)
    assert_same(divided, run)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
@pytest.mark.parametrize("progress", [False, True])
def test_samples_hold_the_state_that_a_pattern_keeps(
    backend: str, progress: bool, tmp_path: Path
) -> None:
    problem = slow_and_fast(seed=3)
    plain = relaxed(problem, backend=backend)
    run = relaxed(problem, backend=backend, progress=progress, **RECORD)
    assert_same(run, plain)
    assert run.settle_times is not None
    traces = run.traces
    for row, time in enumerate(run.settle_times):
        one = alone(problem, row, **RECORD).traces
        for name in RECORD["record"]:
            own = traces[name].sel(pattern=row)
            moving = own.sel(time=slice(None, time - TAU / 2))
            assert_allclose(moving, one[name][: moving.sizes["time"], 0], rtol=0, atol=1e-12)
            kept = own.sel(time=slice(time + TAU / 2, None))
            assert kept.sizes["time"] > 0 or time == run.time
            for sample in kept:
                assert_array_equal(sample, kept[0])
                assert_allclose(sample, one[name][-1, 0], rtol=0, atol=1e-12)
    streamed = relaxed(problem, backend=backend, stream=tmp_path / "run.zarr", **RECORD)
    for name in RECORD["record"]:
        assert_array_equal(streamed.traces[name], traces[name])


def test_patterns_that_rest_from_the_start_do_not_move() -> None:
    problem = slow_and_fast(seed=4)
    run = relaxed(problem)
    again = relaxed(problem, start=run)
    assert again.settle_times is not None
    assert_array_equal(again.settle_times, 0)
    assert again.steps == 0
    for n in run.x:
        assert_array_equal(again.x[n], run.x[n])


def test_patterns_that_do_not_settle_in_time_have_no_time(tmp_path: Path) -> None:
    problem = slow_and_fast(seed=2)
    whole = relaxed(problem)
    assert whole.settle_times is not None
    half = float(np.median(whole.settle_times))
    run = relaxed(problem, duration=half)
    assert not run.settled
    assert run.settle_times is not None
    settled = whole.settle_times < half
    assert_array_equal(run.settle_times[settled], whole.settle_times[settled])
    assert np.isnan(run.settle_times[~settled]).all()
    ns.save(run, tmp_path / "run.nc")
    assert_array_equal(ns.load(tmp_path / "run.nc").settle_times, run.settle_times)
    longer = relaxed(problem, start=run)  # judges all patterns anew
    assert longer.settled
    for n in run.x:
        assert_allclose(longer.x[n], whole.x[n], rtol=0, atol=1e-6)


def test_a_pattern_that_diverges_is_named_as_ever() -> None:
    problem = slow_and_fast(seed=5)
    with pytest.raises(ns.DivergenceError), pytest.warns(ns.StabilityWarning):
        relaxed(problem, dt=3 * TAU, flow=ns.Flow.augmented(4.0))


def test_other_runs_have_no_times() -> None:
    problem = slow_and_fast(seed=2)
    assert relaxed(problem, settle_each=False).settle_times is None


@pytest.mark.parametrize(
    ("sim_options", "options", "message"),
    [
        ({}, {"settle": None}, "without settle"),
        ({}, {"adaptive": True}, "beside adaptive = True"),
        ({}, {"accelerate": "anderson"}, "beside accelerate = 'anderson'"),
        ({}, {"settle_each": 1}, "settle_each"),
        ({"transport": ns.Events(0.01)}, {}, "with events of input->hidden1"),
        ({"imperfections": [ns.Delay(1)]}, {}, "try it without imperfections"),
        ({"extensions": ns.Extension("hidden1", x="-0.1*x/tau_x")}, {}, "without extensions"),
        ({"backend": "cython"}, {}, "backend = 'cython'"),
    ],
)
def test_what_cannot_settle_one_by_one_is_refused(
    sim_options: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    net, X, Y = random_problem([3, 4, 2], seed=6, loss="mse")
    sim = ns.Simulation(net, ns.Flow.damped(), **sim_options)
    with pytest.raises((ns.ModelError, TypeError)) as refused:
        sim.relax(X, Y, **({"duration": 0.1, **EACH} | options))
    assert message in str(refused.value)


def test_objects_and_shared_weights_are_refused() -> None:
    net, X, Y = random_problem([3, 4, 2], seed=6, loss="mse")
    sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy")
    sim.add(lambda network: [])
    with pytest.raises(ns.ModelError, match=r"objects of sim\.add"):
        sim.relax(X, Y, duration=0.1, **EACH)
    shared = ns.Network.convolutional((4, 4, 1), [2], outputs=2, loss="mse", seed=0)
    sim = ns.Simulation(shared, ns.Flow.damped(), backend="numpy")
    with pytest.raises(ns.ModelError, match="weights that sites share in input->"):
        sim.relax(np.zeros((2, 16)), np.zeros((2, 2)), duration=0.1, **EACH)
