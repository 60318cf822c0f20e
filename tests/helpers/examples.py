"""How many examples property tests draw that build a simulation for each.

``NEUROSIM_EXAMPLES=all python -m pytest`` draws all of them, and runs all cases of tests that cross
arguments (`tests.conftest.CROSSINGS`); else a third is drawn.
"""

from __future__ import annotations

import os

VARIABLE = "NEUROSIM_EXAMPLES"


def all_asked() -> bool:
    """Return whether all examples and cases are asked for."""
    return os.environ.get(VARIABLE) == "all"


def some(most: int) -> int:
    """Return a third of a number of examples, at least four; all of them where they are asked for.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, NEUROSIM_EXAMPLES=""):
    ...     some(25), some(6)
    (9, 4)
    >>> with patch.dict(os.environ, NEUROSIM_EXAMPLES="all"):
    ...     some(25)
    25
    """
    return most if all_asked() else min(most, max(4, -(-most // 3)))
