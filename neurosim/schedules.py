"""Schedules of learning, as a user states them and as steps.

Knows no network and no engine. Start at `Simultaneous`, `Presentations` and `LocalPropagation`;
`Lesson` is any of them in steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosim.errors import DataError, out_of_range
from neurosim.flow import seconds

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Simultaneous:
    """Every pattern has its own neurons and multiplier units; all three flows run at once.

    The setting of Betti, Gori & Marra 2018. The log has `reports` rows (noise is
    drawn anew after each, so that they belong to the seed).
    """

    duration: Any
    reports: int = 40

    def __post_init__(self) -> None:
        object.__setattr__(self, "duration", seconds(self.duration, "duration"))
        whole("reports", self.reports, 1)


@dataclass(frozen=True, kw_only=True)
class Presentations:
    """Batches of patterns, each shown for a time; nothing is reset between them.

    Parameters
    ----------
    batch : int
        Patterns shown at once; 1 is online learning.
    present : time
        How long each batch is shown.
    plastic_from : float
        Share of a presentation after which weights move, 0 to 1.
    epochs : int
        Passes over the data, in an order drawn anew each time (unless `shuffle` is False); what is left
        when `batch` does not divide the patterns waits for another epoch. The log has a row an epoch.
    """

    batch: int = 32
    present: Any = 120e-3
    plastic_from: float = 0.5
    epochs: int = 20
    shuffle: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", seconds(self.present, "present"))
        whole("batch", self.batch, 1)
        whole("epochs", self.epochs, 1)
        if not isinstance(self.plastic_from, int | float) or not 0 <= self.plastic_from <= 1:
            raise out_of_range("plastic_from", self.plastic_from, "0 to 1, a share of the presentation", "0.5")


@dataclass(frozen=True, kw_only=True)
class LocalPropagation:
    """Local Propagation as published: every pattern its own x and lam, and simultaneous steps of Adam on all three.

    L is that of the paper, the *mean* loss over the patterns and the sums of everything else: a pattern's V is divided
    by their number K while it lasts, so that lam at rest is -dV/dx / K. Adam moves a variable by about dt/tau
    a step, see `Flow.local_propagation`.

    Parameters
    ----------
    epochs : int
        Steps; each sees all patterns.
    reports : int
        Rows of the log.
    best : bool
        Where validation patterns are given, the weights that stay are those of the row with the highest accuracy on
        them, among equals with the lowest loss.

    References
    ----------
    Marra, Tiezzi, Melacci, Betti, Maggini & Gori, IJCNN 2020, arXiv 2002.07720.
    """

    epochs: int = 5000
    reports: int = 100
    best: bool = True

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("reports", self.reports, 1)


Schedule = Simultaneous | Presentations | LocalPropagation


@dataclass(frozen=True)
class Lesson:
    """A schedule in steps: how long, how many patterns at once, and in which order."""

    total: int
    batch: int | None
    reports: int
    count: int
    seed: int
    length: int = 1
    gate: int = 0
    shuffle: bool = True

    @classmethod
    def of(cls, schedule: Schedule, dt: float, count: int, seed: int) -> Lesson:
        """A schedule in steps of `dt`, for `count` patterns."""
        if isinstance(schedule, Simultaneous):
            total = max(round(schedule.duration / dt), 1)
            return cls(total, None, min(schedule.reports, total), count, seed)
        if isinstance(schedule, LocalPropagation):
            return cls(schedule.epochs, None, min(schedule.reports, schedule.epochs), count, seed)
        if schedule.batch > count:
            raise DataError(f"batch = {schedule.batch}; allowed: 1 to {count}, the number of patterns")
        length = round(schedule.present / dt)
        if length < 1:
            raise out_of_range("present", schedule.present, f"at least one step, dt = {dt:g} s")
        gate = round(schedule.plastic_from * length)
        total = schedule.epochs * (count // schedule.batch) * length
        return cls(total, schedule.batch, schedule.epochs, count, seed, length, gate, schedule.shuffle)

    def segments(self, one: bool) -> list[int]:
        """Steps of each segment."""
        return [self.total] if one else split(self.total, self.reports)

    def order(self, epoch: int) -> Array:
        """Rows of an epoch, a batch after the other."""
        assert self.batch is not None
        rows = np.arange(self.count)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return rows[: self.count // self.batch * self.batch]


def one_report(schedule: Schedule) -> Schedule:
    """As much of a schedule as lies between two rows of its log."""
    if isinstance(schedule, LocalPropagation):
        return replace(schedule, epochs=max(schedule.epochs // schedule.reports, 1), reports=1)
    if isinstance(schedule, Simultaneous):
        return replace(schedule, duration=schedule.duration / schedule.reports, reports=1)
    return replace(schedule, epochs=1) if isinstance(schedule, Presentations) else schedule


def split(total: int, parts: int) -> list[int]:
    """`total` steps in at most `parts` segments."""
    return [int(n) for n in np.diff(np.unique(np.linspace(0, total, min(parts, total) + 1).astype(int)))]


def whole(name: str, value: Any, least: int) -> int:
    """A whole number that is at least `least`, or the error that says so."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise out_of_range(name, value, f"a whole number >= {least}")
    return int(value)
