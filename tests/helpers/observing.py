"""A crossing of simulations that are observed, or cut in two: equal to the last bit?

A `Case` names one choice of every kind. `recorded` compares a run with one that records, `halved` a
whole run with two halves, the second of which goes on in memory, from a saved run or from a
checkpoint. Start at `cases`.
"""

from __future__ import annotations

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.simulation import compatibility
from tests.helpers.problems import random_targets

Array = np.ndarray
State = dict[str, Array]
MS = 1e-3  # s
STEPS = 38  # of a whole run; not a multiple of 10, the steps between two checks
PATTERNS = 6

BACKENDS = ("numpy", "cython", "standalone")
TRANSPORTS: dict[str, Any] = {
    "dense": "dense",
    "events": ns.Events(0.03),
    "adaptive": ns.Events("adaptive"),
    "delayed": ns.Events(0.03, delay=3 * MS),
    "spikes": ns.Spikes(0.05, refractory=2 * MS),
    "mixed": {"hidden1->hidden2": ns.Events(0.02), "context->output": ns.Spikes(0.05)},
}
METHODS = ("euler", "exponential_euler", "semi_implicit", "heun", "rk4", "adaptive")
SCHEDULES = ("relax", "settle", "stream", "plastic stream", "simultaneous", "online", "batches")
OPTIMISER = "local propagation"
NOISY: dict[str, Any] = {
    "state noise": {"imperfections": [ns.StateNoise(0.1)]},
    "message noise": {"imperfections": [ns.MessageNoise(0.1)]},
    "lost": {"imperfections": [ns.LostMessages(0.2)]},
}
IMPERFECTIONS: dict[str, Any] = {
    "none": {},
    "delay": {"imperfections": [ns.Delay(steps=3), ns.Quantised(0.01)]},
    "low pass": {"imperfections": [ns.LowPass(20 * MS)]},
    "times": {"imperfections": [ns.TimeConstants(0.2), ns.Dale()]},
    "derivative": {"imperfections": [ns.Derivative()]},
    "prospective": {"prospective": True},
    "estimated": {"prospective": 5 * MS, "imperfections": [ns.Delay(steps=2)]},
    "extended": {
        "extensions": [
            ns.Extension(
                "hidden1",
                x="0.1*(v - x)*(1 + sin(40*t/second))/ms",
                equations="dv/dt = (0.5*x - v)/tau_v : 1\ntau_v : second (shared)",
                parameters={"tau_v": 0.02, "v": 0.3},
            )
        ]
    },
}
# of the graph: sparse projections, penalties, feedback weights, constraint, loss
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sparse": {"thin": True, "l2": 0.1},
    "penalised": {"l1": 1e-3, "l2": 0.1},
    "random feedback": {"feedback": "random"},
    "sign": {"feedback": "sign", "loss": "cross_entropy"},
    "kolen_pollack": {"feedback": "kolen_pollack", "l2": 0.1},
    "mirror": {"feedback": "mirror"},
    "tube": {"constraint": "tube"},
    "hinge": {"loss": "squared_hinge", "constraint": "squared"},
}
RECORDED = ("x", "w", "lam", "delta", "mu", "dL_dx", "a", "sigma")
EVERY = (1, 3, 5)  # steps
MEMORY, RUN_FILE, CHECKPOINT = "memory", "run file", "checkpoint"


@dataclass(frozen=True)
class Case:
    """One choice of every kind, by the names above."""

    backend: str
    transport: str
    schedule: str
    method: str
    imperfection: str
    network: str
    precision: str = "float64"
    seed: int = 0

    @property
    def draws(self) -> bool:
        """Whether the run draws noise."""
        return self.imperfection in NOISY


def every_case(noisy: bool) -> Iterator[Case]:
    """Yield all cases, including those that neurosim refuses."""
    imperfections = [*IMPERFECTIONS, *(NOISY if noisy else ())]
    choices = itertools.product(
        BACKENDS, TRANSPORTS, (*SCHEDULES, OPTIMISER), METHODS, imperfections, NETWORKS
    )
    for one in choices:
        case = Case(*one)
        if has_meaning(case):
            yield case


def has_meaning(case: Case) -> bool:
    """Return whether a case is one of its own: only a relaxation has adaptive steps."""
    if case.method == "adaptive" and case.schedule not in ("relax", "settle"):
        return False
    return case.schedule != OPTIMISER or case.method == "euler"


def cases(count: int, seed: int, *, noisy: bool = False, backends: Any = BACKENDS) -> list[Case]:
    """Draw cases, each of a random choice of every kind, that neurosim does not refuse."""
    rng = np.random.default_rng(seed)
    every = [case for case in every_case(noisy) if case.backend in backends]
    found: list[Case] = []
    for index in rng.permutation(len(every)):
        if len(found) == count:
            break
        drawn = replace(
            every[index],
            precision=str(rng.choice(["float64", "float64", "float32"])),
            seed=int(rng.integers(100)),
        )
        if is_allowed(drawn):
            found.append(drawn)
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Without warnings, and without the stability monitor, which only looks and takes long."""
    monitor = "neurosim.simulation.stability_monitor.StabilityMonitor.check"
    with warnings.catch_warnings(), patch(monitor, return_value=float("nan")):
        warnings.simplefilter("ignore")
        yield


def is_allowed(case: Case) -> bool:
    """Return whether neurosim accepts a case."""
    try:
        sim = Job(case).sim
        if case.method == "adaptive":
            compatibility.check_adaptive(sim)
        if case.schedule == OPTIMISER:
            compatibility.check_schedule(sim, plan(case, STEPS, None), [], False)
    except ModelError:
        return False
    return True


class Job:
    """A case with its network, data and simulation, made anew from its seed."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.net = graph(case)
        rng = np.random.default_rng(case.seed)
        self.X = rng.normal(scale=0.7, size=(PATTERNS, 9))
        self.Y = random_targets(self.net, rng, PATTERNS)
        self.sim = self.simulation(self.net)

    def simulation(self, net: ns.Network) -> ns.Simulation:
        """Return a simulation of this case with any network."""
        case = self.case
        circuit = (IMPERFECTIONS | NOISY)[case.imperfection]
        method = "euler" if case.method == "adaptive" else case.method
        flow = ns.Flow(kappa=0.5, gamma=0.8, rho=0.5, tau_w=0.05)
        if case.schedule == OPTIMISER:
            flow = ns.Flow.local_propagation()
        return ns.Simulation(
            net,
            flow,
            dt=MS,
            method=method,
            backend=case.backend,
            precision=case.precision,
            transport=TRANSPORTS[case.transport],
            **circuit,
        )


def graph(case: Case) -> ns.Network:
    """Two clamped inputs into one population, and a skip."""
    given = dict(NETWORKS[case.network])
    rng = np.random.default_rng(case.seed)
    masks: dict[str, Any] = {}
    if given.pop("thin", False):
        masks = {"input": rng.random((5, 6)) < 0.6, "hidden1": rng.random((4, 5)) < 0.6}
    constraint = given.pop("constraint", "lin")
    feedback = given.pop("feedback", "symmetric")
    loss = given.pop("loss", "mse")
    l1 = given.pop("l1", 0.0)
    l2 = given.pop("l2", 0.0)
    penalties = {"l1": l1, "row_l1": l1, "l2": l2}
    more = {"constraint": constraint}
    if constraint != "lin":
        more["epsilon"] = 0.05
    back = {"feedback": feedback, "l2": l2}
    return ns.Network(
        [
            ns.Population("input", 6, clamped=True),
            ns.Population("context", 3, clamped=True),
            ns.Population("hidden1", 5, **more),
            ns.Population("hidden2", 4, plastic_bias=False),
            ns.Population("output", 3, "linear"),
        ],
        [
            ns.Projection("input", "hidden1", mask=masks.get("input"), **penalties),
            ns.Projection("context", "hidden1"),
            ns.Projection("hidden1", "hidden2", mask=masks.get("hidden1"), **back),
            ns.Projection("hidden2", "output", **back),
            ns.Projection("context", "output"),
        ],
        [ns.Loss("output", loss)],
        seed=case.seed,
    )


def go(
    job: Job,
    *,
    steps: int = STEPS,
    part: int | None = None,
    start: Any = "zero",
    sim: ns.Simulation | None = None,
    **options: Any,
) -> ns.Run:
    """Run a case from its start, or its first (0) or second (1) half."""
    case, sim = job.case, sim or job.sim
    X, Y, schedule = job.X, job.Y, case.schedule
    share = 1 if part is None else 2
    if schedule in ("relax", "settle"):
        more: dict[str, Any] = {"settle": 1e-2} if schedule == "settle" else {}
        if case.method == "adaptive":
            more["adaptive"] = True
        duration = steps // share * MS
        return sim.relax(X, Y, duration=duration, start=start, **more, **options)
    if "stream" in schedule:
        rows = slice(None)
        if part is not None:
            rows = slice(0, PATTERNS // 2) if part == 0 else slice(PATTERNS // 2, None)
        targets = {n: y[rows] for n, y in Y.items()}
        plastic = schedule == "plastic stream"
        frame = max(steps // PATTERNS, 2) * MS
        return sim.stream(
            X[rows], targets, per_frame=frame, plastic=plastic, start=start, **options
        )
    return sim.train(X, Y, plan(case, steps, part), start=start, **options).run


def plan(case: Case, steps: int, part: int | None) -> Any:
    """Return the schedule of a training, or of one of its halves."""
    if case.schedule == OPTIMISER:
        whole = 1 if part is None else 2
        return ns.LocalPropagation(epochs=8 // whole, reports=4 // whole, best=False)
    if case.schedule == "simultaneous":
        found: Any = ns.Simultaneous(duration=steps // 4 * 4 * MS, reports=4)
    elif case.schedule == "online":
        found = ns.Presentations(batch=1, present=6 * MS, plastic_from=0.5, epochs=4)
    else:
        found = ns.Presentations(batch=2, present=7 * MS, plastic_from=0.0, epochs=4)
    if part is None:
        return found
    return found.part(2 * part, 2)


def state(run: ns.Run) -> State:
    """Return all numbers at the end of a run from which it could go on, and its time."""
    found = {f"x {n}": values for n, values in run.x.items()}
    found |= {f"lam {n}": values for n, values in run.lam.items()}
    for name in run.network.weights:
        w = run.network.weights[name]
        found[f"w {name}"] = w if isinstance(w, np.ndarray) else w.data
    for name, back in run.network.feedback.items():
        found[f"back {name}"] = back if isinstance(back, np.ndarray) else back.data
    found |= {f"b {n}": values for n, values in run.network.biases.items()}
    return found | run.auxiliary


def different(one: State, other: State) -> list[str]:
    """Return the names of the arrays that are not equal to the last bit."""
    names = sorted(one.keys() | other.keys())
    return [n for n in names if n not in one or n not in other or not _equal(one[n], other[n])]


def _equal(one: Array, other: Array) -> bool:
    return bool(np.array_equal(one, other, equal_nan=True))


def recorded(case: Case, variable: str, every: int, to_disk: bool = False) -> list[str]:
    """Return what recording changes: names of arrays."""
    with quietly(), tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"record": variable, "every": every * MS}
        if to_disk:
            options["stream"] = Path(folder) / "recording"
        if case.method == "adaptive":  # a sample cuts a step, so both record
            plain = state(go(Job(case), record="x", every=every * MS))
        else:
            plain = state(go(Job(case)))
        return different(plain, state(go(Job(case), **options)))


def halved(case: Case, way: str) -> list[str]:
    """Return what differs at the end of a whole run and of two halves, except counts."""
    with quietly(), tempfile.TemporaryDirectory() as folder:
        half = {"record": "x", "every": STEPS // 2 * MS} if case.method == "adaptive" else {}
        whole = state(go(Job(case), **half))
        if way == CHECKPOINT:
            return different(whole, state(resumed(case, Path(folder) / "half.npz")))
        job = Job(case)
        run = go(job, part=0, **half)
        if way == MEMORY:
            parts = state(go(job, part=1, start=run, **half))
        else:
            ns.save(run, Path(folder) / "half.nc")
            loaded = ns.load(Path(folder) / "half.nc")
            sim = job.simulation(loaded.network.copy())
            parts = state(go(job, part=1, start=loaded, sim=sim, **half))
        found = different(whole, parts)
        return [name for name in found if "events_" not in name]


class InterruptedTrainingError(Exception):
    """Ends a training from its `visit`."""


def resumed(case: Case, path: Path) -> ns.Run:
    """Return a training that was ended at its third row and resumed from the checkpoint."""
    rows = []

    def end(run: ns.Run) -> None:
        rows.append(run)
        if len(rows) == 3:
            raise InterruptedTrainingError

    job = Job(case)
    with suppress(InterruptedTrainingError):
        go(job, checkpoint=path, visit=end)
    return go(Job(case), resume=path)


def ways(case: Case) -> list[str]:
    """Return the ways in which a case can be cut in two."""
    found = [MEMORY, RUN_FILE]
    if case.schedule in ("simultaneous", "online", "batches", OPTIMISER):
        found.append(CHECKPOINT)
    return found
