"""Take rows and columns out of weights, dense or sparse, and put them back.

Below `surgery`. Rows are postsynaptic units, columns presynaptic ones. Sparse weights, and the
parts taken from them, are compressed rows (`csr_array`). Start at `taken`.
"""

from __future__ import annotations

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.network import Network
from neurosim.model.weights import Weights

Array = np.ndarray
# Share of synapses below which compressed rows cost less than the dense product.
SPARSE_BELOW = 0.25


def taken(w: Weights, post: Array, pre: Array, share: Array) -> Weights:
    """Return a copy of rows `post` and columns `pre`, each of these columns times its share.

    Rows and columns of shared weights are features.
    """
    if isinstance(w, np.ndarray):
        part = w[..., post, :][..., pre]
        return np.ascontiguousarray(part * share)
    rows = w[post]
    part = rows[:, pre].tocsr()
    part.sort_indices()
    part.data = part.data * share[part.indices]
    return part


def put(w: Weights, part: Weights, post: Array, pre: Array) -> None:
    """Write `part` back, in place, where `taken` took it; a sparse part has the same synapses."""
    if isinstance(w, np.ndarray):
        w[np.ix_(post, pre)] = part
        return
    positions = w.copy()
    positions.data = np.arange(w.nnz)
    chosen = taken(positions, post, pre, np.ones(len(pre)))
    w.data[chosen.data.astype(int)] = part.data


def thinned(w: Weights, size: float) -> Weights:
    """Return weights without the synapses of |w| <= `size`, as a sparse matrix if few are left."""
    from scipy.sparse import csr_array

    if not isinstance(w, np.ndarray):
        w = w.copy()
        w.data[np.abs(w.data) <= size] = 0
        w.eliminate_zeros()
        return w
    w = np.where(np.abs(w) <= size, 0.0, w)
    if np.count_nonzero(w) <= SPARSE_BELOW * w.size:
        return csr_array(w)
    return w


def add_noise(w: Weights, first: int, size: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise to the rows from `first` on, in place.

    Its standard deviation is `size` times that of fresh weights, 1/sqrt(synapses of the row).
    """
    if isinstance(w, np.ndarray):
        rows = w[first:]
        rows += rng.normal(scale=size / np.sqrt(w.shape[1]), size=rows.shape)
        return
    per_row = np.diff(w.indptr)
    begin = w.indptr[first]
    fan_in = np.repeat(per_row, per_row)[begin:]  # of the row of each synapse
    noise = rng.normal(size=len(fan_in))
    w.data[begin:] += noise * size / np.sqrt(fan_in)


def sums_of_squares(w: Weights, axis: int) -> Array:
    """Return the sums of squares along the rows (1) or columns (0), of all terms, flat."""
    sums = np.asarray((w * w).sum(axis=axis - 2), dtype=float)
    if len(w.shape) > 2:
        sums = sums.sum(axis=0)
    return np.asarray(sums.ravel())


def own_squares(w: Weights) -> Array:
    """Return the squares of the weights from a unit to itself, or a feature, of all terms."""
    if len(w.shape) == 2:
        return np.asarray(w.diagonal() ** 2)
    squares = np.square(np.diagonal(w, axis1=1, axis2=2))
    return np.asarray(squares.sum(axis=0))


def no_sites(net: Network, what: str) -> None:
    """Refuse populations with sites, whose units cannot go or come one by one."""
    for n, p in net.populations.items():
        if p.sites:
            raise ModelError(
                f"{what} with {n}, which has sites {p.sites}: its units are not of one kind each; "
                "allowed: populations without sites"
            )
