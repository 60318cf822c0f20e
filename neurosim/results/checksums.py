"""Checksums of files and stores, so that damaged data are refused and not read as other data.

A netCDF file ends with its checksum (`sealed`). A store, which is a folder that grows, has a file
that lists the checksum of every other file (`Checksums`). Files written by neurosim
0.1.0 have neither, and are read without them. Below `files`, `recording` and the store of sweeps.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from neurosim.results.zarr import put

CHECKSUMS = ".checksums"  # the list, in the folder of an array: in the root, zarr warns about it
SEALED = "neurosim_sealed"  # attribute at the root of a file or store that has checksums
MARK = b"\nneurosim crc32 "  # how the last line of a sealed file begins
ENDING = len(MARK) + 9  # bytes: eight hex digits and a line end follow the mark
METADATA = (".zarray", ".zattrs", ".zgroup")
CHUNK = re.compile(r"\d+(\.\d+)*")
PIECE = 2**22  # bytes that are read at a time
ATTEMPTS = 20  # to read a store that another process is writing
Accepted = list[int | None]  # checksums of a file; None if it may be missing


# Files


def sealed(content: bytes) -> bytes:
    """Return the content of a file with its checksum added as the last line.

    HDF5 ignores what follows its own data.
    """
    return content + MARK + b"%08x\n" % zlib.crc32(content)


def check_seal(path: Path) -> bool:
    """Check the last line of a file that `sealed` made, before any library opens it.

    HDF5 may loop without end over a damaged file.

    Returns
    -------
    bool
        Whether there is such a line. Files of neurosim 0.1.0 have none.

    Raises
    ------
    ValueError
        The checksum is not that of the content.
    """
    length = path.stat().st_size - ENDING
    found = 0
    with path.open("rb") as file:
        left = max(0, length)
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                break
            found = zlib.crc32(piece, found)
            left -= len(piece)
        ending = file.read()
    if not ending.startswith(MARK):
        return False
    if ending != MARK + b"%08x\n" % found:
        raise ValueError("its checksum does not fit its content")
    return True


# Stores


class Checksums:
    """The checksums of a store's files.

    The checksums of new content are listed before it is written, beside those of the old content,
    so that a process can be killed at any time.

    Parameters
    ----------
    root : Path
        Folder of the store.
    array : str
        Name of an array that every store of this kind has; the list is in its folder.
    """

    def __init__(self, root: Path, array: str) -> None:
        self.root = root
        self.path = root / array / CHECKSUMS
        self.accepted: dict[str, Accepted] = {}  # by the path of the file within the store

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files, in their order, and list their checksums."""
        self.note(files)
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(exist_ok=True)
            put(path, content)
            self.accepted[name] = [zlib.crc32(content)]

    def note(self, files: Mapping[str, bytes]) -> None:
        """List the checksums of files that are about to be written."""
        for name, content in files.items():
            before = self.accepted.get(name, [None])
            self.accepted[name] = [*before, zlib.crc32(content)]
        text = json.dumps(self.accepted).encode()
        self.path.parent.mkdir(exist_ok=True)
        put(self.path, b"%08x\n" % zlib.crc32(text) + text)

    def adopt(self) -> None:
        """Take the files as they are, all of them."""
        self.accepted = {}
        for path in _files(self.root):
            self.accepted[_name(self.root, path)] = [_checksum(path)]


def check_store(root: Path, array: str, is_sealed: bool) -> None:
    """Check that all files of a store are there and are those that were written.

    Another process may be writing the store meanwhile.

    Parameters
    ----------
    root : Path
    array : str
        As for `Checksums`.
    is_sealed : bool
        Whether the store states that it has checksums.

    Raises
    ------
    ValueError
        A file is missing, surplus or damaged; the message names it.
    """
    listed: bytes | None = None
    wrong = ""
    for _ in range(ATTEMPTS):
        before, listed = listed, _listed(root / array / CHECKSUMS)
        if listed is None:
            if is_sealed:
                raise ValueError(f"{CHECKSUMS} is missing")
            return
        if listed == before:
            break  # nobody wrote in between
        wrong = _first_wrong(root, _parsed(listed))
        if not wrong:
            return
    raise ValueError(wrong)


def _listed(path: Path) -> bytes | None:
    """Return the content of the list; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(listed: bytes) -> dict[str, Accepted]:
    """Return the list of a store's files, whose first line is its own checksum."""
    first, _, text = listed.partition(b"\n")
    if first != b"%08x" % zlib.crc32(text):
        raise ValueError(f"{CHECKSUMS} is damaged")
    accepted: dict[str, Accepted] = json.loads(text)
    return accepted


def _first_wrong(root: Path, accepted: Mapping[str, Accepted]) -> str:
    """Return what is wrong with the first file that is not as listed; empty if nothing is."""
    for name, sums in accepted.items():
        path = root / name
        try:
            found = _checksum(path)
        except FileNotFoundError:
            if None not in sums:
                return f"{name} is missing"
            continue
        if found not in sums:
            return f"{name} is damaged: its checksum is not the one that was written"
    for path in _files(root):
        if _name(root, path) not in accepted:
            return f"{_name(root, path)} was not written by neurosim"
    return ""


def _files(root: Path) -> list[Path]:
    """Return the files of a store that hold data or describe them, sorted."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name in METADATA or CHUNK.fullmatch(name):
                found.append(Path(folder, name))
    return sorted(found)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _checksum(path: Path) -> int:
    """Return the checksum of a file."""
    found = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            found = zlib.crc32(piece, found)
    return found
