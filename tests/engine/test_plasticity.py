"""User-written learning rules: every step against a plain loop over synapses and patterns."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.engine.plasticity import SynapseRule
from neurosim.model import rules
from neurosim.model.equations.plasticity import split
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.model.weights import at_synapses, synapse_indices, synapses
from neurosim.reference.plasticity import one_step, rate
from tests.evidence.rules import best_choices, oja_errors
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, random_graph

Array = np.ndarray
BACKENDS = ["numpy", "cython", "standalone"]
FLOW = ns.Flow.augmented(rho=1, tau_x=0.01, tau_w=0.1)
ENDS = {"x", "delta", "a", "lam", "g", "mu", "sigma", "dsigma"}


def with_rule(net: Network, rule: Any, biases: Any = None) -> Network:
    """Return a network on copies of the same weights, with a rule for all of them."""
    changed = net.copy()
    projections = {}
    for name, q in net.projections.items():
        projections[name] = replace(q, plasticity=rule, weights=None, mask=None)
    changed.projections = projections
    populations = {}
    for name, p in net.populations.items():
        populations[name] = p if p.clamped else replace(p, bias_plasticity=biases)
    changed.populations = populations
    return changed


def recorded_steps(net: Network, X: Any, Y: Any, backend: str, steps: int = 4, **more: Any) -> Any:
    """Return the traces of a training, a sample per step."""
    sim = ns.Simulation(net, FLOW, dt=1e-3, backend=backend)
    names: set[str] = set()
    for q in net.projections.values():
        if q.own_rule is not None:
            names |= set(q.own_rule.own_variables)
            names |= {name for name, _ in q.own_rule.ends_read} & ENDS
    names -= {"x"}
    schedule = ns.Simultaneous(duration=steps * 1e-3, reports=1)
    log = sim.train(X, Y, schedule, record=("x", "w", *sorted(names)), **more)
    return log.run.traces


def assert_steps_are_those_of_a_loop(net: Network, X: Array, traces: Any) -> None:
    for name, q in net.projections.items():
        rule = q.own_rule
        assert rule is not None
        here = traces.projection.values == name
        post, pre = synapse_indices(net.weights[name])
        shape = net.weights[name].shape
        for number in range(traces.sizes["time"] - 1):
            now = traces.isel(time=number)

            def of_unit(variable: str, end: str, now: Any = now, q: Any = q) -> Array:
                population = q.pre if end == "pre" else q.post
                if net.populations[population].clamped:
                    return X
                return now[variable].values[:, now.population.values == population]

            state = {}
            for variable in rule.variables:
                matrix = np.zeros(shape)
                matrix[post, pre] = now[variable].values[here]
                state[variable] = matrix
            ends = {(v, end): of_unit(v, end) for v, end in rule.ends_read}
            shared = {"tau_w": 0.1, "t": float(now.time)}
            after = one_step(rule, state, ends, shared, 1e-3)
            for variable in rule.variables:
                found = traces[variable].values[number + 1][here]
                expected = after[variable][post, pre]
                np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


# --- the built-in rule as text


def nets() -> dict[str, tuple[Network, Array, Any]]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 4))
    skips = Network.mlp([4, 5, 5, 3], skips=2, loss="mse", seed=1)
    mask = rng.random((5, 4)) < 0.5
    mask[0, 0] = True
    sparse = Network(
        [ns.Population("i", 4, clamped=True), ns.Population("h", 5), ns.Population("o", 3)],
        [ns.Projection("i", "h", mask=mask), ns.Projection("h", "o")],
        [ns.Loss("o", "mse")],
    )
    cycle = Network(
        [ns.Population("i", 4, clamped=True), ns.Population("h", 5), ns.Population("o", 3)],
        [ns.Projection("i", "h"), ns.Projection("h", "h", gain=0.3), ns.Projection("h", "o")],
        [ns.Loss("o", "mse")],
    )
    Y = rng.normal(size=(6, 3))
    return {"skips": (skips, X, Y), "sparse": (sparse, X, Y), "cycle": (cycle, X, Y)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["skips", "sparse", "cycle"])
@pytest.mark.parametrize("patterns", [1, 6])
def test_the_text_of_the_built_in_rule_is_the_built_in_rule(
    kind: str, patterns: int, backend: str
) -> None:
    net, X, Y = nets()[kind]
    X, Y = X[:patterns], Y[:patterns]
    # the second has a variable of its own, so it runs as any rule does
    text = "dw/dt = delta_post*x_pre/tau_w : 1"
    same, general = rules.gradient(), Plasticity("du/dt = -u/tau_w : 1", text)
    assert same.equations == (text,)
    assert same.gradient_decay == 0
    trained = {}
    for name, rule in (("built in", None), ("same", same), ("general", general)):
        own = with_rule(net, rule, rule)
        sim = ns.Simulation(own, FLOW, dt=1e-3, backend=backend)
        schedule = ns.Presentations(
            batch=min(patterns, 3), present=0.02, plastic_from=0.5, epochs=3
        )
        sim.train(X, Y, schedule)
        trained[name] = own
    for name, w in trained["built in"].weights.items():
        assert np.array_equal(synapses(trained["same"].weights[name]), synapses(w))
        found = synapses(trained["general"].weights[name])
        np.testing.assert_allclose(found, synapses(w), rtol=1e-12, atol=1e-13)
        assert not np.array_equal(synapses(w), synapses(net.weights[name]))
    for name, b in trained["built in"].biases.items():
        np.testing.assert_allclose(trained["general"].biases[name], b, rtol=1e-12, atol=1e-13)


def test_a_decay_in_the_text_is_l2() -> None:
    net, X, Y = nets()["skips"]
    by_text = with_rule(net, rules.gradient(0.1))
    by_penalty = net.copy()
    by_penalty.projections = {n: replace(q, l2=0.1) for n, q in net.projections.items()}
    for own in (by_text, by_penalty):
        ns.Simulation(own, FLOW, dt=1e-3).train(X, Y, ns.Simultaneous(duration=0.1, reports=1))
    for name, w in by_text.weights.items():
        assert np.array_equal(w, by_penalty.weights[name])


# --- any rule


FACTORS = {
    "post": ["x_post", "delta_post", "tanh(2*x_post)", "lam_post**2", "(x_post - c)"],
    "pre": ["x_pre", "x_pre**2", "abs(x_pre)", "exp(-x_pre**2)"],
    "synapse": ["w", "u", "(1 - w**2)", "c", "tanh(w)", "u*w"],
    "mixed": ["max(x_pre - w, 0)", "sqrt(1 + (x_post*x_pre)**2)", "sign(x_pre - x_post)"],
}


@st.composite
def rule_texts(draw: st.DrawFn, kinds: tuple[str, ...]) -> str:
    """Draw a right-hand side: a sum of products of factors of these kinds."""
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        factors = [f"{draw(st.floats(-2, 2).map(lambda number: round(number, 2)))}"]
        for _ in range(draw(st.integers(1, 3))):
            factors.append(draw(st.sampled_from(FACTORS[draw(st.sampled_from(kinds))])))
        terms.append("*".join(f"({factor})" for factor in factors))
    return " + ".join(terms)


def random_rule(first: str, second: str) -> Plasticity:
    lines = [f"du/dt = ({second} - u)/tau_w : 1", f"dw/dt = 0.1*({first})/tau_w : 1"]
    text = f"{first} {second}"
    parameters = {"c": 0.3} if "c" in text.replace("exp", "") else {}
    return Plasticity(*lines, parameters=parameters)


@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
@settings(
    deadline=None,
    max_examples=some(14),
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(rule_texts(("post", "pre", "synapse")), rule_texts(("post", "pre")), SEEDS, st.booleans())
def test_what_separates_is_a_loop_over_synapses(
    first: str, second: str, seed: int, cyclic: bool
) -> None:
    rule = random_rule(first, second)
    assert split(rule).separates
    check_rule_on_a_graph(rule, seed, cyclic, "numpy")


@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
@settings(
    deadline=None,
    max_examples=some(10),
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(rule_texts(("post", "pre", "mixed")), rule_texts(("post", "mixed")), SEEDS, st.booleans())
def test_so_is_what_does_not(first: str, second: str, seed: int, cyclic: bool) -> None:
    check_rule_on_a_graph(random_rule(first, second), seed, cyclic, "numpy")


@pytest.mark.compiler
@pytest.mark.parametrize("backend", ["cython", "standalone"])
@pytest.mark.parametrize("mixed", [False, True])
def test_and_on_compiled_backends(backend: str, mixed: bool) -> None:
    first = "x_post*(x_pre - tanh(2*x_post)*w*u) + 0.5*delta_post*abs(x_pre)"
    if mixed:
        first = f"({first})*max(x_pre - w, 0.1)"
    rule = random_rule(first, "c*lam_post**2*x_pre")
    assert split(rule).separates is not mixed
    check_rule_on_a_graph(rule, 3, True, backend)


def check_rule_on_a_graph(rule: Plasticity, seed: int, cyclic: bool, backend: str) -> None:
    net, X, Y = random_graph(seed, cyclic=cyclic)
    if len(net.inputs) != 1 or any(p.term.kind != "lin" for p in net.populations.values()):
        return
    own = with_rule(net, rule)
    traces = recorded_steps(own, X, Y, backend)
    assert_steps_are_those_of_a_loop(own, np.asarray(X), traces)


@pytest.mark.parametrize("name", rules.LIBRARY)
def test_every_rule_of_the_library_steps_as_a_loop_does(name: str) -> None:
    rule = rules.LIBRARY[name]()
    if rule.gradient_decay is not None or rule.is_random:
        return  # both have tests of their own
    net = Network.mlp([4, 5, 3], loss="mse", seed=2)
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    own = with_rule(net, rule)
    more = {"modulators": dict.fromkeys(rule.modulators, 1.0)} if rule.modulators else {}
    if rule.modulators:  # the loop takes a number
        lines = [line.replace(rule.modulators[0], "1.0") for line in rule.equations]
        alone = Plasticity(*lines, parameters=rule.parameters)
        traces = recorded_steps(own, X, Y, "numpy", **more)
        assert_steps_are_those_of_a_loop(with_rule(net, alone), X, traces)
        return
    assert_steps_are_those_of_a_loop(own, X, recorded_steps(own, X, Y, "numpy"))


# --- what the library's rules are for


@pytest.mark.parametrize("seed", range(3))
def test_oja_finds_the_leading_eigenvector(seed: int) -> None:
    """`python -m tests.evidence oja` has 20 problems."""
    found = oja_errors(seed)
    assert found["angle"] < 1e-3
    assert found["norm"] < 1e-3


@pytest.mark.parametrize("seed", range(2))
def test_three_factors_learn_a_bandit(seed: int) -> None:
    """`python -m tests.evidence bandit` has 20 seeds."""
    assert best_choices(seed, modulated=True) >= 0.9
    assert best_choices(seed, modulated=False, trials=200) < 0.6


@pytest.mark.parametrize("name", ["momentum", "adam"])
def test_optimisers_are_those_of_the_textbook(name: str) -> None:
    """`adjoint` at dt = tau is backpropagation, and each presentation has one plastic step."""
    rng = np.random.default_rng(4)
    X, Y = rng.normal(size=(12, 4)), rng.normal(size=(12, 3))
    rule = rules.LIBRARY[name]()
    net = Network.mlp([4, 6, 3], loss="mse", seed=3, plasticity=rule, bias_plasticity=rule)
    by_hand = net.copy()
    tau, rate, epochs = 0.01, 0.05, 10
    flow = ns.Flow.adjoint(tau_x=tau, tau_w=tau / rate)
    sim = ns.Simulation(net, flow, dt=tau, backend="numpy")
    schedule = ns.Presentations(
        batch=3, present=5 * tau, plastic_from=0.8, epochs=epochs, shuffle=False
    )
    sim.train(X, Y, schedule)
    arrays = [*by_hand.weights.values(), *by_hand.biases.values()]
    first = [np.zeros_like(a) for a in arrays]
    second = [np.zeros_like(a) for a in arrays]
    count = 0
    for _ in range(epochs):
        for begin in range(0, 12, 3):
            rows = slice(begin, begin + 3)
            count += 1
            found = ns.reference.backprop(by_hand, X[rows], Y[rows])
            forces = [-found.grad_w[n] for n in by_hand.weights]
            forces += [-found.grad_b[n] for n in by_hand.biases]
            for a, g, m, v in zip(arrays, forces, first, second, strict=True):
                if name == "momentum":
                    m[...] = 0.9 * m + g
                    a += rate * m
                    continue
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g**2
                a += rate * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
    assert count == 40
    for own, expected in zip([*net.weights.values(), *net.biases.values()], arrays, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_a_trace_is_its_closed_form(backend: str) -> None:
    """Between jumps of the inputs, e -> p + (e - p)(1 - h/tau)^n, as steps of Euler are."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 2)), rng.normal(size=(6, 3))
    rule = Plasticity(
        "de/dt = (y_post*x_pre - e)/tau_e : 1",
        "dw/dt = 0*e/tau_w : 1",
        parameters={"tau_e": "20 ms"},
    )
    net = Network.mlp([2, 3], loss="mse", plasticity=rule)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1e-3, backend=backend)
    run = sim.stream(X, Y, per_frame="15 ms", plastic=True, record="e", every="1 ms")
    assert run.traces is not None
    expected, e = [], np.zeros((3, 2))
    for frame in range(6):
        product = np.outer(Y[frame], X[frame])
        for n in range(15):
            expected.append(product + (e - product) * (1 - 1 / 20) ** n)
        e = product + (e - product) * (1 - 1 / 20) ** 15
    found = run.traces.e.values.reshape(-1, 3, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


# --- gates, presentations, modulators, random numbers


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_a_gate_freezes_what_it_names_and_reset_starts_anew(backend: str) -> None:
    lines = "de/dt = x_pre/tau_w : 1", "df/dt = x_pre/tau_w : 1", "dw/dt = 0.1*e/tau_w : 1"
    rule = Plasticity(*lines, gated=("w", "f"), reset="e", parameters={"e": 0.5})
    net = Network.mlp([2, 3], loss="mse", plasticity=rule)
    rng = np.random.default_rng(0)
    X, Y = np.abs(rng.normal(size=(4, 2))) + 0.1, rng.normal(size=(4, 3))
    sim = ns.Simulation(net, FLOW, dt=1e-3, backend=backend)
    schedule = ns.Presentations(batch=1, present=0.01, plastic_from=0.6, epochs=1)
    traces = sim.train(X, Y, schedule, record=("e", "f", "w")).run.traces
    for name in ("w", "f"):
        moves = np.any(np.diff(traces[name].values, axis=0) != 0, axis=1)
        assert list(moves) == [number % 10 >= 6 for number in range(39)]
    e = traces.e.values
    assert np.all(np.diff(e, axis=0)[0] != 0)  # the gate is closed
    assert e[0, 0] == 0.5  # a sample is taken after rows are clamped
    for begin in (10, 20, 30):
        assert np.all(e[begin] == 0.5)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_modulators_are_numbers_arrays_and_functions(backend: str) -> None:
    rule = Plasticity("dw/dt = (reward + gate)*x_pre/tau_w : 1", modulators=("reward", "gate"))
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    rewards = rng.normal(size=8)

    def trained(gate: Any, **schedule: Any) -> Array:
        net = Network.mlp([2, 3], loss="mse", plasticity=rule)
        before = net.weights["input->output"].copy()
        sim = ns.Simulation(net, FLOW, dt=1e-3, backend=backend)
        order = ns.Presentations(batch=1, present=0.01, epochs=2, plastic_from=0, shuffle=False)
        sim.train(X, Y, order, modulators={"reward": rewards, "gate": gate})
        return net.weights["input->output"] - before

    expected = np.zeros((3, 2))
    for number in range(8):
        expected += 10 * 0.01 * rewards[number] * X[number % 4]
    np.testing.assert_allclose(trained(0), expected, rtol=1e-12)
    constant = sum(10 * 0.01 * 2.0 * X[number % 4] for number in range(8))
    np.testing.assert_allclose(trained(2.0), expected + constant, rtol=1e-12)
    slope = np.zeros(2)
    for step in range(80):
        slope += 0.01 * np.sin(step * 1e-3) * X[step // 10 % 4]
    np.testing.assert_allclose(trained(np.sin), expected + slope, rtol=1e-10)


def test_a_world_gives_modulators() -> None:
    rule = Plasticity("dw/dt = reward*x_pre/tau_w : 1", modulators="reward")
    net = Network.mlp([1, 1], loss="mse", plasticity=rule)
    before = net.weights["input->output"].copy()
    given = iter([1.0, -2.0, 4.0])
    sim = ns.Simulation(net, FLOW, dt=1e-3)

    def world(_: Array) -> Any:
        return [[1.0]], [[0.0]], {"reward": next(given)}

    sim.interact(world, frames=3, per_frame=0.01, plastic_from=0)
    moved = net.weights["input->output"] - before
    np.testing.assert_allclose(moved, 10 * 0.01 * 3.0, rtol=1e-12)
    with pytest.raises(ns.errors.DataError, match=r"the modulators {}; allowed: .*reward"):
        sim.interact(lambda _: ([[1.0]], [[0.0]]), frames=2, per_frame=0.01, plastic_from=0)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_noise_of_weights_has_its_size_and_rounding_its_mean(backend: str) -> None:
    X, Y = np.zeros((1, 100)), np.zeros((1, 100))
    size = 0.1
    rule = Plasticity("dw/dt = -w/tau_w + size*sqrt(2/tau_w)*xi : 1", parameters={"size": size})
    net = Network.mlp([100, 100], loss="mse", plasticity=rule, gain=0)
    sim = ns.Simulation(net, replace_tau(0.01), dt=1e-3, backend=backend, seed=1)
    sim.train(X, Y, ns.Simultaneous(duration=0.1, reports=1))
    # a step h/tau = 0.1 of Euler has the variance size² / (1 - h/(2 tau))
    expected = size / np.sqrt(1 - 0.05)
    assert abs(net.weights["input->output"].std() / expected - 1) < 4 / np.sqrt(2e4)
    rule = Plasticity("dw/dt = rate/tau_w : 1", parameters={"rate": 0.03}, after=rounding(0.1))
    net = Network.mlp([100, 100], loss="mse", plasticity=rule, gain=0)
    sim = ns.Simulation(net, replace_tau(1e-3), dt=1e-3, backend=backend, seed=1)
    sim.train(X, Y, ns.Simultaneous(duration=0.01, reports=1))
    w = net.weights["input->output"]
    np.testing.assert_allclose(w / 0.1, np.round(w / 0.1), atol=1e-9)
    spread = 0.1 * np.sqrt(10 * 0.3 * 0.7 / 1e4)
    assert abs(w.mean() - 10 * 0.03) < 4 * spread


def rounding(step: float) -> str:
    return f"w = {step}*floor(w/{step} + rand())"


def replace_tau(tau_w: float) -> ns.Flow:
    return ns.Flow.adjoint(tau_w=tau_w)


# --- locality


@pytest.mark.parametrize("name", rules.LIBRARY)
def test_a_synapse_moves_by_its_own_state_and_its_two_ends(name: str) -> None:
    """One step of the engine from a state, and from states with one entry changed."""
    rule = rules.LIBRARY[name]()
    net = Network.mlp([3, 4, 2], loss="mse", seed=1, plasticity=rule)
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    projection, target = "input->hidden1", (1, 2)

    def stepped(change: str) -> Array:
        own = net.copy()
        sim = ns.Simulation(own, FLOW, dt=1e-3, backend="numpy", seed=3)
        state = {n: rng_of(n).normal(size=(1, own.populations[n].size)) for n in own.neurons}
        lam = {n: 0.1 * values for n, values in state.items()}
        if change == "weight":
            own.weights[projection][target] += 1e-3
        elif change == "post":
            lam["hidden1"][0, target[0]] += 1e-3
        elif change == "far":
            lam["output"][0, 0] += 1e-3
        more = {"modulators": dict.fromkeys(rule.modulators, 1.0)} if rule.modulators else {}
        start = ns.State(state, lam)
        before = own.weights[projection].copy()
        sim.train(X, Y, ns.Simultaneous(duration=1e-3, reports=1), start=start, **more)
        return own.weights[projection] - before

    rest = stepped("")
    assert np.any(rest != 0)
    rows = np.arange(4) != target[0]
    assert np.array_equal(stepped("weight")[rows], rest[rows])
    assert np.array_equal(stepped("post")[rows], rest[rows])
    assert np.array_equal(stepped("far"), rest)


def rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, name)))


# --- going on, kept programs


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_a_training_in_parts_is_the_whole(backend: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))

    def started() -> tuple[Network, ns.Simulation]:
        net = Network.mlp([4, 5, 3], loss="mse", seed=1, plasticity="adam")
        return net, ns.Simulation(net, FLOW, dt=1e-3, backend=backend)

    whole, sim = started()
    sim.train(X, Y, ns.Simultaneous(duration=0.04, reports=2))
    _parts, sim = started()
    log = sim.train(X, Y, ns.Simultaneous(duration=0.02, reports=1))
    ns.save(log.run, tmp_path / "run.nc")
    run = ns.load(tmp_path / "run.nc")
    assert run.network.projections["input->hidden1"].plasticity == rules.adam()
    sim = ns.Simulation(run.network, FLOW, dt=1e-3, backend=backend)
    sim.train(X, Y, ns.Simultaneous(duration=0.02, reports=1), start=run)
    for name, w in whole.weights.items():
        assert np.array_equal(sim.net.weights[name], w)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_modulators_go_on_too(backend: str, tmp_path: Any) -> None:
    """From a checkpoint with a number per presentation, from a run with a function of time."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(8, 4)), rng.normal(size=(8, 3))

    def simulation() -> ns.Simulation:
        net = Network.mlp([4, 5, 3], loss="mse", seed=1, plasticity="three_factor")
        return ns.Simulation(net, FLOW, dt=1e-3, backend=backend)

    class StoppedError(Exception):
        pass

    def stop(run: Any) -> None:
        if run.steps == 160:
            raise StoppedError

    schedule = ns.Presentations(batch=2, present=0.02, plastic_from=0.5, epochs=3)
    rewards = {"reward": np.linspace(0, 1, 12)}
    whole, parts, resumed = simulation(), simulation(), simulation()
    whole.train(X, Y, schedule, modulators=rewards)
    path = tmp_path / "c.npz"
    with pytest.raises(StoppedError):
        parts.train(X, Y, schedule, modulators=rewards, checkpoint=path, visit=stop)
    resumed.train(X, Y, schedule, modulators=rewards, resume=path)
    for name, w in whole.net.weights.items():
        assert np.array_equal(resumed.net.weights[name], w)
    of_time = {"reward": lambda t: np.sin(50 * t)}
    whole, parts = simulation(), simulation()
    whole.train(X, Y, ns.Simultaneous(duration=0.1, reports=2), modulators=of_time)
    half = ns.Simultaneous(duration=0.05, reports=1)
    log = parts.train(X, Y, half, modulators=of_time)
    parts.train(X, Y, half, modulators=of_time, start=log.run)
    for name, w in whole.net.weights.items():
        assert np.array_equal(parts.net.weights[name], w)


def test_values_of_parameters_need_no_other_program() -> None:
    from neurosim.engine.plan import Plan
    from neurosim.engine.standalone.key import structure_key

    def key(rule: Any) -> Any:
        net = Network.mlp([3, 2], loss="mse", plasticity=rule)
        return structure_key(Plan(net, 2, 1e-3, learns=True))

    assert key(rules.eligibility("20 ms")) == key(rules.eligibility("50 ms"))
    assert key(rules.gradient(0.1)) == key(rules.gradient(0.2))
    assert key(rules.eligibility()) != key(rules.oja())
    below = Plasticity("dw/dt = (delta_post*x_pre - c*w)/tau_w : 1", parameters={"c": -1})
    above = Plasticity("dw/dt = (delta_post*x_pre - c*w)/tau_w : 1", parameters={"c": 1})
    assert key(below) != key(above)


def test_sparse_weights_keep_their_synapses() -> None:
    net, X, Y = nets()["sparse"]
    own = with_rule(net, rules.oja())
    traces = recorded_steps(own, X, Y, "numpy")
    assert_steps_are_those_of_a_loop(own, X, traces)
    w = own.weights["i->h"]
    assert np.array_equal(at_synapses(w, np.ones(w.shape)), np.ones(synapses(w).size))


def test_a_rule_reads_what_an_extension_declares() -> None:
    tired = ns.Extension(
        "hidden1",
        equations="dfatigue/dt = (x - fatigue)/tau_f : 1\ntau_f : second (shared)",
        parameters={"tau_f": 0.02},
    )
    rule = Plasticity("dw/dt = (1 - fatigue_post)*x_pre/tau_w : 1")
    net = Network.mlp([2, 3, 2], loss="mse", seed=1, plasticity={"input->hidden1": rule})
    X, Y = np.array([[0.5, -1.0]]), np.zeros((1, 2))
    sim = ns.Simulation(net, FLOW, dt=1e-3, extensions=tired)
    log = sim.train(X, Y, ns.Simultaneous(duration=0.02, reports=1), record=("w", "fatigue"))
    here = log.run.traces.projection.values == "input->hidden1"
    w = log.run.traces.w.values[:, here].reshape(-1, 3, 2)
    of_unit = log.run.traces.population.values == "hidden1"
    fatigue = log.run.traces.fatigue.values[:, 0, of_unit]
    assert np.abs(fatigue[-1]).max() > 1e-3
    expected = 1e-3 * (1 - fatigue)[:, :, None] * X[0] / 0.1
    np.testing.assert_allclose(np.diff(w, axis=0), expected[:-1], rtol=1e-9)
    with pytest.raises(ns.errors.ModelError, match="reads fatigue_post, which hidden1 does not"):
        ns.Simulation(net, FLOW, dt=1e-3)


# --- beside everything else a projection can have


GENERAL = Plasticity("du/dt = -u/tau_w : 1", "dw/dt = delta_post*x_pre/tau_w : 1")
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "events": ({}, {"transport": ns.Events(1e-2)}),
    "spikes": ({}, {"transport": ns.Spikes(1e-2)}),
    "random feedback": ({"feedback": "random"}, {}),
    "sign feedback": ({"feedback": "sign"}, {}),
    "mirror feedback": ({"feedback": "mirror"}, {}),
    "feedback that learns": ({"feedback": "kolen_pollack", "feedback_decay": 0.1}, {}),
    "penalties": ({"l1": 1e-2, "l2": 1e-2, "group_l1": 1e-2}, {}),
    "Dale": ({}, {"imperfections": [ns.Dale()]}),
    "low-pass": ({}, {"imperfections": [ns.LowPass("20 ms")]}),
    "delay": ({}, {"imperfections": [ns.Delay(3)]}),
    "quantised messages": ({}, {"imperfections": [ns.Quantised(4)]}),
    "exponential Euler": ({}, {"method": "exponential_euler"}),
    "semi-implicit": ({}, {"method": "semi_implicit"}),
    "no shortcuts": ({}, {"shortcuts": False}),
    "float32": ({}, {"precision": "float32"}),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_rule_goes_with_everything_that_the_built_in_one_goes_with(name: str, batch: int) -> None:
    check_beside(name, batch, "numpy")


@pytest.mark.slow
@pytest.mark.compiler
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("batch", [1, 3])
def test_and_in_programs(name: str, batch: int) -> None:
    check_beside(name, batch, "standalone")


def check_beside(name: str, batch: int, backend: str) -> None:
    of_net, of_simulation = SETTINGS[name]
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 4)), rng.normal(size=(6, 3))
    weights = []
    for rule in (None, GENERAL):
        net = Network.mlp(
            [4, 5, 3], loss="mse", seed=1, plasticity=rule, bias_plasticity=rule, **of_net
        )
        sim = ns.Simulation(net, FLOW, dt=1e-3, backend=backend, **of_simulation)
        sim.train(X, Y, ns.Presentations(batch=batch, present=0.02, plastic_from=0.5, epochs=2))
        back = {f"back {name}": B for name, B in net.feedback.items()}
        weights.append({**net.weights, **net.biases, **back})
    single = name == "float32"
    for key, w in weights[0].items():
        tolerance = 1e-4 if single else 1e-12
        np.testing.assert_allclose(weights[1][key], w, rtol=tolerance, atol=0.1 * tolerance)


@pytest.mark.parametrize("feedback", ["symmetric", "kolen_pollack"])
def test_rules_of_w_are_integrated_by_scipy_too(feedback: str) -> None:
    """Euler's error halves with the step; the reference evaluates the rule at every synapse."""
    text = "dw/dt = (delta_post*x_pre - 0.3*w**3 + 0.1*x_post*x_pre)/tau_w : 1"
    biases = Plasticity("dw/dt = (delta_post - 0.5*w)/tau_w : 1")
    net = Network.mlp(
        [3, 4, 2],
        loss="mse",
        seed=2,
        plasticity=Plasticity(text),
        bias_plasticity=biases,
        feedback=feedback,
    )
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    exact = ns.reference.solve_ivp(net, FLOW, X, Y, 0.02, plastic=True)
    errors = []
    for dt in (1e-3, 5e-4):
        own = net.copy()
        ns.Simulation(own, FLOW, dt=dt).train(X, Y, ns.Simultaneous(duration=0.02, reports=1))
        differences = [np.abs(own.weights[n] - w).max() for n, w in exact.weights.items()]
        differences += [np.abs(own.biases[n] - b).max() for n, b in exact.biases.items()]
        errors.append(max(differences))
    assert 1.85 < errors[0] / errors[1] < 2.15


def test_the_reference_refuses_rules_of_more_than_w() -> None:
    """Each reads or has one thing beside w, x, delta and parameters."""
    rules: list[Any] = [
        "momentum",
        Plasticity("du/dt = -u/tau_w : 1", "dw/dt = -w/tau_w : 1"),
        Plasticity("dw/dt = reward*x_pre/tau_w : 1", modulators="reward"),
        Plasticity("dw/dt = -w/tau_w : 1", after=rounding(0.1)),
        Plasticity("dw/dt = -w/tau_w + sqrt(2/tau_w)*xi : 1"),
        Plasticity("dw/dt = t/tau_w*x_post*x_pre/tau_w : 1"),
        Plasticity("dw/dt = dt/tau_w*x_post*x_pre/tau_w : 1"),
    ]
    for rule in rules:
        own = Network.mlp([3, 2], loss="mse", plasticity=rule)
        with pytest.raises(ns.errors.ModelError, match="no rate for the rule of input->output"):
            ns.reference.solve_ivp(own, FLOW, np.ones((1, 3)), np.ones((1, 2)), 0.01, plastic=True)
    net = Network.mlp([3, 2], loss="mse", plasticity="momentum")
    state = ns.Simulation(net, FLOW).relax(np.ones((1, 3)), np.ones((1, 2)), duration=0.01)
    with pytest.raises(ns.errors.ModelError, match="derivatives the reference does not take"):
        ns.stability(net, FLOW, np.ones((1, 3)), np.ones((1, 2)), at=state, plastic=True)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
@pytest.mark.parametrize("mixed", [False, True])
def test_weights_of_patterns_are_repetitions_under_any_rule(mixed: bool, backend: str) -> None:
    """A pattern of weight 2 counts as two, squares of messages and means of one end included."""
    first = "delta_post**2*x_pre + x_post*(x_pre - x_post*w) + 0.2*x_pre"
    if mixed:
        first = "max(x_pre - w, 0.1)*delta_post"
    rule = Plasticity("du/dt = (x_post - u)/tau_w : 1", f"dw/dt = ({first})/tau_w : 1")
    biases = Plasticity("dw/dt = x_post**2*x_pre/tau_w : 1")
    rng = np.random.default_rng(0)
    X, Y, counts = rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), np.array([1, 3, 0, 2])
    trained = []
    for repeated in (False, True):
        net = Network.mlp([3, 4, 2], loss="mse", seed=1, plasticity=rule, bias_plasticity=biases)
        engine = "numpy" if repeated else backend
        sim = ns.Simulation(net, FLOW, dt=1e-3, backend=engine)
        schedule = ns.Simultaneous(duration=0.05, reports=1)
        if repeated:
            sim.train(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0), schedule)
        else:
            sim.train(X, Y, schedule, sample_weight=counts)
        trained.append({**net.weights, **net.biases})
    for name, w in trained[0].items():
        np.testing.assert_allclose(w, trained[1][name], rtol=1e-11, atol=1e-13)


def test_a_group_has_as_many_synapses_as_there_are() -> None:
    """Also with one of them; without any, Brian2's arrays have one entry."""
    for mask, count in (([[1]], 1), ([[0, 1]], 1), ([[0, 0]], 1), ([[1, 1]], 2)):
        width = len(mask[0])
        net = ns.Network(
            [ns.Population("i", width, clamped=True), ns.Population("o", 1)],
            [ns.Projection("i", "o", mask=np.array(mask), plasticity=rules.oja())],
            [ns.Loss("o")],
        )
        rule = SynapseRule(SimpleNamespace(net=net), net.projections["i->o"].own_rule, "i->o")
        assert (rule.size, rule.sites) == (count, 1), mask


def test_the_reference_rate_of_a_rule_that_reads_no_messages() -> None:
    """Weights decay by w/tau_w, and a step of the assignments alone doubles them."""
    decay = Plasticity("dw/dt = -w/tau_w : 1")
    net = Network.mlp([3, 2], loss="mse", seed=1, plasticity=decay)
    w = net.weights["input->output"]
    messages = {"input": np.ones((4, 3)), "output": np.ones((4, 2))}
    found = rate(net, "input->output", messages, messages, 0.1)
    np.testing.assert_allclose(found, -w / 0.1, rtol=1e-15)
    doubled = one_step(Plasticity(after="w = 2*w"), {"w": w}, {}, {"tau_w": 0.1}, 1e-3)
    np.testing.assert_array_equal(doubled["w"], 2 * w)


def test_x_pre_is_one_for_biases_alone() -> None:
    rule = Plasticity("dw/dt = x_post*x_pre/tau_w : 1")
    for found, pre in ((split(rule), "x_pre"), (split(rule, of_biases=True), "")):
        (product,) = found.products
        assert (product.post, product.pre) == ("x_post", pre)
