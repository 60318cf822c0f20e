"""Disk cache of compiled programs: shared by processes, checked before use.

An entry is a folder `<key>.program` in the user's private cache folder (`neurosim.keeping`), filled
under another name and then renamed; its seal lists its contents. A run has its own hard link to its
program, so removing entries does not break it. Start at `program`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from neurosim.errors import BackendError
from neurosim.keeping import (
    ENTRY,
    FORMAT,
    SAFE_OPEN,
    SEAL,
    cache_directory,
    executable,
    files_below,
    is_own,
    limit,
    notes,
    read_seal,
    read_sealed,
    remove,
    temporary,
    trim,
    use,
    write_sealed,
)

try:
    import fcntl
except ImportError:  # not POSIX: every process builds, and the first entry stays
    fcntl = None  # type: ignore[assignment]

PROGRAM = "program"  # file name in the folder of an entry
PATIENCE = 120.0  # s that a process waits for another's build, which may have been suspended
POLL = 0.05  # s between two attempts to take a lock
NOTES = 2000  # notes that are kept; beyond that the oldest 1000 are removed

logger = logging.getLogger("neurosim")


def program(key: str, build: Callable[[Path], None], *, target: Path, about: str = "") -> bool:
    """Put the executable of `key` at `target`, from the cache or by `build`.

    Processes that need the same program wait for the first of them to build it. A program that
    cannot be kept is built all the same, with a warning.

    Parameters
    ----------
    key : str
        24 hex digits, a hash of everything that the program is made from.
    build : callable
        Writes an executable to the path that it receives. Its errors are not caught.
    target : Path
        Path of the executable.
    about : str
        The description that ``neurosim cache`` shows.

    Returns
    -------
    bool
        Whether the program came from the cache.

    Raises
    ------
    BackendError
        `build` has written no executable.
    """
    entry = _entry(key)
    if _taken(entry, target):
        return True
    limit()  # refuse an invalid size before the compiler runs
    with _alone(entry):
        if _taken(entry, target):  # another process has built it while this one waited
            return True
        # beside the target, not in the cache, so that the build succeeds even if that disk is full
        with temporary(target) as made:
            build(made)
            if not (executable(made) and made.stat().st_size):
                raise BackendError(
                    f"the build of {target} left no program; allowed: an executable file at {made}"
                )
            made.chmod(0o700)  # whatever the umask: no others may change what is kept
            os.replace(made, target)
        try:
            _store(entry, lambda folder: _link_or_copy(target, folder / PROGRAM), about)
            trim(keep=entry)
        except OSError as error:
            logger.warning("the compiled program could not be kept in %s: %s", entry.parent, error)
    return False


def take(key: str, target: Path) -> bool:
    """Put the executable of `key` at `target` if an intact one is kept; return whether it is."""
    return _taken(_entry(key), target)


def remember(name: str, key: str, about: str) -> None:
    """Keep a note that maps another name to the program `key`; `recall` reads it.

    Parameters
    ----------
    name : str
        Name of the note, 24 hex digits.
    key : str
        Key of the program.
    about : str
        Text to keep in the note: the layout that is needed to run the program.
    """
    note = cache_directory() / f"{name}.note"
    text = json.dumps({"format": FORMAT, "program": key, "about": about})
    try:
        write_sealed(note, text.encode())
        kept = notes()
        if len(kept) > NOTES:
            oldest_first = sorted(kept, key=lambda path: path.lstat().st_mtime)
            for path in oldest_first[: NOTES // 2]:
                remove(path)
    except OSError as error:
        logger.warning(
            "the note on a compiled program could not be kept in %s: %s", note.parent, error
        )


def recall(name: str) -> tuple[str, str] | None:
    """Return the key and the text of a note (`remember`), or None if no intact note exists."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        content = read_sealed(cache_directory() / f"{name}.note")
        note = json.loads(content or b"{}")
        if note["format"] == FORMAT:
            return str(note["program"]), str(note["about"])
    return None


def _entry(key: str) -> Path:
    name = f"{key}.program"
    if not ENTRY.fullmatch(name):
        raise ValueError(f"key = {key!r}; allowed: 24 hex digits; try hexdigest()[:24]")
    return cache_directory() / name


def _taken(entry: Path, target: Path) -> bool:
    """Put the program of an intact entry at `target`; return whether the entry is intact.

    The link is checked, not the entry: the link will run, even if another process changes the
    entry meanwhile.
    """
    with suppress(OSError), temporary(target) as link:
        _link_or_copy(entry / PROGRAM, link)
        if read_seal(entry).get("contents") == {PROGRAM: _file_record(link)}:
            os.replace(link, target)
            use(entry / SEAL)
            return True
    return False


def _whole(entry: Path) -> bool:
    """Return whether the contents of an entry match its seal."""
    with suppress(OSError):
        return bool(read_seal(entry).get("contents") == _contents(entry))
    return False


def _store(entry: Path, fill: Callable[[Path], None], about: str) -> None:
    """Make an entry under a temporary name; rename it once it is complete."""
    with temporary(entry) as fresh:
        fresh.mkdir(mode=0o700)
        fill(fresh)
        contents = _contents(fresh)
        if not contents:
            raise BackendError(
                f"the build of {entry.name} left an empty folder; allowed: at least one file"
            )
        seal = {"format": FORMAT, "about": about, "contents": contents}
        write_sealed(fresh / SEAL, json.dumps(seal).encode(), entry.name)
        if not _whole(entry):  # without locks, another process may have been faster
            remove(entry)
            os.replace(fresh, entry)


@contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Let one process build at a time, where the file system has locks.

    The kernel frees the lock of a process that dies. The process that has built removes the lock
    file: those that waited then lock the unlinked file, and later ones a new file. That is
    harmless, as all of them find the entry.
    """
    path, end = entry.with_name(f"{entry.name}.lock"), time.monotonic() + PATIENCE
    with ExitStack() as stack:
        with suppress(OSError):  # a network drive without locks, or a full disk: go on without
            file = stack.enter_context(_opened(path)) if fcntl else None
            while file and time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    stack.callback(remove, path)
                    break
                except BlockingIOError:
                    time.sleep(POLL)
        yield


def _opened(path: Path) -> IO[bytes]:
    """Open a lock file; never one behind a link."""
    flags = os.O_CREAT | os.O_RDWR | SAFE_OPEN
    return open(path, "r+b", buffering=0, opener=lambda lock, _: os.open(lock, flags, 0o600))


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where a link is impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _file_record(path: Path) -> list[Any]:
    """Return the record of a file in a seal: size, whether it is executable, SHA-256 digest."""
    info = path.lstat()
    if not (stat.S_ISREG(info.st_mode) and is_own(info)):
        raise OSError(f"{path} is not a plain file of this user")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [info.st_size, bool(info.st_mode & stat.S_IXUSR), digest]


def _contents(entry: Path) -> dict[str, list[Any]]:
    """Return the records of an entry's files, except the seal."""
    files = [file for file in files_below(entry) if file.name != SEAL]
    return {file.relative_to(entry).as_posix(): _file_record(file) for file in files}
