"""Open a session of a simulation on user-supplied data.

Above `session`, below `running`. Start at `open_session`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurosim.data import patterns as data
from neurosim.data.sample_weights import sample_weights
from neurosim.model import transport as transports
from neurosim.model.methods import ADAM
from neurosim.model.network import Network
from neurosim.simulation import compatibility
from neurosim.simulation.auxiliary import going_on
from neurosim.simulation.options import Setting, Work
from neurosim.simulation.session import Session
from neurosim.simulation.start import initial_state, steps_before

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

Array = np.ndarray
Arrays = Mapping[str, Array]


class Simulated(compatibility.Chosen, Protocol):
    """The part of a `Simulation` that its runs use."""

    seed: int
    threads: int
    precision: str
    shortcuts: bool
    transport: Any
    requested_backend: str
    backend: str
    backend_reason: str
    factories: tuple[Callable[[BrianNetwork], Any], ...]
    last_session: Session | None
    lock: Any  # held by the run that is in progress

    def setting(self, steps: int | None, patterns: int) -> Setting:
        """Return the choices of the simulation, with a backend for this amount of work."""


@dataclass(frozen=True)
class Data:
    """Inputs and targets, (patterns, units) by population; the patterns' number and weights."""

    clamped: Arrays
    targets: Arrays
    count: int
    sample_weight: Array | None = None  # (patterns,), as the user gave them


def setting_of(sim: Simulated) -> Setting:
    """Return the choices of a simulation, with its present backend."""
    return Setting(
        net=sim.net,
        flow=sim.flow,
        dt=sim.dt,
        method=sim.method,
        backend=sim.backend,
        seed=sim.seed,
        extensions=sim.extensions,
        threads=sim.threads,
        precision=sim.precision,
        shortcuts=sim.shortcuts,
        transports=sim.transports,
        factories=sim.factories,
        described=_described(sim),
        imperfections=sim.imperfections,
    )


def _described(sim: Simulated) -> dict[str, Any]:
    """Return the choices as plain values, for the settings of a run."""
    extensions = []
    for e in sim.extensions:
        x = f"dx/dt = {e.dx}" if e.dx else f"dx/dt += {e.x or 0}"
        lam = f"dlam/dt = {e.dlam}" if e.dlam else f"dlam/dt += {e.lam or 0}"
        extensions.append(f"{e.population}: {x}, {lam}; {e.equations}")
    return {
        "dt": sim.dt,
        "method": sim.method,
        "transport": transports.described(sim.transport),
        "seed": sim.seed,
        "backend_reason": sim.backend_reason,
        "precision": sim.precision,
        "extensions": extensions,
        **sim.imperfections.described(),
    }


def read_data(
    net: Network, X: Any, Y: Any, *, sample_weight: Any = None, copied: bool = False
) -> Data:
    """Validate a network's parameters, and validate and encode user-supplied data.

    X is copied only if asked for, since it may be large. Y is encoded, which makes a copy.

    Raises
    ------
    ModelError
        Weights or biases that do not fit the network.
    DataError
        X or Y that do not fit the network, or weights of patterns that do not fit X.
    """
    net.check_parameters()
    clamped = data.patterns(net, X, copy=copied)
    count = len(next(iter(clamped.values())))
    weights = sample_weights(sample_weight, count)
    return Data(clamped, data.targets(net, Y, count), count, weights)


def open_session(sim: Simulated, given: Data, start: Any, work: Work) -> Session:
    """Return a session on these data, at its start.

    Parameters
    ----------
    sim : Simulated
        Its `last_session` is set to the new session.
    given : Data
    start : "zero", "forward", Run or State
        State of the patterns simulated at once; with presentations, of the first batch.
    work : Work

    Raises
    ------
    ModelError, DataError
        A start that does not fit; see `initial_state`.
    ConvergenceError
        A cyclic graph that does not contract.
    """
    compatibility.check(sim)  # again, as the network may have changed
    first = given.clamped
    if work.schedule and work.batch:
        rows = work.schedule.order(0)[: work.batch]
        first = {n: values[rows] for n, values in first.items()}
    state = initial_state(sim.net, start, first)
    patterns = len(next(iter(first.values())))
    setting = sim.setting(None if work.interactive else work.steps, patterns)
    if work.descent is not None:
        net = _mean_loss(sim.net, _total(work, patterns)) if work.descent.mean else sim.net
        described = {**setting.described, "method": ADAM}
        setting = replace(setting, net=net, method=ADAM, described=described)
    before = steps_before(start)
    if work.schedule is not None:
        before = before or work.schedule.steps_before
    state = replace(state, steps_before=before)
    targets = given.targets
    if work.schedule and work.batch:
        targets = {n: values[rows] for n, values in targets.items()}
    auxiliary = going_on(start, sim.net, first, targets)
    session = Session(setting, given.clamped, given.targets, state, work, auxiliary)
    vars(sim).update(last_session=session)
    return session


def is_one_program(sim: Simulated) -> bool:
    """Return whether a run is one program from its start to its end.

    With user-supplied objects a compiled run is not divided into segments, since their state is not
    passed from one segment to the next.
    """
    return bool(sim.factories) and sim.backend == "standalone"


def may_divide(sim: Simulated) -> bool:
    """Return whether dividing a run for a progress bar leaves its numbers as they are.

    User-supplied objects may draw Brian2's own random numbers, which are seeded once per segment.
    """
    return not sim.factories


def _total(work: Work, patterns: int) -> float:
    """Return the number of patterns, each counted by its weight."""
    if work.sample_weight is None:
        return patterns
    return float(work.sample_weight.sum())


def _mean_loss(net: Network, count: float) -> Network:
    """Return a network on the same weights whose losses are divided by the number of patterns."""
    losses = {n: replace(v, weight=v.weight / count) for n, v in net.losses.items()}
    return net.sharing(losses=losses)
