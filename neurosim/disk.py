"""Read, replace and write files safely, and find the cache directory.

The one way in which the package touches the disk: a file is built under a temporary name and
renamed, and what the system refuses becomes a `FileError` in words. Start at `replacing`.
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


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """A temporary file in the folder of `path` that takes its place when the block ends well.

    However the block ends, the temporary file is gone and `path` is either the old file or the
    whole new one. Parameters: `path`, str or Path. Yields the Path to write to; it keeps the
    suffix.

    Raises
    ------
    FileError
        A missing or unwritable folder, a full disk; says what to try. The file that was there is as
        it was.

    Examples
    --------
    >>> with replacing("table.csv") as temporary:
    ...     temporary.write_text("rho,steps\\n")
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        with writing(path):
            if target.is_dir():
                raise FileError(
                    f"{path} cannot be written: it is a folder; try {Path(path) / 'run.nc'}"
                )
            temporary.touch(
                exist_ok=False
            )  # an unwritable folder is told before the work, not after it
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
    """What the system refuses in this block is a `FileError` in words."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise _not_written(path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Damage that is met in this block is a `FileError`; HDF5 and zarr report it in many ways."""
    try:
        yield
    except (ImportError, FileError):
        raise
    except MemoryError as error:
        raise FileError(
            f"{path} does not fit into memory ({path.stat().st_size} bytes on disk); "
            f"try a larger machine or xarray.open_dataset, which reads piece by piece"
        ) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _not_written(path: AnyPath, error: OSError) -> FileError:
    folder = Path(path).parent
    hints = {
        errno.ENOSPC: "the disk is full; free some space or write to another one",
        errno.EDQUOT: "the quota is used up; free some space or write to another disk",
        errno.ENOENT: f"try to make the folder {folder} first",
        errno.ENOTDIR: f"{folder} is not a folder",
        errno.ENAMETOOLONG: "try a shorter name",
    }
    hint = hints.get(
        error.errno or 0, f"try a folder that you may write to (now: {folder.absolute()})"
    )
    reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
    return FileError(f"{path} cannot be written: {reason}; {hint}")


def missing(path: Path) -> FileError:
    """The one form in which a path that is not there is refused, with the nearest name that is."""
    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    hint = (
        f"did you mean {str(folder / near[0])!r}?"
        if near
        else f"try another path than {str(path.absolute())!r}"
    )
    return FileError(f"{path} does not exist; {hint}")


def check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder; allowed: a file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise missing(path) from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}; try to change its permissions"
        ) from error
    if empty:
        raise FileError(f"{path} is empty (0 bytes); try to save it again")


def _damaged(path: Path, error: Exception) -> FileError:
    reason = (str(error).splitlines() or [""])[0]
    return FileError(
        f"{path} is cut short or damaged ({type(error).__name__}: {reason}); try to "
        "copy it or to run it again"
    )


def cache_directory() -> Path:
    """$NEUROSIM_CACHE, else the user's cache folder; where that cannot be written, one for this
    process alone.
    """
    base = os.environ.get("NEUROSIM_CACHE")
    try:
        root = (
            Path(base)
            if base
            else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "neurosim")
        )
        root = root.expanduser().absolute()
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return _private(base or "~/.cache/neurosim")
    return root


@lru_cache(maxsize=1)
def _private(instead_of: str) -> Path:
    logger.warning(
        "compiled programs cannot be kept in %s; try another folder in $NEUROSIM_CACHE", instead_of
    )
    folder = Path(tempfile.mkdtemp(prefix="neurosim_cache_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
