"""Views of the groups' arrays: Brian2's own memory, never a copy.

Imports no other module of this folder. Start at `live`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.model.weights import Weights

Array = np.ndarray
CLOCK = ("t", "dt", "t_in_timesteps")  # variables that every group has from its clock
Action = Callable[[], Any]  # a part of a step, bound to the arrays that it reads and writes


def live(group: Any, variable: str) -> Array:
    """Return a flat view of one variable of a Brian2 group."""
    array: Array = group.variables[variable].get_value()
    return array


def single(group: Any, variable: str) -> float:
    """Return the current value of a shared variable of a Brian2 group."""
    return float(live(group, variable)[0])


def counters(groups: Groups) -> dict[str, Array]:
    """Return the variables of `groups.Counters` by name: arrays of one entry, or one per point."""
    own = groups.counters
    return {name: live(own, name) for name in own.variables if name not in (*CLOCK, "N")}


def units(groups: Groups, population: str, variable: str) -> Array:
    """Return a view of a population's variable, (patterns, units)."""
    values = live(groups.populations[population], variable)
    return values.reshape(groups.plan.patterns, -1)


def rows_of(groups: Groups, population: str, variable: str) -> Array:
    """Return a view of a population's variable in the shape that products take.

    Returns
    -------
    (patterns, units), or (sets of weights, patterns of each, units) where there are several sets
    """
    values = units(groups, population, variable)
    sets = groups.plan.weight_sets
    if sets == 1:
        return values
    return values.reshape(sets, len(values) // sets, -1)


def weights(groups: Groups, projection: str, variable: str = "w") -> tuple[Any, Array]:
    """Return two views of a projection's weights, or of a variable with the same layout.

    Returns
    -------
    matrix : (n_post, n_pre), dense or in compressed rows
        (sets, n_post, n_pre) if there are several sets of weights.
    values : the same numbers, flat
    """
    structure: Weights = groups.plan.net.weights[projection]
    values = live(groups.synapses[projection], variable)
    if isinstance(structure, np.ndarray):
        sets = groups.plan.weight_sets
        shape = structure.shape if sets == 1 else (sets, *structure.shape)
        return values.reshape(shape), values
    from scipy.sparse import csr_array

    matrix = csr_array(structure, dtype=values.dtype)
    matrix.data = values[: structure.nnz]
    return matrix, matrix.data


def accumulate(c: Array, alpha: float, a: Array, b: Array) -> Action:
    """Return a function that adds alpha a b to c in one BLAS call.

    `c` is C-ordered; `a` and `b` are C-ordered or transposes of C-ordered arrays.
    """
    from scipy.linalg.blas import dgemm, sgemm

    gemm = sgemm if c.dtype == np.float32 else dgemm
    # BLAS reads columns: c^T += alpha b^T a^T
    left, left_is_transposed = _columns(b)
    right, right_is_transposed = _columns(a)
    flags = left_is_transposed, right_is_transposed
    return partial(gemm, alpha, left, right, 1.0, c.T, *flags, 1)


def _columns(matrix: Array) -> tuple[Array, int]:
    """Return the transpose of a matrix for BLAS: a column-major array, and its flag `trans`."""
    if matrix.flags.c_contiguous:
        return matrix.T, 0
    return matrix, 1


def each(actions: Sequence[Action]) -> None:
    """Call the actions in order."""
    for action in actions:
        action()
