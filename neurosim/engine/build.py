"""Build the engine of a plan on the chosen backend. Start at `build`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, cast

from neurosim.engine import compiler
from neurosim.engine.engine import Engine, Factory
from neurosim.engine.plan import Plan
from neurosim.engine.standalone.key import structure_key
from neurosim.engine.standalone.program import KeptProgram
from neurosim.errors import BackendError

if TYPE_CHECKING:
    from neurosim.engine.runtime.engine import RuntimeEngine
    from neurosim.engine.standalone.codegen import StandaloneEngine


# Engines whose runs are over, by structure, backend and step; making one takes most of a short run.
# The last ones are kept, if their arrays are small.
Structure = tuple[str, str, float]
_idle: OrderedDict[Structure, RuntimeEngine] = OrderedDict()
_lock = Lock()
MOST_IDLE, MOST_BYTES = 4, 2**24


def build(plan: Plan, backend: str, factories: Sequence[Factory] = (), threads: int = 1) -> Engine:
    """Build the engine of a plan.

    Parameters
    ----------
    plan : Plan
    backend : "numpy", "cython" or "standalone"
    factories : sequence of callable
        User-supplied functions of the Brian2 network that return objects for it.
    threads : int
        Threads that BLAS uses for products of whole batches.

    Raises
    ------
    BackendError
        A compiler is needed and none was found, or the build failed.
    ModelError
        Extensions that Brian2 cannot read.
    """
    plan.check_texts()
    if backend != "numpy" and compiler.compiler_command() is None:
        raise BackendError(
            f"backend = {backend!r} needs a C++ compiler and none was found; try backend='numpy'"
        )
    if backend == "standalone":
        return _kept_or_made(plan, factories, threads)
    from neurosim.engine.runtime.engine import RuntimeEngine

    key = None if factories else structure_key(plan)
    with _lock:
        idle = _idle.pop((key, backend, plan.dt), None) if key is not None else None
    if idle is not None:
        idle.begin_anew(plan, threads)
        return idle
    made = RuntimeEngine(plan, factories, threads, target=backend)
    made.structure = key
    return made


def give_back(engine: Engine) -> None:
    """Keep an engine whose run is over for the next run of the same structure.

    The caller must not use the engine any more.
    """
    key = engine.structure
    if key is None:
        return
    kept = cast("RuntimeEngine", engine)
    if kept.bytes <= MOST_BYTES:
        kept.forget()
        with _lock:
            _idle[key, kept.target, kept.plan.dt] = kept
            while len(_idle) > MOST_IDLE:
                _idle.popitem(last=False)


def _kept_or_made(plan: Plan, factories: Sequence[Factory], threads: int) -> Engine:
    """Return the kept program of this structure, else one that Brian2 generates."""
    key = None if factories else structure_key(plan, compiler.parallel_loops(threads))
    if key is not None:
        kept = KeptProgram.recall(key, plan, threads, make_program)
        if kept:
            return kept
    made = make_program(plan, factories, threads)
    if key is not None:
        made.remember(key)
    return made


def make_program(plan: Plan, factories: Sequence[Factory], threads: int) -> StandaloneEngine:
    """Generate the program of a plan with Brian2, which is imported only here."""
    from neurosim.engine.standalone.codegen import StandaloneEngine

    return StandaloneEngine(plan, factories, threads)
