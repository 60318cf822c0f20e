"""Read, replace and write files safely; temporary folders.

All disk access of the package goes through this module. A file is written under a temporary name
and then renamed, so that a reader finds either the old file or the complete new one. An error of
the operating system becomes a `FileError` with a hint. Start at `replacing`.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from neurosim.errors import FileError

try:
    import fcntl
except ImportError:  # not POSIX: temporary folders of killed processes stay
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("neurosim")

AnyPath = str | os.PathLike[str]
FILE = "file"
KINDS: dict[str, Callable[[int], bool]] = {
    FILE: stat.S_ISREG,
    "folder": stat.S_ISDIR,
    "pipe": stat.S_ISFIFO,
    "socket": stat.S_ISSOCK,
    "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
}


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
        The folder is missing or unwritable, or the disk is full; `path` is a folder, a device, a
        pipe or a socket, or a file that is write-protected. What is there is unchanged.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     with replacing(path) as temporary:
    ...         characters = temporary.write_text("rho,steps")
    ...     path.read_text()
    'rho,steps'
    """
    try:
        target = Path(os.path.realpath(path))
        temporary = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}")
    except ValueError as error:  # the root, or text with a zero byte
        raise FileError(f"{str(path)!r} is not the path of a file: {error}") from error
    try:
        with writing(path):
            _check_replaceable(path, target)
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


def _check_replaceable(path: AnyPath, target: Path) -> None:
    """Check that nothing is at `target`, or a regular file that may be written.

    `path` is the path as the user gave it.
    """
    with suppress(FileNotFoundError):
        kind = _kind_of(target)
        if kind == "folder":
            instead = Path(path) / "run.nc"
            raise FileError(f"{path} cannot be written: it is a folder; try {instead}")
        if kind != FILE:
            raise FileError(
                f"{path} cannot be written: it is a {kind}; "
                "allowed: a file, or a path at which nothing is"
            )
        if not target.stat().st_mode & 0o222 or not os.access(target, os.W_OK):
            raise FileError(
                f"{path} cannot be written: it is write-protected; "
                f"try another path, or chmod u+w {path}"
            )


def _kind_of(path: Path) -> str:
    """Return the kind of thing at a path, following links: `FILE`, "folder", "pipe", ..."""
    mode = path.stat().st_mode
    for kind, applies in KINDS.items():
        if applies(mode):
            return kind
    return "special file"


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

REFUSED = {
    errno.EACCES: "try to change its permissions",
    errno.EPERM: "try to change its permissions",
    errno.EMFILE: "try to close other files, or a higher limit (ulimit -n)",
    errno.ENFILE: "try to close other programs, as the whole system has too many open files",
    errno.EIO: "the disk or its connection fails; try to copy the file",
}


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
    """Return a `FileError` with the reason of an error raised while reading.

    Only what the system refuses to read is known not to be damaged.
    """
    if isinstance(error, OSError) and error.errno in REFUSED:
        return FileError(
            f"{path} cannot be read: {os.strerror(error.errno)}; {REFUSED[error.errno]}"
        )
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
        The path is missing, not a regular file, unreadable or empty.
    """
    try:
        kind = _kind_of(path)
        if kind != FILE:  # a pipe would be waited for, a device may not end
            raise FileError(f"{path} is a {kind}; allowed: a file")
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


def is_within(path: AnyPath, folder: AnyPath) -> bool:
    """Return whether a path, with its symbolic links followed, is in a folder or is the folder.

    The path need not exist. One that cannot be a path, such as text with a zero byte, is not.
    """
    try:
        root, target = os.path.realpath(folder), os.path.realpath(path)
        return os.path.commonpath([root, target]) == root
    except (OSError, ValueError):
        return False


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


# Temporary folders

PREFIX, HELD = "neurosim_", ".held"  # of temporary folders; file that is locked while one is used


class TemporaryFolder:
    """A folder that is removed together with this object, or when the process ends.

    A process that is killed leaves its folders. The next one removes them: the kernel has released
    their locks. A process that was forked removes nothing.

    Attributes
    ----------
    path : Path

    Raises
    ------
    FileError
        The temporary folder of the system is full, missing or unwritable.
    """

    def __init__(self) -> None:
        root = temporary_root()
        with writing_temporary(root):
            sweep_temporary(str(root))
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            lock = _locked(self.path)
        weakref.finalize(self, _remove_folder, self.path, lock, os.getpid())


def temporary_root() -> Path:
    """Return the folder in which temporary files are made: that of $TMPDIR, else of the system.

    Raises
    ------
    FileError
        No folder can be written to.
    """
    with writing_temporary(Path(os.environ.get("TMPDIR") or "/tmp")):
        return Path(tempfile.gettempdir())


def _locked(folder: Path) -> int | None:
    """Lock a file in a folder; it has its name only once it is locked."""
    if fcntl is None:
        return None
    new = folder / f"{HELD}.new"
    lock = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
    with suppress(OSError):  # a file system without locks: the folder would not be swept
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(new, folder / HELD)
    return lock


def _remove_folder(folder: Path, lock: int | None, process: int) -> None:
    if os.getpid() != process:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None:
        os.close(lock)


@lru_cache(maxsize=8)
def sweep_temporary(root: str) -> None:
    """Remove the temporary folders of this user's killed processes, once per process."""
    if fcntl is None:
        return
    for folder in Path(root).glob(f"{PREFIX}*"):
        with suppress(OSError):  # also BlockingIOError: its process lives
            about = folder.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                continue
            lock = os.open(folder / HELD, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def writing_temporary(path: Path) -> Iterator[None]:
    """Turn an `OSError` about a file in a temporary folder into a `FileError` with a way out.

    Raises
    ------
    FileError
        The message has the system's reason.
    """
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        reasons = {
            errno.ENOSPC: f"the disk of the temporary folder is full ({_free(path)} free)",
            errno.EDQUOT: "the quota on the disk of the temporary folder is used up",
            errno.ENOENT: "the temporary folder is missing",
        }
        short = f"{_first_line(error)} ({_free(path)} free)"  # by NumPy, which does not know why
        reason = reasons.get(error.errno or 0, error.strerror or short)
        raise FileError(
            f"{path} cannot be written: {reason}; "
            "try another folder in TMPDIR, or backend='numpy', which writes no files"
        ) from error


def _free(path: Path) -> str:
    """Return the free space on the disk of a path, as text."""
    for folder in (path, *path.parents):
        if folder.is_dir():
            return f"{shutil.disk_usage(folder).free / 1e6:.3g} MB"
    return "unknown space"
