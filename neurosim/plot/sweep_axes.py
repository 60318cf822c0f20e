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
from neurosim.plot.canvas import GREY, evenly_spread, finite_or_nan, new_figure
from neurosim.plot.drawing import FONT, size_in_points
from neurosim.plot.names import shortened

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

# Width in inches of a figure over one or two columns of a page.
WIDTHS = MappingProxyType({1: 3.5, 2: 7.2})
OUTCOMES = MappingProxyType(
    {
        "settled": "#009E73",
        "settling": "#56B4E9",
        "ringing": "#E69F00",
        "diverged": "#882255",
        "failed": GREY,
    }
)
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
    }
)
POINT = "point"  # the only dimension of a sweep whose points were drawn
WIDEST = 100  # inches
MOST_TICKS = 5  # values of a parameter that all have a tick
MOST_PANELS = 6
MANY_CELLS = 10_000  # from which a mesh is stored as pixels
FEW = 6  # most values of a parameter for which each has a tick
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


def label_of(data: xr.Dataset, name: str) -> str:
    """Return symbol and unit of a parameter or measure."""
    _, _, own = name.rpartition(".")
    symbol = SYMBOLS.get(name, own.replace("_", " "))
    unit = data[name].attrs.get("units", "1")
    return f"{symbol} ({unit})"


def shown_value(value: Any) -> str:
    """Return a value as titles and ticks show it."""
    if isinstance(value, int | float | np.number):
        return f"{value:.3g}"
    return str(value)


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
    data: xr.Dataset, panel: str | None, width: float
) -> tuple[Figure, Array, list[xr.Dataset]]:
    """Return a figure, its axes, and the part of the sweep in each; at most `MOST_PANELS`.

    Parameters
    ----------
    data : xarray.Dataset
    panel : str, optional
        Parameter with one panel per value; by default one panel for all.
    width : float
        Width of the figure, inches.
    """
    width = checked_width(width)
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
    figure = new_figure(width, 0.55 + rows * row_height)
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
    name = SYMBOLS.get(by, by)
    parts = []
    for value in data[by].values:
        title = f"{name}: {shown_value(value)}"
        parts.append((title, data.sel({by: value})))
    return parts


def add_labels(ax: Axes, data: xr.Dataset, x: str, y: str) -> None:
    """Label the x axis of the lowest panel of each column, and the y axis of the first column.

    Ticks are the values of a parameter where these are few, and labels are shortened to the panel.
    """
    for name, axis in ((x, ax.xaxis), (y, ax.yaxis)):
        _tick_values(axis, data[name])
    width, height = size_in_points(ax)
    own = ax.get_subplotspec()
    assert own is not None
    rows = []
    for other in ax.figure.axes:
        place = other.get_subplotspec()
        if place is not None and place.colspan == own.colspan:
            rows.append(place.rowspan.start)
    if own.rowspan.start == max(rows):
        ax.set_xlabel(shortened(label_of(data, x), 1.2 * width, FONT + 1))
    if own.is_first_col():
        ax.set_ylabel(shortened(label_of(data, y), 1.2 * height, FONT + 1))


def _tick_values(axis: Any, values: xr.DataArray) -> None:
    """Put the ticks of a logarithmic axis at the values, if they are few."""
    from matplotlib.ticker import NullFormatter

    different = np.unique(values.values)
    if axis.get_scale() == "log" and len(different) <= MOST_TICKS:
        axis.set_ticks(different, [shown_value(value) for value in different])
        axis.set_minor_formatter(NullFormatter())


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


def _scale_axis(axis: Any, set_scale: Callable[[str], None], coordinate: xr.DataArray) -> None:
    """Set the scale and the ticks of an axis to suit the values of its parameter."""
    names = [shown_value(v) for v in coordinate.values]
    if not _is_rising(coordinate):
        axis.set_ticks(range(len(names)), names)
    elif is_logarithmic(coordinate):
        set_scale("log")
    elif len(names) <= FEW:  # a tick between the values, or beyond the last, would mislead
        axis.set_ticks(coordinate.values, names)


# Outcomes


def outcomes_in(data: xr.Dataset) -> list[str]:
    """Return the outcomes that occur in a sweep, in the order of `OUTCOMES`.

    Raises
    ------
    DataError
        The dataset is not a sweep.
    """
    if "outcome" not in data:
        raise DataError(
            f"data holds {list(map(str, data.data_vars))}, no outcome; "
            "allowed: the dataset of neurosim.sweep"
        )
    return [outcome for outcome in OUTCOMES if (data["outcome"] == outcome).any()]


def add_outcome_legend(figure: Figure, shown: Sequence[str], boundary: bool = False) -> None:
    """Add a legend of the outcomes above a figure, and of the predicted boundary if drawn."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for outcome in shown:
        color = OUTCOMES[outcome]
        handles.append(Patch(facecolor=color, edgecolor="0.3", linewidth=0.4, label=outcome))
    if boundary:
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="predicted boundary"))
    narrow = figure.get_size_inches()[0] < WIDTHS[2]
    columns = 3 if narrow else len(handles)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, handlelength=1.4)
