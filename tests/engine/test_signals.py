"""SIGTERM and SIGHUP keep what Ctrl-C keeps; what the user handles or ignores stays the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.data.archives import read_arrays
from neurosim.engine import signals
from neurosim.experiments import modelfile
from neurosim.results import files
from tests.evidence import endings

PATIENCE = 60.0  # s
ENDLESS = (
    *("--backend", "numpy", "--set", "output.formats=['png']"),
    *("--set", "train.duration=1e5 s", "--set", "train.reports=100000"),
    *("--set", "simulation.every=1 s"),
)
RUNS = """
import sys
import numpy as np, neurosim as ns
X, Y = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3
sim = ns.Simulation(ns.Network.mlp([4, 5, 3], seed=1), ns.Flow.augmented(tau_w=1), backend="numpy")
try:
    if sys.argv[1] == "train":
        sim.train(X, Y, ns.Simultaneous(duration=2000, reports=20000), checkpoint="sign")
    else:
        sim.relax(X, Y, duration=2000, record="x", stream="sign")
finally:
    print("cleaned up")
print("went on")
"""


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.TERMINATING}
    yield
    assert {number: signal.getsignal(number) for number in signals.TERMINATING} == before


def started(folder: Path, *command: str) -> subprocess.Popen[str]:
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "TMPDIR": str(folder / "temporary")},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], number: int, folder: Path, sign: str) -> tuple[str, str]:
    """Send a signal to a process once a file of a pattern is there; return what it said."""
    end = time.monotonic() + PATIENCE
    while not list(folder.glob(sign)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    try:
        return process.communicate(timeout=PATIENCE)
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_of_the_command_line_that_is_terminated_is_written(
    number: signal.Signals, tmp_path: Path
) -> None:
    options = ["--out", "o", "--checkpoint", "c.npz"]
    code = "from neurosim.cli import main; main()"
    process = started(tmp_path, "-c", code, "run", "xor", *ENDLESS, *options)
    _, err = ended(process, number, tmp_path, "c.npz")
    assert process.returncode == signals.STATUS + number, err
    assert "interrupted at" in err
    assert "--resume c.npz" in err
    assert "Traceback" not in err
    written = {path.name for path in (tmp_path / "o").iterdir()}
    assert written >= {"log.nc", "weights.npz", "model.toml", "summary.png"}
    log = files.load(tmp_path / "o" / "log.nc")
    assert log.interrupted
    assert log.history.time.size
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(("kind", "sign"), [("train", "sign"), ("relax", "sign/x/0.*")])
@pytest.mark.slow
def test_a_script_that_is_terminated_ends_in_order(kind: str, sign: str, tmp_path: Path) -> None:
    """Its `finally` blocks run, its folders go, its checkpoint or recording is complete."""
    process = started(tmp_path, "-c", RUNS, kind)
    out, err = ended(process, signal.SIGTERM, tmp_path, sign)
    assert process.returncode == signals.STATUS + signal.SIGTERM, err
    assert out.split() == ["cleaned", "up"]
    assert not list((tmp_path / "temporary").iterdir())
    if kind == "relax":
        part = ns.load(tmp_path / "sign")
        assert part.interrupted
        assert part.traces is not None
        assert np.isfinite(part.traces["x"].values).all()
    else:
        assert read_arrays(tmp_path / "sign")["_done"] >= 1


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    """As it is in what a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.stopping(pytest.fail):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", signals.TERMINATING)
def test_a_handler_of_the_user_stays(number: signal.Signals) -> None:
    received: list[int] = []
    for handler in (lambda n, _: received.append(n), signal.SIG_IGN):
        before = signal.signal(number, handler)
        try:
            with signals.stopping(pytest.fail):
                os.kill(os.getpid(), number)
                time.sleep(0.01)
            with signals.terminable():
                os.kill(os.getpid(), number)
                time.sleep(0.01)
        finally:
            signal.signal(number, before)
    assert received == [number, number]


def test_a_second_signal_ends_the_block_and_the_command_line_goes_on_after_the_first() -> None:
    stopped: list[int] = []
    with signals.terminable() as command:
        with signals.stopping(lambda: stopped.append(1)):
            os.kill(os.getpid(), signal.SIGTERM)
            assert stopped == [1]
            with pytest.raises(signals.Terminated, match="SIGTERM"):
                os.kill(os.getpid(), signal.SIGTERM)
        assert command.received == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)

    def script() -> None:
        with signals.stopping(lambda: stopped.append(2)):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            stopped.append(3)

    with pytest.raises(SystemExit, match="143"):
        script()
    assert stopped == [1, 2, 3]


def test_a_run_within_another_one_stops_with_it() -> None:
    stopped: list[str] = []

    def script() -> None:
        with signals.stopping(lambda: stopped.append("outer")):
            with signals.stopping(lambda: stopped.append("inner")):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
            stopped.append("goes on")

    with pytest.raises(SystemExit, match="143"):
        script()
    assert stopped == ["outer", "inner", "goes on"]


def test_a_thread_sets_no_handlers() -> None:
    """Nor does its first use of neurosim fail, as that of servers and interfaces did."""
    found: list[Any] = []

    def work() -> None:
        before = [signal.getsignal(n) for n in signals.TERMINATING]
        with signals.terminable(), signals.stopping(pytest.fail):
            found.append([signal.getsignal(n) for n in signals.TERMINATING] == before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True]


def test_a_point_of_a_sweep_is_measured_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal that stopped a point's training would leave the measure of half a training."""
    from neurosim.simulation.session import Session

    run = Session.run

    def interrupted(self: Session, steps: int) -> None:
        run(self, steps)
        signal.raise_signal(signal.SIGINT)

    options = {"measure": "accuracy", "out": tmp_path / "s.zarr"}
    model = modelfile.load(
        "xor", ["train.duration=100 ms", "train.reports=2", "simulation.backend=numpy"]
    )
    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ns.sweep(model, {"flow.rho": [1.0, 2.0]}, **options)
    found = ns.sweep(model, {"flow.rho": [1.0, 2.0]}, **options)
    alone = ns.sweep(model, {"flow.rho": [1.0, 2.0]}, measure="accuracy")
    assert np.array_equal(found["accuracy"], alone["accuracy"])


def test_many_runs_of_one_process_leave_no_files_threads_and_folders() -> None:
    """`python -m tests.evidence "long runs"` counts more of them, and memory."""
    found = {**endings.grown("numpy", "relax", 20), **endings.grown("numpy", "train", 10)}
    assert found["files"] <= 0
    assert found["threads"] <= 0
    assert found["MB"] < 20


@pytest.mark.slow
@pytest.mark.compiler
def test_what_is_ended_at_a_random_moment_goes_on_as_if_undisturbed() -> None:
    """A sample: `python -m tests.evidence kills` crosses all kinds of work and all signals."""
    found = endings.kills(count=1, seed=1, crossed=False, kinds=("checkpoint",))
    assert found.count(" 0 faults") == 1, found
