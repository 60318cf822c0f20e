"""Sobol indices of a measure of a sweep: which parameters matter. Start at `sensitivity`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.legends import add_legend
from neurosim.plot.names import shortened_all
from neurosim.plot.page import (
    PALETTE,
    Size,
    figure_of,
    given_axes,
    room_at_left,
    styled,
    tick_font,
)
from neurosim.plot.sweep_axes import (
    POINT,
    WIDTHS,
    checked_width,
    chosen_measure,
    is_logarithmic,
    is_numeric,
    is_seed,
    parameters,
    symbol_of,
    to_unit_range,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray
Function = Callable[[Array], Array]  # (parameters, n) in the unit cube -> (n,)

MOST_LABEL = 0.5  # of the width of axes before they are laid out
DRAWS = 512  # per parameter
LEAST_KNOWN = 10  # smallest number of points with a value; half of all are needed too
MOST_RADIAL = 2000  # points, from which on the value of the nearest one is taken


@styled
def sensitivity(
    data: xr.Dataset,
    measure: str | None = None,
    *,
    width: float = WIDTHS[1],
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the Sobol indices of a measure, first-order and total.

    Every numeric parameter counts as uniformly distributed over its range, on a logarithmic scale
    if its values are spaced geometrically. The measure is averaged over the other parameters and
    over repeats.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    measure : str, optional
        By default the settling time, or else the first measure.
    width : float
        Width of the figure, inches.
    figsize : (float, float), optional
        Width and height of the figure instead, inches.
    ax : Axes, optional
        By default those of a new figure.

    Raises
    ------
    DataError
        Fewer than two numeric parameters, or a measure that is missing at most points.
    ModelError
        The sweep has no such measure.
    """
    measure = chosen_measure(data, measure)
    width = checked_width(width)
    names, first, total = sobol(data, measure)
    height = 1.1 + 0.36 * len(names)
    ax = given_axes(ax, figsize, (width, height))
    rows = np.arange(len(names))
    ax.barh(rows - 0.18, first, height=0.34, color=PALETTE[0], label="alone")
    ax.barh(rows + 0.18, total, height=0.34, color=PALETTE[4], label="with interactions")
    room = room_at_left(ax, MOST_LABEL, label=False)
    labels = shortened_all([symbol_of(name) for name in names], room, tick_font(ax.yaxis))
    ax.set_yticks(rows, labels)
    ax.invert_yaxis()
    ax.set_xlabel(f"variance of {symbol_of(measure)} (share)")
    ax.set_xlim(min(0, first.min()), None)
    add_legend(ax)
    return figure_of(ax)


def sobol(data: xr.Dataset, measure: str, seed: int = 0) -> tuple[list[str], Array, Array]:
    """Return the numeric parameters, and the first-order and total Sobol index of each.

    The indices are those of the interpolated measure, by `scipy.stats.sobol_indices`.

    Raises
    ------
    DataError
        Fewer than two numeric parameters, or a measure that is missing at most points.
    """
    from scipy.stats import sobol_indices, uniform

    names = [n for n in parameters(data) if is_numeric(data[n]) and not is_seed(n)]
    if len(names) < 2:
        raise DataError(
            f"numeric parameters of the sweep = {names}; allowed: two or more for a sensitivity; "
            "try kind='lines'"
        )
    found = sobol_indices(
        func=_interpolated(data, measure, names),
        n=DRAWS,
        dists=[uniform(0, 1)] * len(names),
        rng=np.random.default_rng(seed),
    )
    return names, np.ravel(found.first_order), np.ravel(found.total_order)


def _interpolated(data: xr.Dataset, measure: str, names: Sequence[str]) -> Function:
    """Return a measure as a function of parameters in the unit cube."""
    axes = []
    for name in names:
        values = data[name].values.astype(float)
        axes.append(to_unit_range(values, is_logarithmic(data[name])))
    if POINT in data.dims:
        return _through_points(np.array(axes).T, data[measure].values, measure)
    others = [d for d in data[measure].dims if d not in names]
    mean = data[measure].mean(others).transpose(*names).values
    if np.isfinite(mean).all() and all(_is_rising(axis) for axis in axes):
        return _over_grid(axes, mean)
    corners = np.array(list(product(*axes)))
    return _through_points(corners, np.ravel(mean), measure)


def _is_rising(axis: Array) -> bool:
    return bool((np.diff(axis) > 0).all())


def _over_grid(axes: Sequence[Array], values: Array) -> Function:
    """Interpolate linearly in the cells of a grid without gaps."""
    from scipy.interpolate import RegularGridInterpolator

    grid = RegularGridInterpolator(axes, values)
    return lambda unit: np.asarray(grid(np.clip(unit, 0, 1).T))


def _through_points(places: Array, values: Array, measure: str) -> Function:
    """Interpolate between scattered points, (points, parameters); repeats at a place are averaged.

    Raises
    ------
    DataError
        The measure is missing at most points.
    """
    from scipy.interpolate import NearestNDInterpolator, RBFInterpolator

    places, groups = np.unique(places, axis=0, return_inverse=True)
    groups = groups.ravel()
    values = np.bincount(groups, weights=values) / np.bincount(groups)
    known = np.isfinite(values)
    if known.sum() < max(LEAST_KNOWN, 0.5 * known.size):
        raise DataError(
            f"{measure} is a number at {known.sum()} of {known.size} points; allowed for a "
            f"sensitivity: at least half of them, and {LEAST_KNOWN}; try another measure"
        )
    if known.sum() < MOST_RADIAL:
        radial = RBFInterpolator(places[known], values[known], kernel="linear")
        return lambda unit: np.asarray(radial(unit.T))
    nearest = NearestNDInterpolator(places[known], values[known])
    return lambda unit: np.asarray(nearest(unit.T))
