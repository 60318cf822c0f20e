"""The array format of recordings and sweeps: plain zarr version 2, written chunk by chunk.

No compressor and no filter. Start at `declare` and `put`.
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

CHUNK = 2**20  # bytes of the largest chunk, where it holds more than one sample
GROUP = {"zarr_format": 2}


def rows_a_chunk(shape: Sequence[int], dtype: Dtype) -> int:
    """Entries of the first axis a chunk."""
    return max(1, min(shape[0], CHUNK // max(1, dtype.itemsize * prod(shape[1:]))))


def chunk_name(number: int, ndim: int) -> str:
    """The file of a chunk along the first axis."""
    return ".".join([str(number), *["0"] * (ndim - 1)])


def write_array(
    folder: Path, dims: Sequence[Any], values: Any, attributes: Mapping[str, Any] | None = None
) -> None:
    """A whole array."""
    values = np.asarray(values)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    column = values.reshape(values.shape or (1,))
    rows = rows_a_chunk(column.shape, values.dtype)
    folder.mkdir(exist_ok=True)
    for number in range(-(-len(column) // rows) if values.size else 0):
        part = column[number * rows : (number + 1) * rows]
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
    """Describe an array in chunks of so many rows; `.zarray` comes last, as from then on the array
    is there.
    """
    folder.mkdir(exist_ok=True)
    put_json(folder / ".zattrs", {**attributes, "_ARRAY_DIMENSIONS": list(dims)})
    layout = {"shape": list(shape), "chunks": [rows, *(max(1, n) for n in shape[1:])][: len(shape)]}
    plain = {"compressor": None, "filters": None, "order": "C", "dimension_separator": "."}
    put_json(folder / ".zarray", GROUP | layout | plain | {"dtype": dtype.str, "fill_value": fill})


def cut(folder: Path, samples: int) -> None:
    about = json.loads((folder / ".zarray").read_bytes())
    needed, ndim = -(-samples // about["chunks"][0]), len(about["shape"])
    if samples < about["shape"][0]:
        about["shape"][0] = samples
        put_json(folder / ".zarray", about)
        while (chunk := folder / chunk_name(needed, ndim)).exists():
            chunk.unlink()
            needed += 1


def extent(folder: Path, complete: Any = True) -> int:
    """Rows of an array; while it is not complete, those that are written.

    Raises
    ------
    ValueError
        A complete array that lacks a chunk.
    """
    about = json.loads((folder / ".zarray").read_bytes())
    shape, chunk, dtype = about["shape"] or [1], about["chunks"] or [1], np.dtype(about["dtype"])
    length, rows = int(shape[0]), int(chunk[0])
    needed, there = -(-length // rows) if prod(shape) else 0, 0
    while there < needed and _bytes(
        folder / chunk_name(there, len(shape))
    ) == dtype.itemsize * prod(chunk):
        there += 1
    if complete and there < needed:
        raise ValueError(f"chunk {there} of {folder.name}, of {needed}, is missing or cut short")
    if complete or not needed:
        return length
    if not there:
        return 0
    last = np.fromfile(folder / chunk_name(there - 1, len(shape)), dtype).reshape(rows, -1)
    filled = np.flatnonzero(~np.isnan(last).all(axis=1))  # what is not written yet is NaN
    return min((there - 1) * rows + int(filled.max(initial=-1)) + 1, length)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def put(path: Path, content: Any) -> None:
    """The whole file or none: a reader may look at any time."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_json(path: Path, content: Mapping[str, Any]) -> None:
    """A file of JSON."""
    put(path, json.dumps(content).encode())
