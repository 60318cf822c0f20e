"""The user's private cache folder: find it, seal what is kept there, list it and limit its size.

What the folder holds is run (programs) or believed (notes, data sets), so nobody else may write to
it. Each file is sealed with a digest of its name and content and must belong to the user: what is
damaged, swapped, linked or foreign counts as missing, and is made again. Brian2 is not imported, so
that ``neurosim cache`` starts at once. Start at `cache_directory` and `read_sealed`.
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
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurosim.disk import TemporaryFolder
from neurosim.errors import out_of_range

FORMAT = 1  # of the seal; an entry of another format is built anew
SEAL = ".neurosim.json"  # file name in the folder of an entry
ENTRY = re.compile(r"[0-9a-f]{24}\.program")
EARLIER = re.compile(r"[0-9a-f]{24}")  # an entry of neurosim 0.1: a bare executable, without a seal
NOTE = re.compile(r"[0-9a-f]{24}\.note")
DATA = re.compile(r"([a-z0-9_]{1,40})-[0-9a-f]{16}\.npz")
MODULES = "cython"  # folder of the modules that Brian2 compiles for backend="cython"
MODULE = re.compile(r"_cython_magic_[0-9a-f]{32}\.(.*\.)?(so|pyd|dll)")
# files of a build in progress; once older than OLD, they were left by a process that was killed
LEFTOVER = re.compile(
    r"[0-9a-f]{24}\.((program|note)\.[0-9a-f]{8}|program\.lock)"
    r"|[a-z0-9_]{1,40}-[0-9a-f]{16}\.npz(\.[0-9a-f]{8}){1,2}"
)
SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
OLD = 3600.0  # s; no build takes longer
LINKS = 40  # symbolic links on the way to a folder, as the kernel allows
OTHERS, ANYBODY = 0o022, 0o002  # bits of a mode that let others write
SAFE_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

logger = logging.getLogger("neurosim")


# The folder


def cache_directory() -> Path:
    """Return the cache folder, for files that can be regenerated; create it if it is missing.

    It is $NEUROSIM_CACHE, else $XDG_CACHE_HOME/neurosim, else ~/.cache/neurosim, with mode 0700. If
    that folder cannot be written to, or if others may write to it, log a warning and use a
    temporary one, removed when the process ends.
    """
    chosen = os.environ.get("NEUROSIM_CACHE")
    try:
        root = Path(chosen) if chosen else _user_cache()
        root = root.expanduser().absolute()
        for folder in (*reversed(root.parents), root):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
        if not chosen and root.stat().st_mode & 0o077 and is_own(root.stat(), others=0):
            root.chmod(0o700)  # neurosim 0.1 left it open
        reason = _exposure(root)
        if reason is None:
            tempfile.TemporaryFile(dir=root).close()
            return root
    except (OSError, RuntimeError):  # RuntimeError: a user without a home directory
        reason = None
    return _private(chosen or "~/.cache/neurosim", reason).path


def _user_cache() -> Path:
    """Return neurosim's folder in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base, "neurosim")
    return Path.home() / ".cache" / "neurosim"


def is_own(about: os.stat_result, others: int = OTHERS) -> bool:
    """Return whether a file or folder is this user's, and no others may write to it."""
    if not hasattr(os, "geteuid"):  # not POSIX: the user's profile is private
        return True
    return about.st_uid == os.geteuid() and not about.st_mode & others


def _exposure(root: Path) -> str | None:
    """Return how others could replace what is in a folder, and a remedy; None if they could not.

    They could if they may write to it, or own or may write to a folder or link on the way to it. A
    sticky folder such as /tmp protects what belongs to the user.
    """
    if not hasattr(os, "geteuid"):
        return None
    danger = "so what is there may be theirs and is not run"
    about = root.stat()
    if about.st_uid != os.geteuid():
        return f"it belongs to another user ({about.st_uid}), {danger}; try"
    if about.st_mode & OTHERS:
        return f"it is writable by others, {danger}; try chmod go-w {root}, or"
    trusted = {0, os.geteuid(), os.stat("/").st_uid}
    for path, step in _way_to(root):
        if step.st_uid not in trusted:
            return f"{path} belongs to another user ({step.st_uid}), {danger}; try"
        mode = step.st_mode
        if stat.S_ISDIR(mode) and mode & ANYBODY and not mode & stat.S_ISVTX:
            return f"{path} is writable by others, {danger}; try chmod go-w {path}, or"
    return None


def _way_to(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each folder and each symbolic link on the way to a folder, and its status."""
    here, left, links = Path(root.anchor), list(reversed(root.parts[1:])), 0
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        about = (here / name).lstat()
        yield here / name, about
        if not stat.S_ISLNK(about.st_mode):
            here = here / name
            continue
        links += 1
        if links > LINKS:
            raise OSError(f"{root} has more than {LINKS} symbolic links")
        target = Path(os.readlink(here / name))
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        if target.is_absolute():
            here = Path(target.anchor)


@lru_cache(maxsize=1)
def _private(instead_of: str, reason: str | None) -> TemporaryFolder:
    """Create a temporary folder, once per process, and warn that it will not be kept."""
    why = f": {reason}" if reason else "; try"
    logger.warning(
        "compiled programs cannot be kept in %s%s another folder in $NEUROSIM_CACHE",
        instead_of,
        why,
    )
    return TemporaryFolder()


# Sealed files


def write_sealed(path: Path, content: bytes, name: str = "") -> None:
    """Write a file under a digest of its name and content; replace what is at `path`.

    Parameters
    ----------
    path : Path
    content : bytes
    name : str, optional
        The name that is sealed; by default that of `path`.
    """
    with temporary(path) as fresh:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        with open(fresh, "wb", opener=lambda new, _: os.open(new, flags, 0o600)) as file:
            file.write(_digest(name or path.name, content) + b"\n" + content)
        os.replace(fresh, path)


def read_sealed(path: Path, name: str = "") -> bytes | None:
    """Return the content that `write_sealed` wrote.

    Return None if the file is missing, damaged, a link, another user's or one that others may write
    to, or if it was written under another name.
    """
    seal, _, content = (read_own(path) or b"").partition(b"\n")
    if seal == _digest(name or path.name, content):
        return content
    return None


def read_own(path: Path) -> bytes | None:
    """Return the bytes of a plain file of this user that no others may write to, or None."""
    with suppress(OSError), open(path, "rb", opener=_open_no_link) as file:
        about = os.fstat(file.fileno())
        if stat.S_ISREG(about.st_mode) and is_own(about):
            return file.read()
    return None


def seal_of(module: Path) -> Path:
    """Return the path of the sealed digest of a module."""
    return module.with_name(f"{module.name}.seal")


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | SAFE_OPEN)


def _digest(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(f"{FORMAT} {name}\n".encode())
    digest.update(content)
    return digest.hexdigest().encode()


def read_seal(entry: Path) -> dict[str, Any]:
    """Return the seal of an entry that is a folder, or an empty dict if it cannot be trusted."""
    with suppress(OSError, ValueError, RecursionError):
        about = entry.lstat()
        content = read_sealed(entry / SEAL, entry.name)
        if content is not None and stat.S_ISDIR(about.st_mode) and is_own(about):
            seal = json.loads(content)
            if isinstance(seal, dict) and seal.get("format") == FORMAT:
                return seal
    return {}


# All that is kept


@dataclass(frozen=True)
class Entry:
    """One program, module or data set that is kept."""

    key: str
    path: Path  # folder, data set, module, or the executable of neurosim 0.1
    size: int  # bytes
    used: float  # when it was last used, s since 1970
    about: str  # description


def entries() -> list[Entry]:
    """Return the programs, modules and data sets that are kept, the most recently used first."""
    found = []
    for path in _kept():
        with suppress(OSError):  # another process has removed it
            found.append(_read_entry(path))
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _kept() -> Iterator[Path]:
    """Yield the paths of all entries."""
    for path in cache_directory().iterdir():
        if (
            ENTRY.fullmatch(path.name)
            or DATA.fullmatch(path.name)
            or (EARLIER.fullmatch(path.name) and executable(path))
        ):
            yield path
    modules = cache_directory() / MODULES
    if modules.is_dir() and not modules.is_symlink():
        for path in modules.iterdir():
            if MODULE.fullmatch(path.name):
                yield path


def _read_entry(path: Path) -> Entry:
    data = DATA.fullmatch(path.name)
    if data is not None:
        return Entry(path.stem, path, _size(path), path.lstat().st_mtime, f"data set {data[1]}")
    if path.parent.name == MODULES:
        key = path.name.partition(".")[0]
        return Entry(key, path, _size(path), path.lstat().st_mtime, "Cython module")
    seal = path / SEAL
    dated = seal if seal.is_file() else path  # every use sets the time of the seal
    about = str(read_seal(path).get("about", "not known"))
    return Entry(path.name[:24], path, _size(path), dated.lstat().st_mtime, about)


def use(path: Path) -> None:
    """Set the time at which something was last used to now."""
    with suppress(OSError):  # it has been removed
        os.utime(path)


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
            freed += remove(entry.path) + remove(seal_of(entry.path))
            if not os.path.lexists(entry.path):
                left -= entry.size
    return freed


def clear() -> int:
    """Remove all that is kept, and its notes, but nothing else; return the bytes freed."""
    freed = _sweep()
    for path in [*notes(), *(entry.path for entry in entries()), cache_directory() / MODULES]:
        freed += remove(path)
    return freed


def _sweep() -> int:
    """Remove files left by killed processes, if older than OLD; return the bytes freed."""
    freed = 0
    for path in cache_directory().iterdir():
        with suppress(OSError):
            if LEFTOVER.fullmatch(path.name) and time.time() - path.lstat().st_mtime > OLD:
                freed += remove(path)
    return freed


def notes() -> list[Path]:
    """Return the notes on programs."""
    return [path for path in cache_directory().iterdir() if NOTE.fullmatch(path.name)]


# Files


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield an unused path beside `path`; remove whatever is there at the end."""
    unused = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        yield unused
    finally:
        remove(unused)


def executable(path: Path) -> bool:
    """Return whether a path is a file that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder; none if it is a link, which may lead anywhere."""
    found: list[Path] = []
    if not folder.is_symlink():
        for root, _, names in os.walk(folder):
            found += [Path(root, name) for name in names]
    return found


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in files_below(path) or [path])


def remove(path: Path) -> int:
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
