"""Report how far tasks have come in other processes, by a file to which the workers append.

So a bar moves while the first tasks run. The file has no name in any folder, so that it ends with
the driver; workers open it through /proc. Elsewhere a bar moves once per task. Below `pool`. Start
at `Shares`.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from neurosim.disk import temporary_root, writing_temporary

Report = Callable[[float], None]  # takes points, or shares of one, since the last call

ENTRY = struct.Struct("=qd")  # number of a task, points
EVERY = 0.25  # s between two readings
DESCRIPTORS = Path("/proc/self/fd")  # of open files


def ignore(share: float) -> None:
    """Report nothing."""


def reporting_to(path: str, number: int) -> Report:
    """Return a function that appends the points of a task to a file; nothing without a path."""
    if not path:
        return ignore

    def report(share: float) -> None:
        # one short write to a file opened for appending is not divided
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError:  # the driver has ended
            return
        try:
            os.write(file, ENTRY.pack(number, share))
        finally:
            os.close(file)

    return report


class Shares:
    """The points that running tasks have reported, passed on to a bar as they arrive.

    Parameters
    ----------
    report : callable
        Takes the points since the last call, negative when those of a task are taken back.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.path = ""
        self._file: Any = None
        self._read = 0  # bytes
        self._of_tasks: defaultdict[int, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Shares:
        if self.report is not ignore and DESCRIPTORS.is_dir():
            with writing_temporary(temporary_root()):
                self._file = tempfile.TemporaryFile()
            self.path = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.path:
            self._ended.set()
            self._thread.join()
            self._file.close()

    def take_back(self, number: int | None = None) -> None:
        """Take back the points of a task, or of all tasks."""
        if not self.path:
            return
        with self._lock:
            self._read_new()
            if number is None:
                total = sum(self._of_tasks.values())
                self._of_tasks.clear()
            else:
                total = self._of_tasks.pop(number, 0.0)
            self.report(-total)

    def _follow(self) -> None:
        while not self._ended.wait(EVERY):
            with self._lock:
                self._read_new()

    def _read_new(self) -> None:
        """Report the entries that have been appended since the last reading."""
        self._file.seek(self._read)
        new = self._file.read()
        whole = len(new) - len(new) % ENTRY.size
        self._read += whole
        for number, share in ENTRY.iter_unpack(new[:whole]):
            self._of_tasks[number] += share
            self.report(share)
