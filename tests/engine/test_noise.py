"""Noise is a function of the seed and the step, and has the size that it is said to have."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import solve_discrete_lyapunov

import neurosim as ns
from neurosim.engine.draws import Row, noise_key
from neurosim.engine.runtime.noise import rows_of
from tests.helpers.problems import random_problem

pytestmark = pytest.mark.filterwarnings("ignore::neurosim.StabilityWarning")
TAU = 10e-3  # s
BACKENDS = [
    "numpy",
    pytest.param("cython", marks=pytest.mark.compiler),
    pytest.param("standalone", marks=pytest.mark.compiler),
]
METHODS = ("euler", "semi_implicit", "exponential_euler")
ALL = [
    ns.StateNoise(0.2, TAU / 2),
    ns.MessageNoise(0.2),
    ns.LostMessages(0.2),
    ns.Quantised(0.1, "stochastic"),
    ns.Delay(3),
    ns.LowPass(2 * TAU),
    ns.TimeConstants(0.3),
]
DRIVE = ns.Extension(
    "hidden1",
    x="(I + J + 0.1*rand())/tau_x",
    equations="dI/dt = -I/(5*ms) + 0.2*xi/sqrt(5*ms) : 1\nJ = 0.2*randn() : 1 (constant over dt)",
)
CASES: dict[str, dict[str, Any]] = {
    "states": {"imperfections": [ns.StateNoise(0.3)]},
    "correlated": {"imperfections": [ns.StateNoise(0.3, TAU / 100)], "method": "semi_implicit"},
    "messages": {"imperfections": [ns.MessageNoise(0.3)], "method": "exponential_euler"},
    "zero": {"imperfections": [ns.LostMessages(0.3, "zero")]},
    "all": {"imperfections": ALL, "extensions": DRIVE},
    "events": {"imperfections": [ns.StateNoise(0.2)], "transport": "events"},
    "spikes": {"imperfections": [ns.StateNoise(0.2, TAU)], "transport": "spikes"},
}


# the generator


def philox(counter: list[int], key: list[int]) -> list[int]:
    """The four words of a block, in Python's whole numbers (Salmon et al. 2011)."""
    word = 2**64
    c, k = list(counter), list(key)
    for _ in range(10):
        one, two = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [two // word ^ c[1] ^ k[0], two % word, one // word ^ c[3] ^ k[1], one % word]
        k = [(k[0] + 0x9E3779B97F4A7C15) % word, (k[1] + 0xBB67AE8584CAA73B) % word]
    return c


def test_rows_are_made_of_philox_as_published() -> None:
    """The first words are the known answer of Random123 for a counter and a key of zeros."""
    assert philox([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    row = Row(pairs=5, uniforms=2, places=())
    found = rows_of(row, key=77, first=10**7, count=3)
    for step in range(3):
        words: list[int] = []
        for block in (0, 1):
            words += philox([2 * (10**7 + step) + block + 1, 0, 0, 0], [77, 2])
        radius = [np.sqrt(-2 * np.log((w // 2**32 + 0.5) / 2**32)) for w in words[:5]]
        angle = [2 * np.pi * (w % 2**32) / 2**32 for w in words[:5]]
        expected = [
            *(radius * np.cos(angle)),
            *(radius * np.sin(angle)),
            *(w // 2**11 / 2**53 for w in words[5:7]),
        ]
        assert_allclose(found[step], expected, rtol=1e-14)


def test_numbers_are_normal_and_uniform_and_independent() -> None:
    """Moments of 4e5 numbers; rows of neighbouring steps, keys and layouts do not agree."""
    row = Row(pairs=500, uniforms=1000, places=())
    rows = rows_of(row, key=1, first=0, count=400)
    normal, uniform = rows[:, :1000], rows[:, 1000:]
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        bound = 4 * np.sqrt(spread / normal.size)
        assert abs(np.mean(normal**power) - moment) < bound
    assert abs(uniform.mean() - 0.5) < 4 * np.sqrt(1 / 12 / uniform.size)
    assert abs((uniform**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / uniform.size)
    others = {
        "step": rows[:-1, :1000] * rows[1:, :1000],
        "unit": normal[:, :-1] * normal[:, 1:],
        "half": normal[:, :500] * normal[:, 500:],
        "key": normal * rows_of(row, key=2, first=0, count=400)[:, :1000],
        "layout": normal * rows_of(Row(500, 1004, ()), key=1, first=0, count=400)[:, :1000],
    }
    for name, products in others.items():
        assert abs(products.mean()) < 4 / np.sqrt(products.size), name


# whole and parts


def simulation(backend: str, **case: Any) -> tuple[ns.Simulation, np.ndarray, np.ndarray]:
    net, X, Y = random_problem([3, 4, 2], seed=1, patterns=6)
    flow = ns.Flow.augmented(1, tau_w=10 * TAU)
    return ns.Simulation(net, flow, backend=backend, seed=3, **case), X, Y["output"]


def assert_equal(run: ns.Run, other: ns.Run) -> None:
    """Equal to the last bit: states, weights and biases."""
    for ours, theirs in ((run.x, other.x), (run.lam, other.lam)):
        for n, values in ours.items():
            assert_array_equal(values, theirs[n], err_msg=n)
    for name, w in run.network.weights.items():
        assert_array_equal(w, other.network.weights[name], err_msg=name)
    for n, b in run.network.biases.items():
        assert_array_equal(b, other.network.biases[n], err_msg=n)


def stored(run: ns.Run, folder: Path) -> ns.Run:
    ns.save(run, folder / "run.nc")
    return ns.load(folder / "run.nc")


IN_PARTS: list[Any] = [("numpy", case) for case in CASES]
IN_PARTS += [
    pytest.param("standalone", case, marks=pytest.mark.compiler) for case in ("all", "events")
]
IN_PARTS.append(pytest.param("cython", "all", marks=pytest.mark.compiler))


@pytest.mark.parametrize(("backend", "case"), IN_PARTS)
def test_a_noisy_run_in_parts_is_the_whole(backend: str, case: str, tmp_path: Path) -> None:
    """In memory, through a file, from a bare state, and in the segments of a progress bar."""
    sim, X, Y = simulation(backend, **CASES[case])
    whole = sim.relax(X, Y, duration=0.041)
    first = sim.relax(X, Y, duration=0.017)
    assert_equal(sim.relax(X, Y, duration=0.024, start=first), whole)
    second = sim.relax(X, Y, duration=0.024, start=stored(first, tmp_path))
    assert_equal(second, whole)
    assert (second.steps_before, second.steps) == (17, 24)
    assert stored(second, tmp_path).state.steps_before == 41
    assert_equal(sim.relax(X, Y, duration=0.041, progress=True), whole)
    if case == "states":  # which keeps nothing but x and lam
        assert_equal(sim.relax(X, Y, duration=0.024, start=first.state), whole)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_noisy_training_in_parts_is_the_whole(backend: str, tmp_path: Path) -> None:
    """Rows of a log do not matter; a checkpoint, and a training that goes on from a run."""
    checkpoint = tmp_path / "half.npz"

    def trained(*schedules: Any, first: Any = None, **options: Any) -> ns.Run:
        sim, X, Y = simulation(backend, imperfections=ALL)
        start: Any = "zero" if first is None else sim.relax(X, Y, duration=first)
        for schedule in schedules:
            start = sim.train(X, Y, schedule, start=start, **options).run
        return start

    def simultaneous(duration: float, reports: int) -> Any:
        return ns.Simultaneous(duration=duration, reports=reports)

    whole = trained(simultaneous(0.04, 4))
    assert_equal(trained(simultaneous(0.04, 1)), whole)
    assert_equal(trained(simultaneous(0.01, 1), simultaneous(0.03, 3)), whole)
    after = trained(simultaneous(0.04, 4), first=0.013, checkpoint=checkpoint)
    assert after.steps_before == 13
    with np.load(checkpoint) as arrays:
        assert int(arrays["run.steps_before"][0]) == 13


@pytest.mark.parametrize("shuffle", [True, False])
def test_presentations_in_parts_are_the_whole(shuffle: bool) -> None:
    """The order of the patterns goes on too, and so do the frames of a stream."""

    def trained(*epochs: int, begin: bool = False) -> ns.Run:
        sim, X, Y = simulation("numpy", imperfections=ALL)
        start: Any = "zero"
        done = 0
        for count in epochs:
            schedule = ns.Presentations(
                batch=2, present=TAU, epochs=count, shuffle=shuffle, begin=done if begin else 0
            )
            start = sim.train(X, Y, schedule, start=start).run
            done += count
        return start

    whole = trained(3)
    assert_equal(trained(1, 2), whole)
    assert_equal(trained(2, 1, begin=True), whole)
    sim, X, Y = simulation("numpy", imperfections=ALL)
    first = sim.stream(X[:2], Y[:2], per_frame=TAU)
    second = sim.stream(X[2:], Y[2:], per_frame=TAU, start=first)
    assert_equal(second, sim.stream(X, Y, per_frame=TAU))


def test_rows_before_are_steps_before() -> None:
    """A training that begins late, from zero, draws other noise than the first rows did."""
    sim, X, Y = simulation("numpy", imperfections=[ns.StateNoise(0.3)])
    runs = []
    for begin in (0, 2):
        schedule = ns.Simultaneous(duration=0.01, reports=2, begin=begin)
        runs.append(sim.train(X, Y, schedule).run)
    assert [run.steps_before for run in runs] == [0, 10]
    assert np.abs(runs[0].x["hidden1"] - runs[1].x["hidden1"]).max() > 0.1


def test_a_mirror_that_goes_on_draws_new_noise() -> None:
    """Feedback weights that learn from noise: two trainings of a row each are one of two."""

    def trained(*reports: int) -> ns.Run:
        _, X, Y = random_problem([3, 4, 2], seed=1, patterns=6)
        net = ns.Network.mlp([3, 4, 2], loss="mse", seed=1, feedback="mirror")
        sim = ns.Simulation(net, ns.Flow.augmented(1, tau_w=10 * TAU), backend="numpy")
        start: Any = "zero"
        for rows in reports:
            schedule = ns.Simultaneous(duration=0.02 * rows, reports=rows)
            start = sim.train(X, Y["output"], schedule, start=start).run
        return start

    assert_equal(trained(1, 1), trained(2))


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_all_noise_is_the_same_on_every_backend(backend: str) -> None:
    found = []
    for name in ("numpy", backend):
        sim, X, Y = simulation(name, **CASES["all"])
        found.append(sim.relax(X, Y, duration=0.041))
    ours, theirs = found
    for n in ours.x:
        assert_allclose(theirs.x[n], ours.x[n], rtol=0, atol=1e-12)
        assert_allclose(theirs.lam[n], ours.lam[n], rtol=0, atol=1e-12)


# size


def lone_units(h: float, method: str, item: Any, flow: ns.Flow | None = None) -> ns.Simulation:
    """Simulate linear units without input and without a loss that pulls; h is dt/tau."""
    populations = [
        ns.Population("i", 1, "linear", clamped=True),
        ns.Population("h", 3, "linear"),
        ns.Population("o", 1, "linear"),
    ]
    projections = [
        ns.Projection("i", "h", np.zeros((3, 1))),
        ns.Projection("h", "o", np.zeros((1, 3))),
    ]
    net = ns.Network(populations, projections, [ns.Loss("o", "mse", 0.0)])
    flow = flow or ns.Flow.adjoint()
    options = {"dt": h * TAU, "method": method, "backend": "numpy", "seed": 2}
    return ns.Simulation(net, flow, imperfections=[item], **options)


def numbers_of(sim: ns.Simulation, array: str, steps: int) -> np.ndarray:
    """Return the numbers that an array of h held at each step, (steps, patterns, units)."""
    plan = sim.last_session.plan
    row = plan.row
    rows = rows_of(row, noise_key(sim.seed), 0, steps)
    place = next(p for p in row.places if (p.group, p.array) == ("h", array))
    return rows[:, place.first : place.first + place.size].reshape(steps, plan.patterns, -1)


@pytest.mark.parametrize(
    ("method", "h", "correlation"), product(METHODS, (0.02, 0.5), (None, 0.1, 10.0))
)
def test_noise_on_states_has_its_size(method: str, h: float, correlation: float | None) -> None:
    """The stationary variance of the recursion that the engine steps is sd² to rounding.

    The recursion is read off a run: x' = r x + b n and n' = c n + s z, where z is the number drawn.
    """
    sd, steps = 0.3, 12
    own = None if correlation is None else correlation * h * TAU
    sim = lone_units(h, method, ns.StateNoise(sd, own))
    noises = {"x": "noise_x", "lam": "noise_lam"} if own else {}
    record = ("x", "lam", *noises.values())
    run = sim.relax(np.zeros((4, 1)), np.zeros((4, 1)), duration=steps * sim.dt, record=record)
    units = run.traces.population.values == "h"
    traces = {}
    for name in record:
        values = run.traces[name].isel(unit=units).transpose("time", "pattern", "unit")
        traces[name] = values.values
    for v in ("x", "lam"):
        z = numbers_of(sim, f"randn_of_xi_{v}", steps)[:-1].ravel()
        states = [traces[v]]
        if own:
            states.append(traces[noises[v]])
        before = np.column_stack([*(s[:-1].ravel() for s in states), z])
        after = np.column_stack([s[1:].ravel() for s in states])
        recursion, *_ = np.linalg.lstsq(before, after, rcond=None)
        assert_allclose(before @ recursion, after, rtol=0, atol=1e-12)
        A, B = recursion[:-1].T, recursion[-1:].T
        variances = np.diag(solve_discrete_lyapunov(A, B @ B.T))
        assert_allclose(variances, sd**2, rtol=1e-9)
        decay = np.exp(-h) if method == "exponential_euler" else 1 - h
        assert A[0, 0] == pytest.approx(decay, rel=1e-12)
        if own:
            assert A[1, 1] == pytest.approx(np.exp(-1 / correlation), rel=1e-12)


@pytest.mark.parametrize("leak", [1.0, 3.0])
def test_exponential_steps_are_exact_in_any_leak(leak: float) -> None:
    """White noise of density 2 sd²/tau: with leak l/tau the variance is sd²/l, whatever the step.

    An extension's noise has the size of its differential equation too.
    """
    flow = ns.Flow(kappa=0, gamma=leak)
    given = ns.Extension("h", x="0.3*sqrt(2/tau_x)*xi")
    noisy = lone_units(0.4, "exponential_euler", ns.StateNoise(0.3), flow)
    extended = lone_units(0.4, "exponential_euler", ns.Quantised(1e-6), flow)
    extended.extensions = (given,)
    for sim, array in ((noisy, "randn_of_xi_x"), (extended, "randn_of_xi")):
        run = sim.relax(np.zeros((4, 1)), np.zeros((4, 1)), duration=2 * sim.dt, record="x")
        x = run.traces.x.isel(unit=slice(0, 3)).transpose("time", "pattern", "unit").values[1]
        s = x / numbers_of(sim, array, 1)[0]
        decay = np.exp(-0.4 * leak)
        assert_allclose(s**2 / (1 - decay**2), 0.09 / leak, rtol=1e-9)


@pytest.mark.parametrize("method", ["euler", "exponential_euler"])
def test_noise_on_messages_has_its_size(method: str) -> None:
    sim = lone_units(0.5, method, ns.MessageNoise(0.3))
    record = ("x", "received_x", "delta", "received_delta")
    run = sim.relax(np.zeros((4, 1)), np.zeros((4, 1)), duration=9 * sim.dt, record=record)
    units = run.traces.population.values == "h"
    own = run.traces[list(record)].isel(unit=units).transpose("time", "pattern", "unit")
    for v in ("x", "delta"):
        noise = (own[f"received_{v}"] - own[v]).values
        z = numbers_of(sim, f"randn_1_of_noisy_{v}", 9)
        assert_allclose(noise, 0.3 * z, rtol=0, atol=1e-14)


# refusals


@pytest.mark.parametrize("method", ["euler", "semi_implicit"])
def test_steps_with_which_noise_would_grow_are_refused(method: str) -> None:
    with pytest.raises(ns.ModelError, match=r"dt = 0\.02 s with state_noise and tau_x = 0\.01 s"):
        lone_units(2.0, method, ns.StateNoise(0.1))
    run = lone_units(2.0, "exponential_euler", ns.StateNoise(0.1)).relax(
        np.zeros((4, 1)), np.zeros((4, 1)), duration=1.0
    )
    assert 0 < np.abs(run.x["h"]).max() < 1


@pytest.mark.parametrize(
    ("equations", "message"),
    [
        ("J = 1.0*poisson(3) : 1 (constant over dt)", r"calls poisson\(\); allowed: rand\(\)"),
        ("J = randn() : 1 (shared, constant over dt)", r"J of an extension is shared and random"),
    ],
)
def test_random_numbers_that_are_not_those_of_a_step_are_refused(
    equations: str, message: str
) -> None:
    sim, X, Y = simulation("numpy", extensions=ns.Extension("hidden1", "J/tau_x", "", equations))
    with pytest.raises(ns.ModelError, match=message):
        sim.relax(X, Y, duration=0.01)


def test_random_numbers_have_no_adaptive_step() -> None:
    equations = "J = randn() : 1 (constant over dt)"
    sim, X, Y = simulation("numpy", extensions=ns.Extension("hidden1", "J/tau_x", "", equations))
    with pytest.raises(ns.ModelError, match=r"noise needs .*: adaptive evaluates"):
        sim.relax(X, Y, duration=0.01, adaptive=True)
