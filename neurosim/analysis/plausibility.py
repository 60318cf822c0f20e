"""A scorecard of plausibility, measured and never declared: what learning with a network and a flow
needs, and bears.

Above `simulation` and `reference`. Every entry is read off something that ran: derivatives of a
step of the engine, the messages of a relaxation, the accuracy of trainings that differ in one
thing. Start at `plausibility`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.data.patterns import labels
from neurosim.data.patterns import patterns as as_patterns
from neurosim.errors import (
    DataError,
    DivergenceError,
    ModelError,
    StabilityWarning,
    out_of_range,
    unknown,
    whole,
)
from neurosim.model import imperfections as broken
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss, Projection
from neurosim.model.schedules import Presentations, Simultaneous
from neurosim.model.state import State
from neurosim.results.metrics import accuracy
from neurosim.results.runs import Run
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    from rich.table import Table

Array = np.ndarray

COSTS = 0.03  # of accuracy: more is not tolerated
NUDGE = 1e-4  # of a state, for central differences; the engine's step is smooth there
SPREAD = 0.3  # of the random state at which a step is taken apart
DEAD = 1e-6  # a state below it, where there is nothing to learn, carries an error and nothing else
LEVELS: Mapping[str, tuple[Callable[[float], Any], tuple[float, ...]]] = {
    "state noise (sd)": (broken.StateNoise, (0.1, 0.2, 0.5, 1.0)),
    "message noise (sd)": (broken.MessageNoise, (0.1, 0.3, 1.0, 2.0)),
    "spread of log τ (sd)": (broken.TimeConstants, (0.3, 0.7, 1.0)),
    "delay (steps)": (lambda level: broken.Delay(steps=int(level)), (1, 2, 5, 10)),
    "lost, held (share)": (broken.LostMessages, (0.1, 0.3, 0.5)),
    "lost, zero (share)": (
        lambda level: broken.LostMessages(level, read="zero"),
        (0.01, 0.05, 0.3, 0.5),
    ),
    "quantum (1)": (broken.Quantised, (0.1, 0.5, 1.0)),
    "box for σ′ (half-width)": (
        lambda level: broken.Derivative("box", half_width=level),
        (2.0, 1.0, 0.3),
    ),
    "Dale (share inhibitory)": (broken.Dale, (0.5, 0.2)),
}


@dataclass(frozen=True)
class Tolerance:
    """What one imperfection may amount to.

    Attributes
    ----------
    level : float or None
        The last level, in the order tried, before one cost too much; None if the first did.
    costs : float or None
        The first that did; None if none of them.
    lost : dict of float to float
        Accuracy lost at every level that was tried, mean over the seeds.
    spread : dict of float to float
        Standard deviation over the seeds of what was lost there.
    share : float
        Of the levels, those that did not cost too much.
    """

    level: float | None
    costs: float | None
    lost: dict[float, float]
    spread: dict[float, float]
    share: float

    def __str__(self) -> str:
        if self.costs is None:
            return f"all to {self.level:g}"
        return "none" if self.level is None else f"{self.level:g}"


@dataclass(frozen=True)
class Plausibility:
    """What was measured of a network and a flow.

    Attributes
    ----------
    foreign : float
        Largest derivative of a unit's rate (received messages taken off) or of its own message in a
        state that is neither its own nor a parent's output, as a share of the largest derivative
        there is: 0 is local.
    foreign_synapse : float
        The same of a synapse's change: what is left of it without the product of its two ends'
        messages.
    states : float
        Variables with an ODE of their own, a neuron.
    error_states : float
        Those of them that are 0 at rest where the targets are what the network says already.
    synapse_states : float
        Variables with an ODE, a synapse.
    signed : {"forward", "back"}
        Share of negative messages, of those that are not 0, at rest.
    switches : int
        Changes of a signal from outside, other than the data, in a presentation: the gate of
        plasticity.
    accuracy : float
        After training with the gate and nothing broken.
    ungated : float
        After training without a gate: one phase.
    transport : dict of str to float
        After training with feedback weights of another kind: "random" is fixed, "kolen_pollack"
        learns.
    tolerance : dict of str to Tolerance
    spread : dict of str to float
        Standard deviations over the seeds of the accuracies in `trained`, which are means.
    """

    foreign: float
    foreign_synapse: float
    states: float
    error_states: float
    synapse_states: float
    signed: dict[str, float]
    switches: int
    accuracy: float
    ungated: float
    transport: dict[str, float]
    tolerance: dict[str, Tolerance]
    spread: dict[str, float]

    @property
    def trained(self) -> dict[str, float]:
        """Accuracies by what was taken away."""
        kinds = {f"feedback {kind.replace('_', '-')} (%)": v for kind, v in self.transport.items()}
        return {"accuracy (%)": self.accuracy, "without phases (%)": self.ungated} | kinds

    def rows(self) -> dict[str, str]:
        """Every entry as text, by what it is."""
        found = {
            "reads beyond its synapses (share)": f"{self.foreign:.1g}",
            "synapse reads beyond its ends (share)": f"{self.foreign_synapse:.1g}",
            "states a neuron": f"{self.states:g}",
            "of these, error only": f"{self.error_states:g}",
            "states a synapse": f"{self.synapse_states:g}",
            "negative messages, forward (%)": f"{100 * self.signed['forward']:.0f}",
            "negative messages, back (%)": f"{100 * self.signed['back']:.0f}",
            "clocked switches a presentation": f"{self.switches}",
        }
        found |= {
            name: f"{100 * share:.1f}{self._spread(name)}" for name, share in self.trained.items()
        }
        return found | {name: str(t) for name, t in self.tolerance.items()}

    def _spread(self, name: str) -> str:
        """ " ± 0.4" of a row; nothing where one seed was trained, or all alike."""
        return f" ± {100 * self.spread[name]:.1f}" if self.spread[name] else ""

    def table(self, title: str = "") -> Table:
        """For the terminal."""
        return table({title or "measured": self})


def table(found: Mapping[str, Plausibility]) -> Table:
    """Scorecards side by side; an imperfection's entry is what it may amount to at no more than 3
    points.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown, rows = Table("", *found, box=SIMPLE_HEAD), [one.rows() for one in found.values()]
    for name in dict.fromkeys(name for own in rows for name in own):
        shown.add_row(name, *(own.get(name, "-") for own in rows))
    return shown


@dataclass(frozen=True)
class _Trial:
    """Trainings that differ in one thing."""

    net: Network
    flow: Flow
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    schedule: Presentations
    options: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1

    def accuracies(
        self, net: Network | None = None, schedule: Presentations | None = None, **options: Any
    ) -> Array:
        """On the test patterns, (seeds,)."""
        first = self.options["seed"]
        return np.array(
            [
                self._accuracy(
                    net or self.net,
                    schedule or self.schedule,
                    {**self.options, **options, "seed": seed},
                )
                for seed in range(first, first + self.seeds)
            ]
        )

    def _accuracy(self, net: Network, schedule: Presentations, options: Mapping[str, Any]) -> float:
        """Of one seed; chance where the training diverges."""
        own = net.copy()
        simulation = Simulation(own, self.flow, **options)
        try:
            simulation.train(*self.train, schedule)
        except DivergenceError:
            return 1 / int(own.populations[own.output].size)
        return float(accuracy(simulation.predict(self.test[0]), self.test[1]))


def plausibility(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any,
    *,
    test: tuple[Any, Any],
    schedule: Presentations | None = None,
    dt: Any = None,
    levels: Mapping[str, Sequence[float]] | None = None,
    costs: float = COSTS,
    seed: int = 0,
    seeds: int = 1,
    backend: str = "auto",
) -> Plausibility:
    """Measure what learning needs and what it bears, with this network, flow and data.

    Parameters
    ----------
    net : Network
        Its weights are left alone: every training starts from a copy. Its messages return through
        its weights.
    flow : Flow
    X, Y : array (patterns, features), class labels or one-hot targets
    test : (X, Y)
        Patterns by which accuracy is measured.
    schedule : Presentations, optional
        Of every training; batches of 32 for 6 tau_x, three epochs, plastic in the second half by
        default.
    dt : time, optional
        0.2 tau_x by default.
    levels : {name of `LEVELS`: levels}, optional
        Of the imperfections, mildest first; all of `LEVELS` by default.
    costs : float
        Loss of accuracy that is not tolerated.
    seed : int
        Of the simulations and the random state; the first of several.
    seeds : int
        Trainings of each kind, with seeds one after another, from the same initial weights:
        accuracies are means, and an imperfection is judged by the mean loss against the unbroken
        training with the same seed.
    backend : str

    Returns
    -------
    Plausibility

    Raises
    ------
    DataError
        Targets that are no classes.
    ModelError
        An unknown imperfection; a network with feedback weights of its own; a loss that cannot be
        trained.
    """
    tau = max(flow.time("tau_x", n) for n in net.neurons)
    plan = schedule or Presentations(batch=32, present=6 * tau, epochs=3)
    classes = labels(test[1], net.populations[net.output].size)
    if classes is None:
        raise DataError(
            "the targets are no classes; allowed: class labels or one-hot rows, by "
            "which accuracy is known"
        )
    if any(q.feedback != "symmetric" for q in net.projections.values()):
        raise ModelError(
            "the network has feedback weights; allowed: symmetric ones: others are "
            "among what is tried"
        )
    chosen = _levels(levels)
    if not 0 < costs < 1:
        raise out_of_range("costs", costs, "between 0 and 1", "0.03")
    options = {"dt": 0.2 * tau if dt is None else dt, "seed": seed, "backend": backend}
    trial = _Trial(
        net,
        flow,
        (np.asarray(X), np.asarray(Y)),
        (np.asarray(test[0]), classes),
        plan,
        options,
        whole("seeds", seeds, 1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)  # what diverges is counted
        return _measured(trial, chosen, costs)


def _levels(given: Mapping[str, Sequence[float]] | None) -> dict[str, tuple[float, ...]]:
    for name in given or ():
        if name not in LEVELS:
            raise unknown("imperfection", name, tuple(LEVELS))
    return {
        name: tuple((given or {}).get(name, own))
        for name, (_, own) in LEVELS.items()
        if not given or name in given
    }


def _measured(trial: _Trial, levels: Mapping[str, Sequence[float]], costs: float) -> Plausibility:
    net, flow = trial.net, trial.flow
    foreign, foreign_synapse = locality(net, flow, trial.train[0], seed=trial.options["seed"])
    states, synapse_states = _states(net, flow)
    run = _at_rest(trial)
    best = trial.accuracies()
    ungated = trial.accuracies(schedule=replace(trial.schedule, plastic_from=0.0))
    transport = {
        kind: trial.accuracies(with_feedback(net, kind)) for kind in ("random", "kolen_pollack")
    }
    spreads = [float(found.std()) for found in (best, ungated, *transport.values())]
    card = Plausibility(
        foreign,
        foreign_synapse,
        states,
        _error_states(trial),
        synapse_states,
        _signed(run),
        2 * (trial.schedule.plastic_from > 0),
        float(best.mean()),
        float(ungated.mean()),
        {kind: float(found.mean()) for kind, found in transport.items()},
        {
            name: _tolerance(trial, best, LEVELS[name][0], own, costs)
            for name, own in levels.items()
        },
        {},
    )
    return replace(card, spread=dict(zip(card.trained, spreads, strict=True)))


def with_feedback(net: Network, kind: str) -> Network:
    """The same network and weights, with feedback weights of a kind where messages return."""
    clamped = set(net.inputs)
    projections = [
        q if q.pre in clamped else replace(q, feedback=kind) for q in net.projections.values()
    ]
    twin = Network(list(net.populations.values()), projections, list(net.losses.values()))
    for name, w in net.weights.items():
        twin.weights[name] = w.copy()
    for name, b in net.biases.items():
        twin.biases[name] = b.copy()
    return twin


def _tolerance(
    trial: _Trial, best: Array, make: Callable[[float], Any], levels: Sequence[float], costs: float
) -> Tolerance:
    """Levels, mildest first, until one costs too much."""
    lost: dict[float, float] = {}
    spread: dict[float, float] = {}
    level = None
    for one in levels:
        cost = best - trial.accuracies(imperfections=[make(one)])
        lost[one], spread[one] = float(cost.mean()), float(cost.std())
        if lost[one] > costs:
            return Tolerance(level, one, lost, spread, (len(lost) - 1) / len(levels))
        level = one
    return Tolerance(level, None, lost, spread, 1.0)


def _at_rest(trial: _Trial) -> Run:
    """Some training patterns, relaxed with the initial weights."""
    tau = max(trial.flow.time("tau_x", n) for n in trial.net.neurons)
    X, Y = (part[:32] for part in trial.train)
    return Simulation(trial.net.copy(), trial.flow, **trial.options).relax(
        X, Y, duration=200 * tau, settle=1e-6
    )


def _error_states(trial: _Trial) -> float:
    """States a neuron that vanish where the targets are the network's own answers.

    The relaxation starts at the answers, the multipliers away from zero: what vanishes does so by
    itself.
    """
    net, X = trial.net, trial.train[0][:4]
    answers = reference.forward(net, X)
    twin = net.copy()
    twin.losses = {n: Loss(n, "mse") for n in net.losses}
    rng = np.random.default_rng(0)
    start = State(
        {n: answers[n] for n in net.neurons},
        {n: 0.01 * rng.normal(size=answers[n].shape) for n in net.neurons},
    )
    targets = {n: answers[n] for n in net.losses}
    tau = max(trial.flow.time("tau_x", n) for n in net.neurons)
    run = Simulation(twin, trial.flow, **trial.options).relax(
        X, targets, duration=2000 * tau, settle=1e-9, start=start
    )
    count = sum(run.x[n].shape[1] for n in net.neurons)
    gone = [
        (np.abs(part[n]).max(axis=0) < DEAD).sum() for part in (run.x, run.lam) for n in net.neurons
    ]
    return float(sum(gone) / count)


def _states(net: Network, flow: Flow) -> tuple[float, float]:
    """ODEs a neuron and a synapse, counted in the equations that are stepped."""
    text = Simulation(net.copy(), flow).equations
    parts = text.split("\n\n")
    neurons = [
        p.count("/dt =") - p.count("db/dt =") for p in parts if " neurons" in p.splitlines()[0]
    ]
    synapses = [p.count("/dt =") for p in parts if "dw/dt" in p]
    return float(np.mean(neurons)), float(np.mean(synapses))


def _signed(run: Run) -> dict[str, float]:
    """Shares of negative messages."""
    net = run.network
    a = {n: reference.functions.net_input(net, n, {**run.X, **run.x}) for n in net.neurons}
    rho, forward, back = run.flow.rho, [], []
    for n in net.neurons:
        activation = net.populations[n].activation
        g = run.x[n] - reference.functions.sigma(activation, a[n])
        back.append((reference.functions.dsigma(activation, a[n]) * (run.lam[n] + rho * g)).ravel())
        if net.outgoing(n):
            forward.append(run.x[n].ravel())
    shares = {"forward": np.concatenate(forward or [np.zeros(0)]), "back": np.concatenate(back)}
    return {way: float((v < 0).sum() / max((v != 0).sum(), 1)) for way, v in shares.items()}


def locality(net: Network, flow: Flow, X: Any, seed: int = 0) -> tuple[float, float]:
    """How much of what is stepped reads beyond its synapses: of units, and of synapses.

    Central differences through one Euler step of the engine at a random state. Taken off from a
    unit's rates are the messages that it received; what is left, and the message that it sends
    itself, may depend on its own states and its parents' outputs. A synapse's change is compared
    with the product of the messages of its two ends. Both as a share of the largest derivative, or
    change, that there is.

    Raises
    ------
    ModelError
        A constraint other than `lin`.
    """
    kinds = {p.constraint for p in net.populations.values() if not p.clamped}
    if kinds != {"lin"}:
        raise ModelError(f"locality with constraint {', '.join(sorted(kinds))}; allowed: 'lin'")
    stepped = _step(net, flow, X, seed)
    largest, foreign = 0.0, 0.0
    for n in net.neurons:
        received = sum(
            (stepped.delta[q.post] @ _dense(net.weights[q.name]) for q in net.outgoing(n)),
            np.zeros_like(stepped.x[n]),
        )
        for rates, gain, tau in (
            (stepped.x[n], flow.kappa, "tau_x"),
            (stepped.lam[n], flow.gamma, "tau_lam"),
        ):
            time = flow.time(tau, n)
            for values in (time * rates - gain * received, stepped.delta[n]):
                slopes = np.abs(values[1::2] - values[2::2]) / (2 * NUDGE)
                largest = max(largest, float(slopes.max()))
                foreign = max(foreign, float((slopes * _beyond(net, n, stepped.moved)).max()))
    return _share(foreign, largest), _share(*stepped.synapses)


def _share(part: float, whole: float) -> float:
    """A part of the whole; what differences of float64 cannot tell from nothing is nothing."""
    return part / whole if part > 1e-7 * whole else 0.0


def _beyond(net: Network, n: str, moved: Sequence[tuple[str, str, int]]) -> Array:
    """(moved, units): whether a state is neither the unit's own nor the output of one of its
    parents.
    """
    size = net.populations[n].size
    beyond = np.ones((len(moved), size), dtype=bool)
    into = {q.pre: _dense(net.weights[q.name]) != 0 for q in net.incoming(n)}
    for row, (variable, population, unit) in enumerate(moved):
        if population == n:
            beyond[row, unit] = False
        if variable == "x" and population in into:
            beyond[row] &= ~into[population][:, unit]
    return beyond


@dataclass(frozen=True)
class _Step:
    """One step from a state, and from the same with one variable after the other moved up, then
    down.

    Rates are (1 + 2 moved, units), 1/s.
    """

    moved: list[tuple[str, str, int]]
    x: dict[str, Array]
    lam: dict[str, Array]
    delta: dict[str, Array]
    synapses: tuple[
        float, float
    ]  # the largest change that its two ends do not explain, and the largest change


def _step(net: Network, flow: Flow, X: Any, seed: int) -> _Step:
    rng = np.random.default_rng(seed)
    moved = [
        (v, n, i) for v in ("x", "lam") for n in net.neurons for i in range(net.populations[n].size)
    ]
    rows = 1 + 2 * len(moved)
    state = State(
        *(
            {
                n: np.repeat(SPREAD * rng.normal(size=(1, net.populations[n].size)), rows, axis=0)
                for n in net.neurons
            }
            for _ in range(2)
        )
    )
    for m, (variable, n, i) in enumerate(moved):
        getattr(state, variable)[n][1 + 2 * m, i] += NUDGE
        getattr(state, variable)[n][2 + 2 * m, i] -= NUDGE
    clamped = {n: np.repeat(v[:1], rows, axis=0) for n, v in as_patterns(net, X).items()}
    targets = {n: np.tile(np.eye(1, net.populations[n].size), (rows, 1)) for n in net.losses}
    dt = 1e-3 * min(flow.time(tau, n) for tau in ("tau_x", "tau_lam") for n in net.neurons)
    own = net.copy()
    simulation = Simulation(own, flow, dt=dt, backend="numpy")
    run = simulation.train(
        clamped, targets, Simultaneous(duration=dt, reports=1), start=state, record="delta"
    ).run
    assert run.traces is not None
    names, sent = run.traces["population"].values, run.traces["delta"].values[0]
    delta = {n: sent[:, names == n] for n in net.neurons}
    rates = {
        v: {n: (getattr(run, v)[n] - getattr(state, v)[n]) / dt for n in net.neurons}
        for v in ("x", "lam")
    }
    changes = [
        _change(
            q,
            own,
            net,
            delta[q.post],
            {**clamped, **state.x}[q.pre],
            dt / flow.time("tau_w", q.post),
            rows,
        )
        for q in net.projections.values()
        if q.plastic
    ]
    return _Step(
        moved,
        rates["x"],
        rates["lam"],
        delta,
        (max(c[0] for c in changes), max(c[1] for c in changes)),
    )


def _change(
    q: Projection, own: Network, net: Network, delta: Array, x: Array, rate: float, rows: int
) -> tuple[float, float]:
    """Of one projection: the largest change that is not its two ends' product, its own decay taken
    off; the largest.
    """
    before, after = _dense(net.weights[q.name]), _dense(own.weights[q.name])
    local = (delta.T @ x / rows - q.l2 * before) * (before != 0)
    changed = (after - before) / rate
    return float(np.abs(changed - local).max()), float(np.abs(changed).max())


def _dense(w: Any) -> Array:
    return np.asarray(w.toarray() if hasattr(w, "toarray") else w)
