"""Whole processes: how long they take, how much memory their trees hold. Start at `finished`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LOOK = 0.005  # s between two looks at the memory of a tree
CORES = os.sched_getaffinity(0)  # before the command pins itself and its children to one


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    Parameters
    ----------
    seconds : float
        From its start to its end.
    peak : int
        Bytes that its tree held at most, pages that processes share counted once. Only looked at if
        asked for.
    said : str
        Its standard output.
    """

    seconds: float
    peak: int
    said: str


def finished(
    command: Sequence[str | Path],
    *,
    memory: bool = False,
    cores: set[int] | None = None,
    **environment: str,
) -> Finished:
    """Run a command; `environment` is added to this process's.

    Raises
    ------
    RuntimeError
        It failed; with the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as out:
        begin = perf_counter()
        with on(cores or os.sched_getaffinity(0)):
            process = subprocess.Popen(
                [*map(str, command)],
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )
        peak = watched(process) if memory else 0
        code = process.wait()
        seconds = perf_counter() - begin
        out.seek(0)
        said = out.read()
    if code:
        raise RuntimeError(f"{command} ended with {code}:\n{said[-3000:]}")
    return Finished(seconds, peak, said)


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def python(script: str, *arguments: object) -> list[str]:
    """The command of a Python program of this folder, in this interpreter."""
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def watched(process: subprocess.Popen[bytes]) -> int:
    """Peak memory of a tree while it lives."""
    most = 0
    while process.poll() is None:
        most = max(most, sum(held(pid) for pid in tree(process.pid)))
        sleep(LOOK)
    return most


def tree(pid: int) -> Iterator[int]:
    """A process and all that it started; between fork and exec a child still is its parent, memory
    and all.
    """
    yield pid
    try:
        children = [
            int(c)
            for t in Path(f"/proc/{pid}/task").iterdir()
            for c in (t / "children").read_text().split()
        ]
        others = [child for child in children if command(child) != command(pid)]
    except OSError:  # it ended meanwhile
        return
    for child in others:
        yield from tree(child)


def command(pid: int) -> bytes:
    """What a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def held(pid: int) -> int:
    """Bytes in memory; of pages that are shared, a part: a child just forked holds next to nothing."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in lines[1:])
    return int(fields.get("Pss", "0 kB").split()[0]) * 1024
