"""One text on every backend: the same numbers; nothing of one simulation is left for another."""

import gc
import logging

import brian2
import numpy as np
import pytest
from brian2 import StateMonitor, ms
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.engine import build, compiler
from neurosim.engine.runtime.step import Machine
from tests.helpers.problems import random_problem, random_state

BACKENDS = [
    "numpy",
    pytest.param("cython", marks=pytest.mark.compiler),
    pytest.param("standalone", marks=pytest.mark.compiler),
]
NOISE = ns.Extension(
    "hidden1",
    x="I/tau_x",
    equations=(
        "dI/dt = -I/tau_I + sd*sqrt(2/tau_I)*xi : 1\ntau_I : second (shared)\nsd : 1 (shared)"
    ),
    parameters={"tau_I": 5 * ms, "sd": 0.2},
)


def graph(seed: int = 0) -> tuple[ns.Network, np.ndarray, np.ndarray]:
    """Return a network with skips, a sparse projection, penalties and an early exit, and data."""
    rng = np.random.default_rng(seed)
    net = ns.Network(
        [
            ns.Population("input", 6, clamped=True),
            ns.Population("a", 5, "softplus"),
            ns.Population("b", 4, "a/(1+abs(a))"),
            ns.Population("out", 3, "linear"),
        ],
        [
            ns.Projection("input", "a", l2=0.1),
            ns.Projection(
                "a", "b", mask=rng.random((4, 5)) < 0.6, l1=0.01, row_l1=0.02, column_l1=0.03
            ),
            ns.Projection("b", "out", l1=0.01, l2=0.02, row_l1=0.03, column_l1=0.02),
            ns.Projection("input", "out"),
        ],
        [ns.Loss("b", "0.5*(x - y)**2", 0.3), ns.Loss("out", "cross_entropy")],
        seed=seed,
    )
    return net, rng.normal(size=(12, 6)), rng.integers(3, size=12)


def targets(labels: np.ndarray) -> dict:
    return {"b": np.eye(4)[labels], "out": labels}


@pytest.fixture
def optimised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile as users do, whatever the other tests compile with."""
    monkeypatch.delenv("NEUROSIM_OPTIMIZE", raising=False)


@pytest.mark.compiler
@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize(
    ("compiled", "method"),
    [
        ("standalone", "euler"),
        ("standalone", "semi_implicit"),
        ("cython", "euler"),
        ("cython", "semi_implicit"),
    ],
)
@pytest.mark.parametrize("batch", [1, 4, None])
def test_the_same_numbers_on_every_backend(batch: int | None, method: str, compiled: str) -> None:
    """500 steps, weights moving, sparse and penalised projections, several losses."""
    found = {}
    for backend in ("numpy", compiled):
        net, X, labels = graph()
        sim = ns.Simulation(
            net, ns.Flow.augmented(2, tau_w=50 * ms), method=method, backend=backend
        )
        if batch is None:
            schedule = ns.Simultaneous(duration=500 * ms, reports=3)
        else:
            schedule = ns.Presentations(batch=batch, present=500 / (12 // batch) / 2 * ms, epochs=2)
        log = sim.train(X, targets(labels), schedule, record=("x", "g", "w"), every=7 * ms)
        found[backend] = (net, log.run)
    net, run = found["numpy"]
    other, its = found[compiled]
    assert its.steps == run.steps
    for n in net.neurons:
        assert_allclose(its.x[n], run.x[n], rtol=0, atol=1e-9)
        assert_allclose(its.lam[n], run.lam[n], rtol=0, atol=1e-9)
        assert_allclose(other.biases[n], net.biases[n], rtol=0, atol=1e-9)
    for n, w in net.weights.items():
        assert_allclose(abs(other.weights[n] - w).max(), 0, atol=1e-9)
    for v in ("x", "g", "w"):
        assert_allclose(its.traces[v], run.traces[v], rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_noise(backend: str) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)

    def relaxed(seed: int) -> np.ndarray:
        sim = ns.Simulation(net, ns.Flow.damped(), backend=backend, seed=seed, extensions=NOISE)
        return sim.relax(X, Y, duration=50 * ms).x["hidden1"]

    assert np.array_equal(relaxed(1), relaxed(1))
    assert np.abs(relaxed(1) - relaxed(2)).max() > 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_has_the_spread_that_was_given(backend: str) -> None:
    """Ornstein-Uhlenbeck: stationary standard deviation sd, correlation e^(-t/tau)."""
    net, X, Y = random_problem([2, 40, 1], seed=0, patterns=50)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=0.2 * ms, backend=backend, extensions=NOISE)
    run = sim.relax(X, Y, duration=60 * ms, record="I", every=5 * ms)
    current = run.traces.I.values[6:, :, :40]
    assert current.std() == pytest.approx(0.2, rel=0.03)
    pairs = np.corrcoef(current[:-1].ravel(), current[1:].ravel())[0, 1]
    assert pairs == pytest.approx(np.exp(-1), abs=0.03)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_current_shifts_the_rest_point_as_computed(backend: str) -> None:
    """`adjoint` with a current c/tau_x: x rests at sigma(a) + c."""
    net, X, Y = random_problem([4, 3, 2], seed=0)
    drive = ns.Extension("hidden1", x="c/tau_x", equations="c : 1", parameters={"c": 0.25})
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=5 * ms, backend=backend, extensions=drive).relax(
        X, Y, duration=1
    )
    expected = np.tanh(X @ net.weights["input->hidden1"].T + net.biases["hidden1"]) + 0.25
    assert_allclose(run.x["hidden1"], expected, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_user_supplied_monitor_records_what_the_recorder_does(backend: str) -> None:
    """Monitors of other clocks tick until the end, also between the last two steps."""
    net, X, Y = random_problem([4, 3, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.damped(), backend=backend)
    sim.add(
        lambda network: StateMonitor(
            network["hidden1"], ["x", "g"], record=True, dt=2 * ms, name="watch"
        )
    )
    others = {"half": 0.5, "third": 1 / 3, "three": 3, "seven": 7, "longer": 50}  # ms
    sim.add(
        lambda network: [
            StateMonitor(network["hidden1"], "x", record=[0], dt=dt * ms, name=name)
            for name, dt in others.items()
        ]
    )
    run = sim.relax(X, Y, duration=40 * ms, record=("x", "g"), every=2 * ms)
    watch = sim.network["watch"]
    for name, dt in others.items():
        expected = np.arange(np.ceil(40 / dt - 1e-4)) * dt * 1e-3
        assert_allclose(np.asarray(sim.network[name].t), expected, atol=1e-12, err_msg=name)
    for v in ("x", "g"):
        mine = run.traces[v].values[:, :, :3].reshape(20, -1)
        assert_allclose(getattr(watch, v).T, mine, rtol=0, atol=1e-12)
    assert_allclose(np.asarray(sim.network["hidden1"].x), run.x["hidden1"].ravel(), atol=1e-15)
    sim.relax(2 * X, Y, duration=10 * ms)
    gc.collect()
    assert_allclose(watch.x.T, run.traces.x.values[:, :, :3].reshape(20, -1), rtol=0, atol=1e-12)


@pytest.mark.compiler
@pytest.mark.parametrize(
    "more", [(), pytest.param(("cython",), marks=pytest.mark.slow)], ids=["", "cython"]
)
def test_simulations_and_user_supplied_objects_do_not_disturb_each_other(
    more: tuple[str, ...],
) -> None:
    kept = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    try:
        brian2.start_scope()
        brian2.defaultclock.dt = 0.1 * ms
        group = brian2.NeuronGroup(3, "dv/dt = -v/(10*ms) : 1", method="exact", name="hidden1")
        group.v = 1
        brian2.run(10 * ms)
        np.random.seed(3)
        state = np.random.get_state()[1].copy()
        net, X, Y = random_problem([4, 3, 2], seed=0)
        runs = []
        for backend in ("standalone", "numpy", *more, "standalone", "numpy"):
            sim = ns.Simulation(net, ns.Flow.damped(), backend=backend, extensions=NOISE)
            runs.append((backend, sim, sim.relax(X, Y, duration=30 * ms)))
        for backend, sim, run in runs:  # all still readable, side by side
            assert_allclose(
                np.asarray(sim.network["output"].lam), run.lam["output"].ravel(), atol=1e-15
            )
            first = next(r for b, _, r in runs if b == backend)
            assert np.array_equal(first.lam["output"], run.lam["output"])
        brian2.run(10 * ms)
        assert_allclose(group.v[:], np.exp(-2), rtol=1e-12)
        assert np.array_equal(np.random.get_state()[1], state)
        assert type(brian2.get_device()).__name__ == "RuntimeDevice"
        assert brian2.prefs.codegen.target == "numpy"
        assert brian2.defaultclock.dt == 0.1 * ms
    finally:
        brian2.prefs.codegen.target = kept


@pytest.mark.compiler
def test_one_structure_is_compiled_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights, gains, data, seed, duration: the same program."""
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path))
    for seed, flow, duration in (
        (0, ns.Flow.damped(), 20 * ms),
        (5, ns.Flow.augmented(2), 35 * ms),
    ):
        net, X, Y = random_problem([4, 3, 2], seed=seed)
        sim = ns.Simulation(net, flow, backend="standalone", seed=seed)
        run = sim.relax(X, Y, duration=duration)
        same = ns.Simulation(net, flow, backend="numpy").relax(X, Y, duration=duration)
        assert_allclose(run.lam["hidden1"], same.lam["hidden1"], atol=1e-12)
    assert len(list(tmp_path.glob("*.program"))) == len(list(tmp_path.glob("*.note"))) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_everything_that_can_be_recorded_is_of_one_moment(backend: str) -> None:
    """At t = 0, from a random state: what was recorded against the reference."""
    net, X, Y = random_problem([4, 3, 2], seed=0)
    flow, start = ns.Flow(kappa=0.7, gamma=0.4, rho=1.3), ns.State(*random_state(net, 2, len(X)))
    names = ("x", "lam", "a", "sigma", "dsigma", "g", "mu", "delta", "feedback", "dL_dx", "h")
    mine = ns.Extension("hidden1", equations="h = 2*x + lam : 1")
    sim = ns.Simulation(net, flow, backend=backend, extensions=mine)
    run = sim.relax(X, Y, duration=3 * ms, start=start, record=names)
    found = {v: run.traces[v].values[0][:, :3] for v in names}
    x, lam = start.x["hidden1"], start.lam["hidden1"]
    a = X @ net.weights["input->hidden1"].T + net.biases["hidden1"]
    w = net.weights["hidden1->output"]
    g_out = start.x["output"] - x @ w.T - net.biases["output"]
    feedback = (start.lam["output"] + flow.rho * g_out) @ w
    g = x - np.tanh(a)
    mu, slope = lam + flow.rho * g, 1 - np.tanh(a) ** 2
    truth = {
        "x": x,
        "lam": lam,
        "a": a,
        "sigma": np.tanh(a),
        "dsigma": slope,
        "g": g,
        "mu": mu,
        "delta": slope * mu,
        "feedback": feedback,
        "dL_dx": mu - feedback,
        "h": 2 * x + lam,
    }
    for v in names:
        assert_allclose(found[v], truth[v], atol=1e-13, err_msg=v)


def test_the_users_preferences_are_neither_used_nor_changed() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    brian2.prefs.core.default_float_dtype = np.float32
    try:
        run = ns.Simulation(net, ns.Flow.adjoint(), dt=10 * ms).relax(X, Y, duration=60 * ms)
        assert brian2.prefs.core.default_float_dtype is np.float32
    finally:
        brian2.prefs.core.default_float_dtype = np.float64
    assert_allclose(run.lam["hidden1"], ns.reference.backprop(net, X, Y).lam["hidden1"], atol=1e-14)


def test_an_input_can_have_equations_of_its_own() -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    drift = ns.Extension("input", equations="dI/dt = (1 - I)/(10*ms) : 1")
    sim = ns.Simulation(net, ns.Flow.adjoint(), extensions=drift)
    run = sim.relax(X, Y, duration=50 * ms)
    assert_allclose(run.auxiliary["input.I"], 1 - 0.9**50, rtol=1e-12)
    on = sim.relax(X, Y, duration=50 * ms, start=run)
    assert_allclose(on.auxiliary["input.I"], 1 - 0.9**100, rtol=1e-12)
    with pytest.raises(
        ns.ModelError,
        match=r"of input, which is clamped, so that it has no dx.dt .*allowed: equations",
    ):
        ns.Simulation(net, ns.Flow.adjoint(), extensions=ns.Extension("input", x="1/(10*ms)"))


@pytest.mark.parametrize(
    ("extension", "message"),
    [
        ({"x": "k/tau_x", "equations": "k : 1"}, "has no value for k"),
        ({"x": "k/tau_x", "equations": "k : 1", "parameters": {"kk": 1}}, "did you mean 'k'"),
        (
            {"x": "k/tau_x", "equations": "k : 1", "parameters": {"k": [1, 2]}},
            r"k of hidden1 has shape \(2,\)",
        ),
        ({"x": "1/(tau_x"}, "makes no equations"),
        ({"equations": "dt : 1"}, "makes no equations|does not fit"),
        ({"x": "1"}, "an extension does not fit"),
        ({"parameters": {"kappa": 5}}, "parameter of the extension of hidden1 = 'kappa'"),
    ],
)
def test_an_extension_that_does_not_fit_is_refused(extension: dict, message: str) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    with pytest.raises(ns.ModelError, match=message):
        ns.Simulation(net, ns.Flow.damped(), extensions=ns.Extension("hidden1", **extension)).relax(
            X, Y, duration=0.01
        )


def test_auto_chooses_by_the_amount_of_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net, X, Y = random_problem([4, 3, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1 * ms)
    sim.relax(X, Y, duration=20 * ms)
    assert sim.backend == "numpy"
    assert "not worth a compiler" in sim.backend_reason
    monkeypatch.setattr("neurosim.simulation.backend.WORTH_COMPILING", 0.0)
    monkeypatch.setattr(compiler, "compiler_command", lambda: None)
    with caplog.at_level(logging.WARNING, logger="neurosim"):
        run = sim.relax(X, Y, duration=20 * ms)
    assert sim.backend == run.settings["backend"] == "numpy"
    notices = [r.message for r in caplog.records if r.name == "neurosim"]
    assert len(notices) == 1
    assert notices[0].startswith("no C++ compiler found: running on NumPy")
    with pytest.raises(
        ns.BackendError, match=r"needs a C.. compiler and none was found; try backend='numpy'"
    ):
        ns.Simulation(net, ns.Flow.adjoint(), backend="standalone").relax(X, Y, duration=20 * ms)
    monkeypatch.undo()


@pytest.mark.compiler
def test_a_build_that_fails_shows_the_compilers_messages(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'no space left for objects' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    net, X, Y = random_problem([4, 3, 2], seed=0)
    with pytest.raises(ns.BackendError, match="no space left for objects"):
        ns.Simulation(net, ns.Flow.adjoint(), backend="standalone").relax(X, Y, duration=20 * ms)
    assert list((tmp_path / "cache").iterdir()) == []  # nothing half-written


def test_undamped_saddle_stays_bounded_when_semi_implicit() -> None:
    """A linear net under the plain saddle flow: Euler spirals out, the alternating step rings."""
    net, X, Y = random_problem([6, 5, 2], seed=2, activation="linear")
    flow = ns.Flow.arrow_hurwicz()
    run = ns.Simulation(net, flow, method="semi_implicit").relax(
        X, Y, duration=20, record="lam", every=10 * ms
    )
    size = np.sqrt((run.traces.lam.values**2).sum(axis=(1, 2)))
    late, early = size[-500:], size[100:600]
    assert 0.5 < late.max() / early.max() < 1.5
    assert late.std() > 1e-3
    with pytest.warns(
        ns.StabilityWarning, match="is not damped, so no explicit Euler step is stable"
    ):
        grown = ns.Simulation(net, flow).relax(X, Y, duration=1)
    assert np.abs(grown.lam["hidden1"]).max() > 2 * np.abs(run.traces.lam).max()


def test_the_equations_can_be_read() -> None:
    net, _, _ = random_problem([4, 3, 2], seed=0)
    text = ns.Simulation(net, ns.Flow.augmented(), extensions=NOISE).equations
    assert "dx/dt = (-kappa*dL_dx - gamma*g)/tau_x + ((I/tau_x)) : 1" in text
    assert "dlam/dt = (kappa*g - gamma*dL_dx)/tau_lam : 1" in text
    assert "dw/dt = plastic*(mean(delta_post*x_pre))/tau_w : 1" in text
    assert "db/dt = plastic*mean(delta)/tau_w : 1" in text
    still = ns.Network.mlp([3, 2], plastic_bias=False)
    assert "b : 1 (constant)" in ns.Simulation(still, ns.Flow.augmented()).equations
    assert (
        "w : 1 (constant)"
        in ns.Simulation(ns.Network.residual([3, 2, 2], 3), ns.Flow.augmented()).equations
    )
    assert "dI/dt = -I/tau_I" in text


@pytest.mark.compiler
def test_time_is_the_same_at_the_first_step_of_every_segment() -> None:
    """A term that reads t, in a training of four segments."""
    made = []
    for backend in ("numpy", "standalone"):
        net, X, Y = random_problem([4, 3, 2], seed=0)
        drive = ns.Extension("hidden1", x="cos(t/(7*ms))/tau_x")
        sim = ns.Simulation(net, ns.Flow.augmented(tau_w=0.3), extensions=drive, backend=backend)
        made.append(sim.train(X, Y, ns.Simultaneous(duration=40 * ms, reports=4)).run)
    assert_allclose(made[1].x["hidden1"], made[0].x["hidden1"], rtol=0, atol=1e-12)


def test_networks_without_a_reference_are_not_kept() -> None:
    """Each holds some 6 MiB; Brian2's networks are cycles, which only the collector removes."""
    X, Y = np.random.default_rng(0).normal(size=(2000, 64)), np.zeros((2000, 10))
    for seed in range(20):
        net = ns.Network.mlp([64, 32, 10], loss="mse", seed=seed)
        ns.Simulation(net, ns.Flow.adjoint(), backend="numpy").relax(X, Y, duration=20 * ms)
    assert sum(isinstance(o, Machine) for o in gc.get_objects()) < 10


def test_an_idle_engine_serves_runs_with_its_own_step_only() -> None:
    """The step is no part of a program's structure, but it is part of Brian2's clock."""
    net, X, Y = random_problem([4, 3, 2], seed=0)

    def relaxed(dt: float) -> np.ndarray:
        sim = ns.Simulation(net, ns.Flow.damped(), dt=dt, backend="numpy")
        return sim.relax(X, Y, duration=20 * ms).x["hidden1"]

    build._idle.clear()
    alone = relaxed(2 * ms)
    build._idle.clear()
    relaxed(1 * ms)
    assert np.array_equal(relaxed(2 * ms), alone)


@pytest.mark.compiler
@pytest.mark.slow
def test_single_precision_leaves_the_time_alone() -> None:
    """As a float, .1 is later than the step at .1 s."""
    found = []
    for backend in ("numpy", "standalone"):
        net = ns.Network.mlp([3, 4, 2], loss="mse", seed=0)
        late = ns.Extension(
            "hidden1", x="drive/tau_x", equations="drive = int(t >= 0.1*second) : 1"
        )
        sim = ns.Simulation(
            net, ns.Flow.adjoint(), dt=1 * ms, backend=backend, precision="float32", extensions=late
        )
        run = sim.relax(
            np.ones((1, 3)), np.ones((1, 2)), duration=105 * ms, record="x", every=1 * ms
        )
        found.append(run.traces.x.values)
    assert_allclose(found[1], found[0], rtol=0, atol=1e-5)


@pytest.mark.compiler
def test_a_compiled_run_ends_at_its_last_step_however_long_or_short_its_steps_are() -> None:
    """It used to end at 1e6 s, and beyond 9e18 steps of the clock until then before it began."""
    net, X, Y = random_problem([4, 3, 2], seed=0)
    for dt in (2e4, 1e-14):
        flow = ns.Flow.augmented(tau_x=5 * dt, tau_lam=5 * dt)
        run = ns.Simulation(net, flow, dt=dt, backend="standalone").relax(X, Y, duration=70 * dt)
        assert run.steps == 70
        again = ns.Simulation(net, flow, dt=dt, backend="numpy").relax(X, Y, duration=70 * dt)
        for n in net.neurons:
            assert_allclose(run.x[n], again.x[n], rtol=0, atol=1e-12)


def test_CXX_is_a_compiler_with_options_or_refused(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "my ccache"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for given in (f"'{launcher}' g++ -m64", "'./my ccache' g++  -m64 "):
        monkeypatch.setenv("CXX", given)
        assert compiler.compiler_command() == [str(launcher), "g++", "-m64"]
    net, X, Y = random_problem([4, 3, 2], seed=0)
    for nonsense in ("no_such_compiler", "no_such_compiler -m64", "'g++"):
        monkeypatch.setenv("CXX", nonsense)
        for backend in ("standalone", "cython"):
            sim = ns.Simulation(net, ns.Flow.adjoint(), backend=backend)
            with pytest.raises(ns.BackendError, match=r"CXX = .*not a program.*try CXX=g\+\+"):
                sim.relax(X, Y, duration=20 * ms)
    monkeypatch.setenv("CXX", " ")
    assert compiler.compiler_command()


@pytest.mark.compiler
def test_CXX_with_options_compiles_with_them(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("CXX", f"{launcher} g++ -DNS_OWN=1")
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    net, X, Y = random_problem([4, 3, 2], seed=0)
    ns.Simulation(net, ns.Flow.adjoint(), backend="standalone").relax(X, Y, duration=20 * ms)
    commands = log.read_text().splitlines()
    assert all(command.startswith("g++ -DNS_OWN=1") for command in commands)
    assert any(command.endswith("--version") for command in commands)
    assert any("-o" in command.split() for command in commands)
