"""Pictures of sweeps: which points settle, ring or diverge, and any measure over parameters.

Every function takes the dataset of a sweep. Start at `sweep`, which chooses a picture; what the
pictures share is in `sweep_axes`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.plot.canvas import evenly_spread, finite_or_nan, new_figure, styled
from neurosim.plot.drawing import palette_color
from neurosim.plot.sensitivity import sensitivity, sobol
from neurosim.plot.sweep_axes import (
    MOST_PANELS,
    OUTCOMES,
    POINT,
    WIDTHS,
    add_labels,
    add_outcome_legend,
    checked_width,
    chosen_axes,
    chosen_measure,
    draw_cells,
    field_over,
    first_parameter,
    is_geometric,
    is_logarithmic,
    is_numeric,
    is_seed,
    known_parameter,
    label_of,
    make_panels,
    outcomes_in,
    parameters,
    reduce_to_plane,
    split,
    to_unit_range,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "KINDS",
    "choose",
    "heat_map",
    "lines",
    "parallel_coordinates",
    "parameters",
    "phase_diagram",
    "sensitivity",
    "sobol",
    "sweep",
]

Array = np.ndarray

MOST_LINES = 400  # of parallel coordinates
MISSING = 1.12  # height at which parallel coordinates draw a measure that is not a number
WIDE = 30  # ratio of the largest to the smallest value from which colours are logarithmic


@styled
def sweep(data: xr.Dataset, kind: str | None = None, *, columns: int = 2, **options: Any) -> Figure:
    """Draw a sweep as the kind of picture that suits it, or as the given kind.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    kind : {"phase_diagram", "heat_map", "lines", "parallel_coordinates", "sensitivity"}, optional
        By default the one that `choose` returns.
    columns : {1, 2}
        Width of the figure in columns of a page: 3.5 or 7.2 inches.
    **options
        `x`, `y`, `panel` and `measure`, for the kinds that take them.

    Raises
    ------
    ModelError
        An unknown kind, option, parameter or measure, or another number of columns.
    DataError
        Too few parameters or numbers for the kind.
    """
    if kind is None:
        kind = choose(data, options.get("measure"))
    if kind not in KINDS:
        raise unknown("kind of picture", kind, KINDS)
    if columns not in WIDTHS:
        raise unknown("columns", columns, [str(c) for c in WIDTHS])
    allowed = [n for n in signature(KINDS[kind]).parameters if n not in ("data", "width")]
    for name in sorted(options):
        if name not in allowed:
            raise unknown(f"option of {kind}", name, allowed)
    figure: Figure = KINDS[kind](data, width=WIDTHS[columns], **options)
    return figure


def choose(data: xr.Dataset, measure: str | None = None) -> str:
    """Return the kind of picture that suits a sweep, by the number of parameters that vary.

    A measure that is asked for is drawn over one parameter as lines. Where none is asked for, and
    the one that lines would draw has no number, the picture shows the outcomes.
    """
    varied = len(parameters(data))
    if POINT in data.dims and varied != 2:
        return "parallel_coordinates"
    if varied > 1:
        return "phase_diagram"
    values = finite_or_nan(data[chosen_measure(data, measure)].values)
    if measure is None and np.isnan(values).all():
        return "parallel_coordinates"
    return "lines"


@styled
def phase_diagram(
    data: xr.Dataset,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    *,
    width: float = WIDTHS[2],
) -> Figure:
    """Draw the outcome over two parameters, with one panel per value of a third.

    Where several points share a cell, such as repeats, the most frequent outcome is drawn. If
    `growth` was measured, a line marks its zero: the boundary that the spectrum predicts.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    x, y, panel : str, optional
        Parameters; by default those with the most values.
    width : float
        Width of the figure, inches.

    Raises
    ------
    DataError
        Fewer than two parameters vary.
    ModelError
        The sweep has no such parameter.
    """
    x, y, panel = chosen_axes(data, x, y, panel)
    shown = outcomes_in(data)
    figure, axes, parts = make_panels(data, panel, width)
    boundaries = 0
    for ax, part in zip(axes, parts, strict=True):
        if POINT in part.dims:
            _scatter_outcomes(ax, part, x, y, shown)
        else:
            _draw_outcomes(ax, part, x, y)
            if "growth" in part:
                boundaries += _draw_boundary(ax, part, x, y)
        add_labels(ax, data, x, y)
    add_outcome_legend(figure, shown, boundary=boundaries > 0)
    return figure


def _scatter_outcomes(ax: Axes, part: xr.Dataset, x: str, y: str, shown: Sequence[str]) -> None:
    """Draw one mark per point, in the colour of its outcome."""
    marks: Any = {"s": 14, "edgecolors": "0.3", "linewidths": 0.3}
    for outcome in shown:
        points = part.isel(point=np.flatnonzero((part["outcome"] == outcome).values))
        ax.scatter(points[x], points[y], color=OUTCOMES[outcome], **marks)


def _draw_outcomes(ax: Axes, part: xr.Dataset, x: str, y: str) -> None:
    """Draw the most frequent outcome of each cell of a grid."""
    from matplotlib.colors import ListedColormap

    outcomes = part["outcome"]
    codes = outcomes.copy(data=_outcome_codes(outcomes.values))
    colors = ListedColormap(list(OUTCOMES.values()))
    most = reduce_to_plane(codes, x, y, _most_frequent)
    last = len(OUTCOMES) - 1
    draw_cells(ax, part, x, y, most, cmap=colors, vmin=-0.5, vmax=last + 0.5)


def _outcome_codes(outcomes: Array) -> Array:
    """Return the index of each outcome in `OUTCOMES`, and -1 for a point that is not done."""
    codes = np.full(outcomes.shape, -1)
    for code, outcome in enumerate(OUTCOMES):
        codes[outcomes == outcome] = code
    return codes


def _most_frequent(codes: Array) -> Array:
    """Return the most frequent outcome over the last dimension; NaN where no point is done."""
    counts = [(codes == code).sum(axis=-1) for code in range(len(OUTCOMES))]
    most = np.argmax(counts, axis=0)
    return np.where(np.any(counts, axis=0), most, np.nan)


def _draw_boundary(ax: Axes, part: xr.Dataset, x: str, y: str) -> bool:
    """Draw where the predicted growth is zero; return whether it is so anywhere."""
    growth = field_over(part, "growth", x, y)
    if not (is_numeric(part[x]) and is_numeric(part[y])) or min(growth.shape) < 2:
        return False
    finite = growth[np.isfinite(growth)]
    if finite.size == 0 or not finite.min() < 0 < finite.max():
        return False
    # Interpolation would shift the zero away from large growth rates, so sizes are compressed.
    size = np.abs(growth)
    squashed = np.sign(growth) * np.log1p(size / np.nanmedian(size))
    ax.contour(
        part[x].values, part[y].values, squashed, levels=[0.0], colors="black", linewidths=1.6
    )
    return True


@styled
def heat_map(
    data: xr.Dataset,
    measure: str | None = None,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    *,
    width: float = WIDTHS[2],
) -> Figure:
    """Draw a measure over two parameters, with one panel per value of a third.

    Where several points share a cell, such as repeats, their median is drawn. Cells without a
    number are grey.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    measure : str, optional
        By default the settling time, or else the first measure.
    x, y, panel : str, optional
        Parameters; by default those with the most values.
    width : float
        Width of the figure, inches.

    Raises
    ------
    DataError
        Fewer than two parameters vary, or the measure has no number.
    ModelError
        The sweep has no such parameter or measure.
    """
    x, y, panel = chosen_axes(data, x, y, panel)
    measure = chosen_measure(data, measure)
    figure, axes, parts = make_panels(data, panel, width)
    fields = [field_over(part, measure, x, y) for part in parts]
    shades: Any = {"cmap": "viridis", "norm": _color_norm(fields, measure)}
    drawn: Any = None
    for ax, part, values in zip(axes, parts, fields, strict=True):
        if POINT in part.dims:
            drawn = ax.scatter(part[x], part[y], c=values, s=16, **shades)
        else:
            drawn = draw_cells(ax, part, x, y, values, **shades)
        ax.set_facecolor("0.9")
        add_labels(ax, data, x, y)
    figure.colorbar(drawn, ax=list(axes), label=label_of(data, measure), aspect=30, pad=0.02)
    return figure


def _color_norm(fields: Sequence[Array], measure: str) -> Any:
    """Return the colour scale of all panels, logarithmic over a wide range of positive values.

    Raises
    ------
    DataError
        No value is a number.
    """
    from matplotlib.colors import LogNorm, Normalize

    finite = _finite(np.concatenate([np.ravel(field) for field in fields]), measure)
    low, high = finite.min(), finite.max()
    if low > 0 and high > WIDE * low:
        return LogNorm(low, high)
    return Normalize(low, high)


def _finite(values: Array, measure: str) -> Array:
    """Return the values that are numbers.

    Raises
    ------
    DataError
        There are none.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise DataError(
            f"{measure} has no number at any of {values.size} points; allowed: one or more; "
            "try another --measure, or kind='parallel_coordinates', which draws outcomes"
        )
    return np.asarray(finite)


@styled
def lines(
    data: xr.Dataset, measure: str | None = None, x: str | None = None, *, width: float = WIDTHS[1]
) -> Figure:
    """Draw a measure over one parameter, with one colour per value of a second.

    Lines are medians over all other parameters. If only seeds are among these, a band shows the
    range over the repeats. At most `sweep_axes.MOST_PANELS` values of the second are drawn.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    measure : str, optional
        By default the settling time, or else the first measure.
    x : str, optional
        Parameter; by default the one with the most values.
    width : float
        Width of the figure, inches.

    Raises
    ------
    DataError
        The measure has no number, the sweep has no parameter, or a value on a logarithmic scale is
        not above 0.
    ModelError
        The sweep has no such parameter or measure.
    """
    measure = chosen_measure(data, measure)
    _finite(data[measure].values, measure)
    width = checked_width(width)
    varied = parameters(data)
    x = known_parameter(data, x or first_parameter(data))
    figure = new_figure(width, 0.72 * width)
    ax = figure.subplots()
    other = None
    for name in varied:
        if name != x and not is_seed(name) and name in data.dims:
            other = name
            break
    series = split(data, other)
    for i, place in enumerate(evenly_spread(len(series), MOST_PANELS, rounded=False)):
        label, part = series[place]
        _draw_line(ax, part, measure, x, color=palette_color(i), label=label)
    if is_logarithmic(data[x]):
        ax.set_xscale("log")
    ax.set(xlabel=label_of(data, x), ylabel=label_of(data, measure))
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize=7)
    return figure


def _draw_line(ax: Axes, part: xr.Dataset, measure: str, x: str, *, color: str, label: str) -> None:
    """Draw the median of a measure over x, and its range if only repeats are left."""
    ordered = part.sortby(x)
    values = ordered[measure]
    rest = [str(d) for d in values.dims if d not in (x, POINT)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # raised where all values are NaN
        low, middle, high = (values.quantile(share, rest).values for share in (0.0, 0.5, 1.0))
    ax.plot(ordered[x], middle, marker="o", markersize=3, color=color, label=label)
    varied = [d for d in rest if values.sizes[d] > 1]
    if varied and all(is_seed(d) for d in varied):
        repeats = prod(values.sizes[d] for d in varied)
        known = ax.get_legend_handles_labels()[1]
        band = f"range of {repeats} repeats"
        style: Any = {"color": color, "alpha": 0.2, "linewidth": 0}
        ax.fill_between(ordered[x], low, high, label="_" if band in known else band, **style)


@styled
def parallel_coordinates(
    data: xr.Dataset, measure: str | None = None, *, width: float = WIDTHS[2]
) -> Figure:
    """Draw one line per point through all parameters to the measure, in the colour of its outcome.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    measure : str, optional
        By default the settling time, or else the first measure.
    width : float
        Width of the figure, inches.

    Raises
    ------
    ModelError
        The sweep has no such measure.
    """
    from matplotlib.collections import LineCollection

    measure = chosen_measure(data, measure)
    varied = parameters(data) or [first_parameter(data)]
    width = checked_width(width)
    names = [name for name in varied if is_numeric(data[name])]
    flat = data
    if POINT not in data.dims:
        flat = data.stack(point=list(data.dims))
    flat = flat.isel(point=evenly_spread(flat.sizes[POINT], MOST_LINES, rounded=False))
    figure = new_figure(width, 0.42 * width)
    ax = figure.subplots()
    columns = [flat[name].values.astype(float) for name in (*names, measure)]
    logarithmic = [is_logarithmic(data[name]) for name in names]
    logarithmic.append(is_geometric(columns[-1]))
    scaled = [to_unit_range(*pair) for pair in zip(columns, logarithmic, strict=True)]
    missing = np.isnan(scaled[-1])
    scaled[-1][missing] = MISSING
    heights = np.array(scaled).T  # (points, axes)
    shown = outcomes_in(flat)
    places = np.arange(len(columns))
    for outcome in reversed(shown):
        own = heights[(flat["outcome"] == outcome).values]
        segments = [np.column_stack([places, row]) for row in own]
        color = OUTCOMES[outcome]
        ax.add_collection(LineCollection(segments, colors=color, linewidths=0.8, alpha=0.55))
    for place, name in enumerate([*names, measure]):
        _draw_parallel_axis(ax, place, label_of(data, name), columns[place])
    if np.isnan(columns[-1]).any():
        ax.annotate("none", (len(names) + 0.04, MISSING), va="center", fontsize=7)
    ax.set(xlim=(-0.3, len(columns) - 0.5), ylim=(-0.22, 1.18))
    ax.axis("off")
    add_outcome_legend(figure, shown)
    return figure


def _draw_parallel_axis(ax: Axes, place: int, name: str, column: Array) -> None:
    """Draw one upright axis, with its name and the limits of its values."""
    ax.plot([place, place], [0, 1], color="0.3", linewidth=0.8)
    finite = column[np.isfinite(column)]
    if finite.size:
        low, high = finite.min(), finite.max()
        ax.annotate(f"{low:.3g}", (place, -0.03), ha="center", va="top", fontsize=7)
        ax.annotate(f"{high:.3g}", (place, 1.03), ha="center", va="bottom", fontsize=7)
    ax.annotate(name, (place, -0.14), ha="center", va="top", fontsize=8, annotation_clip=False)


KINDS: dict[str, Callable[..., Any]] = {
    "phase_diagram": phase_diagram,
    "heat_map": heat_map,
    "lines": lines,
    "parallel_coordinates": parallel_coordinates,
    "sensitivity": sensitivity,
}
