"""The folder of a recording: who writes it, and where it is once its path is written again.

An older recording is never overwritten: its folder gets another name beside the new one, and
traces that were opened before are read from there. Below `recording`. Start at `claim`.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from neurosim.errors import FileError

try:
    import fcntl
except ImportError:  # not POSIX: two runs that write one path are not noticed
    fcntl = None  # type: ignore[assignment]

KIND = "recording"  # attribute neurosim_kind at the root of a store


def claim(path: Path) -> int | None:
    """Make an empty folder for a recording, and return the lock on it, to be closed at the end.

    Raises
    ------
    FileError
        The path holds something other than a recording, or another run writes it.
    """
    folder = Path(os.path.realpath(path))
    if folder.exists() and not folder.is_dir():
        raise _foreign(path)
    if folder.exists() and any(folder.iterdir()):
        if not is_recording(description(folder)):
            raise _foreign(path)
        lock = _locked(folder, path)
        older = _free_version(folder)
        os.rename(folder, older)
        if lock is not None:
            os.close(lock)
        warnings.warn(
            f"{path} held another recording, which is {older} now", UserWarning, stacklevel=2
        )
    folder.mkdir(exist_ok=True)
    return _locked(folder, path)


def _foreign(path: Path) -> FileError:
    return FileError(f"{path} exists and is not a recording; try another path, or remove it")


def _locked(folder: Path, path: Path) -> int | None:
    """Lock a folder; the kernel frees the lock of a process that dies."""
    if fcntl is None:
        return None
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise FileError(
            f"{path} is being written by another run; try another path, or wait for it"
        ) from None
    except OSError:  # a file system without locks
        os.close(lock)
        return None
    return lock


def _free_version(folder: Path) -> Path:
    """Return the first unused name beside a folder: run-1.zarr, run-2.zarr, ..."""
    names = (folder.with_name(f"{folder.stem}-{n}{folder.suffix}") for n in count(1))
    return next(name for name in names if not os.path.lexists(name))


def new_identity() -> str:
    """Return a name for a recording by which it is found after its folder was renamed."""
    return secrets.token_hex(8)


def description(path: Path) -> dict[str, Any]:
    """Return the attributes of the root of a store; empty if it has none."""
    try:
        found = json.loads((path / ".zattrs").read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return found


def is_recording(found: Mapping[str, Any]) -> bool:
    """Return whether the root of a store is marked as a recording."""
    return found.get("neurosim_kind") == KIND


@dataclass(frozen=True)
class Place:
    """The folder that holds one recording, whatever its present name.

    Attributes
    ----------
    path : Path
        Where it was when it was opened.
    identity : str
        That of its description; recordings of 0.1 have their model instead.
    """

    path: Path
    identity: str

    @classmethod
    def of(cls, path: Path) -> Place:
        """Return the place of the recording that is at a path now."""
        folder = Path(os.path.realpath(path))
        return cls(folder, _identity(description(folder)))

    def find(self) -> Path:
        """Return the folder of the recording.

        Raises
        ------
        FileError
            Neither it nor an older version beside it is this recording.
        """
        if _identity(description(self.path)) == self.identity:
            return self.path
        pattern = f"{self.path.stem}-[0-9]*{self.path.suffix}"
        for version in self.path.parent.glob(pattern):
            if _identity(description(version)) == self.identity:
                return version
        raise FileError(
            f"{self.path} is not the recording that was opened any more, nor is one beside it; "
            "try to load it from where it was moved to"
        )


def _identity(found: Mapping[str, Any]) -> str:
    return str(found.get("identity", found.get("model", "")))
