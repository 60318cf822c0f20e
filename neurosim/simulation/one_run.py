"""Let a simulation run once at a time, and leave its last run out of copies and pickles.

Below `simulation`. Start at `OneRun`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from neurosim.errors import ModelError

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

    from neurosim.simulation.session import Session

P = ParamSpec("P")
R = TypeVar("R")


class Locked(Protocol):
    """Anything with a lock that a run holds."""

    lock: Any


S = TypeVar("S", bound=Locked)


class OneRun:
    """The last session of a simulation, and the lock that its runs hold.

    An engine cannot be copied. A copy has not been run yet: its choices and its network are those
    of the original.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a callback of a run may run the same simulation
        self.last_session: Session | None = None

    @property
    def network(self) -> BrianNetwork:
        """The Brian2 network of the last run; ``network["hidden1"]`` is a `NeuronGroup`."""
        if self.last_session is None:
            raise ModelError(
                f"sim.network is built by relax or train, and {self!r} has not been run yet; "
                "to add Brian2 objects before the first run, use sim.add(...)"
            )
        return self.last_session.engine.network

    @property
    def loop_time(self) -> float:
        """Time that the last run spent on its steps, s; without building, compiling, reading."""
        return self.last_session.engine.loop_time if self.last_session else 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "lock": None, "last_session": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=threading.RLock())


def one_at_a_time(run: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Let a function of a simulation wait until the simulation does not run in another thread."""

    def alone(sim: S, /, *args: P.args, **keys: P.kwargs) -> R:
        with sim.lock:
            return run(sim, *args, **keys)

    update_wrapper(alone, run)
    return alone
