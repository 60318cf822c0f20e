"""Weights of patterns: validated, normalised, and as means over the patterns read them.

A pattern of weight 2 counts as if it stood in the data twice, one of weight 0 as if it did not.
Below everything that simulates or differentiates. Start at `sample_weights`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import DataError
from neurosim.model.arrays import real_array

Array = np.ndarray
ALLOWED = "finite numbers >= 0, not all of them 0"


def sample_weights(value: Any, count: int, name: str = "sample_weight") -> Array | None:
    """Return user-supplied weights of patterns as an array; None where there are none.

    Parameters
    ----------
    value : (patterns,) or None
    count : int
        Number of patterns.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    (patterns,) or None, unit 1

    Raises
    ------
    DataError
        A wrong shape, a number below 0, NaN or infinity, or nothing but zeros.

    Examples
    --------
    >>> sample_weights([1, 0, 2], 3)
    array([1., 0., 2.])
    """
    if value is None:
        return None
    weights = real_array(name, value, allowed="one number per row of X")
    if weights.shape != (count,):
        raise DataError(
            f"{name} has shape {weights.shape}; allowed: ({count},), one number per row of X"
        )
    negative = np.flatnonzero(weights < 0)
    if negative.size:
        first = int(negative[0])
        raise DataError(f"{name}[{first}] = {weights[first]:g}; allowed: {ALLOWED}")
    if not weights.any():
        raise DataError(f"{name} is zero for all {count} patterns; allowed: {ALLOWED}")
    return weights


def of_mean_one(weights: Array) -> Array:
    """Return weights of patterns divided by their mean.

    Parameters
    ----------
    weights : (patterns,), unit 1
        As `sample_weights` returns them.

    Examples
    --------
    >>> of_mean_one(np.array([1.0, 3.0]))
    array([0.5, 1.5])
    """
    scaled = weights / weights.max()  # the sum of large weights could be infinite
    return np.asarray(scaled / scaled.mean())


def weighted_mean(values: Array, weights: Array | None) -> Array:
    """Return the mean over the patterns, each counted by its weight.

    Parameters
    ----------
    values : (patterns, ...)
    weights : (patterns,) or None, unit 1
        None: all count alike.
    """
    if weights is None:
        return np.asarray(values.mean(axis=0))
    return np.asarray(np.average(values, axis=0, weights=weights / weights.max()))


def weighted_spread(values: Array, weights: Array | None) -> Array:
    """Return the standard deviation over the patterns; arguments as in `weighted_mean`."""
    if weights is None:
        return np.asarray(values.std(axis=0))
    squares = np.square(values - weighted_mean(values, weights))
    return np.asarray(np.sqrt(weighted_mean(squares, weights)))
