"""Samples taken in turns, and a row of the table. Start at `in_turns` and `beside`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

State = Mapping[str, np.ndarray]
Stepper = Callable[[int], tuple[float, State]]  # for some steps: seconds a step, and where they led
CHECKED = 50  # steps after which all must be at the same place
SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB")),
    "1": ((1.0, ""),),
}


@dataclass(frozen=True)
class Setting:
    """How long to measure.

    Parameters
    ----------
    repeat : int
        Turns of ours and every yardstick.
    sample : float
        Seconds that one sample should take: clocks of compiled programs may have steps of 4 ms.
    quick : bool
        Small sizes only.
    """

    repeat: int
    sample: float = 0.4
    quick: bool = False

    @classmethod
    def quickly(cls, repeat: int) -> Setting:
        """To see that everything works."""
        return cls(repeat, sample=0.05, quick=True)

    def steps(self, seconds_a_step: float, most: int = 10**7) -> int:
        """Steps that fill a sample."""
        return min(max(int(self.sample / max(seconds_a_step, 1e-9)), 20), most)


@dataclass(frozen=True)
class Row:
    """Ours beside one yardstick; samples of one turn stand at one place of both tuples.

    Parameters
    ----------
    unit : str
        Of the samples: "s", "B" or "1".
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
        """Ours / the yardstick's, turn by turn."""
        return tuple(a / b for a, b in zip(self.ours, self.theirs, strict=False))

    def cells(self) -> list[str]:
        """As text; spreads are the quartiles."""
        ratio = ""
        if self.ratios:
            low, middle, high = np.percentile(self.ratios, [25, 50, 75])
            ratio = f"{middle:.3g} [{low:.3g}, {high:.3g}]" + (
                f"\n{1 / middle:.3g} x faster" if middle < 0.5 else ""
            )
        differs = "" if self.difference is None else f"{self.difference:.0e}"
        times = [spread(self.ours, self.unit), self.yardstick, spread(self.theirs, self.unit)]
        return [self.what, *times, ratio, self.target, differs, self.note]

    def as_dict(self) -> dict[str, object]:
        """Plain values, for a file."""
        return asdict(self) | {
            "ratios": self.ratios,
            "ratio": float(np.median(self.ratios)) if self.ratios else None,
        }


def in_turns(
    contenders: Mapping[str, Callable[[], float]], repeat: int
) -> dict[str, tuple[float, ...]]:
    """`repeat` samples of each, A B A B ..."""
    turns = [{name: sample() for name, sample in contenders.items()} for _ in range(repeat)]
    return {name: tuple(turn[name] for turn in turns) for name in contenders}


def beside(
    what: str,
    ours: Mapping[str, Stepper],
    yardsticks: Mapping[str, tuple[Stepper, str]],
    setting: Setting,
) -> Iterator[Row]:
    """Each way of ours beside each yardstick (with the target), once all have led to the same
    state.
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
    """Largest absolute difference; more than rounding is an error, for then two things are timed."""
    largest = max(
        float(np.abs(np.asarray(theirs[n]) - v).max()) for n, v in ours.items() if n in theirs
    )
    if not largest <= most:
        raise AssertionError(
            f"the yardstick's trajectory differs by {largest:.1e} from neurosim's; "
            f"allowed: {most:g}"
        )
    return largest


def spread(samples: Sequence[float], unit: str) -> str:
    """Median and quartiles, in the largest unit that keeps the median above 1."""
    if not len(samples):
        return ""
    low, middle, high = np.percentile(samples, [25, 50, 75])
    scale, name = next((s for s in SCALES[unit] if abs(middle) >= s[0]), SCALES[unit][-1])
    text = f"{middle / scale:.4g} {name}".strip()
    return text if len(samples) == 1 else f"{text} [{low / scale:.4g}, {high / scale:.4g}]"
