"""Which parameter points a sweep looks at: a grid, draws from a box, or a grid refined where the
outcome changes.

Knows dotted keys and their values, no model. Start at `Grid`, `Drawn` and `Refined`; `make` chooses
by name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown

Array = np.ndarray
Values = Mapping[str, Sequence[Any]]
Assignment = dict[str, Any]  # a value for every parameter

DESIGNS = ("grid", "random", "lhs", "sobol", "refine")
EVEN = 1e-9  # of a step or a ratio: how evenly spaced values are taken to be


@dataclass(frozen=True)
class Grid:
    """Every combination of the values; a dimension a parameter."""

    values: dict[str, tuple[Any, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each parameter."""
        return tuple(len(v) for v in self.values.values())

    def assignments(self) -> list[Assignment]:
        """All points, the last parameter fastest."""
        return [
            dict(zip(self.values, point, strict=True)) for point in product(*self.values.values())
        ]


@dataclass(frozen=True)
class Drawn:
    """Points drawn from the box that the values span, uniformly; see `make`.

    Floats are drawn between the smallest and the largest, on a logarithmic scale where they are
    spaced so; of other values one is chosen.
    """

    values: dict[str, tuple[Any, ...]]
    kind: str
    points: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """One dimension."""
        return (self.points,)

    def assignments(self) -> list[Assignment]:
        """All points, in the order of the draw."""
        unit = self._unit()
        columns = [_spread(v, u) for v, u in zip(self.values.values(), unit.T, strict=True)]
        return [dict(zip(self.values, point, strict=True)) for point in zip(*columns, strict=True)]

    def _unit(self) -> Array:
        """Points in the unit cube, (points, parameters)."""
        from scipy.stats import qmc

        rng, d = np.random.default_rng(self.seed), len(self.values)
        if self.kind == "random":
            return rng.random((self.points, d))
        if self.kind == "lhs":
            return np.asarray(qmc.LatinHypercube(d, rng=rng).random(self.points))
        whole = (
            1 << max(self.points - 1, 1).bit_length()
        )  # a Sobol sequence is balanced in powers of two
        return np.asarray(qmc.Sobol(d, rng=rng).random(whole))[: self.points]


@dataclass(frozen=True)
class Refined:
    """A grid whose cells are halved, round after round, where their corners do not all end alike.

    Cells are boxes of neighbouring values of the parameters that are floats; the others are not
    halved between.
    """

    values: dict[str, tuple[Any, ...]]
    rounds: int

    def grid(self) -> Grid:
        """The first round."""
        return Grid(self.values)

    def next_round(
        self, done: Sequence[Assignment], alike: Sequence[Any], level: int
    ) -> list[Assignment]:
        """Points that round `level` (1, 2, ...) adds.

        Parameters
        ----------
        done : sequence of assignments
            All points so far.
        alike : sequence
            What each of them ended as.
        """
        ends = dict(zip(map(self._place, done), alike, strict=True))
        added: dict[tuple[Any, ...], None] = {}
        for corners in self._cells(level - 1):
            known = [ends[c] for c in corners if c in ends]
            if len(known) == len(corners) and len(set(known)) > 1:
                added |= dict.fromkeys(p for p in self._halved(corners) if p not in ends)
        return [self._assignment(place) for place in added]

    @property
    def _halvable(self) -> list[bool]:
        return [len(v) > 1 and all(isinstance(e, float) for e in v) for v in self.values.values()]

    def _place(self, assignment: Assignment) -> tuple[float, ...]:
        """Position on the grid's axes: whole numbers are its values, halves between them, exact in
        binary.
        """
        place = []
        for name, values in self.values.items():
            if assignment[name] in values:
                place.append(float(values.index(assignment[name])))
            else:
                place.append(
                    float(
                        np.interp(
                            _scale(values)(assignment[name]),
                            _scale(values)(np.array(values)),
                            np.arange(len(values)),
                        )
                    )
                )
        return tuple(round(p * 2**self.rounds) / 2**self.rounds for p in place)

    def _assignment(self, place: Sequence[float]) -> Assignment:
        found = {}
        for (name, values), p in zip(self.values.items(), place, strict=True):
            found[name] = values[int(p)] if p == int(p) else _between(values, p)
        return found

    def _cells(self, level: int) -> list[list[tuple[float, ...]]]:
        """Corners of every cell of a level, of side 1/2^level."""
        side = 0.5**level
        axes: list[list[tuple[float, ...]]] = []
        for values, halvable in zip(self.values.values(), self._halvable, strict=True):
            if halvable:
                axes.append([(i * side, (i + 1) * side) for i in range((len(values) - 1) << level)])
            else:
                axes.append([(float(i),) for i in range(len(values))])
        return [list(product(*cell)) for cell in product(*axes)]

    def _halved(self, corners: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
        axes = zip(*corners, strict=True)
        return list(product(*[sorted({min(a), (min(a) + max(a)) / 2, max(a)}) for a in axes]))


Design = Grid | Drawn | Refined


def make(
    kind: str, parameters: Mapping[str, Any], *, points: int | None, rounds: int, seed: int
) -> Design:
    """A design by name.

    Parameters
    ----------
    kind : "grid", "random", "lhs", "sobol" or "refine"
        Latin hypercube and Sobol sequence are SciPy's (scipy.stats.qmc).
    parameters : {dotted key: values}
        A value alone counts as one of a list.
    points : int, optional
        Of a design that draws them.
    rounds : int
        In which "refine" halves.
    seed : int
        Of what is drawn.

    Raises
    ------
    ModelError
    """
    if kind not in DESIGNS:
        raise unknown("design", kind, DESIGNS)
    values = {key: _values(key, v) for key, v in parameters.items()}
    if not values:
        raise ModelError(
            "no parameter to sweep over; try {'flow.rho': [0.5, 1, 2]} or --grid flow.rho=0.5:2:4"
        )
    if kind in ("random", "lhs", "sobol"):
        if points is None or isinstance(points, bool) or not isinstance(points, int) or points < 1:
            raise out_of_range(f"points of design {kind!r}", points, "a whole number >= 1", "100")
        return Drawn(values, kind, points, seed)
    if points is not None:
        raise ModelError(
            f"points = {points} with design {kind!r}, whose points are all combinations; try 'lhs'"
        )
    return Grid(values) if kind == "grid" else _refined(values, rounds)


def _refined(values: dict[str, tuple[Any, ...]], rounds: Any) -> Refined:
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise out_of_range("rounds", rounds, "a whole number >= 1", "3")
    design = Refined({k: tuple(sorted(v)) if _numeric(v) else v for k, v in values.items()}, rounds)
    if not any(design._halvable):
        raise ModelError(
            "design 'refine' halves between floats, and no parameter has two; try flow.rho=0.5:4:8"
        )
    return design


def _values(key: str, given: Any) -> tuple[Any, ...]:
    """The values of one parameter as plain Python, each once."""
    if isinstance(given, str | bytes | int | float | np.generic) or not hasattr(given, "__iter__"):
        given = [given]
    plain = tuple(v.tolist() if isinstance(v, np.generic | np.ndarray) else v for v in given)
    if not plain:
        raise ModelError(f"{key} has no values; allowed: at least one, e.g. [0.5, 1, 2]")
    if any(isinstance(v, float) for v in plain) and _numeric(plain):
        plain = tuple(float(v) for v in plain)
    once = {label(v): v for v in plain}
    if len(once) < len(plain):
        raise ModelError(f"{key} = {list(plain)!r} has a value twice; allowed: each once")
    return plain


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def label(value: Any) -> Any:
    """A value as a coordinate: numbers and text as they are, a list of layers as "2-4-1"."""
    if isinstance(value, list | tuple):
        return "-".join(str(label(v)) for v in value)
    return (
        value
        if isinstance(value, int | float | str) and not isinstance(value, bool)
        else str(value)
    )


def _scale(values: Sequence[float]) -> Callable[[Any], Any]:
    return np.log if geometric(values) else np.asarray


def geometric(values: Sequence[Any]) -> bool:
    """Whether numbers are spaced by one ratio, and not by one step too."""
    if len(values) < 3 or not _numeric(values) or min(values) <= 0:
        return False
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(
        np.ptp(ratios) <= EVEN * np.abs(ratios).max() and np.ptp(steps) > EVEN * np.abs(steps).max()
    )


def _spread(values: tuple[Any, ...], unit: Array) -> list[Any]:
    """Draws in [0, 1) as values of one parameter."""
    if len(values) > 1 and all(isinstance(v, float) for v in values):
        low, high = min(values), max(values)
        if geometric(values):
            return [float(v) for v in low * (high / low) ** unit]
        return [float(v) for v in low + (high - low) * unit]
    return [values[int(u * len(values))] for u in unit]


def _between(values: Sequence[float], place: float) -> float:
    """The value halfway, or a quarter of the way, between two of the grid's."""
    i, share = int(place), place - int(place)
    if geometric(values):
        return float(values[i] * (values[i + 1] / values[i]) ** share)
    return float(values[i] + share * (values[i + 1] - values[i]))


def parse(text: str) -> tuple[str, list[Any]]:
    """Key and values of ``flow.rho=0.5:4:8`` (8 from 0.5 to 4), ``...:8:log`` (by one ratio) or
    ``flow.gamma=0,0.5,1``.

    Values are as TOML writes them, separated by commas; what is no TOML is text. An even spread of
    whole numbers over whole limits stays whole: ``network.depth=2:20:19``.

    Raises
    ------
    ModelError
    """
    key, equals, values = text.partition("=")
    parts = values.split(":")
    if not equals or not key.strip() or not values.strip():
        raise ModelError(
            f"--grid {text!r}; allowed: KEY=FIRST:LAST:COUNT[:log] or KEY=VALUE,VALUE,..."
        )
    if len(parts) in (3, 4) and '"' not in values:
        return key.strip(), _spaced(text, parts)
    try:
        found = tomllib.loads(f"values = [{values}]")["values"]
    except ValueError:
        found = [_number_or_text(v) for v in values.split(",")]
    return key.strip(), list(found)


def _spaced(text: str, parts: Sequence[str]) -> list[Any]:
    try:
        first, last, count = float(parts[0]), float(parts[1]), int(parts[2])
    except ValueError:
        raise ModelError(
            f"--grid {text!r}; allowed: numbers in FIRST:LAST:COUNT, e.g. flow.rho=0.5:4:8"
        ) from None
    logarithmic = parts[3:] == ["log"]
    if count < 1 or (parts[3:] and not logarithmic) or (logarithmic and not (first > 0 < last)):
        raise ModelError(
            f"--grid {text!r}; allowed: COUNT >= 1, and :log for values > 0, e.g. "
            "flow.rho=0.5:8:5:log"
        )
    values = np.geomspace(first, last, count) if logarithmic else np.linspace(first, last, count)
    whole = (
        all("." not in p and "e" not in p.lower() for p in parts[:2])
        and (values == np.round(values)).all()
    )
    return [int(v) if whole else float(v) for v in values]


def _number_or_text(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value.strip()}")["value"]
    except ValueError:
        return value.strip()
