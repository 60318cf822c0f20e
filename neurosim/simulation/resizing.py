"""Train in parts between which neurons are removed, frozen or split.

Above `surgery`, below `simulation`, whose `train` calls this for `Pruning` and `Growing`. The log
records neurons, synapses and synaptic operations beside loss and accuracy. Start at `train`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from neurosim.data.sample_weights import weighted_mean
from neurosim.errors import NeurosimError
from neurosim.model.extension import Extension
from neurosim.model.network import Network
from neurosim.model.schedules import Growing, Pruning, Simultaneous
from neurosim.model.state import State
from neurosim.model.weights import synapses
from neurosim.results.operations import SynapticOperations, synaptic_operations
from neurosim.results.runs import Log, Run
from neurosim.simulation.log import Row, history_of
from neurosim.simulation.one_run import one_at_a_time
from neurosim.simulation.start import steps_before
from neurosim.simulation.surgery import Reshaped, grown, hidden, missable, pruned

Array = np.ndarray
BURDEN = "burden"  # integral of a hidden unit's abs(lam) over a part of the training, in tau_lam
PULL = "pull"  # abs(mu) of an output, smoothed over the last `SMOOTH` tau_lam
KINKED = ("l1", "row_l1", "column_l1")  # penalties that bring weights to exact zeros
SMOOTH = 5  # time constant of that smoothing, in tau_lam
SETTLED = 0.1  # `settle` of the search for straw neurons, as a share of the tolerance of support

logger = logging.getLogger("neurosim")


class Trainer(Protocol):
    """The part of a `Simulation` that this module uses."""

    net: Network
    seed: int
    extensions: tuple[Extension, ...]
    lock: Any

    def train(
        self,
        X: Any,
        Y: Any,
        schedule: Any,
        *,
        sample_weight: Any,
        validation: Any,
        start: Any,
        progress: bool,
    ) -> Log:
        """Train by a schedule that keeps the network's size."""

    def relax(self, X: Any, Y: Any, *, duration: Any, settle: float | None, start: Any) -> Run:
        """Relax with the weights fixed."""


@one_at_a_time
def train(
    sim: Trainer,
    X: Any,
    Y: Any,
    schedule: Pruning | Growing,
    *,
    sample_weight: Any,
    validation: Any,
    start: Any,
    progress: bool,
) -> Log:
    """Train while the network changes its size; `sim.net` is changed in place.

    Parameters
    ----------
    sim : Trainer
    X, Y, schedule, sample_weight, validation, start, progress
        As in `Simulation.train`.

    Returns
    -------
    Log
        `run` is that of the last part. Beside the usual columns, `history` has

        - `neurons` and `synapses`: hidden neurons and synapses that are present and not frozen;
        - `change`: the largest change of an output by the removal after that row, else 0;
        - `operations`: synaptic operations until then, per pattern simulated at once. With dense
          messages every present synapse counts at every step, forward, backward and for plasticity;
          with events, only the operations that events have caused.
    """
    course = _Course(sim, X, Y, sample_weight, validation, progress, start)
    try:
        if isinstance(schedule, Pruning):
            _prune(course, schedule)
        else:
            _grow(course, schedule)
    except NeurosimError as error:
        if error.log is not None:
            course.append(error.log)
            error.log = course.log()
        raise
    return course.log()


class _Course:
    """A training so far: the rows of its log, its cost, and the state to go on from."""

    def __init__(
        self,
        sim: Trainer,
        X: Any,
        Y: Any,
        sample_weight: Any,
        validation: Any,
        progress: bool,
        start: Any,
    ) -> None:
        self.sim, self.X, self.Y = sim, X, Y
        self.sample_weight = sample_weight
        self.validation, self.progress = validation, progress
        self.state: Any = start
        self.rows: list[Row] = []
        self.time = self.operations = 0.0
        self.run: Run | None = None

    def train(self, schedule: Any) -> bool:
        """Train one part; return whether it was not interrupted."""
        log = self.sim.train(
            self.X,
            self.Y,
            schedule,
            sample_weight=self.sample_weight,
            validation=self.validation,
            start=self.state,
            progress=self.progress,
        )
        self.state = log.run
        self.append(log)
        return not log.interrupted

    def append(self, log: Log) -> None:
        """Append the rows of the log of one part."""
        net, run = self.sim.net, log.run
        cost = _done(synaptic_operations(run))
        neurons = sum(net.populations[n].size for n in hidden(net))
        count = sum(synapses(w).size for w in net.weights.values())
        size = {"neurons": float(neurons), "synapses": float(count), "change": 0.0}
        for number, time in enumerate(log.history.time.values):
            share = float(time) / run.time if run.time else 1.0
            row = {"time": self.time + float(time)}
            for name, values in log.history.data_vars.items():
                row[str(name)] = float(values.values[number])
            self.rows.append({**row, **size, "operations": self.operations + share * cost})
        self.time += run.time
        self.operations += cost
        self.run = run

    @property
    def weights(self) -> Array | None:
        """Weights of the patterns, (patterns,), after training has validated them."""
        if self.sample_weight is None:
            return None
        return np.asarray(self.sample_weight, dtype=float)

    def replace_network(self, found: Reshaped) -> None:
        """Go on with another network, from the state of the present one."""
        self.state = found.carry(self.state)
        self.sim.net.replace_with(found.network)
        left = found.network.populations
        kept = tuple(e for e in self.sim.extensions if e.population in left)
        vars(self.sim).update(extensions=kept)
        if found.change > 0:
            self.rows[-1]["change"] = found.change

    def log(self) -> Log:
        """Return the log of all parts so far."""
        assert self.run is not None
        return Log(partial(history_of, tuple(self.rows)), self.run)


# Pruning


@dataclass
class _Frozen:
    """A whole network while only a part of it is trained.

    `state` is that of the whole network when the other neurons were frozen; `active` is the part.
    """

    whole: Network
    state: State
    active: Reshaped


def _prune(course: _Course, schedule: Pruning) -> None:
    """Train; after every part remove the neurons without effect, or freeze them."""
    base, penalised = schedule.schedule, schedule.schedule.rows - schedule.finish
    frozen: _Frozen | None = None
    done, net = 0, course.sim.net
    penalties = {name: q.penalties for name, q in net.projections.items()}
    try:
        while done < base.rows:
            rows = base.rows - done
            if done < penalised:
                rows = min(schedule.every, penalised - done)
            if not course.train(base.part(done, rows)):
                return
            done += rows
            if done > penalised:
                continue
            if frozen is not None:
                _thaw(course, frozen)
            found = _without_idle_neurons(course, schedule)
            frozen = None
            if schedule.freeze:
                frozen = _Frozen(net.copy(), _plain(course.state), found)
            _report_removal(net, found)
            course.replace_network(found)
            if done == penalised:
                _set_penalties(net, {name: dict.fromkeys(KINKED, 0.0) for name in penalties})
    finally:
        if frozen is not None:
            _thaw(course, frozen)
        _set_penalties(net, penalties)


def _without_idle_neurons(course: _Course, schedule: Pruning) -> Reshaped:
    """Return the network without its dead neurons and without those that are straw at rest."""
    net, support, weights = course.sim.net, None, course.weights
    if schedule.support is not None:
        rest = course.sim.relax(
            course.X,
            course.Y,
            duration=schedule.rest,
            settle=SETTLED * schedule.support or None,
            start="forward",
        )
        course.operations += _done(synaptic_operations(rest))
        found = {}
        for n in hidden(net):
            counted = rest.lam[n] if weights is None else rest.lam[n][weights > 0]
            found[n] = np.abs(counted) > schedule.support
        support = missable(net, found, course.X, schedule.within, weights)
    return pruned(
        net,
        support,
        course.X,
        dead=schedule.dead,
        synapses=None if schedule.freeze else 0.0,
        within=np.inf,
        weights=weights,
    )


def _thaw(course: _Course, frozen: _Frozen) -> None:
    """Restore the whole network, with the learnt parameters of its active neurons."""
    learnt = replace(frozen.active, network=course.sim.net)
    course.state = learnt.write_back(frozen.whole, _plain(course.state), frozen.state)
    course.sim.net.replace_with(frozen.whole)


def _plain(state: Any) -> State:
    return State(dict(state.x), dict(state.lam), steps_before(state))


def _set_penalties(net: Network, penalties: Mapping[str, Mapping[str, float]]) -> None:
    projections = {}
    for name, q in net.projections.items():
        own: dict[str, Any] = dict(penalties[name])
        projections[name] = replace(q, **own)
    net.projections = projections


def _report_removal(net: Network, found: Reshaped) -> None:
    before = sum(p.size for p in net.populations.values())
    after = sum(p.size for p in found.network.populations.values())
    if before > after:
        logger.info(
            "%d neurons removed; outputs change by up to %.2g", before - after, found.change
        )


# Growing


def _grow(course: _Course, schedule: Growing) -> None:
    """Train; after every part split the neurons with the largest burdens, while that helps."""
    base, sim = schedule.schedule, course.sim
    done, unhelpful, growing, before = 0, 0, True, np.inf
    while done < base.rows:
        rows = base.rows - done
        if growing:
            rows = min(schedule.every, rows)
        with _measuring_burdens(sim) if growing else nullcontext():
            if not course.train(base.part(done, rows)):
                return
        done += rows
        if not growing or done == base.rows:
            continue
        weights = course.weights if isinstance(base, Simultaneous) else None
        burdens = _measured(course.run, BURDEN, weights)
        pulls = _measured(course.run, PULL, weights)[sim.net.output]
        pull = float(np.mean(pulls))
        stalls = pull > (1 - schedule.drop) * before
        unhelpful = unhelpful + 1 if stalls else 0
        size = sum(v.size for v in burdens.values())
        logger.info("%d hidden neurons: mean |mu| of the output %.3g", size, pull)
        enough = pull < schedule.enough or size >= schedule.most
        if enough or unhelpful >= schedule.patience:
            growing = False
            logger.info("grown to %d hidden neurons: mean |mu| of the output %.2g", size, pull)
            continue
        before = pull
        units = _heaviest(burdens, min(schedule.split, schedule.most - size))
        seeds = np.random.SeedSequence([sim.seed, base.begin + done])
        seed = int(seeds.generate_state(1)[0])
        course.replace_network(grown(sim.net, units, spread=schedule.spread, seed=seed))


def _heaviest(burdens: Mapping[str, Array], count: int) -> dict[str, list[int]]:
    """Return the units, of all populations, with the largest burdens."""
    every = []
    for n, values in burdens.items():
        every += [(float(value), n, i) for i, value in enumerate(values)]
    every.sort(reverse=True)
    found: dict[str, list[int]] = {n: [] for n in burdens}
    for _, n, i in every[:count]:
        found[n].append(i)
    return found


@contextmanager
def _measuring_burdens(sim: Trainer) -> Iterator[None]:
    """Within the block, add burdens to the hidden units and pulls to the outputs."""
    own = sim.extensions
    equations = dict.fromkeys(hidden(sim.net), f"d{BURDEN}/dt = abs(lam)/tau_lam : 1")
    equations[sim.net.output] = f"d{PULL}/dt = (abs(mu) - {PULL})/({SMOOTH}*tau_lam) : 1"
    added = [Extension(n, equations=text) for n, text in equations.items()]
    vars(sim).update(extensions=(*own, *added))
    try:
        yield
    finally:
        vars(sim).update(extensions=own)


def _measured(run: Run | None, variable: str, weights: Array | None = None) -> dict[str, Array]:
    """Return burdens or pulls at the end of a run, (units,) by population, mean over patterns.

    `weights`, (patterns,), are those of patterns that were simulated all at once.
    """
    assert run is not None
    found = {}
    for name, values in run.auxiliary.items():
        population, _, own = name.rpartition(".")
        if own == variable:
            found[population] = weighted_mean(values, weights)
    return found


def _done(cost: SynapticOperations) -> float:
    """Return the operations that were done: all dense ones, or with events those they caused."""
    if cost.events:
        return cost.effective + cost.plasticity
    return cost.dense + cost.dense_plasticity
