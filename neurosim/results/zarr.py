"""The array format of recordings and sweeps: plain zarr version 2, written chunk by chunk.

Written without the zarr library, so that a compiled program can write the same chunks: raw
little-endian numbers, without compressor or filter. A chunk spans whole rows of the first axis.
Below `recording` and the store of sweeps. Start at `declare` and `put`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Dtype = np.dtype[Any]

CHUNK = 2**20  # bytes of the largest chunk that holds more than one row
GROUP = {"zarr_format": 2}
PLAIN = {"compressor": None, "filters": None, "order": "C", "dimension_separator": "."}


# Writing


def rows_per_chunk(shape: Sequence[int], dtype: Dtype) -> int:
    """Return how many rows of the first axis a chunk holds: as many as fit `CHUNK`, at least 1."""
    row_bytes = dtype.itemsize * prod(shape[1:])
    fitting = CHUNK // max(1, row_bytes)
    return max(1, min(shape[0], fitting))


def chunk_name(number: int, ndim: int) -> str:
    """Return the name of the file of a chunk, counted along the first axis.

    Examples
    --------
    >>> chunk_name(3, ndim=3)
    '3.0.0'
    """
    others = ["0"] * (ndim - 1)
    return ".".join([str(number), *others])


def write_array(
    folder: Path, dims: Sequence[Any], values: Any, attributes: Mapping[str, Any] | None = None
) -> None:
    """Write a whole array, its chunks first and its description last."""
    values = np.asarray(values)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    column = values.reshape(values.shape or (1,))
    rows = rows_per_chunk(column.shape, values.dtype)
    chunks = 0
    if values.size:
        chunks = _chunks_for(len(column), rows)
    folder.mkdir(exist_ok=True)
    for number in range(chunks):
        start = number * rows
        part = column[start : start + rows]
        block = np.zeros((rows, *column.shape[1:]), values.dtype)
        block[: len(part)] = part
        put(folder / chunk_name(number, column.ndim), block)
    declare(folder, dims, values.shape, values.dtype, rows, attributes or {}, None)


def declare(
    folder: Path,
    dims: Sequence[Any],
    shape: Sequence[int],
    dtype: Dtype,
    rows: int,
    attributes: Any,
    fill: str | None,
) -> None:
    """Describe an array whose chunks hold `rows` rows each.

    The file ``.zarray`` is written last: once it exists, readers may open the array.

    Parameters
    ----------
    folder : Path
    dims : sequence of str
        Names of the axes, for xarray.
    shape : sequence of int
    dtype : dtype
    rows : int
        Rows of the first axis per chunk.
    attributes : mapping of plain values
    fill : str or None
        Value of chunks that do not exist, such as "NaN"; undefined if None.
    """
    folder.mkdir(exist_ok=True)
    put_json(folder / ".zattrs", {**attributes, "_ARRAY_DIMENSIONS": list(dims)})
    chunk = [rows]
    for length in shape[1:]:
        chunk.append(max(1, length))
    description = {
        **GROUP,
        "shape": list(shape),
        "chunks": chunk[: len(shape)],
        **PLAIN,
        "dtype": dtype.str,
        "fill_value": fill,
    }
    put_json(folder / ".zarray", description)


def cut(folder: Path, samples: int) -> None:
    """Shorten an array to its first `samples` rows, and remove the chunks beyond them."""
    about = _description(folder)
    rows = about["chunks"][0]
    ndim = len(about["shape"])
    if samples >= about["shape"][0]:
        return
    about["shape"][0] = samples
    put_json(folder / ".zarray", about)
    number = _chunks_for(samples, rows)
    while (folder / chunk_name(number, ndim)).exists():
        (folder / chunk_name(number, ndim)).unlink()
        number += 1


def put(path: Path, content: Any) -> None:
    """Write a whole file or nothing, since a reader may open it at any time."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as a JSON file."""
    put(path, json.dumps(content).encode())


# Reading


def extent(folder: Path, complete: Any = True) -> int:
    """Return the number of rows of an array; while it is not complete, of those written so far.

    Raises
    ------
    ValueError
        The array is complete, but a chunk is missing or cut short.
    """
    about = _description(folder)
    shape = about["shape"] or [1]
    chunk = about["chunks"] or [1]
    dtype = np.dtype(about["dtype"])
    length = int(shape[0])
    rows = int(chunk[0])
    needed = 0
    if prod(shape):
        needed = _chunks_for(length, rows)
    chunk_bytes = dtype.itemsize * prod(chunk)
    there = 0
    while there < needed:
        path = folder / chunk_name(there, len(shape))
        if _bytes(path) != chunk_bytes:
            break
        there += 1
    if complete and there < needed:
        raise ValueError(f"chunk {there} of {folder.name}, of {needed}, is missing or cut short")
    if complete or not needed:
        return length
    if not there:
        return 0
    path = folder / chunk_name(there - 1, len(shape))
    last = np.fromfile(path, dtype).reshape(rows, -1)
    empty = np.isnan(last).all(axis=1)  # rows that are not written yet are NaN
    filled = np.flatnonzero(~empty).max(initial=-1) + 1
    written = (there - 1) * rows + int(filled)
    return min(written, length)


def _description(folder: Path) -> dict[str, Any]:
    """Return the content of ``.zarray``."""
    found: dict[str, Any] = json.loads((folder / ".zarray").read_bytes())
    return found


def _chunks_for(length: int, rows: int) -> int:
    """Return how many chunks of `rows` rows hold `length` rows: length / rows, rounded up."""
    return -(-length // rows)


def _bytes(path: Path) -> int:
    """Return the size of a file, -1 if it does not exist."""
    if not path.exists():
        return -1
    return path.stat().st_size
