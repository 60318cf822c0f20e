"""Give odd values to every public function, and list what raises another error than neurosim's.

Start at `trial`. `entries` lists the functions with arguments that they accept; in each call one of
these is replaced by an odd value.
"""

from __future__ import annotations

import io
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import neurosim.engine.quiet  # before Brian2, which takes over the process otherwise

import brian2
import numpy as np
import xarray as xr

import neurosim as ns
from neurosim import plot
from neurosim.simulation.live import Live
from tests.helpers import pictured

LONGEST = 20  # seconds of one call


class Mute:
    """An object whose text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


# made anew for every call, since iterators are used up
ODD: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "0": lambda: 0,
    "3": lambda: 3,
    "-1": lambda: -1,
    "10**30": lambda: 10**30,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "1e300": lambda: 1e300,
    "1j": lambda: 1j,
    "Decimal": lambda: Decimal("0.5"),
    "np.int64(1)": lambda: np.int64(1),
    "text": lambda: "text",
    "empty text": lambda: "",
    "text with NUL": lambda: "a\0b",
    "bytes": lambda: b"x",
    "[]": lambda: [],
    "[1, 2]": lambda: [1, 2],
    "[None]": lambda: [None],
    "['a']": lambda: ["a"],
    "[[1], [2, 3]]": lambda: [[1], [2, 3]],
    "{}": dict,
    "{'a': 1}": lambda: {"a": 1},
    "{'hidden1': 'a'}": lambda: {"hidden1": "a"},
    "{1: None}": lambda: {1: None},
    "{'hidden1': [9.5]}": lambda: {"hidden1": [9.5]},
    "set": lambda: {1},
    "object": object,
    "mute": Mute,
    "function": lambda: len,
    "class": lambda: int,
    "generator": lambda: (i for i in range(3)),
    "array": lambda: np.ones((2, 3)),
    "array of NaN": lambda: np.full((4, 5), np.nan),
    "array of objects": lambda: np.array([object(), None]),
    "array of text": lambda: np.array(["a", "b"]),
    "masked array": lambda: np.ma.array(np.ones((4, 5)), mask=np.eye(4, 5)),
    "complex array": lambda: np.full((4, 5), 1j),
    "quantity": lambda: brian2.Quantity(np.ones((4, 5)), brian2.volt.dim),
    "read-only array": lambda: np.broadcast_to(1.0, (4, 5)),
    "big-endian array": lambda: np.ones((4, 5), ">f8"),
    "strided array": lambda: np.ones((8, 10))[::2, ::-2],
    "one row": lambda: np.ones((1, 5)),
    "half precision": lambda: np.ones((4, 5), np.float16),
    "long doubles": lambda: np.ones((4, 5), np.longdouble),
    "unsigned": lambda: np.ones(4, np.uint8),
    "records": lambda: np.ones((4, 5)).astype([("a", float)]),
    "dates": lambda: np.ones(4, "M8[D]"),
    "empty array": lambda: np.zeros((0, 5)),
    "0-d array": lambda: np.array(1.0),
    "dataset": xr.Dataset,
    "path": lambda: Path("nowhere/at/all"),
    "network": lambda: things().net,
    "run": lambda: things().run,
    "log": lambda: things().log,
    "flow": lambda: things().flow,
}


# arguments that take a function: what it raises passes through, so that none is given
CALLBACKS = ("watch", "visit", "score", "world", "method", "over", "measure", "factory")
FUNCTIONS = ("function", "class")
HUGE = ("10**30", "1e300")  # of work, such as epochs: a call that goes on is no fault


@dataclass(frozen=True)
class Things:
    """Results of every kind, of small networks."""

    net: ns.Network
    flow: ns.Flow
    X: Any
    Y: Any
    run: ns.Run
    events: ns.Run
    learning: ns.Run
    log: ns.Log
    resized: ns.Log
    angles: ns.Log
    on_sites: ns.Run
    on_graph: ns.Run
    sweep: xr.Dataset
    branch: ns.Branch
    support: ns.Support
    stability: ns.Stability
    card: ns.Plausibility
    adjoint: Any


@dataclass(frozen=True)
class Entry:
    """A public function and arguments that it accepts.

    All that it has are replaced in turn, but for those `without`.
    """

    name: str
    call: Callable[..., Any]
    given: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def parameters(self) -> list[str]:
        """Return the names of its arguments."""
        several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        found = signature(self.call).parameters.values()
        names = [p.name for p in found if p.kind not in several]
        return [name for name in names if name not in self.without]


def simulation(**options: Any) -> ns.Simulation:
    """Return a simulation of a small network, which is made anew."""
    net = ns.Network.mlp([5, 4, 3], seed=0)
    return ns.Simulation(net, ns.Flow.augmented(1.0), backend="numpy", **options)


@cache
def things() -> Things:
    """Return results of every kind."""
    X = np.random.default_rng(0).normal(size=(4, 5))
    Y = np.arange(4) % 3
    brief = ns.Simultaneous(duration=0.02, reports=2)
    sim = simulation()
    net, flow = sim.net.copy(), sim.flow
    run = sim.relax(X, Y, duration=0.02, record=("x", "lam", "g", "a", "delta"))
    events = simulation(transport="events").relax(
        X, Y, duration=0.02, record=("x", "lam", "events_x", "events_delta")
    )
    log = simulation().train(X, Y, brief, record=("x", "w"))
    resized = simulation().train(X, Y, ns.Pruning(schedule=brief))
    mirrored = ns.Network.mlp([5, 4, 3], seed=0, feedback="kolen_pollack")
    angles = ns.Simulation(mirrored, flow, backend="numpy").train(X, Y, brief)
    return Things(
        net=net,
        flow=flow,
        X=X,
        Y=Y,
        run=run,
        events=events,
        learning=log.run,
        log=log,
        resized=resized,
        angles=angles,
        on_sites=pictured.relaxed_on_sites(pictured.convolutional("one")),
        on_graph=pictured.relaxed_on_sites(pictured.graph_net("one")),
        sweep=swept(),
        branch=ns.continuation(net, flow, X, Y, over="flow.rho", start=1.0, stop=2.0, points=3),
        support=ns.support_neurons(run),
        stability=ns.stability(net, flow, X, Y),
        card=ns.Plausibility(1, 1, 2, 1, 1, {"a": 0.5}, 2, 0.9, 0.8, {"random": 0.7}, {}, {}),
        adjoint=ns.reference.backprop(net, X, Y),
    )


def swept() -> xr.Dataset:
    """Return a sweep over three parameters, with a measure and outcomes."""
    shape = (4, 3, 2)
    values = np.arange(24.0).reshape(shape)
    dims = ("flow.theta", "network.gain", "network.seed")
    return xr.Dataset(
        {
            "settle_time": (dims, values),
            "growth": (dims, values - 10),
            "outcome": (dims, np.where(values < 12, "settled", "ringing")),
            "reason": (dims, np.full(shape, "")),
        },
        {
            "flow.theta": np.linspace(0.2, 1.4, 4),
            "network.gain": [0.5, 1.0, 1.5],
            "network.seed": [0, 1],
        },
    )


# what pictures need beside `ax`, by the name of the argument
def plots() -> Iterator[Entry]:
    """Return every function of `neurosim.plot`."""
    known = things()
    by_name: dict[str, dict[str, Any]] = {
        "phase_portrait": {"population": "hidden1"},
        "conditions": {"population": "hidden1"},
        "support_map": {"population": "hidden1"},
        "weights": {"run": known.learning, "projection": "input->hidden1"},
        "multipliers": {"found": known.support},
        "branch": {"found": known.branch},
        "bifurcation": {"found": known.branch},
        "plausibility": {"found": known.card},
        "events": {"run": known.events},
        "events_over_traces": {"run": known.events},
        "operations": {"run": known.events},
        "feedback_angles": {"log": known.angles},
        "before_and_after": {"before": known.net, "after": known.net},
        "cost": {"runs": [known.run, known.events]},
        "summary": {"result": known.run},
        "quick": {"result": known.run},
        "feature_maps": {"run": known.on_sites},
        "kernels": {"net": known.on_sites.network, "projection": "input->hidden1"},
        "graph_nodes": {"run": known.on_graph},
    }
    by_name["support_map"]["found"] = known.support
    usual = {
        "run": known.run,
        "log": known.resized,
        "net": known.net,
        "spec": known.stability,
        "data": known.sweep,
    }
    for name in plot.__all__:
        function = getattr(plot, name)
        if not callable(function):
            continue
        own = by_name.get(name, {})
        needed = {n: v for n, v in usual.items() if n in signature(function).parameters}
        given = {**needed, **own}
        if name == "network":
            given.pop("run")
        yield Entry(f"plot.{name}", function, given)


def functions() -> Iterator[Entry]:
    """Return the functions of `neurosim.__all__`, of `reference` and of `rivals`."""
    known = things()
    net, flow, data = known.net, known.flow, {"X": known.X, "Y": known.Y}
    model = {"net": net, "flow": flow, **data}
    sim = simulation()
    yield Entry("alignment", ns.alignment, {"run": known.run, "ref": known.adjoint})
    yield Entry("at_rest", ns.at_rest, {"simulation": sim, "run": known.run, "most_steps": 20})
    yield Entry("attractors", ns.attractors, {"branch": known.branch, "values": []})
    over = {"over": "flow.rho", "start": 1.0, "stop": 2.0, "points": 2}
    yield Entry("continuation", ns.continuation, model | over)
    yield Entry("critical_rho", ns.critical_rho, model)
    yield Entry("grow", ns.grow, {"net": net, "units": {"hidden1": [1]}})
    yield Entry("kkt", ns.kkt, {"run": known.run})
    yield Entry("limit_cycle", ns.limit_cycle, {"branch": known.branch, "parameter": 99.0})
    yield Entry("load", ns.load, {"path": "nowhere.nc"})
    held = {"test": (known.X, known.Y), "levels": {}, "backend": "numpy", "dt": "10 ms"}
    brief = ns.Presentations(batch=4, present=0.02, epochs=1)
    scored = {**model, **held, "flow": ns.Flow.adjoint(), "schedule": brief}
    # targets that are not classes end it before it trains
    yield Entry("plausibility", ns.plausibility, scored | {"test": (known.X, known.X)})
    yield Entry("prune", ns.prune, {"net": net})
    yield Entry("save", ns.save, {"result": known.run, "path": temporary("run.nc")})
    yield Entry("stability", ns.stability, model)
    yield Entry("support_neurons", ns.support_neurons, {"run": known.run})
    yield Entry("synaptic_operations", ns.synaptic_operations, {"run": known.run})
    box = {"model": "xor", "duration": 0.01, "settle": 1.0}
    yield Entry("sweep", ns.sweep, {**box, "parameters": {"flow.rho": [1.0]}, "points": None})
    reference = ns.reference
    state = {"x": known.run.x, "lam": known.run.lam}
    for name in ("backprop", "forward", "multipliers"):
        function = getattr(reference, name)
        needed = {n: v for n, v in model.items() if n in signature(function).parameters}
        yield Entry(f"reference.{name}", function, needed)
    yield Entry("reference.adam", reference.adam, {"net": net, **data, "epochs": 1, "rate": 0.1})
    yield Entry("reference.lagrangian", reference.lagrangian, model | state)
    outputs = {"net": net, "outputs": known.run.x, "Y": known.Y}
    yield Entry("reference.loss", reference.loss, outputs)
    yield Entry("reference.right_hand_side", reference.right_hand_side, model | state)
    descent = {"net": net, **data, "epochs": 1, "batch": 2, "rate": 0.1}
    yield Entry("reference.sgd", reference.sgd, descent)
    loose = {"duration": 1e-3, "rtol": 1e-3, "atol": 1e-3}
    yield Entry("reference.solve_ivp", reference.solve_ivp, model | loose)
    rivals = ns.rivals
    few = {"net": net, **data}
    for name in ("dual_propagation", "growing_penalty", "pc_alm", "predictive_coding"):
        yield Entry(f"rivals.{name}", getattr(rivals, name), {**few, "steps": 2})
    propagated = {**few, "steps": 2, "nudged_steps": 2}
    yield Entry("rivals.equilibrium_propagation", rivals.equilibrium_propagation, propagated)
    yield Entry("rivals.equilibrium_adjoint", rivals.equilibrium_adjoint, few)
    yield Entry("rivals.relax", rivals.relax, {**few, "flow": flow, "steps": 2})
    yield Entry("rivals.symmetric", rivals.symmetric, {"net": net})
    yield Entry("rivals.train", rivals.train, descent)


def temporary(name: str) -> str:
    """Return a path in a folder that the process made for it."""
    return str(Path(tempfile.mkdtemp(prefix="neurosim-odd-")) / name)


def methods() -> Iterator[Entry]:
    """Return the methods of simulations and of results, each on an object made anew."""
    known = things()
    data = {"X": known.X, "Y": known.Y}
    brief = ns.Simultaneous(duration=2e-3, reports=1)

    def on(method: str) -> Callable[..., Any]:
        return bound(simulation, method)

    yield Entry("Simulation.relax", on("relax"), {**data, "duration": 2e-3})
    yield Entry("Simulation.train", on("train"), {**data, "schedule": brief})
    yield Entry("Simulation.stream", on("stream"), {"frames": known.X, "per_frame": 2e-3})
    world = {"world": lambda outputs: (known.X[:1], known.Y[:1]), "frames": 2, "per_frame": 2e-3}
    yield Entry("Simulation.interact", on("interact"), world)
    yield Entry("Simulation.predict", on("predict"), {"X": known.X})
    yield Entry("Simulation.add", on("add"), {"factory": lambda network: []})
    yield Entry("Simulation.save_weights", on("save_weights"), {"path": temporary("w.npz")})
    yield Entry("Simulation.load_weights", on("load_weights"), {"path": "nowhere.npz"})
    yield Entry("Simulation.live", on("live"), data)
    for name, given in LIVE.items():
        yield Entry(f"Live.{name}", bound(live, name), dict(given))
    yield Entry("to_model", ns.to_model, {"live": live(), "data": "own.csv"})
    yield Entry("to_script", ns.to_script, {"live": live()})
    yield Entry("Branch.at", known.branch.at, {"parameter": 1.5})
    yield Entry("Support.shares", known.support.shares)
    yield Entry("Flow.time", known.flow.time, {"name": "tau_x", "population": "output"})
    net = known.net.copy()
    for name in ("incoming", "outgoing"):
        yield Entry(f"Network.{name}", getattr(net, name), {"population": "hidden1"})
    yield Entry("Network.returning", net.returning, {"projection": "hidden1->output"})
    yield Entry(
        "Network.replace_with", lambda other: known.net.copy().replace_with(other), {"other": net}
    )
    yield Entry("Presentations.part", ns.Presentations().part, {"first": 0, "rows": 1})
    yield Entry("Simultaneous.part", brief.part, {"first": 0, "rows": 1})
    yield Entry("Delay.whole", ns.Delay(2).whole, {"dt": 1e-3})
    yield Entry("Events.threshold", ns.Events().threshold, {"variable": "x", "population": "a"})


# methods of a live simulation, with arguments that they accept
LIVE: dict[str, dict[str, Any]] = {
    "run": {"duration": 2e-3},
    "set": {"key": "flow.rho", "value": 2.0},
    "show": {"pattern": [1]},
    "kick": {"x": 0.1, "units": {"hidden1": [0]}},
    "place": {"x": {"hidden1": {0: 0.5}}},
    "clamp": {"units": {"hidden1": [0]}, "x": 0.5},
    "release": {"units": {"hidden1": [0]}},
    "plastic": {"on": True},
    "rewind": {"duration": 1e-3},
    "traces": {"last": 1e-3},
}


def live() -> Live:
    """Return a live simulation that has run for some steps."""
    known = things()
    found = simulation().live(known.X, known.Y, patterns=[0])
    found.run("4 ms")
    return found


def bound(make: Callable[[], Any], method: str) -> Callable[..., Any]:
    """Return a method of an object that every call makes anew, with the method's signature."""
    template = getattr(make(), method)

    def call(**given: Any) -> Any:
        return getattr(make(), method)(**given)

    call.__signature__ = signature(template)  # type: ignore[attr-defined]
    return call


def classes() -> Iterator[Entry]:
    """Return the classes of `neurosim.__all__` that users make, and the presets of `Flow`."""
    known = things()
    brief = ns.Simultaneous(duration=0.1)
    needed: dict[type, dict[str, Any]] = {
        ns.Adaptive: {},
        ns.Dale: {},
        ns.Delay: {"steps": 2},
        ns.Dense: {},
        ns.Derivative: {},
        ns.Events: {},
        ns.Extension: {"population": "hidden1"},
        ns.Flow: {},
        ns.Growing: {"schedule": brief},
        ns.LocalPropagation: {},
        ns.Loss: {"population": "output"},
        ns.LostMessages: {"share": 0.1},
        ns.LowPass: {"time": 0.1},
        ns.MessageNoise: {"sd": 0.1},
        ns.Network: {
            "populations": [ns.Population("input", 2, clamped=True), ns.Population("output", 2)],
            "projections": [ns.Projection("input", "output")],
            "losses": [ns.Loss("output")],
        },
        ns.Population: {"name": "a", "size": 3},
        ns.Presentations: {},
        ns.Projection: {"pre": "a", "post": "b"},
        ns.Prospective: {},
        ns.Pruning: {"schedule": brief},
        ns.Quantised: {"quantum": 0.1},
        ns.Simulation: {"net": known.net, "flow": known.flow},
        ns.Simultaneous: {"duration": 0.1},
        ns.Spikes: {},
        ns.StateNoise: {"sd": 0.1},
        ns.SupportOverTraining: {"simulation": simulation()},
        ns.TimeConstants: {"spread": 0.1},
    }
    for kind, given in needed.items():
        yield Entry(kind.__name__, kind, given)
    for preset in ("arrow_hurwicz", "augmented", "damped", "rotated", "adjoint"):
        function = getattr(ns.Flow, preset)
        for time in ("tau_x", "tau_lam", "tau_w"):
            yield Entry(f"Flow.{preset}", with_one(function, time), {})
        yield Entry(f"Flow.{preset}", function)
    yield Entry("Flow.local_propagation", ns.Flow.local_propagation)
    yield Entry("Flow.from_preset", ns.Flow.from_preset, {"preset": "adjoint"})
    yield Entry("Network.mlp", ns.Network.mlp, {"sizes": [3, 2, 2]})
    yield Entry("Network.residual", ns.Network.residual, {"sizes": [3, 2, 2], "depth": 2})
    graph = known.net.to_networkx()
    yield Entry("Network.from_networkx", ns.Network.from_networkx, {"graph": graph})
    described = {
        "description": known.net.describe(),
        "weights": known.net.weights,
        "biases": known.net.biases,
    }
    yield Entry("Network.from_description", ns.Network.from_description, described)


def with_one(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function of one of the times that a preset takes as keywords."""

    def call(value: Any = 0.01) -> Any:
        return function(**{name: value})

    return call


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError where a call takes more than `LONGEST` seconds."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"more than {LONGEST} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault_of(call: Callable[[], Any]) -> str:
    """Return the error of a call as text, or "" if there is none or it is one of neurosim's."""
    try:
        with in_time(), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
                call()
    except ns.NeurosimError as error:
        if len(str(error)) > 2000:
            return f"a message of {len(str(error))} letters"
    except Exception as error:
        return f"{type(error).__name__}: {text_of(error)[:160]}"
    return ""


def text_of(error: Exception) -> str:
    """Return the text of an error, which a value without text can prevent."""
    try:
        return str(error)
    except RuntimeError:
        return "no text"


def cases(entry: Entry) -> Iterator[tuple[str, str]]:
    """Return the arguments of a function with each odd value."""
    for parameter in entry.parameters():
        for odd in ODD:
            if not (parameter in CALLBACKS and odd in FUNCTIONS):
                yield parameter, odd


def trial(entry: Entry, parameter: str, odd: str) -> str:
    """Return the fault of one call as text; "" if there is none."""
    given = {**entry.given, parameter: ODD[odd]()}
    found = fault_of(lambda: entry.call(**given))
    if odd in HUGE and found.startswith("TimeoutError"):
        found = ""
    return f"{entry.name}({parameter}={odd}): {found}" if found else ""
