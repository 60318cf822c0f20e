"""Check arrays of numbers."""

from __future__ import annotations

import numpy as np

from neurosim.errors import DataError


def check_finite(name: str, array: np.ndarray) -> None:
    """Check that an array holds finite numbers only.

    Raises
    ------
    DataError
        NaN or infinity: the first such value, its index, and how many there are.
    """
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise DataError(
            f"{name} holds {array[index]} at index {index} ({len(bad)} in all); "
            "allowed: finite numbers; try sklearn.impute"
        )
