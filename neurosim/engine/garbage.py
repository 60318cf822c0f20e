"""Python's garbage collection, around runs and after them. Start at `quick_run`."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2.core.variables import ArrayVariable
from brian2.groups.group import Group

GARBAGE = 2**25  # bytes of new networks after which dead networks are collected
LEAST = 2**22  # bytes counted for the Python objects of a network, besides its arrays
RECOUNT = 100  # runs after which what a user has frozen is counted again, which takes long
_made: list[int] = []  # bytes of each network made since the last collection
_trusting = [0]  # runs that still take the last count for true
_own: list[bool] = []  # not empty while a run has frozen what exists


@contextlib.contextmanager
def quick_run() -> Iterator[None]:
    """Exclude existing objects from the garbage collection that `Network.run` starts.

    A collection takes 60 to 160 ms in a large process. Where the user has frozen objects, all stay
    as they are, as unfreezing releases all.
    """
    if _own or _frozen_by_user():
        yield
        return
    gc.freeze()
    _own.append(True)
    try:
        yield
    finally:
        _own.clear()
        gc.unfreeze()


def _frozen_by_user() -> bool:
    """Return whether objects are frozen; where some are, count them at some runs only."""
    if _trusting[0] > 0:
        _trusting[0] -= 1
        return True
    frozen = gc.get_freeze_count() > 0
    if frozen:
        _trusting[0] = RECOUNT
    return frozen


def tidy(groups: Iterable[Group]) -> None:
    """Count the memory of a new network; collect dead networks after GARBAGE bytes of new ones.

    Dead networks are reference cycles of few objects and much memory, and `quick_run` keeps the
    automatic collections from finding them in time.
    """
    size = LEAST
    for group in groups:
        for variable in group.variables.values():
            if isinstance(variable, ArrayVariable):
                size += variable.size * np.dtype(variable.dtype).itemsize
    _made.append(size)
    if sum(_made) > GARBAGE:
        _made.clear()
        gc.collect()
