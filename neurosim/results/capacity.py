"""Refuse results that would fill the memory or a disk, before they are computed.

Start at `check_recording`.
"""

from __future__ import annotations

import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

from neurosim.disk import temporary_root
from neurosim.errors import ModelError

# Shares of what is free that one result may take. It is copied up to three times in memory while
# traces are built.
OF_MEMORY, OF_DISK = 0.25, 0.8
NUMBER = 8  # bytes of a number, and of the time of a sample
OVERHEAD = 128  # bytes that Python needs for a row in memory
# Files of Linux' control groups, versions 2 and 1: limit, use, and statistics with the name of the
# part of the use that can be freed
GROUPS = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def check_recording(
    row: int,
    variables: int,
    steps: int,
    every: int,
    dt: float,
    *,
    stream: Path | None = None,
    compiled: bool = False,
) -> None:
    """Refuse a recording that would fill the memory or the disk that it goes to.

    Parameters
    ----------
    row : int
        Numbers in a sample of all variables.
    variables : int
    steps, every : int
        Steps of the run at most, and from one sample to the next.
    dt : float
        Length of a step, s.
    stream : Path, optional
        Folder that the samples are written to; memory if None.
    compiled : bool
        Whether samples in memory go through files in the temporary folder.

    Raises
    ------
    ModelError
        The message has the size, and the `every` that would fit.
    """
    samples = -(-steps // every)
    on_disk = (row + 1) * NUMBER
    if stream is not None:
        places = [(on_disk, OF_DISK * free_disk(stream), f"on the disk of {stream}")]
    else:
        in_memory = on_disk + variables * OVERHEAD
        places = [(in_memory, OF_MEMORY * free_memory(), "in memory")]
        if compiled:
            folder = temporary_root()
            room = OF_DISK * free_disk(folder)
            places.append((on_disk, room, f"in the temporary folder {folder}"))
    for size, room, place in places:
        if samples * size <= room:
            continue
        fitting = int(room // size)
        ways = "fewer of record, patterns or units"
        if fitting:
            ways = f"every={math.ceil(steps / fitting) * dt:.12g} (s), {ways}"
        if stream is None:
            ways += ", or stream= to a disk with more room"
        raise ModelError(
            f"the recording takes {size_text(samples * size)} {place}: {samples} samples of "
            f"{size_text(size)}; allowed: {size_text(room)}, a share of what is free; try {ways}"
        )


def check_table(points: int, columns: int, row: int, folder: Path | None) -> None:
    """Refuse a table of results that would fill the memory, or the disk that it goes to.

    Parameters
    ----------
    points, columns : int
        Rows of the table, and numbers in a row.
    row : int
        Bytes of a row besides its numbers.
    folder : Path, optional
        Folder that the table is written to, beside memory.

    Raises
    ------
    ModelError
        The message has the size, and the number of points that would fit.
    """
    size = row + columns * NUMBER
    places = [(OF_MEMORY * free_memory(), "in memory")]
    if folder is not None:
        places.append((OF_DISK * free_disk(folder), f"on the disk of {folder}"))
    for room, place in places:
        if points * size > room:
            raise ModelError(
                f"the results take {size_text(points * size)} {place}: {points} points of "
                f"{size_text(size)}; allowed: {size_text(room)}, a share of what is free; "
                f"try at most {int(room // size)} points, with fewer values of each parameter"
            )


def free_disk(path: Path) -> float:
    """Return the free bytes on the disk of a path that need not exist; inf if it is not known."""
    place = path.absolute()
    for folder in (place, *place.parents):
        with suppress(OSError):
            return float(shutil.disk_usage(folder).free)
    return math.inf


def free_memory() -> float:
    """Return the bytes that this process can still use; inf if the system does not tell."""
    free = math.inf
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: not POSIX
        free = float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, KeyError):
        free = float(_named(Path("/proc/meminfo"))["MemAvailable:"] * 1024)
    for limit, use, statistics, freeable in LIMITS:
        with suppress(OSError, ValueError, KeyError):
            most = int((GROUPS / limit).read_text())  # ValueError: "max", without a limit
            used = int((GROUPS / use).read_text()) - _named(GROUPS / statistics)[freeable]
            free = min(free, float(most - used))
    return max(free, 0.0)


def _named(path: Path) -> dict[str, int]:
    """Return the numbers of a file of the kernel, with one name and number per line."""
    found = {}
    for line in path.read_text().splitlines():
        name, number, *_ = line.split()
        found[name] = int(number)
    return found


def size_text(count: float) -> str:
    """Return a size with three digits and a unit.

    Examples
    --------
    >>> size_text(144_000)
    '144 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
