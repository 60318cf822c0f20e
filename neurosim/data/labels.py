"""Decide whether the targets of a data file are class labels, and number the classes.

Targets that could be read in two ways are refused unless the argument `labels` states which is
meant. Below `files`. Start at `numbered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError, shown

Array = np.ndarray
Labels = bool | Sequence[str | int] | None  # what a user may state

# texts that stand for a missing value, in small letters
MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "nan", "null", "<null>", "none"})
WHICH = "labels=True for classes, labels=False for numbers"


def is_missing(cell: str) -> bool:
    """Return whether a text stands for a missing value.

    Examples
    --------
    >>> is_missing(" NA "), is_missing("cat")
    (True, False)
    """
    return cell.strip().lower() in MISSING


def numbered(name: str, y: Array, labels: Labels = None) -> Array:
    """Return targets as integers if they are class labels, as floats if they are numbers.

    Parameters
    ----------
    name : str
        Name of the data, for messages.
    y : array
        Texts, integers, booleans or floats.
    labels : bool or list of texts or integers, optional
        True: one column of classes, which are texts, or whole numbers 0, 1, ... False: numbers. A
        list: the classes, in the order of their numbers. By default texts are classes in
        alphabetical order, and so are whole numbers 0, 1, ... of an integer type, as long as two
        patterns share a class; fractions and negative numbers are numbers.

    Raises
    ------
    DataError
        Targets that could be classes or numbers, missing ones, or others than `labels` states.

    Examples
    --------
    >>> numbered("d.csv", np.array(["dog", "cat", "dog"]))
    array([1, 0, 1])
    >>> numbered("d.csv", np.array([3, 1, 3]), [1, 3])
    array([1, 0, 1])
    """
    if y.dtype.kind not in "biufUS":
        raise DataError(f"y of {name} has type {y.dtype}; allowed: real numbers or texts")
    is_text = y.dtype.kind in "US"
    stated = _stated(labels)
    if isinstance(stated, list):
        return _by_list(name, y, stated)
    if is_text and stated is False:
        raise DataError(f"y of {name} holds {str(y.flat[0])!r} beside labels=False; {WHICH}")
    if is_text:
        return _alphabetical(name, y)
    if stated is False or y.ndim != 1:
        if stated:
            raise DataError(f"y of {name} has shape {y.shape} beside labels=True; allowed: 1-D")
        return y.astype(float)
    return _whole_numbers(name, y, stated)


def _stated(labels: Any) -> bool | list[str] | None:
    """Return the argument `labels`, a list as texts.

    Raises
    ------
    ModelError
        Any other value, or a class that is named twice.
    """
    if labels is None or isinstance(labels, bool):
        return labels
    names: list[str] = []
    if isinstance(labels, Sequence) and not isinstance(labels, str | bytes):
        names = [str(label).strip() for label in labels]
    if not names or len(set(names)) < len(names):
        raise ModelError(
            f"data.labels = {shown(labels)}; allowed: true, false, or a list of different classes; "
            "try ['no', 'yes']"
        )
    return names


def _by_list(name: str, y: Array, classes: list[str]) -> Array:
    """Return the position of each label among the classes."""
    if y.ndim != 1:
        raise DataError(f"y of {name} has shape {y.shape} beside a list of labels; allowed: 1-D")
    places = {label: place for place, label in enumerate(classes)}
    found = np.empty(len(y), dtype=int)
    for pattern, label in enumerate(y.tolist()):
        text = _as_text(label)
        if text not in places:
            raise DataError(
                f"y of {name} holds {text!r} at pattern {pattern}; allowed: {', '.join(classes)}, "
                "as labels states"
            )
        found[pattern] = places[text]
    return found


def _as_text(label: Any) -> str:
    """Return a label as text; whole floats are written without a point."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bytes):
        label = label.decode()
    return str(label).strip()


def _alphabetical(name: str, y: Array) -> Array:
    """Return texts as 0, 1, ... in alphabetical order, unless one is missing or a number."""
    if y.ndim != 1:
        raise DataError(f"y of {name} holds texts of shape {y.shape}; allowed: one column")
    texts = [_as_text(label) for label in y.tolist()]
    for pattern, text in enumerate(texts):
        if is_missing(text):
            raise DataError(
                f"y of {name} holds {text!r} at pattern {pattern}, which stands for a missing "
                "value; allowed: a class for every pattern; try labels=[...] with the name of "
                "every class, if it is one"
            )
        if is_number(text):
            raise DataError(
                f"y of {name} holds the number {text!r} at pattern {pattern} beside or among "
                "texts; allowed: numbers only, or names only; try labels=[...] with every class"
            )
    _, numbers = np.unique(texts, return_inverse=True)
    return np.asarray(numbers.reshape(y.shape))


def _whole_numbers(name: str, y: Array, stated: bool | None) -> Array:
    """Return numbers as classes if they can only be that, or are stated to be.

    Raises
    ------
    DataError
        They could also be numbers to be met, or lack a class.
    """
    finite = bool(np.isfinite(y).all())
    is_whole = finite and bool((np.round(y) == y).all()) and y.size > 0 and bool(y.min() >= 0)
    if not is_whole:
        if stated:
            raise DataError(
                f"y of {name} holds numbers other than 0, 1, ... beside labels=True; "
                "try labels=[...] with every class"
            )
        return y.astype(float)
    distinct = np.unique(y)
    has_all = bool(distinct[-1] == distinct.size - 1)  # 0, 1, ... without a gap
    if stated and not has_all:
        raise DataError(
            f"y of {name} holds the labels {_shown(distinct)}; allowed: 0, 1, ... without a gap; "
            f"try labels={_shown(distinct)}"
        )
    repeats = distinct.size < y.size or y.size <= 2
    if stated or (y.dtype.kind in "biu" and has_all and repeats):
        return y.astype(int)
    if y.dtype.kind == "f" and not has_all:
        return y.astype(float)
    raise DataError(
        f"y of {name} holds whole numbers {_shown(distinct)}, which could be classes or numbers; "
        f"allowed: to state it; try {WHICH}"
    )


def _shown(distinct: Array) -> str:
    """Return some of the distinct values as a list."""
    texts = [_as_text(value) for value in distinct[:8].tolist()]
    if distinct.size > len(texts):
        texts.append("...")
    return f"[{', '.join(texts)}]"


def is_number(cell: str) -> bool:
    """Return whether a cell is written as a number; "nan" and "inf" are numbers, not finite ones.

    Python's `float` also reads "1_000" and digits of other scripts, which are texts in a table.

    Examples
    --------
    >>> is_number("-1.5e3"), is_number("1_000")
    (True, False)
    """
    if not cell.isascii() or "_" in cell:
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True
