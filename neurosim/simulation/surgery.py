"""Prune and grow networks: remove neurons and synapses that carry nothing, split neurons in two.

Operations on parameters, for any graph, with a check that predictions do not change; no flow is
run. Inputs, and populations whose outputs are predicted or compared with targets, keep their
units. Start at `prune` and `grow`; `pruned` and `grown` also return where each unit comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.arguments import checked
from neurosim.data import patterns as data
from neurosim.data.sample_weights import weighted_mean, weighted_spread
from neurosim.errors import ModelError, number, out_of_range, unknown, whole
from neurosim.model.arrays import refuse_lossy
from neurosim.model.display import short_repr
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.state import State
from neurosim.model.weights import Weights, at_synapses, transposed, with_values
from neurosim.model.weights import synapses as synapse_values
from neurosim.simulation.reachable import driven_units, keeps_its_size, read_units
from neurosim.simulation.start import steps_before
from neurosim.simulation.submatrices import (
    add_noise,
    no_sites,
    own_squares,
    put,
    sums_of_squares,
    taken,
    thinned,
)

Array = np.ndarray
Arrays = Mapping[str, Array]


@dataclass(frozen=True, repr=False)
class Reshaped:
    """A network of another size, and where its units come from.

    Attributes
    ----------
    network : Network
    origin : dict of str to array of int, (units,)
        The unit of the old network that each unit is, or is a copy of; a population that is gone
        has no entry.
    share : dict of str to array, (units,), unit 1
        The part of each unit's outgoing weights and multiplier that is left: 1, or 1/2 for a neuron
        that was split in two.
    held : dict of str to array, (old units,), unit 1
        For each unit that is gone the constant output that stands in for it, folded into its
        children's biases; else 0.
    change : float
        Largest change of an output over the patterns of the check; NaN without patterns.
    """

    network: Network
    origin: dict[str, Array]
    share: dict[str, Array]
    held: dict[str, Array] = field(default_factory=dict)
    change: float = float("nan")

    __repr__ = short_repr

    def carry(self, state: State) -> State:
        """Return the new network's state, from that of the old one."""
        x, lam = {}, {}
        for n in self.network.neurons:
            units = self.origin[n]
            x[n] = np.ascontiguousarray(state.x[n][:, units])
            lam[n] = state.lam[n][:, units] * self.share[n]
        return State(x, lam, steps_before(state))

    def write_back(self, old: Network, state: State, before: State) -> State:
        """Write what the smaller network has learnt into the old one; its other units stay.

        Parameters
        ----------
        old : Network
            The network that the units were taken from; its weights and biases are changed.
        state, before : State
            Of the smaller network now, and of the old one when the units were taken from it.

        Returns
        -------
        State
            Of the old network: the other units have the output and the multiplier that they had.
        """
        for name, w in self.network.weights.items():
            q = old.projections[name]
            post = self.origin[q.post]
            pre = self.origin[q.pre]
            put(old.weights[name], w, post, pre)
            if q.draws_feedback:
                back = old.returning(name).copy()
                put(back, self.network.returning(name), post, pre)
                old.feedback[name] = transposed(back)
        x = {n: values.copy() for n, values in before.x.items()}
        lam = {n: values.copy() for n, values in before.lam.items()}
        for n in self.network.neurons:
            units = self.origin[n]
            folded = np.zeros_like(old.biases[n])
            for q in old.incoming(n):
                folded += old.weights[q.name] @ self.held[q.pre]
            old.biases[n][units] = self.network.biases[n] - folded[units]
            x[n][:, units] = state.x[n]
            lam[n][:, units] = state.lam[n]
        return State(x, lam, steps_before(state))


# Pruning


@checked
def prune(
    net: Network,
    support: Mapping[str, Any] | None = None,
    X: Any = None,
    *,
    dead: float = 1e-3,
    synapses: float = 0.0,
    within: float = 1e-2,
) -> Network:
    """Return a smaller network, without the neurons and synapses that carry nothing.

    A neuron goes if it is straw for every pattern, if no path leads from it to an output, if its
    output is constant, or if its norms of incoming and outgoing weights have a product of at most
    `dead`. Its mean output over X stays, as a part of its children's biases, even of those that do
    not learn; this is exact where the output is constant. A population without units goes, too.
    Where there are sites, whole features go, with the mean over the sites.

    Parameters
    ----------
    net : Network
        Is not changed.
    support : {population: bool (patterns, units) or (units,)}, optional
        True where a neuron is support, as `support_neurons` returns it; populations left out are
        judged by their weights only.
    X : (patterns, features), optional
        Patterns on which predictions are compared. Without them, the output at X = 0 stands in for
        a neuron.
    dead : float, unit 1
        With 0, only what is exactly without effect goes.
    synapses : float, unit 1
        Synapses of at most this size go; where at most a quarter is left, the projection becomes
        sparse.
    within : float, unit 1
        Largest accepted change of an output over X, relative to the largest output if that is above
        1.

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        `support` does not fit the network; an argument out of range; predictions over X change by
        more than `within`.
    DataError
        X does not fit the network.

    Examples
    --------
    >>> net = Network.mlp([4, 3, 2])
    >>> net.weights["hidden1->output"][:, 1] = 0
    >>> prune(net)
    Network(4-2-2, 2 projections, 16 parameters, cross_entropy on output)
    """
    return pruned(net, support, X, dead=dead, synapses=synapses, within=within).network


def pruned(
    net: Network,
    support: Mapping[str, Any] | None = None,
    X: Any = None,
    *,
    dead: float = 1e-3,
    synapses: float | None = 0.0,
    within: float = 1e-2,
    weights: Array | None = None,
) -> Reshaped:
    """Prune, and return where each unit comes from; `synapses` = None keeps all of them.

    `weights`, (patterns,), are those of the patterns in X, see `Simulation.train`.
    """
    number("dead", dead, least=0)
    if synapses is not None:
        number("synapses", synapses, least=0)
    if within != np.inf:  # infinity accepts any change
        number("within", within, least=0)
    net.check_parameters()
    straw = _straw(net, {} if support is None else support)
    driven = driven_units(net)
    read = read_units(net)
    useful = {}
    for n in net.populations:
        stays = driven[n] & read[n] & ~straw[n]
        stays &= ~_dead(net, n, dead)
        useful[n] = _whole_features(net, n, stays | keeps_its_size(net, n))
    _keep_pools_whole(net, useful)
    kept = {n: np.flatnonzero(units) for n, units in useful.items()}
    before = reference.forward(net, _zeros(net) if X is None else X)
    held = {}
    for n, x in before.items():
        held[n] = weighted_mean(x, weights)
        held[n][kept[n]] = 0.0
    small = _without(net, kept, held, synapses)
    origin = {n: kept[n] for n in small.populations}
    share = {n: np.ones(p.size) for n, p in small.populations.items()}
    found = Reshaped(small, origin, share, held)
    if X is None:
        return found
    after = reference.forward(small, X)
    outputs = [n for n in net.neurons if keeps_its_size(net, n)]
    counted = slice(None) if weights is None else weights > 0
    change = max(_largest((after[n] - before[n])[counted]) for n in outputs)
    scales = [_largest(before[n][counted]) for n in outputs]
    allowed = within * max(1.0, *scales)
    if change > allowed:
        fewer = _size(net) - _size(small)
        raise ModelError(
            f"without {fewer} neurons the outputs change by up to {change:.3g}; "
            f"allowed: {allowed:.3g} (within = {within!r}). Neurons can be straw while their "
            "outputs still count, as where the loss is flat on every pattern; try a penalty "
            "(group_l1), a smaller dead, or a larger within"
        )
    return replace(found, change=change)


def missable(
    net: Network, support: Arrays, X: Any, within: float, weights: Array | None = None
) -> dict[str, Array]:
    """Return support with only as many straw neurons as may be removed within a bound.

    The bound is on the sum of what hidden neurons send: its standard deviation over X times the
    norm of their outgoing weights. Neurons that send least are straw first.

    Parameters
    ----------
    net : Network
    support : {population: bool (patterns, units)}
    X : (patterns, features)
    within : float, unit 1
    weights : (patterns,), optional

    Returns
    -------
    dict of str to bool array, (units,)
        False where a neuron is straw for every pattern and may be removed.
    """
    straw = _straw(net, support)
    x = reference.forward(net, X)
    sent = {}
    for n in hidden(net):
        squares = np.zeros(net.populations[n].size)
        for q in net.outgoing(n):
            squares += _at_units(net, n, sums_of_squares(net.weights[q.name], 0))
        norm = np.sqrt(squares)
        size = weighted_spread(x[n], weights) * norm
        sent[n] = np.where(straw[n], size, np.inf)
    every = np.concatenate([np.zeros(0), *sent.values()])
    missed = np.empty(every.size, dtype=bool)
    order = np.argsort(every)
    missed[order] = np.cumsum(every[order]) <= within
    found, first = {}, 0
    for n, values in sent.items():
        end = first + values.size
        found[n] = ~missed[first:end]
        first = end
    return found


# Growing


@checked
def grow(
    net: Network, units: Mapping[str, Sequence[int]], *, spread: float = 1.0, seed: int = 0
) -> Network:
    """Return a larger network, in which neurons are split in two.

    Each copy, at the end of its population, has the incoming weights of its original plus noise.
    Both have half of its outgoing weights: so every output stays as it is, except for the noise.

    Parameters
    ----------
    net : Network
        Is not changed.
    units : {population: sequence of int}
        Neurons to split, such as those with the largest multipliers; one that is named twice
        becomes three.
    spread : float, unit 1
        Size of the noise, in standard deviations of fresh weights (gain/sqrt(n_pre)).
    seed : int
        Seed of the noise.

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        A population that cannot grow, a unit that does not exist, or an argument out of range.

    Examples
    --------
    >>> net = Network.mlp([4, 3, 2])
    >>> grow(net, {"hidden1": [0, 2]})
    Network(4-5-2, 2 projections, 37 parameters, cross_entropy on output)
    """
    return grown(net, units, spread=spread, seed=seed).network


def grown(
    net: Network, units: Mapping[str, Sequence[int]], *, spread: float = 1.0, seed: int = 0
) -> Reshaped:
    """Grow, and return where each unit comes from."""
    number("spread", spread, least=0, try_="1")
    seed = whole("seed", seed, 0)
    for n, chosen in units.items():
        _check_hidden(net, n, "population of units to split")
        size = net.populations[n].size
        for i in chosen:
            if not isinstance(i, int | np.integer) or not 0 <= i < size:
                raise out_of_range(f"unit of {n} to split", i, f"0 to {size - 1}")
    net.check_parameters()
    no_sites(net, "grow")
    origin, share = {}, {}
    for n, p in net.populations.items():
        copies = np.asarray(units.get(n, ()), dtype=int)
        own = np.concatenate([np.arange(p.size), copies])
        shares = 1 / np.bincount(own)  # of every old unit
        origin[n] = own
        share[n] = shares[own]
    rng = np.random.default_rng(seed)
    projections = []
    for name, q in net.projections.items():
        ends = origin[q.post], origin[q.pre], share[q.pre]
        w = taken(net.weights[name], *ends)
        back = taken(net.returning(name), *ends)
        add_noise(w, net.populations[q.post].size, spread * q.gain, rng)
        projections.append(_changed(q, w, back))
    populations = []
    for n, p in net.populations.items():
        populations.append(replace(p, size=len(origin[n])))
    large = Network(populations, projections, list(net.losses.values()))
    large.biases = {n: net.biases[n][origin[n]] for n in net.neurons}
    return Reshaped(large, origin, share)


# Which units may go


def hidden(net: Network) -> tuple[str, ...]:
    """Return the populations whose number of units may change."""
    return tuple(n for n in net.neurons if not keeps_its_size(net, n))


def _zeros(net: Network) -> Arrays:
    """Return the pattern X = 0."""
    size = sum(net.populations[n].size for n in net.inputs)
    return data.patterns(net, np.zeros((1, size)))


def _check_hidden(net: Network, population: str, what: str) -> None:
    if population not in net.populations:
        raise unknown(what, population, hidden(net))
    if keeps_its_size(net, population):
        raise ModelError(
            f"{what} = {population!r}; allowed: {', '.join(hidden(net))}: inputs and outputs keep "
            "their size"
        )


def _straw(net: Network, support: Mapping[str, Any]) -> dict[str, Array]:
    """Return the units that are support for no pattern."""
    straw = {n: np.zeros(p.size, dtype=bool) for n, p in net.populations.items()}
    for n, given in support.items():
        if n not in net.populations:
            raise unknown("population of support", n, net.populations)
        refuse_lossy(f"support[{n!r}]", given, error=ModelError)
        found = np.asarray(given)
        size = net.populations[n].size
        if found.dtype != bool or found.ndim not in (1, 2) or found.shape[-1] != size:
            raise ModelError(
                f"support[{n!r}] is {found.dtype} of shape {found.shape}; allowed: bool "
                f"(patterns, {size}) or ({size},); try support_neurons(run, tol)"
            )
        by_pattern = np.atleast_2d(found)
        straw[n] = np.logical_not(by_pattern).all(axis=0)
    return straw


def _dead(net: Network, population: str, threshold: float) -> Array:
    """Return the units whose norms of weights from and to others have at most this product."""
    size = net.populations[population].size
    incoming = np.zeros(size)
    outgoing = np.zeros(size)
    for name, q in net.projections.items():
        w = net.weights[name]
        from_itself: Any = own_squares(w) if q.pre == q.post else 0.0
        if q.post == population:
            incoming += _at_units(net, population, sums_of_squares(w, 1) - from_itself)
        if q.pre == population:
            outgoing += _at_units(net, population, sums_of_squares(w, 0) - from_itself)
    product = np.maximum(incoming * outgoing, 0)  # rounding may leave it below 0
    return np.asarray(np.sqrt(product) <= threshold)


def _whole_features(net: Network, population: str, useful: Array) -> Array:
    """Return the units that stay: where there are sites, all those of a feature or none."""
    p = net.populations[population]
    if not p.sites:
        return useful
    some = useful.reshape(-1, p.features).any(axis=0)
    return np.tile(some, p.size // p.features)


def _keep_pools_whole(net: Network, useful: dict[str, Array]) -> None:
    """Let a feature stay on both sides of a pool, or on none."""
    pools = [q for q in net.projections.values() if q.over is not None and not q.over.weighted]
    for q in (*pools, *reversed(pools)):
        pre = useful[q.pre].reshape(-1, net.populations[q.pre].features)[0]
        post = useful[q.post].reshape(-1, net.populations[q.post].features)[0]
        for n in (q.pre, q.post):
            useful[n] = _at_units(net, n, pre & post)


def _at_units(net: Network, population: str, values: Array) -> Array:
    """Return values of features, or of units, as values of all units."""
    return np.tile(values, net.populations[population].size // len(values))


def _size(net: Network) -> int:
    return sum(p.size for p in net.populations.values())


def _largest(values: Array) -> float:
    return float(np.abs(values).max())


# Building the other network


def _without(net: Network, kept: Arrays, held: Arrays, synapses: float | None) -> Network:
    """Return the network of the units that are kept, with the outputs `held` folded into biases."""
    left = {n for n, units in kept.items() if len(units)}
    biases = {n: net.biases[n].copy() for n in net.neurons}
    projections = []
    for name, q in net.projections.items():
        fold = net.matrix(name) @ held[q.pre]
        biases[q.post] += fold.reshape(-1, len(biases[q.post])).mean(axis=0)
        if not {q.pre, q.post} <= left:
            continue
        post, pre = kept[q.post], kept[q.pre]
        if q.shares:
            post, pre = _features(net, q.post, post), _features(net, q.pre, pre)
        share = np.ones(len(pre))
        w = taken(net.weights[name], post, pre, share)
        back = taken(net.returning(name), post, pre, share)
        if synapses is not None and q.over is None:
            w = thinned(w, synapses)
        if synapses is None or np.any(synapse_values(w)):
            projections.append(_changed(q, w, back))
    populations = []
    for n, p in net.populations.items():
        if n in left:
            size: Any = len(kept[n])
            if p.sites:
                size = (*p.sites, len(_features(net, n, kept[n])))
            populations.append(replace(p, size=size, shape=None))
    losses = [loss for n, loss in net.losses.items() if n in left]
    small = Network(populations, projections, losses)
    for n in small.neurons:
        shares = len(biases[n]) < net.populations[n].size
        small.biases[n] = biases[n][_features(net, n, kept[n]) if shares else kept[n]]
    return small


def _features(net: Network, population: str, units: Array) -> Array:
    """Return the features whose units are kept at every site."""
    return units[units < net.populations[population].features]


def _changed(q: Projection, w: Weights, back: Weights) -> Projection:
    """Return a projection with other weights and the feedback weights `back`, stored like them."""
    if not q.draws_feedback:
        return replace(q, weights=w, mask=None)
    dense = back if isinstance(back, np.ndarray) else back.toarray()
    feedback = transposed(with_values(w, at_synapses(w, dense)))
    return replace(q, weights=w, mask=None, feedback_weights=feedback)
