"""Check that arrays are finite."""

from __future__ import annotations

import numpy as np

from neurosim.errors import DataError


def check_finite(name: str, array: np.ndarray) -> None:
    """Check that all numbers of an array are finite.

    Parameters
    ----------
    name : str
        Name of the array, for the message.
    array : array of numbers

    Raises
    ------
    DataError
        NaN or infinity; the message has the first such value, its index and their number.
    """
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise DataError(
            f"{name} holds {array[index]} at index {index} ({len(bad)} in all); "
            "allowed: finite numbers; try sklearn.impute"
        )
