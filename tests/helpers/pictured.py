"""Results to draw: small ones of every kind that `neurosim.plot` takes, in odd shapes too.

Start at `subject`. Everything is cached, so that each case is simulated once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

import neurosim as ns
from neurosim.analysis.plausibility import Tolerance

Array = np.ndarray

LONG = "layer_23_excitatory_left_hemisphere"
LONG_NAMES = ("retina_of_the_left_eye", LONG, "layer_5_inhibitory_right", "motor_output_model")
CASES = ("default", "twelve", "long", "one", "diverged")
RECORD = ("x", "lam", "g", "events_x", "events_delta")
TWELVE = ("input", *(f"hidden{i}" for i in range(1, 12)), "output")


def chain(names: tuple[str, ...], sizes: tuple[int, ...], **options: Any) -> ns.Network:
    """Return populations one after the other, the first clamped, with a loss on the last."""
    populations = [ns.Population(names[0], sizes[0], clamped=True)]
    for name, size in zip(names[1:], sizes[1:], strict=True):
        populations.append(ns.Population(name, size, **options))
    projections = [ns.Projection(a, b) for a, b in pairwise(names)]
    return ns.Network(populations, projections, [ns.Loss(names[-1], "mse")], seed=0)


def network_of(case: str, **options: Any) -> ns.Network:
    """Return the network of a case."""
    if case == "twelve":
        return chain(TWELVE, (6, *[5] * 11, 3), **options)
    if case == "long":
        return chain(LONG_NAMES, (5, 8, 6, 3), **options)
    return chain(("input", "hidden1", "hidden2", "output"), (6, 8, 6, 3), **options)


def graphs() -> dict[str, ns.Network]:
    """Return networks that are not chains, by name."""
    sizes = [12, *[8] * 8, 4]
    skips = ns.Network(
        [
            ns.Population("input", 8, clamped=True),
            ns.Population("context", 5, clamped=True),
            ns.Population("hidden1", 12),
            ns.Population("side", 20, "a/(1+abs(a))"),
            ns.Population("hidden2", 6),
            ns.Population("output", 3, "linear"),
        ],
        [
            ns.Projection("input", "hidden1"),
            ns.Projection("context", "side"),
            ns.Projection("input", "output"),
            ns.Projection("hidden1", "hidden2"),
            ns.Projection("side", "hidden2"),
            ns.Projection("hidden2", "output"),
            ns.Projection("hidden1", "output"),
        ],
        [ns.Loss("hidden2"), ns.Loss("output")],
        seed=0,
    )
    cycle = ns.Network(
        [
            ns.Population("input", 8, clamped=True),
            ns.Population("a", 12),
            ns.Population("b", 24),
            ns.Population("output", 4),
        ],
        [
            ns.Projection("input", "a"),
            ns.Projection("a", "b"),
            ns.Projection("b", "a"),
            ns.Projection("b", "output"),
        ],
        [ns.Loss("output")],
        seed=0,
    )
    return {
        "exits": ns.Network.mlp(sizes, loss="mse", exits=0.3),
        "residual": ns.Network.residual([8, 6, 3], depth=8, loss="mse"),
        "skips": skips,
        "long skips": ns.Network.mlp([12, *[8] * 5, 4], loss="mse", skips=3),
        "cycle": cycle,
        "wide": ns.Network.mlp([300, 100, 41, 10]),
        "deep": ns.Network.mlp([8, *[5] * 18, 2]),
    }


@dataclass(frozen=True)
class Subject:
    """What is drawn in one case."""

    case: str

    @cached_property
    def run(self) -> ns.Run:
        """A relaxation by events, recorded; with NaN and infinities where it diverged."""
        run = relaxed(network_of(self.case), one=self.case == "one")
        return spoilt(run) if self.case == "diverged" else run

    @cached_property
    def tubes(self) -> ns.Run:
        """A relaxation within tubes."""
        net = network_of(self.case, constraint="tube", epsilon=0.05)
        run = relaxed(net, one=self.case == "one")
        return spoilt(run) if self.case == "diverged" else run

    @cached_property
    def thresholds(self) -> list[ns.Run]:
        """Relaxations that differ in their thresholds."""
        net = network_of(self.case)
        runs = [relaxed(net, theta=theta) for theta in (0.001, 0.01, 0.1)]
        if self.case == "one":
            runs = runs[:1]
        return [spoilt(run) for run in runs] if self.case == "diverged" else runs

    @cached_property
    def log(self) -> ns.Log:
        """A training that grows the network, with every column of a history."""
        return trained(network_of(self.case), self.case)

    @cached_property
    def on_sites(self) -> ns.Run:
        """A relaxation of convolutional layers; on one axis of sites if `one`."""
        run = relaxed_on_sites(convolutional(self.case))
        return spoilt_end(run) if self.case == "diverged" else run

    @cached_property
    def on_graph(self) -> ns.Run:
        """A relaxation of a graph net; of two nodes if `one`."""
        run = relaxed_on_sites(graph_net(self.case))
        return spoilt_end(run) if self.case == "diverged" else run

    @cached_property
    def spec(self) -> ns.Stability:
        """The spectrum of the flow at rest."""
        net = network_of(self.case)
        X, Y = rows(net, 2)
        return ns.stability(net, ns.Flow.augmented(), X, Y)

    @cached_property
    def sweep(self) -> xr.Dataset:
        """A sweep over two parameters and seeds."""
        return swept(self.case)

    @cached_property
    def cards(self) -> dict[str, ns.Plausibility]:
        """Scorecards of some flows."""
        names = ["adjoint", "augmented(1)", "damped"]
        if self.case == "twelve":
            names = [f"rotated({angle}°)" for angle in range(5, 65, 5)]
        if self.case == "long":
            names = [f"augmented with a rather long name, {i}" for i in range(3)]
        if self.case == "one":
            names = names[:1]
        nan = self.case == "diverged"
        return {name: scorecard(i, nan=nan) for i, name in enumerate(names)}


@lru_cache
def subject(case: str) -> Subject:
    """Return the results of a case of `CASES`."""
    return Subject(case)


def rows(net: ns.Network, patterns: int) -> tuple[Array, Array]:
    """Return inputs and targets of the first clamped population and of the output."""
    rng = np.random.default_rng(0)
    (first, *_) = [p.size for p in net.populations.values() if p.clamped]
    return rng.normal(size=(patterns, first)), rng.normal(
        size=(patterns, net.populations[net.output].size)
    )


def relaxed(net: ns.Network, *, theta: float = 0.01, one: bool = False, **options: Any) -> ns.Run:
    """Return a relaxation by events; of one sample if `one`."""
    X: Any
    X, Y = rows(net, 2)
    clamped = [p for p in net.populations.values() if p.clamped]
    if len(clamped) > 1:
        X = {p.name: np.random.default_rng(1).normal(size=(2, p.size)) for p in clamped}
    targets: Any = Y
    if len(net.losses) > 1:
        rng = np.random.default_rng(2)
        targets = {}
        for loss in net.losses:
            name = getattr(loss, "population", loss)
            targets[name] = rng.normal(size=(2, net.populations[name].size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.StabilityWarning)
        sim = ns.Simulation(
            net, ns.Flow.damped(), transport=ns.Events(theta), backend="numpy", dt=1e-3
        )
        duration = 1e-3 if one else 0.3
        return sim.relax(X, targets, duration=duration, record=RECORD, **options)


def convolutional(case: str) -> ns.Network:
    """Return an image, maps of a 3 x 3 kernel, maps of another one, and a readout."""
    names = LONG_NAMES if case == "long" else ("input", "hidden1", "hidden2", "output")
    features = 12 if case == "twelve" else 5
    sites = (20,) if case == "one" else (8, 10)
    sizes = [(*sites, 1), (*sites, features), (*sites, 4), 3]
    populations = [ns.Population(names[0], sizes[0], clamped=True)]
    for name, size in zip(names[1:], sizes[1:], strict=True):
        populations.append(ns.Population(name, size))
    projections = []
    for place, (a, b) in enumerate(pairwise(names)):
        over = ns.sites.Conv(3) if place < 2 else None
        projections.append(ns.Projection(a, b, over=over))
    return ns.Network(populations, projections, [ns.Loss(names[-1], "mse")], seed=0)


def graph_net(case: str) -> ns.Network:
    """Return a graph net whose state has features on the nodes of two rings with chords."""
    nodes = {"one": 2, "twelve": 120}.get(case, 14)
    A = np.zeros((nodes, nodes))
    for node in range(nodes - 1):
        A[node, node + 1] = A[node + 1, node] = 1
    A[nodes - 1, 0] = A[3 % nodes, nodes // 2] = 1
    net = ns.Network.graph(A, features=2, state=3, outputs=2, edge=4, gain=0.3)
    if case != "long":
        return net
    renamed = {"input": LONG_NAMES[0], "state": LONG, "edge": "edges", "output": "motor"}
    populations = [replace(p, name=renamed[n]) for n, p in net.populations.items()]
    projections = []
    for q in net.projections.values():
        projections.append(replace(q, pre=renamed[q.pre], post=renamed[q.post]))
    return ns.Network(populations, projections, [ns.Loss("motor", "mse")], seed=0)


def relaxed_on_sites(net: ns.Network) -> ns.Run:
    """Return a relaxation of a net whose populations lie on sites, with x recorded."""
    X, Y = rows(net, 2)
    if net.losses[net.output].kind == "cross_entropy":
        Y = np.zeros((2, *net.populations[net.output].sites))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.StabilityWarning)
        warnings.simplefilter("ignore", ns.UnsettledWarning)
        sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", dt=1e-3)
        return sim.relax(X, Y, duration=0.2, record=("x",), every=0.05)


def spoilt_end(run: ns.Run) -> ns.Run:
    """Return a run whose final values are partly not finite."""
    x, lam = {}, {}
    for name in run.x:
        x[name], lam[name] = run.x[name].copy(), run.lam[name].copy()
        for values in (x[name], lam[name]):
            values[:, ::3] = np.inf
            values[:, ::7] = np.nan
    return replace(run, x=x, lam=lam)


def spoilt(run: ns.Run) -> ns.Run:
    """Return a run that diverged half way."""
    assert run.traces is not None
    traces = run.traces.copy(deep=True)
    half = traces.sizes["time"] // 2
    for name in ("x", "lam", "g"):
        values = traces[name].values
        recorded = ~np.isnan(values).all(axis=(0, 1))
        values[half:, :, recorded] = np.inf
        values[half + 2 :] = np.nan
    lam = {name: own * np.nan for name, own in run.lam.items()}
    return replace(run, traces=traces, lam=lam)


def trained(net: ns.Network, case: str) -> ns.Log:
    """Return a log whose history has all columns; the numbers are invented."""
    X, Y = rows(net, 6)
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=0.1), backend="numpy", dt=1e-3)
    schedule = ns.Presentations(batch=1, present=0.01, epochs=1 if case == "one" else 4)
    log = sim.train(X, Y, schedule, record=("x", "w"), every=1e-3)
    count = 1 if case == "one" else 12
    at = np.arange(1, count + 1) / count
    columns = {
        "loss": np.exp(-5 * at),
        "validation_loss": 1.3 * np.exp(-4 * at),
        "accuracy": 1 - 0.9 * np.exp(-3 * at),
        "validation_accuracy": 1 - 0.9 * np.exp(-2.5 * at),
        "violation": 0.1 * np.exp(-6 * at),
        "cosine": 1 - np.exp(-7 * at),
        "neurons": np.round(30 - 20 * at),
        "operations": np.cumsum(1e6 * (2 - at)),
    }
    for name in net.neurons[:-1]:
        columns[f"angle.{name}"] = 90 * np.exp(-2 * at * (1 + net.neurons.index(name)))
    for name in list(net.projections)[1:]:
        columns[f"angle.{name}"] = 80 * np.exp(-3 * at)
    if case == "diverged":
        for values in columns.values():
            values[count // 2 :] = np.nan
    data = {name: ("time", values) for name, values in columns.items()}
    history = xr.Dataset(data, {"time": at})
    return ns.Log(history, log.run)


def swept(case: str) -> xr.Dataset:
    """Return a sweep whose boundary is known: growth = gain - theta."""
    first, second = "flow.theta", "network.gain"
    if case == "long":
        first = "extension.0.parameters.time_constant_of_adaptation"
        second = "network.plasticity.parameters.strength_of_homeostasis"
    if case == "one":
        theta, gain, seeds = np.array([0.9]), np.array([0.7]), 1
    else:
        count = 12 if case == "twelve" else 5
        theta, gain, seeds = np.linspace(0.2, 1.4, 9), np.geomspace(0.5, 1.5, count), 3
    shape = (theta.size, gain.size, seeds)
    wobble = 0.1 * np.random.default_rng(0).normal(size=seeds)
    growth = np.broadcast_to(gain[None, :, None] + wobble - theta[:, None, None], shape)
    outcome = np.where(growth < 0, "settled", "ringing")
    time = np.where(growth < 0, 1 / np.maximum(np.abs(growth), 1e-3), np.nan)
    if case == "diverged":
        outcome, time = np.full(shape, "diverged"), np.full(shape, np.nan)
    dims = (first, second, "network.seed")
    return xr.Dataset(
        {
            "settle_time": (dims, time, {"units": "s"}),
            "growth": (dims, growth, {"units": "1/s"}),
            "accuracy": (dims, np.clip(0.5 + growth / 4, 0, 1)),
            "outcome": (dims, outcome),
            "reason": (dims, np.full(shape, "")),
        },
        {
            first: (first, theta, {"units": "rad"}),
            second: (second, gain, {"scale": "log"}),
            "network.seed": range(seeds),
        },
    )


def categories() -> xr.Dataset:
    """Return a sweep over two parameters that are names."""
    flows, kinds = ["adjoint", "damped", "augmented"], ["symmetric", "random", "kolen_pollack"]
    dims = ("flow.preset", "network.feedback", "network.seed")
    accuracy = 0.9 - 0.1 * np.random.default_rng(0).random((3, 3, 4))
    return xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "outcome": (dims, np.full((3, 3, 4), "settled")),
            "reason": (dims, np.full((3, 3, 4), "")),
        },
        {"flow.preset": flows, "network.feedback": kinds, "network.seed": range(4)},
    )


def points(data: xr.Dataset) -> xr.Dataset:
    """Return the same sweep as points along one dimension, as if they were drawn."""
    return data.stack(point=list(data.dims)).reset_index("point")


def scorecard(seed: int, *, nan: bool = False) -> ns.Plausibility:
    """Return a scorecard of invented figures."""
    rng = np.random.default_rng(seed)
    tolerance = {}
    for name in ("message noise (sd)", "lost messages (share)", "delay (τx)", "Dale's law"):
        lost = {0.1: 0.01, 0.3: float(rng.uniform(0, 0.1))}
        share = float(rng.integers(0, 3)) / 2
        tolerance[name] = Tolerance(0.1 if share else None, 0.3, lost, lost, share)
    worth = np.nan if nan else 0.95
    return ns.Plausibility(
        0.0, 0.0, 2.0, 1.0, 1.0, {"forward": 0.4, "back": 0.5}, 2, worth, worth - 0.05 * seed,
        {"random": worth - 0.02, "kolen_pollack": worth - 0.01}, tolerance,
        dict.fromkeys(
            ("accuracy (%)", "without phases (%)", "feedback random (%)",
             "feedback kolen-pollack (%)"), 0.01,
        ),
        seeds=5,
    )  # fmt: skip


@lru_cache
def branch() -> tuple[ns.Branch, list[ns.Cycle]]:
    """Return a branch with a Hopf point, and cycles of invented size beyond it."""
    rng = np.random.default_rng(2)
    net = ns.Network.mlp([4, 4, 4, 4, 3], loss="mse", gain=1.5, seed=2)
    X, Y = rng.normal(size=(1, 4)), rng.normal(size=(1, 3))
    found = ns.continuation(
        net, ns.Flow.adjoint(), X, Y, over="flow.theta", start=1.5, stop=0.05, points=12
    )
    state = ns.State(found.x, found.lam)
    at = found.hopf[0].parameter if found.hopf else 0.5
    cycles = []
    for share in (0.98, 0.95, 0.9):
        amplitude = 0.5 * np.sqrt(1 - share)
        cycles.append(ns.Cycle(share * at, "cycle", amplitude, 0.1, "output", state))
    cycles.append(ns.Cycle(1.05 * at, "rest", 0.0, np.nan, "output", state))
    return found, cycles


Draw = Callable[..., Any]
