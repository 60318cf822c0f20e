"""What a simulation fixed, and what a user wants of one run of it, as its sessions need them.

Below `session`. Start at `Setting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.errors import DataError, ModelError, out_of_range, unknown, whole
from neurosim.model.equations.imperfections import NONE, Imperfections
from neurosim.model.flow import Flow, seconds
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.transport import Transport

if TYPE_CHECKING:
    from neurosim.engine.engine import Factory

Array = np.ndarray


@dataclass(frozen=True)
class Setting:
    """What a simulation fixed, as its sessions need it."""

    net: Network
    flow: Flow
    dt: float
    method: str
    backend: str
    seed: int
    extensions: tuple[Any, ...]
    threads: int = 1
    precision: str = "float64"
    shortcuts: bool = True
    transports: Mapping[str, Transport] = field(default_factory=dict)
    factories: Sequence[Factory] = ()
    described: Mapping[str, Any] = field(default_factory=dict)
    imperfections: Imperfections = NONE


@dataclass(frozen=True)
class Recording:
    """What a run records: variables, every how many steps, of which patterns and units; where to,
    if not in memory.
    """

    variables: tuple[str, ...] = ()
    every: int = 1
    patterns: tuple[int, ...] = ()
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    stream: Path | None = None

    @classmethod
    def of(
        cls,
        record: str | Iterable[str],
        every: Any,
        dt: float,
        count: int,
        patterns: Sequence[int] | None = None,
        units: Mapping[str, Sequence[int]] | None = None,
        stream: str | Path | None = None,
    ) -> Recording:
        """As a user says it; `every` is a time or None for each step of `dt`, of `count` patterns
        at once.
        """
        names = (record,) if isinstance(record, str) else tuple(dict.fromkeys(record))
        if stream is not None and not names:
            raise ModelError(
                f"stream = {str(stream)!r}, but nothing is recorded; try record=('x', 'lam')"
            )
        stride = 1 if every is None else steps_of("every", every, dt)
        if every is not None and abs(stride * dt - seconds(every, "every")) > 1e-6 * dt:
            raise out_of_range("every", every, f"a multiple of dt = {dt:g} s", f"{stride * dt:g}")
        if patterns is not None and not len(patterns):
            raise out_of_range("patterns", patterns, "at least one pattern, or None for all")
        chosen = range(count) if patterns is None else [whole("patterns", p, 0) for p in patterns]
        kept = {n: tuple(whole("units", i, 0) for i in own) for n, own in (units or {}).items()}
        return cls(names, stride, tuple(chosen), kept, None if stream is None else Path(stream))


@dataclass(frozen=True)
class Stepping:
    """How a run is stepped where it is not as the simulation says: adaptive ticks, the rate at
    which it is at rest.

    `settle` is max |tau dz/dt| over outputs and multipliers; `tolerance` is of one adaptive step,
    absolute and relative; `tick` (s) is the adaptive step's longest.
    """

    settle: float = 0.0
    tolerance: float | None = None
    tick: float = 0.0


def steps_of(name: str, time: Any, dt: float) -> int:
    """A time in whole steps, one at least."""
    steps = round(seconds(time, name) / dt)
    if steps < 1:
        raise out_of_range(name, time, f"at least one step, dt = {dt:g} s")
    return steps


def initial_state(net: Network, start: Any, clamped: Mapping[str, Array]) -> State:
    """Outputs and multipliers to begin with: "zero", "forward", or what a Run or a State holds.

    Raises
    ------
    ModelError, DataError
        Another word, or values that do not fit.
    ConvergenceError
        A cyclic graph that does not contract.
    """
    count = len(next(iter(clamped.values())))
    zero = {
        n: np.broadcast_to(0.0, (count, net.populations[n].size)) for n in net.neurons
    }  # takes no memory
    if net.order() is None or (isinstance(start, str) and start == "forward"):
        forward = reference.forward(net, clamped)  # refuses a cycle that does not contract
    if isinstance(start, str):
        if start == "forward":
            return State({n: forward[n] for n in net.neurons}, zero)
        if start != "zero":
            raise unknown("start", start, ("zero", "forward", "a Run or State"))
        return State(zero, zero)
    if not hasattr(start, "x") or not hasattr(start, "lam"):
        raise ModelError(
            f"start is a {type(start).__name__}; allowed: 'zero', 'forward', a Run or a State"
        )
    for part in ("x", "lam"):
        for n, z in zero.items():
            got = np.shape(getattr(start, part).get(n))
            if got != z.shape:
                raise DataError(
                    f"start.{part}[{n!r}] has shape {got}; allowed: (patterns, units) = {z.shape}"
                )
            if not np.isfinite(getattr(start, part)[n]).all():
                raise DataError(
                    f"start.{part}[{n!r}] holds NaN or infinity; allowed: finite numbers"
                )
    return State({n: start.x[n] for n in zero}, {n: start.lam[n] for n in zero})
