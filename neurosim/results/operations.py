"""Count synaptic operations: the cost of a run, in NeuroBench's terms.

Above `runs` and `traces`, below `simulation`. Operations are counted, not timed: dense messages
cost one operation per synapse and step; an event costs one per synapse of the unit that sent it.
Start at `synaptic_operations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import DataError, ModelError
from neurosim.model.equations.events import EventSource, event_sources
from neurosim.model.feedback import KOLEN_POLLACK
from neurosim.model.network import Network
from neurosim.model.shared import Between
from neurosim.model.transport import FORWARD, Dense, Spikes, Transport, resolve
from neurosim.model.values import ByValue
from neurosim.model.weights import synapses
from neurosim.results.runs import Run
from neurosim.results.traces import with_current_names

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class SynapticOperations(ByValue):
    """The cost of a run, per pattern of the batch, over the whole run.

    Attributes
    ----------
    dense : float
        Operations of dense messages: every synapse, forward and backward, at every step. Nothing
        is sent backward into clamped inputs.
    macs, acs : float
        Effective operations of graded messages (multiply and accumulate) and of spikes
        (accumulate). Of a dense projection only synapses with a nonzero weight count; those from a
        clamped input count only forward, and for the patterns in which that input is not 0.
    dense_plasticity, plasticity : float
        Synapses updated by learning. The first counts all of them at every plastic step; the
        second, of a projection with events, only those of the units that send an event.
    events : dict of str to dict of str to float
        Number of events sent, by population and by "forward" or "backward"; empty where messages
        are dense.
    activation_sparsity : float
        Share of units and steps, forward and backward, at which no event was sent; 0 where all
        messages are dense.
    connection_sparsity : float
        Share of the pairs of units that the projections could connect that have no synapse or
        weight 0; 0 without projections.
    footprint : int
        Bytes of the parameters and, for all patterns, of the states and of the messages that event
        sources hold: last sent and, with a delay, received and in flight.
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
        """Effective operations of messages, MACs and ACs."""
        return self.macs + self.acs

    @property
    def saving(self) -> float:
        """Ratio of dense to effective operations, each with plasticity; inf if none were done."""
        done = self.effective + self.plasticity
        if not done:
            return np.inf
        return (self.dense + self.dense_plasticity) / done

    def as_dict(self) -> dict[str, Any]:
        """Return plain values by name."""
        return asdict(self) | {"effective": self.effective}


@checked
def synaptic_operations(run: Run) -> SynapticOperations:
    """Count the synaptic operations of a run, as NeuroBench does.

    Parameters
    ----------
    run : Run
        From `relax`, `train` or another method of `Simulation`.

    Returns
    -------
    SynapticOperations
        Per pattern of the batch.

    Raises
    ------
    ModelError
        The run has events but not their counts, such as one of an earlier version.

    References
    ----------
    Yik et al. 2025, NeuroBench, doi:10.1038/s41467-025-56739-4.
    """
    net, steps = run.network, run.steps
    plastic = _is_plastic(run)
    plastic_steps = _plastic_steps(run)
    transports = _transports(run)
    sources = event_sources(net, transports, plastic)
    macs = acs = plasticity = 0.0
    sent, chances = 0.0, 0.0  # events, and units times steps at which there could have been one
    events: dict[str, dict[str, float]] = {}
    for source in sources:
        counts = _counts(run, source, "events")
        plastic_counts = _counts(run, source, "plastic_events")
        operations = float(counts @ _synapses_per_event(net, source))
        if isinstance(source.rule, Spikes):
            acs += operations
        else:
            macs += operations
        if plastic:
            plasticity += float(plastic_counts @ _plastic_synapses_per_event(net, source))
        number = float(counts.sum())
        by_direction = events.setdefault(source.population, {})
        direction = "forward" if source.variable == FORWARD else "backward"
        by_direction[direction] = by_direction.get(direction, 0.0) + number
        sent += number
        chances += counts.size * steps
    effective = 0.0  # of the projections whose messages are dense
    moved = 0
    for name, rule in transports.items():
        if isinstance(rule, Dense):
            effective += _effective(run, name)
            moved += _plastic_synapses(net, name)
    macs += steps * effective
    plasticity += plastic_steps * moved
    both_ways = all_plastic = nonzero = pairs = 0
    for name in net.projections:
        both_ways += _synapses_both_ways(net, name)
        all_plastic += _plastic_synapses(net, name)
        nonzero += _nonzero(net, name)
        pairs += _pairs(net, name)
    activation_sparsity = connection_sparsity = 0.0
    if chances:
        activation_sparsity = 1 - sent / chances
    if pairs:  # none are left where every hidden neuron was pruned
        connection_sparsity = 1 - nonzero / pairs
    return SynapticOperations(
        dense=float(steps * both_ways),
        macs=macs,
        acs=acs,
        dense_plasticity=float(plastic_steps * all_plastic),
        plasticity=plasticity,
        events=events,
        activation_sparsity=activation_sparsity,
        connection_sparsity=connection_sparsity,
        footprint=_footprint(run, sources),
    )


def operations_by_event(run: Run) -> dict[str, Array]:
    """Count the effective operations of messages up to each recorded time, per pattern.

    Returns
    -------
    {"x hidden1": (time,), "δ output": (time,), ...}
        By the variable that is sent and the population that sends it.

    Raises
    ------
    DataError
        The run has no events, or events_x or events_delta of a population that sends them was not
        recorded for all its units.
    """
    net = run.network
    transports = _transports(run)
    sources = event_sources(net, transports, _is_plastic(run))
    if not sources:
        kinds = sorted({type(rule).__name__ for rule in transports.values()})
        raise DataError(
            f"the run sent no events, as its message transport is {', '.join(kinds)}; "
            "try transport='events'"
        )
    traces = run.traces
    if traces is not None:
        traces = with_current_names(traces)
    found: dict[str, Array] = {}
    for source in sources:
        variable = f"events_{source.name}"
        if traces is None or variable not in traces:
            raise DataError(f"{variable} was not recorded; try record=('events_x', 'events_delta')")
        of_source = traces["population"].values == source.population
        counts = traces[variable].values[..., of_source]
        size = net.populations[source.population].size
        if counts.shape[-1] != size or np.isnan(counts).any():
            raise DataError(
                f"{variable} of {source.population} was not recorded for all its {size} units; "
                "try units=None"
            )
        symbol = "x" if source.variable == FORWARD else "δ"
        key = f"{symbol} {source.population}"
        operations = counts.mean(axis=1) @ _synapses_per_event(net, source)
        found[key] = found.get(key, 0.0) + operations
    return found


def table(cost: SynapticOperations) -> Mapping[str, str]:
    """Return the rows of a printed table, {quantity: number as text}."""
    dense = cost.dense + cost.dense_plasticity
    rows = {"synaptic operations, dense": f"{dense:.3g} per pattern"}
    if not cost.events:
        return rows
    kinds = {"MAC": cost.macs, "AC": cost.acs, "plasticity": cost.plasticity}
    used = {kind: number for kind, number in kinds.items() if number}
    rows["by events"] = f"{_listed(used) or '0'}: {cost.saving:.3g} times fewer"
    for name, by_direction in cost.events.items():
        rows[f"events of {name}"] = f"{_listed(by_direction)} per pattern"
    silent = 100 * cost.activation_sparsity
    rows["silent"] = f"{silent:.3g} % of units and steps"
    return rows


def _listed(numbers: Mapping[str, float]) -> str:
    """Return numbers with their names in one line, such as "3 forward, 2 backward"."""
    parts = [f"{number:.3g} {name}" for name, number in numbers.items()]
    return ", ".join(parts)


# Settings and events of a run


def _plastic_steps(run: Run) -> int:
    """Return the number of steps at which the weights moved."""
    if "plastic_steps" in run.settings:
        return int(run.settings["plastic_steps"])
    return run.steps if _is_plastic(run) else 0


def _is_plastic(run: Run) -> bool:
    """Return whether the weights moved."""
    return bool(run.settings.get("plastic", False))


def _transports(run: Run) -> Mapping[str, Transport]:
    """Return the transport of each projection."""
    return resolve(run.network, run.settings.get("transport", "dense"))


def _counts(run: Run, source: EventSource, kind: str) -> Array:
    """Return the events of each unit, mean over the patterns: (units,)."""
    key = f"{source.population}.{kind}_{source.name}"
    if key not in run.auxiliary:
        raise ModelError(
            f"the run has no {key!r}, so its events cannot be counted; "
            "try running it again with this version"
        )
    mean = np.mean(run.auxiliary[key], axis=0)
    return np.asarray(mean, dtype=float)


def _synapses_per_event(net: Network, source: EventSource) -> Array:
    """Return how many synapses carry an event of each unit, (units,); none into clamped inputs."""
    total = np.zeros(net.populations[source.population].size)
    for name in source.projections:
        if source.variable == FORWARD or not _from_clamped(net, name):
            total += _fans(net, name, source.variable)
    return total


def _plastic_synapses_per_event(net: Network, source: EventSource) -> Array:
    """Return how many synapses an event of each unit updates, (units,)."""
    total = np.zeros(net.populations[source.population].size)
    for name in source.projections:
        count = net.connections(name)
        per_synapse = _plastic_synapses(net, name) / max(count, 1)
        total += per_synapse * _fans(net, name, source.variable)
    return total


def _fans(net: Network, projection: str, variable: str) -> Array:
    """Return the fan-out of presynaptic units for x, the fan-in of postsynaptic ones for delta.

    Of shared weights every site counts that an event reaches: a convolution's fan-out is its
    kernel's.
    """
    connected = net.between(projection)
    if connected is not None:
        return _fans_of_sites(connected, variable)
    weights = net.weights[projection]
    n_post, n_pre = weights.shape
    fans: Array
    if variable == FORWARD and isinstance(weights, np.ndarray):
        fans = np.full(n_pre, n_post)
    elif variable == FORWARD:
        fans = np.bincount(weights.indices, minlength=n_pre)
    elif isinstance(weights, np.ndarray):
        fans = np.full(n_post, n_pre)
    else:
        fans = np.diff(weights.indptr)
    return fans.astype(float)


def _fans_of_sites(connected: Between, variable: str) -> Array:
    """Return `_fans` of shared weights."""
    axis, reached, own = 0, connected.post_features, connected.pre_features
    if variable != FORWARD:
        axis, reached, own = 1, own, reached
    fans: Any = 0
    for matrix in connected.matrices:
        fans = fans + np.asarray((matrix != 0).sum(axis=axis)).ravel()
    return np.repeat(np.asarray(fans, dtype=float) * reached, own)


# Synapses of a projection


def _from_clamped(net: Network, projection: str) -> bool:
    """Return whether a projection comes from a clamped population."""
    pre = net.projections[projection].pre
    return bool(net.populations[pre].clamped)


def _synapses_both_ways(net: Network, projection: str) -> int:
    """Return the number of synapses that a dense step uses, forward and backward."""
    count = net.connections(projection)
    if _from_clamped(net, projection):
        return count
    return 2 * count


def _plastic_synapses(net: Network, projection: str) -> int:
    """Return the number of synapses that learning updates.

    Feedback weights count, too, where they learn by the same rule as the weights. Shared weights
    count at every pair of sites, as each adds to their change.
    """
    count = net.connections(projection)
    if net.projections[projection].feedback == KOLEN_POLLACK:
        return 2 * count
    return count


def _pairs(net: Network, projection: str) -> int:
    """Return the number of pairs of units that a projection could connect."""
    q = net.projections[projection]
    return int(net.populations[q.post].size * net.populations[q.pre].size)


def _nonzero(net: Network, projection: str) -> int:
    """Return the number of synapses with a weight that is not 0."""
    values = synapses(net.matrix(projection))
    return int(np.count_nonzero(values))


def _effective(run: Run, projection: str) -> float:
    """Return the effective operations of a dense projection at one step, forward and backward."""
    net = run.network
    if not _from_clamped(net, projection):
        return 2.0 * _nonzero(net, projection)
    pre = net.projections[projection].pre
    inputs = np.asarray(run.X[pre])
    live = (inputs != 0).mean(axis=0)  # share of patterns in which a unit is not 0
    nonzero = net.matrix(projection) != 0
    fan_out = np.asarray(nonzero.sum(axis=0), dtype=float)
    return float(fan_out.ravel() @ live)


def _footprint(run: Run, sources: tuple[EventSource, ...]) -> int:
    """Return the bytes of parameters, states and the messages of event sources."""
    net = run.network
    first, *_ = run.x.values()
    patterns = len(first)
    parameters = 0
    for bias in net.biases.values():
        parameters += bias.size
    for projection in (*net.projections, *net.feedback):
        parameters += synapses(net.weights[projection]).size
    index = 0
    for weights in net.weights.values():
        if not isinstance(weights, np.ndarray):
            index += weights.indices.nbytes + weights.indptr.nbytes
    state = 0
    for population in net.populations.values():
        variables = 1 if population.clamped else 2  # x, and lam of a unit that is not clamped
        state += variables * population.size
    messages = 0
    for source in sources:
        copies = 1  # the message that was last sent
        if source.rule.delay:  # plus the one that was received, and those in flight
            copies = 2 + source.delay_steps(float(run.settings["dt"]))
        messages += copies * net.populations[source.population].size
    precision = run.settings.get("precision", "float64")
    width = np.dtype(precision).itemsize
    numbers = parameters + patterns * (state + messages)
    return int(width * numbers + index)
