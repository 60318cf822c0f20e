"""A measured scorecard of plausibility: what learning by a network and a flow needs and tolerates.

Above `simulation` and `reference`. Every entry is measured: derivatives of a step of the engine,
the messages of a relaxation, the accuracies of trainings that differ in one thing. Start at
`plausibility`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.locality import locality
from neurosim.analysis.trainings import Trial, with_feedback, with_own_weights
from neurosim.arguments import checked
from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets
from neurosim.errors import (
    DataError,
    ModelError,
    StabilityWarning,
    number,
    unknown,
    whole,
)
from neurosim.model import imperfections
from neurosim.model.arrays import real_array
from neurosim.model.display import short_repr
from neurosim.model.feedback import KOLEN_POLLACK, RANDOM, SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Loss
from neurosim.model.schedules import Presentations
from neurosim.model.state import State
from neurosim.model.values import ByValue
from neurosim.reference.functions import dsigma, n_patterns, net_input, violation_at
from neurosim.results.metrics import share_correct
from neurosim.results.runs import Run
from neurosim.simulation.modulators import modulators_of
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.trials import without_trials

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Plausibility", "Tolerance", "locality", "plausibility", "table", "with_feedback"]

Array = np.ndarray
Make = Callable[[float], Any]  # a level -> an imperfection

COSTS = 0.03  # loss of accuracy above which a level is not tolerated
DEAD = 1e-6  # a state that stays below this where there is nothing to learn carries only an error
SHOWN = 32  # training patterns that are relaxed to count the signs of messages
ANSWERED = 4  # patterns of which the network's own answers are the targets


def _delay(steps: float) -> imperfections.Delay:
    return imperfections.Delay(steps=int(steps))


def _lost_as_zero(probability: float) -> imperfections.LostMessages:
    return imperfections.LostMessages(probability, read="zero")


def _box(half_width: float) -> imperfections.Derivative:
    return imperfections.Derivative("box", half_width=half_width)


LEVELS: Mapping[str, tuple[Make, tuple[float, ...]]] = {
    "state noise (sd)": (imperfections.StateNoise, (0.1, 0.2, 0.5, 1.0)),
    "message noise (sd)": (imperfections.MessageNoise, (0.1, 0.3, 1.0, 2.0)),
    "spread of log τ (sd)": (imperfections.TimeConstants, (0.3, 0.7, 1.0)),
    "delay (steps)": (_delay, (1, 2, 5, 10)),
    "lost, held (share)": (imperfections.LostMessages, (0.1, 0.3, 0.5)),
    "lost, zero (share)": (_lost_as_zero, (0.01, 0.05, 0.3, 0.5)),
    "quantum (1)": (imperfections.Quantised, (0.1, 0.5, 1.0)),
    "box for σ′ (half-width)": (_box, (2.0, 1.0, 0.3)),
    "Dale (share inhibitory)": (imperfections.Dale, (0.5, 0.2)),
}


@dataclass(frozen=True, eq=False)
class Tolerance(ByValue):
    """Tolerated size of one imperfection.

    Attributes
    ----------
    level : float or None
        The last level, in the order tried, before one cost too much; None if the first did.
    costs : float or None
        The first level that cost too much; None if none did.
    lost : dict of float to float
        Accuracy lost at every level that was tried, mean over the seeds.
    spread : dict of float to float
        Standard deviation over the seeds of the lost accuracy.
    share : float
        Share of the levels that did not cost too much.
    """

    level: float | None
    costs: float | None
    lost: dict[float, float]
    spread: dict[float, float]
    share: float

    def __str__(self) -> str:
        if self.costs is None:
            return f"all to {self.level:g}"
        if self.level is None:
            return "none"
        return f"{self.level:g}"


@dataclass(frozen=True, eq=False, repr=False)
class Plausibility(ByValue):
    """Measured scorecard of a network and a flow.

    Attributes
    ----------
    foreign : float
        Largest derivative of a unit's rate (received messages subtracted) or of its own message by
        a state that is neither its own nor a parent's output, as a share of the largest derivative
        of all: 0 is local. Above 0 with the losses `cross_entropy` and `policy`, whose softmax
        reads all outputs.
    foreign_synapse : float
        The same for the change of a synapse: the part that the product of the messages at its two
        ends, as a mean over the patterns, does not explain. Above 0 with row_l1 and column_l1,
        which read a norm.
    states : float
        Variables with an ODE, per neuron.
    error_states : float
        Those of them that are 0 at rest if the targets are the network's own answers.
    synapse_states : float
        Variables with an ODE, per synapse.
    signed : {"forward", "back"}
        Share of negative messages among those that are not 0, at rest.
    switches : int
        Changes of a signal from outside, other than the data, per presentation: the gate of
        plasticity.
    accuracy : float
        After training with the gate and without imperfections.
    ungated : float
        After training without a gate: one phase.
    transport : dict of str to float
        After training with feedback weights of another kind: "random" is fixed, "kolen_pollack"
        learns, by the built-in rule only.
    tolerance : dict of str to Tolerance
        By imperfection.
    spread : dict of str to float
        Standard deviations over the seeds of the accuracies in `trained`, which are means.
    modulators : tuple of str
        Numbers from outside that learning rules broadcast to all synapses.
    agreeing, shared : int
        Synapses of all sites that must agree, and the weights that they share; 0 without sharing.
    unshared : float
        Accuracy after training with weights of each site's own; NaN without sharing.
    seeds : int
        Number of trainings of each kind.
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
    modulators: tuple[str, ...] = ()
    agreeing: int = 0
    shared: int = 0
    unshared: float = float("nan")
    seeds: int = 1

    __repr__ = short_repr

    @property
    def trained(self) -> dict[str, float]:
        """Accuracies by the training: whole, without phases, with each kind of feedback."""
        found = {"accuracy (%)": self.accuracy, "without phases (%)": self.ungated}
        for kind, share in self.transport.items():
            found[f"feedback {kind.replace('_', '-')} (%)"] = share
        if self.shared:
            found["weights not shared (%)"] = self.unshared
        return found

    def rows(self) -> dict[str, str]:
        """Return every entry as text, by its name."""
        found = {
            "reads beyond its synapses (share)": f"{self.foreign:.1g}",
            "synapse reads beyond its ends (share)": f"{self.foreign_synapse:.1g}",
            "states per neuron": f"{self.states:g}",
            "of these, error only": f"{self.error_states:g}",
            "states per synapse": f"{self.synapse_states:g}",
            "negative messages, forward (%)": f"{100 * self.signed['forward']:.0f}",
            "negative messages, back (%)": f"{100 * self.signed['back']:.0f}",
            "clocked switches per presentation": f"{self.switches}",
        }
        if self.shared:
            found["synapses that must agree"] = f"{self.agreeing} on {self.shared} weights"
        if self.modulators:
            found["broadcast to all synapses"] = ", ".join(self.modulators)
        for name, share in self.trained.items():
            found[name] = f"{100 * share:.1f}"
            if self.spread[name]:  # 0 where one seed was trained, or all alike
                found[name] += f" ± {100 * self.spread[name]:.1f}"
        for name, tolerance in self.tolerance.items():
            found[name] = str(tolerance)
        return found

    @checked
    def table(self, title: str = "") -> Table:
        """Return the entries as a table for the terminal."""
        return table({title or "measured": self})


def spread_note(cards: Iterable[Plausibility]) -> str:
    """Return the words that define ± beside scorecards; empty where none has a spread."""
    numbers = {card.seeds for card in cards if any(card.spread.values())}
    if not numbers:
        return ""
    n = ", ".join(str(number) for number in sorted(numbers))
    return f"± standard deviation over n = {n} seeds"


def table(found: Mapping[str, Plausibility]) -> Table:
    """Return scorecards side by side, as a table for the terminal.

    The entry of an imperfection is the largest tolerated level.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    note = spread_note(found.values())
    shown, cards = Table("", *found, box=SIMPLE_HEAD), [card.rows() for card in found.values()]
    shown.caption = note or None
    names: dict[str, None] = {}  # in the order in which they are met
    for rows in cards:
        names |= dict.fromkeys(rows)
    for name in names:
        shown.add_row(name, *(rows.get(name, "-") for rows in cards))
    return shown


@checked
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
    modulators: Mapping[str, Any] | None = None,
) -> Plausibility:
    """Measure what learning needs and tolerates, with this network, flow and data.

    Parameters
    ----------
    net : Network
        Is not changed: every training starts from a copy. Its feedback is symmetric.
    flow : Flow
    X, Y : array (patterns, features), class labels or one-hot targets
        As in `Simulation.train`; labels may stand at sites, with -1 for no target.
    test : (X, Y)
        Patterns on which accuracy is measured, by site where the output has sites.
    schedule : Presentations, optional
        Schedule of every training; by default batches of 32 for 6 tau_x, three epochs, plastic in
        the second half.
    dt : time, optional
        0.2 tau_x by default.
    levels : {name of `LEVELS`: levels}, optional
        Levels of the imperfections, mildest first; all of `LEVELS` by default.
    costs : float
        Loss of accuracy that is not tolerated.
    seed : int
        Seed of the simulations and of the random state; the first of several.
    seeds : int
        Number of trainings of each kind, with consecutive seeds, from the same initial weights.
        Accuracies are means; an imperfection is judged by the mean loss of accuracy against the
        training without it, with the same seed.
    backend : str
        As in `Simulation`.
    modulators : dict, optional
        Of learning rules, as in `Simulation.train`.

    Returns
    -------
    Plausibility

    Raises
    ------
    DataError
        Targets that are not classes.
    ModelError
        An unknown imperfection; a network with feedback weights; a loss that cannot be trained.
    """
    targets(net, Y, n_patterns(read_patterns(net, X)))  # refuses what does not fit the network
    tested = n_patterns(read_patterns(net, test[0]))
    any_output = np.zeros((tested, net.populations[net.output].size))
    if share_correct(net, any_output, test[1]) is None:
        shape = np.shape(test[1])
        raise DataError(
            f"the targets, {shape}, are not classes; allowed: class labels or one-hot rows, from "
            "which accuracy is computed"
        )
    for name, q in net.projections.items():
        if q.feedback != SYMMETRIC:
            raise ModelError(
                f"the network has feedback weights: feedback of {name} = {q.feedback!r}; allowed: "
                f"{SYMMETRIC!r}; other kinds of feedback are tried here in any case"
            )
    chosen = _levels(levels)
    number("costs", costs, above=0, below=1, try_="0.03")
    tau = max(flow.time("tau_x", n) for n in net.neurons)
    trial = Trial(
        net,
        flow,
        (real_array("X", X), real_array("Y", Y)),
        (real_array("X of test", test[0]), real_array("Y of test", test[1])),
        schedule or Presentations(batch=32, present=6 * tau, epochs=3),
        {"dt": 0.2 * tau if dt is None else dt, "seed": seed, "backend": backend},
        whole("seeds", seeds, 1),
        modulators,
    )
    with warnings.catch_warnings(), without_trials():
        warnings.simplefilter("ignore", StabilityWarning)  # a training that diverges is counted
        return _measured(trial, chosen, costs)


def _levels(given: Mapping[str, Sequence[float]] | None) -> dict[str, tuple[float, ...]]:
    """Return the levels of the imperfections that are tried, in the order of `LEVELS`.

    Raises
    ------
    ModelError
        An unknown imperfection.
    """
    if not given:
        return {name: levels for name, (_, levels) in LEVELS.items()}
    for name in given:
        if name not in LEVELS:
            raise unknown("imperfection", name, tuple(LEVELS))
    return {name: tuple(given[name]) for name in LEVELS if name in given}


def _measured(trial: Trial, levels: Mapping[str, Sequence[float]], costs: float) -> Plausibility:
    """Fill the scorecard."""
    net, flow = trial.net, trial.flow
    foreign, foreign_synapse = locality(net, flow, trial.train[0], seed=trial.options["seed"])
    states, synapse_states = _states(net, flow)
    run = _at_rest(trial)
    best = trial.accuracies()
    ungated = trial.accuracies(schedule=replace(trial.schedule, plastic_from=0.0))
    transport = {}
    learns_alike = all(q.own_rule is None for q in net.projections.values())
    for kind in (RANDOM, KOLEN_POLLACK) if learns_alike else (RANDOM,):
        transport[kind] = trial.accuracies(with_feedback(net, kind))
    sharing = _sharing(net)
    apart = [trial.accuracies(with_own_weights(net))] if sharing["shared"] else []
    tolerance = {}
    for name, tried in levels.items():
        tolerance[name] = _tolerance(trial, best, LEVELS[name][0], tried, costs)
    card = Plausibility(
        foreign=foreign,
        foreign_synapse=foreign_synapse,
        states=states,
        error_states=_error_states(trial),
        synapse_states=synapse_states,
        signed=_signed(run),
        switches=2 * (trial.schedule.plastic_from > 0),
        accuracy=float(best.mean()),
        ungated=float(ungated.mean()),
        transport={kind: float(found.mean()) for kind, found in transport.items()},
        tolerance=tolerance,
        spread={},
        modulators=modulators_of(net),
        unshared=float(apart[0].mean()) if apart else float("nan"),
        seeds=len(best),
        **sharing,
    )
    spreads = [float(found.std()) for found in (best, ungated, *transport.values(), *apart)]
    return replace(card, spread=dict(zip(card.trained, spreads, strict=True)))


def _sharing(net: Network) -> dict[str, int]:
    """Return how many synapses of all sites must agree, and on how many weights."""
    names = [name for name, q in net.projections.items() if q.shares]
    agreeing = sum(net.connections(name) for name in names)
    return {"agreeing": agreeing, "shared": sum(net.weights[name].size for name in names)}


def _tolerance(
    trial: Trial, best: Array, make: Make, levels: Sequence[float], costs: float
) -> Tolerance:
    """Try levels, mildest first, until one costs too much."""
    lost: dict[float, float] = {}
    spread: dict[float, float] = {}
    tolerated = None
    for level in levels:
        cost = best - trial.accuracies(imperfections=[make(level)])
        lost[level], spread[level] = float(cost.mean()), float(cost.std())
        if lost[level] > costs:
            return Tolerance(tolerated, level, lost, spread, (len(lost) - 1) / len(levels))
        tolerated = level
    return Tolerance(tolerated, None, lost, spread, 1.0)


# --- states and messages


def _states(net: Network, flow: Flow) -> tuple[float, float]:
    """Count ODEs per neuron and per synapse in the equations that are stepped."""
    neurons, synapses = [], []
    for part in Simulation(net.copy(), flow).equations.split("\n\n"):
        if " neurons" in part.splitlines()[0]:
            neurons.append(part.count("/dt =") - part.count("db/dt ="))
        if "dw/dt" in part and " synapses" in part.splitlines()[0]:
            synapses.append(part.count("/dt ="))
    return float(np.mean(neurons)), float(np.mean(synapses))


def _error_states(trial: Trial) -> float:
    """Count the states per neuron that vanish if the targets are the network's own answers.

    The relaxation starts at the answers, with multipliers that are not 0: a state that is 0 in the
    end was brought there by the flow.
    """
    net, X = trial.net, trial.train[0][:ANSWERED]
    answers = reference.forward(net, X)
    twin = net.copy()
    twin.losses = {n: Loss(n, "mse") for n in net.losses}
    rng = np.random.default_rng(0)
    x = {n: answers[n] for n in net.neurons}
    lam = {n: 0.01 * rng.normal(size=answers[n].shape) for n in net.neurons}
    Y = {n: answers[n] for n in net.losses}
    simulation = Simulation(twin, trial.flow, **trial.options)
    run = simulation.relax(X, Y, duration=2000 * trial.tau, settle=1e-9, start=State(x, lam))
    gone, neurons = 0, 0
    for n in net.neurons:
        neurons += run.x[n].shape[1]
        for values in (run.x[n], run.lam[n]):
            gone += int((np.abs(values).max(axis=0) < DEAD).sum())
    return gone / neurons


def _at_rest(trial: Trial) -> Run:
    """Relax some training patterns with the initial weights."""
    X, Y = (part[:SHOWN] for part in trial.train)
    simulation = Simulation(trial.net.copy(), trial.flow, **trial.options)
    return simulation.relax(X, Y, duration=200 * trial.tau, settle=1e-6)


def _signed(run: Run) -> dict[str, float]:
    """Return the shares of negative messages, forward and back."""
    net, outputs = run.network, {**run.X, **run.x}
    forward, back = [], []
    for n in net.neurons:
        activation, a = net.populations[n].activation, net_input(net, n, outputs)
        g = violation_at(activation, run.x[n], a)
        back.append(dsigma(activation, a) * (run.lam[n] + run.flow.rho * g))
        if net.outgoing(n):
            forward.append(run.x[n])
    return {"forward": _negative_share(forward), "back": _negative_share(back)}


def _negative_share(messages: Iterable[Array]) -> float:
    """Return the share of negative messages among those that are not 0."""
    negative, counted = 0, 0
    for values in messages:
        negative += int((values < 0).sum())
        counted += int((values != 0).sum())
    return negative / max(counted, 1)
