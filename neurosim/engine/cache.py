"""Disk cache of compiled programs: shared by processes, checked before use, limited in size.

Brian2 is not imported, so that ``neurosim cache`` starts at once. An entry is a folder
`<key>.program`, filled under another name and then renamed; its seal lists its contents. A run has
its own hard link to its program, so removing entries does not break it. Start at `program`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosim.disk import cache_directory
from neurosim.errors import BackendError, out_of_range

try:
    import fcntl
except ImportError:  # not POSIX: every process builds, and the first entry stays
    fcntl = None  # type: ignore[assignment]

FORMAT = 1  # of the seal; an entry of another format is built anew
SEAL, PROGRAM = ".neurosim.json", "program"  # file names in the folder of an entry
ENTRY = re.compile(r"[0-9a-f]{24}\.program")
EARLIER = re.compile(r"[0-9a-f]{24}")  # an entry of neurosim 0.1: a bare executable, without a seal
NOTE = re.compile(r"[0-9a-f]{24}\.note")
# files of a build in progress; once older than OLD, they were left by a process that was killed
LEFTOVER = re.compile(r"[0-9a-f]{24}\.((program|note)\.[0-9a-f]{8}|program\.lock)")
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
PATIENCE = 120.0  # s that a process waits for another's build, which may have been suspended
POLL = 0.05  # s between two attempts to take a lock
NOTES = 2000  # notes that are kept; beyond that the oldest 1000 are removed
OLD = 3600.0  # s; no build takes longer

logger = logging.getLogger("neurosim")


@dataclass(frozen=True)
class Entry:
    """One program that is kept."""

    key: str
    path: Path  # folder, or the executable of neurosim 0.1
    size: int  # bytes
    used: float  # when it was last used, s since 1970
    about: str  # description, as given to `program`


def limit() -> int:
    """Return the size limit of the cache in bytes: $NEUROSIM_CACHE_SIZE, else 1 GB.

    Raises
    ------
    ModelError
        The variable does not hold a size.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, NEUROSIM_CACHE_SIZE="1.5 kB"):
    ...     limit()
    1500
    """
    text = os.environ.get("NEUROSIM_CACHE_SIZE", "").strip() or "1 GB"
    size = SIZE.fullmatch(text)
    if size is None:
        raise out_of_range(
            "NEUROSIM_CACHE_SIZE", text, "bytes, or a number of kB, MB, GB or TB", "'500 MB'"
        )
    number, prefix, binary = size.groups()
    base = 1024.0 if binary else 1000.0
    exponent = " kmgt".index((prefix or " ").lower())
    return round(float(number) * base**exponent)


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
        with _temporary(target) as made:
            build(made)
            if not (_executable(made) and made.stat().st_size):
                raise BackendError(
                    f"the build of {target} left no program; allowed: an executable file at {made}"
                )
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
        with _temporary(note) as fresh:
            fresh.write_text(text, encoding="utf-8")
            os.replace(fresh, note)
        notes = _notes()
        if len(notes) > NOTES:
            oldest_first = sorted(notes, key=lambda path: path.lstat().st_mtime)
            for path in oldest_first[: NOTES // 2]:
                _remove(path)
    except OSError as error:
        logger.warning(
            "the note on a compiled program could not be kept in %s: %s", note.parent, error
        )


def recall(name: str) -> tuple[str, str] | None:
    """Return the key and the text of a note (`remember`), or None if no readable note exists."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        note = json.loads((cache_directory() / f"{name}.note").read_bytes())
        if note["format"] == FORMAT:
            return str(note["program"]), str(note["about"])
    return None


def entries() -> list[Entry]:
    """Return the programs that are kept, the most recently used first."""
    found = []
    for path in cache_directory().iterdir():
        if ENTRY.fullmatch(path.name) or (EARLIER.fullmatch(path.name) and _executable(path)):
            with suppress(OSError):  # another process has removed it
                found.append(_read_entry(path))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _read_entry(path: Path) -> Entry:
    seal = path / SEAL
    dated = seal if seal.is_file() else path  # every use sets the time of the seal
    about = str(_seal(path).get("about", "not known"))
    return Entry(path.name[:24], path, _size(path), dated.lstat().st_mtime, about)


def trim(keep: Path | None = None) -> int:
    """Remove the least recently used entries until the rest is within `limit`.

    Parameters
    ----------
    keep : Path, optional
        An entry that stays.

    Returns
    -------
    int
        Bytes freed.
    """
    allowed, freed, found = limit(), _sweep(), entries()
    left = sum(entry.size for entry in found)
    for entry in reversed(found):
        if left > allowed and entry.path != keep:
            freed += _remove(entry.path)
            if not os.path.lexists(entry.path):
                left -= entry.size
    return freed


def clear() -> int:
    """Remove all programs and notes from the cache, nothing else; return the bytes freed."""
    freed = _sweep()
    for path in [*_notes(), *(entry.path for entry in entries())]:
        freed += _remove(path)
    return freed


def _sweep() -> int:
    """Remove files left by killed processes, if older than OLD; return the bytes freed."""
    freed = 0
    for path in cache_directory().iterdir():
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name) and time.time() - path.lstat().st_mtime > OLD:
                freed += _remove(path)
    return freed


def _notes() -> list[Path]:
    return [path for path in cache_directory().iterdir() if NOTE.fullmatch(path.name)]


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
    with suppress(OSError), _temporary(target) as link:
        _link_or_copy(entry / PROGRAM, link)
        if _seal(entry).get("contents") == {PROGRAM: _file_record(link)}:
            os.replace(link, target)
            _use(entry)
            return True
    return False


def _whole(entry: Path) -> bool:
    """Return whether the contents of an entry match its seal."""
    with suppress(OSError):
        return bool(_seal(entry).get("contents") == _contents(entry))
    return False


def _store(entry: Path, fill: Callable[[Path], None], about: str) -> None:
    """Make an entry under a temporary name; rename it once it is complete."""
    with _temporary(entry) as fresh:
        fresh.mkdir()
        fill(fresh)
        contents = _contents(fresh)
        if not contents:
            raise BackendError(
                f"the build of {entry.name} left an empty folder; allowed: at least one file"
            )
        seal = {"format": FORMAT, "about": about, "contents": contents}
        (fresh / SEAL).write_text(json.dumps(seal), encoding="utf-8")
        if not _whole(entry):  # without locks, another process may have been faster
            _remove(entry)
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
            file = stack.enter_context(path.open("a")) if fcntl else None
            while file and time.monotonic() < end:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    stack.callback(_remove, path)
                    break
                except BlockingIOError:
                    time.sleep(POLL)
        yield


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield an unused path beside `path`; remove whatever is there at the end."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        _remove(temporary)


def _link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it where a link is impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _file_record(path: Path) -> list[Any]:
    """Return the record of a file in a seal: size, whether it is executable, SHA-256 digest."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise OSError(f"{path} is not a plain file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [info.st_size, bool(info.st_mode & stat.S_IXUSR), digest]


def _contents(entry: Path) -> dict[str, list[Any]]:
    """Return the records of an entry's files, except the seal."""
    files = [file for file in _files(entry) if file.name != SEAL]
    return {file.relative_to(entry).as_posix(): _file_record(file) for file in files}


def _files(folder: Path) -> list[Path]:
    """Return all files below a folder; none if it is a link, which may lead anywhere."""
    found: list[Path] = []
    if not folder.is_symlink():
        for root, _, names in os.walk(folder):
            found += [Path(root, name) for name in names]
    return found


def _seal(entry: Path) -> dict[str, Any]:
    """Return the seal of an entry, or an empty dict if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        seal = json.loads((entry / SEAL).read_bytes())
        if isinstance(seal, dict) and seal.get("format") == FORMAT:
            return seal
    return {}


def _use(entry: Path) -> None:
    """Set the time at which an entry was last used to now."""
    with suppress(OSError):  # it belongs to another user, or has been removed
        os.utime(entry / SEAL)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in _files(path) or [path])


def _remove(path: Path) -> int:
    """Remove a file or folder; return the bytes freed.

    Returns 0 if nothing was there, or if it cannot be removed.
    """
    try:
        size = _size(path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError:
        return 0
    return size
