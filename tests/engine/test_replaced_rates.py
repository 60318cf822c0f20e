"""Right-hand sides of a user's own, against the built-in ones, NumPy loops, and the reference."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.analysis.check import check
from neurosim.analysis.rest import settle, speed
from neurosim.model.extension import Extension
from neurosim.model.extension_text import READABLE, printed, read_expression
from neurosim.reference.extended import Extended, ExtendedFlow, unread
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, dags, flows, random_problem, random_state

BACKENDS = [
    "numpy",
    pytest.param("cython", marks=pytest.mark.compiler),
    pytest.param("standalone", marks=pytest.mark.compiler),
]
METHODS = ["euler", "semi_implicit", "heun", "rk4"]
DX, DLAM = "(-kappa*dL_dx - gamma*g)/tau_x", "(kappa*g - gamma*dL_dx)/tau_lam"
DT = 1e-3

ADAPTATION = Extension(
    "hidden1",
    x="-c/tau_x",
    equations="dc/dt = (strength*x - c)/tau_c : 1\nstrength : 1 (shared)\ntau_c : second (shared)",
    parameters={"strength": 0.2, "tau_c": 0.1},
)
DENDRITE = Extension(
    "hidden1",
    dx="(-kappa*(dL_dx + feedback - v) - gamma*g)/tau_x",
    dlam="(kappa*g - gamma*(dL_dx + feedback - v))/tau_lam",
    equations="dv/dt = (feedback - v)/tau_v : 1\ntau_v : second (shared)",
    parameters={"tau_v": 0.02},
)
REFRACTORY = Extension(
    "hidden1",
    dx="(-kappa*dL_dx - gamma*g)/(tau_x*(1 + 5*tired))",
    equations="dtired/dt = (abs(g) - tired)/tau_r : 1\ntau_r : second (shared)",
    parameters={"tau_r": 0.03},
)
EXAMPLES = {"adaptation": ADAPTATION, "dendrite": DENDRITE, "refractory": REFRACTORY}


def problem(seed: int = 0) -> tuple[ns.Network, Any, Any]:
    return random_problem([3, 4, 2], seed, patterns=3)


def everywhere(net: ns.Network, dx: str = DX, dlam: str = DLAM) -> list[Extension]:
    return [Extension(n, dx=dx, dlam=dlam) for n in net.neurons]


def largest(run: ns.Run, other: ns.Run) -> float:
    found = [abs(run.x[n] - other.x[n]).max() for n in run.x]
    found += [abs(run.lam[n] - other.lam[n]).max() for n in run.lam]
    return float(max(found))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("method", METHODS)
def test_the_flow_written_out_is_the_flow(backend: str, method: str) -> None:
    net, X, Y = problem()
    runs = []
    for extensions in ((), everywhere(net)):
        sim = ns.Simulation(
            net, ns.Flow.rotated(0.5, 0.7), method=method, backend=backend, extensions=extensions
        )
        runs.append(sim.relax(X, Y, duration=50 * DT))
    assert largest(*runs) <= 1e-14


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_also_with_adaptive_steps_a_tube_and_learning(backend: str) -> None:
    net, X, Y = problem()
    flow = ns.Flow.augmented(2.0, tau_w=0.1)
    tube = ns.Network.mlp([3, 4, 2], loss="mse", constraint="tube", epsilon=0.05, seed=0)
    for at, dx, dlam in (
        (net, DX, DLAM),
        (tube, "-kappa*dL_dx/tau_x - gamma*dG*G/tau_x", "(kappa*G - gamma*dG*dL_dx)/tau_lam"),
    ):
        runs, ends = [], []
        for extensions in ((), everywhere(at, dx, dlam)):
            twin = at.copy()
            sim = ns.Simulation(twin, flow, backend=backend, extensions=extensions)
            runs.append(sim.relax(X, Y, duration=0.03, adaptive=True))
            ends.append(sim.train(X, Y, ns.Simultaneous(duration=0.05, reports=2)).run)
        assert largest(*runs) <= 1e-12
        assert largest(*ends) <= 1e-12
        for name, w in ends[0].network.weights.items():
            assert_allclose(ends[1].network.weights[name], w, rtol=0, atol=1e-12)


OTHERS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "events": {"transport": "events"},
    "prospective": {"prospective": True},
    "estimated rates": {"prospective": 5e-3},
    "delay": {"imperfections": [ns.Delay(steps=3)]},
    "own times": {"imperfections": [ns.TimeConstants(spread=0.2)]},
}


@pytest.mark.parametrize("name", OTHERS)
def test_it_is_whatever_carries_the_messages(name: str) -> None:
    net, X, Y = problem()
    runs = []
    for extensions in ((), everywhere(net)):
        sim = ns.Simulation(
            net, ns.Flow.rotated(1.2), backend="numpy", extensions=extensions, **OTHERS[name]
        )
        runs.append(sim.relax(X, Y, duration=50 * DT))
    assert largest(*runs) <= (1e-6 if name == "float32" else 1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_may_stand_in_a_right_hand_side(backend: str) -> None:
    """The same numbers are drawn as where noise is a term."""
    net, X, Y = problem()
    noise = "0.1*sqrt(2/tau_x)*xi"
    runs = []
    for own in (Extension("hidden1", x=noise), Extension("hidden1", dx=f"{DX} + {noise}")):
        sim = ns.Simulation(net, ns.Flow.damped(), backend=backend, seed=4, extensions=own)
        runs.append(sim.relax(X, Y, duration=50 * DT))
    assert largest(*runs) <= 1e-14
    plain = ns.Simulation(net, ns.Flow.damped(), backend=backend).relax(X, Y, duration=50 * DT)
    assert largest(runs[0], plain) > 0.01


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_right_hand_side_takes_the_place_of_the_flow_s(backend: str) -> None:
    """x and lam of hidden1 decay to 0.3 and 0.4, whatever the rest of the network does."""
    net, X, Y = problem()
    own = Extension("hidden1", dx="(0.3 - x)/tau_x", dlam="(0.4 - lam)/(2*tau_lam)")
    flow = ns.Flow.augmented(1.0, tau_x=0.01, tau_lam=0.01)
    sim = ns.Simulation(net, flow, backend=backend, extensions=own)
    run = sim.relax(X, Y, duration=20 * DT)
    assert_allclose(run.x["hidden1"], 0.3 * (1 - 0.9**20), rtol=1e-13)
    assert_allclose(run.lam["hidden1"], 0.4 * (1 - 0.95**20), rtol=1e-13)


def by_hand(net: ns.Network, flow: ns.Flow, X: Any, Y: Any, steps: int) -> dict[str, Any]:
    """Step the dendrite of `DENDRITE` in a plain loop: tanh, linear output, mse."""
    W1, W2 = (net.weights[name] for name in ("input->hidden1", "hidden1->output"))
    b1, b2 = net.biases["hidden1"], net.biases["output"]
    x1 = lam1 = v = np.zeros((len(X), len(b1)))
    x2 = lam2 = np.zeros((len(X), len(b2)))
    k, gm, rho, tau = flow.kappa, flow.gamma, flow.rho, flow.time("tau_x", "hidden1")
    for _ in range(steps):
        s1, s2 = np.tanh(X @ W1.T + b1), x1 @ W2.T + b2
        g1, g2 = x1 - s1, x2 - s2
        mu1, mu2 = lam1 + rho * g1, lam2 + rho * g2
        back = mu2 @ W2
        L2 = (x2 - Y["output"]) + mu2
        h = DT / tau
        x1, lam1, v, x2, lam2 = (
            x1 + h * (-k * (mu1 - v) - gm * g1),
            lam1 + h * (k * g1 - gm * (mu1 - v)),
            v + DT / 0.02 * (back - v),
            x2 + h * (-k * L2 - gm * g2),
            lam2 + h * (k * g2 - gm * L2),
        )
    return {"x": x1, "lam": lam1, "v": v}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dendrite_against_a_loop_by_hand(backend: str) -> None:
    net, X, Y = problem(3)
    flow = ns.Flow(kappa=0.8, gamma=0.4, rho=0.6)
    sim = ns.Simulation(net, flow, dt=DT, backend=backend, extensions=DENDRITE)
    run = sim.relax(X, Y, duration=60 * DT, record="v")
    expected = by_hand(net, flow, X, Y, 60)
    assert_allclose(run.x["hidden1"], expected["x"], rtol=0, atol=1e-13)
    assert_allclose(run.lam["hidden1"], expected["lam"], rtol=0, atol=1e-13)
    assert_allclose(run.auxiliary["hidden1.v"], expected["v"], rtol=0, atol=1e-13)


TERMS = ("x", "lam", "a", "sigma", "dsigma", "g", "G", "mu", "delta", "feedback", "dL_dx", "c")
SHAPES = (
    "{0}/tau_x - 0.3*{1}/tau_lam",
    "(kappa*{0} - gamma*max({1}, 0.1) + rho*min({0}, c))/tau_x",
    "tanh({0} + 2*{1})*exp(-{0}**2)*(40*Hz)",
    "-x/tau_x + abs({0})*sign({1})/(5*ms)",
    "(cos({0}) - {1}/(1 + {0}**2))/tau_x",
)


@st.composite
def extensions(draw: st.DrawFn, net: ns.Network) -> list[Extension]:
    """Draw one extension per population: right-hand sides or terms, with a state of its own."""
    found = []
    for n in net.neurons:
        texts = {}
        for state in ("x", "lam"):
            names = draw(
                st.tuples(st.sampled_from(TERMS[:6] + TERMS[7:]), st.sampled_from(("x", "c")))
            )
            formula = draw(st.sampled_from(SHAPES)).format(*names)
            text = printed(
                read_expression("text", formula, (*READABLE, "c"))
            )  # without max and min
            texts[draw(st.sampled_from((state, f"d{state}")))] = text
        equations = "dc/dt = (s - c)/tau_c : 1\ns = 0.5*x + 0.2*mu : 1\ntau_c : second (shared)"
        found.append(
            Extension(n, **texts, equations=equations, parameters={"tau_c": 0.03, "c": 0.2})
        )
    return found


@settings(max_examples=some(15), deadline=None)  # every example builds a simulation
@given(data=st.data(), seed=SEEDS)
def test_a_step_anywhere_is_that_of_the_reference(data: st.DataObject, seed: int) -> None:
    net, X, Y = data.draw(dags())
    flow, own = data.draw(flows()), data.draw(extensions(net))
    flow = ns.Flow(kappa=flow.kappa, gamma=flow.gamma, rho=flow.rho)
    x, lam = random_state(net, seed, len(X))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sim = ns.Simulation(net, flow, dt=DT, backend="numpy", extensions=own)
        run = sim.relax(X, Y, duration=DT, start=ns.State(x, lam))
    derived = ExtendedFlow(net, flow, own, X, Y)
    rates = derived.rates(Extended(x, lam, derived.initial()), step=DT)
    for n in net.neurons:
        scale = 1 + max(abs(rates.x[n]).max(), abs(rates.lam[n]).max()) * DT
        assert_allclose(run.x[n], x[n] + DT * rates.x[n], rtol=0, atol=1e-12 * scale)
        assert_allclose(run.lam[n], lam[n] + DT * rates.lam[n], rtol=0, atol=1e-12 * scale)
        c = 0.2 + DT * rates.own[f"{n}.c"]
        assert_allclose(run.auxiliary[f"{n}.c"], c, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_says_whether_rest_is_backpropagation_s(name: str) -> None:
    net, X, Y = problem(1)
    report = check(net, ns.Flow.damped(), X, Y, backend="numpy", extensions=EXAMPLES[name])
    assert report.passed
    assert len(report.rows) == 6
    at_rest, judged = report.rows[:3], report.rows[3:]
    assert all(row.passed for row in judged), judged
    if name != "adaptation":
        assert all(row.passed for row in at_rest), at_rest
        return
    sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", extensions=ADAPTATION)
    run = settle(sim, X, Y).run
    found = ns.alignment(run, ns.reference.backprop(net, X, Y))
    # c = 0.2 x at rest, and the flow's own dx/dt there is c/tau_x
    plain = ns.reference.right_hand_side(net, run.flow, run.x, run.lam, run.X, run.Y)
    assert_allclose(0.01 * plain.x["hidden1"], 0.2 * run.x["hidden1"], rtol=0, atol=1e-8)
    errors = (found.max_error, max(found.x_error.values()))
    for row, error in zip(at_rest, errors, strict=False):
        assert row.passed is None
        assert row.value == f"off by {error:.3g}"


def test_check_fails_where_the_reference_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    true_rates = ExtendedFlow.rates

    def wrong(self: ExtendedFlow, *state: Any, **keys: Any) -> Extended:
        found = true_rates(self, *state, **keys)
        found.own["hidden1.v"] = found.own["hidden1.v"] * 1.001
        return found

    monkeypatch.setattr(ExtendedFlow, "rates", wrong)
    net, X, Y = problem()
    report = check(net, ns.Flow.damped(), X, Y, backend="numpy", extensions=DENDRITE)
    failed = [row.name for row in report.rows if row.passed is False]
    assert failed[0] == "a step at a random state against the right-hand side"


def test_check_names_what_it_leaves_out() -> None:
    net, X, Y = problem()
    noisy = Extension("hidden1", x="0.01*xi*tau_x**-0.5")
    report = check(net, ns.Flow.damped(), X, Y, backend="numpy", dt=5e-3, extensions=noisy)
    by_name = {row.name: row for row in report.rows}
    row = by_name["a step and the trajectory"]
    assert row.passed is None
    assert "left out: x of the extension of hidden1" in str(row.value)
    assert "unknown name 'xi'" in str(row.value)
    assert "still moves after" in str(report.rows[0].value)
    assert report.passed


def test_rest_of_an_extended_network_is_found() -> None:
    """By the reference where it reads the texts, else by the engine."""
    net, X, Y = problem()
    clipped = Extension("hidden1", dx="clip((-kappa*dL_dx - gamma*g), -10, 10)/tau_x")
    assert "unknown function 'clip'" in unread([clipped])
    for own in (DENDRITE, clipped):
        sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", extensions=own)
        found = settle(sim, X, Y)
        assert found.rests
        for n, lam in ns.reference.backprop(net, X, Y).lam.items():
            assert_allclose(found.run.lam[n], lam, rtol=0, atol=1e-7)
    moving = ns.Simulation(net, ns.Flow.damped(), extensions=DENDRITE).relax(X, Y, duration=0.05)
    derived = ExtendedFlow(net, ns.Flow.damped(), [DENDRITE], X, Y)
    own_state = {"hidden1.v": moving.auxiliary["hidden1.v"]}
    rates = derived.rates(Extended(moving.x, moving.lam, own_state))
    parts = [*rates.x.values(), *rates.lam.values(), *rates.own.values()]
    assert speed(moving, [DENDRITE]) == pytest.approx(0.01 * max(abs(p).max() for p in parts))


def test_speed_counts_states_of_the_user_by_tau_x() -> None:
    net, X, Y = problem()
    text = "dfree/dt = -free/tau_f : 1\ntau_f : second (shared)"
    own = Extension("hidden1", equations=text, parameters={"tau_f": 0.02})
    derived = ExtendedFlow(net, ns.Flow.damped(), [own], X, Y)
    x, lam = random_state(net, 0, len(X))
    at_rest = derived.speed(Extended(x, lam, {"hidden1.free": np.zeros((3, 4))}))
    far = Extended(x, lam, {"hidden1.free": np.full((3, 4), -100.0)})
    assert at_rest < 20
    assert derived.speed(far) == pytest.approx(100 / 0.02 * 0.01)


def test_a_sign_before_a_name_is_read() -> None:
    """By the reference, as by Brian2."""
    net, X, Y = problem()
    x, lam = random_state(net, 0, len(X))
    plain = ExtendedFlow(net, ns.Flow.damped(), [], X, Y).rates(Extended(x, lam, {}))
    for text, sign in (("+x/tau_x", 1), ("-x/tau_x", -1), ("-(-x)/tau_x", 1)):
        own = Extension("hidden1", x=text)
        found = ExtendedFlow(net, ns.Flow.damped(), [own], X, Y).rates(Extended(x, lam, {}))
        added = found.x["hidden1"] - plain.x["hidden1"]
        assert_allclose(added, sign * x["hidden1"] / 0.01, atol=1e-10)


def test_the_stable_step_is_left_out() -> None:
    net, X, Y = problem()
    flow = ns.Flow.augmented(1.0, tau_w=0.1)
    schedule = ns.Simultaneous(duration=0.02, reports=2)
    plain = ns.Simulation(net.copy(), flow).train(X, Y, schedule)
    assert np.isfinite(plain.history.max_step).all()
    own = ns.Simulation(net.copy(), flow, extensions=DENDRITE).train(X, Y, schedule)
    assert np.isnan(own.history.max_step).all()


def test_a_divergence_says_that_the_stable_step_is_not_known() -> None:
    net, X, Y = problem()
    own = Extension("hidden1", dx="-500*x/tau_x + 1/tau_x")
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend="numpy", extensions=own)
    words = "not known where an extension replaces a right-hand side, dx/dt of hidden1"
    with pytest.raises(ns.DivergenceError, match=words):
        sim.relax(X, Y, duration=1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_exponential_euler_takes_an_euler_step_and_says_so(backend: str) -> None:
    net, X, Y = problem()
    own = Extension("hidden1", dx="(0.3 - x)/tau_x")
    sim = ns.Simulation(
        net, ns.Flow.adjoint(), method="exponential_euler", backend=backend, extensions=own
    )
    with pytest.warns(ns.StabilityWarning, match="plain Euler steps of x of hidden1, as the leaks"):
        run = sim.relax(X, Y, duration=10 * DT)
    assert_allclose(run.x["hidden1"], 0.3 * (1 - 0.9**10), rtol=1e-13)


REFUSED = [
    (
        [{"x": "1/tau_x", "dx": "-x/tau_x"}],
        r"dx = '-x/tau_x' of an extension of hidden1 beside x =",
    ),
    ([{"lam": "1/tau_x", "dlam": "-lam/tau_x"}], "dlam = .* beside lam = '1/tau_x'"),
    ([{"x": "1/tau_x"}, {"dx": "-x/tau_x"}], "dx = .* beside x = '1/tau_x'"),
    ([{"dx": "0*Hz"}, {"dx": "-x/tau_x"}], "beside dx = '-x/tau_x'; allowed: one dx"),
    ([{"dx": "9**9**9*Hz"}], "dx of an extension contains 9 ?\\*\\* ?9"),
    ([{"dx": "-x"}], "does not fit its population: .*dimension|does not fit"),
    ([{"dx": "-x*lam*xi/tau_x**0.5"}], "the noise of x is multiplied by a state"),
    ([{"dx": "foo/tau_x"}], "does not fit its population: .*foo"),
    ([{"dx": "x/tau_x +"}], "the extension of hidden1 makes no equations.*dx = 'x/tau_x [+]'"),
]


@pytest.mark.parametrize(("given_", "words"), REFUSED)
def test_what_has_no_meaning_is_refused(given_: list[dict[str, str]], words: str) -> None:
    net, X, Y = problem()

    def relax() -> None:
        own = [Extension("hidden1", **one) for one in given_]
        sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", extensions=own)
        sim.relax(X, Y, duration=DT)

    with pytest.raises(ns.ModelError, match=words):
        relax()


def test_one_extension_given_twice_is_refused() -> None:
    twice = [Extension("hidden1", dx="-x/tau_x")] * 2
    with pytest.raises(ns.ModelError, match="allowed: one dx of a population"):
        ns.Simulation(problem()[0], ns.Flow.damped(), extensions=twice)


def test_a_population_without_states_is_refused() -> None:
    net, _, _ = problem()
    free = ns.Network.mlp([3, 4, 2], loss="mse", free_output=True)
    for at, name, why in ((net, "input", "is clamped"), (free, "output", "has no constraint")):
        with pytest.raises(ns.ModelError, match=f"dlam = '-lam/tau_lam' of .* {name}, which {why}"):
            ns.Simulation(at, ns.Flow.damped(), extensions=Extension(name, dlam="-lam/tau_lam"))


def test_dx_and_dlam_are_keywords_and_part_of_the_value() -> None:
    with pytest.raises(TypeError):
        Extension("hidden1", "", "", "", {}, "-x/tau_x")  # type: ignore[misc]
    assert Extension("hidden1", dx="-x/tau_x") != Extension("hidden1")
    net, X, Y = problem()
    run = ns.Simulation(net, ns.Flow.damped(), extensions=DENDRITE).relax(X, Y, duration=DT)
    (text,) = run.settings["extensions"]
    assert text.startswith(f"hidden1: dx/dt = {DENDRITE.dx}, dlam/dt = {DENDRITE.dlam}; dv/dt")
    sim = ns.Simulation(net, ns.Flow.damped(), extensions=DENDRITE)
    assert f"dx/dt = ({DENDRITE.dx}) : 1" in sim.equations


def test_two_extensions_of_a_population_read_each_other() -> None:
    net, X, Y = problem()
    parts = [
        Extension("hidden1", dx="(c - x)/tau_x"),
        Extension("hidden1", lam="c/tau_lam", equations="dc/dt = (x - c)/tau_x : 1"),
    ]
    sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", extensions=parts)
    run = sim.relax(X, Y, duration=DT, start="forward")
    derived = ExtendedFlow(net, ns.Flow.damped(), parts, X, Y)
    x = {n: ns.reference.forward(net, X)[n] for n in net.neurons}
    rates = derived.rates(Extended(x, derived.at_zero().lam, derived.initial()))
    assert_array_equal(rates.x["hidden1"], (0 - x["hidden1"]) / 0.01)
    for n in net.neurons:
        assert_allclose(run.lam[n], DT * rates.lam[n], rtol=0, atol=1e-15)


def test_time_begins_at_zero() -> None:
    net, X, Y = problem()
    x, lam = random_state(net, 0, len(X))
    derived = ExtendedFlow(net, ns.Flow.damped(), [Extension("hidden1", dx="t/tau_x**2")], X, Y)
    state = Extended(x, lam, {})
    assert_array_equal(derived.rates(state).x["hidden1"], 0)
    assert_allclose(derived.rates(state, 0.5).x["hidden1"], 0.5 / 0.01**2, rtol=1e-14)


@settings(max_examples=4, deadline=None)
@given(pulse=st.floats(50, 100), duration=st.floats(0.01, 0.03))
def test_a_solution_is_an_oscillation_in_closed_form(pulse: float, duration: float) -> None:
    """x = cos(pulse t), lam = -sin(pulse t)."""
    net, X, Y = random_problem([2, 1], 0, patterns=1)
    own = Extension("output", dx=f"lam*({pulse!r}*Hz)", dlam=f"-x*({pulse!r}*Hz)")
    derived = ExtendedFlow(net, ns.Flow.damped(), [own], X, Y)
    start = Extended({"output": np.ones((1, 1))}, {"output": np.zeros((1, 1))}, {})
    end = derived.solve(start, duration)
    assert_allclose(end.x["output"], np.cos(pulse * duration), rtol=0, atol=1e-8)
    assert_allclose(end.lam["output"], -np.sin(pulse * duration), rtol=0, atol=1e-8)
