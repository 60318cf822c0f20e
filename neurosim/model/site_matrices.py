"""Sparse matrices between sites: shifts, products over axes, and what a user gives.

Below `sites`. Start at `shift`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range
from neurosim.model.arrays import real_array

Matrix = Any  # scipy.sparse.csr_array, (post sites, pre sites)


def shift(readers: int, sites: int, stride: int, offset: int) -> Matrix:
    """Return the matrix by which reader r reads site r stride + offset, where there is one."""
    rows = np.arange(readers)
    columns = rows * stride + offset
    inside = (columns >= 0) & (columns < sites)
    rows, columns = rows[inside], columns[inside]
    return sparse(np.ones(len(rows)), rows, columns, (readers, sites))


def sparse(values: Any, rows: Any, columns: Any, shape: tuple[int, ...]) -> Matrix:
    """Return a csr_array from its entries."""
    from scipy.sparse import csr_array

    return csr_array((values, (rows.astype(int), columns.astype(int))), shape=shape)


def kron(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the Kronecker product as a csr_array."""
    from scipy.sparse import csr_array, kron

    return csr_array(kron(outer, inner, format="csr"))


def checked_matrix(key: str, given: Any) -> Matrix:
    """Return a matrix of finite numbers as a csr_array without stored zeros."""
    from scipy.sparse import csr_array, issparse

    if isinstance(given, str | Mapping):
        raise out_of_range(key, given, "a matrix (post sites, pre sites)")
    if hasattr(given, "adjacency"):  # a graph of NetworkX, as an array its nodes alone
        raise out_of_range(
            key,
            given,
            "a matrix (post sites, pre sites)",
            "datasets.graph_from_networkx(graph).adjacency",
        )
    if not issparse(given):
        given = real_array(key, given, error=ModelError, allowed="numbers (post sites, pre sites)")
    if given.ndim != 2 or 0 in given.shape:
        raise out_of_range(f"shape of {key}", given.shape, "(post sites, pre sites), not empty")
    if given.dtype.kind not in "biuf":
        raise out_of_range(f"type of {key}", given.dtype, "real numbers")
    matrix = csr_array(given, dtype=float, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    if not np.isfinite(matrix.data).all():
        raise ModelError(f"{key} hold NaN or infinity; allowed: finite numbers")
    return matrix
