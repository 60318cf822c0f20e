"""Weight matrices: their layout, initial values and checks.

A matrix is (n_post, n_pre): an array if every synapse exists, a csr_array with sorted indices if
synapses can be absent. Below `network`. This module contains no formula of the flows, so that
`engine` and `reference` may both import it. Start at `synapses`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.arrays import real_array, refuse_lossy

Array = np.ndarray
# (n_post, n_pre): np.ndarray, or scipy.sparse.csr_array where a synapse can be absent
Weights = Any

NORMAL, ORTHOGONAL = "normal", "orthogonal"
INITS = (NORMAL, ORTHOGONAL)  # distributions of weights that are drawn


def synapses(weights: Weights) -> Array:
    """Return the weights of the synapses that exist, as a view.

    Returns
    -------
    array, (n_post, n_pre), or (synapses,) if the weights are a csr_array
    """
    if isinstance(weights, np.ndarray):
        return weights
    return np.asarray(weights.data)


def with_values(weights: Weights, values: Array) -> Weights:
    """Return a matrix of the same type, shape and sparsity with other values.

    Parameters
    ----------
    weights : array or csr_array, (n_post, n_pre)
    values : array
        In the layout of ``synapses(weights)``.
    """
    if isinstance(weights, np.ndarray):
        return values.reshape(weights.shape)
    from scipy.sparse import csr_array

    indices, indptr = weights.indices.copy(), weights.indptr.copy()
    return csr_array((values, indices, indptr), shape=weights.shape)


def synapse_indices(weights: Weights) -> tuple[Array, Array]:
    """Return the postsynaptic and the presynaptic unit of every synapse, row by row.

    The order is that of ``synapses(weights).ravel()``. Of shared weights, (terms, post features,
    pre features), they are the features.

    Parameters
    ----------
    weights : array or csr_array, (n_post, n_pre)

    Returns
    -------
    post, pre : array of int, (synapses,)
        New arrays, not views of the matrix's own indices.

    Examples
    --------
    >>> post, pre = synapse_indices(np.ones((2, 3)))
    >>> post
    array([0, 0, 0, 1, 1, 1])
    >>> pre
    array([0, 1, 2, 0, 1, 2])
    """
    if isinstance(weights, np.ndarray):
        post, pre = np.indices(weights.shape)[-2:]
        return post.ravel(), pre.ravel()
    partners = np.diff(weights.indptr)
    return np.repeat(np.arange(weights.shape[0]), partners), weights.indices.copy()


def at_synapses(weights: Weights, matrix: Array) -> Array:
    """Return the entries of a dense matrix at the synapses that exist.

    Parameters
    ----------
    weights : array or csr_array, (n_post, n_pre)
    matrix : array, (n_post, n_pre)

    Returns
    -------
    array
        In the layout of ``synapses(weights)``.
    """
    if isinstance(weights, np.ndarray):
        return matrix
    return np.asarray(matrix[synapse_indices(weights)])


def transposed(matrix: Weights) -> Weights:
    """Return the transpose as a copy with the same storage.

    It turns feedback weights B, (n_pre, n_post), into the layout of W, and back; shared ones term
    by term.
    """
    if isinstance(matrix, np.ndarray):
        return np.ascontiguousarray(matrix.swapaxes(-1, -2))
    from scipy.sparse import csr_array

    transpose = csr_array(matrix.T)
    transpose.sort_indices()
    return transpose


def random_weights(
    shape: tuple[int, int],
    mask: Array | None,
    gain: float,
    rng: np.random.Generator,
    init: str = NORMAL,
) -> Weights:
    """Draw w ~ N(0, gain² / number of presynaptic partners); sparse if there is a mask.

    With `init` "orthogonal", draw gain * Q. The rows or the columns of Q, whichever are fewer, are
    orthonormal, and Q is uniformly distributed over such matrices (Mezzadri, Notices AMS 54, 592,
    2007).

    Parameters
    ----------
    shape : (n_post, n_pre)
    mask : bool array, (n_post, n_pre), or None
        Synapses that exist; all of them if None.
    gain : float
        Spread of a unit's net input for outputs of variance 1.
    rng : numpy.random.Generator
    init : "normal" or "orthogonal"
        The latter only without a mask.

    Returns
    -------
    array, or csr_array if there is a mask, (n_post, n_pre), unit 1
    """
    normal = rng.normal(size=shape)
    if init == ORTHOGONAL:
        return gain * orthogonal(normal)
    if mask is None:
        return normal * (gain / math.sqrt(shape[1]))
    partners = np.maximum(mask.sum(axis=1), 1)[:, None]
    return _masked(normal * gain / np.sqrt(partners), mask)


def orthogonal(normal: Array) -> Array:
    """Return the orthogonal factor of a normal matrix, with signs that make it unique."""
    is_wide = normal.shape[0] < normal.shape[1]
    factor, triangle = np.linalg.qr(normal.T if is_wide else normal)
    factor = factor * np.sign(np.diag(triangle))
    return np.ascontiguousarray(factor.T if is_wide else factor)


def identity(size: int, value: float) -> Weights:
    """Return `value` times the identity as a csr_array: one synapse per unit."""
    from scipy.sparse import csr_array, eye_array

    return csr_array(eye_array(size) * value)


def checked_weights(
    projection: str, weights: Any, shape: tuple[int, int], mask: Array | None
) -> Weights:
    """Validate weights; return them as contiguous floats, or as CSR with sorted indices.

    Parameters
    ----------
    projection : str
        Name of the projection, for messages.
    weights : array-like or SciPy sparse array
    shape : (n_post, n_pre)
    mask : bool array, (n_post, n_pre), or None
        Synapses that exist; all of them if None.

    Raises
    ------
    ModelError
        Another shape, values that are not finite numbers, or synapses outside the mask.
    """
    from scipy.sparse import csr_array, issparse

    name = f"weights of {projection}"
    refuse_lossy(name, weights, error=ModelError, booleans=False)
    sparse = issparse(weights)
    try:
        if sparse:
            matrix = csr_array(weights, dtype=float)
            if not matrix.data.flags.writeable:
                matrix = matrix.copy()
        else:
            matrix = np.require(np.asarray(weights), float, ["C", "W"])
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name} are not numbers; allowed: a float array (n_post, n_pre) = {shape}"
        ) from error
    if matrix.shape != shape:
        hint = transpose_hint(matrix.shape, shape)
        raise ModelError(
            f"{name} have shape {matrix.shape}; allowed: (n_post, n_pre) = {shape}{hint}"
        )
    if not np.isfinite(synapses(matrix)).all():
        raise ModelError(f"{name} hold NaN or infinity; allowed: finite numbers")
    if sparse:
        return _canonical(name, matrix, mask)
    if mask is not None:
        return _masked(matrix, mask)
    return matrix


def _canonical(name: str, matrix: Weights, mask: Array | None) -> Weights:
    """Return a csr_array without duplicates and with sorted indices, all within the mask."""
    if not matrix.has_canonical_format:
        matrix = matrix.copy()  # do not modify the user's matrix
    matrix.sum_duplicates()
    stored = matrix.tocoo()
    if mask is not None and not mask[stored.row, stored.col].all():
        outside = int(np.count_nonzero(~mask[stored.row, stored.col]))
        raise ModelError(
            f"{name} have synapses outside the mask: {outside} of {matrix.nnz}; "
            "allowed: weights where the mask is True"
        )
    matrix.sort_indices()
    return matrix


def checked_mask(projection: str, mask: Any, shape: tuple[int, int]) -> Array | None:
    """Validate a mask of synapses; return it as bool, (n_post, n_pre), or None if all exist.

    Raises
    ------
    ModelError
        Another shape, rows of unequal length, or entries other than 0 and 1.
    """
    if mask is None:
        return None
    if hasattr(mask, "toarray"):
        mask = mask.toarray()
    allowed = f"bool (n_post, n_pre) = {shape}"
    refuse_lossy(f"mask of {projection}", mask, error=ModelError)
    try:
        dense = np.asarray(mask)
    except ValueError as error:
        raise ModelError(
            f"mask of {projection} is not an array ({error}); allowed: {allowed}"
        ) from error
    if dense.shape != shape:
        raise ModelError(f"mask of {projection} has shape {dense.shape}; allowed: {allowed}")
    if dense.dtype != bool and not np.isin(dense, (0, 1)).all():
        raise ModelError(
            f"mask of {projection} has entries of {dense.dtype} other than 0 and 1; "
            f"allowed: {allowed}"
        )
    return dense.astype(bool)


def checked_bias(population: str, given: Any, size: int) -> Array:
    """Validate the biases of one population; return them as contiguous floats, (size,).

    Raises
    ------
    ModelError
        Another shape, or values that are not finite numbers.
    """
    name, allowed = f"biases[{population!r}]", f"({size},), finite numbers"
    bias = real_array(name, given, error=ModelError, allowed=allowed, booleans=False, copied=False)
    if bias.shape != (size,):
        raise ModelError(f"{name} has shape {bias.shape}; allowed: {allowed}")
    return np.require(bias, requirements=["W"])


def transpose_hint(got: tuple[int, ...], allowed: tuple[int, ...]) -> str:
    """Return a hint for an error message if the transpose has the allowed shape, else ""."""
    return "; try the transpose" if got == allowed[::-1] else ""


def _masked(dense: Array, mask: Array) -> Weights:
    """Return a csr_array with the entries of a dense matrix where the mask is True, even zeros."""
    from scipy.sparse import csr_array

    sparse = csr_array(mask.astype(float))
    sparse.sort_indices()
    sparse.data[:] = dense[mask]
    return sparse
