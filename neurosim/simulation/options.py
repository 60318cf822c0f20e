"""Options of a run, and the work of a session.

Below `session` and `simulation`. The arguments of `Simulation.relax` and its siblings become
`RunOptions`; converted to steps, these become a `Recording` and a `Work`. `Setting` holds the
choices that belong to the simulation itself. Start at `RunOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, choice, out_of_range, shown, whole, yes_or_no
from neurosim.model.equations.imperfections import NONE, Imperfections
from neurosim.model.flow import Flow, seconds
from neurosim.model.methods import ADAPTIVE, ANDERSON
from neurosim.model.network import Network
from neurosim.model.schedules import MOST_STEPS, LocalPropagation, StepSchedule
from neurosim.model.transport import Transport
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from neurosim.engine.engine import Factory

Array = np.ndarray
TOLERANCE = 1e-6  # of adaptive steps, by default


@dataclass(frozen=True)
class Setting:
    """Choices of a simulation, as its sessions read them.

    `described` holds them as plain values, for the settings of every run.
    """

    net: Network
    flow: Flow
    dt: float  # s
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
    """Variables to record, the steps from one sample to the next, and which patterns and units.

    `units` holds the indices of the recorded units by population, `synapses` those of the units
    that the recorded synapses connect by projection, as (post, pre); of what they do not name, all
    are recorded. `stream` is the folder to which samples are written, if not to memory.
    """

    variables: tuple[str, ...] = ()
    every: int = 1
    patterns: tuple[int, ...] = ()
    units: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    stream: Path | None = None
    synapses: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stepping:
    """Departures from the fixed step of a simulation.

    Attributes
    ----------
    settle : float, unit 1
        The run ends once max |tau dz/dt| over outputs and multipliers z is below it; if 0, it
        lasts for all its steps.
    tolerance : float, optional
        Error of one adaptive step, absolute and relative; None for fixed steps.
    tick : float, s
        Time in which an adaptive run is counted, in place of a step; also its longest step.
    last : float, s
        Length of the last tick, at most `tick`.
    accelerate : "anderson", optional
        How steps are extrapolated to the state at rest.
    settle_each : bool
        Whether each pattern stops by itself once it rests.
    """

    settle: float = 0.0
    tolerance: float | None = None
    tick: float = 0.0
    last: float = 0.0
    accelerate: str | None = None
    settle_each: bool = False

    @property
    def method(self) -> str | None:
        """The method in place of the simulation's own, if another one is used."""
        return ADAPTIVE if self.adaptive else self.accelerate

    @property
    def adaptive(self) -> bool:
        """Whether the steps adapt to `tolerance`."""
        return self.tolerance is not None


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of one session, in steps.

    Attributes
    ----------
    steps : int
        Steps at most; ticks where the steps are adaptive.
    plastic : bool
        Whether weights move.
    recording : Recording
    schedule : StepSchedule, optional
        Its `batch` is the number of patterns simulated at once. Without a schedule or a batch, all
        patterns stay clamped from start to end.
    stepping : Stepping
    descent : LocalPropagation, optional
        Steps of Adam in place of the flows.
    interactive : bool
        Whether a world writes the frames while the run goes on.
    sample_weight : (patterns,) array, optional
        Factor of each pattern's plasticity, unit 1.
    """

    steps: int
    plastic: bool = False
    recording: Recording = Recording()
    schedule: StepSchedule | None = None
    stepping: Stepping = Stepping()
    descent: LocalPropagation | None = None
    interactive: bool = False
    sample_weight: Array | None = None

    @property
    def batch(self) -> int | None:
        """Number of patterns presented at once; None where all of them stay clamped."""
        return self.schedule.batch if self.schedule else None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every kind of run; `Simulation.relax` documents them."""

    record: str | Iterable[str] = ()
    every: Any = None
    patterns: Sequence[int] | None = None
    units: Mapping[str, Sequence[Any]] | None = None
    stream: str | Path | None = None
    start: Any = "zero"
    progress: bool = False
    modulators: Any = None

    def __post_init__(self) -> None:
        yes_or_no("progress", self.progress)
        if not isinstance(self.record, str):
            object.__setattr__(self, "record", tuple(self.record))

    def refuse_unrecorded(self) -> None:
        """Refuse choices of what to record where nothing is recorded.

        Raises
        ------
        ModelError
            `every`, `patterns`, `units` or `stream` without variables.
        """
        for name in ("every", "patterns", "units", "stream"):
            value = getattr(self, name)
            if value is not None and not self.record:
                text = shown(str(value) if isinstance(value, Path) else value)
                raise ModelError(
                    f"{name} = {text}, but nothing is recorded; try record=('x', 'lam')"
                )

    def recording(self, dt: float, count: int) -> Recording:
        """Return the recording of `count` patterns, in steps of `dt` (s).

        Raises
        ------
        ModelError
            A time between samples that is not a multiple of dt, or an index of a pattern or unit
            that is not a whole number >= 0.
        """
        names = (
            (self.record,) if isinstance(self.record, str) else tuple(dict.fromkeys(self.record))
        )
        units, synapses = {}, {}
        for name, chosen in (self.units or {}).items():
            if "->" in str(name):
                synapses[name] = _synapses(name, chosen)
            else:
                units[name] = tuple(whole("units", i, 0) for i in chosen)
        return Recording(
            names,
            steps_between_samples(self.every, dt),
            self._chosen_patterns(count),
            units,
            None if self.stream is None else Path(self.stream),
            synapses,
        )

    def _chosen_patterns(self, count: int) -> tuple[int, ...]:
        if self.patterns is None:
            return tuple(range(count))
        if not len(self.patterns):
            raise out_of_range("patterns", self.patterns, "at least one pattern, or None for all")
        return tuple(whole("patterns", p, 0) for p in self.patterns)


@dataclass(frozen=True, kw_only=True)
class RelaxOptions(RunOptions):
    """Options of `Simulation.relax`."""

    duration: Any
    adaptive: bool = False
    tolerance: float = TOLERANCE
    settle: float | None = None
    accelerate: str | None = None
    settle_each: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not yes_or_no("adaptive", self.adaptive) and self.tolerance != TOLERANCE:
            raise ModelError(
                f"tolerance = {self.tolerance!r} with fixed steps, which have none; "
                f"allowed: {TOLERANCE}; try adaptive=True"
            )
        if self.accelerate is not None:
            self._refuse_beside_acceleration(choice("accelerate", self.accelerate, (ANDERSON,)))
        if yes_or_no("settle_each", self.settle_each):
            self._refuse_beside_settling()

    def _refuse_beside_settling(self) -> None:
        """Refuse options with which patterns do not settle, or not one by one."""
        if self.settle is None:
            raise ModelError(
                "settle_each = True without settle, by which each pattern is judged; "
                "allowed: both; try settle=1e-6"
            )
        if self.adaptive:
            raise ModelError(
                "settle_each = True beside adaptive = True, whose steps follow from all patterns; "
                "allowed: fixed steps; try adaptive=False"
            )
        if self.accelerate is not None:
            raise ModelError(
                f"settle_each = True beside accelerate = {self.accelerate!r}; "
                "allowed: one of them; try accelerate=None"
            )

    def _refuse_beside_acceleration(self, kind: str) -> None:
        """Refuse options of a flow in time, which accelerated steps are not."""
        if self.adaptive:
            raise ModelError(
                f"accelerate = {kind!r} beside adaptive = True; allowed: one of them; "
                "try adaptive=False"
            )
        if self.record:
            raise ModelError(
                f"record = {shown(self.record)} with accelerate = {kind!r}: the states on the way "
                "are not those of the flow; allowed: nothing recorded; try accelerate=None"
            )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """Options of `Simulation.train`."""

    validation: tuple[Any, Any] | None = None
    checkpoint: str | Path | None = None
    resume: str | Path | None = None
    visit: Callable[[Run], Any] | None = None
    sample_weight: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        from_zero = isinstance(self.start, str) and self.start == "zero"
        if self.resume is not None and not from_zero:
            raise ModelError(
                f"start beside resume = {str(self.resume)!r}, whose state is the start; "
                "allowed: one of them"
            )

    def given(self) -> list[str]:
        """Return the names of the options that are set and that not every schedule allows."""
        found = []
        for name in ("record", "every", "patterns", "units", "stream", "checkpoint", "resume"):
            value = getattr(self, name)
            empty = isinstance(value, tuple) and not value
            if value is not None and not empty:
                found.append(name)
        return found


def _synapses(name: str, chosen: Any) -> tuple[Array, Array]:
    """Return the postsynaptic and the presynaptic units of synapses, given as pairs.

    Raises
    ------
    ModelError
        Anything but a sequence of (post, pre).
    """
    post, pre = [], []
    for pair in chosen:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise out_of_range(f"units of {name}", pair, "(post, pre) of each synapse", "[(0, 1)]")
        post.append(whole("units", pair[0], 0))
        pre.append(whole("units", pair[1], 0))
    return np.array(post, dtype=int), np.array(pre, dtype=int)


def steps_of(name: str, time: Any, dt: float) -> int:
    """Return the number of steps of `dt` (s) in a time, rounded; `name` is for the message.

    Raises
    ------
    ModelError
        Less than one step, more than `MOST_STEPS`, or not a time.
    """
    steps = seconds(time, name) / dt
    if not steps <= MOST_STEPS:
        allowed = f"at most {MOST_STEPS} steps of dt = {dt:g} s"
        raise out_of_range(name, time, allowed, "a shorter time, or a larger dt")
    if round(steps) < 1:
        raise out_of_range(name, time, f"at least one step, dt = {dt:g} s")
    return round(steps)


def steps_between_samples(every: Any, dt: float) -> int:
    """Return the number of steps of `dt` (s) from one sample to the next; 1 if `every` is None.

    Raises
    ------
    ModelError
        `every` is not a positive multiple of dt.
    """
    if every is None:
        return 1
    steps = steps_of("every", every, dt)
    if abs(steps * dt - seconds(every, "every")) > 1e-6 * dt:
        raise out_of_range("every", every, f"a multiple of dt = {dt:g} s", f"{steps * dt:g}")
    return steps
