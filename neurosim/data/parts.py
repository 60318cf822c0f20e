"""Return type of readers whose data have more than X and y: `Parts`.

Below `files` and `datasets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Parts:
    """Patterns and targets as they stand in a file, neither scaled nor split.

    Attributes
    ----------
    X, X_test : (patterns, features) or (patterns, *sites, features)
        `X_test` is None where no test patterns were published.
    Y, Y_test : (patterns,), (patterns, *sites) or (patterns, outputs)
    scale : float
        X becomes X / scale, unless the user states another scale.
    classes : int or None
        Number of classes where the format fixes it.
    """

    X: Any
    Y: Any
    X_test: Any = None
    Y_test: Any = None
    scale: float = 1.0
    classes: int | None = None


def parts_of(found: Parts | tuple[Any, Any]) -> Parts:
    """Return what a reader returns as `Parts`.

    Examples
    --------
    >>> parts_of(([[0.5]], [1])).scale
    1.0
    """
    if isinstance(found, Parts):
        return found
    X, Y = found
    return Parts(X, Y)
