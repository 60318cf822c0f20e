"""The process is the user's: hooks, handlers, settings and temporary files stay as they were."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurosim

PACKAGE = Path(neurosim.__file__).parent
BEGIN = """
import atexit, gc, locale, logging, os, random, signal, sys, threading, warnings
import matplotlib.pyplot, setuptools, sklearn, sympy  # they change some of it themselves
import scipy.sparse, scipy.special, xarray
import numpy as np
import neurosim as ns

def settings():
    py_warnings, root = logging.getLogger("py.warnings"), logging.getLogger()
    catchable = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    return {
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook),
        "warnings": (warnings.showwarning, warnings.formatwarning, list(warnings.filters)),
        "loggers": (list(py_warnings.handlers), py_warnings.level, list(root.handlers), root.level),
        "signals": {number: signal.getsignal(number) for number in catchable},
        "locale": locale.setlocale(locale.LC_ALL),
        "numpy": (str(np.get_printoptions()), np.geterr(), str(np.random.get_state())),
        "random": random.getstate(),
        "matplotlib": dict(matplotlib.rcParams), "environment": dict(os.environ),
        "folder": os.getcwd(), "collector": (gc.isenabled(), gc.get_threshold()),
        "frozen": gc.get_freeze_count() > 0, "streams": (sys.stdout, sys.stderr),
    }

X, Y = np.random.default_rng(0).normal(size=(4, 5)), np.arange(4) % 3

def run(backend="numpy"):
    sim = ns.Simulation(
        ns.Network.mlp([5, 4, 3]), ns.Flow.adjoint(), backend=backend,
        imperfections=[ns.StateNoise(0.1)],
    )
    sim.relax(X, Y, duration=0.02, record="x")
    sim.train(X, Y, ns.Simultaneous(duration=0.02))
    return sim

def assert_errors():
    try:
        warnings.warn("of the user", DeprecationWarning)
    except DeprecationWarning:
        return
    raise AssertionError("the user's own filter is gone")

def assert_kept(before):
    now = settings()
    changed = {name: (before[name], now[name]) for name in now if before[name] != now[name]}
    assert not changed, changed
"""


def said_by(code: str, folder: Path) -> str:
    """Return what a Python process says on standard error; it must end with 0 or raise `mine`."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "KeyError: 'mine'" in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "backend",
    [
        "numpy",
        pytest.param("standalone", marks=[pytest.mark.compiler, pytest.mark.slow]),
        pytest.param("cython", marks=pytest.mark.compiler),
    ],
)
def test_a_run_leaves_the_process_as_it_was(backend: str, tmp_path: Path) -> None:
    """The first run of the process is in a thread, where no handler of signals can be set.

    Brian2 alone changes hooks, warnings, loggers and signals, and leaves two files. On NumPy
    warnings are errors: the deprecations that Brian2's own code is warned of do not end a run.
    """
    strict = backend == "numpy"
    log = tmp_path / "user.log"
    code = f"""
handler = logging.FileHandler({str(log)!r}, mode="w", delay=True)
logging.getLogger("user").addHandler(handler)
atexit.register(logging.getLogger("user").error, "at the end")
if {strict}:
    warnings.simplefilter("error")
gc.freeze()
before = settings()
runs = []
thread = threading.Thread(target=lambda: runs.append(run({backend!r})))
thread.start()
thread.join()
runs.append(run({backend!r}))
assert [sim.last_session.steps for sim in runs] == [20, 20]
assert "tanh" in runs[0].equations
assert_kept(before)
if {strict}:
    assert_errors()
    warnings.simplefilter("default")
left = [name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("brian")]
assert not left, left
warnings.warn("of the user")
{{}}["mine"]
"""
    said = said_by(code, tmp_path / "temporary")
    assert "UserWarning: of the user" in said
    assert said.rstrip().endswith("KeyError: 'mine'")
    assert "Brian" not in said
    assert "[py.warnings]" not in said
    assert log.read_text() == "at the end\n"


@pytest.mark.slow
def test_what_the_user_lets_brian2_do_stays_and_a_failed_build_is_silent(tmp_path: Path) -> None:
    code = """
import brian2
from brian2.utils.logger import BrianLogger
assert sys.excepthook is brian2.utils.logger.brian_excepthook
before = settings()
run()
assert_kept(before)
assert os.path.exists(BrianLogger.tmp_log)

def monitor(network):
    return brian2.StateMonitor(network["hidden1"], "lamda", record=True)

def broken(network):
    return 1 / 0

extension = ns.Extension("hidden1", x="no_such_name/tau_x")
for factory, extensions in ((monitor, ()), (broken, ()), (lambda network: None, extension)):
    sim = ns.Simulation(ns.Network.mlp([5, 4, 3]), ns.Flow.adjoint(), extensions=extensions)
    sim.add(factory)
    try:
        sim.relax(X, Y, duration=0.02)
    except Exception as error:
        print(error)
    else:
        raise SystemExit("the slip is accepted")
    del sim
    gc.collect()
"""
    assert "is getting deleted" not in said_by(code, tmp_path / "temporary")


def test_every_module_that_imports_brian2_imports_quiet_before() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "quiet.py":
            continue
        quiet = False
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom):
                names = [statement.module or ""]
            quiet = quiet or "neurosim.engine.quiet" in names
            if any(name.partition(".")[0] == "brian2" for name in names):
                assert quiet, path
