"""Training schedules: in time, as users write them, and in steps, as engines run them.

Contains no network and no engine. Start at `Simultaneous`, `Presentations` and `LocalPropagation`;
`StepSchedule` is any of these in steps. `Pruning` and `Growing` train by one of the first two while
the network changes its size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import DataError, number, out_of_range, whole
from neurosim.model.flow import seconds

Array = np.ndarray
MOST_DELAY = 100_000  # steps of a delay: each keeps the messages of all units
MOST_STEPS = 10**12  # of a run: 11 days at 1 us per step


@dataclass(frozen=True, kw_only=True)
class Simultaneous:
    """Train on all patterns at once: each has its own x and lam, and all three flows run together.

    Parameters
    ----------
    duration : time
        Duration of the training, > 0.
    reports : int
        Rows of the log, >= 1.
    begin : int
        Rows of the log before these, if this continues a training, >= 0. It follows from the start
        where that is the end of an earlier run.

    Raises
    ------
    ModelError
        A value out of range.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934.
    """

    duration: Any
    reports: int = 40
    begin: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "duration", seconds(self.duration, "duration"))
        whole("reports", self.reports, 1)
        whole("begin", self.begin, 0)

    @property
    def rows(self) -> int:
        """Number of rows of the log."""
        return self.reports

    @checked
    def part(self, first: int, rows: int) -> Simultaneous:
        """Return the schedule of `rows` rows of the log, from row `first` on."""
        return replace(
            self,
            duration=self.duration * rows / self.reports,
            reports=rows,
            begin=self.begin + first,
        )


@dataclass(frozen=True, kw_only=True)
class Presentations:
    """Train on batches of patterns, each clamped for a while; states carry over between batches.

    The log has one row per epoch.

    Parameters
    ----------
    batch : int
        Patterns that are clamped at once, >= 1; 1 is online learning.
    present : time
        Duration of a presentation, > 0.
    plastic_from : float
        Share of a presentation after which weights start to move, 0 to 1.
    epochs : int
        Passes over the data, >= 1. If `batch` does not divide the number of patterns, the remaining
        patterns of an epoch are left out.
    shuffle : bool
        Whether the order of the patterns is drawn anew for every epoch.
    begin : int
        Epochs before these, if this continues a training, >= 0; the random orders continue too. It
        follows from the start where that is the end of an earlier run.

    Raises
    ------
    ModelError
        A value out of range.
    """

    batch: int = 32
    present: Any = 120e-3
    plastic_from: float = 0.5
    epochs: int = 20
    shuffle: bool = True
    begin: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", seconds(self.present, "present"))
        whole("batch", self.batch, 1)
        whole("epochs", self.epochs, 1)
        whole("begin", self.begin, 0)
        number("plastic_from", self.plastic_from, least=0, most=1, try_="0.5")

    @property
    def rows(self) -> int:
        """Number of rows of the log."""
        return self.epochs

    @checked
    def part(self, first: int, rows: int) -> Presentations:
        """Return the schedule of `rows` epochs, from epoch `first` on."""
        return replace(self, epochs=rows, begin=self.begin + first)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Train, and remove neurons without effect at regular intervals.

    Without a penalty on the weights (row_l1 and column_l1 of `Projection`, group_l1 of
    `Network.mlp`) or a flat part of the loss, every neuron has an effect and none is removed.

    Parameters
    ----------
    schedule : Simultaneous or Presentations
        The training.
    every : int
        Rows of the log from one removal to the next, >= 1.
    finish : int
        Rows at the end without removals and without the penalties l1, row_l1 and column_l1, >= 0,
        fewer than the schedule has.
    dead : float
        A neuron is removed if the product of the norms of its incoming and outgoing weights is at
        most this, >= 0.
    support : float, optional
        Largest abs(lam) at rest of a straw neuron, >= 0. Neurons that are straw for every pattern
        are removed too; not if None.
    rest : time
        Longest relaxation with fixed weights to find straw neurons, > 0.
    within : float
        Bound on the sum, over the straw neurons that are removed, of the standard deviation of x
        over the patterns times the norm of the outgoing weights, >= 0.
    freeze : bool
        Whether neurons are only frozen, with their weights unchanged, until the next removal, and
        are all active again at the end.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    A neuron whose state still moves after `rest` rarely counts as straw.
    """

    schedule: Simultaneous | Presentations
    every: int = 1
    finish: int = 0
    dead: float = 1e-3
    support: float | None = None
    rest: Any = 2.0
    within: float = 1e-2
    freeze: bool = False

    def __post_init__(self) -> None:
        _check_base(self.schedule)
        whole("every", self.every, 1)
        if whole("finish", self.finish, 0) >= self.schedule.rows:
            allowed = f"0 to {self.schedule.rows - 1}, fewer than the schedule's rows"
            raise out_of_range("finish", self.finish, allowed)
        object.__setattr__(self, "rest", seconds(self.rest, "rest"))
        number("dead", self.dead, least=0)
        number("within", self.within, least=0)
        if self.support is not None:
            number("support", self.support, least=0)


@dataclass(frozen=True, kw_only=True)
class Growing:
    """Train, and split hidden neurons in two at regular intervals.

    Every `every` rows of the log, the `split` hidden neurons with the largest integral of abs(lam)
    since the last split are split, as by `grow`. Splitting stops below `enough`, at `most` neurons,
    or once it no longer helps. Training then continues to the end of the schedule.

    Parameters
    ----------
    schedule : Simultaneous or Presentations
        The training.
    every : int
        Rows of the log from one split to the next, >= 1.
    split : int
        Neurons that are split at once, >= 1.
    spread : float
        Noise on the copies' incoming weights, in standard deviations of newly drawn weights, >= 0.
    enough : float
        Splitting stops once the output's abs(mu), smoothed in time and averaged over patterns and
        units, is below this, >= 0.
    most : int
        Largest number of hidden neurons in all layers, >= 1.
    patience : int
        Number of consecutive splits without help after which splitting stops, >= 1.
    drop : float
        A split helps if it lowers the output's mean abs(mu) by at least this share, >= 0.

    Raises
    ------
    ModelError
        A value out of range.
    """

    schedule: Simultaneous | Presentations
    every: int = 1
    split: int = 4
    spread: float = 1.0
    enough: float = 0.05
    most: int = 32
    patience: int = 2
    drop: float = 0.1

    def __post_init__(self) -> None:
        _check_base(self.schedule)
        for name in ("every", "split", "most", "patience"):
            whole(name, getattr(self, name), 1)
        for name in ("spread", "enough", "drop"):
            number(name, getattr(self, name), least=0)


@dataclass(frozen=True, kw_only=True)
class LocalPropagation:
    """Train by Local Propagation as published: simultaneous steps of Adam on x, lam and w.

    Every pattern has its own x and lam. Adam moves a variable by about dt/tau per step, see
    `Flow.local_propagation`.

    Parameters
    ----------
    epochs : int
        Number of steps, >= 1; each uses all patterns.
    reports : int
        Rows of the log, >= 1.
    mean : bool
        Whether the loss term of L is the mean of V over the patterns instead of the sum; all other
        terms remain sums.
    best : bool
        Whether to restore the weights of the best row at the end, if there are validation patterns.
        The best row has the highest accuracy on them and, among equals, the lowest loss.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    With `mean` a pattern's V is divided by the number of patterns K, so that lam at rest is
    -dV/dx / K.

    References
    ----------
    Marra, Tiezzi, Melacci, Betti, Maggini & Gori, IJCNN 2020, arXiv 2002.07720.
    """

    epochs: int = 5000
    reports: int = 100
    mean: bool = False
    best: bool = True

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("reports", self.reports, 1)


Plain = Simultaneous | Presentations | LocalPropagation  # the network keeps its size
Schedule = Plain | Pruning | Growing


@dataclass(frozen=True)
class StepSchedule:
    """A schedule in steps.

    Attributes
    ----------
    total : int
        Number of steps of the whole training.
    batch : int or None
        Patterns that are clamped at once; all of them if None.
    reports : int
        Rows of the log.
    count : int
        Number of patterns in the data.
    seed : int
        Seed of the order of the patterns.
    length : int
        Steps per presentation.
    gate : int
        First step of a presentation, from 0, at which weights move.
    shuffle : bool
        Whether the order is drawn anew for every epoch.
    begin : int
        Epochs or rows before these, if this continues a training.
    """

    total: int
    batch: int | None
    reports: int
    count: int
    seed: int
    length: int = 1
    gate: int = 0
    shuffle: bool = True
    begin: int = 0

    def __post_init__(self) -> None:
        if self.total > MOST_STEPS:
            raise out_of_range("steps of the training", self.total, f"at most {MOST_STEPS}")

    @classmethod
    def of(cls, schedule: Plain, dt: float, count: int, seed: int) -> StepSchedule:
        """Return a schedule in steps of `dt` s, for `count` patterns.

        Raises
        ------
        DataError
            A batch larger than the number of patterns.
        ModelError
            Presentations shorter than one step, or more than `MOST_STEPS` in all.
        """
        if isinstance(schedule, Simultaneous):
            total = max(_bounded("duration", schedule.duration, schedule.duration / dt), 1)
            reports = min(schedule.reports, total)
            return cls(total, None, reports, count, seed, begin=schedule.begin)
        if isinstance(schedule, LocalPropagation):
            _bounded("epochs", schedule.epochs, schedule.epochs)
            reports = min(schedule.reports, schedule.epochs)
            return cls(schedule.epochs, None, reports, count, seed)
        if schedule.batch > count:
            raise DataError(
                f"batch = {schedule.batch}; allowed: 1 to {count}, the number of patterns"
            )
        length = _bounded("present", schedule.present, schedule.present / dt)
        if length < 1:
            raise out_of_range("present", schedule.present, f"at least one step, dt = {dt:g} s")
        total = schedule.epochs * (count // schedule.batch) * length
        _bounded("epochs", schedule.epochs, total)
        return cls(
            total=total,
            batch=schedule.batch,
            reports=schedule.epochs,
            count=count,
            seed=seed,
            length=length,
            gate=round(schedule.plastic_from * length),
            shuffle=schedule.shuffle,
            begin=schedule.begin,
        )

    @property
    def steps_before(self) -> int:
        """Number of steps of the `begin` epochs or rows before these."""
        return self.begin * self.total // self.reports

    def after(self, steps: int) -> StepSchedule:
        """Return this schedule as the continuation of a run of so many steps.

        Unless `begin` is given, it is the number of epochs or rows that take that many steps.
        """
        if self.begin:
            return self
        return replace(self, begin=round(steps * self.reports / self.total))

    def segments(self, one: bool) -> list[int]:
        """Return the steps of each segment: one segment per row of the log, or a single one."""
        return [self.total] if one else split(self.total, self.reports)

    def order(self, epoch: int) -> Array:
        """Return the indices of one epoch's patterns, batch after batch, (patterns,) of int."""
        assert self.batch is not None
        rows = np.arange(self.count)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, self.begin + epoch]).permutation(self.count)
        return rows[: self.count // self.batch * self.batch]


def one_report(schedule: Schedule) -> Schedule:
    """Return a schedule as long as one row of its log; `Pruning` and `Growing` unchanged."""
    if isinstance(schedule, LocalPropagation):
        return replace(schedule, epochs=max(schedule.epochs // schedule.reports, 1), reports=1)
    if isinstance(schedule, Simultaneous):
        return replace(schedule, duration=schedule.duration / schedule.reports, reports=1)
    if isinstance(schedule, Presentations):
        return replace(schedule, epochs=1)
    return schedule


def split(total: int, parts: int) -> list[int]:
    """Divide `total` steps into at most `parts` segments, none empty; return their lengths.

    Examples
    --------
    >>> split(10, 4)
    [2, 3, 2, 3]
    """
    ends = np.linspace(0, total, min(parts, total) + 1).astype(int)
    return [int(length) for length in np.diff(np.unique(ends))]


def _bounded(name: str, value: Any, steps: float) -> int:
    """Return a number of steps, rounded; `name` and `value` are those of the argument it is from.

    Raises
    ------
    ModelError
        More than `MOST_STEPS`.
    """
    if not steps <= MOST_STEPS:
        raise out_of_range(name, value, f"at most {MOST_STEPS} steps in all")
    return round(steps)


def delay_steps(time: float, dt: float) -> int:
    """Return a delay (s) in steps of `dt` s, at least one.

    Raises
    ------
    ModelError
        More than `MOST_DELAY`.
    """
    steps = time / dt
    if not steps <= MOST_DELAY:
        raise out_of_range("delay", time, f"at most {MOST_DELAY} steps of dt = {dt:g} s")
    return max(1, round(steps))


def _check_base(schedule: Any) -> None:
    if not isinstance(schedule, Simultaneous | Presentations):
        allowed = "Simultaneous(...) or Presentations(...)"
        raise out_of_range("schedule", schedule, allowed)
