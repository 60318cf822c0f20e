"""The fixed matrices between the sites of a network, and what follows from them.

Above `sites` and `populations`, below `network`. Start at `between`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range
from neurosim.model import sites
from neurosim.model.arrays import real_array
from neurosim.model.populations import Population, Projection
from neurosim.model.weights import NORMAL, Weights, orthogonal

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Between:
    """How the sites of one population read those of another.

    Attributes
    ----------
    matrices : tuple of csr_array, each (post sites, pre sites)
        A_o, by term.
    post_sites, pre_sites : int
    post_features, pre_features : int
        Units at each site.
    """

    matrices: tuple[Any, ...]
    post_sites: int
    pre_sites: int
    post_features: int
    pre_features: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of shared weights, (terms, post features, pre features)."""
        return len(self.matrices), self.post_features, self.pre_features

    @property
    def entries(self) -> int:
        """Number of pairs of sites that are connected, summed over the terms."""
        return sum(int(matrix.nnz) for matrix in self.matrices)

    def unrolled(self, weights: Array) -> Weights:
        """Return the matrix of all units, sum_o A_o (x) W_o.

        Parameters
        ----------
        weights : array, (terms, post features, pre features)

        Returns
        -------
        csr_array, (n_post, n_pre)
        """
        from scipy.sparse import csr_array, kron

        size = (self.post_sites * self.post_features, self.pre_sites * self.pre_features)
        total = csr_array(size)
        for matrix, term in zip(self.matrices, weights, strict=True):
            total = total + csr_array(kron(matrix, term, format="csr"))
        return csr_array(total)

    @cached_property
    def support(self) -> Weights:
        """A csr_array of ones, (n_post, n_pre), where the sites of two units connect."""
        from scipy.sparse import csr_array, kron

        total = abs(self.matrices[0])
        for matrix in self.matrices[1:]:
            total = total + abs(matrix)
        total.data[:] = 1.0
        ones = np.ones((self.post_features, self.pre_features))
        found = csr_array(kron(csr_array(total), ones, format="csr"))
        found.sort_indices()
        return found


def between(q: Projection, pre: Population, post: Population) -> Between:
    """Return how the sites of two populations are connected by a projection with `over`.

    Raises
    ------
    ModelError
        Sites, or features of a pool, that do not fit.
    """
    try:
        expected = q.over.post_sites(pre.sites)
        matrices = q.over.matrices(pre.sites)
    except ModelError as error:
        raise ModelError(f"{q.name}: {error}") from error
    if expected is not None and expected != post.sites:
        raise out_of_range(
            f"sites of {post.name}", post.sites, f"{expected}, as {q.name} is over {q.over}"
        )
    rows = matrices[0].shape[0]
    if rows != sites.count(post.sites):
        raise out_of_range(
            f"sites of {post.name}",
            post.sites,
            f"{rows} in all, the rows of the matrices of {q.name}",
        )
    if not q.over.weighted and pre.features != post.features:
        raise out_of_range(
            f"features of {post.name}",
            post.features,
            f"{pre.features}, those of {pre.name}, as {q.over.kind} keeps features apart",
        )
    counts = sites.count(post.sites), sites.count(pre.sites)
    return Between(matrices, *counts, post.features, pre.features)


def drawn(q: Projection, connected: Between, rng: np.random.Generator) -> Weights:
    """Return the initial weights of a projection with `over`.

    Shared weights are N(0, gain² / (terms x pre features)), or gain / sqrt(terms) times an
    orthogonal matrix per term. Where sites have weights of their own, a unit's partners count. A
    pool has its means.

    Returns
    -------
    array, (terms, post features, pre features); or csr_array, (n_post, n_pre)
    """
    if not q.over.weighted:
        each = np.eye(connected.pre_features)[None]
        return connected.unrolled(each)
    if q.shares:
        terms, _, pre_features = connected.shape
        normal = rng.normal(size=connected.shape)
        if q.init == NORMAL:
            return normal * (q.gain / math.sqrt(terms * pre_features))
        factors = [orthogonal(term) for term in normal]
        return np.stack(factors) * (q.gain / math.sqrt(terms))
    if q.init != NORMAL:
        raise out_of_range(f"init of {q.name}", q.init, f"{NORMAL!r} where shared=False")
    found = connected.support.copy()
    partners = np.maximum(np.diff(found.indptr), 1)
    spread = np.repeat(q.gain / np.sqrt(partners), np.diff(found.indptr))
    found.data[:] = rng.normal(size=found.nnz) * spread
    return found


def checked(q: Projection, connected: Between, given: Any) -> Weights:
    """Validate the weights of a projection with `over`, and return them as floats.

    Raises
    ------
    ModelError
        Another shape, numbers that are not finite, synapses where sites do not connect, or weights
        of a pool that are not its means.
    """
    from scipy.sparse import csr_array, issparse

    name = f"weights of {q.name}"
    if q.shares:
        allowed = f"(terms, post features, pre features) = {connected.shape}, finite numbers"
        found = real_array(
            name, given, error=ModelError, allowed=allowed, booleans=False, copied=False
        )
        if found.shape != connected.shape:
            raise ModelError(f"{name} have shape {found.shape}; allowed: {allowed}")
        return np.require(found, requirements=["C", "W"])
    support = connected.support
    matrix = given if issparse(given) else np.asarray(given)
    if matrix.shape != support.shape:
        raise ModelError(
            f"{name} have shape {matrix.shape}; allowed: (n_post, n_pre) = {support.shape}"
        )
    matrix = csr_array(matrix, dtype=float)
    if not np.isfinite(matrix.data).all():
        raise ModelError(f"{name} hold NaN or infinity; allowed: finite numbers")
    same = np.array_equal(matrix.indptr, support.indptr)
    same = same and np.array_equal(matrix.indices, support.indices)
    if not same:
        outside = abs(matrix) - abs(matrix) * support
        if outside.count_nonzero():
            raise ModelError(
                f"{name} have {outside.count_nonzero()} synapses where over = {q.over.kind} "
                "connects no sites; allowed: weights where it does"
            )
        values = matrix.toarray()[support.nonzero()]
        matrix = support.copy()
        matrix.data[:] = values
    if not q.over.weighted:
        means = connected.unrolled(np.eye(connected.pre_features)[None])
        if abs(matrix - means).max() > 0:
            raise ModelError(f"{name} are not the means of its blocks; allowed: None")
    return matrix


def shares_biases(name: str, projections: Sequence[Projection]) -> bool:
    """Return whether the sites of a population share biases: all its incoming weights are shared.

    Parameters
    ----------
    name : str
        The population.
    projections : sequence of Projection
        All projections of the network.
    """
    incoming = [q for q in projections if q.post == name]
    kinds = [q.shares or (q.over is not None and not q.over.weighted) for q in incoming]
    return bool(kinds) and all(kinds)


def causal_order(
    names: Sequence[str],
    populations: Mapping[str, Population],
    projections: Mapping[str, Projection],
    connected: Mapping[str, Between],
) -> list[str] | None:
    """Return populations in the order in which one time step is computed, if time unrolls a cycle.

    Time is the first axis of sites, of equal length in all of them. A cycle unrolls where no
    projection reads a later time, and where those that read the same time close no cycle.

    Parameters
    ----------
    names : sequence of str
        Populations that reach each other.
    populations, projections : mapping
        Those of the network.
    connected : mapping of str to Between
        By projection with `over`.

    Returns
    -------
    list of str, or None where the cycle is one
    """
    import networkx as nx

    lengths = {populations[n].sites[:1] for n in names}
    if len(lengths) != 1 or lengths == {()}:
        return None
    (steps,) = lengths.pop()
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    for name, q in projections.items():
        if q.pre not in names or q.post not in names:
            continue
        if name not in connected:
            return None
        own = connected[name]
        earliest = _least_lag(own, steps)
        if earliest < 0:
            return None
        if earliest == 0:
            graph.add_edge(q.pre, q.post)
    if not nx.is_directed_acyclic_graph(graph):
        return None
    return list(nx.topological_sort(graph))


def _least_lag(own: Between, steps: int) -> int:
    """Return the smallest number of steps from a site that is read to the one that reads it."""
    least = steps
    for matrix in own.matrices:
        post, pre = matrix.nonzero()
        if len(post) == 0:
            continue
        lag = post // (own.post_sites // steps) - pre // (own.pre_sites // steps)
        least = min(least, int(lag.min()))
    return least
