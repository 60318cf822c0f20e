"""Choose the backend of a run by its amount of work.

Below `simulation`, which leaves the choice to this module if ``backend="auto"``. Start at
`choose_backend`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from neurosim.model.network import Network

WORTH_COMPILING = 5.0  # s of work on NumPy from which compiling, which takes some 3 s, pays

# Estimated time of one step on NumPy, s: per population of any size, per pattern and unit, and per
# pattern and parameter.
PER_POPULATION, PER_UNIT, PER_PARAMETER = 70e-6, 3e-8, 1.5e-10

logger = logging.getLogger("neurosim")


class Asked(Protocol):
    """The part of a `Simulation` that the choice depends on."""

    net: Network
    requested_backend: str
    factories: tuple[Callable[[Any], Any], ...]


def choose_backend(sim: Asked, steps: int | None, patterns: int) -> dict[str, str]:
    """Return `backend`, "numpy" or "standalone", and `backend_reason`; empty unless "auto".

    Parameters
    ----------
    sim : Simulation
    steps : int or None
        Steps of the run; None where a world is called in Python between them.
    patterns : int
        Patterns simulated at once.
    """
    if sim.requested_backend != "auto":
        return {}
    backend, reason = _choice(sim, steps, patterns)
    logger.info("backend %s: %s", backend, reason)
    return {"backend": backend, "backend_reason": reason}


def _choice(sim: Asked, steps: int | None, patterns: int) -> tuple[str, str]:
    from neurosim.engine.compiler import compiler_command

    if steps is None:
        return "numpy", "a world is called in Python"
    if sim.factories:
        return "numpy", "user-supplied objects may need Python at every step"
    work = seconds_on_numpy(sim.net, steps, patterns)
    amount = f"{steps} steps of {patterns} pattern(s), about {work:.2g} s on NumPy"
    if work < WORTH_COMPILING:
        return "numpy", f"{amount}: not worth a compiler"
    if compiler_command() is None:
        logger.warning(
            "no C++ compiler found: running on NumPy; with g++ this would be faster (%s)", amount
        )
        return "numpy", f"{amount}, and no C++ compiler was found"
    return "standalone", f"{amount}: worth a compiler"


def seconds_on_numpy(net: Network, steps: int, patterns: int) -> float:
    """Estimate how long the steps take on NumPy, s."""
    units = sum(net.populations[n].size for n in net.neurons)
    per_pattern = PER_UNIT * units + PER_PARAMETER * net.n_parameters
    per_step = PER_POPULATION * len(net.neurons) + patterns * per_pattern
    return float(steps * per_step)
