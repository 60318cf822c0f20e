"""Split patterns into those for training and for test, and standardise their features.

Below `datasets`. Start at `split`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import DataError

Array = np.ndarray


def split(
    X: Array,
    Y: Array,
    classes: int | None,
    share: float,
    *,
    seed: int,
    keep: int | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """Return X, Y, X_test and Y_test, stratified where there are classes.

    The test patterns are the given share of all, or all but `keep` of them.
    """
    if share == 0:
        return X, Y, None, None
    from sklearn.model_selection import train_test_split

    sizes: dict[str, Any] = {"test_size": share}
    asked = f"data.test = {share:g}"
    if keep is not None:
        sizes = {"train_size": keep}
        asked = f"data.patterns = {keep}"
    strata = None
    if classes is not None:
        strata = Y
    try:
        X, X_test, Y, Y_test = train_test_split(X, Y, **sizes, random_state=seed, stratify=strata)
    except ValueError as error:
        raise DataError(
            f"{asked} is not possible: {len(X)} patterns cannot be split like this ({error}); "
            "try data.test=0"
        ) from error
    return X, Y, X_test, Y_test


def standardised(X: Array, X_test: Array | None) -> tuple[Array, Array | None]:
    """Shift and scale features to mean 0 and spread 1, as measured on the training patterns."""
    mean = X.mean(axis=0)
    spread = X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    if X_test is not None:
        X_test = (X_test - mean) / spread
    return (X - mean) / spread, X_test
