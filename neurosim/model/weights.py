"""Weight matrices: how they are laid out, drawn and checked.

(n_post, n_pre): an array where every synapse exists, a csr_array with sorted indices where one can
be absent. Below `network`, which holds them, and free of any formula of the flows, so that `engine`
and `reference` may both read it. Start at `synapses`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurosim.errors import ModelError

Array = np.ndarray
Weights = (
    Any  # (n_post, n_pre): np.ndarray, or scipy.sparse.csr_array where a synapse can be absent
)


def synapses(weights: Weights) -> Array:
    """The weights of the synapses that exist, a view: (n_post, n_pre), or (synapses,) of a
    csr_array.
    """
    return weights if isinstance(weights, np.ndarray) else np.asarray(weights.data)


def with_values(weights: Weights, values: Array) -> Weights:
    """`values`, laid out as `synapses` are, as weights of the same type, shape and sparsity."""
    if isinstance(weights, np.ndarray):
        return values.reshape(weights.shape)
    from scipy.sparse import csr_array

    return csr_array((values, weights.indices.copy(), weights.indptr.copy()), shape=weights.shape)


def synapse_indices(weights: Weights) -> tuple[Array, Array]:
    """Postsynaptic and presynaptic unit of each synapse of a csr_array."""
    return np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr)), weights.indices


def at_synapses(weights: Weights, matrix: Array) -> Array:
    """The entries of a dense matrix, (n_post, n_pre), at the synapses that exist, laid out as
    `synapses` are.
    """
    return (
        matrix if isinstance(weights, np.ndarray) else np.asarray(matrix[synapse_indices(weights)])
    )


def transposed(matrix: Weights) -> Weights:
    """The transpose as an own matrix of the same kind: from the layout of feedback weights B to
    that of W, and back.
    """
    if isinstance(matrix, np.ndarray):
        return np.ascontiguousarray(matrix.T)
    from scipy.sparse import csr_array

    found = csr_array(matrix.T)
    found.sort_indices()
    return found


def random_weights(
    shape: tuple[int, int], mask: Array | None, gain: float, rng: np.random.Generator
) -> Weights:
    """w ~ N(0, gain² / number of presynaptic partners); sparse where there is a mask."""
    draw = rng.normal(size=shape)
    if mask is None:
        return draw * (gain / math.sqrt(shape[1]))
    partners = np.maximum(mask.sum(axis=1), 1)[:, None]
    return _masked(draw * gain / np.sqrt(partners), mask)


def identity(size: int, value: float) -> Weights:
    """One synapse a unit."""
    from scipy.sparse import csr_array, eye_array

    return csr_array(eye_array(size) * value)


def checked(projection: str, weights: Any, shape: tuple[int, int], mask: Array | None) -> Weights:
    """Weights as a projection keeps them: a C-contiguous float array, or CSR with sorted indices.

    Raises
    ------
    ModelError
        Another shape, what is no finite number, or synapses outside the mask.
    """
    from scipy.sparse import csr_array, issparse

    name = f"weights of {projection}"
    try:
        sparse = csr_array(weights, dtype=float) if issparse(weights) else None
        dense = np.empty(0) if sparse is not None else np.ascontiguousarray(weights, dtype=float)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name} are not numbers; allowed: a float array (n_post, n_pre) = {shape}"
        ) from error
    got = dense.shape if sparse is None else sparse.shape
    if got != shape:
        hint = "; try the transpose" if got == shape[::-1] else ""
        raise ModelError(f"{name} have shape {got}; allowed: (n_post, n_pre) = {shape}{hint}")
    if not np.isfinite(dense if sparse is None else sparse.data).all():
        raise ModelError(f"{name} hold NaN or infinity; allowed: finite numbers")
    if sparse is None:
        return dense if mask is None else _masked(dense, mask)
    if not sparse.has_canonical_format:
        sparse = sparse.copy()  # the user's own stays as it is
    sparse.sum_duplicates()
    stored = sparse.tocoo()
    if mask is not None and not mask[stored.row, stored.col].all():
        raise ModelError(f"{name} have synapses outside the mask")
    sparse.sort_indices()
    return sparse


def checked_mask(projection: str, mask: Any, shape: tuple[int, int]) -> Array | None:
    """Which synapses exist, a bool array, or None where all do.

    Raises
    ------
    ModelError
        Another shape, or entries other than 0 and 1.
    """
    if mask is None:
        return None
    found = np.asarray(mask.toarray() if hasattr(mask, "toarray") else mask)
    if found.shape != shape or not (found.dtype == bool or np.isin(found, (0, 1)).all()):
        raise ModelError(
            f"mask of {projection} has shape {found.shape}; allowed: bool (n_post, n_pre) = {shape}"
        )
    return found.astype(bool)


def _masked(dense: Array, mask: Array) -> Weights:
    """The entries of a dense matrix at the synapses of a mask, zeros among them too."""
    from scipy.sparse import csr_array

    sparse = csr_array(mask.astype(float))
    sparse.sort_indices()
    sparse.data[:] = dense[mask]
    return sparse
