"""Pictures of sweeps: what settles, rings or diverges, how fast, from where, and which parameter
matters.

Every function takes the dataset of a sweep. Start at `sweep`, which chooses one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, ModelError, unknown
from neurosim.experiments.designs import geometric
from neurosim.plot.canvas import GREY, styled
from neurosim.plot.drawing import PALETTE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

WIDTHS = MappingProxyType({1: 3.5, 2: 7.2})  # in, of a figure over one or two columns of a page
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
        "start.x": "start of x from the saddle point",
        "start.lam": "start of λ from the saddle point",
        "simulation.dt": "dt",
        "settle_time": "settling time",
    }
)
MOST_PANELS = 6
FEW = 6  # values of a parameter, which are all written at its axis
MOST_LINES = 400  # of parallel coordinates
DRAWS = 512  # a parameter, of the sensitivity


@styled
def sweep(data: xr.Dataset, kind: str | None = None, *, columns: int = 2, **options: Any) -> Figure:
    """The picture that suits a sweep, or the one that is asked for.

    Parameters
    ----------
    data : xarray.Dataset
        Of `neurosim.sweep`.
    kind : "phase_diagram", "heat_map", "lines", "parallel_coordinates" or "sensitivity", optional
        By default what `choose` says.
    columns : 1 or 2
        Width in columns of a page, 3.5 or 7.2 inches.
    **options
        `x`, `y`, `measure`, as the kind takes them.

    Raises
    ------
    ModelError, DataError
    """
    kind = choose(data) if kind is None else kind
    if kind not in KINDS:
        raise unknown("kind of picture", kind, KINDS)
    if columns not in WIDTHS:
        raise unknown("columns", columns, [str(c) for c in WIDTHS])
    takes = [n for n in signature(KINDS[kind]).parameters if n not in ("data", "width")]
    if wrong := set(options) - set(takes):
        raise ModelError(f"{kind} takes {', '.join(takes)}, and no {min(wrong)}")
    figure: Figure = KINDS[kind](data, width=WIDTHS[columns], **options)
    return figure


def choose(data: xr.Dataset) -> str:
    """The kind of picture that suits a sweep: by how many parameters were varied, and how."""
    varied = parameters(data)
    if "point" in data.dims:
        return "phase_diagram" if len(varied) == 2 else "parallel_coordinates"
    return "phase_diagram" if len(varied) > 1 else "lines"


def parameters(data: xr.Dataset) -> list[str]:
    """Parameters of which there is more than one value; seeds are repeats, and come last of all."""
    names = [str(n) for n in data.coords if n != "point" and np.unique(data[n].values).size > 1]
    size = {n: np.unique(data[n].values).size for n in names}
    return sorted(
        names, key=lambda n: (n.endswith("seed"), data[n].dtype.kind not in "fiu", -size[n])
    )


@styled
def phase_diagram(
    data: xr.Dataset,
    x: str | None = None,
    y: str | None = None,
    panel: str | None = None,
    *,
    width: float = WIDTHS[2],
) -> Figure:
    """Outcome over two parameters, a panel a value of a third one; over repeats, the most frequent
    one.

    Where `growth` was measured its zero is drawn over it: the boundary that the spectrum predicts.
    """
    x, y, panel = _axes_of(data, x, y, panel)
    shown = [o for o in OUTCOMES if (data["outcome"] == o).any()]
    figure, axes, parts = _panels(data, panel, width)
    codes = {o: i for i, o in enumerate(OUTCOMES)}
    for ax, part in zip(axes, parts, strict=True):
        if "point" in part.dims:
            for o in shown:
                own = part.isel(point=np.flatnonzero((part["outcome"] == o).values))
                ax.scatter(
                    own[x], own[y], s=14, color=OUTCOMES[o], edgecolors="0.3", linewidths=0.3
                )
        else:
            number = _reduced(
                part["outcome"].copy(data=np.vectorize(codes.get)(part["outcome"].values)),
                x,
                y,
                _most,
            )
            _mesh(
                ax,
                part,
                x,
                y,
                number.values,
                cmap=_outcome_colors(),
                vmin=-0.5,
                vmax=len(codes) - 0.5,
            )
            if "growth" in part:
                _boundary(ax, part, x, y)
        _label(ax, data, x, y)
    _outcome_legend(figure, shown, "growth" in data and "point" not in data.dims)
    return figure


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
    """A measure over two parameters, a panel a value of a third one; over repeats, the median.
    Grey: there is none.
    """
    from matplotlib.colors import LogNorm, Normalize

    x, y, panel = _axes_of(data, x, y, panel)
    measure = _measure_of(data, measure)
    figure, axes, parts = _panels(data, panel, width)
    fields = [_field(part, measure, x, y) for part in parts]
    whole = np.concatenate([np.ravel(f) for f in fields])
    finite = whole[np.isfinite(whole)]
    if not finite.size:
        raise DataError(
            f"{measure} has no number anywhere; try another --measure, or kind='phase_diagram'"
        )
    logarithmic = finite.min() > 0 and finite.max() > 30 * finite.min()
    norm = (LogNorm if logarithmic else Normalize)(finite.min(), finite.max())
    drawn: Any = None
    for ax, part, values in zip(axes, parts, fields, strict=True):
        if "point" in part.dims:
            drawn = ax.scatter(part[x], part[y], c=values, s=16, cmap="viridis", norm=norm)
        else:
            drawn = _mesh(ax, part, x, y, values, cmap="viridis", norm=norm)
        ax.set_facecolor("0.9")
        _label(ax, data, x, y)
    figure.colorbar(drawn, ax=list(axes), label=_name(data, measure), aspect=30, pad=0.02)
    return figure


@styled
def lines(
    data: xr.Dataset, measure: str | None = None, x: str | None = None, *, width: float = WIDTHS[1]
) -> Figure:
    """A measure over one parameter, in colours a second one; the median over others, of repeats the
    range too.
    """
    import matplotlib.pyplot as plt

    varied = parameters(data)
    x, measure = _named(data, x or varied[0]), _measure_of(data, measure)
    figure, ax = plt.subplots(figsize=(width, 0.72 * width), layout="constrained")
    other = next((n for n in varied if n != x and not n.endswith("seed") and n in data.dims), None)
    series = _split(data, other)
    series = [
        series[i]
        for i in np.unique(
            np.linspace(0, len(series) - 1, min(len(series), MOST_PANELS)).astype(int)
        )
    ]
    for i, (label, part) in enumerate(series):
        ordered = part.sortby(x)
        dims = [d for d in ordered[measure].dims if d not in (x, "point")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN
            middle, low, high = (ordered[measure].quantile(q, dims).values for q in (0.5, 0.0, 1.0))
        color = PALETTE[i % len(PALETTE)]
        ax.plot(ordered[x], middle, marker="o", markersize=3, color=color, label=label)
        if dims and all(str(d).endswith("seed") for d in dims):
            ax.fill_between(ordered[x], low, high, color=color, alpha=0.2, linewidth=0)
    if geometric(
        sorted(float(v) for v in np.unique(data[x].values)) if data[x].dtype.kind in "fiu" else []
    ):
        ax.set_xscale("log")
    ax.set(xlabel=_name(data, x), ylabel=_name(data, measure))
    if other is not None:
        ax.legend(fontsize=7)
    return figure


@styled
def parallel_coordinates(
    data: xr.Dataset, measure: str | None = None, *, width: float = WIDTHS[2]
) -> Figure:
    """A line a point through all parameters to the measure, coloured by outcome."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    flat = data if "point" in data.dims else data.stack(point=list(data.dims))
    measure = _measure_of(data, measure)
    names = [*[n for n in parameters(data) if data[n].dtype.kind in "fiu"], measure]
    flat = flat.isel(
        point=np.unique(np.linspace(0, flat.sizes["point"] - 1, MOST_LINES).astype(int))
    )
    figure, ax = plt.subplots(figsize=(width, 0.42 * width), layout="constrained")
    columns = [np.asarray(flat[n].values, dtype=float) for n in names]
    scaled = np.array([_to_unit(column) for column in columns]).T  # (points, axes); NaN: no number
    scaled[:, -1] = np.where(np.isnan(scaled[:, -1]), 1.12, scaled[:, -1])
    shown = [o for o in OUTCOMES if (flat["outcome"] == o).any()]
    for outcome in reversed(shown):
        own = scaled[(flat["outcome"] == outcome).values]
        segments = [np.column_stack([np.arange(len(names)), row]) for row in own]
        ax.add_collection(
            LineCollection(segments, colors=OUTCOMES[outcome], linewidths=0.8, alpha=0.55)
        )
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        finite = column[np.isfinite(column)]
        ax.plot([i, i], [0, 1], color="0.3", linewidth=0.8)
        if finite.size:
            for height, value in ((-0.03, finite.min()), (1.03, finite.max())):
                ax.annotate(
                    f"{value:.3g}",
                    (i, height),
                    ha="center",
                    va="top" if height < 0 else "bottom",
                    fontsize=7,
                )
        ax.annotate(
            _name(data, name), (i, -0.14), ha="center", va="top", fontsize=8, annotation_clip=False
        )
    if np.isnan(columns[-1]).any():
        ax.annotate("none", (len(names) - 1 + 0.04, 1.12), va="center", fontsize=7)
    ax.set(xlim=(-0.3, len(names) - 0.5), ylim=(-0.22, 1.18))
    ax.axis("off")
    _outcome_legend(figure, shown, False)
    return figure


@styled
def sensitivity(
    data: xr.Dataset, measure: str | None = None, *, width: float = WIDTHS[1]
) -> Figure:
    """Sobol indices of a measure, first order and total, by `scipy.stats.sobol_indices` on the
    sweep interpolated.

    Parameters that are numbers count, each uniform over its range (on a logarithmic scale where it
    is spaced so); over the others, and over repeats, the mean is taken.
    """
    import matplotlib.pyplot as plt

    measure = _measure_of(data, measure)
    names, first, total = sobol(data, measure)
    figure, ax = plt.subplots(figsize=(width, 1.1 + 0.36 * len(names)), layout="constrained")
    rows = np.arange(len(names))
    ax.barh(rows - 0.18, first, height=0.34, color=PALETTE[0], label="alone")
    ax.barh(rows + 0.18, total, height=0.34, color=PALETTE[4], label="with interactions")
    ax.set_yticks(rows, [SYMBOLS.get(n, n) for n in names])
    ax.invert_yaxis()
    ax.set(
        xlabel=f"variance of {SYMBOLS.get(measure, measure)} (share)",
        xlim=(min(0, first.min()), None),
    )
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1, handlelength=1)
    return figure


def sobol(data: xr.Dataset, measure: str, seed: int = 0) -> tuple[list[str], Array, Array]:
    """Parameters that are numbers, and the first-order and total Sobol index of a measure on each.

    Raises
    ------
    DataError
        Fewer than two parameters that are numbers, or a measure that is missing at most points.
    """
    from scipy.stats import sobol_indices, uniform

    names = [n for n in parameters(data) if data[n].dtype.kind in "fiu" and not n.endswith("seed")]
    if len(names) < 2:
        raise DataError(
            f"sensitivity needs two parameters that are numbers; there is {names or 'none'}"
        )
    function = _interpolated(data, measure, names)
    found = sobol_indices(
        func=function, n=DRAWS, dists=[uniform(0, 1)] * len(names), rng=np.random.default_rng(seed)
    )
    return names, np.ravel(found.first_order), np.ravel(found.total_order)


def _interpolated(data: xr.Dataset, measure: str, names: Sequence[str]) -> Callable[[Array], Array]:
    """The measure as a function of parameters in the unit cube, (parameters, n) -> (n,)."""
    from scipy.interpolate import NearestNDInterpolator, RBFInterpolator, RegularGridInterpolator

    if "point" in data.dims:
        places = np.array([_to_unit(data[n].values.astype(float)) for n in names]).T
        values = data[measure].values
    else:
        mean = (
            data[measure].mean([d for d in data[measure].dims if d not in names]).transpose(*names)
        )
        axes = [_to_unit(data[n].values.astype(float)) for n in names]
        if np.isfinite(mean.values).all() and all((np.diff(a) > 0).all() for a in axes):
            grid = RegularGridInterpolator(axes, mean.values)
            return lambda u: np.asarray(grid(np.clip(u, 0, 1).T))
        places, values = np.array(list(product(*axes))), np.ravel(mean.values)
    places, groups = np.unique(places, axis=0, return_inverse=True)  # repeats lie on one place
    values = np.bincount(groups.ravel(), weights=values) / np.bincount(groups.ravel())
    known = np.isfinite(values)
    if known.sum() < max(10, 0.5 * known.size):
        raise DataError(
            f"{measure} is a number at {known.sum()} of {known.size} points: too few "
            "for a sensitivity"
        )
    if known.sum() < 2000:
        radial = RBFInterpolator(places[known], values[known], kernel="linear")
        return lambda u: np.asarray(radial(u.T))
    nearest = NearestNDInterpolator(places[known], values[known])
    return lambda u: np.asarray(nearest(u.T))


KINDS: dict[str, Callable[..., Any]] = {
    "phase_diagram": phase_diagram,
    "heat_map": heat_map,
    "lines": lines,
    "parallel_coordinates": parallel_coordinates,
    "sensitivity": sensitivity,
}


# What they share


def _axes_of(
    data: xr.Dataset, x: str | None, y: str | None, panel: str | None
) -> tuple[str, str, str | None]:
    varied = parameters(data)
    given = [_named(data, n) for n in (x, y, panel) if n is not None]
    free = [n for n in varied if n not in given]
    x = x or (free.pop(0) if free else None)
    y = y or (free.pop(0) if free else None)
    if x is None or y is None:
        raise DataError(f"two parameters are needed, {varied} varied; try kind='lines'")
    if panel is None and free and not free[0].endswith("seed") and "point" not in data.dims:
        panel = free[0]
    return x, y, panel


def _named(data: xr.Dataset, name: str) -> str:
    if name not in data.coords:
        raise unknown("parameter", name, [str(n) for n in data.coords])
    return name


def _measure_of(data: xr.Dataset, measure: str | None) -> str:
    own = [str(n) for n in data.data_vars if n not in ("outcome", "reason")]
    if measure is None:
        return next(n for n in ("settle_time", *own) if n in own)
    if measure not in own:
        raise unknown("measure", measure, own)
    return measure


def _panels(
    data: xr.Dataset, panel: str | None, width: float
) -> tuple[Figure, Array, list[xr.Dataset]]:
    import matplotlib.pyplot as plt

    parts = _split(data, panel)
    if len(parts) > MOST_PANELS:
        parts = [
            parts[i]
            for i in np.unique(np.linspace(0, len(parts) - 1, MOST_PANELS).round().astype(int))
        ]
    columns = min(len(parts), 2 if width <= WIDTHS[1] or len(parts) == 4 else 3)
    rows = -(-len(parts) // columns)
    side = width / max(columns, 1)
    size = (width, 0.55 + rows * (0.82 * side if columns > 1 else 0.7 * width))
    figure, grid = plt.subplots(
        rows, columns, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    axes = np.ravel(grid)
    for i, ax in enumerate(axes):
        if i >= len(parts):
            ax.remove()
        elif i + columns >= len(parts):
            ax.tick_params(labelbottom=True)  # nothing below it
    for ax, (label, _) in zip(axes, parts, strict=False):
        ax.set_title(label if panel is not None else "")
    return figure, axes[: len(parts)], [part for _, part in parts]


def _split(data: xr.Dataset, by: str | None) -> list[tuple[str, xr.Dataset]]:
    if by is None:
        return [("", data)]
    if by not in data.dims:
        raise unknown("dimension", by, [str(d) for d in data.dims])
    name = SYMBOLS.get(by, by)
    return [(f"{name}: {_shown(v)}", data.sel({by: v})) for v in data[by].values]


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float | np.number) else str(value)


def _reduced(values: xr.DataArray, x: str, y: str, how: Callable[[Array], Array]) -> xr.DataArray:
    """(y, x), the other dimensions taken together."""
    import xarray as xr

    others = [d for d in values.dims if d not in (x, y)]
    moved = values.transpose(y, x, *others)
    return xr.DataArray(how(moved.values.reshape(*moved.shape[:2], -1)), dims=(y, x))


def _most(codes: Array) -> Array:
    counts = np.stack([(codes == i).sum(axis=-1) for i in range(len(OUTCOMES))], axis=-1)
    return np.where(counts.sum(axis=-1) > 0, counts.argmax(axis=-1), np.nan)


def _field(part: xr.Dataset, measure: str, x: str, y: str) -> Array:
    if "point" in part.dims:
        return np.asarray(part[measure].values)
    with np.errstate(all="ignore"):
        return np.asarray(_reduced(part[measure], x, y, _median).values)


def _median(values: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing but NaN
        return np.asarray(np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=-1))


def _mesh(ax: Axes, part: xr.Dataset, x: str, y: str, values: Array, **style: Any) -> Any:
    (x_edges, x_ticks), (y_edges, y_ticks) = (_edges(part[n].values) for n in (x, y))
    numbers = np.where(np.isfinite(values), values, np.nan)
    drawn = ax.pcolormesh(x_edges, y_edges, numbers, rasterized=values.size > 10_000, **style)
    for name, ticks, axis in ((x, x_ticks, ax.xaxis), (y, y_ticks, ax.yaxis)):
        if ticks is not None:
            axis.set_ticks(range(len(ticks)), ticks)
        elif geometric(part[name].values.tolist()):
            (ax.set_xscale if name == x else ax.set_yscale)("log")
        elif part[name].size <= FEW:  # a tick between them, or beyond the last, would mean nothing
            axis.set_ticks(part[name].values, [_shown(v) for v in part[name].values])
    return drawn


def _edges(values: Array) -> tuple[Array, list[str] | None]:
    """Edges of cells around the values; where they are no rising numbers, names for the ticks too."""
    if values.dtype.kind not in "fiu" or (np.diff(values) <= 0).any():
        return np.arange(len(values) + 1) - 0.5, [_shown(v) for v in values]
    scale, back = (np.log, np.exp) if geometric(values.tolist()) else (np.asarray, np.asarray)
    v = np.asarray(scale(values.astype(float)))
    if len(v) == 1:
        return np.asarray(back(np.array([v[0] - 0.5, v[0] + 0.5]))), None
    middle = (v[1:] + v[:-1]) / 2
    return np.asarray(
        back(np.concatenate([[2 * v[0] - middle[0]], middle, [2 * v[-1] - middle[-1]]]))
    ), None


def _boundary(ax: Axes, part: xr.Dataset, x: str, y: str) -> None:
    """Where the predicted growth is zero."""
    growth = _field(part, "growth", x, y)
    numeric = all(part[n].dtype.kind in "fiu" for n in (x, y))
    if numeric and min(growth.shape) > 1 and np.nanmin(growth) < 0 < np.nanmax(growth):
        # of one size on both sides, or the zero is drawn towards the large values of what grows
        squashed = np.sign(growth) * np.log1p(np.abs(growth) / np.nanmedian(np.abs(growth)))
        ax.contour(
            part[x].values, part[y].values, squashed, levels=[0.0], colors="black", linewidths=1.6
        )


def _outcome_colors() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap(list(OUTCOMES.values()))


def _outcome_legend(figure: Figure, shown: Sequence[str], boundary: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=OUTCOMES[o], edgecolor="0.3", linewidth=0.4, label=o) for o in shown
    ]
    if boundary:
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="predicted boundary"))
    narrow = figure.get_size_inches()[0] < WIDTHS[2]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=3 if narrow else len(handles),
        handlelength=1.4,
    )


def _label(ax: Axes, data: xr.Dataset, x: str, y: str) -> None:
    subplot = ax.get_subplotspec()
    assert subplot is not None
    below = [a.get_subplotspec() for a in ax.figure.axes if a.get_subplotspec() is not None]
    lowest = all(
        s.rowspan.start <= subplot.rowspan.start
        for s in below
        if s and s.colspan == subplot.colspan
    )
    ax.set_xlabel(_name(data, x) if lowest else "")
    ax.set_ylabel(_name(data, y) if subplot.is_first_col() else "")


def _name(data: xr.Dataset, name: str) -> str:
    """Symbol and unit."""
    plain = name.rsplit(".", maxsplit=1)[-1].replace("_", " ")
    return f"{SYMBOLS.get(name, plain)} ({data[name].attrs.get('units', '1')})"


def _to_unit(values: Array) -> Array:
    """0 to 1 over the range, on a logarithmic scale where values are spaced by one ratio; without a
    range 1/2.
    """
    distinct = np.unique(values[np.isfinite(values)])
    scaled = np.log(values) if geometric(distinct.tolist()) else values
    low, high = (
        f(scaled[np.isfinite(scaled)], initial=np.nan) for f in (np.fmin.reduce, np.fmax.reduce)
    )
    return (
        np.asarray((scaled - low) / (high - low))
        if high > low
        else np.where(np.isfinite(values), 0.5, np.nan)
    )
