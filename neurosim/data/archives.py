"""Write and read ``.npz`` archives: NumPy arrays by name, never objects.

NumPy reads the archives that are written here, and the other way round. Names are never passed as
keywords, as ``numpy.savez`` does: an array may be called ``file``. Each array is compared with the
checksum that the archive holds, and nothing larger than the archive itself is unpacked. Above
`disk`. Start at `write_arrays` and `read_arrays`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.disk import AnyPath, check_readable, replacing
from neurosim.errors import FileError

Array = np.ndarray

npy: Any = np.lib.format  # without types
SUFFIX = ".npy"
KINDS = "biufcSU"  # kinds of dtypes that an archive may hold
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def write_arrays(path: AnyPath, arrays: Mapping[str, Any]) -> None:
    """Write arrays to an uncompressed archive; an older file stays until this one is complete.

    Parameters
    ----------
    path : str or Path
        Used unchanged: no suffix is added.
    arrays : {name: array or number or str}

    Raises
    ------
    FileError
        The folder is missing or unwritable, or the disk is full.
    ValueError
        An array of objects, which only pickle could write.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_arrays(f"{folder}/weights.npz", {"file": [1.5]})
    ...     read_arrays(f"{folder}/weights.npz")
    {'file': array([1.5])}
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(name + SUFFIX, "w", force_zip64=True) as file:
                npy.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: AnyPath, most: int | None = None) -> dict[str, Array]:
    """Read all arrays of an archive; nothing in it is ever executed.

    Parameters
    ----------
    path : str or Path
    most : int, optional
        Bytes that the unpacked arrays may have. By default the archive may not be compressed, as
        `write_arrays` writes it, so that it holds no more than its own size.

    Raises
    ------
    FileError
        The file is missing, unreadable, damaged, not such an archive, or too large.
    """
    path = Path(path)
    check_readable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_size(path, members, most)
            return {_name(member): _array(archive, member) for member in members}
    except FileError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise FileError(
            f"{path} is damaged or not an .npz archive ({type(error).__name__}: {error}); "
            "allowed: arrays of numbers or text, as numpy.savez writes them"
        ) from error


def _check_size(path: Path, members: list[zipfile.ZipInfo], most: int | None) -> None:
    """Refuse an archive that would unpack to more than is allowed, or that repeats a name."""
    names = [member.filename for member in members]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise FileError(f"{path} holds {repeated[0]!r} twice; allowed: each array once")
    unpacked = sum(member.file_size for member in members)
    if most is not None:
        if unpacked > most:
            raise FileError(
                f"{path} holds {unpacked} bytes once unpacked; allowed: at most {most} bytes"
            )
        return
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise FileError(
                f"{path} holds {member.filename!r} compressed; allowed: uncompressed arrays; "
                "try numpy.savez instead of numpy.savez_compressed"
            )


def _name(member: zipfile.ZipInfo) -> str:
    """Return the name of an array from that of its member."""
    return member.filename.removesuffix(SUFFIX)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Return one array; `ZipFile.read` compares its checksum."""
    content = archive.read(member)
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"{member.filename} has version {version}; allowed: (1, 0), (2, 0)")
    shape, fortran, dtype = HEADERS[version](stream)
    if dtype.kind not in KINDS:
        raise ValueError(f"{member.filename} has dtype {dtype}; allowed: numbers and text")
    start = stream.tell()
    size = prod(shape) * dtype.itemsize
    if len(content) - start != size:
        raise ValueError(
            f"{member.filename} has {len(content) - start} bytes of data; allowed: {size}"
        )
    if size == 0:
        return np.zeros(shape, dtype)
    values = np.frombuffer(content, dtype, offset=start)
    if fortran:
        return values.reshape(shape[::-1]).T.copy(order="F")
    return values.reshape(shape).copy()
