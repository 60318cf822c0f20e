"""Compare and hash dataclasses that hold mappings and arrays. Start at `ByValue`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

Array = np.ndarray


class ByValue:
    """Base of a dataclass with ``eq=False`` whose instances are equal if all their fields are.

    Mappings are equal whatever their order, arrays element by element, NaN to NaN. Of an array only
    the shape enters the hash, so that it costs little and stays when an element changes.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, eq=False)
    ... class Point(ByValue):
    ...     place: dict[str, float]
    >>> one, other = Point({"x": 1.0, "y": 2.0}), Point({"y": 2.0, "x": 1.0})
    >>> one == other, hash(one) == hash(other)
    (True, True)
    """

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [f.name for f in fields(self) if f.compare]  # type: ignore[arg-type]
        return all(_are_same(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        names = [f.name for f in fields(self) if f.compare]  # type: ignore[arg-type]
        return hash((type(self), *(_key(getattr(self, name)) for name in names)))


def _are_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; NaN is equal to NaN."""
    if one is other:
        return True
    if hasattr(one, "identical"):  # of xarray
        return type(one) is type(other) and bool(one.identical(other))
    for kind, same in KINDS:
        if isinstance(one, kind):
            return isinstance(other, kind) and same(one, other)
    if hasattr(one, "tocsr"):  # a sparse matrix
        return hasattr(other, "tocsr") and one.shape == other.shape and (one != other).nnz == 0
    both_nan = one != one and other != other  # noqa: PLR0124
    return both_nan or bool(np.all(one == other))


def _same_arrays(one: Array, other: Array) -> bool:
    are_numbers = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=are_numbers)


def _same_mappings(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> bool:
    return one.keys() == other.keys() and all(_are_same(one[k], other[k]) for k in one)


def _same_series(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(map(_are_same, one, other))


KINDS: tuple[tuple[type, Callable[[Any, Any], bool]], ...] = (
    (np.ndarray, _same_arrays),
    (Mapping, _same_mappings),
    (list, _same_series),
    (tuple, _same_series),
)


def _key(value: Any) -> Any:
    """Return something to hash that is the same for equal values."""
    if isinstance(value, np.ndarray) or hasattr(value, "tocsr"):
        return value.shape
    if hasattr(value, "identical"):
        return frozenset(value.sizes.items())
    if isinstance(value, Mapping):
        return frozenset((name, _key(own)) for name, own in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    try:
        return "NaN" if value != value else hash(value)  # noqa: PLR0124
    except TypeError:
        return type(value)
