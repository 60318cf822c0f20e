"""Methods: orders, adaptive steps, settling, shortcuts, precision, threads, recordings on disk."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from brian2 import ms
from numpy.testing import assert_allclose

import neurosim as ns
from tests.helpers.problems import random_problem, random_state, random_targets
from tests.helpers.stepping import dense

TAU = 10e-3  # s
BACKENDS = ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
FLOWS = {"augmented": ns.Flow.augmented, "damped": ns.Flow.damped, "adjoint": ns.Flow.adjoint}
Problem = tuple[ns.Network, np.ndarray, dict[str, np.ndarray]]


def graph(
    seed: int, *, loss: str = "mse", l1: float = 0.0, thin_first: bool = False, patterns: int = 8
) -> Problem:
    """Two clamped inputs into one population, a skip, a sparse projection; l2 on both kinds."""
    rng = np.random.default_rng(seed)
    first = rng.random((5, 6)) < 0.6 if thin_first else None
    net = ns.Network(
        [
            ns.Population("input", 6, clamped=True),
            ns.Population("context", 3, clamped=True),
            ns.Population("hidden1", 5),
            ns.Population("hidden2", 4, plastic_bias=False),
            ns.Population("output", 3, "linear"),
        ],
        [
            ns.Projection("input", "hidden1", mask=first, l1=l1, row_l1=l1, column_l1=l1, l2=0.1),
            ns.Projection("context", "hidden1"),
            ns.Projection("hidden1", "hidden2", mask=rng.random((4, 5)) < 0.6, l2=0.1),
            ns.Projection("hidden2", "output"),
            ns.Projection("context", "output"),
        ],
        [ns.Loss("output", loss)],
        seed=seed,
    )
    for bias in net.biases.values():
        bias[:] = rng.normal(scale=0.3, size=bias.size)
    return net, rng.normal(scale=0.7, size=(patterns, 9)), random_targets(net, rng, patterns)


def states(net: ns.Network, run: Any) -> dict[str, np.ndarray]:
    """Return x and lam of a run, the network's weights and biases."""
    found = {f"x {n}": run.x[n] for n in net.neurons}
    found |= {f"lam {n}": run.lam[n] for n in net.neurons}
    return found | parameters(net.weights, net.biases)


def parameters(weights: Any, biases: Any) -> dict[str, np.ndarray]:
    """Weights and biases under the names of `states`."""
    found = {f"w {n}": dense(w) for n, w in weights.items()}
    return found | {f"b {n}": b for n, b in biases.items()}


def gap(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[k] - other[k]).max()) for k in one)


def state_gap(run: Any, truth: Any) -> float:
    largest = 0.0
    for n in run.x:
        for own, other in ((run.x, truth.x), (run.lam, truth.lam)):
            largest = max(largest, float(np.abs(own[n] - other[n]).max()))
    return largest


def residual(net: ns.Network, flow: ns.Flow, run: ns.Run, X: Any, Y: Any) -> float:
    """Return max |tau dz/dt|, by the reference."""
    rates = ns.reference.right_hand_side(net, flow, run.x, run.lam, X, Y)
    largest = 0.0
    for n in net.neurons:
        x_rate = float(np.abs(rates.x[n]).max())
        lam_rate = float(np.abs(rates.lam[n]).max())
        largest = max(largest, x_rate * flow.time("tau_x", n), lam_rate * flow.time("tau_lam", n))
    return largest


# orders


@pytest.mark.parametrize(
    ("plastic", "backend"),
    [
        (False, "numpy"),
        (True, "numpy"),
        pytest.param(True, "standalone", marks=pytest.mark.compiler),
    ],
)
@pytest.mark.parametrize(
    ("method", "loss", "steps", "low", "high"),
    [
        ("exponential_euler", "mse", 80, 1.85, 2.15),
        ("heun", "cross_entropy", 40, 3.4, 4.6),
        ("rk4", "mse", 16, 12, 20),
    ],
)
def test_halving_the_step_shows_the_order(
    method: str, steps: int, low: float, high: float, loss: str, plastic: bool, backend: str
) -> None:
    """Against SciPy, weights as fast as neurons; dense, sparse and penalised projections."""
    net, X, Y = graph(3, loss=loss)
    flow = ns.Flow(kappa=0.8, gamma=0.5, rho=0.7, tau_lam=8 * ms, tau_w=15 * ms)
    x, lam = random_state(net, 7, len(X))
    start = ns.State({n: 0.3 * v for n, v in x.items()}, {n: 0.3 * v for n, v in lam.items()})
    end = 2 * TAU
    truth = ns.reference.solve_ivp(
        net, flow, X, Y, duration=end, plastic=plastic, start=start, rtol=1e-12, atol=1e-14
    )
    goal = {f"x {n}": truth.x[n] for n in net.neurons}
    goal |= {f"lam {n}": truth.lam[n] for n in net.neurons}
    goal |= parameters(truth.weights, truth.biases)
    if plastic:
        assert min(np.abs(goal[f"w {n}"] - dense(w)).max() for n, w in net.weights.items()) > 0.02
        moved = {n: bool((goal[f"b {n}"] != b).any()) for n, b in net.biases.items()}
        assert moved == {"hidden1": True, "hidden2": False, "output": True}
    errors = []
    for halvings in range(4):
        own = net.copy()
        sim = ns.Simulation(
            own, flow, dt=end / (steps * 2**halvings), method=method, backend=backend
        )
        if plastic:
            run = sim.train(X, Y, ns.Simultaneous(duration=end, reports=1), start=start).run
        else:
            run = sim.relax(X, Y, duration=end, start=start)
        errors.append(gap(states(own, run), goal))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert errors[-1] > 1e-10, errors  # far from SciPy's own tolerance: the ratios measure the step
    assert ((ratios > low) & (ratios < high)).all(), (ratios, errors)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dt", [0.1 * TAU, TAU, 5 * TAU])
def test_exponential_euler_is_exact_where_only_the_leak_moves(dt: float, backend: str) -> None:
    """One layer, `adjoint`, no loss: x = sigma(a) (1 - exp(-t/tau)) at any step; lam stays 0."""
    rng = np.random.default_rng(0)
    net = ns.Network(
        [ns.Population("input", 4, clamped=True), ns.Population("output", 3)],
        [ns.Projection("input", "output")],
        [],
    )
    X = rng.normal(size=(5, 4))
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=dt, method="exponential_euler", backend=backend)
    run = sim.relax(X, duration=10 * TAU, record="x", every=dt)
    rest = np.tanh(X @ net.weights["input->output"].T + net.biases["output"])
    decay = np.exp(-run.traces.time.values / TAU)
    assert_allclose(run.traces.x.values, rest * (1 - decay[:, None, None]), rtol=0, atol=1e-13)
    assert_allclose(run.x["output"], rest * (1 - np.exp(-10)), rtol=0, atol=1e-13)
    assert_allclose(run.lam["output"], 0, atol=1e-13)


def test_exponential_euler_against_its_formula() -> None:
    """z + dt (1 - exp(-dt leak))/(dt leak) dz/dt, with rates of the reference."""
    net, X, Y = random_problem((5, 4, 3), seed=2)
    flow = ns.Flow(kappa=0.8, gamma=0.5, rho=4.0, tau_x={"output": 3e-3}, tau_lam=8 * ms)
    dt = 2e-3
    run = ns.Simulation(net, flow, dt=dt, method="exponential_euler", backend="numpy").relax(
        X, Y, duration=10 * dt
    )
    x = {n: np.zeros_like(v) for n, v in run.x.items()}
    lam = {n: np.zeros_like(v) for n, v in run.lam.items()}
    for _ in range(10):
        rates = ns.reference.right_hand_side(net, flow, x, lam, X, Y, plastic=False)
        for n in net.neurons:
            own = 4.0 + (n == "output")  # rho, and the slope of mse
            for z, rate, decay in (
                (x, rates.x, (0.8 * own + 0.5) * dt / flow.time("tau_x", n)),
                (lam, rates.lam, 0.5 * dt / flow.time("tau_lam", n)),
            ):
                z[n] = z[n] - dt * rate[n] * np.expm1(-decay) / decay
    for n in net.neurons:
        assert_allclose(run.x[n], x[n], atol=1e-14)
        assert_allclose(run.lam[n], lam[n], atol=1e-14)


# adaptive steps


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("preset", FLOWS)
@pytest.mark.parametrize("widths", [(5, 4, 3), (12, 9, 7, 4)])
def test_adaptive_steps_err_as_little_as_asked(
    widths: tuple[int, ...], preset: str, backend: str
) -> None:
    net, X, Y = random_problem(widths, seed=sum(widths), loss="cross_entropy")
    flow = FLOWS[preset]()
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=3 * TAU)
    errors, steps = [], []
    for tolerance in (1e-4, 1e-6, 1e-8):
        sim = ns.Simulation(net, flow, backend=backend)
        run = sim.relax(X, Y, duration=3 * TAU, adaptive=True, tolerance=tolerance)
        assert run.time == pytest.approx(3 * TAU, rel=1e-12)
        assert not run.settled
        errors.append(state_gap(run, truth))
        steps.append(run.steps)
        assert errors[-1] < 100 * tolerance
    assert errors[0] > 3 * errors[1] > 9 * errors[2], errors
    assert steps[0] < steps[1] < steps[2]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("preset", FLOWS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("widths", [(5, 4, 3), (2, 1), (20, 30, 10), (8, 6, 6, 6, 3)])
def test_an_adaptive_run_settles_whatever_the_tolerance(
    widths: tuple[int, ...], tolerance: float, preset: str, backend: str
) -> None:
    net, X, Y = random_problem(widths, seed=len(widths), patterns=7, gain=0.7)
    flow, duration = FLOWS[preset](), 300 * TAU
    sim = ns.Simulation(net, flow, backend=backend)
    run = sim.relax(X, Y, duration=duration, adaptive=True, tolerance=tolerance, settle=1e-6)
    assert run.settled
    assert run.time < 0.9 * duration
    assert residual(net, flow, run, X, Y) < 1e-6
    truth = ns.reference.backprop(net, X, Y)
    for n in net.neurons:
        assert_allclose(run.lam[n], truth.lam[n], rtol=0, atol=1e-5)


@pytest.mark.compiler
@pytest.mark.parametrize("preset", FLOWS)
@pytest.mark.parametrize("settle", [None, 1e-6])
@pytest.mark.parametrize("seed", range(3))
def test_adaptive_backends_agree(seed: int, settle: float | None, preset: str) -> None:
    net, X, Y = graph(seed)
    runs = [
        ns.Simulation(net, FLOWS[preset](), backend=backend).relax(
            X, Y, duration=60 * TAU, adaptive=True, tolerance=1e-6, settle=settle
        )
        for backend in ("numpy", "standalone")
    ]
    assert runs[0].steps == runs[1].steps
    assert runs[0].time == pytest.approx(runs[1].time, rel=1e-9)
    assert runs[0].settled == runs[1].settled
    assert state_gap(*runs) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("every", [TAU / 7, TAU, 0.7 * TAU])
def test_adaptive_runs_record_at_the_times_asked_for(every: float, backend: str) -> None:
    net, X, Y = random_problem([5, 4, 3], seed=2)
    flow, duration = ns.Flow.damped(), 14 * every
    sim = ns.Simulation(net, flow, backend=backend)
    run = sim.relax(
        X,
        Y,
        duration=duration,
        record=("x", "lam"),
        every=every,
        patterns=[3, 1],
        adaptive=True,
        tolerance=1e-8,
    )
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=duration, every=every)
    assert_allclose(run.traces.time.values, every * np.arange(14), rtol=1e-9, atol=1e-12)
    assert run.time == pytest.approx(duration)
    for v, trace in (("x", truth.x_trace), ("lam", truth.lam_trace)):
        own = np.concatenate([trace[n][:14, [3, 1]] for n in net.neurons], axis=2)
        assert_allclose(run.traces[v].values, own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_settled_run_has_recorded_until_it_settled(backend: str) -> None:
    net, X, Y = random_problem([5, 4, 3], seed=2)
    truth = ns.reference.backprop(net, X, Y)
    for own in ({"adaptive": True, "tolerance": 1e-7}, {}):
        sim = ns.Simulation(net, ns.Flow.adjoint(), backend=backend)
        run = sim.relax(X, Y, duration=200 * TAU, record="lam", every=TAU, settle=1e-6, **own)
        assert run.settled
        times = run.traces.time.values
        assert_allclose(times, TAU * np.arange(len(times)), rtol=1e-9)
        assert times[-1] <= run.time < times[-1] + 2.01 * TAU
        last = np.concatenate([truth.lam[n] for n in net.neurons], axis=1)
        assert_allclose(run.traces.lam.values[-1], last, atol=1e-4)


# settling, fixed steps


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("preset", FLOWS)
@pytest.mark.parametrize("method", ["euler", "semi_implicit", "exponential_euler", "heun", "rk4"])
def test_fixed_steps_settle_too_and_only_when_asked(method: str, preset: str, backend: str) -> None:
    net, X, Y = graph(1)
    flow = FLOWS[preset]()
    sim = ns.Simulation(net, flow, dt=0.1 * TAU, method=method, backend=backend)
    run = sim.relax(X, Y, duration=300 * TAU, settle=1e-6)
    assert run.settled
    assert run.steps < 2500
    assert run.time == pytest.approx(run.steps * 0.1 * TAU)
    assert residual(net, flow, run, X, Y) < 1e-6
    truth = ns.reference.backprop(net, X, Y)
    for n in net.neurons:
        assert_allclose(run.lam[n], truth.lam[n], rtol=0, atol=1e-5)
    short = sim.relax(X, Y, duration=2 * TAU, settle=1e-6)
    assert not short.settled
    assert short.steps == 20
    if backend == "numpy" or method == "euler":  # another program
        whole = sim.relax(X, Y, duration=run.time + 5 * TAU)
        assert not whole.settled
        assert whole.steps == run.steps + 50


# shortcuts


SCHEDULES: dict[str, Callable[[], Any]] = {
    "simultaneous": lambda: ns.Simultaneous(duration=400 * ms, reports=3),
    "online": lambda: ns.Presentations(batch=1, present=25 * ms, plastic_from=0.0, epochs=2),
    "online, gated": lambda: ns.Presentations(batch=1, present=25 * ms, plastic_from=0.5, epochs=2),
    "batches": lambda: ns.Presentations(batch=4, present=100 * ms, plastic_from=0.0, epochs=2),
    "batches, gated": lambda: ns.Presentations(
        batch=4, present=100 * ms, plastic_from=0.5, epochs=2
    ),
}
VARIANTS: dict[str, dict[str, Any]] = {"l2": {}, "l1": {"l1": 0.02}, "sparse": {"thin_first": True}}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("variant", "method"),
    [(v, "euler") for v in VARIANTS] + [("l2", "exponential_euler"), ("sparse", "heun")],
)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shortcuts_change_nothing(schedule: str, variant: str, method: str, backend: str) -> None:
    """400 steps with fast weights, recorded in between; the truth is NumPy's run without any."""
    found = []
    for own in ({"backend": "numpy", "shortcuts": False}, {"backend": backend}):
        net, X, Y = graph(5, **VARIANTS[variant])
        sim = ns.Simulation(net, ns.Flow.augmented(2, tau_w=50 * ms), method=method, **own)
        before = {n: dense(w).copy() for n, w in net.weights.items()}
        run = sim.train(
            X, Y, SCHEDULES[schedule](), record=("x", "lam", "a", "w"), every=13 * ms
        ).run
        assert run.steps == 400
        assert all(np.abs(dense(w) - before[n]).max() > 1e-3 for n, w in net.weights.items())
        found.append((states(net, run), run.traces))
    assert gap(found[0][0], found[1][0]) < 1e-11
    for v in ("x", "lam", "a", "w"):
        assert_allclose(found[1][1][v].values, found[0][1][v].values, rtol=0, atol=1e-11, err_msg=v)


@pytest.mark.compiler
def test_the_shortcut_for_many_patterns_changes_nothing() -> None:
    """The Gram matrix of the inputs is computed in several strips, the last one narrower.

    One population is driven by the input alone, the other together with neurons.
    """
    rng, found = np.random.default_rng(4), []
    X, Y = rng.normal(size=(300, 310)), rng.normal(size=(300, 2))
    sizes = {"input": 310, "hidden1": 5, "output": 2}
    for backend, shortcuts in (("numpy", False), ("standalone", True)):
        net = ns.Network(
            [ns.Population(n, size, clamped=n == "input") for n, size in sizes.items()],
            [ns.Projection(pre, post, l2=0.1) for pre, post in combinations(sizes, 2)],
            [ns.Loss("output", "mse")],
            seed=4,
        )
        before = net.weights["input->hidden1"].copy()
        sim = ns.Simulation(
            net, ns.Flow.augmented(1, tau_w=500 * ms), backend=backend, shortcuts=shortcuts
        )
        run = sim.train(X, Y, ns.Simultaneous(duration=200 * ms, reports=2)).run
        assert np.abs(net.weights["input->hidden1"] - before).max() > 1e-3
        found.append(states(net, run))
    assert gap(*found) < 1e-11


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("plastic_from", "shortcuts", "l2", "method"),
    [
        (None, False, 0.0, "euler"),
        (0.4, False, 0.5, "euler"),
        (0.4, False, 0.0, "semi_implicit"),
        (0.96, True, 0.0, "exponential_euler"),
    ],
)
def test_changes_of_far_weights_may_wait(
    plastic_from: float | None, shortcuts: bool, l2: float, method: str
) -> None:
    """Weights of more than a MiB are not written at every step; no value that is read differs."""
    schedule: Any = ns.Simultaneous(duration=100 * ms, reports=3)
    K = 1
    if plastic_from is not None:
        # at .96 plastic for one step: the inputs' products are kept in the others
        schedule = ns.Presentations(batch=1, present=25 * ms, plastic_from=plastic_from, epochs=2)
        K = 3
    found = []
    for backend in ("numpy", "standalone"):
        net = ns.Network.mlp([1100, 130, 3], activation="tanh", seed=3, l2=l2)
        X, Y = np.random.default_rng(3).normal(size=(K, 1100)), [[1.0, 0, 0]] * K
        before = net.weights["input->hidden1"].copy()
        sim = ns.Simulation(
            net,
            ns.Flow.augmented(1, tau_w=500 * ms),
            method=method,
            backend=backend,
            shortcuts=shortcuts,
        )
        runs = [sim.train(X, Y, schedule, record="w", every=31 * ms).run for _ in range(2)]
        assert np.abs(net.weights["input->hidden1"] - before).max() > 1e-3
        found.append((net, runs))
    (net, runs), (other, theirs) = found
    assert state_gap(runs[-1], theirs[-1]) < 1e-11
    for name, w in net.weights.items():
        assert_allclose(other.weights[name], w, rtol=0, atol=1e-11)
    for one, two in zip(runs, theirs, strict=True):
        assert_allclose(two.traces.w.values, one.traces.w.values, rtol=0, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shortcuts_notice_new_data_and_new_weights(backend: str) -> None:
    """The same simulation again, with other inputs and with weights changed by hand.

    The truth is NumPy's run without any.
    """
    net, X, Y = graph(5)
    sims = [
        ns.Simulation(net, ns.Flow.damped(), backend="numpy", shortcuts=False),
        ns.Simulation(net, ns.Flow.damped(), backend=backend),
    ]
    for scale, change in ((1, 0.0), (-2, 0.0), (1, 0.3)):
        net.weights["input->hidden1"] += change
        net.biases["hidden1"] += change
        one, other = (sim.relax(scale * X, Y, duration=100 * ms) for sim in sims)
        assert state_gap(one, other) < 1e-11


# precision and threads


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("variant", "method"), [("l1", "euler"), ("l2", "rk4"), ("sparse", "rk4")])
@pytest.mark.parametrize("plastic", [False, True])
def test_float32_is_close_and_has_its_own_type(
    plastic: bool, variant: str, method: str, backend: str
) -> None:
    found = []
    for precision, engine in (("float64", "numpy"), ("float32", backend)):
        net, X, Y = graph(6, **VARIANTS[variant])
        flow = ns.Flow.augmented(2, tau_w=100 * ms)
        sim = ns.Simulation(net, flow, method=method, backend=engine, precision=precision)
        if plastic:
            run = sim.train(
                X, Y, ns.Simultaneous(duration=200 * ms, reports=2), record="lam", every=20 * ms
            ).run
        else:
            run = sim.relax(X, Y, duration=200 * ms, record="lam", every=20 * ms)
        assert run.steps == 200
        assert {str(v.dtype) for part in (run.x, run.lam) for v in part.values()} == {precision}
        found.append((states(net, run), run.traces.lam.values))
    assert 0 < gap(found[0][0], found[1][0]) < 1e-4
    assert_allclose(found[1][1], found[0][1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_can_be_adaptive_presented_and_gone_on_from(backend: str) -> None:
    found = []
    for precision, engine in (("float64", "numpy"), ("float32", backend)):
        net, X, Y = graph(6)
        sim = ns.Simulation(
            net, ns.Flow.damped(tau_w=100 * ms), backend=engine, precision=precision
        )
        first = sim.relax(X, Y, duration=50 * ms, adaptive=True, tolerance=1e-4)
        on = sim.relax(X, Y, duration=50 * ms, adaptive=True, tolerance=1e-4, start=first)
        log = sim.train(X, Y, ns.Presentations(batch=4, present=50 * ms, epochs=2))
        found.append(states(net, on) | {f"t {k}": v for k, v in states(net, log.run).items()})
    assert gap(*found) < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("batch", [None, 8])
def test_threads_change_nothing(batch: int | None, backend: str) -> None:
    found = []
    for threads in (1, 2):
        net, X, Y = random_problem([40, 30, 20, 5], seed=1, patterns=64, loss="cross_entropy")
        sim = ns.Simulation(net, ns.Flow.damped(tau_w=100 * ms), backend=backend, threads=threads)
        schedule: Any = ns.Simultaneous(duration=200 * ms, reports=2)
        if batch:
            schedule = ns.Presentations(batch=batch, present=25 * ms, epochs=1)
        found.append(states(net, sim.train(X, Y, schedule).run))
    assert gap(*found) < 1e-10


# recordings on disk


CHOSEN: dict[str, Any] = {"patterns": [0, 2], "units": {"hidden1": [1]}}


def assert_same_traces(run: ns.Run, other: ns.Run) -> None:
    assert set(run.traces.variables) == set(other.traces.variables)
    assert dict(run.traces.sizes) == dict(other.traces.sizes)
    for v in run.traces.variables:
        assert np.array_equal(run.traces[v].values, other.traces[v].values), v


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("own", [{}, {"adaptive": True}, {"settle": 1e-4}, {"progress": True}])
def test_a_relaxation_on_disk_is_the_one_in_memory(
    own: dict[str, Any], backend: str, tmp_path
) -> None:
    net, X, Y = graph(7)
    what = {"record": ("x", "lam", "w"), "every": 7 * ms, **CHOSEN, **own}
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend=backend)
    run = sim.relax(X, Y, duration=301 * ms, **what)
    disk = sim.relax(X, Y, duration=301 * ms, stream=tmp_path / "r.zarr", **what)
    assert run.traces.sizes["time"] > 10
    assert list(run.traces.pattern.values) == [0, 2]
    assert (run.traces.population.values == "hidden1").sum() == 1
    assert "w" in run.traces.variables
    for other in (disk, ns.load(tmp_path / "r.zarr")):
        assert_same_traces(other, run)
        assert state_gap(other, run) == 0
        assert (other.time, other.steps, other.settled) == (run.time, run.steps, run.settled)
        assert gap(states(other.network, other), states(run.network, run)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunk", [2**20, 2500])
@pytest.mark.parametrize("schedule", ["simultaneous", "online", "batches, gated"])
def test_a_training_on_disk_is_the_one_in_memory(
    schedule: str, chunk: int, backend: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one chunk, and in many chunks."""
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", chunk)
    found = []
    patterns = None if "online" in schedule else [0, 2]
    for stream in (None, tmp_path / "r.zarr"):
        net, X, Y = graph(7)
        sim = ns.Simulation(net, ns.Flow.augmented(2, tau_w=50 * ms), backend=backend)
        log = sim.train(
            X,
            Y,
            SCHEDULES[schedule](),
            record=("x", "lam", "w"),
            every=7 * ms,
            patterns=patterns,
            units={"hidden1": [1]},
            stream=stream,
        )
        found.append((log.run, states(net, log.run)))
    (run, numbers), (disk, others) = found
    assert run.traces.sizes["time"] == 58
    assert np.abs(np.diff(run.traces.w.values, axis=0)).max() > 1e-3
    assert gap(numbers, others) == 0
    for other in (disk, ns.load(tmp_path / "r.zarr")):
        assert_same_traces(other, run)
        assert gap(states(other.network, other), numbers) == 0


# refusals


XI = ns.Extension("hidden1", x="0.1*sqrt(2/tau_x)*xi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "heunn"}, r"method = 'heunn'; allowed: euler, .*did you mean 'heun'"),
        ({"method": "rk45"}, r"method = 'rk45'.*did you mean 'rk4'"),
        (
            {"precision": "float23"},
            r"precision = 'float23'; allowed: float64, float32; did you mean 'float",
        ),
        ({"precision": 32}, r"precision = 32; allowed: text"),
        ({"threads": 0}, r"threads = 0; allowed: "),
        ({"threads": 1025}, r"threads = 1025; allowed: .*1024"),
        ({"threads": 10**40}, r"threads = 1000.*; allowed: .*1024"),
        ({"threads": 1.5}, r"threads = 1\.5; allowed: "),
        ({"threads": True}, r"threads = True; allowed: "),
        ({"method": "heun", "extensions": XI}, r"noise needs method='euler' or .*: heun evaluates"),
        ({"method": "rk4", "extensions": XI}, r"noise needs method='euler' or .*: rk4 evaluates"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused_in_words(
    arguments: dict[str, Any], message: str
) -> None:
    net, _, _ = random_problem([4, 3, 2], seed=0)
    with pytest.raises(ns.ModelError, match=message):
        ns.Simulation(net, ns.Flow.damped(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settle": -1}, r"settle = -1; allowed: a finite number > 0"),
        ({"settle": 0}, r"settle = 0; allowed: a finite number > 0"),
        ({"settle": np.nan}, r"settle = nan; allowed: a finite number > 0"),
        ({"settle": "1e-6"}, r"settle = '1e-6'; allowed: a number"),
        ({"adaptive": True, "tolerance": 0}, r"tolerance = 0; allowed: a finite number > 0"),
        (
            {"adaptive": True, "tolerance": -1e-6},
            r"tolerance = -1e-06; allowed: a finite number > 0",
        ),
        ({"stream": "r.zarr"}, r"stream = 'r.zarr', but nothing is recorded; try record="),
    ],
)
def test_a_relaxation_that_cannot_be_is_refused_in_words(
    arguments: dict[str, Any], message: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net, X, Y = random_problem([4, 3, 2], seed=0)
    with pytest.raises(ns.ModelError, match=message):
        ns.Simulation(net, ns.Flow.damped()).relax(X, Y, duration=20 * ms, **arguments)
    assert not (tmp_path / "r.zarr").exists()


def test_noise_has_no_adaptive_step() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.damped(), extensions=XI)
    with pytest.raises(ns.ModelError, match=r"noise needs .*: adaptive evaluates"):
        sim.relax(X, Y, duration=20 * ms, adaptive=True)
    assert np.isfinite(sim.relax(X, Y, duration=20 * ms).x["hidden1"]).all()
