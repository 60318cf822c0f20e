"""Pictures of sweeps: which points settle, ring or diverge, and any measure over two parameters.

Every function takes the dataset of a sweep. Start at `sweep`, which chooses a picture; what the
pictures share is in `sweep_axes`. `sweep_lines` has those over one parameter, or over many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.plot.canvas import finite_or_nan, plain_ticks, text_color
from neurosim.plot.outcomes import OUTCOMES, add_outcome_legend, outcomes_in
from neurosim.plot.page import (
    Size,
    small_font,
    styled,
)
from neurosim.plot.sensitivity import sensitivity, sobol
from neurosim.plot.sweep_axes import (
    POINT,
    WIDTHS,
    add_labels,
    chosen_axes,
    chosen_measure,
    draw_cells,
    field_over,
    is_numeric,
    is_seed,
    label_of,
    make_panels,
    parameters,
    reduce_to_plane,
    repeats_note,
    shown_value,
)
from neurosim.plot.sweep_lines import lines, parallel_coordinates

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

FEW_CELLS = 30  # of which each has its value written in it
LEAST_POINTS = 6  # through which a boundary is drawn
BLANK = "#D9D9D9"  # a cell or point without a number
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

    A measure that is asked for is drawn over one parameter as lines, over two or more as a heat
    map. Where none is asked for, the picture shows the outcomes, unless all are the same and the
    measure has numbers.
    """
    varied = [name for name in parameters(data) if not is_seed(name)] or parameters(data)
    values = finite_or_nan(data[chosen_measure(data, measure)].values)
    has_numbers = not np.isnan(values).all()
    if POINT in data.dims and len(varied) != 2:
        return "parallel_coordinates"
    if len(varied) > 1:
        differ = len(outcomes_in(data)) > 1
        return "phase_diagram" if not has_numbers or (differ and measure is None) else "heat_map"
    return "lines" if has_numbers or measure is not None else "parallel_coordinates"


@styled
def phase_diagram(
    data: xr.Dataset,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    *,
    width: float = WIDTHS[2],
    figsize: Size | None = None,
) -> Figure:
    """Draw the outcome over two parameters, with one panel per value of a third.

    Where several points share a cell, such as repeats, the most frequent outcome is drawn. Cells
    whose points are not done are blank. If `growth` was measured, a line marks its zero: the
    boundary that the spectrum predicts. For points that were drawn or refined without it, the line
    is estimated between those that settled and the others.

    Parameters
    ----------
    data : xarray.Dataset
        Result of `neurosim.sweep`.
    x, y, panel : str, optional
        Parameters; by default those with the most values.
    width : float
        Width of the figure, inches.
    figsize : (float, float), optional
        Width and height of the figure instead, inches.

    Raises
    ------
    DataError
        Fewer than two parameters vary.
    ModelError
        The sweep has no such parameter.
    """
    x, y, panel = chosen_axes(data, x, y, panel)
    shown = outcomes_in(data)
    figure, axes, parts = make_panels(data, panel, width, figsize)
    boundary = "predicted boundary" if "growth" in data else "estimated boundary"
    boundaries = 0
    for ax, part in zip(axes, parts, strict=True):
        if POINT in part.dims:
            _scatter_outcomes(ax, part, x, y, shown)
            boundaries += draw_boundary_of_points(ax, part, x, y)
        else:
            _draw_outcomes(ax, part, x, y)
            if "growth" in part:
                boundaries += _draw_boundary(ax, part, x, y)
        add_labels(ax, data, x, y)
    kept = [x, y] if panel is None else [x, y, panel]
    note = repeats_note(data["outcome"], kept, "most frequent outcome")
    add_outcome_legend(figure, shown, boundary if boundaries else "", note)
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


def draw_boundary_of_points(ax: Axes, part: xr.Dataset, x: str, y: str) -> bool:
    """Draw the boundary between drawn points; return whether there is one.

    It is where the predicted growth is zero, if that was measured, or else half way between points
    that settled and others.
    """
    if not (is_numeric(part[x]) and is_numeric(part[y])):
        return False
    if "growth" in part:
        level = part["growth"].values.astype(float)
    else:
        level = np.where(part["outcome"].values == "settled", -1.0, 1.0)
    known = np.isfinite(level)
    level = level[known]
    if level.size < LEAST_POINTS or not level.min() < 0 < level.max():
        return False
    places = np.column_stack([part[x].values[known], part[y].values[known]]).astype(float)
    places, first = np.unique(places, axis=0, return_index=True)
    level = level[first]
    if min(len(np.unique(places[:, 0])), len(np.unique(places[:, 1]))) < 2:
        return False
    size = np.abs(level)
    squashed = np.sign(level) * np.log1p(size / np.median(size))
    look: Any = {"levels": [0.0], "colors": "black", "linewidths": 1.6}
    limits = ax.get_xlim(), ax.get_ylim()  # a contour leaves no room around the points
    ax.tricontour(places[:, 0], places[:, 1], squashed, **look)
    ax.set(xlim=limits[0], ylim=limits[1])
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
    figsize: Size | None = None,
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
    figsize : (float, float), optional
        Width and height of the figure instead, inches.

    Raises
    ------
    DataError
        Fewer than two parameters vary, or the measure has no number.
    ModelError
        The sweep has no such parameter or measure.
    """
    x, y, panel = chosen_axes(data, x, y, panel)
    measure = chosen_measure(data, measure)
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Patch

    figure, axes, parts = make_panels(data, panel, width, figsize)
    fields = [field_over(part, measure, x, y) for part in parts]
    shades: Any = {"cmap": "viridis", "norm": _color_norm(fields, measure)}
    drawn: Any = None
    for ax, part, values in zip(axes, parts, fields, strict=True):
        if POINT in part.dims:
            drawn = ax.scatter(part[x], part[y], c=values, s=16, plotnonfinite=False, **shades)
            _mark_missing(ax, part, x, y, values)
        else:
            drawn = draw_cells(ax, part, x, y, values, **shades)
            ax.set_facecolor(BLANK)
            if values.size <= FEW_CELLS:
                _write_values(ax, part, x, y, values, drawn)
        add_labels(ax, data, x, y)
    kept = [x, y] if panel is None else [x, y, panel]
    note = repeats_note(data[measure], kept, "median")
    label = f"{label_of(data, measure)}\n{note}" if note else label_of(data, measure)
    bar = figure.colorbar(drawn, ax=list(axes), label=label, aspect=30, pad=0.02)
    if isinstance(shades["norm"], LogNorm):
        plain_ticks(bar.ax.yaxis)
    if not all(np.isfinite(values).all() for values in fields):
        blank = Patch(facecolor=BLANK, edgecolor="0.5", linewidth=0.4, label="no number")
        figure.legend(handles=[blank], loc="outside upper right", handlelength=1.4)
    return figure


def _mark_missing(ax: Axes, part: xr.Dataset, x: str, y: str, values: Array) -> None:
    """Mark drawn points without a number."""
    missing = part.isel(point=~np.isfinite(values))
    ax.scatter(missing[x], missing[y], s=16, color=BLANK, edgecolors="0.5", linewidths=0.4)


def _write_values(ax: Axes, part: xr.Dataset, x: str, y: str, values: Array, drawn: Any) -> None:
    """Write the value of each cell into it where cells are few and both parameters are names."""
    if is_numeric(part[x]) or is_numeric(part[y]):
        return
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = text_color(drawn.to_rgba(value))
            text = shown_value(value)
            ax.text(column, row, text, ha="center", va="center", color=color, fontsize=small_font())


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


KINDS: dict[str, Callable[..., Any]] = {
    "phase_diagram": phase_diagram,
    "heat_map": heat_map,
    "lines": lines,
    "parallel_coordinates": parallel_coordinates,
    "sensitivity": sensitivity,
}
