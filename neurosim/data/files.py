"""Read data files: ``.npz``, ``.csv``, KEEL's ``.dat``; choose the reader by the name of a file.

Below `datasets` and `packaged`; `labels` reads the targets. Nothing in a file is ever executed.
What could be read in two ways is refused unless the caller states which is meant. Start at `read`.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data import cifar
from neurosim.data.archives import read_arrays
from neurosim.data.content import MAX_BYTES
from neurosim.data.content import named as _named
from neurosim.data.idx import is_idx, read_idx
from neurosim.data.image_sets import read_folder
from neurosim.data.labels import Labels, is_missing, is_number, numbered
from neurosim.data.parquet import read_parquet
from neurosim.data.parts import Parts
from neurosim.data.series import read_series
from neurosim.errors import DataError, FileError, NeurosimError, out_of_range, yes_or_no

Array = np.ndarray
XAndY = tuple[Any, Any]
Rows = list[list[str]]
Reader = Callable[..., XAndY | Parts]
ALLOWED = (
    "a built-in name, a file that ends in .npz, .csv, .parquet, .ts or .bin, an idx file such as "
    "train-images-idx3-ubyte.gz, or a folder of one data set"
)
GRAPHS = "datasets.lpgnn(path), as graphs go into a network, too"
# names of the arrays for training and for test, the second ones those of Keras
ARRAYS = (("X", "y", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test"))


def read(path: Path, **stated: Any) -> XAndY | Parts:
    """Return X and y of a data file; y is of an integer type if it holds class labels.

    Parameters
    ----------
    path : Path
        A file, or a folder that holds one data set.
    **stated
        `labels`, and `header` for ``.csv``; see `read_npz` and `read_csv`.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    FileError
        The file is damaged, too large or a pipe, or an archive has no arrays `X` and `y`.
    DataError
        Rows of unequal length, or features that are not numbers.
    ModelError
        A suffix that is not in `READERS`.
    """
    try:
        reader = reader_of(path)
        if not path.exists():
            raise FileNotFoundError(str(path))
        # a pipe would be waited for, a device may not end
        if not path.is_file() and not path.is_dir():
            kind = "a pipe or a device"
            raise FileError(f"cannot read {_named(path)}: it is {kind}; allowed: a file")
        return reader(path, **stated)
    except FileNotFoundError:
        raise
    except NeurosimError:
        raise
    except (OSError, zipfile.BadZipFile, csv.Error, ValueError, EOFError) as error:
        raise FileError(f"cannot read {_named(path)}: {error}") from error


def reader_of(path: Path) -> Reader:
    """Return the function that reads files of a name.

    Raises
    ------
    FileError
        The name of a pickle, which could run any program.
    ModelError
        A suffix that is not in `READERS`.
    """
    with suppress(OSError):  # a name that is too long is reported when it is read
        if path.is_dir():
            return read_folder
    if is_idx(path):
        return read_idx
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        if path.name in cifar.PICKLES or path.suffix.lower() in PICKLES:
            cifar.refuse_pickle(path)
        if path.suffix.lower() == ".mat":
            raise out_of_range("data.name", str(path), ALLOWED, GRAPHS)
        raise out_of_range("data.name", str(path), ALLOWED)
    return reader


def is_known(path: Path) -> bool:
    """Return whether a name alone tells that it is the path of a data file.

    Examples
    --------
    >>> is_known(Path("train-images-idx3-ubyte.gz")), is_known(Path("moons"))
    (True, False)
    """
    return path.suffix.lower() in (*READERS, *PICKLES, ".mat") or is_idx(path)


def read_npz(path: Path, labels: Labels = None) -> XAndY | Parts:
    """Read the arrays X and y of a NumPy archive, and X_test and y_test if it has them.

    The names that Keras uses are read, too: x_train, y_train, x_test, y_test. X is
    (patterns, features) or (patterns, *sites, features), unscaled.

    Parameters
    ----------
    path : Path
    labels : bool or list, optional
        Whether y are class labels, or the classes in the order of their numbers; by default the
        type of y decides, see `neurosim.data.labels.numbered`.
    """
    arrays = read_arrays(path, MAX_BYTES)
    names = ARRAYS[0]
    if "X" not in arrays and "x_train" in arrays:
        names = ARRAYS[1]
    if not set(names[:2]) <= set(arrays):
        raise FileError(
            f"{_named(path)} holds {sorted(arrays)}; "
            "allowed: arrays 'X' and 'y'; try numpy.savez(path, X=X, y=y)"
        )
    X, y, X_test, y_test = (arrays.get(name) for name in names)
    if (X_test is None) != (y_test is None):
        raise FileError(
            f"{_named(path)} holds {sorted(arrays)}; allowed: both {names[2]!r} and {names[3]!r}, "
            "or neither"
        )
    _check_numbers(path, names[0], X)
    if y is None or X_test is None or y_test is None:
        return X, numbered(_named(path), arrays[names[1]], labels)
    _check_numbers(path, names[2], X_test)
    if y.shape[1:] != y_test.shape[1:]:
        raise DataError(
            f"{_named(path)} has {names[1]} of shape {y.shape} and {names[3]} of shape "
            f"{y_test.shape}; allowed: equal ones but for the number of patterns"
        )
    Y = numbered(_named(path), np.concatenate([y, y_test]), labels)
    return Parts(X, Y[: len(y)], X_test, Y[len(y) :])


def _check_numbers(path: Path, name: str, array: Any) -> None:
    """Refuse an array of text or complex numbers."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} of {_named(path)} has type {array.dtype}; allowed: real numbers")


def read_csv(path: Path, header: bool | None = None, labels: Labels = None) -> XAndY:
    """Read comma-separated rows of numbers, the target last.

    Parameters
    ----------
    path : Path
    header : bool, optional
        Whether the first row has the names of the columns. By default it has if none of its
        features is a number, and is a pattern if all its cells are numbers. A row that could be
        either, such as ``0,1,2,3``, is refused.
    labels : bool or list, optional
        Whether the targets are class labels, or the classes in the order of their numbers; by
        default names and whole numbers 0, 1, ... are, see `neurosim.data.labels.numbered`.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FileError(f"{_named(path)} has {size} bytes; allowed: at most {MAX_BYTES}; try .npz")
    rows = _csv_rows(path)
    if header is not None:
        begins_with_names = bool(rows) and yes_or_no("data.header", header)
    else:
        begins_with_names = _begins_with_names(path, rows)
    if begins_with_names:
        names = rows.pop(0)
        if rows and len(names) != len(rows[0]):
            raise DataError(
                f"{_named(path)} has {len(names)} names of columns above rows of {len(rows[0])}; "
                "allowed: one name per column"
            )
    widths = sorted({len(row) for row in rows})
    if len(widths) != 1 or widths[0] < 2:
        raise DataError(
            f"{_named(path)} has rows of {widths or 'no'} columns; "
            "allowed: equally many, at least 2, comma-separated, the last one the target"
        )
    X = [_features(path, pattern, row[:-1]) for pattern, row in enumerate(rows)]
    return np.array(X), numbered(_named(path), _targets([row[-1] for row in rows]), labels)


def _csv_rows(path: Path) -> Rows:
    """Return the cells of all rows that are not blank, without spaces around them."""
    rows: Rows = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        for row in csv.reader(stream):
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
    return rows


def _begins_with_names(path: Path, rows: Rows) -> bool:
    """Return whether the first row has names of columns, if it can be only that or a pattern.

    Raises
    ------
    DataError
        It could be both, or neither.
    """
    if not rows or len(rows[0]) < 2:
        return False
    *features, last = rows[0]
    numbers = [cell for cell in features if is_number(cell)]
    others = [row[-1] for row in rows[1:]]
    if not numbers:
        _check_names(path, rows[0])
        return True
    if len(numbers) < len(features):
        wrong = next(cell for cell in features if not is_number(cell))
        raise _undecided(path, rows[0], f"{wrong!r} is not a number, {numbers[0]!r} is")
    counts = _count_up(features)
    if is_number(last):
        if counts and _count_up(rows[0]):
            raise _undecided(path, rows[0], "they count up, as the names of numbered columns do")
        return False
    if is_missing(last) or not others:
        return False  # a pattern without a target, which is refused there
    if all(is_number(cell) for cell in others) or (counts and last not in others):
        return True
    if counts or last not in others:
        raise _undecided(path, rows[0], f"{last!r} could be a class or the name of a column")
    return False


def _check_names(path: Path, names: list[str]) -> None:
    """Refuse a row of names in which one is missing or stands twice."""
    for place, name in enumerate(names):
        if is_missing(name):
            hint = ""
            if place == 0:
                hint = "; pandas writes its index so, try to_csv(path, index=False)"
            raise DataError(
                f"{_named(path)}, first row: {name!r} in column {place}; allowed: names of "
                f"columns, or numbers{hint}"
            )
        if name in names[:place]:
            raise DataError(
                f"{_named(path)}, first row: two columns are named {name!r}; allowed: different "
                "names, or header=False"
            )


def _count_up(cells: list[str]) -> bool:
    """Return whether two or more numbers increase by one same step, as 0, 1, 2 or years do."""
    steps = np.diff([float(cell) for cell in cells])
    return bool(steps.size) and bool(steps[0] > 0) and bool(np.allclose(steps, steps[0]))


def _undecided(path: Path, row: list[str], why: str) -> DataError:
    """Return the error for a first row that may be names or a pattern."""
    shown = ",".join(row)[:60]
    return DataError(
        f"{_named(path)} begins with {shown!r}, which could be names of columns or a pattern "
        f"({why}); allowed: to state it; try header=True or header=False"
    )


def _features(path: Path, pattern: int, cells: list[str]) -> list[float]:
    """Return the features of one pattern."""
    for column, cell in enumerate(cells):
        if not is_number(cell):
            missing = ""
            if is_missing(cell):
                missing = ", a missing value"
            raise DataError(
                f"{_named(path)}, pattern {pattern}: {cell[:40]!r}; allowed: numbers "
                f"(column {column}{missing}); try to drop or to fill it"
            )
    return [float(cell) for cell in cells]


def _targets(cells: list[str]) -> Array:
    """Return the last column as integers if all are written so, as floats, or as texts."""
    if not all(is_number(cell) for cell in cells):
        return np.array(cells)
    if all(set(cell) <= set("+-0123456789") for cell in cells):
        return np.array([int(cell) for cell in cells])
    return np.array([float(cell) for cell in cells])


def read_keel(path: Path) -> XAndY:
    """Read KEEL's ``.dat``: rows of numbers and a class name, after header lines with an @."""
    X: list[list[str]] = []
    names: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and line[0] != "@":
            *features, name = line.split(",")
            X.append([cell.strip() for cell in features])
            names.append(name.strip())
    return np.array(X, dtype=float), numbered(_named(path), np.array(names))


READERS: dict[str, Reader] = {
    ".npz": read_npz,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".ts": read_series,
    ".bin": cifar.read_cifar,
}
PICKLES = (".pkl", ".pickle", ".joblib")
