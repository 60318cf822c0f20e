"""Read data files: ``.npz``, ``.csv`` and KEEL's ``.dat``.

Below `datasets` and `packaged`. Nothing in a file is ever executed. Start at `read`.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.errors import DataError, FileError, out_of_range

Array = np.ndarray
XAndY = tuple[Any, Any]
MAX_NUMBERS = 100_000_000  # in one data set: 0.8 GB
MAX_BYTES = 8 * MAX_NUMBERS


def read(path: Path) -> XAndY:
    """Return X and y of a data file.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    FileError
        The file is damaged or too large, or an archive has no arrays `X` and `y`.
    DataError
        Rows of unequal length, or features that are not numbers.
    ModelError
        A suffix that is not in `READERS`.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise out_of_range(
            "data.name", str(path), "a built-in name, or a file that ends in .npz or .csv"
        )
    try:
        return reader(path)
    except (FileNotFoundError, FileError, DataError):
        raise
    except (OSError, zipfile.BadZipFile, csv.Error, ValueError, EOFError) as error:
        raise FileError(f"cannot read {_named(path)}: {error}") from error


def _npz(path: Path) -> XAndY:
    """Read the arrays X and y of a NumPy archive."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MAX_BYTES:
        raise FileError(f"{_named(path)} unpacks to {size} bytes; allowed: at most {MAX_BYTES}")
    with np.load(path, allow_pickle=False) as arrays:
        if "X" not in arrays or "y" not in arrays:
            raise FileError(
                f"{_named(path)} holds {sorted(arrays.files)}; "
                "allowed: arrays 'X' and 'y'; try numpy.savez(path, X=X, y=y)"
            )
        return arrays["X"], class_numbers(arrays["y"])


def _csv(path: Path) -> XAndY:
    """Read comma-separated rows, the target last; a header of column names is skipped."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FileError(f"{_named(path)} has {size} bytes; allowed: at most {MAX_BYTES}; try .npz")
    rows = _csv_rows(path)
    widths = sorted({len(row) for row in rows})
    if len(widths) != 1 or widths[0] < 2:
        raise DataError(
            f"{_named(path)} has rows of {widths or 'no'} columns; "
            "allowed: equally many, at least 2, comma-separated, the last one the target"
        )
    X: list[list[float]] = []
    y: list[str] = []
    for number, (*features, target) in enumerate(rows):
        for cell in features:
            if not _is_number(cell):
                raise DataError(
                    f"{_named(path)}, pattern {number}: {cell[:40]!r}; allowed: numbers"
                )
        X.append([float(cell) for cell in features])
        y.append(target.strip())
    if all(_is_number(cell) for cell in y):
        return X, np.array([float(cell) for cell in y])
    return X, class_numbers(np.array(y))


def _csv_rows(path: Path) -> list[list[str]]:
    """Return the cells of all rows, except blank ones and a first row without numbers."""
    rows: list[list[str]] = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        for row in csv.reader(stream):
            if any(cell.strip() for cell in row):
                rows.append(row)
    if rows and not any(_is_number(cell) for cell in rows[0]):
        del rows[0]  # names of the columns
    return rows


def read_keel(path: Path) -> XAndY:
    """Read KEEL's ``.dat``: rows of numbers and a class name, after header lines with an @."""
    X: list[list[str]] = []
    names: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and line[0] != "@":
            *features, name = line.split(",")
            X.append([cell.strip() for cell in features])
            names.append(name.strip())
    return np.array(X, dtype=float), class_numbers(np.array(names))


READERS = {".npz": _npz, ".csv": _csv}


def class_numbers(y: Array) -> Array:
    """Return class names as 0, 1, ... in alphabetical order; numbers are returned unchanged.

    Examples
    --------
    >>> class_numbers(np.array(["dog", "cat", "dog"]))
    array([1, 0, 1])
    """
    if y.dtype.kind not in "US":
        return y
    _, numbers = np.unique(y, return_inverse=True)
    return numbers.reshape(y.shape)


def _named(path: Path) -> str:
    """Return the name of a file for error messages."""
    return f"data file {str(path)!r}"


def _is_number(cell: str) -> bool:
    """Return whether a cell can be read as a float."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
