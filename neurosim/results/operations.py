"""Synaptic operations: what a run cost, in NeuroBench's terms. Start at `synaptic_operations`.

Above `results` and `transport`, below `session`. Counted, not timed: a dense message costs every
synapse of its projection at every step; an event costs the synapses of the unit that spoke.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError
from neurosim.model.equations.events import EventSource, event_sources
from neurosim.model.network import Network
from neurosim.model.transport import FORWARD, Dense, Spikes, resolve
from neurosim.model.weights import synapses
from neurosim.results.runs import Run
from neurosim.results.traces import with_current_names

Array = np.ndarray


@dataclass(frozen=True)
class SynapticOperations:
    """What a run cost, of each pattern that was simulated at once, over the whole run.

    Attributes
    ----------
    dense : float
        Every synapse forward and backward at every step; nothing backward into clamped inputs,
        where nobody listens.
    macs, acs : float
        Effective ones: of graded messages (multiply and accumulate), and of spikes (accumulate). Of
        a dense projection, those with a weight and, from a clamped input, a value that is not 0.
    dense_plasticity, plasticity : float
        Synapses touched to move the weights: all at every plastic step; those of a unit that
        speaks.
    events : dict of population to dict of "forward", "backward" to float
        Events sent; empty where messages are dense.
    activation_sparsity : float
        Share of units and steps, forward and backward, at which nothing was said.
    connection_sparsity : float
        Share of pairs of units, of all projections, without a synapse or with weight 0.
    footprint : int
        Bytes of parameters, state, and what was last sent, of all patterns.
    """

    dense: float
    macs: float
    acs: float
    dense_plasticity: float
    plasticity: float
    events: dict[str, dict[str, float]]
    activation_sparsity: float
    connection_sparsity: float
    footprint: int

    @property
    def effective(self) -> float:
        """MACs and ACs of messages."""
        return self.macs + self.acs

    @property
    def saving(self) -> float:
        """How many times fewer than dense, plasticity included on both sides."""
        done = self.effective + self.plasticity
        return (self.dense + self.dense_plasticity) / done if done else np.inf

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"effective": self.effective}


def synaptic_operations(run: Run) -> SynapticOperations:
    """Operations of a run of `relax` or `train`, as NeuroBench counts them.

    Parameters
    ----------
    run : Run

    Returns
    -------
    SynapticOperations

    Raises
    ------
    ModelError
        A run by events without its counts, such as one of another version.

    References
    ----------
    Yik et al. 2025, NeuroBench, doi:10.1038/s41467-025-56739-4.
    """
    net, plastic = run.network, bool(run.settings.get("plastic", False))
    transports = resolve(net, run.settings.get("transport", "dense"))
    spoken = event_sources(net, transports, plastic)
    steps, taught_steps = (
        run.steps,
        int(run.settings.get("plastic_steps", run.steps if plastic else 0)),
    )
    patterns = len(next(iter(run.x.values())))
    macs = acs = plasticity = said = heard_at = 0.0
    events: dict[str, dict[str, float]] = {}
    for o in spoken:
        counts, taught = (_counts(run, o, kind) for kind in ("events", "plastic_events"))
        operations = float(counts @ _reach(net, o, messages=True))
        acs, macs = (
            (acs + operations, macs) if isinstance(o.rule, Spikes) else (acs, macs + operations)
        )
        plasticity += float(taught @ _reach(net, o, messages=False)) if plastic else 0.0
        own = events.setdefault(o.population, {})
        direction = "forward" if o.variable == FORWARD else "backward"
        own[direction] = own.get(direction, 0.0) + float(counts.sum())
        said, heard_at = said + float(counts.sum()), heard_at + counts.size * steps
    dense = [name for name, rule in transports.items() if isinstance(rule, Dense)]
    macs += steps * sum(_effective(run, name) for name in dense)
    plasticity += taught_steps * sum(_moving(net, name) for name in dense)
    every = sum(_synapses(net, q) * (1 if _clamped(net, q) else 2) for q in net.projections)
    return SynapticOperations(
        dense=float(steps * every),
        macs=macs,
        acs=acs,
        dense_plasticity=float(taught_steps * sum(_moving(net, q) for q in net.projections)),
        plasticity=plasticity,
        events=events,
        activation_sparsity=1 - said / heard_at if heard_at else 0.0,
        connection_sparsity=1
        - sum(_nonzero(net, q) for q in net.projections) / sum(map(_pairs, net.weights.values())),
        footprint=_footprint(run, spoken, patterns),
    )


def operations_by_event(run: Run) -> dict[str, Array]:
    """Effective operations of messages up to each recorded time, of a pattern: {"x hidden1":
    (time,)}.

    Raises
    ------
    DataError
        events_x or events_delta of some population that speaks was not recorded for all its units.
    """
    net = run.network
    traces = None if run.traces is None else with_current_names(run.traces)
    found: dict[str, Array] = {}
    for o in event_sources(
        net, resolve(net, run.settings.get("transport", "dense")), bool(run.settings.get("plastic"))
    ):
        variable = f"events_{o.name}"
        if traces is None or variable not in traces:
            raise DataError(f"{variable} was not recorded; try record=('events_x', 'events_delta')")
        counts = traces[variable].values[..., traces["population"].values == o.population]
        if counts.shape[-1] != net.populations[o.population].size or np.isnan(counts).any():
            raise DataError(f"{variable} of {o.population} was not recorded for all its units")
        key = f"{'x' if o.variable == FORWARD else 'δ'} {o.population}"
        found[key] = found.get(key, 0.0) + counts.mean(axis=1) @ _reach(net, o, messages=True)
    if not found:
        raise DataError("no message of the run is an event; try transport='events'")
    return found


def _counts(run: Run, o: EventSource, kind: str) -> Array:
    """Events of each unit, mean over the patterns."""
    key = f"{o.population}.{kind}_{o.name}"
    if key not in run.auxiliary:
        raise ModelError(
            f"the run has no {key!r}, so its events cannot be counted; try it with this version"
        )
    return np.asarray(np.mean(run.auxiliary[key], axis=0), dtype=float)


def _reach(net: Network, o: EventSource, messages: bool) -> Array:
    """Synapses that an event of each unit works on: of messages, none into clamped inputs."""
    forward = o.variable == FORWARD
    total = np.zeros(net.populations[o.population].size)
    for name in o.projections:
        if forward or not (messages and _clamped(net, name)):
            each = 1.0 if messages else _moving(net, name) / max(_synapses(net, name), 1)
            total += each * _fans(net.weights[name], axis=0 if forward else 1)
    return total


def _fans(w: Any, axis: int) -> Array:
    """Fan-out of each presynaptic unit (0), fan-in of each postsynaptic one (1)."""
    if isinstance(w, np.ndarray):
        whole: Array = np.full(w.shape[1 - axis], float(w.shape[axis]))
        return whole
    if axis == 1:
        return np.asarray(np.diff(w.indptr), dtype=float)
    return np.asarray(np.bincount(w.indices, minlength=w.shape[1]), dtype=float)


def _effective(run: Run, projection: str) -> float:
    """Of one dense step: synapses with a weight, and from a clamped input a value, that is not 0."""
    net, q = run.network, run.network.projections[projection]
    w = net.weights[projection]
    if not _clamped(net, projection):
        return 2.0 * _nonzero(net, projection)
    live = (np.asarray(run.X[q.pre]) != 0).mean(axis=0)
    return float(np.asarray((w != 0).sum(axis=0), dtype=float).ravel() @ live)


def _clamped(net: Network, projection: str) -> bool:
    return bool(net.populations[net.projections[projection].pre].clamped)


def _synapses(net: Network, projection: str) -> int:
    return synapses(net.weights[projection]).size


def _moving(net: Network, projection: str) -> int:
    """Synapses that learning moves: those of feedback weights too, where they learn by the same
    rule.
    """
    return _synapses(net, projection) * (
        2 if net.projections[projection].feedback == "kolen_pollack" else 1
    )


def _nonzero(net: Network, projection: str) -> int:
    w = net.weights[projection]
    return int(np.count_nonzero(w if isinstance(w, np.ndarray) else w.data))


def _pairs(w: Any) -> int:
    return int(w.shape[0] * w.shape[1])


def _footprint(run: Run, spoken: tuple[EventSource, ...], patterns: int) -> int:
    net, width = run.network, np.dtype(run.settings.get("precision", "float64")).itemsize
    parameters = sum(_synapses(net, q) for q in (*net.projections, *net.feedback))
    parameters += sum(b.size for b in net.biases.values())
    index = sum(
        w.indices.nbytes + w.indptr.nbytes
        for w in net.weights.values()
        if not isinstance(w, np.ndarray)
    )
    state = 2 * sum(net.populations[n].size for n in net.neurons) + sum(
        net.populations[n].size for n in net.inputs
    )
    # what was last said, and with a delay what was heard and what is on its way
    late = {o: o.delay_steps(float(run.settings["dt"])) for o in spoken if o.rule.delay}
    sent = sum(
        net.populations[o.population].size * (2 + late[o] if o in late else 1) for o in spoken
    )
    return int(width * (parameters + patterns * (state + sent)) + index)


def table(cost: SynapticOperations) -> Mapping[str, str]:
    """Rows to print."""
    rows = {"synaptic operations, dense": f"{cost.dense + cost.dense_plasticity:.3g} a pattern"}
    if not cost.events:
        return rows
    kinds = [(cost.macs, "MAC"), (cost.acs, "AC"), (cost.plasticity, "plasticity")]
    parts = ", ".join(f"{value:.3g} {name}" for value, name in kinds if value)
    rows["by events"] = f"{parts or '0'}: {cost.saving:.3g} times fewer"
    for name, own in cost.events.items():
        rows[f"events of {name}"] = (
            ", ".join(f"{count:.3g} {way}" for way, count in own.items()) + " a pattern"
        )
    return rows | {"silent": f"{100 * cost.activation_sparsity:.3g} % of units and steps"}
