"""Networks that change their size: neurons and synapses that carry nothing taken away, neurons
split in two.

Surgery on parameters, for any graph, with the check that predictions stay; nothing here runs a
flow. Inputs, and populations whose outputs are predicted or compared with targets, keep their
units. Start at `prune` and `grow`; `pruned` and `grown` say besides what became of each unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.data import patterns as data
from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.state import State
from neurosim.model.weights import Weights, at_synapses, transposed, with_values

Array = np.ndarray
SPARSE_BELOW = (
    0.25  # share of synapses left from which on compressed rows cost less than the dense product
)


@dataclass(frozen=True)
class Reshaped:
    """A network of another size, and where its units come from.

    Attributes
    ----------
    network : Network
    origin : dict of str to array of int, (units,)
        The unit of the old network that each unit is, or is a copy of; a population that is gone
        has no entry.
    share : dict of str to array, (units,), unit 1
        What is left of each unit's outgoing weights and multiplier: 1, and 1/2 of a neuron split in
        two.
    held : dict of str to array, (old units,), unit 1
        The constant output that stands in for each unit that is gone, folded into its children's
        biases; else 0.
    change : float
        Largest change of an output over the patterns of the check; NaN without them.
    """

    network: Network
    origin: dict[str, Array]
    share: dict[str, Array]
    held: dict[str, Array] = field(default_factory=dict)
    change: float = float("nan")

    def carry(self, state: State) -> State:
        """Outputs and multipliers of the old network, for the new one to go on from."""
        own = {n: self.origin[n] for n in self.network.neurons}
        x = {n: np.ascontiguousarray(state.x[n][:, units]) for n, units in own.items()}
        return State(x, {n: state.lam[n][:, units] * self.share[n] for n, units in own.items()})

    def wake(self, old: Network, state: State, before: State) -> State:
        """Give the old network what the smaller one has learnt, its other neurons as they were.

        Parameters
        ----------
        old : Network
            That the units were taken from; its weights and biases are changed.
        state, before : State
            Of the smaller network now, and of the old one when the units were taken from it.

        Returns
        -------
        State
            Of the old network: what was asleep has the output and multiplier it had.
        """
        for name, w in self.network.weights.items():
            q = old.projections[name]
            _put(old.weights[name], w, self.origin[q.post], self.origin[q.pre])
            if name in old.feedback:
                back = old.returning(name).copy()
                _put(back, self.network.returning(name), self.origin[q.post], self.origin[q.pre])
                old.feedback[name] = transposed(back)
        for n in self.network.neurons:
            folded = sum(
                old.weights[q.name] @ self.held[q.pre] for q in old.incoming(n)
            ) + np.zeros_like(old.biases[n])
            units = self.origin[n]
            old.biases[n][units] = self.network.biases[n] - folded[units]
        found = [{n: v.copy() for n, v in part.items()} for part in (before.x, before.lam)]
        for part, now in zip(found, (state.x, state.lam), strict=True):
            for n in self.network.neurons:
                part[n][:, self.origin[n]] = now[n]
        return State(*found)


def prune(
    net: Network,
    support: Mapping[str, Any] | None = None,
    X: Any = None,
    *,
    dead: float = 1e-3,
    synapses: float = 0.0,
    within: float = 1e-2,
) -> Network:
    """A smaller network without the neurons and synapses that carry nothing.

    Gone are neurons that are straw for every pattern, that nothing reads, whose output is constant,
    or whose norms of incoming and outgoing weights have a product of at most `dead`; of them, their
    mean output over X stays as a part of their children's biases, also of those that do not learn
    (exact where it is constant), and a population of which nothing is left goes too.

    Parameters
    ----------
    net : Network
        Is not changed.
    support : {population: bool (patterns, units) or (units,)}, optional
        True where a neuron is support, as `support_neurons` says it; populations left out are
        judged by weights only.
    X : (patterns, features), optional
        Patterns on which predictions are compared. Without them the output at X = 0 stands in for a
        neuron.
    dead : float
        0 takes only what is exactly without effect.
    synapses : float
        Synapses of at most this size go; where at most a quarter is left, the projection becomes
        sparse.
    within : float
        Largest change of an output, over X, that is accepted, relative to the largest output if
        that is above 1.

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
) -> Reshaped:
    """As `prune`, with where each unit comes from and the largest change of an output; `synapses` =
    None keeps all.
    """
    for name, value in (("dead", dead), ("synapses", synapses), ("within", within)):
        if value is not None and not (isinstance(value, int | float) and value >= 0):
            raise out_of_range(name, value, "a number >= 0")
    net.check_parameters()
    straw, driven, read = _straw(net, {} if support is None else support), _driven(net), _read(net)
    gone = {n: straw[n] | ~driven[n] | ~read[n] | _useless(net, n, dead) for n in net.populations}
    kept = {n: np.flatnonzero(~units | _fixed(net, n)) for n, units in gone.items()}
    silence = data.patterns(net, np.zeros((1, sum(net.populations[n].size for n in net.inputs))))
    before = reference.forward(net, silence if X is None else X)
    held = {
        n: np.where(np.isin(np.arange(x.shape[1]), kept[n]), 0.0, x.mean(axis=0))
        for n, x in before.items()
    }
    small = _without(net, kept, held, synapses)
    found = Reshaped(small, {n: kept[n] for n in small.populations}, _ones(small), held)
    if X is None:
        return found
    after = reference.forward(small, X)
    kept_outputs = [n for n in net.neurons if _fixed(net, n)]
    found = replace(
        found, change=max(float(np.abs(after[n] - before[n]).max()) for n in kept_outputs)
    )
    allowed = within * max(1.0, *(float(np.abs(before[n]).max()) for n in kept_outputs))
    if found.change > allowed:
        fewer = sum(p.size - len(kept[n]) for n, p in net.populations.items())
        raise ModelError(
            f"without {fewer} neurons the outputs change by up to {found.change:.3g}; "
            f"allowed: {allowed:.3g} (within = "
            f"{within!r}). Neurons can be straw while their outputs still count, as "
            "where the loss is flat on every "
            "pattern; try a price (group_l1), a smaller dead, or a larger within"
        )
    return found


def quiet(net: Network, support: Mapping[str, Array], X: Any, within: float) -> dict[str, Array]:
    """Support once more, with only so many straw neurons that what they send stays within a bound
    of its mean.

    Parameters
    ----------
    net : Network
    support : {population: bool (patterns, units)}
    X : (patterns, features)
    within : float
        Bound of the sum of what hidden neurons send, as its standard deviation over X times the
        norm of their outgoing weights: those that send least are straw first.

    Returns
    -------
    dict of str to bool array, (units,)
        False where a neuron is straw for every pattern and can be missed.
    """
    straw, x = _straw(net, support), reference.forward(net, X)
    sent = {}
    for n in hidden(net):
        squares = sum(_squares(net.weights[q.name], 0) for q in net.outgoing(n)) + np.zeros(
            net.populations[n].size
        )
        sent[n] = np.where(straw[n], x[n].std(axis=0) * np.sqrt(squares), np.inf)
    every = np.concatenate([np.zeros(0), *sent.values()])
    missed = np.empty(every.size, dtype=bool)
    order = np.argsort(every)
    missed[order] = np.cumsum(every[order]) <= within
    return {
        n: ~part
        for n, part in zip(
            sent, np.split(missed, np.cumsum([v.size for v in sent.values()])), strict=False
        )
    }


def grow(
    net: Network, units: Mapping[str, Sequence[int]], *, spread: float = 1.0, seed: int = 0
) -> Network:
    """A larger network in which neurons are split in two.

    Each copy, put at the end of its population, has the incoming weights of its original plus
    noise; both have half of its outgoing weights, so that without noise every output stays as it
    is.

    Parameters
    ----------
    net : Network
        Is not changed.
    units : {population: sequence of int}
        Neurons to split, such as those with the largest multipliers; one that is named twice
        becomes three.
    spread : float
        Of the noise, in standard deviations of freshly drawn weights (gain/sqrt(n_pre)).
    seed : int

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        A population that cannot grow, a unit that is not there, or an argument out of range.
    """
    return grown(net, units, spread=spread, seed=seed).network


def grown(
    net: Network, units: Mapping[str, Sequence[int]], *, spread: float = 1.0, seed: int = 0
) -> Reshaped:
    """As `grow`, with where each unit comes from."""
    if isinstance(spread, bool) or not isinstance(spread, int | float) or not 0 <= spread < np.inf:
        raise out_of_range("spread", spread, "a finite number >= 0", "1")
    if not isinstance(units, Mapping):
        raise ModelError(
            f"units are a {type(units).__name__}; allowed: {{population: units}}, e.g. "
            f"{{'hidden1': [3]}}"
        )
    for n in units:
        _check_hidden(net, n, "population of units to split")
        size = net.populations[n].size
        if wrong := [
            i for i in units[n] if not isinstance(i, int | np.integer) or not 0 <= i < size
        ]:
            raise out_of_range(f"unit of {n} to split", wrong[0], f"0 to {size - 1}")
    net.check_parameters()
    sizes = {n: p.size for n, p in net.populations.items()}
    origin = {
        n: np.concatenate([np.arange(k), np.asarray(units.get(n, ()), dtype=int)])
        for n, k in sizes.items()
    }
    share = {n: (1 / np.bincount(own))[own] for n, own in origin.items()}
    rng = np.random.default_rng(seed)
    projections = []
    for name, q in net.projections.items():
        w = _taken(net.weights[name], origin[q.post], origin[q.pre], share[q.pre])
        back = _taken(net.returning(name), origin[q.post], origin[q.pre], share[q.pre])
        _jitter(w, sizes[q.post], spread * q.gain, rng)
        projections.append(_changed(q, w, back))
    populations = [replace(p, size=len(origin[n])) for n, p in net.populations.items()]
    large = Network(populations, projections, list(net.losses.values()))
    large.biases = {n: net.biases[n][origin[n]] for n in net.neurons}
    return Reshaped(large, origin, share)


def hidden(net: Network) -> tuple[str, ...]:
    """Populations whose units may come and go."""
    return tuple(n for n in net.neurons if not _fixed(net, n))


def _fixed(net: Network, population: str) -> bool:
    """Inputs, what `predict` reads, and what is compared with targets."""
    loss = net.losses.get(population)
    return (
        net.populations[population].clamped
        or population == net.output
        or (loss is not None and loss.term.targeted)
    )


def _check_hidden(net: Network, population: str, what: str) -> None:
    if population not in net.populations:
        raise unknown(what, population, hidden(net))
    if _fixed(net, population):
        raise ModelError(
            f"{what} = {population!r}; allowed: {', '.join(hidden(net))}: inputs and "
            "outputs keep their size"
        )


def _straw(net: Network, support: Mapping[str, Any]) -> dict[str, Array]:
    """Units that are support for no pattern."""
    if not isinstance(support, Mapping):
        raise ModelError(
            f"support is a {type(support).__name__}; allowed: {{population: bool}}, as "
            "of support_neurons"
        )
    straw = {n: np.zeros(p.size, dtype=bool) for n, p in net.populations.items()}
    for n, given in support.items():
        if n not in net.populations:
            raise unknown("population of support", n, net.populations)
        found, size = np.asarray(given), net.populations[n].size
        if found.dtype != bool or found.ndim not in (1, 2) or found.shape[-1] != size:
            raise ModelError(
                f"support[{n!r}] is {found.dtype} of shape {found.shape}; allowed: bool "
                f"(patterns, {size}) or "
                f"({size},); try support_neurons(run, tol)"
            )
        straw[n] = np.logical_not(np.atleast_2d(found)).all(axis=0)
    return straw


def _useless(net: Network, population: str, dead: float) -> Array:
    """Units whose norms of weights to and from others have a product of at most `dead`."""
    squares = {
        "in": np.zeros(net.populations[population].size),
        "out": np.zeros(net.populations[population].size),
    }
    for name, q in net.projections.items():
        w = net.weights[name]
        own = w.diagonal() ** 2 if q.pre == q.post else 0.0  # what a neuron tells itself
        if q.post == population:
            squares["in"] += _squares(w, 1) - own
        if q.pre == population:
            squares["out"] += _squares(w, 0) - own
    useless: Array = np.sqrt(np.maximum(squares["in"] * squares["out"], 0)) <= dead
    return useless


def _driven(net: Network) -> dict[str, Array]:
    """Units that some input reaches; the output of the others is constant."""
    found = {n: np.full(p.size, p.clamped) for n, p in net.populations.items()}
    return _spread_along(net, found, forward=True)


def _read(net: Network) -> dict[str, Array]:
    """Units that reach some output."""
    found = {n: np.full(p.size, _fixed(net, n)) for n, p in net.populations.items()}
    return _spread_along(net, found, forward=False)


def _spread_along(net: Network, found: dict[str, Array], forward: bool) -> dict[str, Array]:
    """What can be reached along synapses that are not 0."""
    there = {name: abs(w) > 0 for name, w in net.weights.items()}
    before = -1
    while (now := sum(int(units.sum()) for units in found.values())) > before:
        before = now
        for name, q in net.projections.items():
            start, end = (q.pre, q.post) if forward else (q.post, q.pre)
            links = there[name] if forward else there[name].T
            found[end] = found[end] | (links @ found[start].astype(float) > 0)
    return found


def _without(
    net: Network, kept: Mapping[str, Array], held: Mapping[str, Array], synapses: float | None
) -> Network:
    """The network of the units that are kept; what the others sent on average is a bias."""
    left = {n for n, units in kept.items() if len(units)}
    biases = {n: net.biases[n].copy() for n in net.neurons}
    projections = []
    for name, q in net.projections.items():
        w = net.weights[name]
        biases[q.post] += w @ held[q.pre]
        if not {q.pre, q.post} <= left:
            continue
        w, back = (
            _taken(m, kept[q.post], kept[q.pre], np.ones(len(kept[q.pre])))
            for m in (w, net.returning(name))
        )
        if synapses is not None:
            w = _thinned(w, synapses)
        if synapses is None or np.any(w if isinstance(w, np.ndarray) else w.data):
            projections.append(_changed(q, w, back))
    populations = [replace(p, size=len(kept[n])) for n, p in net.populations.items() if n in left]
    small = Network(populations, projections, [v for n, v in net.losses.items() if n in left])
    small.biases = {n: biases[n][kept[n]] for n in small.neurons}
    return small


def _changed(q: Projection, w: Weights, back: Weights) -> Projection:
    """A projection with other weights, and what is left of what its messages return through, laid
    out as they are.
    """
    if not q.draws_feedback:
        return replace(q, weights=w, mask=None)
    dense = back if isinstance(back, np.ndarray) else back.toarray()
    return replace(
        q, weights=w, mask=None, feedback_weights=transposed(with_values(w, at_synapses(w, dense)))
    )


def _thinned(w: Weights, size: float) -> Weights:
    """Weights without synapses of at most `size`, sparse if that is worth it."""
    from scipy.sparse import csr_array

    if isinstance(w, np.ndarray):
        w = np.where(np.abs(w) <= size, 0.0, w)
        return csr_array(w) if np.count_nonzero(w) <= SPARSE_BELOW * w.size else w
    w = w.copy()
    w.data[np.abs(w.data) <= size] = 0
    w.eliminate_zeros()
    return w


def _taken(w: Weights, post: Array, pre: Array, share: Array) -> Weights:
    """Rows `post` and columns `pre`, the latter scaled: an own copy."""
    if isinstance(w, np.ndarray):
        return np.ascontiguousarray(w[np.ix_(post, pre)] * share)
    part = w[post][:, pre].tocsr()
    part.sort_indices()
    part.data = part.data * share[part.indices]
    return part


def _put(w: Weights, part: Weights, post: Array, pre: Array) -> None:
    """The reverse of `_taken`, in place; a sparse part has the same synapses."""
    if isinstance(w, np.ndarray):
        w[np.ix_(post, pre)] = part
        return
    place = w.copy()
    place.data = np.arange(w.nnz)
    w.data[_taken(place, post, pre, np.ones(len(pre))).data.astype(int)] = part.data


def _jitter(w: Weights, first: int, size: float, rng: np.random.Generator) -> None:
    """Noise on the incoming weights of the units from `first` on, of the size of fresh weights
    times `size`.
    """
    if isinstance(w, np.ndarray):
        w[first:] += rng.normal(scale=size / np.sqrt(w.shape[1]), size=w[first:].shape)
        return
    partners = np.repeat(np.diff(w.indptr), np.diff(w.indptr))[w.indptr[first] :]
    w.data[w.indptr[first] :] += rng.normal(size=len(partners)) * size / np.sqrt(partners)


def _squares(w: Weights, axis: int) -> Array:
    return np.asarray((w * w).sum(axis=axis), dtype=float).ravel()


def _ones(net: Network) -> dict[str, Array]:
    return {n: np.ones(p.size) for n, p in net.populations.items()}
