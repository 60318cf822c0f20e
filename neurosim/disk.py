"""Read, replace and write files safely, and find the cache directory.

All disk access of the package goes through this module. A file is written under a temporary name
and then renamed, so that a reader finds either the old file or the complete new one. An error of
the operating system becomes a `FileError` with a hint. Start at `replacing`.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from neurosim.errors import FileError

logger = logging.getLogger("neurosim")

AnyPath = str | os.PathLike[str]


# Writing


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` when the block ends without an error.

    The temporary file is in the folder of `path` and has the same suffix. After the block, however
    it ends, the temporary file is gone, and `path` is either the old file or the complete new one.
    Symbolic links are followed; the permissions of an old file are kept.

    Parameters
    ----------
    path : str or Path

    Yields
    ------
    Path
        The file to write to.

    Raises
    ------
    FileError
        The folder is missing or unwritable, `path` is a folder, or the disk is full. The old file
        is unchanged.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     with replacing(path) as temporary:
    ...         characters = temporary.write_text("rho,steps")
    ...     path.read_text()
    'rho,steps'
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        with writing(path):
            if target.is_dir():
                instead = Path(path) / "run.nc"
                raise FileError(f"{path} cannot be written: it is a folder; try {instead}")
            # Report an unwritable folder before the caller does its work.
            temporary.touch(exist_ok=False)
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: AnyPath) -> Iterator[None]:
    """Turn an `OSError` in this block into a `FileError` about writing `path`.

    Raises
    ------
    FileError
        `path` cannot be written; the message has the system's reason and a hint.
    """
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: AnyPath, error: OSError) -> FileError:
    """Return a `FileError` with the system's reason and a hint that fits it."""
    folder = Path(path).parent
    hints = {
        errno.ENOSPC: "the disk is full; free some space or write to another one",
        errno.EDQUOT: "the quota is used up; free some space or write to another disk",
        errno.ENOENT: f"try to create the folder {folder} first",
        errno.ENOTDIR: f"{folder} is not a folder",
        errno.ENAMETOOLONG: "try a shorter name",
    }
    otherwise = f"try a folder that you may write to (now: {folder.absolute()})"
    hint = hints.get(error.errno or 0, otherwise)
    reason = _first_line(error)
    if error.errno:
        reason = os.strerror(error.errno)
    return FileError(f"{path} cannot be written: {reason}; {hint}")


# Reading


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error in this block except `ImportError` into a `FileError` about reading `path`.

    It catches every class because HDF5, zarr and zip report damage by many different ones.

    Raises
    ------
    FileError
        The file is cut short, damaged, or does not fit into memory.
    """
    try:
        yield
    except (ImportError, FileError):
        raise
    except MemoryError as error:
        raise FileError(
            f"{path} does not fit into memory ({path.stat().st_size} bytes on disk); "
            "try a larger machine or xarray.open_dataset, which reads piece by piece"
        ) from error
    except Exception as error:
        raise _read_error(path, error) from error


def _read_error(path: Path, error: Exception) -> FileError:
    """Return a `FileError` with the class and the first line of an error raised while reading."""
    reason = f"{type(error).__name__}: {_first_line(error)}"
    return FileError(
        f"{path} is cut short or damaged ({reason}); try to copy it again, or to repeat the run"
    )


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message; empty if it has none."""
    lines = str(error).splitlines() or [""]
    return lines[0]


def check_readable(path: Path) -> None:
    """Check that a path is a file that is readable and not empty.

    Raises
    ------
    FileError
        The path is missing, a folder, unreadable or empty.
    """
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder; allowed: a file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileError:
        raise
    except FileNotFoundError as error:
        raise missing(path) from error
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}; try to change its permissions"
        ) from error
    if empty:
        raise FileError(f"{path} is empty (0 bytes); try to save it again")


def missing(path: Path) -> FileError:
    """Return the error for a path that does not exist; it suggests the nearest existing name."""
    folder = path.parent
    names: list[str] = []
    if folder.is_dir():
        names = [entry.name for entry in folder.iterdir()]
    near = get_close_matches(path.name, names, n=1)
    if near:
        hint = f"did you mean {str(folder / near[0])!r}?"
    else:
        hint = f"try another path (this one is {str(path.absolute())!r})"
    return FileError(f"{path} does not exist; {hint}")


# The cache directory


def cache_directory() -> Path:
    """Return the cache folder, for files that can be regenerated; create it if it is missing.

    It is $NEUROSIM_CACHE, else $XDG_CACHE_HOME/neurosim, else ~/.cache/neurosim. If that folder
    cannot be written to, log a warning and use a temporary one, removed when the process ends.
    """
    chosen = os.environ.get("NEUROSIM_CACHE")
    try:
        root = Path(chosen) if chosen else _user_cache()
        root = root.expanduser().absolute()
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home directory
        return _private(chosen or "~/.cache/neurosim")
    return root


def _user_cache() -> Path:
    """Return neurosim's folder in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base, "neurosim")
    return Path.home() / ".cache" / "neurosim"


@lru_cache(maxsize=1)
def _private(instead_of: str) -> Path:
    """Create a temporary folder, once per process, and warn that it will not be kept."""
    logger.warning(
        "compiled programs cannot be kept in %s; try another folder in $NEUROSIM_CACHE", instead_of
    )
    folder = Path(tempfile.mkdtemp(prefix="neurosim_cache_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
