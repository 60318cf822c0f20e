"""From a plan to an engine, by backend. Start at `build`."""

from __future__ import annotations

from collections.abc import Sequence

from neurosim.engine import compiler
from neurosim.engine.engine import Engine, Factory
from neurosim.engine.plan import Plan
from neurosim.engine.standalone import key as structure
from neurosim.engine.standalone.program import KeptProgram
from neurosim.errors import BackendError


def build(plan: Plan, backend: str, factories: Sequence[Factory] = (), threads: int = 1) -> Engine:
    """The engine of a plan on "numpy", "cython" or "standalone".

    Raises
    ------
    BackendError
        No compiler where one is needed, or a build that failed.
    """
    if backend != "numpy" and compiler.compiler_command() is None:
        raise BackendError(
            f"backend = {backend!r} needs a C++ compiler and none was found; try backend='numpy'"
        )
    if backend == "standalone":
        return _compiled(plan, factories, threads)
    from neurosim.engine.runtime.engine import RuntimeEngine

    return RuntimeEngine(plan, factories, threads, target=backend)


def _compiled(plan: Plan, factories: Sequence[Factory], threads: int) -> Engine:
    """The program of this structure: a kept one if it is known, else what Brian2 makes of it."""
    key = None if factories else structure.key(plan)
    if key and (kept := KeptProgram.recall(key, plan, threads)):
        return kept
    from neurosim.engine.standalone.codegen import StandaloneEngine

    made = StandaloneEngine(plan, factories, threads)
    if key:
        made.remember(key)
    return made
