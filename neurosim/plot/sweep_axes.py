"""Parameters, scales, panels and cells that pictures of sweeps share. Start at `chosen_axes`.

`sweeps` and `sensitivity` import it. Every function takes the dataset of a sweep or a part of it: a
grid with one dimension per parameter, or points along the one dimension "point".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, number, unknown
from neurosim.plot.canvas import evenly_spread, finite_or_nan, plain_ticks
from neurosim.plot.names import shortened, text_width
from neurosim.plot.page import (
    WIDEST,
    Size,
    checked_size,
    line_height,
    new_figure,
    size_in_points,
    tick_font,
    title_font,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

# Width in inches of a figure over one or two columns of a page.
WIDTHS = MappingProxyType({1: 3.5, 2: 7.2})
SYMBOLS = MappingProxyType(
    {
        "flow.theta": "angle θ",
        "flow.rho": "ρ",
        "flow.kappa": "κ",
        "flow.gamma": "γ",
        "flow.tau_x": "τx",
        "flow.tau_lam": "τλ",
        "network.depth": "layers of weights",
        "network.gain": "gain of the weights",
        "start.x": "initial offset of x from the saddle point",
        "start.lam": "initial offset of λ from the saddle point",
        "simulation.dt": "dt",
        "settle_time": "settling time",
        "network.seed": "seed of the weights",
        "simulation.seed": "seed of the simulation",
        "flow.tau_w": "τw",
        "flow.preset": "flow",
        "network.feedback": "feedback weights",
    }
)
TIMES = ("dt", "duration", "present", "every", "per_frame")
POINT = "point"  # the only dimension of a sweep whose points were drawn
MOST_PANELS = 6
MANY_CELLS = 10_000  # from which a mesh is stored as pixels
FEW = 6  # most ticks of a parameter
GAP = 4  # points between the labels of neighbouring ticks
ROOM = 0.7  # of axes before they are laid out, which labels and a colour bar narrow
EVEN = 1e-9  # relative deviation up to which steps, or ratios, count as equal


# Parameters and measures


def is_numeric(coordinate: xr.DataArray) -> bool:
    """Return whether the values are numbers; booleans are not."""
    return coordinate.dtype.kind in "fiu"


def is_seed(name: str) -> bool:
    """Return whether a parameter is a seed, whose values are repeats."""
    return name.endswith("seed")


def parameters(data: xr.Dataset) -> list[str]:
    """Return the parameters that vary: numbers first, seeds last; most values first among them."""
    sizes = {str(name): np.unique(data[name].values).size for name in data.coords}

    def rank(name: str) -> tuple[bool, bool, int]:
        return is_seed(name), not is_numeric(data[name]), -sizes[name]

    varied = [name for name, size in sizes.items() if size > 1 and name != POINT]
    return sorted(varied, key=rank)


def first_parameter(data: xr.Dataset) -> str:
    """Return the first parameter that varies, or else the first one.

    Raises
    ------
    DataError
        The sweep has no parameter.
    """
    named = [str(name) for name in data.coords if name != POINT]
    if not named:
        raise DataError(
            "the data have no parameter; allowed: the result of a sweep over one or more"
        )
    return [*parameters(data), *named][0]


def known_parameter(data: xr.Dataset, name: str) -> str:
    """Return the name of a parameter if the sweep has it.

    Raises
    ------
    ModelError
        The sweep has no such parameter.
    """
    if name not in data.coords:
        raise unknown("parameter", name, [str(n) for n in data.coords])
    return name


def chosen_measure(data: xr.Dataset, measure: str | None) -> str:
    """Return the measure, by default the settling time or else the first.

    Raises
    ------
    ModelError
        The sweep has no such measure.
    DataError
        The dataset is not a sweep, or the measure is not of numbers.
    """
    measures = [str(n) for n in data.data_vars if n not in ("outcome", "reason")]
    if not measures:
        raise DataError(
            f"data holds {list(map(str, data.data_vars))}, no measure; "
            "allowed: the dataset of neurosim.sweep"
        )
    if measure is None:
        measure = "settle_time" if "settle_time" in measures else measures[0]
    elif measure not in measures:
        raise unknown("measure", measure, measures)
    kind = data[measure].dtype
    if kind.kind not in "fiub":
        raise DataError(f"measure {measure!r} is of type {kind}; allowed: numbers; try another one")
    return measure


def chosen_axes(
    data: xr.Dataset, x: str | None, y: str | None, panel: str | None
) -> tuple[str, str, str | None]:
    """Return the parameters of both axes and of the panels, chosen where they are None.

    Raises
    ------
    DataError
        Fewer than two parameters vary.
    ModelError
        The sweep has no such parameter.
    """
    varied = parameters(data)
    given = [known_parameter(data, name) for name in (x, y, panel) if name is not None]
    free = [name for name in varied if name not in given]
    if not x and free:
        x = free.pop(0)
    if not y and free:
        y = free.pop(0)
    if not x or not y:
        raise DataError(f"{varied} varied; allowed: two parameters or more; try kind='lines'")
    if panel is None and free and not is_seed(free[0]) and POINT not in data.dims:
        panel = free[0]
    return x, y, panel


def symbol_of(name: str) -> str:
    """Return the symbol of a parameter or measure, or its name in words."""
    _, _, own = name.rpartition(".")
    return SYMBOLS.get(name, own.replace("_", " "))


def unit_of(data: xr.Dataset, name: str) -> str:
    """Return the unit of a parameter or measure: "1" for numbers, "" for names."""
    if "units" in data[name].attrs:
        return str(data[name].attrs["units"])
    if data[name].dtype.kind not in "fiub":
        return ""
    _, _, own = name.rpartition(".")
    return "s" if own in TIMES or own.startswith("tau") else "1"


def label_of(data: xr.Dataset, name: str) -> str:
    """Return symbol and unit of a parameter or measure; names have no unit."""
    unit = unit_of(data, name)
    return f"{symbol_of(name)} ({unit})" if unit else symbol_of(name)


def shown_value(value: Any) -> str:
    """Return a value as titles and ticks show it."""
    if isinstance(value, int | float | np.number):
        return f"{value:.3g}"
    return str(value)


def repeats_note(values: xr.DataArray, kept: Sequence[str], how: str) -> str:
    """Return in words what a picture has reduced, such as "median over 3 seeds"; "" if nothing.

    Parameters
    ----------
    values : xarray.DataArray
        Measure or outcome.
    kept : sequence of str
        Dimensions that the picture shows.
    how : str
        Reduction.
    """
    folded = []
    for name in map(str, values.dims):
        count = values.sizes[name]
        if name in kept or name == POINT or count == 1:
            continue
        folded.append(f"{count} seeds" if is_seed(name) else f"{count} values of {symbol_of(name)}")
    return f"{how} over {' and '.join(folded)}" if folded else ""


# Scales


def is_logarithmic(coordinate: xr.DataArray) -> bool:
    """Return whether a parameter is drawn on a logarithmic scale, by its attribute "scale".

    Sweeps stored by 0.1.0 lack the attribute; there the spacing of the values decides.

    Raises
    ------
    DataError
        The attribute is "log", and a value is not above 0.
    """
    if not is_numeric(coordinate):
        return False
    if "scale" in coordinate.attrs:
        logarithmic = coordinate.attrs["scale"] == "log"
        if logarithmic and not (coordinate.values > 0).all():
            raise DataError(
                f"{coordinate.name} = {coordinate.values.min():g} on a logarithmic scale; "
                "allowed: values > 0; try attrs['scale'] = 'linear'"
            )
        return bool(logarithmic)
    return is_geometric(coordinate.values)


def is_geometric(values: Array) -> bool:
    """Return whether numbers, once sorted, have a constant ratio and not a constant step."""
    distinct = np.unique(values[np.isfinite(values)])
    if distinct.size < 3 or distinct[0] <= 0:
        return False
    steps = np.diff(distinct)
    ratios = np.diff(np.log(distinct))
    return _are_equal(ratios) and not _are_equal(steps)


def _are_equal(steps: Array) -> bool:
    """Return whether positive steps are equal to within rounding."""
    spread = np.ptp(steps)
    return bool(spread <= EVEN * steps.max())


def to_unit_range(values: Array, logarithmic: bool) -> Array:
    """Scale numbers to [0, 1] over their finite range, or all to 1/2 if they are equal."""
    scaled = np.log(values) if logarithmic else values
    finite = scaled[np.isfinite(scaled)]
    if np.unique(finite).size < 2:
        return np.where(np.isfinite(values), 0.5, np.nan)
    low, high = finite.min(), finite.max()
    return np.asarray((scaled - low) / (high - low))


# Panels


def checked_width(width: float) -> float:
    """Return the width of a figure, inches, if it can be drawn.

    Raises
    ------
    ModelError
        It is not positive, or more than `WIDEST`.
    """
    return number("width", width, above=0, most=WIDEST, try_=f"{WIDTHS[1]}")


def make_panels(
    data: xr.Dataset, panel: str | None, width: float, figsize: Size | None = None
) -> tuple[Figure, Array, list[xr.Dataset]]:
    """Return a figure, its axes, and the part of the sweep in each; at most `MOST_PANELS`.

    Parameters
    ----------
    data : xarray.Dataset
    panel : str, optional
        Parameter with one panel per value; by default one panel for all.
    width : float
        Width of the figure, inches.
    figsize : (float, float), optional
        Width and height instead, inches.
    """
    width = checked_width(width) if figsize is None else checked_size(figsize)[0]
    parts = split(data, panel)
    parts = [parts[i] for i in evenly_spread(len(parts), MOST_PANELS)]
    count = len(parts)
    columns = min(count, 3)
    if width <= WIDTHS[1] or count == 4:
        columns = min(count, 2)
    rows = -(-count // columns)
    row_height = 0.7 * width
    if columns > 1:
        row_height = 0.82 * (width / columns)
    figure = new_figure(width, 0.55 + rows * row_height, figsize)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    axes, unused = np.split(np.ravel(grid), [count])
    for ax in unused:
        ax.remove()
    for ax in axes[-columns:]:
        ax.tick_params(labelbottom=True)  # the lowest of its column, also above an unused place
    for ax, (title, _) in zip(axes, parts, strict=True):
        ax.set_title(title)
    return figure, axes, [part for _, part in parts]


def split(data: xr.Dataset, by: str | None) -> list[tuple[str, xr.Dataset]]:
    """Return title and part of a sweep for each value of a parameter, or all of it without title.

    Raises
    ------
    ModelError
        The parameter is not a dimension of the sweep.
    """
    if by is None:
        return [("", data)]
    if by not in data.dims:
        raise unknown("dimension", by, [str(d) for d in data.dims])
    name, unit = symbol_of(by), unit_of(data, by)
    parts = []
    for value in data[by].values:
        title = f"{name}: {shown_value(value)}"
        if unit not in ("", "1"):
            title += f" {unit}"
        parts.append((title, data.sel({by: value})))
    return parts


def add_labels(ax: Axes, data: xr.Dataset, x: str, y: str) -> None:
    """Label the x axis of the lowest panel of each column, and the y axis of the first column.

    Labels are shortened to the panel. Points that were drawn have plain numbers as ticks.
    """
    if POINT in data.dims:
        _scale_of_points(ax.xaxis, ax.set_xscale, data[x])
        _scale_of_points(ax.yaxis, ax.set_yscale, data[y])
    width, height = size_in_points(ax)
    own = ax.get_subplotspec()
    assert own is not None
    rows = []
    for other in ax.figure.axes:
        place = other.get_subplotspec()
        if place is not None and place.colspan == own.colspan:
            rows.append(place.rowspan.start)
    if own.rowspan.start == max(rows):
        ax.set_xlabel(shortened(label_of(data, x), 1.2 * width, title_font()))
    if own.is_first_col():
        ax.set_ylabel(shortened(label_of(data, y), 1.2 * height, title_font()))


def tick_values(axis: Any, coordinate: xr.DataArray) -> None:
    """Put the ticks at values of a parameter: at all, or at every second, third, ... of them.

    There are at most `FEW`, and their labels do not touch.
    """
    from matplotlib.ticker import NullFormatter, NullLocator

    values = np.unique(coordinate.values)
    for step in range(-(-len(values) // FEW), len(values) + 1):
        chosen = values[::step]
        labels = [shown_value(value) for value in chosen]
        if _fit(axis, chosen, labels):
            break
    axis.set_ticks(chosen, labels)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _fit(axis: Any, values: Array, labels: Sequence[str]) -> bool:
    """Return whether labels at the values of an axis stand clear of each other."""
    if len(values) < 2:
        return True
    ends = axis.get_transform().transform(np.array(axis.get_view_interval()))
    shares = np.diff(axis.get_transform().transform(values.astype(float))) / abs(np.diff(ends))
    width, height = size_in_points(axis.axes)
    if axis.axis_name == "x":
        needed = max(text_width(label, tick_font(axis)) for label in labels) + GAP
        return bool(ROOM * width * abs(shares).min() >= needed)
    return bool(ROOM * height * abs(shares).min() >= line_height())


# Cells


def field_over(part: xr.Dataset, measure: str, x: str, y: str) -> Array:
    """Return a measure at points, (points,), or its median over the rest of a grid, (y, x)."""
    if POINT in part.dims:
        return np.asarray(part[measure].values)
    with np.errstate(all="ignore"):
        return reduce_to_plane(part[measure], x, y, _median)


def reduce_to_plane(
    values: xr.DataArray, x: str, y: str, reduction: Callable[[Array], Array]
) -> Array:
    """Return values as (y, x), reduced over all the other dimensions at once.

    Parameters
    ----------
    reduction : callable
        Takes (y, x, others) to (y, x).
    """
    others = [d for d in values.dims if d not in (x, y)]
    plane = values.transpose(y, x, *others)
    rows, columns = plane.shape[:2]
    return reduction(plane.values.reshape(rows, columns, -1))


def _median(values: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # raised where all values are NaN
        return np.asarray(np.nanmedian(finite_or_nan(values), axis=-1))


def draw_cells(ax: Axes, part: xr.Dataset, x: str, y: str, values: Array, **style: Any) -> Any:
    """Draw values, (y, x), as cells around those of both parameters; return the mesh."""
    edges = _cell_edges(part[x]), _cell_edges(part[y])
    rasterized = values.size > MANY_CELLS
    mesh = ax.pcolormesh(*edges, finite_or_nan(values), rasterized=rasterized, **style)
    _scale_axis(ax.xaxis, ax.set_xscale, part[x])
    _scale_axis(ax.yaxis, ax.set_yscale, part[y])
    return mesh


def _is_rising(coordinate: xr.DataArray) -> bool:
    """Return whether the values are increasing numbers; others are drawn at 0, 1, 2, ..."""
    if not is_numeric(coordinate):
        return False
    falls = np.diff(coordinate.values) <= 0
    return not falls.any()


def _cell_edges(coordinate: xr.DataArray) -> Array:
    """Return the edges of cells, (n + 1,): halfway between values on the scale of the parameter."""
    if not _is_rising(coordinate):
        return np.arange(coordinate.size + 1) - 0.5
    places = coordinate.values.astype(float)
    if is_logarithmic(coordinate):
        return np.asarray(np.exp(_edges_between(np.log(places))))
    return _edges_between(places)


def _edges_between(places: Array) -> Array:
    if len(places) == 1:
        return np.concatenate([places - 0.5, places + 0.5])
    middle = (places[1:] + places[:-1]) / 2
    first = 2 * places[0] - middle[0]
    last = 2 * places[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _scale_of_points(axis: Any, set_scale: Callable[[str], None], coordinate: xr.DataArray) -> None:
    """Scale an axis of drawn points, with plain numbers at the ticks of a logarithmic one."""
    if not is_logarithmic(coordinate):
        return
    set_scale("log")
    plain_ticks(axis)


def _scale_axis(axis: Any, set_scale: Callable[[str], None], coordinate: xr.DataArray) -> None:
    """Set the scale and the ticks of an axis to suit the values of its parameter."""
    names = [shown_value(v) for v in coordinate.values]
    if not _is_rising(coordinate):
        axis.set_ticks(range(len(names)), names)
        return
    if is_logarithmic(coordinate):
        set_scale("log")
    tick_values(axis, coordinate)  # a tick between the values, or beyond the last, would mislead
