"""Live simulations: against relaxations and trainings in pieces, replays, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.errors import DataError, DivergenceError, ModelError
from neurosim.simulation.live import Live
from tests.helpers.examples import some
from tests.helpers.problems import random_problem

Array = np.ndarray
DT = 5e-4  # s
WIDTHS = [3, 4, 2]
ROWS = 5


# --- the same actions on plain runs, one after the other


class Pieces:
    """A live session in pieces: `relax` and `train`, each from the end of the last one.

    Clamped units are those of an `Extension` that multiplies their rates by 0, so that this shares
    nothing with how the engine holds them.
    """

    def __init__(self, net: ns.Network, flow: ns.Flow, X: Array, Y: dict[str, Array]) -> None:
        self.net, self.flow, self.X, self.Y = net.copy(), flow, X, Y
        self.rows = [0, 1]
        self.run_so_far: Any = ns.State(
            {n: np.zeros((2, net.populations[n].size)) for n in net.neurons},
            {n: np.zeros((2, net.populations[n].size)) for n in net.neurons},
        )
        self.held: dict[str, set[int]] = {}
        self.moves = False

    def run(self, duration: float) -> None:
        sim = ns.Simulation(
            self.net, self.flow, dt=DT, backend="numpy", extensions=self._extensions()
        )
        X, Y = self.X[self.rows], {n: y[self.rows] for n, y in self.Y.items()}
        if self.moves:
            schedule = ns.Simultaneous(duration=duration)
            self.run_so_far = sim.train(X, Y, schedule, start=self.run_so_far).run
        else:
            self.run_so_far = sim.relax(X, Y, duration=duration, start=self.run_so_far)

    def set(self, key: str, value: float) -> None:
        self.flow = replace(self.flow, **{key.removeprefix("flow."): value})

    def show(self, pattern: list[int]) -> None:
        self.rows = pattern

    def kick(self, x: float, lam: float, units: dict[str, list[int]], seed: int) -> None:
        rng = np.random.default_rng(seed)
        found = []
        for size, values in ((x, self.run_so_far.x), (lam, self.run_so_far.lam)):
            new = {n: array.copy() for n, array in values.items()}
            for n in self.net.neurons:
                draws = rng.normal(size=(2, len(units[n]))) if n in units else np.empty((2, 0))
                for k, unit in enumerate(units.get(n, ())):
                    if unit not in self.held.get(n, ()):
                        new[n][:, unit] += size * draws[:, k]
            found.append(new)
        self.run_so_far = replace(self.run_so_far, x=found[0], lam=found[1])

    def clamp(self, units: dict[str, list[int]], x: float | None = None) -> None:
        new = {n: array.copy() for n, array in self.run_so_far.x.items()}
        for n, indices in units.items():
            self.held.setdefault(n, set()).update(indices)
            if x is not None:
                new[n][:, indices] = x
        self.run_so_far = replace(self.run_so_far, x=new)

    def release(self) -> None:
        self.held = {}

    def plastic(self, on: bool) -> None:
        self.moves = on

    def _extensions(self) -> list[ns.Extension]:
        found = []
        for n, indices in self.held.items():
            free = np.ones((2, self.net.populations[n].size))
            free[:, sorted(indices)] = 0.0
            found.append(
                ns.Extension(
                    n,
                    dx="free*((-kappa*dL_dx - gamma*g)/tau_x)",
                    dlam="free*((kappa*g - gamma*dL_dx)/tau_lam)",
                    equations="free : 1",
                    parameters={"free": free},
                )
            )
        return found


UNITS = st.sampled_from([{"hidden1": [0]}, {"hidden1": [1, 3], "output": [0]}, {"output": [1]}])
SIZES = st.floats(0, 0.3)
ACTIONS = st.one_of(
    st.integers(1, 20).map(lambda steps: ("run", {"duration": steps * DT})),
    st.tuples(st.sampled_from(["flow.rho", "flow.gamma", "flow.kappa"]), st.floats(0.25, 2)).map(
        lambda pair: ("set", {"key": pair[0], "value": pair[1]})
    ),
    st.tuples(
        st.sampled_from(["flow.tau_x", "flow.tau_lam", "flow.tau_w"]), st.floats(8e-3, 3e-2)
    ).map(lambda pair: ("set", {"key": pair[0], "value": pair[1]})),
    st.lists(st.integers(0, ROWS - 1), min_size=2, max_size=2).map(
        lambda rows: ("show", {"pattern": rows})
    ),
    st.tuples(SIZES, SIZES, UNITS, st.integers(0, 99)).map(
        lambda k: ("kick", {"x": k[0], "lam": k[1], "units": k[2], "seed": k[3]})
    ),
    st.tuples(UNITS, st.one_of(st.none(), st.floats(-1, 1))).map(
        lambda c: ("clamp", {"units": c[0], "x": c[1]})
    ),
    st.just(("release", {})),
    st.booleans().map(lambda on: ("plastic", {"on": on})),
)


def _opened(seed: int = 0) -> tuple[Live, Pieces]:
    net, X, Y = random_problem(WIDTHS, seed, patterns=ROWS, gain=0.8)
    flow = ns.Flow(kappa=1.0, gamma=0.5, rho=1.0)
    sim = ns.Simulation(net, flow, dt=DT, backend="numpy")
    return sim.live(X, Y, patterns=[0, 1]), Pieces(net, flow, X, Y)


def _same(live: Live, other: Any, atol: float) -> None:
    for variable in ("x", "lam"):
        for n, values in getattr(live, variable).items():
            expected = getattr(other, variable)[n]
            assert_allclose(values, expected, rtol=0, atol=atol, err_msg=f"{variable} of {n}")


def _repeated(live: Live, actions: Any) -> Live:
    for action in actions:
        getattr(live, action.name)(**action.arguments)
    return live


# each example builds a simulation per run: shrinking would take minutes
@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(actions=st.lists(ACTIONS, min_size=10, max_size=10), seed=st.integers(0, 99))
def test_a_session_equals_plain_runs_in_pieces(actions: list[Any], seed: int) -> None:
    live, pieces = _opened(seed)
    for name, arguments in [("run", {"duration": 3 * DT}), *actions, ("run", {"duration": DT})]:
        getattr(live, name)(**arguments)
        getattr(pieces, name)(**arguments)
    _same(live, pieces.run_so_far, 1e-12)
    for name, w in live.weights.items():
        assert_allclose(w, pieces.net.weights[name], rtol=0, atol=1e-12, err_msg=name)


def _random_actions(count: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Return random sets, kicks, clamps and shows, with runs in between."""
    rng = np.random.default_rng(seed)
    found: list[tuple[str, dict[str, Any]]] = []
    for _ in range(count):
        found.append(("run", {"duration": int(rng.integers(1, 8)) * DT}))
        units = {"hidden1": [int(rng.integers(4))]}
        kind = rng.integers(6)
        if kind == 0:
            found.append(("set", {"key": "flow.rho", "value": float(rng.uniform(0.25, 2))}))
        elif kind == 1:
            found.append(("set", {"key": "flow.tau_x", "value": float(rng.uniform(8e-3, 3e-2))}))
        elif kind == 2:
            found.append(("show", {"pattern": rng.integers(ROWS, size=2).tolist()}))
        elif kind == 3:
            kick = {"x": 0.2, "lam": 0.1, "units": units, "seed": int(rng.integers(99))}
            found.append(("kick", kick))
        elif kind == 4:
            found.append(("clamp", {"units": units, "x": float(rng.uniform(-1, 1))}))
        else:
            found.append(("release", {}))
    return found


@pytest.mark.slow
def test_a_hundred_actions_equal_plain_runs_in_pieces() -> None:
    """A hundred where all examples are asked for; else the first third of them."""
    live, pieces = _opened()
    for name, arguments in [*_random_actions(some(100), 0), ("run", {"duration": DT})]:
        getattr(live, name)(**arguments)
        getattr(pieces, name)(**arguments)
    _same(live, pieces.run_so_far, 1e-12)


@pytest.mark.parametrize("count", [30, pytest.param(100, marks=pytest.mark.slow)])
def test_actions_repeated_from_the_journal_give_the_same_numbers(count: int) -> None:
    live, _ = _opened()
    for name, arguments in _random_actions(count, 1):
        getattr(live, name)(**arguments)
    again = _repeated(_opened()[0], live.journal)
    _same(live, again, 0.0)
    assert again.time == live.time
    assert again.journal == live.journal


# --- choices of other kinds, each against a relaxation in two pieces

CHOICES: dict[str, tuple[dict[str, Any], str, float, dict[str, Any]]] = {
    "a threshold of events": (
        {"transport": ns.Events(theta=0.05), "dt": 1e-3},
        "simulation.transport.theta",
        0.02,
        {"transport": ns.Events(theta=0.02), "dt": 1e-3},
    ),
    "the floor of an adaptive threshold": (
        {"transport": ns.Events(theta="adaptive"), "dt": 1e-3},
        "simulation.transport.theta.floor",
        1e-3,
        {"transport": ns.Events(theta=ns.Adaptive(floor=1e-3)), "dt": 1e-3},
    ),
    "noise of the state": (
        {"imperfections": [ns.StateNoise(0.1)]},
        "simulation.imperfections.0.sd",
        0.3,
        {"imperfections": [ns.StateNoise(0.3)]},
    ),
    "noise of messages": (
        {"imperfections": [ns.MessageNoise(0.1)]},
        "simulation.imperfections.0.sd",
        0.02,
        {"imperfections": [ns.MessageNoise(0.02)]},
    ),
    "a parameter of an extension": (
        {
            "extensions": ns.Extension(
                "hidden1", x="I/tau_x", equations="I : 1 (shared)", parameters={"I": 0.1}
            )
        },
        "extension.0.parameters.I",
        -0.2,
        {
            "extensions": ns.Extension(
                "hidden1", x="I/tau_x", equations="I : 1 (shared)", parameters={"I": -0.2}
            )
        },
    ),
    "the step, semi-implicit": (
        {"method": "semi_implicit"},
        "simulation.dt",
        2e-3,
        {"method": "semi_implicit", "dt": 2e-3},
    ),
    "a gain under rk4": ({"method": "rk4"}, "flow.rho", 3.0, {"method": "rk4"}),
    "theta": ({}, "flow.theta", 0.7, {}),
    "the weight of the loss": ({}, "network.losses.0.weight", 2.0, {}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_any_number_can_be_set_at_once(name: str) -> None:
    before, key, value, after = CHOICES[name]
    net, X, Y = random_problem(WIDTHS, 4)
    flow = ns.Flow(kappa=0.8, gamma=0.6, rho=1.0)
    first = ns.Simulation(net, flow, backend="numpy", seed=5, **before)
    live = first.live(X, Y)
    live.run("20 ms")
    live.set(key, value)
    assert live.numbers[key] == pytest.approx(value)
    live.run("30 ms")
    if key == "flow.rho":
        flow = replace(flow, rho=value)
    if key == "flow.theta":
        flow = replace(flow, kappa=np.cos(value), gamma=np.sin(value))
    if key == "network.losses.0.weight":
        net = net.sharing(losses={"output": replace(net.losses["output"], weight=value)})
    second = ns.Simulation(net, flow, backend="numpy", seed=5, **after)
    run = second.relax(X, Y, duration="30 ms", start=first.relax(X, Y, duration="20 ms"))
    _same(live, run, 1e-12)


@pytest.mark.parametrize("key", ["network.epsilon", "network.populations.1.epsilon"])
def test_epsilon_and_penalties_are_set_without_another_session(key: str) -> None:
    net = ns.Network.mlp(WIDTHS, loss="mse", constraint="tube", epsilon=0.05, l1=1e-3)
    live = ns.Simulation(net, ns.Flow.augmented(rho=2)).live(np.eye(3), np.zeros((3, 2)))
    session = live._session
    live.set(key, 0.1)
    live.set("network.l1", 2e-3)
    assert live._session is session
    assert live.network.populations["hidden1"].epsilon == 0.1
    assert live.network.projections["input->hidden1"].l1 == 2e-3


def test_a_held_unit_keeps_its_value_to_the_last_bit_under_every_method() -> None:
    net, X, Y = random_problem(WIDTHS, 1)
    for method in ("euler", "semi_implicit", "exponential_euler", "heun", "rk4"):
        flow = ns.Flow(kappa=0.7, gamma=0.7, rho=0.5)
        live = ns.Simulation(net, flow, method=method).live(X, Y)
        live.run("5 ms")
        live.clamp({"hidden1": [2]}, x=0.3)
        lam = live.lam["hidden1"][:, 2]
        live.run("20 ms")
        assert (live.x["hidden1"][:, 2] == 0.3).all(), method
        assert_array_equal(live.lam["hidden1"][:, 2], lam, method)
        assert live.held == {"hidden1": [2]}
        live.release({"hidden1": [2]})
        live.run("5 ms")
        assert (live.x["hidden1"][:, 2] != 0.3).all(), method


# --- time, samples, going back


def test_numbers_do_not_depend_on_how_a_run_is_divided() -> None:
    net, X, Y = random_problem([20, 6, 2], 2, patterns=1)
    one, other = (ns.Simulation(net, ns.Flow.damped()).live(X, Y, plastic=True) for _ in range(2))
    one.run("40 ms")
    for steps in (1, 7, 12, 20):
        other.run(steps * 1e-3)
    _same(one, other, 0.0)
    for name, w in one.weights.items():
        assert_array_equal(w, other.weights[name])
    assert [str(action) for action in other.journal] == ["run(duration=0.04)"]
    assert_array_equal(one.traces().x, other.traces().x)


def test_samples_are_those_of_a_plain_run_and_are_bounded() -> None:
    net, X, Y = random_problem(WIDTHS, 3)
    sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy")
    live = sim.live(X, Y, record=("x", "g"), every="2 ms", keep=12)
    for _ in range(5):
        live.run("7 ms")
    run = sim.relax(X, Y, duration="35 ms", record=("x", "g"), every="2 ms")
    found = live.traces()
    assert found is not None
    assert found.sizes["time"] == 12
    assert_allclose(found.time, run.traces.time[-12:], rtol=0, atol=1e-15)
    for variable in ("x", "g"):
        assert_allclose(found[variable], run.traces[variable][-12:], rtol=0, atol=1e-14)
    recent = live.traces(last="10 ms")
    assert recent is not None
    assert recent.time.values.min() >= live.time - 0.01
    assert live.traces("1 s").sizes["time"] == 12


def test_rewind_goes_back_to_the_state_and_the_choices_of_then() -> None:
    live, _ = _opened()
    live.run("150 ms")
    live.set("flow.rho", 1.5)
    live.run("13 ms")
    live.kick(x=0.3)
    live.run("20 ms")
    then, journal = (live.x, live.lam, live.time), live.journal
    live.run("5 ms")
    live.plastic(True)
    live.set("flow.rho", 0.3)
    live.clamp({"hidden1": [1]}, x=0.9)
    live.show([3, 4])
    live.run("30 ms")
    live.rewind("35 ms")
    assert live.time == pytest.approx(then[2], abs=1e-12)
    _same(live, ns.State(then[0], then[1]), 0.0)
    assert live.journal == journal
    assert live.flow.rho == 1.5
    assert (live.is_plastic, live.held, live.patterns) == (False, {}, (0, 1))
    times = live.traces().time.values
    assert times[-1] < live.time
    assert (np.diff(times) > 0).all()
    with pytest.raises(ModelError, match=r"duration = '9 s'; allowed: a time up to"):
        live.rewind("9 s")


def test_reset_keeps_the_choices_alone() -> None:
    live, _ = _opened()
    weights = live.weights
    live.set("flow.theta", 0.0)
    live.set("flow.kappa", 0.5)
    live.set("flow.gamma", 0.2)
    live.set("flow.kappa", 0)
    live.plastic(True)
    live.show([2, 3])
    live.clamp({"hidden1": [0]}, x=0.1)
    live.run("50 ms")
    live.reset()
    assert (live.time, live.steps, live.held) == (0.0, 0, {})
    assert live.flow.kappa == 0
    for name, w in live.weights.items():
        assert_array_equal(w, weights[name])
    live.run("30 ms")
    again = _repeated(_opened()[0], live.journal)
    _same(live, again, 0.0)
    assert again.is_plastic
    assert again.patterns == (2, 3)


def test_another_step_goes_on_from_its_next_multiple() -> None:
    live, _ = _opened()
    live.run(7 * DT)
    live.set("simulation.dt", "2 ms")
    assert live.time == pytest.approx(4e-3)
    live.run("4 ms")
    assert live.time == pytest.approx(8e-3)
    assert live.traces().time.values[-1] == pytest.approx(6e-3)


def test_the_simulation_and_its_network_stay_as_they_are() -> None:
    net, X, Y = random_problem(WIDTHS, 3)
    before = net.copy()
    sim = ns.Simulation(net, ns.Flow.augmented())
    live = sim.live(X, Y, plastic=True)
    live.set("flow.rho", 3)
    live.run("50 ms")
    assert sim.flow.rho == 1
    for name, w in net.weights.items():
        assert_array_equal(w, before.weights[name])
        assert np.abs(live.weights[name] - w).max() > 0
    run = live.as_run()
    assert run.time == pytest.approx(0.05)
    relaxed = live.simulation.relax(X, Y, duration="1 ms", start=run)
    assert relaxed.steps == 1


def test_a_state_at_rest_stays_at_the_saddle_point() -> None:
    net, X, Y = random_problem(WIDTHS, 6)
    live = ns.Simulation(net, ns.Flow.augmented(rho=2)).live(X, Y)
    live.run("1 s")
    live.set("flow.rho", 4)
    live.run("200 ms")
    exact = ns.reference.backprop(net, X, Y)
    for n, lam in exact.lam.items():
        assert_allclose(live.lam[n], lam, rtol=0, atol=1e-8)


# --- divergence and refusals


def test_a_divergence_says_why_and_can_be_undone() -> None:
    net, X, Y = random_problem(WIDTHS, 3)
    live = ns.Simulation(net, ns.Flow.augmented(), dt="2 ms").live(X, Y)
    live.run("400 ms")
    before = live.x
    live.set("flow.tau_x", 1e-4)
    with pytest.raises(DivergenceError, match=r"diverged at t = 0\.4.*hidden1|output.*rewind") as e:
        live.run("100 ms")
    assert e.value.time == live.time
    with pytest.raises(ModelError, match=r"nothing goes on from here.*rewind and reset"):
        live.run("4 ms")
    live.rewind(live.time - 0.4)
    _same(live, ns.State(before, live.lam), 0.0)
    assert live.flow.tau_x == 1e-2
    live.run("10 ms")


REFUSED: dict[str, tuple[str, tuple[Any, ...], type[Exception], str]] = {
    "an unknown key": ("set", ("flow.roh", 1), ModelError, "did you mean 'flow.rho'"),
    "a negative gain": ("set", ("flow.rho", -1), ModelError, r"flow.rho = -1.*allowed"),
    "text for a gain": ("set", ("flow.rho", "x = 1"), ModelError, r"flow.rho = 'x = 1'"),
    "nan": ("set", ("flow.rho", float("nan")), ModelError, "flow.rho = nan"),
    "no time": ("set", ("flow.tau_x", 0), ModelError, "flow.tau_x = 0"),
    "an angle": ("set", ("flow.theta", 2.0), ModelError, "0 to pi/2"),
    "a penalty": ("set", ("network.l1", -1), ModelError, "l1"),
    "a row": ("show", (7,), DataError, "allowed: a whole number >= 0 and <= 4"),
    "too many rows": ("show", ([0, 1, 2],), DataError, "has 3 rows; allowed: 2"),
    "a unit": ("clamp", ({"hidden1": 9},), DataError, "unit of hidden1 = 9"),
    "an input": ("clamp", ({"input": 0},), DataError, "allowed: hidden1, output"),
    "a value": ("clamp", ({"hidden1": 0}, float("inf")), ModelError, "x = inf"),
    "a kick": ("kick", (-1.0,), ModelError, "x = -1.0; allowed: a finite number >= 0"),
    "a place": ("place", ({"hidden1": {0: float("nan")}},), ModelError, "x of unit 0 of hidden1"),
    "a duration": ("run", ("-1 ms",), ModelError, "duration = '-1 ms'"),
    "no step": ("run", (0,), ModelError, "duration = 0"),
    "a switch": ("plastic", (2,), ModelError, "on = 2; allowed: True or False"),
}


@pytest.fixture(scope="module")
def moved() -> Live:
    live, _ = _opened()
    live.run("5 ms")
    return live


@pytest.mark.parametrize("name", REFUSED)
def test_bad_values_are_refused_before_anything_changes(moved: Live, name: str) -> None:
    method, arguments, error, words = REFUSED[name]
    before = copy.deepcopy((moved.x, moved.lam, moved.numbers, moved.held, moved.patterns))
    journal = moved.journal
    with pytest.raises(error, match=words):
        getattr(moved, method)(*arguments)
    after = moved.x, moved.lam, moved.numbers, moved.held, moved.patterns
    for one, other in zip(before, after, strict=True):
        np.testing.assert_equal(other, one)
    assert moved.journal == journal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "standalone"}, "a compiled program cannot stay open"),
        ({"prospective": True}, "clamp.*prospective"),
    ],
)
def test_what_a_live_simulation_cannot_do_is_refused(arguments: Any, words: str) -> None:
    net, X, Y = random_problem(WIDTHS, 3)
    sim = ns.Simulation(net, ns.Flow.adjoint(), **arguments)
    with pytest.raises(ModelError, match=words):
        sim.live(X, Y).clamp({"hidden1": 0})


def test_learning_between_the_rows_of_a_log_is_refused() -> None:
    net = ns.Network.mlp(WIDTHS, loss="mse", feedback="mirror")
    sim = ns.Simulation(net, ns.Flow.adjoint())
    with pytest.raises(ModelError, match="feedback of hidden1->output = 'mirror'"):
        sim.live(np.eye(3), np.zeros((3, 2)), plastic=True)


def test_other_rows_are_clamped_at_the_present_time() -> None:
    """The clock of an adaptive threshold starts anew, as it does in `relax(start=run)`."""
    net, X, Y = random_problem(WIDTHS, 5, patterns=2)
    events = ns.Events(theta="adaptive")
    sim = ns.Simulation(net, ns.Flow.augmented(), transport=events, backend="numpy")
    live = sim.live(X, Y, patterns=[0])
    live.run("40 ms")
    live.show(1)
    live.run("15 ms")
    first = sim.relax(X[:1], {n: y[:1] for n, y in Y.items()}, duration="40 ms")
    second = sim.relax(X[1:], {n: y[1:] for n, y in Y.items()}, duration="15 ms", start=first)
    _same(live, second, 1e-12)
