"""What a step leaves out changes no number: unchanged values, and values that nothing reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.engine.liveness import (
    VALUES,
    direct_populations,
    live_phases,
    reads_weights_only,
)
from neurosim.engine.plan import Plan
from neurosim.engine.runtime.rest import Rest
from neurosim.engine.runtime.tracked import TrackedMessages
from neurosim.model import rules
from neurosim.model.weights import synapses
from tests.helpers.examples import some
from tests.helpers.problems import Problem, dags, random_problem, rings

TAU = 10e-3  # s
WIDTHS = [5, 7, 6, 4, 3]
DIRECT = ns.Flow.adjoint(tau_x=TAU, tau_w=10 * TAU)
MIXED = ns.Flow.adjoint(tau_x={"hidden2": 2 * TAU}, tau_w=10 * TAU)
PROOF = settings(
    max_examples=some(25), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def trained(problem: Problem, flow: ns.Flow, **options: Any) -> ns.Run:
    """Return the run of a training on batches of two patterns."""
    net, X, Y = problem
    steps = options.pop("steps", 9)
    plastic = options.pop("plastic", 1)
    record = options.pop("record", ())
    epochs = options.pop("epochs", 2)
    schedule = ns.Presentations(
        batch=min(2, len(X)),
        present=steps * TAU,
        plastic_from=(steps - plastic) / steps,
        epochs=epochs,
    )
    sim = ns.Simulation(net.copy(), flow, dt=options.pop("dt", TAU), **options)
    return sim.train(X, Y, schedule, record=record).run


def numbers(run: ns.Run) -> dict[str, np.ndarray]:
    """Return weights, biases and the state at the end."""
    net = run.network
    found = {f"w {name}": synapses(w) for name, w in net.weights.items()}
    found |= {f"b {name}": b for name, b in net.biases.items()}
    for name in net.neurons:
        found |= {f"x {name}": run.state.x[name], f"lam {name}": run.state.lam[name]}
    return found


def assert_same(one: ns.Run, other: ns.Run, atol: float) -> None:
    for key, values in numbers(one).items():
        assert_allclose(values, numbers(other)[key], rtol=0, atol=atol, err_msg=key)


def assert_equal(one: ns.Run, other: ns.Run) -> None:
    for key, values in numbers(one).items():
        assert_array_equal(values, numbers(other)[key], err_msg=key)


@PROOF
@given(
    problem=st.one_of(dags(), rings()),
    method=st.sampled_from(["euler", "semi_implicit"]),
    steps=st.integers(2, 12),
    plastic=st.integers(1, 3),
)
def test_what_is_left_out_changes_no_number(
    problem: Problem, method: str, steps: int, plastic: int
) -> None:
    given = {"method": method, "steps": steps, "plastic": min(plastic, steps)}
    plain = trained(problem, DIRECT, shortcuts=False, **given)
    assert_same(trained(problem, DIRECT, **given), plain, 1e-12)


@pytest.mark.parametrize("flow", [DIRECT, MIXED, ns.Flow.damped(tau_w=10 * TAU)])
@pytest.mark.parametrize("method", ["euler", "semi_implicit"])
def test_nor_in_compiled_programs(flow: ns.Flow, method: str) -> None:
    problem = random_problem(WIDTHS, seed=3, patterns=6, loss="cross_entropy")
    given = {"method": method, "dt": TAU if flow is not MIXED else TAU / 2}
    if flow.kappa:
        given["dt"] = TAU / 20
    plain = trained(problem, flow, backend="numpy", shortcuts=False, **given)
    assert_same(trained(problem, flow, backend="standalone", **given), plain, 1e-12)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
@pytest.mark.parametrize("patterns", [1, 6])
def test_recording_does_not_choose_the_shortcut(backend: str, patterns: int) -> None:
    problem = random_problem(WIDTHS, seed=4, patterns=6, loss="cross_entropy")
    unseen = trained(problem, DIRECT, backend=backend)
    seen = trained(problem, DIRECT, backend=backend, record=("x", "lam", "w", "delta"))
    assert_equal(seen, unseen)


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_two_halves_equal_the_whole(backend: str, tmp_path: Path) -> None:
    net, X, Y = random_problem(WIDTHS, seed=5, patterns=6, loss="cross_entropy")

    def train(net: ns.Network, epochs: int, start: Any = "zero") -> ns.Log:
        sim = ns.Simulation(net.copy(), DIRECT, dt=TAU, backend=backend)
        times = ns.Presentations(batch=2, present=9 * TAU, plastic_from=8 / 9, epochs=epochs)
        return sim.train(X, Y, times, start=start)

    ns.save(train(net, 2), tmp_path / "half.nc")
    half = ns.load(tmp_path / "half.nc").run
    assert_equal(train(half.network, 2, start=half).run, train(net, 4).run)


@pytest.mark.parametrize(("method", "steps"), [("euler", 9), ("semi_implicit", 8)])
def test_a_presentation_takes_the_products_of_backpropagation(
    method: str, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One product forward and one back per projection; the first one is kept."""
    counted: Counter[str] = Counter()
    original = TrackedMessages.__init__

    def counting(self: TrackedMessages, *given: Any) -> None:
        original(self, *given)
        names = list(self.tracker.populations)
        for number, (p, action) in enumerate(self._inputs):
            self._inputs[number] = (p, _counted(counted, f"to {names[number]}", action))
        for number, (p, action) in enumerate(self._returns):
            self._returns[number] = (p, _counted(counted, f"back to {names[number]}", action))

    monkeypatch.setattr(TrackedMessages, "__init__", counting)
    problem = random_problem(WIDTHS, seed=6, patterns=40, loss="cross_entropy")
    trained(problem, DIRECT, method=method, steps=steps, epochs=1, backend="numpy")
    forward = {f"to {name}": 20 for name in ("hidden1", "hidden2", "hidden3", "output")}
    back = {f"back to {name}": 20 for name in ("hidden1", "hidden2", "hidden3")}
    if method == "semi_implicit":  # after the last plastic step, for the state at the end
        forward = dict.fromkeys(forward, 21)
    assert counted == {**forward, **back}


def _counted(counter: Counter[str], name: str, action: Any) -> Any:
    def call() -> None:
        counter[name] += 1
        action()

    return call


def test_a_chain_is_read_from_the_arrival_of_the_wave() -> None:
    net, _, _ = random_problem(WIDTHS, seed=0)
    plan = Plan(net, 2, TAU, presentation=True, learns=True)
    layers = len(WIDTHS) - 1
    found = live_phases(plan, np.ones(layers, np.int64), 2 * layers, 2 * layers + 1)
    number = np.arange(layers)
    first = dict(zip(VALUES, found.first.T, strict=True))
    assert_array_equal(first["a"], number)
    assert_array_equal(first["x"], number)
    assert_array_equal(first["delta"], 2 * layers - number)
    assert_array_equal(first["lam"], 2 * layers - 1 - number)
    assert found.until == 2 * layers


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
@pytest.mark.parametrize("rule", [rules.adam(), rules.momentum(), rules.oja()])
def test_rules_of_messages_read_no_more_than_the_built_in_one(
    rule: ns.Plasticity, backend: str
) -> None:
    """Oja's rule reads x of its own end at every plastic step, too; the numbers are the same."""
    net = ns.Network.mlp(WIDTHS, loss="cross_entropy", plasticity=rule, seed=1)
    _, X, Y = random_problem(WIDTHS, seed=1, patterns=6, loss="cross_entropy")
    plain = trained((net, X, Y), DIRECT, shortcuts=False, backend="numpy")
    assert_same(trained((net, X, Y), DIRECT, backend=backend), plain, 1e-12)


def test_a_rule_that_reads_more_leaves_nothing_out() -> None:
    def plan(rule: ns.Plasticity) -> Plan:
        net = ns.Network.mlp(WIDTHS, plasticity=rule)
        return Plan(net, 2, TAU, presentation=True, learns=True)

    assert reads_weights_only(plan(rules.adam()))
    assert not reads_weights_only(plan(rules.oja()))
    assert not reads_weights_only(plan(rules.eligibility()))  # its trace runs on


def test_only_an_exact_step_is_direct() -> None:
    net, _, _ = random_problem(WIDTHS, seed=0)
    plan = Plan(net, 2, TAU, presentation=True, learns=True)
    gains = {"kappa": 0.0, "gamma": 1.0, "tau_x": TAU, "tau_lam": TAU}
    values = {(n, key): value for n in net.neurons for key, value in gains.items()}
    assert direct_populations(plan, values).all()
    values["hidden2", "tau_lam"] = 2 * TAU
    values["output", "kappa"] = 1e-9
    assert direct_populations(plan, values).tolist() == [1, 0, 1, 0]


def test_a_network_at_rest_is_not_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Counter[str]()
    look = Rest.look

    def counting(self: Rest, step: int) -> None:
        steps["taken"] += 1
        look(self, step)

    monkeypatch.setattr(Rest, "look", counting)
    net, X, Y = random_problem(WIDTHS, seed=7)
    flow = ns.Flow.adjoint(tau_x=TAU)
    runs = {}
    for shortcuts in (True, False):
        sim = ns.Simulation(net, flow, dt=0.5 * TAU, backend="numpy", shortcuts=shortcuts)
        runs[shortcuts] = sim.relax(X, Y, duration=1000 * TAU)
    assert steps["taken"] < 500  # of 2,000
    assert_equal(runs[True], runs[False])


def test_weights_that_learn_end_the_rest() -> None:
    problem = random_problem(WIDTHS, seed=8, patterns=4)
    given = {"dt": 0.5 * TAU, "steps": 200, "backend": "numpy"}
    plain = trained(problem, DIRECT, shortcuts=False, **given)
    assert_same(trained(problem, DIRECT, **given), plain, 1e-13)
    before = problem[0].weights
    assert any(np.abs(plain.network.weights[name] - w).max() > 1e-3 for name, w in before.items())


def test_the_state_steps_by_its_old_value_unless_direct() -> None:
    """Of two time constants only one is dt; the other population relaxes by halves."""
    problem = random_problem(WIDTHS, seed=9, patterns=6, loss="cross_entropy")
    plain = trained(problem, MIXED, shortcuts=False, backend="numpy")
    assert_same(trained(problem, MIXED, backend="numpy"), plain, 1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "what no plastic step reads is left out"),
        ({"dt": TAU / 2}, "what has not changed is kept"),
        ({"record": "x"}, "what has not changed is kept"),
        ({"shortcuts": False}, "none: switched off"),
        ({"transport": ns.Events(0.01)}, "no more with events"),
        (
            {"method": "rk4", "imperfections": [ns.Derivative("box")]},
            "no more with method rk4, imperfections",
        ),
    ],
)
def test_a_run_says_which_shortcuts_it_took(options: dict[str, Any], said: str) -> None:
    problem = random_problem(WIDTHS, seed=9, patterns=6, loss="cross_entropy")
    text = trained(problem, DIRECT, backend="numpy", **options).settings["shortcuts"]
    assert said in text
