"""Read ``.ts`` files of the UCR and UEA archives of time series.

Header lines begin with @ or #; after ``@data`` each line is a series: dimensions between colons,
values between commas, the class or target last. Timestamps, missing values and series of unequal
length are refused, since a network reads as many numbers of each pattern. Above `content`. Start
at `read_series`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurosim.data.content import MAX_NUMBERS, named, opened
from neurosim.data.labels import Labels, is_missing, is_number, numbered
from neurosim.data.parts import Parts
from neurosim.errors import DataError, FileError

Array = np.ndarray
TRAIN, TEST = "_TRAIN.ts", "_TEST.ts"
MAX_TEXT = 2_000_000_000  # bytes
MOST_HEADER_LINES = 10_000
YES = ("true", "yes")


@dataclass(frozen=True)
class _Header:
    """The statements of a header that decide how the lines are read."""

    has_classes: bool
    has_target: bool
    classes: tuple[str, ...]
    dimensions: int | None
    length: int | None


def read_series(path: Path, labels: Labels = None) -> Parts:
    """Read the series of a ``.ts`` file; those of ``X_TEST.ts`` beside ``X_TRAIN.ts`` are for test.

    Parameters
    ----------
    path : Path
    labels : bool or list, optional
        The classes in the order of their numbers; by default that of the line ``@classLabel``.

    Returns
    -------
    Parts
        X is (patterns, time, dimensions), unscaled. Y are labels, or the numbers of
        ``@targetLabel``.

    Raises
    ------
    FileError
        The file is missing, damaged or too large, or has no line ``@data``.
    DataError
        Timestamps, missing values, unequal lengths, or values that are not numbers.
    """
    X, Y, classes = _read(path, labels)
    if not path.name.endswith(TRAIN):
        return Parts(X, Y, classes=classes)
    beside = path.with_name(path.name.removesuffix(TRAIN) + TEST)
    if not beside.exists():
        return Parts(X, Y, classes=classes)
    X_test, Y_test, classes_test = _read(beside, labels)
    if X_test.shape[1:] != X.shape[1:] or classes_test != classes:
        raise DataError(
            f"{named(beside)} has series of shape {X_test.shape[1:]} and {classes_test} classes; "
            f"allowed: {X.shape[1:]} and {classes}, as {path.name} has"
        )
    return Parts(X, Y, X_test, Y_test, classes=classes)


def _read(path: Path, labels: Labels) -> tuple[Array, Array, int | None]:
    """Return the series, the targets and the number of classes of one file."""
    header, lines = _header_and_lines(path)
    series: list[list[list[float]]] = []
    targets: list[str] = []
    numbers = 0
    for pattern, line in enumerate(lines):
        dimensions, target = _line(path, pattern, line, header)
        series.append(dimensions)
        targets.append(target)
        numbers += sum(len(values) for values in dimensions)
        if numbers > MAX_NUMBERS:
            raise FileError(f"{named(path)} has over {MAX_NUMBERS} numbers; allowed: at most that")
    _check_shapes(path, series, header)
    X = np.array(series).transpose(0, 2, 1)
    if header.has_target:
        return X, _numbers_of(path, targets), None
    stated: Labels = labels
    if labels is None:
        stated = list(header.classes) or None
    Y = numbered(named(path), np.array(targets), stated)
    count = len(stated) if isinstance(stated, list | tuple) else int(Y.max()) + 1
    return X, Y, count


def _header_and_lines(path: Path) -> tuple[_Header, list[str]]:
    """Return the header and the lines of series."""
    with opened(path) as stream:
        content = stream.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise FileError(f"{named(path)} has over {MAX_TEXT} bytes; allowed: at most that")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FileError(f"{named(path)} is not text in UTF-8: {error}") from error
    stated: dict[str, list[str]] = {}
    for place, line in enumerate(lines[:MOST_HEADER_LINES]):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if key == "@data":
            rest = [text.strip() for text in lines[place + 1 :]]
            return _header(path, stated), [text for text in rest if text]
        if not key.startswith("@"):
            break
        stated[key] = words[1:]
    raise FileError(f"{named(path)} has no line '@data' after its header; allowed: a .ts file")


def _header(path: Path, stated: dict[str, list[str]]) -> _Header:
    """Check the statements of a header."""

    def is_stated(key: str) -> bool:
        words = stated.get(key) or ["false"]
        return words[0].lower() in YES

    def count(key: str) -> int | None:
        words = stated.get(key) or [""]
        return int(words[0]) if words[0].isascii() and words[0].isdigit() else None

    if is_stated("@timestamps"):
        raise DataError(
            f"{named(path)} states timestamps; allowed: values at equal steps (@timeStamps false)"
        )
    if is_stated("@missing"):
        raise DataError(
            f"{named(path)} states missing values; allowed: none (@missing false); try to fill them"
        )
    if "@equallength" in stated and not is_stated("@equallength"):
        raise DataError(
            f"{named(path)} states series of unequal length; allowed: equal ones "
            "(@equalLength true); try to pad them"
        )
    has_classes, has_target = is_stated("@classlabel"), is_stated("@targetlabel")
    if has_classes == has_target:
        raise DataError(
            f"{named(path)} states {'both' if has_target else 'neither'} classes and a target; "
            "allowed: '@classLabel true ...' or '@targetLabel true'"
        )
    classes = tuple(stated["@classlabel"][1:]) if has_classes else ()
    return _Header(has_classes, has_target, classes, count("@dimensions"), count("@serieslength"))


def _line(path: Path, pattern: int, line: str, header: _Header) -> tuple[list[list[float]], str]:
    """Return the values of one series by dimension, and its target."""
    *dimensions, target = line.split(":")
    if not dimensions:
        raise DataError(
            f"{named(path)}, pattern {pattern}: no colon; allowed: dimensions and a target "
            "between colons"
        )
    if is_missing(target):
        raise DataError(
            f"{named(path)}, pattern {pattern}: target {target[:40]!r}; allowed: no missing values"
        )
    values = []
    for text in dimensions:
        values.append(_values(path, pattern, text))
    return values, target.strip()


def _values(path: Path, pattern: int, text: str) -> list[float]:
    """Return the values of one dimension of a series."""
    cells = [cell.strip() for cell in text.split(",")]
    for cell in cells:
        if not is_number(cell):
            hint = "; try to fill missing values" if is_missing(cell) else ""
            raise DataError(
                f"{named(path)}, pattern {pattern}: {cell[:40]!r}; allowed: numbers{hint}"
            )
    return [float(cell) for cell in cells]


def _check_shapes(path: Path, series: list[list[list[float]]], header: _Header) -> None:
    """Refuse series of unequal shapes, or of another one than the header states."""
    if not series:
        raise DataError(f"{named(path)} has no series after '@data'; allowed: at least one")
    lengths: set[int] = set()
    counts: set[int] = set()
    for dimensions in series:
        counts.add(len(dimensions))
        lengths.update(len(values) for values in dimensions)
    if len(lengths) > 1 or len(counts) > 1:
        raise DataError(
            f"{named(path)} has series of lengths {sorted(lengths)[:5]} and of "
            f"{sorted(counts)[:5]} dimensions; allowed: equal ones; try to pad them"
        )
    found = {"@dimensions": counts.pop(), "@seriesLength": lengths.pop()}
    stated = {"@dimensions": header.dimensions, "@seriesLength": header.length}
    for key, value in stated.items():
        if value is not None and value != found[key]:
            raise DataError(f"{named(path)} states {key} {value}, and has {found[key]}")


def _numbers_of(path: Path, targets: list[str]) -> Array:
    """Return the targets of a regression."""
    for pattern, text in enumerate(targets):
        if not is_number(text):
            raise DataError(
                f"{named(path)}, pattern {pattern}: target {text[:40]!r}; allowed: numbers"
            )
    return np.array([[float(text)] for text in targets])
