"""The array format of recordings and sweeps: plain zarr version 2, written chunk by chunk.

Written without the zarr library, so that a compiled program can write the same chunks: raw
little-endian numbers, without compressor or filter. A chunk spans whole rows of the first axis.
Below `recording` and the store of sweeps. Start at `array_files`, `put` and `check_arrays`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
Dtype = np.dtype[Any]

CHUNK = 2**20  # bytes of the largest chunk that holds more than one row
MOST_ABSENT = 2**30  # bytes of an array that need not be on disk, as in a sweep that goes on
FORMAT_3 = "zarr.json"  # file that describes an array or a group in zarr's format 3
DTYPE = re.compile(r"[<|](f[48]|i[1248]|u[1248]|b1|U\d{1,5})")
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


def array_files(
    name: str, dims: Sequence[Any], values: Any, attributes: Mapping[str, Any] | None = None
) -> dict[str, bytes]:
    """Return the files of a whole array by path, its chunks first and its description last.

    Parameters
    ----------
    name : str
        Folder of the array, relative to the root of the store.
    dims : sequence of str
        Names of the axes, for xarray.
    values : array
    attributes : mapping of plain values, optional
    """
    values = np.asarray(values)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    column = values.reshape(values.shape or (1,))
    rows = rows_per_chunk(column.shape, values.dtype)
    chunks = 0
    if values.size:
        chunks = _chunks_for(len(column), rows)
    files = {}
    for number in range(chunks):
        start = number * rows
        part = column[start : start + rows]
        block = np.zeros((rows, *column.shape[1:]), values.dtype)
        block[: len(part)] = part
        files[f"{name}/{chunk_name(number, column.ndim)}"] = block.tobytes()
    return files | description_files(
        name, dims, values.shape, values.dtype, rows, attributes or {}, None
    )


def description_files(
    name: str,
    dims: Sequence[Any],
    shape: Sequence[int],
    dtype: Dtype,
    rows: int,
    attributes: Any,
    fill: str | None,
) -> dict[str, bytes]:
    """Return the files that describe an array whose chunks hold `rows` rows each, by path.

    The file ``.zarray`` is the last one: once it exists, readers may open the array.

    Parameters
    ----------
    name : str
        Folder of the array, relative to the root of the store.
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
    return {
        f"{name}/.zattrs": as_json({**attributes, "_ARRAY_DIMENSIONS": list(dims)}),
        f"{name}/.zarray": as_json(description),
    }


def put_all(root: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a store, in their order; `files` are named relative to its root."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        put(path, content)


def cut(folder: Path, samples: int) -> None:
    """Shorten an array to its first `samples` rows, and remove the chunks beyond them."""
    about = _description(folder)
    rows = about["chunks"][0]
    ndim = len(about["shape"])
    if samples >= about["shape"][0]:
        return
    about["shape"][0] = samples
    put(folder / ".zarray", as_json(about))
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


def as_json(content: Mapping[str, Any]) -> bytes:
    """Return a mapping as the content of a JSON file."""
    return json.dumps(content).encode()


# Reading


def check_arrays(root: Path) -> None:
    """Check that a store holds only what neurosim writes, before the zarr library opens it.

    The text of a store names the codec that decodes its chunks, and some codecs execute code.
    Only raw numbers and text are allowed.

    Raises
    ------
    ValueError
        A compressor, a filter, another dtype or another format; a link; an array of which more than
        `MOST_ABSENT` bytes are not on disk. The message names the file, the key and the value.
    """
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            if Path(folder, name).is_symlink():
                raise ValueError(f"{_relative(root, folder, name)} is a link; allowed: files")
        if FORMAT_3 in names:
            raise ValueError(f"{_relative(root, folder, FORMAT_3)} is of zarr's format 3")
        if ".zarray" in names:
            _check_array(_relative(root, folder, ".zarray"), Path(folder))


def _relative(root: Path, folder: str, name: str) -> str:
    return Path(folder, name).relative_to(root).as_posix()


def _check_array(name: str, folder: Path) -> None:
    """Check the description of one array; `name` is that of its file, for the message."""
    about = _description(folder)
    for key, allowed in {**GROUP, **PLAIN}.items():
        if about.get(key, allowed) != allowed or (allowed is None and key not in about):
            raise ValueError(f"{name} has {key} = {about.get(key)!r}; allowed: {allowed!r}")
    dtype = str(about.get("dtype"))
    if not DTYPE.fullmatch(dtype):
        raise ValueError(f"{name} has dtype = {dtype!r}; allowed: floats, integers and text")
    shape: Any = about.get("shape")
    chunks: Any = about.get("chunks")
    if not (_are_lengths(shape, 0) and _are_lengths(chunks, 1) and len(shape) == len(chunks)):
        raise ValueError(f"{name} has shape = {shape!r} and chunks = {chunks!r}")
    size = np.dtype(dtype).itemsize
    stored = 0
    for path in folder.iterdir():
        if path.name[0].isdigit():
            stored += path.stat().st_size
    absent = size * max(prod(shape), prod(chunks)) - stored
    if absent > MOST_ABSENT:
        raise ValueError(
            f"{name} describes an array of which {absent} bytes are missing; "
            f"allowed: at most {MOST_ABSENT} bytes"
        )


def _are_lengths(value: Any, least: int) -> bool:
    """Return whether a value is a list of whole numbers of at least `least`."""
    return isinstance(value, list) and all(type(n) is int and n >= least for n in value)


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
