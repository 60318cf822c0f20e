"""What the compiler made, kept on disk: shared by processes, checked before use, below a limit.

Knows no Brian2, so that ``neurosim cache`` starts at once. An entry is a folder `<key>.program`,
filled under another name and renamed; its seal lists what has to be in it. A run has a hard link of
its own to its program, so nothing that happens here breaks it. Start at `program`.
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
except ImportError:  # not POSIX: everybody builds, and the first one's entry stays
    fcntl = None  # type: ignore[assignment]

FORMAT = 1  # of the seal; an entry with another one is built anew
SEAL, PROGRAM = ".neurosim.json", "program"  # in the folder of an entry
ENTRY = re.compile(r"[0-9a-f]{24}\.program")
EARLIER = re.compile(r"[0-9a-f]{24}")  # neurosim 0.1: a bare executable, of which nothing is known
NOTE = re.compile(r"[0-9a-f]{24}\.note")
# of a builder that was killed, when it is OLD
LEFTOVER = re.compile(r"[0-9a-f]{24}\.((program|note)\.[0-9a-f]{8}|program\.lock)")
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
PATIENCE, POLL = 120.0, 0.05  # s; a builder that takes longer was stopped, and is not waited for
NOTES = 2000  # that are kept; then the older half goes
OLD = 3600.0  # s; no compiler runs for longer

logger = logging.getLogger("neurosim")


@dataclass(frozen=True)
class Entry:
    """One thing kept: where, its bytes, when it was last used (s since 1970), its builder's words
    about it.
    """

    key: str
    path: Path
    size: int
    used: float
    about: str


def limit() -> int:
    """Bytes that may be kept: $NEUROSIM_CACHE_SIZE, else 1 GB; a ModelError where that is no size."""
    text = os.environ.get("NEUROSIM_CACHE_SIZE", "").strip() or "1 GB"
    size = SIZE.fullmatch(text)
    if size is None:
        raise out_of_range(
            "NEUROSIM_CACHE_SIZE", text, "bytes, or a number of kB, MB, GB or TB", "'500 MB'"
        )
    number, prefix, binary = size.groups()
    return round(
        float(number) * (1024.0 if binary else 1000.0) ** " kmgt".index((prefix or " ").lower())
    )


def program(key: str, build: Callable[[Path], None], *, target: Path, about: str = "") -> bool:
    """Put the executable of `key` at `target`, from the cache or by `build`; True if nothing was
    built.

    `key` is 24 hex digits, a hash of all that the program is made from; `build` writes an
    executable to the path that it is given, and what it raises goes through; `about` is what
    ``neurosim cache`` shows. Processes that want the same program wait for the first one. What
    cannot be kept is built all the same.
    """
    entry = _entry(key)
    if _taken(entry, target):
        return True
    limit()  # nonsense is told before the compiler runs
    with _alone(entry):
        if _taken(entry, target):  # another process has built it while this one waited
            return True
        with _temporary(
            target
        ) as made:  # not in the cache: a disk that is full there is no reason to fail
            build(made)
            if not (_executable(made) and made.stat().st_size):
                raise BackendError(
                    f"the build of {target} left no program; allowed: an executable file at {made}"
                )
            os.replace(made, target)
        try:
            _store(entry, lambda folder: _same(target, folder / PROGRAM), about)
            trim(keep=entry)
        except OSError as error:
            logger.warning("the compiled program could not be kept in %s: %s", entry.parent, error)
    return False


def take(key: str, target: Path) -> bool:
    """Put the executable of `key` at `target`, if it is kept whole."""
    return _taken(_entry(key), target)


def remember(name: str, key: str, about: str) -> None:
    """Note under another name (24 hex digits) that `key` is the program for it, with what has to be
    known to run it.
    """
    note = cache_directory() / f"{name}.note"
    try:
        with _temporary(note) as fresh:
            fresh.write_text(
                json.dumps({"format": FORMAT, "program": key, "about": about}), encoding="utf-8"
            )
            os.replace(fresh, note)
        if len(notes := _notes()) > NOTES:
            for path in sorted(notes, key=lambda path: path.lstat().st_mtime)[: NOTES // 2]:
                _remove(path)
    except OSError as error:
        logger.warning(
            "what is known of a compiled program could not be kept in %s: %s", note.parent, error
        )


def recall(name: str) -> tuple[str, str] | None:
    """The program's key and what was noted with it, if there is a note."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        note = json.loads((cache_directory() / f"{name}.note").read_bytes())
        if note["format"] == FORMAT:
            return str(note["program"]), str(note["about"])
    return None


def entries() -> list[Entry]:
    """What is kept, last used first."""
    found = []
    for path in cache_directory().iterdir():
        if ENTRY.fullmatch(path.name) or (EARLIER.fullmatch(path.name) and _executable(path)):
            with suppress(OSError):  # another process has removed it
                used = (path / SEAL if (path / SEAL).is_file() else path).lstat().st_mtime
                found.append(
                    Entry(
                        path.name[:24],
                        path,
                        _size(path),
                        used,
                        str(_seal(path).get("about", "not known")),
                    )
                )
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def trim(keep: Path | None = None) -> int:
    """Remove what was not used for longest until the rest is within `limit`, but not `keep`; the
    bytes freed.
    """
    allowed, freed, found = limit(), _sweep(), entries()
    left = sum(entry.size for entry in found)
    for entry in reversed(found):
        if left > allowed and entry.path != keep:
            freed += _remove(entry.path)
            left -= 0 if os.path.lexists(entry.path) else entry.size
    return freed


def clear() -> int:
    """Remove everything that is neurosim's, and nothing else; the bytes freed."""
    return _sweep() + sum(map(_remove, _notes())) + sum(_remove(entry.path) for entry in entries())


def _sweep() -> int:
    """What killed builders left, once it is too old to be in use; the bytes freed."""
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
    """The link is checked, not the entry: whatever others do to that meanwhile, this is what will
    run.
    """
    with suppress(OSError), _temporary(target) as link:
        _same(entry / PROGRAM, link)
        if _seal(entry).get("contents") == {PROGRAM: _print(link)}:
            os.replace(link, target)
            _use(entry)
            return True
    return False


def _whole(entry: Path) -> bool:
    with suppress(OSError):
        return bool(_seal(entry).get("contents") == _contents(entry))
    return False


def _store(entry: Path, fill: Callable[[Path], None], about: str) -> None:
    """Make the entry: nobody sees it before it is whole."""
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
        if not _whole(entry):  # where there are no locks, another may have been faster
            _remove(entry)
            os.replace(fresh, entry)


@contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """One builder at a time, as far as the file system has locks; the kernel takes a dead one's
    away.

    Who waited holds a file without a name by then, and newcomers another: both find the first one's
    entry.
    """
    path, end = entry.with_name(f"{entry.name}.lock"), time.monotonic() + PATIENCE
    with ExitStack() as stack:
        with suppress(OSError):  # a network drive without locks, a full disk: go on without
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
    """A free name beside `path`; what lies there in the end is removed."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
    finally:
        _remove(temporary)


def _same(source: Path, target: Path) -> None:
    """The same file under a new name, or a copy of it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _print(path: Path) -> list[Any]:
    """What a file is known by: size, whether it can be executed, digest."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise OSError(f"{path} is no plain file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [info.st_size, bool(info.st_mode & stat.S_IXUSR), digest]


def _contents(entry: Path) -> dict[str, list[Any]]:
    return {f.relative_to(entry).as_posix(): _print(f) for f in _files(entry) if f.name != SEAL}


def _files(folder: Path) -> list[Path]:
    """Nothing behind a link is ours."""
    tree = [] if folder.is_symlink() else os.walk(folder)
    return [Path(root, name) for root, _, names in tree for name in names]


def _seal(entry: Path) -> dict[str, Any]:
    """What an entry says of itself, if it is one."""
    with suppress(OSError, ValueError, RecursionError):
        seal = json.loads((entry / SEAL).read_bytes())
        if isinstance(seal, dict) and seal.get("format") == FORMAT:
            return seal
    return {}


def _use(entry: Path) -> None:
    with suppress(OSError):  # another user's, or already gone
        os.utime(entry / SEAL)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in _files(path) or [path])


def _remove(path: Path) -> int:
    """The bytes freed: none where nothing was there, or another user's."""
    try:
        size = _size(path)
        remove = shutil.rmtree if path.is_dir() and not path.is_symlink() else os.unlink
        remove(path)
    except OSError:
        return 0
    return size
