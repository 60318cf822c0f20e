"""Locality of the engine's step: how much units and synapses read beyond their synapses.

Above `simulation`; part of the scorecard in `plausibility`. Derivatives are central differences
through one step of the engine. Start at `locality`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns as as_patterns
from neurosim.errors import ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.schedules import Simultaneous
from neurosim.model.state import State
from neurosim.reference.functions import dense
from neurosim.reference.plasticity import one_step
from neurosim.simulation.modulators import modulators_of
from neurosim.simulation.simulation import Simulation

Array = np.ndarray
Arrays = Mapping[str, Array]
Variable = tuple[str, str, int]  # "x" or "lam", a population, a unit

NUDGE = 1e-4  # of a state, for central differences; the engine's step is smooth there
SPREAD = 0.3  # of the random state at which a step is taken
ROUNDING = 1e-7  # share of the largest derivative below which differences are rounding


def locality(net: Network, flow: Flow, X: Any, seed: int = 0) -> tuple[float, float]:
    """Measure how much of a step depends on more than a unit or a synapse has access to.

    Central differences through one Euler step of the engine at a random state. The messages that a
    unit received are subtracted from its rates; the rest, and the message that it sends, may depend
    on its own states and on its parents' outputs. The change of a synapse is compared with the
    product of the messages at its two ends, a mean over the patterns, less its own decay (l1, l2);
    where the projection has a learning rule, with that rule at each synapse. Modulators are 1.

    What is not local, whatever the flow: the losses `cross_entropy` and `policy` read all outputs
    of their population, through the softmax; all other losses, formulas included, read one output
    each. The penalties row_l1 and column_l1 (group_l1 of `Network.mlp`) read a norm, so that a
    synapse reads all weights of its row or column. And with several patterns at once a synapse
    reads their mean, which this measure does not count: its two ends alone are read only where one
    pattern is presented at a time.

    Parameters
    ----------
    net : Network
    flow : Flow
    X : array (patterns, features), or mapping by input population
        The first pattern is clamped.
    seed : int
        Seed of the random state.

    Returns
    -------
    units, synapses : float, unit 1
        Share of the largest derivative, and of the largest change, that is not local; 0 is local.

    Raises
    ------
    ModelError
        A constraint other than `lin`; a rule that reads more of its ends than x and delta.
    DataError
        X does not fit the network.
    """
    kinds = {net.populations[n].constraint for n in net.neurons}
    if kinds != {"lin"}:
        named = ", ".join(sorted(kinds))
        raise ModelError(f"locality with constraint {named}; allowed: 'lin'")
    step = _nudged_step(net, flow, X, seed)
    largest = 0.0
    foreign = 0.0
    for n in net.neurons:
        beyond = _beyond(net, n, step.moved)
        for values in _own_values(net, flow, n, step):
            above = values[1::2]
            below = values[2::2]
            slopes = np.abs(above - below) / (2 * NUDGE)
            foreign_slopes = slopes * beyond
            largest = max(largest, float(slopes.max()))
            foreign = max(foreign, float(foreign_slopes.max()))
    units = _share(foreign, largest)
    synapses = _share(step.unexplained, step.largest_change)
    return units, synapses


@dataclass(frozen=True)
class _NudgedStep:
    """One step from a state, and from the same state with one variable moved up, then down.

    Attributes
    ----------
    moved : list of (variable, population, unit)
    x, lam : dict of str to array, (1 + 2 moved, units), 1/s
        Rates of change by population.
    delta : dict of str to array, (1 + 2 moved, units), unit 1
        Messages sent back.
    unexplained, largest_change : float, unit 1
        Largest change of a synapse that its two ends do not explain, and largest change.
    """

    moved: list[Variable]
    x: dict[str, Array]
    lam: dict[str, Array]
    delta: dict[str, Array]
    unexplained: float
    largest_change: float


def _own_values(net: Network, flow: Flow, n: str, step: _NudgedStep) -> list[Array]:
    """Return the values that each unit computes itself.

    They are its rates dx/dt and dlam/dt times tau, without the received messages, and the message
    that it sends back; each is (1 + 2 moved, units), unit 1.
    """
    received = np.zeros_like(step.x[n])
    for q in net.outgoing(n):
        W = dense(net.matrix(q.name))
        received = received + step.delta[q.post] @ W
    tau_x = flow.time("tau_x", n)
    tau_lam = flow.time("tau_lam", n)
    dx = tau_x * step.x[n] - flow.kappa * received
    dlam = tau_lam * step.lam[n] - flow.gamma * received
    return [dx, dlam, step.delta[n]]


def _share(part: float, whole: float) -> float:
    """Return part/whole; 0 where the part is within the rounding of float64 differences."""
    if part <= ROUNDING * whole:
        return 0.0
    return part / whole


def _beyond(net: Network, n: str, moved: Sequence[Variable]) -> Array:
    """Whether each state is neither a unit's own nor the output of one of its parents.

    Returns
    -------
    array of bool, (moved, units)
    """
    size = net.populations[n].size
    beyond = np.ones((len(moved), size), dtype=bool)
    has_synapse = {}
    for q in net.incoming(n):
        W = dense(net.matrix(q.name))
        has_synapse[q.pre] = W != 0
    for row, (variable, population, unit) in enumerate(moved):
        if population == n:
            beyond[row, unit] = False
        if variable == "x" and population in has_synapse:
            children = has_synapse[population][:, unit]
            beyond[row] &= ~children
    return beyond


def _nudged_step(net: Network, flow: Flow, X: Any, seed: int) -> _NudgedStep:
    """Take one step of the engine from a random state and its nudged copies, one per pattern."""
    moved: list[Variable] = []
    for variable in ("x", "lam"):
        for n in net.neurons:
            units = range(net.populations[n].size)
            moved += [(variable, n, unit) for unit in units]
    rows = 1 + 2 * len(moved)
    state = _nudged_state(net, moved, seed)
    clamped = {}
    for n, v in as_patterns(net, X).items():
        clamped[n] = np.repeat(v[:1], rows, axis=0)
    Y = {}
    for n in net.losses:
        first_unit = np.eye(1, net.populations[n].size)
        Y[n] = np.tile(first_unit, (rows, 1))
    taus = [flow.time("tau_x", n) for n in net.neurons]
    taus += [flow.time("tau_lam", n) for n in net.neurons]
    dt = 1e-3 * min(taus)

    twin = net.copy()
    simulation = Simulation(twin, flow, dt=dt, backend="numpy")
    schedule = Simultaneous(duration=dt, reports=1)
    modulators = dict.fromkeys(modulators_of(net), 1.0) or None
    log = simulation.train(clamped, Y, schedule, start=state, record="delta", modulators=modulators)
    run = log.run
    assert run.traces is not None
    population = run.traces["population"].values
    sent = run.traces["delta"].values[0]
    x_rates = {}
    lam_rates = {}
    delta = {}
    for n in net.neurons:
        x_rates[n] = (run.x[n] - state.x[n]) / dt
        lam_rates[n] = (run.lam[n] - state.lam[n]) / dt
        delta[n] = sent[:, population == n]
    unexplained, largest_change = _weight_changes(
        net, flow, twin, dt, delta=delta, x={**clamped, **state.x}
    )
    return _NudgedStep(
        moved=moved,
        x=x_rates,
        lam=lam_rates,
        delta=delta,
        unexplained=unexplained,
        largest_change=largest_change,
    )


def _nudged_state(net: Network, moved: Sequence[Variable], seed: int) -> State:
    """Return a random state, and the same with each variable moved up, then down, as patterns."""
    rng = np.random.default_rng(seed)
    rows = 1 + 2 * len(moved)
    parts: dict[str, dict[str, Array]] = {"x": {}, "lam": {}}
    for part in parts.values():
        for n in net.neurons:
            size = net.populations[n].size
            values = SPREAD * rng.normal(size=(1, size))
            part[n] = np.repeat(values, rows, axis=0)
    for m, (variable, n, unit) in enumerate(moved):
        values = parts[variable][n]
        up = 1 + 2 * m
        down = up + 1
        values[up, unit] += NUDGE
        values[down, unit] -= NUDGE
    return State(parts["x"], parts["lam"])


def _weight_changes(
    net: Network,
    flow: Flow,
    after: Network,
    dt: float,
    *,
    delta: dict[str, Array],
    x: dict[str, Array],
) -> tuple[float, float]:
    """Return the largest change of a weight that its ends do not explain, and the largest change.

    Both are times tau_w/dt, unit 1, over the plastic projections. Shared weights are those of every
    pair of units: the ends of one pair do not explain a change that is a sum over all sites.

    Parameters
    ----------
    net, after : Network
        Before the step and after it.
    flow : Flow
    dt : float, s
    delta, x : dict of str to array, (patterns, units), unit 1
        Messages at the two ends, by population.
    """
    unexplained = []
    largest = []
    for name, q in net.projections.items():
        if not q.plastic:
            continue
        old = dense(net.matrix(name))
        new = dense(after.matrix(name))
        share = dt / flow.time("tau_w", q.post)
        rate = (new - old) / share
        pre = x[q.pre]
        exists = old != 0
        if q.own_rule is not None:
            product = _by_rule(net, q, flow, dt, delta=delta, x=x)
        else:
            product = delta[q.post].T @ pre / len(pre)
        local = (product - q.l2 * old - q.l1 * np.sign(old)) * exists
        unexplained.append(float(np.abs(rate - local).max()))
        largest.append(float(np.abs(rate).max()))
    return max(unexplained), max(largest)


def _by_rule(
    net: Network, q: Projection, flow: Flow, dt: float, *, delta: Arrays, x: Arrays
) -> Array:
    """Return the change of w by a projection's rule at each synapse, times tau_w/dt."""
    rule = q.own_rule
    assert rule is not None
    w = dense(net.weights[q.name])
    ends = {}
    for name, end in rule.ends_read:
        values = {"x": x, "delta": delta}.get(name, {})
        population = q.pre if end == "pre" else q.post
        if population not in values:
            raise ModelError(
                f"locality of {q.name}, whose rule reads {name}_{end}; allowed: rules of x and "
                "delta"
            )
        ends[name, end] = values[population]
    state = {"w": w, **{name: np.full(w.shape, rule.initial[name]) for name in rule.own_variables}}
    tau_w = flow.time("tau_w", q.post)
    shared = {"tau_w": tau_w, "t": 0.0, **dict.fromkeys(rule.modulators, 1.0)}
    moved = one_step(rule, state, ends, shared, dt)["w"]
    change: Array = (moved - w) * tau_w / dt
    return change
