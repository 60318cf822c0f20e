import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.data import patterns as data
from neurosim.simulation import batch
from neurosim.simulation.batch import End, Point
from neurosim.simulation.options import Setting
from tests.helpers.constrained import constrained
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, Problem, dags, fitted, flows, random_problem

DT = 2e-3


def as_a_batch(
    points: Sequence[Point],
    X: Any,
    Y: Any,
    *,
    steps: int,
    settle: float = 1e-6,
    dt: float = DT,
    method: str = "euler",
    backend: str = "numpy",
) -> list[End]:
    net = points[0].net
    clamped = data.patterns(net, X)
    targets = data.targets(net, Y, len(next(iter(clamped.values()))))
    setting = Setting(net, points[0].flow, dt, method, backend, 0, ())
    return batch.relax(points, clamped, targets, setting, steps=steps, settle=settle)


def alone(
    point: Point,
    X: Any,
    Y: Any,
    *,
    steps: int,
    settle: float = 1e-6,
    dt: float = DT,
    method: str = "euler",
) -> tuple[ns.Run, bool]:
    """Return the run of one point by itself, and whether it diverged."""
    sim = ns.Simulation(point.net, point.flow, dt=dt, method=method, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.StabilityWarning)
        try:
            return sim.relax(
                X, Y, duration=steps * dt, settle=settle, start=point.start or "zero"
            ), False
        except ns.DivergenceError as error:
            return error.run, True


def assert_equal_to_single_runs(
    points: Sequence[Point],
    X: Any,
    Y: Any,
    ends: Sequence[End] | None = None,
    *,
    atol: float = 1e-10,
    **how: Any,
) -> None:
    for point, end in zip(points, ends or as_a_batch(points, X, Y, **how), strict=True):
        run, diverged = alone(point, X, Y, **how)
        assert end.run.steps == run.steps, point.flow
        assert end.run.settled == run.settled, point.flow
        assert bool(end.diverged) == diverged, point.flow
        if not diverged:
            for n in run.x:
                assert_allclose(end.run.x[n], run.x[n], rtol=0, atol=atol, err_msg=n)
                assert_allclose(end.run.lam[n], run.lam[n], rtol=0, atol=atol, err_msg=n)


def redrawn(net: ns.Network, seed: int) -> ns.Network:
    """Return the same structure with other weights and biases."""
    twin, rng = net.copy(), np.random.default_rng(seed)
    for values in (*twin.weights.values(), *twin.biases.values()):
        values[...] = rng.normal(scale=0.7, size=values.shape)
    return twin


@settings(max_examples=some(6), deadline=None)
@given(
    problem=dags(),
    some=st.lists(flows(), min_size=1, max_size=3),
    sets=st.integers(1, 2),
    method=st.sampled_from(batch.METHODS),
    kinds=st.lists(st.sampled_from(["lin", "lin_eps", "squared", "tube"]), min_size=1, max_size=2),
    seed=SEEDS,
)
def test_a_point_of_a_batch_ends_as_it_does_alone(
    problem: Problem, some: list[ns.Flow], sets: int, method: str, kinds: list[str], seed: int
) -> None:
    net, X, Y = constrained(problem[0], kinds), *problem[1:]
    dense = all(isinstance(w, np.ndarray) for w in net.weights.values())
    nets = [net, redrawn(net, seed)][: sets if dense else 1]  # sparse ones are not stacked
    least = 0.0 if set(kinds) == {"lin"} else 0.5  # other constraint functions need some
    own = [replace(fitted(f, net), rho=max(f.rho, least), kappa=max(f.kappa, least)) for f in some]
    points = [Point(n, flow) for n in nets for flow in own]
    assert_equal_to_single_runs(points, X, Y, steps=35, dt=1e-3, method=method)


ENDS = (
    ns.Flow.augmented(2),
    ns.Flow.augmented(80, tau_lam=0.01),
    ns.Flow.damped(),
    ns.Flow.adjoint(),
)


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_a_point_that_diverges_stays_within_its_own_rows(backend: str) -> None:
    """One of four flows diverges within 20 steps; the others settle at their own times, at
    backpropagation's point.
    """
    net, X, Y = random_problem([5, 4, 3], seed=1, loss="cross_entropy")
    points = [Point(n, flow) for n in (net, redrawn(net, 3), net) for flow in ENDS]
    ends = as_a_batch(points, X, Y, steps=3000, settle=1e-9, backend=backend)
    assert [e.diverged != "" for e in ends] == [False, True, False, False] * 3
    settled = [e for e in ends if not e.diverged]
    assert all(e.run.settled for e in settled)
    assert len({e.run.steps for e in settled}) > 4
    for e in settled:
        exact = ns.reference.backprop(e.run.network, X, Y)
        for n in e.run.lam:
            assert_allclose(e.run.lam[n], exact.lam[n], rtol=0, atol=1e-7, err_msg=n)
    assert_equal_to_single_runs(points[:4], X, Y, ends[:4], steps=3000, settle=1e-9)


def test_points_begin_with_their_own_starts() -> None:
    net, X, Y = random_problem([3, 3, 2], seed=2)
    rng = np.random.default_rng(0)
    starts = []
    for _ in range(2):
        state = {n: rng.normal(size=(5, net.populations[n].size)) for n in net.neurons}
        starts.append(ns.State(state, state))
    points = [Point(net, ns.Flow.augmented(), start) for start in (*starts, None)]
    assert_equal_to_single_runs(points, X, Y, steps=40)


def test_structures_that_differ_are_refused() -> None:
    points = [
        Point(ns.Network.mlp(sizes, loss="mse"), ns.Flow.damped())
        for sizes in ([2, 3, 1], [2, 4, 1])
    ]
    with pytest.raises(
        ns.ModelError, match=r"points of different structures: .*2-4-1.* beside .*2-3-1"
    ):
        as_a_batch(points, np.zeros((1, 2)), np.zeros((1, 1)), steps=10)
