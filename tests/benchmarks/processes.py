"""Run whole processes, and measure their time and the memory of their trees.

Start at `finished`.
"""

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
SAMPLE_EVERY = 0.005  # s between two samples of the memory of a tree
CORES = os.sched_getaffinity(0)  # before the command pins itself and its children to one


@dataclass(frozen=True)
class Finished:
    """A process that ended without an error.

    Parameters
    ----------
    seconds : float
        Time from its start to its end.
    peak : int
        Peak memory of its tree in bytes, with pages that processes share counted once. It is 0
        unless asked for.
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
    """Run a command to its end; `environment` is added to this process's environment.

    Raises
    ------
    RuntimeError
        The command failed; the message has the end of its output.
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
        peak = peak_memory(process) if memory else 0
        code = process.wait()
        seconds = perf_counter() - begin
        out.seek(0)
        said = out.read()
    if code:
        raise RuntimeError(f"{command} ended with {code}:\n{said[-3000:]}")
    return Finished(seconds, peak, said)


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """Run processes that are started within the context on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def python(script: str, *arguments: object) -> list[str]:
    """Return the command of a Python program of this folder, in this interpreter."""
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """Return the peak memory of a process and its children until it ends, in bytes."""
    most = 0
    while process.poll() is None:
        most = max(most, sum(held(pid) for pid in tree(process.pid)))
        sleep(SAMPLE_EVERY)
    return most


def tree(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of all its descendants.

    Children between fork and exec are left out: they still have the memory of their parent.
    """
    yield pid
    children: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
        others = [child for child in children if command(child) != command(pid)]
    except OSError:  # the process has ended
        return
    for child in others:
        yield from tree(child)


def command(pid: int) -> bytes:
    """Return the command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def held(pid: int) -> int:
    """Return the memory of a process in bytes, with its share of the pages that are shared."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    fields: Mapping[str, str] = dict(line.split(":", 1) for line in lines[1:])
    return int(fields.get("Pss", "0 kB").split()[0]) * 1024
