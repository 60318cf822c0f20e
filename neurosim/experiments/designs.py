"""Designs of a sweep: a grid, points drawn from a box, or a grid that is refined where outcomes
change.

A design has dotted keys and their values, and does not depend on the model. Start at `Grid`,
`Drawn` and `Refined`; `make` chooses by name.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, shown, unknown, whole

Array = np.ndarray
Values = Mapping[str, Sequence[Any]]
Assignment = dict[str, Any]  # {dotted key: value} of one point
Place = tuple[float, ...]  # position of a point on a grid whose values stand at 0, 1, 2, ...

GRID, REFINE = "grid", "refine"
RANDOM, LHS, SOBOL = "random", "lhs", "sobol"
DRAWS = (RANDOM, LHS, SOBOL)
DESIGNS = (GRID, *DRAWS, REFINE)
MOST_ROUNDS = 20  # of a refinement: values a millionth of the first distance apart
LINEAR, LOG = "linear", "log"  # scales on which the values of a parameter are spaced evenly
MOST_POINTS = 10_000_000  # of a design: 12 days at 0.1 s per point
EVEN = 1e-9  # relative deviation up to which steps, or ratios, count as equal


@dataclass(frozen=True)
class Grid:
    """Every combination of the values, with one dimension per parameter."""

    values: dict[str, tuple[Any, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter."""
        return tuple(len(values) for values in self.values.values())

    def assignments(self) -> list[Assignment]:
        """Return all points, with the last parameter varying fastest."""
        points = product(*self.values.values())
        return [dict(zip(self.values, point, strict=True)) for point in points]


@dataclass(frozen=True)
class Drawn:
    """Points drawn uniformly from the box that the values span; see `make`.

    Numbers are drawn between the smallest and the largest, on a logarithmic scale if the values are
    spaced geometrically; from whole numbers, whole numbers. Of seeds, and of values of other types,
    one is chosen.
    """

    values: dict[str, tuple[Any, ...]]
    kind: str
    points: int
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points."""
        return (self.points,)

    def assignments(self) -> list[Assignment]:
        """Return all points, in the order in which they were drawn."""
        drawn = self._unit_cube()
        columns = []
        for (key, values), unit in zip(self.values.items(), drawn.T, strict=True):
            columns.append(_from_unit_interval(values, unit, is_whole_range(key, values)))
        points = zip(*columns, strict=True)
        return [dict(zip(self.values, point, strict=True)) for point in points]

    def _unit_cube(self) -> Array:
        """Draw points in the unit cube, (points, parameters)."""
        from scipy.stats import qmc

        rng = np.random.default_rng(self.seed)
        dimensions = len(self.values)
        if self.kind == RANDOM:
            return rng.random((self.points, dimensions))
        if self.kind == LHS:
            cube = qmc.LatinHypercube(dimensions, rng=rng)
            return np.asarray(cube.random(self.points))
        # a Sobol sequence is balanced in powers of two
        power = 1 << max(self.points - 1, 1).bit_length()
        sequence = qmc.Sobol(dimensions, rng=rng).random(power)
        return np.asarray(sequence)[: self.points]


@dataclass(frozen=True)
class Refined:
    """A grid whose cells are halved, round after round, where outcomes differ between corners.

    A cell is a box between neighbouring values of the parameters that are floats. Other parameters
    keep their values.
    """

    values: dict[str, tuple[Any, ...]]
    rounds: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each parameter in the first round."""
        return self.grid().shape

    def grid(self) -> Grid:
        """Return the grid of the first round."""
        return Grid(self.values)

    def next_round(
        self, done: Sequence[Assignment], outcomes: Sequence[Any], level: int
    ) -> list[Assignment]:
        """Return the points that round `level` (1, 2, ...) adds.

        Parameters
        ----------
        done : sequence of assignments
            All points so far.
        outcomes : sequence
            The outcome of each of them: a cell is halved if the outcomes at its corners differ.
        level : int
            Number of the round.
        """
        known = dict(zip(map(self._place, done), outcomes, strict=True))
        added: dict[Place, None] = {}  # a set that keeps the order
        for corners in self._cells(level - 1):
            ends = [known[corner] for corner in corners if corner in known]
            if len(ends) < len(corners) or len(set(ends)) == 1:
                continue
            for place in _halved(corners):
                if place not in known:
                    added[place] = None
        return [self._assignment(place) for place in added]

    def can_be_halved(self) -> list[bool]:
        """Return for each parameter whether there are points between its values."""
        return [is_range(values) for values in self.values.values()]

    def _place(self, assignment: Assignment) -> Place:
        """Return the place of a point, rounded to a multiple of 2^-rounds, so that it is exact."""
        place = []
        parts = 2**self.rounds
        for name, values in self.values.items():
            position = _position(values, assignment[name])
            place.append(round(position * parts) / parts)
        return tuple(place)

    def _assignment(self, place: Place) -> Assignment:
        """Return the values at a place."""
        found: Assignment = {}
        for (name, values), position in zip(self.values.items(), place, strict=True):
            found[name] = _at_position(values, position)
        return found

    def _cells(self, level: int) -> list[list[Place]]:
        """Return the corners of every cell of a level, whose sides are 1/2^level."""
        side = 0.5**level
        axes: list[list[tuple[float, ...]]] = []
        for values, halvable in zip(self.values.values(), self.can_be_halved(), strict=True):
            if halvable:
                count = (len(values) - 1) << level
                places = [i * side for i in range(count + 1)]
                axes.append(list(pairwise(places)))
            else:
                axes.append([(float(i),) for i in range(len(values))])
        return [list(product(*cell)) for cell in product(*axes)]


def _halved(corners: Sequence[Place]) -> list[Place]:
    """Return the corners of the cells into which a cell is halved along every axis."""
    axes = []
    for positions in zip(*corners, strict=True):
        low = min(positions)
        high = max(positions)
        axes.append(sorted({low, (low + high) / 2, high}))
    return list(product(*axes))


def is_range(values: Sequence[Any]) -> bool:
    """Return whether values span a range of floats: at least two values, all of them floats."""
    return len(values) > 1 and all(isinstance(value, float) for value in values)


def is_whole_range(key: str, values: Sequence[Any]) -> bool:
    """Return whether values span a range of whole numbers; seeds do not, being repeats."""
    whole_numbers = all(type(value) is int for value in values)
    return len(values) > 1 and whole_numbers and key.rpartition(".")[2] != "seed"


Design = Grid | Drawn | Refined


def make(
    kind: str, parameters: Mapping[str, Any], *, points: int | None, rounds: int, seed: int
) -> Design:
    """Return a design by name.

    Parameters
    ----------
    kind : "grid", "random", "lhs", "sobol" or "refine"
        Latin hypercube and Sobol sequence are SciPy's (scipy.stats.qmc).
    parameters : {dotted key: values}
        A single value counts as a list of one.
    points : int, optional
        Number of points; required by the designs that draw them, refused by the others.
    rounds : int
        Number of rounds in which "refine" halves cells.
    seed : int
        Seed of a design that draws its points.

    Raises
    ------
    ModelError
        An unknown design, more than `MOST_POINTS`, no parameter, a parameter without values or with
        a repeated value, or an option that does not belong to the design.

    Examples
    --------
    >>> design = make("grid", {"flow.rho": [0.5, 1.0]}, points=None, rounds=0, seed=0)
    >>> design.assignments()
    [{'flow.rho': 0.5}, {'flow.rho': 1.0}]
    """
    if kind not in DESIGNS:
        raise unknown("design", kind, DESIGNS)
    values = {key: _plain_values(key, given) for key, given in parameters.items()}
    if not values:
        raise ModelError(
            f"parameters = {shown(parameters)}: no parameter to sweep over; "
            "try {'flow.rho': [0.5, 1, 2]} or --grid flow.rho=0.5:2:4"
        )
    if kind in DRAWS:
        drawn = whole(f"points of design {kind!r}", points, 1)
        _check_points(f"points of design {kind!r}", drawn)
        return Drawn(values, kind, drawn, seed)
    if points is not None:
        raise ModelError(
            f"points = {points} with design {kind!r}, whose points are all combinations; try 'lhs'"
        )
    _check_points("points of the grid", math.prod(map(len, values.values())))
    if kind == GRID:
        return Grid(values)
    return _refined(values, rounds)


def _check_points(name: str, points: int) -> None:
    """Refuse more points than a sweep can have, before they are listed."""
    if points > MOST_POINTS:
        raise out_of_range(name, points, f"at most {MOST_POINTS}", "fewer values")


def _refined(values: dict[str, tuple[Any, ...]], rounds: Any) -> Refined:
    rounds = whole("rounds", rounds, 1)
    if rounds > MOST_ROUNDS:
        raise out_of_range("rounds", rounds, f"at most {MOST_ROUNDS}", "3")
    ordered = dict(values)
    for key, own in values.items():
        if _numeric(own):
            ordered[key] = tuple(sorted(own))
    design = Refined(ordered, rounds)
    if not any(design.can_be_halved()):
        raise ModelError(
            f"design 'refine' needs a parameter with at least two values, all floats; "
            f"none of {', '.join(values)} is one; try flow.rho=0.5:4:8"
        )
    return design


def _plain_values(key: str, given: Any) -> tuple[Any, ...]:
    """Return the values of one parameter as plain Python objects, each once."""
    single = isinstance(given, str | bytes | int | float | np.generic)
    if single or not hasattr(given, "__iter__"):
        given = [given]
    plain = tuple(_plain(value) for value in given)
    if not plain:
        raise ModelError(
            f"{key} has no values: {shown(given)}; allowed: one or more, e.g. [0.5, 1, 2]"
        )
    if _numeric(plain) and any(isinstance(value, float) for value in plain):
        plain = tuple(float(value) for value in plain)
    if len({label(value) for value in plain}) < len(plain):
        raise ModelError(f"{key} = {shown(list(plain))} has a value twice; allowed: each once")
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value


def _numeric(values: Sequence[Any]) -> bool:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
    return True


def label(value: Any) -> Any:
    """Return a value as a coordinate: numbers and text unchanged, a list of layers as "2-4-1"."""
    if isinstance(value, list | tuple):
        return "-".join(str(label(v)) for v in value)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return value
    return str(value)


def geometric(values: Sequence[Any]) -> bool:
    """Return whether numbers are spaced by a constant ratio, and not by a constant step."""
    if len(values) < 3 or not _numeric(values) or min(values) <= 0:
        return False
    steps = np.diff(values)
    ratios = np.diff(np.log(values))
    return _even(ratios) and not _even(steps)


def _even(differences: Array) -> bool:
    """Return whether differences are equal to within rounding."""
    return bool(np.ptp(differences) <= EVEN * np.abs(differences).max())


def scale_of(values: Sequence[Any]) -> str:
    """Return the scale on which the values of a parameter are spaced, "log" or "linear"."""
    if geometric(values):
        return LOG
    return LINEAR


def _scaled(values: Sequence[Any], some: Any) -> Array:
    """Return numbers on the scale of a parameter's values."""
    if geometric(values):
        return np.asarray(np.log(some))
    return np.asarray(some)


def _position(values: Sequence[Any], value: Any) -> float:
    """Return the position of a value on an axis on which the given values are 0, 1, 2, ..."""
    if value in values:
        return float(values.index(value))
    known = _scaled(values, np.array(values))
    positions = np.arange(len(values))
    return float(np.interp(_scaled(values, value), known, positions))


def _at_position(values: Sequence[Any], position: float) -> Any:
    """Return the value at a position: one of the given ones, or one between two neighbours."""
    i = int(position)
    share = position - int(position)
    if share == 0:
        return values[i]
    low = values[i]
    high = values[i + 1]
    if geometric(values):
        return float(low * (high / low) ** share)
    return float(low + share * (high - low))


def _from_unit_interval(values: tuple[Any, ...], unit: Array, whole_range: bool) -> list[Any]:
    """Map draws from [0, 1) to values of one parameter."""
    if whole_range:
        low = min(values)
        above = max(values) + 1  # every whole number has an interval of length 1
        if geometric(values):
            return [int(v) for v in low * (above / low) ** unit]
        return [int(v) for v in low + (above - low) * unit]
    if is_range(values):
        low = min(values)
        high = max(values)
        if geometric(values):
            return [float(v) for v in low * (high / low) ** unit]
        return [float(v) for v in low + (high - low) * unit]
    return [values[int(u * len(values))] for u in unit]


def parse(text: str) -> tuple[str, list[Any]]:
    """Return key and values of a parameter that is written as on the command line.

    Values are separated by commas and written as in TOML; anything else is text. A range has whole
    values if its limits are written as such and all values are whole: ``network.depth=2:20:19``.

    Parameters
    ----------
    text : str
        ``flow.rho=0.5:4:8`` (8 values from 0.5 to 4), ``flow.rho=0.5:8:5:log`` (spaced by a
        constant ratio), or ``flow.gamma=0,0.5,1``.

    Raises
    ------
    ModelError
        Text that does not have one of these forms.

    Examples
    --------
    >>> parse("flow.rho=1:8:4:log")
    ('flow.rho', [1, 2, 4, 8])
    >>> parse("network.activation=tanh,relu")
    ('network.activation', ['tanh', 'relu'])
    """
    key, equals, values = text.partition("=")
    parts = values.split(":")
    if not equals or not key.strip() or not values.strip():
        raise ModelError(
            f"--grid {shown(text)}; allowed: KEY=FIRST:LAST:COUNT[:log] or KEY=VALUE,VALUE,..."
        )
    if len(parts) in (3, 4) and '"' not in values:
        return key.strip(), _spaced(text, parts)
    try:
        found = tomllib.loads(f"values = [{values}]")["values"]
    except ValueError:
        found = [_toml_or_text(v) for v in values.split(",")]
    return key.strip(), list(found)


def _spaced(text: str, parts: Sequence[str]) -> list[Any]:
    """Return the values of FIRST:LAST:COUNT[:log]."""
    try:
        first = float(parts[0])
        last = float(parts[1])
        count = int(parts[2])
    except ValueError:
        raise ModelError(
            f"--grid {shown(text)}; allowed: numbers in FIRST:LAST:COUNT, e.g. flow.rho=0.5:4:8"
        ) from None
    logarithmic = parts[3:] == [LOG]
    known_scale = logarithmic or not parts[3:]
    if count < 1 or not known_scale or (logarithmic and not first > 0 < last):
        raise ModelError(
            f"--grid {shown(text)}; allowed: COUNT >= 1, and :log for values > 0, "
            "e.g. flow.rho=0.5:8:5:log"
        )
    _check_points(f"COUNT of --grid {text[:80]!r}", count)
    if not (math.isfinite(first) and math.isfinite(last)):
        raise ModelError(f"--grid {text[:80]!r}; allowed: finite numbers, e.g. flow.rho=0.5:4:8")
    values = np.linspace(first, last, count)
    if logarithmic:
        values = np.geomspace(first, last, count)
    limits_are_whole = _is_whole(parts[0]) and _is_whole(parts[1])
    if limits_are_whole and (values == np.round(values)).all():
        return [int(v) for v in values]
    return [float(v) for v in values]


def _is_whole(number: str) -> bool:
    """Return whether a number is written without a point or an exponent."""
    return not set(".eE") & set(number)


def _toml_or_text(value: str) -> Any:
    try:
        return tomllib.loads(f"value = {value.strip()}")["value"]
    except ValueError:
        return value.strip()
