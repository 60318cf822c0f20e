"""Take samples in turns, and compare them in a row of the table.

Start at `in_turns` and `beside`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

State = Mapping[str, np.ndarray]
# Takes steps; returns seconds per step, and the final state.
Stepper = Callable[[int], tuple[float, State]]
CHECKED = 50  # steps after which all states must agree
SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")),
    "1": ((1.0, ""),),
}


@dataclass(frozen=True)
class Setting:
    """Settings of a measurement.

    Parameters
    ----------
    repeat : int
        Samples of neurosim and of every yardstick.
    sample : float
        Seconds that one sample should take, as the clock of a compiled program may have steps of
        4 ms.
    quick : bool
        Small sizes only.
    """

    repeat: int
    sample: float = 0.4
    quick: bool = False

    @classmethod
    def quickly(cls, repeat: int) -> Setting:
        """Return a setting that only shows that everything works."""
        return cls(repeat, sample=0.05, quick=True)

    def steps(self, seconds_a_step: float, most: int = 10**7) -> int:
        """Return the number of steps that fill a sample."""
        return min(max(int(self.sample / max(seconds_a_step, 1e-9)), 20), most)


@dataclass(frozen=True)
class Row:
    """Samples of neurosim beside those of one yardstick, turn by turn.

    Parameters
    ----------
    what, yardstick, target, note : str
        Cells of the table.
    ours, theirs : tuple of float
        Samples of neurosim and of the yardstick.
    unit : str
        Unit of the samples: "s", "B" or "1".
    difference : float, optional
        Largest difference between the two trajectories.
    """

    what: str
    ours: tuple[float, ...]
    yardstick: str = ""
    theirs: tuple[float, ...] = ()
    target: str = ""
    note: str = ""
    unit: str = "s"
    difference: float | None = None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Sample of neurosim over that of the yardstick, turn by turn."""
        return tuple(a / b for a, b in zip(self.ours, self.theirs, strict=False))

    def cells(self) -> list[str]:
        """Return the cells of the row as text, with medians and quartiles."""
        ratio = ""
        if self.ratios:
            low, middle, high = np.percentile(self.ratios, [25, 50, 75])
            ratio = f"{middle:.3g} [{low:.3g}, {high:.3g}]"
            if middle < 0.5:
                ratio += f"\n{1 / middle:.3g} x faster"
        differs = "" if self.difference is None else f"{self.difference:.0e}"
        times = [spread(self.ours, self.unit), self.yardstick, spread(self.theirs, self.unit)]
        return [self.what, *times, ratio, self.target, differs, self.note]

    def as_dict(self) -> dict[str, object]:
        """Return the row as plain values, for a file."""
        return asdict(self) | {
            "ratios": self.ratios,
            "ratio": float(np.median(self.ratios)) if self.ratios else None,
        }


def in_turns(
    contenders: Mapping[str, Callable[[], float]], repeat: int
) -> dict[str, tuple[float, ...]]:
    """Take `repeat` samples of each, in the order A B A B ..."""
    turns = [{name: sample() for name, sample in contenders.items()} for _ in range(repeat)]
    return {name: tuple(turn[name] for turn in turns) for name in contenders}


def beside(
    what: str,
    ours: Mapping[str, Stepper],
    yardsticks: Mapping[str, tuple[Stepper, str]],
    setting: Setting,
) -> Iterator[Row]:
    """Time each variant of neurosim beside each yardstick, after a check that their states agree.

    `yardsticks` maps names to (stepper, target).

    Raises
    ------
    AssertionError
        The state of a yardstick differs from neurosim's after `CHECKED` steps.
    """
    steppers = dict(ours) | {name: stepper for name, (stepper, _) in yardsticks.items()}
    first = {name: stepper(CHECKED) for name, stepper in steppers.items()}
    truth = first[next(iter(ours))][1]
    off = {name: difference(truth, state) for name, (_, state) in first.items()}
    guess = setting.steps(min(first[name][0] for name in yardsticks))
    steps = {
        name: setting.steps(stepper(guess)[0], most=50 * guess)
        for name, stepper in steppers.items()
    }
    samples = in_turns({n: lambda n=n: steppers[n](steps[n])[0] for n in steppers}, setting.repeat)
    for way in ours:
        for name, (_, target) in yardsticks.items():
            yield Row(
                f"{what}\n{way}",
                samples[way],
                name,
                samples[name],
                target,
                f"{steps[way]} and {steps[name]} steps",
                difference=max(off[way], off[name]),
            )


def difference(ours: State, theirs: State, most: float = 1e-9) -> float:
    """Return the largest absolute difference of two states.

    Raises
    ------
    AssertionError
        The difference exceeds `most`: two different problems would be timed.
    """
    shared = [name for name in ours if name in theirs]
    largest = max(float(np.abs(np.asarray(theirs[n]) - ours[n]).max()) for n in shared)
    if not largest <= most:
        raise AssertionError(
            f"the yardstick's trajectory differs by {largest:.1e} from neurosim's; "
            f"allowed: {most:g}"
        )
    return largest


def spread(samples: Sequence[float], unit: str) -> str:
    """Return median and quartiles as text, in the largest unit with a median of at least 1."""
    if not len(samples):
        return ""
    low, middle, high = np.percentile(samples, [25, 50, 75])
    scale, name = next((s for s in SCALES[unit] if abs(middle) >= s[0]), SCALES[unit][-1])
    text = f"{middle / scale:.4g} {name}".strip()
    if len(samples) > 1:
        text += f" [{low / scale:.4g}, {high / scale:.4g}]"
    return text
