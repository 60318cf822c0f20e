"""Run tests against a mutant, in a process forked from one that has imported the libraries.

The mutated module is loaded from memory. No file changes, so mutants can run at the same time.
Start at `Job`.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from typing import Any

from tests.helpers.examples import VARIABLE
from tests.mutation.mutants import Mutant, path_of

HEAVY = (
    "numpy",
    "scipy.optimize",
    "scipy.integrate",
    "scipy.sparse.linalg",
    "sympy",
    "brian2",
    "xarray",
    "pytest",
    "hypothesis",
    "sklearn.datasets",
    "pydantic",
    "networkx",
    "threadpoolctl",
    "matplotlib.figure",
)
SURVIVED, KILLED, TIMEOUT = "survived", "killed", "timeout"


class _Mutated:
    """Finder and loader that imports one module from given source text."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return a spec for the mutated module, None for every other."""
        if name != self.module:
            return None
        return spec_from_loader(name, self, origin=str(path_of(name)))  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python creates the module object."""

    def exec_module(self, module: Any) -> None:
        """Execute the mutated source in the module."""
        module.__file__ = str(path_of(self.module))
        exec(compile(self.source, module.__file__, "exec"), module.__dict__)


def import_libraries() -> None:
    """Import the heavy libraries once, before any process is forked.

    neurosim itself must not be loaded, as it would then not be mutated.
    """
    for name in HEAVY:
        importlib.import_module(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "neurosim"]
    assert not loaded, loaded


class Job:
    """Tests of one mutant in a forked process; of the unchanged code if the mutant is None.

    Parameters
    ----------
    mutant : Mutant or None
    tests : sequence of str
        Test files.
    limit : float, s
        Time after which `poll` kills the process.
    thorough : bool
        Whether property tests draw all their examples.
    """

    def __init__(
        self, mutant: Mutant | None, tests: Sequence[str], limit: float, *, thorough: bool = False
    ) -> None:
        self.mutant, self.tests, self.limit = mutant, tests, limit
        self.thorough, self.started = thorough, time.monotonic()
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            os.environ[VARIABLE] = "all" if thorough else ""
            os._exit(_test(mutant, tests))

    def poll(self) -> str | None:
        """Return SURVIVED, KILLED or TIMEOUT, or None while the tests run."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            return SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED
        if time.monotonic() - self.started > self.limit:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return TIMEOUT
        return None


def _test(mutant: Mutant | None, tests: Sequence[str]) -> int:
    import pytest
    from hypothesis import Phase, settings

    # One failure kills a mutant; the smallest failing example, which takes longer, is not needed.
    settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("mutants")
    if mutant is not None:
        sys.meta_path.insert(0, _Mutated(mutant.module, mutant.source()))  # type: ignore[arg-type]
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-m",
        "not compiler and not slow",
        "--no-header",
    ]
    if mutant is None:
        return int(pytest.main([*options, *tests]))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, *tests]))
