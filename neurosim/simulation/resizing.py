"""Training that changes the network's size: in parts, with neurons removed, put to sleep or split
between them.

Above `training` and `architecture`, below `simulation`, whose `train` comes here for `Pruning` and
`Growing`. The log tells the tale: neurons, synapses and synaptic operations beside loss and
accuracy. Start at `shape`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from neurosim.errors import NeurosimError
from neurosim.model.extension import Extension
from neurosim.model.network import Network
from neurosim.model.schedules import Growing, Pruning
from neurosim.model.state import State
from neurosim.model.weights import synapses
from neurosim.results.operations import SynapticOperations, synaptic_operations
from neurosim.results.runs import Log, Run
from neurosim.simulation.log import history_of
from neurosim.simulation.surgery import Reshaped, grown, hidden, pruned, quiet

Array = np.ndarray
BURDEN = "burden"  # a hidden unit's integral of abs(lam) over one part of the training, in tau_lam
PULL = "pull"  # an output's abs(mu), smoothed over the last few tau_lam
KINKED = ("l1", "row_l1", "column_l1")  # prices that bring weights to exact zeros
SMOOTH = 5  # tau_lam
SETTLED = 0.1  # how much nearer to rest than the tolerance of support

logger = logging.getLogger("neurosim")


class Trainer(Protocol):
    """What is used of a `Simulation`."""

    net: Network
    seed: int
    extensions: tuple[Extension, ...]

    def train(
        self, X: Any, Y: Any, schedule: Any, *, validation: Any, start: Any, progress: bool
    ) -> Log:
        """By a schedule that leaves the network as large as it is."""

    def relax(self, X: Any, Y: Any, *, duration: Any, settle: float, start: Any) -> Run:
        """With the weights fixed."""


def train(
    sim: Trainer,
    X: Any,
    Y: Any,
    schedule: Pruning | Growing,
    *,
    validation: Any,
    start: Any,
    progress: bool,
) -> Log:
    """Train while the network changes its size; its own `net` is what changes.

    Returns
    -------
    Log
        `history` has beside the usual columns: `neurons` (hidden ones that are there and awake),
        `synapses`, and `operations` done until then, of each pattern simulated at once: every
        synapse that is there at every step, forward, backward and to learn, or what events cost;
        `change`: of an output, by the removal after that row. `run` is of the last part.
    """
    course = _Course(sim, X, Y, validation, progress, start)
    try:
        if isinstance(schedule, Pruning):
            _prune(course, schedule)
        else:
            _grow(course, schedule)
    except NeurosimError as error:
        if error.log is not None:
            course.tell(error.log)
            error.log = course.log()
        raise
    return course.log()


class _Course:
    """A training so far: its rows, what it has cost, where it stands."""

    def __init__(
        self, sim: Trainer, X: Any, Y: Any, validation: Any, progress: bool, start: Any
    ) -> None:
        self.sim, self.X, self.Y, self.validation, self.progress = sim, X, Y, validation, progress
        self.state: Any = start
        self.rows: list[dict[str, float]] = []
        self.time = self.operations = 0.0
        self.run: Run | None = None

    def train(self, schedule: Any) -> bool:
        """One part; whether it came to its end."""
        log = self.sim.train(
            self.X,
            self.Y,
            schedule,
            validation=self.validation,
            start=self.state,
            progress=self.progress,
        )
        self.state = log.run
        self.tell(log)
        return not log.interrupted

    def tell(self, log: Log) -> None:
        """Take over the rows of a part."""
        net, cost = self.sim.net, _done(synaptic_operations(log.run))
        size = {
            "neurons": float(sum(net.populations[n].size for n in hidden(net))),
            "synapses": float(sum(synapses(w).size for w in net.weights.values())),
            "change": 0.0,
        }
        for number, time in enumerate(log.history.time.values):
            own = {str(k): float(v.values[number]) for k, v in log.history.data_vars.items()}
            share = float(time) / log.run.time if log.run.time else 1.0
            self.rows.append(
                {
                    "time": self.time + float(time),
                    **own,
                    **size,
                    "operations": self.operations + share * cost,
                }
            )
        self.time, self.operations, self.run = (
            self.time + log.run.time,
            self.operations + cost,
            log.run,
        )

    def turn_into(self, found: Reshaped) -> None:
        """Go on with another network from the state that this one was in."""
        self.state = found.carry(self.state)
        self.sim.net.replace_with(found.network)
        left = set(found.network.populations)
        self.sim.extensions = tuple(e for e in self.sim.extensions if e.population in left)
        if found.change > 0:
            self.rows[-1]["change"] = found.change

    def log(self) -> Log:
        assert self.run is not None
        return Log(partial(history_of, tuple(self.rows)), self.run)


# --- fewer neurons


@dataclass
class _Asleep:
    """A network, larger than the one that is trained, whose other neurons are frozen."""

    whole: Network
    state: State
    awake: Reshaped


def _prune(course: _Course, schedule: Pruning) -> None:
    base, priced = schedule.schedule, schedule.schedule.rows - schedule.finish
    asleep: _Asleep | None = None
    done, net = 0, course.sim.net
    prices = {name: q.prices for name, q in net.projections.items()}
    try:
        while done < base.rows:
            rows = min(schedule.every, priced - done) if done < priced else base.rows - done
            if not course.train(base.part(done, rows)):
                return
            done += rows
            if done > priced:
                continue
            if asleep is not None:
                _wake(course, asleep)
            found = _judged(course, schedule)
            asleep = _Asleep(net.copy(), _plain(course.state), found) if schedule.freeze else None
            _tell_of(net, found)
            course.turn_into(found)
            if done == priced:
                _set_prices(net, {name: dict.fromkeys(KINKED, 0.0) for name in prices})
    finally:
        if asleep is not None:
            _wake(course, asleep)
        _set_prices(net, prices)


def _judged(course: _Course, schedule: Pruning) -> Reshaped:
    """The network without what is dead, and straw at rest."""
    net, support = course.sim.net, None
    if schedule.support is not None:
        at_rest = course.sim.relax(
            course.X,
            course.Y,
            duration=schedule.rest,
            settle=SETTLED * schedule.support,
            start="forward",
        )
        course.operations += _done(synaptic_operations(at_rest))
        support = quiet(
            net,
            {n: np.abs(at_rest.lam[n]) > schedule.support for n in hidden(net)},
            course.X,
            schedule.within,
        )
    thin = None if schedule.freeze else 0.0
    return pruned(net, support, course.X, dead=schedule.dead, synapses=thin, within=np.inf)


def _wake(course: _Course, asleep: _Asleep) -> None:
    """The whole network again, with what its waking neurons have learnt."""
    learnt = replace(asleep.awake, network=course.sim.net)
    course.state = learnt.wake(asleep.whole, _plain(course.state), asleep.state)
    course.sim.net.replace_with(asleep.whole)


def _plain(state: Any) -> State:
    return State(dict(state.x), dict(state.lam))


def _set_prices(net: Network, prices: Mapping[str, Mapping[str, float]]) -> None:
    net.projections = {name: replace(q, **prices[name]) for name, q in net.projections.items()}


def _tell_of(net: Network, found: Reshaped) -> None:
    gone = sum(p.size for p in net.populations.values()) - sum(
        p.size for p in found.network.populations.values()
    )
    if gone:
        logger.info("%d neurons removed; outputs change by up to %.2g", gone, found.change)


# --- more neurons


def _grow(course: _Course, schedule: Growing) -> None:
    base, done, weak, before = schedule.schedule, 0, 0, np.inf
    growing, sim = True, course.sim
    while done < base.rows:
        rows = min(schedule.every, base.rows - done) if growing else base.rows - done
        with _burdened(sim) if growing else nullcontext():
            if not course.train(base.part(done, rows)):
                return
        done += rows
        if not growing or done == base.rows:
            continue
        burdens, left = (
            _followed(course.run, BURDEN),
            float(np.mean(_followed(course.run, PULL)[sim.net.output])),
        )
        weak = weak + 1 if left > (1 - schedule.drop) * before else 0
        size = sum(v.size for v in burdens.values())
        logger.info("%d hidden neurons: mean |mu| of the output %.3g", size, left)
        if left < schedule.enough or size >= schedule.most or weak >= schedule.patience:
            growing = False
            logger.info("grown to %d hidden neurons: mean |mu| of the output %.2g", size, left)
            continue
        before = left
        units = _heaviest(burdens, min(schedule.split, schedule.most - size))
        course.turn_into(
            grown(sim.net, units, spread=schedule.spread, seed=int(_seed(sim.seed, done)))
        )


def _heaviest(burdens: Mapping[str, Array], count: int) -> dict[str, list[int]]:
    """The units, of all populations, that bear most."""
    every = sorted(
        ((float(v), n, i) for n, own in burdens.items() for i, v in enumerate(own)), reverse=True
    )[:count]
    return {n: [i for _, m, i in every if m == n] for n in burdens}


@contextmanager
def _burdened(sim: Trainer) -> Iterator[None]:
    """Hidden units integrate their multipliers, outputs follow theirs."""
    own = sim.extensions
    what = dict.fromkeys(hidden(sim.net), f"d{BURDEN}/dt = abs(lam)/tau_lam : 1")
    what[sim.net.output] = f"d{PULL}/dt = (abs(mu) - {PULL})/({SMOOTH}*tau_lam) : 1"
    more = tuple(Extension(n, equations=equation) for n, equation in what.items())
    sim.extensions = own + more
    try:
        yield
    finally:
        sim.extensions = own


def _followed(run: Run | None, variable: str) -> dict[str, Array]:
    """The end of one of these, mean over the patterns, by population: (units,)."""
    assert run is not None
    ends = {k.rpartition(".")[0]: v for k, v in run.auxiliary.items() if k.endswith(f".{variable}")}
    return {n: v.mean(axis=0) for n, v in ends.items()}


def _seed(seed: int, number: int) -> Any:
    return np.random.SeedSequence([seed, number]).generate_state(1)[0]


def _done(cost: SynapticOperations) -> float:
    """Operations of dense messages as they are computed, synapse by synapse; of events those that
    were sent.
    """
    return cost.effective + cost.plasticity if cost.events else cost.dense + cost.dense_plasticity
