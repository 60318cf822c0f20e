"""Check the fields of NIR nodes: shapes, time constants and arrays of numbers.

Below `graph`. Start at `numbers`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import ModelError

Array = np.ndarray
Shape = tuple[int, ...]


def checked_shape(node_name: str, shape: Any) -> Shape:
    """Return the shape of a node, (units,) or (features, sites)."""
    sizes = np.atleast_1d(np.asarray(shape))
    if sizes.ndim != 1 or len(sizes) not in (1, 2, 3) or (sizes < 1).any():
        raise ModelError(
            f"NIR node {node_name!r} has the shape {tuple(sizes.tolist())}; "
            "allowed: (units,), (features, sites) or (features, rows, columns)"
        )
    return tuple(int(size) for size in sizes)


def time_constant(node_name: str, tau: Array) -> float:
    """Return the one time constant of an integrator's units."""
    if (tau != tau[0]).any() or tau[0] <= 0:
        raise ModelError(
            f"tau of NIR node {node_name!r} is {tau.min():g} to {tau.max():g} s; allowed: one time "
            "> 0 for all units of a population; try a node for each time"
        )
    return float(tau[0])


def numbers(node_name: str, key: str, value: Any, shape: Shape | None = None) -> Array:
    """Return a field as finite floats, of a shape if that is given.

    Raises
    ------
    ModelError
        Values that are masked, complex, not numbers or not finite, or another shape.
    """
    shown = f"{key} of NIR node {node_name!r}"
    array = np.asarray(value)
    if isinstance(value, np.ma.MaskedArray) or array.dtype.kind not in "biuf":
        raise ModelError(f"{shown} is a {type(value).__name__} of {array.dtype}; allowed: floats")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ModelError(f"{shown} holds values that are not finite; allowed: finite numbers")
    if shape is not None and array.ndim == 0:
        array = np.full(shape, array)
    if shape is not None and array.shape != shape:
        raise ModelError(f"{shown} has shape {array.shape}; allowed: {shape}")
    return array
