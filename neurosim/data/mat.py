"""Read numbers, sparse matrices and structures of MATLAB files, versions 5 to 7.2.

`scipy.io.loadmat` is not used: it allocates what a file states, follows nested values by recursion
in compiled code, and a damaged file can end the process. Here every length is within what holds it.
Above `content`. Start at `read_mat`.

References
----------
MathWorks, "MAT-File Format", version 5: tags, subelements, classes of arrays.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.content import named
from neurosim.disk import check_readable
from neurosim.errors import FileError

Array = np.ndarray
Part = tuple[int, bytes]  # type and content of an element

MOST_BYTES = 1_000_000_000  # of a file, and of its values once unpacked
MOST_DEPTH = 16
HEADER = 128  # bytes
# types of elements
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMBERS = {
    INT8: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    INT32: "i4",
    UINT32: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
# classes of arrays; 6 to 15 are numbers, from double to uint64
STRUCT, SPARSE, FIRST_NUMBER, LAST_NUMBER = 2, 5, 6, 15
COMPLEX = 0x800  # among the flags
MOST_DIMENSIONS = 32


def read_mat(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    {name: array, scipy.sparse.csc_array or dict}
        A structure with one entry is a mapping of its fields. Whatever else a file holds, such as
        text, cell arrays and functions, is None.

    Raises
    ------
    FileError
        The file is missing, damaged or too large, or of version 4 or 7.3.
    """
    check_readable(path)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise FileError(f"{named(path)} has {size} bytes; allowed: at most {MOST_BYTES}")
    content = path.read_bytes()
    if len(content) < HEADER or content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise FileError(
            f"{named(path)} is not a MATLAB file of version 5 to 7.2; allowed: one of those; "
            "try save(name, '-v7') in MATLAB"
        )
    reader = _Reader(path, "<" if content[126:128] == b"IM" else ">")
    try:
        return reader.variables(content[HEADER:])
    except (zlib.error, UnicodeDecodeError) as error:
        raise reader.damaged(str(error)) from error


class _Reader:
    """Read the elements of one file, in its byte order."""

    def __init__(self, path: Path, order: str) -> None:
        self.path = path
        self.order = order
        self.unpacked = 0

    def damaged(self, why: str) -> FileError:
        """Return the error for a file that contradicts itself."""
        return FileError(
            f"{named(self.path)} is damaged: {why}; allowed: a MATLAB file as save(name, '-v7') "
            "writes it; try to copy it again"
        )

    def variables(self, content: bytes) -> dict[str, Any]:
        """Return the variables by name."""
        found: dict[str, Any] = {}
        for kind, value in self._elements(content):
            parts = [(kind, value)]
            if kind == COMPRESSED:
                parts = list(self._elements(self._inflated(value)))
            for of, part in parts:
                if of == MATRIX:
                    name, variable = self._matrix(part, 0)
                    found[name] = variable
        return found

    def _inflated(self, value: bytes) -> bytes:
        """Return a compressed element's content, if all are within the limit together."""
        engine = zlib.decompressobj()
        inner = engine.decompress(value, MOST_BYTES - self.unpacked + 1)
        self.unpacked += len(inner)
        if self.unpacked > MOST_BYTES:
            raise FileError(
                f"{named(self.path)} has over {MOST_BYTES} bytes once unpacked; allowed: at most "
                "that"
            )
        if not engine.eof:
            raise self.damaged("a compressed variable is cut short")
        return inner

    def _elements(self, content: bytes) -> Iterator[Part]:
        """Yield the elements that follow each other."""
        place = 0
        while place < len(content):
            if len(content) - place < 8:
                raise self.damaged(f"{len(content) - place} bytes where a tag should be")
            kind, length = struct.unpack_from(f"{self.order}II", content, place)
            start, most = place + 8, len(content) - place - 8
            if kind >> 16:  # a small element: type and length in four bytes, then the value
                kind, length = kind & 0xFFFF, kind >> 16
                start, most = place + 4, 4
                place += 8
            elif kind == COMPRESSED:
                place = start + length
            else:
                place = start + length + -length % 8
            if length > most:
                raise self.damaged(f"{length} bytes stated, {most} left")
            yield kind, content[start : start + length]

    def _matrix(self, value: bytes, depth: int) -> tuple[str, Any]:
        """Return the name and the value of an array, sparse matrix or structure."""
        if not value:
            return "", None
        if depth > MOST_DEPTH:
            raise self.damaged(f"values nested more than {MOST_DEPTH} deep")
        parts = list(self._elements(value))
        flags = int(self._numbers(parts, 0, "flags")[0])
        of_class = flags & 0xFF
        if of_class > LAST_NUMBER or of_class == 0:  # functions and objects have no dimensions
            return "", None
        shape = tuple(self._numbers(parts, 1, "dimensions").tolist())
        if len(shape) > MOST_DIMENSIONS or min(shape) < 0:
            raise self.damaged(f"dimensions {shape}")
        name = self._part(parts, 2, "name")[1].decode("ascii")
        if flags & COMPLEX and of_class >= SPARSE:
            raise self.damaged(f"variable {name!r} has imaginary parts")
        if of_class == SPARSE:
            return name, self._sparse(parts, shape)
        if of_class == STRUCT and prod(shape) == 1:
            return name, self._structure(parts, depth)
        if of_class >= FIRST_NUMBER:
            values = self._numbers(parts, 3, "values", least=0)
            if len(values) != prod(shape):
                raise self.damaged(f"{len(values)} values of dimensions {shape}")
            return name, values.reshape(shape, order="F")
        return name, None

    def _structure(self, parts: list[Part], depth: int) -> dict[str, Any]:
        """Return the fields of a structure with one entry."""
        length = int(self._numbers(parts, 3, "length of names")[0])
        text = self._part(parts, 4, "names of fields")[1]
        if length < 1 or len(text) % length:
            raise self.damaged(f"names of fields with {len(text)} bytes, {length} each")
        found: dict[str, Any] = {}
        for place in range(len(text) // length):
            raw = text[place * length : (place + 1) * length]
            kind, value = self._part(parts, 5 + place, "next field")
            if kind != MATRIX:
                raise self.damaged(f"a field of type {kind}")
            _, found[raw.split(b"\0")[0].decode("ascii")] = self._matrix(value, depth + 1)
        return found

    def _sparse(self, parts: list[Part], shape: tuple[int, ...]) -> Any:
        """Return a sparse matrix, whose indices are checked."""
        from scipy import sparse

        rows = self._numbers(parts, 3, "rows", least=0)
        starts = self._numbers(parts, 4, "starts of columns")
        values = self._numbers(parts, 5, "values", least=0)
        if len(shape) != 2 or len(starts) != shape[1] + 1:
            raise self.damaged(f"{len(starts)} starts of columns of dimensions {shape}")
        count = int(starts[-1])
        if starts[0] != 0 or (np.diff(starts) < 0).any() or count > min(len(rows), len(values)):
            raise self.damaged(f"starts of columns up to {count} of {len(rows)} entries")
        rows, values = rows[:count], values[:count]  # space beyond may be reserved
        if count and not 0 <= int(rows.min()) <= int(rows.max()) < shape[0]:
            raise self.damaged(f"rows from {rows.min()} to {rows.max()} of {shape[0]}")
        return sparse.csc_array((values.astype(float), rows, starts), shape=shape)

    def _part(self, parts: list[Part], place: int, what: str) -> Part:
        """Return an element within an array."""
        if place >= len(parts):
            raise self.damaged(f"a value without its {what}")
        return parts[place]

    def _numbers(self, parts: list[Part], place: int, what: str, *, least: int = 1) -> Array:
        """Return the numbers of an element within an array."""
        kind, value = self._part(parts, place, what)
        if kind not in NUMBERS:
            raise self.damaged(f"{what} of type {kind}")
        dtype = np.dtype(self.order + NUMBERS[kind])
        if len(value) % dtype.itemsize or len(value) < least * dtype.itemsize:
            raise self.damaged(f"{what} of {len(value)} bytes")
        return np.frombuffer(value, dtype).astype(dtype.newbyteorder("="))
