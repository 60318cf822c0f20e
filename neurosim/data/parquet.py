"""Read Parquet tables, through pandas and pyarrow: columns of numbers, the target last.

The size that the file's own metadata state is checked before a column is unpacked. Above `content`.
Start at `read_parquet`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.content import MAX_BYTES, MAX_NUMBERS, check_bytes, named
from neurosim.data.labels import Labels, is_missing, numbered
from neurosim.disk import check_readable
from neurosim.errors import DataError, FileError

Array = np.ndarray
INSTALL = "pip install 'neurosim[parquet]'"


def read_parquet(path: Path, labels: Labels = None) -> tuple[Any, Any]:
    """Read a Parquet table: one row per pattern, the last column the target.

    Columns of numbers and booleans are features. An index that pandas stored is not a feature.

    Parameters
    ----------
    path : Path
    labels : bool or list, optional
        As for `neurosim.data.labels.numbered`.

    Raises
    ------
    FileError
        The file is missing, damaged or too large, or pyarrow is not installed.
    DataError
        Features that are not numbers, or missing values.
    """
    check_readable(path)
    if importlib.util.find_spec("pyarrow") is None:
        raise FileError(f"{named(path)} needs pyarrow, which is not installed; try: {INSTALL}")
    import pandas
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_size(path, file.metadata)
        table = pandas.read_parquet(path, engine="pyarrow")
    except FileError:
        raise
    except Exception as error:  # pyarrow reports damage by errors of many classes
        raise FileError(
            f"{named(path)} is damaged or not a Parquet file ({type(error).__name__}: "
            f"{str(error)[:200]}); try to copy it again"
        ) from error
    if table.shape[1] < 2 or len(table) == 0:
        raise DataError(
            f"{named(path)} has {len(table)} rows and {table.shape[1]} columns; allowed: at least "
            "one row and two columns, the last one the target"
        )
    features = [_feature(path, table.iloc[:, place]) for place in range(table.shape[1] - 1)]
    return np.column_stack(features), numbered(named(path), _target(path, table), labels)


def _check_size(path: Path, metadata: Any) -> None:
    """Refuse a table that states more rows, columns or bytes than a data set may have."""
    rows, columns = metadata.num_rows, metadata.num_columns
    if rows * max(columns, 1) > MAX_NUMBERS:
        raise FileError(
            f"{named(path)} has {rows} rows of {columns} columns; allowed: at most {MAX_NUMBERS} "
            "numbers"
        )
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MAX_BYTES:
        check_bytes(path, unpacked)


def _feature(path: Path, column: Any) -> Array:
    """Return a column as floats; refuse text, dates and missing values."""
    values = column.to_numpy()
    if column.isna().any():
        row = int(np.flatnonzero(column.isna().to_numpy())[0])
        raise DataError(
            f"{named(path)}, column {str(column.name)!r}: a missing value in row {row}; allowed: "
            "numbers; try to drop or to fill it"
        )
    if values.dtype.kind == "O":  # pandas' own types of numbers
        values = np.array(values.tolist())
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{named(path)}, column {str(column.name)!r} has type {column.dtype}; allowed: numbers "
            "as features, and the target as the last column"
        )
    return np.asarray(values, dtype=float)


def _target(path: Path, table: Any) -> Array:
    """Return the last column as numbers or texts; refuse missing values."""
    column = table.iloc[:, -1]
    if column.isna().any():
        row = int(np.flatnonzero(column.isna().to_numpy())[0])
        raise DataError(
            f"{named(path)}, target {str(column.name)!r}: a missing value in row {row}; allowed: a "
            "target for every pattern; try to drop it"
        )
    values = np.array(column.tolist())
    texts = values.dtype.kind == "U" and any(is_missing(text) for text in values.tolist())
    if values.dtype.kind not in "biufU" or values.ndim != 1 or texts:
        raise DataError(
            f"{named(path)}, target {str(column.name)!r} has type {column.dtype}; allowed: "
            "numbers, or names of classes"
        )
    return values
