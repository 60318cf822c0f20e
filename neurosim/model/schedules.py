"""Schedules of learning, as a user states them and as steps.

Knows no network and no engine. Start at `Simultaneous`, `Presentations` and `LocalPropagation`;
`StepSchedule` is any of them in steps. `Pruning` and `Growing` are trainings by one of the first two in
which the network changes its size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError, out_of_range, whole
from neurosim.model.flow import seconds

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Simultaneous:
    """Every pattern has its own neurons and multiplier units; all three flows run at once.

    The setting of Betti, Gori & Marra 2018. The log has `reports` rows (noise is drawn anew after
    each, so that they belong to the seed), `begin` of a training that goes on come before them.
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
        """Of the log."""
        return self.reports

    def part(self, first: int, rows: int) -> Simultaneous:
        """Some of its rows, as a schedule."""
        return replace(
            self,
            duration=self.duration * rows / self.reports,
            reports=rows,
            begin=self.begin + first,
        )


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
        Passes over the data, in an order drawn anew each time (unless `shuffle` is False); what is
        left when `batch` does not divide the patterns waits for another epoch. The log has a row an
        epoch.
    begin : int
        Epochs before these, of a training that goes on: the order is drawn from there.
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
        if not isinstance(self.plastic_from, int | float) or not 0 <= self.plastic_from <= 1:
            raise out_of_range(
                "plastic_from", self.plastic_from, "0 to 1, a share of the presentation", "0.5"
            )

    @property
    def rows(self) -> int:
        """Of the log."""
        return self.epochs

    def part(self, first: int, rows: int) -> Presentations:
        """Some of its epochs, as a schedule."""
        return replace(self, epochs=rows, begin=self.begin + first)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Training in which neurons that carry nothing are removed on the way.

    The weights need a price for it (`Projection`'s row_l1, column_l1; ``Network.mlp(group_l1=)``),
    or the loss a flat part: else no neuron is without effect.

    Parameters
    ----------
    schedule : Simultaneous or Presentations
    every : int
        Rows of the log from one removal to the next.
    finish : int
        Rows at the end that go without the prices l1, row_l1 and column_l1, and without removals.
    dead : float
        Neurons go whose norms of incoming and outgoing weights have at most this product.
    support : float, optional
        Neurons go, too, that are straw for every pattern: no multiplier above this tolerance at
        rest, looked for with fixed weights for at most `rest` (what still moves by then is hardly
        ever straw). Of them only so many as leave what they send within `within` of its mean.
    rest : time
    within : float
    freeze : bool
        They are only put to sleep: left out of what is computed until the next look, their weights
        as they are, and awake again at the end.
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
        _base(self.schedule)
        whole("every", self.every, 1)
        if whole("finish", self.finish, 0) >= self.schedule.rows:
            raise out_of_range(
                "finish",
                self.finish,
                f"0 to {self.schedule.rows - 1}, fewer than the schedule's rows",
            )
        object.__setattr__(self, "rest", seconds(self.rest, "rest"))
        for name in ("dead", "within"):
            _number(name, getattr(self, name))
        if self.support is not None:
            _number("support", self.support)


@dataclass(frozen=True, kw_only=True)
class Growing:
    """Training in which neurons are split in two where the multipliers say that the constraints are
    too poor.

    Every few rows of the log those hidden neurons with the largest integral of abs(lam) since the
    last look are split (`grow`). That ends by itself: with enough accuracy, with `most` neurons, or
    when growing has stopped helping. Training then goes on to the schedule's end.

    Parameters
    ----------
    schedule : Simultaneous or Presentations
    every : int
        Rows of the log from one look to the next.
    split : int
        Neurons split at a look.
    spread : float
        Of the noise on the copies' incoming weights, in standard deviations of fresh ones.
    enough : float
        Mean abs(mu) of the output, over time and patterns, below which no more neurons are needed.
    most : int
        Hidden neurons, all layers together.
    patience : int
        Growths in a row that may lower the mean abs(mu) of the output by less than a share of
        `drop`.
    drop : float
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
        _base(self.schedule)
        for name in ("every", "split", "most", "patience"):
            whole(name, getattr(self, name), 1)
        for name in ("spread", "enough", "drop"):
            _number(name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class LocalPropagation:
    """Local Propagation as published: every pattern its own x and lam, and simultaneous steps of
    Adam on all three.

    Adam moves a variable by about dt/tau a step, see `Flow.local_propagation`.

    Parameters
    ----------
    epochs : int
        Steps; each sees all patterns.
    reports : int
        Rows of the log.
    mean : bool
        Whether L has the mean of V over the patterns, in place of the sum, beside the sums of
        everything else: a pattern's V is then divided by their number K, so that lam at rest is
        -dV/dx / K.
    best : bool
        Where validation patterns are given, the weights that stay are those of the row with the
        highest accuracy on them, among equals with the lowest loss.

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


Plain = Simultaneous | Presentations | LocalPropagation  # the network stays as large as it is
Schedule = Plain | Pruning | Growing


@dataclass(frozen=True)
class StepSchedule:
    """A schedule in steps: how long, how many patterns at once, and in which order."""

    total: int
    batch: int | None
    reports: int
    count: int
    seed: int
    length: int = 1
    gate: int = 0
    shuffle: bool = True
    begin: int = 0

    @classmethod
    def of(cls, schedule: Plain, dt: float, count: int, seed: int) -> StepSchedule:
        """A schedule in steps of `dt`, for `count` patterns."""
        if isinstance(schedule, Simultaneous):
            total = max(round(schedule.duration / dt), 1)
            return cls(total, None, min(schedule.reports, total), count, seed, begin=schedule.begin)
        if isinstance(schedule, LocalPropagation):
            return cls(schedule.epochs, None, min(schedule.reports, schedule.epochs), count, seed)
        if schedule.batch > count:
            raise DataError(
                f"batch = {schedule.batch}; allowed: 1 to {count}, the number of patterns"
            )
        length = round(schedule.present / dt)
        if length < 1:
            raise out_of_range("present", schedule.present, f"at least one step, dt = {dt:g} s")
        gate = round(schedule.plastic_from * length)
        total = schedule.epochs * (count // schedule.batch) * length
        return cls(
            total,
            schedule.batch,
            schedule.epochs,
            count,
            seed,
            length,
            gate,
            schedule.shuffle,
            schedule.begin,
        )

    def segments(self, one: bool) -> list[int]:
        """Steps of each segment."""
        return [self.total] if one else split(self.total, self.reports)

    def order(self, epoch: int) -> Array:
        """Rows of an epoch, a batch after the other."""
        assert self.batch is not None
        rows = np.arange(self.count)
        if self.shuffle:
            rows = np.random.default_rng([self.seed, self.begin + epoch]).permutation(self.count)
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
    return [
        int(n) for n in np.diff(np.unique(np.linspace(0, total, min(parts, total) + 1).astype(int)))
    ]


def _base(schedule: Any) -> None:
    if not isinstance(schedule, Simultaneous | Presentations):
        raise ModelError(
            f"schedule = {schedule!r}; allowed: Simultaneous(...) or Presentations(...)"
        )


def _number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
        raise out_of_range(name, value, "a finite number >= 0")
