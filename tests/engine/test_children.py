"""Programs, compilers and workers end with the process that started them, and leave no folders."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim import disk
from neurosim.engine.children import Job
from neurosim.engine.standalone.program import ProgramEngine
from neurosim.errors import BackendError, FileError
from tests.helpers.limits import limit_of_files

PATIENCE = 60.0  # s
LONG = """
import numpy as np, neurosim as ns
net, X = ns.Network.mlp([5, 4, 3], seed=0), np.ones((4, 5))
sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend="standalone")
run = sim.relax(X, np.arange(4) % 3, duration=1e5)
print(run.interrupted, 0 < run.time < 1e5, np.isfinite(run.x["output"]).all())
"""
COMPILE = """
import sys
from pathlib import Path
from neurosim.engine.children import Job
script = "echo $$ > first; sleep 600 & echo $! > second; wait"
Job(["sh", "-c", script], Path(sys.argv[1])).failure()
"""
WORKER = """
import os, time
from pathlib import Path
from neurosim.experiments.pool import _numbered

class Task:
    def work(self, report):
        Path("first").write_text(str(os.getpid()))
        time.sleep(600)

if os.fork():
    time.sleep(600)
_numbered(0, Task(), "", os.getppid())
"""


def started(code: str, folder: Path) -> subprocess.Popen[str]:
    """Start a Python process whose temporary files are in a folder."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "TMPDIR": str(folder)},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def lives(process: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def programs(folder: Path) -> list[int]:
    """Return the compiled programs that run in a folder."""
    listed = subprocess.run(["ps", "-wweo", "pid,args"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in listed.stdout.splitlines()]
    return [int(line[0]) for line in lines if line[1].startswith(str(folder))]


@pytest.mark.slow
@pytest.mark.compiler
def test_a_program_ends_with_its_parent_whatever_the_signal(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        parent = started(LONG, folder)
        try:
            wait_until(lambda: programs(folder))
            time.sleep(0.3)  # the program runs, not only begins to
            parent.send_signal(number)
            said, _ = parent.communicate(timeout=PATIENCE)
            wait_until(lambda: not programs(folder))
        finally:
            parent.kill()
        if number == signal.SIGINT:
            assert said.split() == ["True", "True", "True"]
        if number != signal.SIGKILL:
            assert not list(folder.iterdir())
    assert len(list(folder.glob(f"{disk.PREFIX}*"))) == 1  # of the killed process
    disk.sweep_temporary(str(folder))
    assert not list(folder.glob(f"{disk.PREFIX}*"))


@pytest.mark.parametrize("code", [COMPILE, WORKER], ids=["compiler", "worker"])
def test_compilers_and_workers_end_with_a_killed_parent(code: str, tmp_path: Path) -> None:
    parent = started(code, tmp_path)
    pids = [tmp_path / "first"] + [tmp_path / "second"] * (code is COMPILE)
    wait_until(lambda: all(path.exists() and path.read_text().strip() for path in pids))
    children = [int(path.read_text()) for path in pids]
    assert all(map(lives, children))
    parent.kill()
    parent.communicate()
    wait_until(lambda: not any(map(lives, children)))


def test_a_job_returns_the_messages_of_a_failure_only(tmp_path: Path) -> None:
    assert Job(["sh", "-c", "echo a warning >&2"], tmp_path).failure() is None
    assert Job(["sh", "-c", "echo the reason >&2; exit 3"], tmp_path).failure() == "the reason\n"
    other = Job(["sh", "-c", r"printf 'na\357ve \351'; printf 'na\357ve' >&2; exit 3"], tmp_path)
    assert other.failure() == "na\ufffdve"  # of a compiler that does not write UTF-8
    assert "no_such_compiler" in str(Job(["no_such_compiler"], tmp_path).failure())


def test_folders_of_living_processes_and_of_others_are_not_swept(tmp_path: Path) -> None:
    held, foreign = disk.TemporaryFolder(), tmp_path / f"{disk.PREFIX}without_a_lock"
    foreign.mkdir()
    inside = tmp_path / held.path.name
    held.path.rename(inside)
    (tmp_path / f"{disk.PREFIX}link").symlink_to(foreign)
    disk.sweep_temporary(str(tmp_path))
    assert inside.exists()
    assert foreign.exists()
    inside.rename(held.path)
    path = held.path
    del held
    assert not path.exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"the disk of the temporary folder is full \([0-9.e+]+ MB free\)"),
        (errno.ENOENT, "the temporary folder is missing"),
        (errno.EACCES, "cannot be written: Permission denied; try another folder in TMPDIR"),
        (errno.EMFILE, "cannot be written: Too many open files"),
    ],
)
def test_the_reason_why_a_temporary_file_fails_is_the_systems(
    number: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=words), disk.writing_temporary(tmp_path / "values"):
        raise OSError(number, os.strerror(number))


def test_a_system_without_a_temporary_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in [...]")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
    with pytest.raises(FileError, match="the temporary folder is missing; try another folder in"):
        disk.TemporaryFolder()


@pytest.mark.compiler
def test_a_full_temporary_folder_ends_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program cannot say so: its arrays end early in silence, and its message is lost."""
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path))  # nothing is kept that need not be built
    net, X = ns.Network.mlp([5, 4, 3], seed=0), np.ones((40, 5))
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend="standalone")

    def relaxed() -> None:
        sim.relax(X, np.arange(40) % 3, duration=0.01, record="x")

    with limit_of_files(6000), pytest.raises(FileError, match="File too large; try another folder"):
        relaxed()
    relaxed()
    ends = ProgramEngine._status
    full = "the disk of the temporary folder is full"

    def cut_short(self: ProgramEngine, command: list[str], *rest: Any) -> int:
        status = ends(self, command, *rest)
        os.truncate(Path(command[2]) / self.layout.arrays["output.x"].file, 8)
        return status

    def with_status(status: int) -> Any:
        return lambda *_: status

    for replaced, error, words in (
        (cut_short, FileError, full),
        (with_status(64 + errno.ENOSPC), FileError, full),
        (with_status(-signal.SIGKILL), BackendError, "SIGKILL: something killed it, perhaps as"),
        (with_status(1), BackendError, r"failed \(status 1\); try backend='numpy'"),
    ):
        monkeypatch.setattr(ProgramEngine, "_status", replaced)
        with pytest.raises(error, match=words):
            relaxed()
    monkeypatch.setattr(ProgramEngine, "_status", ends)
    with limit_of_files(6000), pytest.raises(BackendError, match="a file grew beyond the limit"):
        relaxed()
