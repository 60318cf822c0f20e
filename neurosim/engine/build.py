"""From a plan to an engine, by backend. Start at `build`."""

from __future__ import annotations

from collections.abc import Sequence

from neurosim.engine import brian
from neurosim.engine.engine import Engine, Factory
from neurosim.engine.plan import Plan
from neurosim.engine.runtime import RuntimeEngine
from neurosim.engine.standalone import StandaloneEngine
from neurosim.errors import BackendError


def build(plan: Plan, backend: str, factories: Sequence[Factory] = (), threads: int = 1) -> Engine:
    """The engine of a plan on "numpy", "cython" or "standalone".

    Raises
    ------
    BackendError
        No compiler where one is needed, or a build that failed.
    """
    if backend != "numpy" and brian.compiler_command() is None:
        raise BackendError(f"backend = {backend!r} needs a C++ compiler and none was found; try backend='numpy'")
    if backend == "standalone":
        return StandaloneEngine(plan, factories, threads)
    return RuntimeEngine(plan, factories, threads, target=backend)
