"""Check arrays, solve linear systems and find eigenvalues, or say which matrix cannot be used.

NumPy raises an error of its own where a matrix is singular or not finite. Start at `solve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import ConvergenceError, DataError

Array = np.ndarray


def solve(matrix: Array, right: Array, name: str) -> Array:
    """Return the solution of a linear system; `name` says what the matrix is.

    Raises
    ------
    ConvergenceError
        The matrix is singular or not finite.
    """
    check_finite(matrix, name)
    try:
        return np.asarray(np.linalg.solve(matrix, right))
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(
            f"{name} is singular; allowed: one with an inverse; try other weights or gains"
        ) from error


def eigenpairs(matrix: Array, name: str) -> tuple[Array, Array]:
    """Return eigenvalues, (n,), and eigenvectors, (n, n); `name` says what the matrix is.

    Raises
    ------
    ConvergenceError
        The matrix is not finite, or its eigenvalues are not found.
    """
    check_finite(matrix, name)
    try:
        values, vectors = np.linalg.eig(matrix)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(f"{name} has eigenvalues that are not found: {error}") from error
    return values, vectors


def check_finite(matrix: Array, name: str) -> None:
    """Refuse a matrix, or products with one, with entries that are not finite.

    Raises
    ------
    ConvergenceError
        An entry is infinite or NaN.
    """
    if not np.isfinite(matrix).all():
        raise ConvergenceError(
            f"{name} is not finite, so the flow has no linearisation there; allowed: states at "
            "which every activation has a finite slope; try smaller inputs or weights"
        )


def check_arrays(name: str, given: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    """Refuse a mapping of arrays that lacks one, or has one of another shape.

    Raises
    ------
    DataError
        The message has the `name` of the mapping.
    """
    for key, shape in shapes.items():
        found = None
        if key in given:
            own: Any = given[key]  # dense or sparse
            found = own.shape if hasattr(own, "shape") else np.shape(own)
        if found != shape:
            what = "is missing" if found is None else f"has shape {found}"
            raise DataError(f"{name}[{key!r}] {what}; allowed: an array {shape}")
