"""Solve linear systems and find eigenvalues, or say which of neurosim's matrices cannot be used.

NumPy raises an error of its own where a matrix is singular or not finite. Start at `solve`.
"""

from __future__ import annotations

import numpy as np

from neurosim.errors import ConvergenceError

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
