"""Figures of runs that are ended from outside, and of processes that run for long."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np

import neurosim as ns
from neurosim import disk
from neurosim.data.archives import read_arrays

KINDS = ("checkpoint", "recording", "sweep", "build")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE = 60.0  # s
# Every kind leaves its numbers in result.npz, goes on from what an earlier process has left, and
# makes the file "begun" before its work.
JOB = """
import sys
from pathlib import Path
import numpy as np, neurosim as ns
from neurosim.data.archives import write_arrays
from neurosim.experiments import modelfile
kind = sys.argv[1]
X, Y = np.random.default_rng(0).normal(size=(16, 20)), np.arange(16) % 3
backend = "standalone" if kind in ("checkpoint", "build") else "numpy"
sim = ns.Simulation(ns.Network.mlp([20, 16, 3], seed=0), ns.Flow.augmented(1), backend=backend)
Path("begun").touch()
if kind == "sweep":
    model = modelfile.load("ring", ["simulation.duration=100 ms", "simulation.backend=numpy"])
    found = ns.sweep(model, {"flow.rho": [0.5, 1, 2, 4, 8, 16]}, out="s.zarr")
    numbers = {"settle_time": found["settle_time"].values}
elif kind == "checkpoint":
    resume = "c.npz" if Path("c.npz").exists() else None
    schedule = ns.Simultaneous(duration=30, reports=60)
    log = sim.train(X, Y, schedule, checkpoint="c.npz", resume=resume)
    numbers = {"loss": log.history.loss.values, **log.run.x}
else:
    number = len(list(Path().glob("recording*")))
    record = {"record": "x", "stream": f"recording{number}"} if kind == "recording" else {}
    numbers = dict(sim.relax(X, Y, duration=5, **record).x)
write_arrays("result.npz", numbers)
"""


def kills(
    count: int = 20, seed: int = 0, crossed: bool = True, kinds: Sequence[str] = KINDS
) -> str:
    """End processes at random moments, let others go on, and compare with undisturbed ones.

    Every signal meets every kind of work, or one each in random order where they are not `crossed`.
    """
    found = []
    draw = random.Random(seed)
    one_each = draw.sample(SIGNALS, len(kinds))
    for kind, own in zip(kinds, one_each, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            undisturbed = Path(folder)
            _started(kind, undisturbed).wait()
            begun, ended = (
                (undisturbed / name).stat().st_mtime for name in ("begun", "result.npz")
            )
            for number in SIGNALS if crossed else (own,):
                faults: list[str] = []
                for _ in range(count):
                    faults += _killed(kind, number, undisturbed, draw.uniform(0, ended - begun))
                found.append(f"{kind}, {number.name}: {count} ended, {len(faults)} faults {faults}")
    return "\n  ".join(["", *found])


def _started(kind: str, folder: Path) -> subprocess.Popen[bytes]:
    (folder / "temporary").mkdir(exist_ok=True)
    own = {"TMPDIR": str(folder / "temporary")}
    if kind == "build":
        own["NEUROSIM_CACHE"] = str(folder / "cache")
    return subprocess.Popen(
        [sys.executable, "-c", JOB, kind],
        cwd=folder,
        env={**os.environ, **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _killed(kind: str, number: signal.Signals, undisturbed: Path, after: float) -> list[str]:
    """End one process some time after it has begun; return what is wrong then."""
    faults = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = _started(kind, folder)
        while not (folder / "begun").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(after)
        process.send_signal(number)
        process.wait(PATIENCE)
        end = time.monotonic() + PATIENCE
        while _left_running(folder) and time.monotonic() < end:
            time.sleep(0.1)
        faults += [f"process {pid} runs on" for pid in _left_running(folder)]
        faults += _other_chunks(folder, undisturbed)
        if _started(kind, folder).wait(10 * PATIENCE):
            faults.append("the next process fails")
        elif not _equal(folder, undisturbed):
            faults.append("the numbers are others")
        left = list((folder / "temporary").glob(f"{disk.PREFIX}*"))
        faults += [f"{path.name} is left" for path in left]
    return faults


def _left_running(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = os.readlink(process / "cwd")
        except OSError:
            continue
        if where.startswith(str(folder)):
            found.append(int(process.name))
    return found


def _other_chunks(folder: Path, undisturbed: Path) -> list[str]:
    """Return the chunks of an unfinished recording, but the last one, that differ."""
    chunks = sorted(
        folder.glob("recording0/x/*.0.0"), key=lambda path: int(path.name.partition(".")[0])
    )
    found = []
    for chunk in chunks[:-1]:
        if chunk.read_bytes() != (undisturbed / chunk.relative_to(folder)).read_bytes():
            found.append(f"chunk {chunk.name} differs")
    return found


def _equal(folder: Path, undisturbed: Path) -> bool:
    """Return whether two processes left equal numbers."""
    one, other = (read_arrays(path / "result.npz") for path in (folder, undisturbed))
    return one.keys() == other.keys() and all(
        np.array_equal(values, other[name], equal_nan=True) for name, values in one.items()
    )


def long_runs(relaxations: int = 500, trainings: int = 200) -> str:
    """Relax and train many times in one process; show what has grown since a tenth of them.

    Temporary folders are made in one of its own, so that those of other processes do not count.
    """
    found = [""]
    with tempfile.TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
        for backend in ("numpy", "cython", "standalone"):
            for kind, count in (("relax", relaxations), ("train", trainings)):
                found.append(f"{count} x {kind}, {backend}: {grown(backend, kind, count)}")
    return "\n  ".join(found)


def grown(backend: str, kind: str, count: int) -> dict[str, float]:
    """Return by how much memory (MB), open files, threads and folders grow between runs."""
    X, Y = np.random.default_rng(0).normal(size=(4, 5)), np.arange(4) % 3
    before: dict[str, float] = {}
    for number in range(count):
        net = ns.Network.mlp([5, 4, 3], seed=number)
        sim = ns.Simulation(net, ns.Flow.augmented(1), backend=backend)
        if kind == "relax":
            sim.relax(X, Y, duration=0.02, record="x")
        else:
            sim.train(X, Y, ns.Simultaneous(duration=0.02, reports=2))
        if number == count // 10:
            before = _used()
    return {name: round(value - before[name], 1) for name, value in _used().items()}


def _used() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MB": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "folders": len(list(disk.temporary_root().glob(f"{disk.PREFIX}*"))),
    }


ROWS = {"kills": kills, "long runs": long_runs}
