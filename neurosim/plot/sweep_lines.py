"""Pictures of sweeps as lines: a measure over one parameter, or over all at once.

Start at `lines` and `parallel_coordinates`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import evenly_spread, finite_or_nan, plain_ticks
from neurosim.plot.legends import add_legend
from neurosim.plot.names import text_width, wrapped
from neurosim.plot.outcomes import OUTCOMES, outcomes_in
from neurosim.plot.page import (
    Size,
    distinct_color,
    figure_of,
    lay_out,
    line_height,
    shown_axes,
    size_in_points,
    small_font,
    styled,
)
from neurosim.plot.sweep_axes import (
    POINT,
    WIDTHS,
    checked_width,
    chosen_measure,
    first_parameter,
    is_geometric,
    is_logarithmic,
    is_numeric,
    is_seed,
    known_parameter,
    label_of,
    parameters,
    repeats_note,
    split,
    symbol_of,
    tick_values,
    to_unit_range,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

NAME_LINES = 4  # of a parameter below its axis
MOST_CURVES = 12  # values of a second parameter
MOST_LINES = 400  # of parallel coordinates
DODGE = 0.5  # of the distance of two names, over which the marks of lines are spread
MISSING = 1.14  # height at which parallel coordinates draw a measure that is not a number


@styled
def lines(
    data: xr.Dataset,
    measure: str | None = None,
    x: str | None = None,
    *,
    width: float = WIDTHS[1],
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a measure over one parameter, with one colour per value of a second.

    Lines are medians over all other parameters, of the points whose measure is a number; the words
    above the legend say over how many. If only seeds are among these, a band shows the range over
    the repeats. Values of a parameter that are names are not joined. Of a second parameter of more
    than `sweep_lines.MOST_CURVES` values, some are drawn, and the words say which share.

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
    figsize : (float, float), optional
        Width and height of the figure instead, inches.
    ax : Axes, optional
        By default those of a new figure.

    Raises
    ------
    DataError
        The measure has no number, the sweep has no parameter, or a value on a logarithmic scale is
        not above 0.
    ModelError
        The sweep has no such parameter or measure.
    """
    measure = chosen_measure(data, measure)
    finite = np.isfinite(data[measure].values.astype(float))
    if not finite.any():
        raise no_number(measure, finite.size)
    width = checked_width(width)
    x = known_parameter(data, x or first_parameter(data))
    ax = shown_axes(ax, (width, 0.8 * width), figsize)
    other = None
    for name in parameters(data):
        if name != x and not is_seed(name) and name in data.dims:
            other = name
            break
    series = split(data, other)
    drawn = evenly_spread(len(series), MOST_CURVES)
    for i, place in enumerate(drawn):
        label, part = series[place]
        label = label.rpartition(": ")[2]
        aside = DODGE * (i - (len(drawn) - 1) / 2) / len(drawn)
        color = distinct_color(i, len(drawn))
        _draw_line(ax, part, measure, x, color=color, label=label, aside=aside)
    _scale_x(ax, data[x])
    ax.set(xlabel=label_of(data, x), ylabel=label_of(data, measure))
    add_legend(ax, title=_said(data, measure, x, other, len(drawn)))
    return figure_of(ax)


def no_number(measure: str, points: int) -> DataError:
    """Return the error of a measure without any number."""
    return DataError(
        f"{measure} has no number at any of {points} points; allowed: one or more; "
        "try another --measure, or kind='parallel_coordinates', which draws outcomes"
    )


def _said(data: xr.Dataset, measure: str, x: str, other: str | None, drawn: int) -> str:
    """Return what the lines are, in words: the second parameter, what was folded, what is left."""
    kept = [x] if other is None else [x, other]
    folded = repeats_note(data[measure], kept, "median")
    if folded and _only_seeds(data[measure], kept):
        folded += ", band: range" if is_numeric(data[x]) else ", bars: range"
    words = [folded]
    finite = np.isfinite(data[measure].values.astype(float))
    if not finite.all():
        words.append(f"{finite.sum()} of {finite.size} points have a number")
    if other is not None:
        name = symbol_of(other)
        count = data.sizes[other]
        words.append(name if drawn == count else f"{drawn} of {count} values of {name}")
    return "; ".join(word for word in words if word)


def _only_seeds(values: xr.DataArray, kept: Sequence[str]) -> bool:
    """Return whether repeats, and nothing else, are folded."""
    folded = [str(d) for d in values.dims if d not in (*kept, POINT) and values.sizes[d] > 1]
    return bool(folded) and all(is_seed(name) for name in folded)


def _scale_x(ax: Axes, coordinate: xr.DataArray) -> None:
    """Scale the x axis as its parameter, with ticks at sampled values."""
    if not is_numeric(coordinate):
        count = np.unique(coordinate.values).size
        ax.set_xlim(-0.5, count - 0.5)
        return
    if is_logarithmic(coordinate):
        ax.set_xscale("log")
        plain_ticks(ax.xaxis)
    if POINT not in coordinate.dims:
        tick_values(ax.xaxis, coordinate)


def _draw_line(
    ax: Axes, part: xr.Dataset, measure: str, x: str, *, color: str, label: str, aside: float
) -> None:
    """Draw the median of a measure over x, and its range if only repeats are left.

    Parameters
    ----------
    aside : float
        How far marks stand beside the place of a name, so that those of two lines do not coincide.
    """
    numeric = is_numeric(part[x])
    ordered = part.sortby(x) if numeric else part
    values = ordered[measure].astype(float)
    values = values.copy(data=finite_or_nan(values.values))
    rest = [str(d) for d in values.dims if d not in (x, POINT)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # raised where all values are NaN
        low, middle, high = (values.quantile(share, rest).values for share in (0.0, 0.5, 1.0))
    look: Any = {"color": color, "marker": "o", "markersize": 3}
    places = ordered[x].values
    if not numeric:
        look["linestyle"] = "none"
        names = list(places)
        places = np.arange(len(names)) + aside
        ax.set_xticks(range(len(names)), names)
    ax.plot(places, middle, label=label or "_", **look)
    if not _only_seeds(values, [x]):
        return
    if numeric:
        ax.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
    else:
        ax.vlines(places, low, high, color=color, linewidth=1)


@styled
def parallel_coordinates(
    data: xr.Dataset,
    measure: str | None = None,
    *,
    width: float = WIDTHS[2],
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one line per point through all parameters to the measure, in the colour of its value.

    Lines of points without a number have the colour of their outcome, and end above the axis. Of
    more than `sweep_lines.MOST_LINES` points, so many are drawn, and the legend says so.

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
    ModelError
        The sweep has no such measure.
    """
    measure = chosen_measure(data, measure)
    varied = parameters(data) or [first_parameter(data)]
    width = checked_width(width)
    names = [name for name in varied if is_numeric(data[name])]
    flat = data
    if POINT not in data.dims:
        flat = data.stack(point=list(data.dims))
    total = flat.sizes[POINT]
    flat = flat.isel(point=evenly_spread(total, MOST_LINES, rounded=False))
    ax = shown_axes(ax, (width, 0.45 * width), figsize)
    columns = [finite_or_nan(flat[name].values.astype(float)) for name in (*names, measure)]
    logarithmic = [is_logarithmic(data[name]) for name in names]
    logarithmic.append(is_geometric(columns[-1]))
    scaled = [to_unit_range(*pair) for pair in zip(columns, logarithmic, strict=True)]
    missing = np.isnan(scaled[-1])
    scaled[-1][missing] = MISSING
    heights = np.array(scaled).T  # (points, axes)
    note = "" if len(missing) == total else f"{len(missing)} of {total} points"
    if not missing.all():
        bar = _draw_measured(ax, heights[~missing], columns[-1][~missing], log=logarithmic[-1])
        bar.set_label(label_of(data, measure))
    ax.axis("off")
    lay_out(ax)
    beside = [f"{value:.3g}" for value in _ends(columns[-1])] + ["no number"] * int(missing.any())
    _limit_parallel(ax, len(columns), beside)
    _draw_missing(ax, heights, missing, flat["outcome"].values, outcomes_in(flat), note)
    for place, name in enumerate([*names, measure]):
        last = place == len(names)
        _draw_parallel_axis(ax, place, label_of(data, name), columns[place], last=last)
    if missing.any():
        look: Any = {"va": "center", "fontsize": small_font() - 1, "zorder": 5}
        ax.annotate("no number", (len(names) + 0.05, MISSING), **look)
    return figure_of(ax)


def _ends(column: Array) -> list[float]:
    """Return the smallest and the largest finite value; none where there is no such value."""
    finite = column[np.isfinite(column)]
    return [float(finite.min()), float(finite.max())] if finite.size else []


def _limit_parallel(ax: Axes, count: int, beside: Sequence[str]) -> None:
    """Set limits that leave room for names below the upright axes, and texts beside the last."""
    width, height = size_in_points(ax)
    longest = max((text_width(text, small_font()) for text in beside), default=0.0) + 4
    spaces = count - 1 + 0.4
    right = max(0.4, spaces * longest / max(width - longest, width / 2))
    below = NAME_LINES * line_height() / height + 0.14
    ax.set(xlim=(-0.4, count - 1 + right), ylim=(-below * 1.2 / (1 - below), 1.2))


def _draw_measured(ax: Axes, heights: Array, values: Array, *, log: bool) -> Any:
    """Draw lines, (points, axes), in the colour of their measure, (points,); return its bar."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm, Normalize

    low, high = values.min(), values.max()
    norm = LogNorm(low, high) if log else Normalize(low, high)
    order = np.argsort(values)
    segments = _segments(heights[order])
    drawn = LineCollection(segments, cmap="viridis", norm=norm, linewidths=0.8, alpha=0.7)
    drawn.set_array(values[order])
    ax.add_collection(drawn)
    bar = figure_of(ax).colorbar(drawn, ax=ax, aspect=25, pad=0.02)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    if log:
        plain_ticks(bar.ax.yaxis)
    return bar


def _draw_missing(
    ax: Axes, heights: Array, missing: Array, outcomes: Array, shown: Sequence[str], note: str
) -> None:
    """Draw the lines of points without a number in the colour of their outcome, with a legend."""
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    handles = []
    for outcome in reversed(shown):
        own = heights[missing & (outcomes == outcome)]
        color = OUTCOMES[outcome]
        if len(own):
            look: Any = {
                "colors": color,
                "linewidths": 0.8,
                "alpha": 0.5,
                "linestyles": "--",
                "zorder": 1.9,
            }
            ax.add_collection(LineCollection(_segments(own), **look))
            handles.append(Line2D([], [], color=color, linestyle="--", label=outcome))
    add_legend(ax, others=handles[::-1], title=note)


def _segments(heights: Array) -> list[Array]:
    """Return one line, (axes, 2), per point."""
    places = np.arange(heights.shape[1])
    return [np.column_stack([places, row]) for row in heights]


def _draw_parallel_axis(ax: Axes, place: int, name: str, column: Array, *, last: bool) -> None:
    """Draw one upright axis, with its name and the limits of its values.

    Those of the last axis stand beside it, where no line passes.
    """
    ax.plot([place, place], [0, 1], color="0.3", linewidth=0.8, zorder=4)
    limits = _ends(column)
    if limits:
        font = small_font() - 1
        below: Size = (place, -0.03)
        above: Size = (place, 1.03)
        sides: Any = ({"ha": "center", "va": "top"}, {"ha": "center", "va": "bottom"})
        if last:
            below, above = (place + 0.05, 0.0), (place + 0.05, 1.0)
            sides = ({"va": "center"}, {"va": "center"})
        ends = zip(limits, (below, above), sides, strict=True)
        for value, at, side in ends:
            ax.annotate(f"{value:.3g}", at, fontsize=font, zorder=5, **side)
    room = 0.95 * size_in_points(ax)[0] / float(np.ptp(ax.get_xlim()))
    lines = wrapped(name, room, NAME_LINES, small_font())
    ax.annotate(
        "\n".join(line.strip() for line in lines),
        (place, -0.14),
        ha="center",
        va="top",
        fontsize=small_font(),
        annotation_clip=False,
    )
