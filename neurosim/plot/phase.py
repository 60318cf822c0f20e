"""The plane of the output and the multiplier of a unit: its path, its target, the field in it.

Start at `phase_portrait`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ConvergenceError, DataError, unknown
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    add_note,
    chosen_lines,
    color_of,
    finite_samples,
    recorded_of,
    recorded_units,
    row_of,
    time_label,
    times_of,
    traces_of,
)
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend
from neurosim.plot.names import shortened, text_width
from neurosim.plot.page import Size, given_axes, palette, size_in_points, styled, title_font
from neurosim.plot.runs import final_reference, is_plastic
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

PATH = "path"  # marks the lines that are paths
ARROWS = (0.25, 0.6)  # where a path has an arrow, as shares of its length
FINE = 25  # points per side on which the field is computed
COARSE = 2  # every so many of them has an arrow
MARGIN = 0.15  # of the field beyond the path


@styled
def phase_portrait(
    run: Run,
    population: str,
    unit: int | Iterable[int] = 0,
    pattern: int | None = None,
    ax: Axes | None = None,
    *,
    field: bool = False,
    figsize: Size | None = None,
) -> Axes:
    """Draw the path of units in the plane of their output and their multiplier.

    Arrows show the direction. Start, end and, with fixed weights, backpropagation's values, to
    which the path leads, are marked. A further call with the same axes adds a path in another
    colour.

    Parameters
    ----------
    run : Run
    population : str
    unit : int or iterable of int
        Indices in the population.
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    ax : Axes, optional
        By default those of a new figure.
    field : bool
        Whether to draw the vector field of one unit and its nullclines (dx/dt = 0 full, dλ/dt = 0
        dashed), with all other units held at their final state. Where that is not finite, the
        picture says that there is no field.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError, ModelError
        x or lam of that unit was not recorded; or a field is asked for of several units, of moving
        weights, or of a run with extensions.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.mlp([2, 3, 1], loss="mse", seed=0)
    >>> sim = ns.Simulation(net, ns.Flow.augmented(), backend="numpy")
    >>> run = sim.relax([[1.0, 0.0]], [[1.0]], duration=0.2, record=("x", "lam"))
    >>> ax = phase_portrait(run, "hidden1", 0, field=True)
    >>> ax.get_xlabel()
    'output x of hidden1[0] (1)'
    """
    units = [int(unit)] if isinstance(unit, int | np.integer) else [int(own) for own in unit]
    if field and len(units) != 1:
        raise DataError(f"field of units = {units}; allowed: one unit; try unit={units[:1]}")
    paths = [_path(run, population, own, pattern) for own in units]
    ends_well = all(np.isfinite(own).all() for own in (*run.x.values(), *run.lam.values()))
    ax = given_axes(ax, figsize, (3.8, 3.4))
    earlier = [line for line in ax.get_lines() if line.get_gid() == PATH]
    target = _target(run, population, pattern)
    colors = _colors(run, population, len(units), [str(line.get_color()) for line in earlier])
    several = len(units) + len(earlier) > 1
    for own, path, color in zip(units, paths, colors, strict=True):
        goal = None if target is None else target[own]
        label = f"{population}[{own}]" if several else "_"
        _draw_path(ax, path, goal, color=color, label=label)
    if field and ends_well:
        _draw_field(ax, run, population, units[0], row_of(run, pattern))
    _label(ax, "" if several else f"{population}[{units[0]}]")
    _add_keys(ax, run, paths, target is not None)
    if field and not ends_well:
        add_legend(ax, title="no field, as the end is not finite")
    return ax


def _path(run: Run, population: str, unit: int, pattern: int | None) -> Array:
    """Return the recorded output and multiplier of one unit and pattern, (time, 2).

    Raises
    ------
    DataError, ModelError
        They were not recorded.
    """
    columns = []
    for variable in ("x", "lam"):
        values = recorded_of(run, variable)
        if population not in values:
            raise unknown(f"population with a trace of {variable}", population, values)
        recorded = recorded_units(run, population)
        (place,) = chosen_lines([unit], recorded, f"unit of {population}")
        columns.append(values[population][:, row_of(run, pattern), place])
    return np.column_stack(columns)


def _target(run: Run, population: str, pattern: int | None) -> Array | None:
    """Return backpropagation's outputs and multipliers, (units, 2); None if they are not known."""
    if is_plastic(run) or "per_frame" in run.settings:
        return None
    try:
        truth = final_reference(run)
    except ConvergenceError:
        return None
    row = int(traces_of(run, "pattern")["pattern"].values[row_of(run, pattern)])
    return np.column_stack([truth.x[population][row], truth.lam[population][row]])


def _colors(run: Run, population: str, count: int, used: Sequence[str]) -> list[str]:
    """Return a colour per path: the population's for the first, others of the palette then."""
    own = color_of(run.network, population)
    free = [color for color in (own, *palette()) if color not in used]
    colors = list(dict.fromkeys(free)) or list(palette())
    return [colors[i % len(colors)] for i in range(count)]


def _draw_path(ax: Axes, path: Array, goal: Array | None, *, color: str, label: str) -> None:
    """Draw a path with arrows, its start, its end and its goal."""
    whole = np.where(np.isfinite(path).all(axis=1, keepdims=True), path, np.nan)
    ax.plot(whole[:, 0], whole[:, 1], color=color, label=label, gid=PATH)
    finite = path[finite_samples(path)]
    look: Any = {"color": color, "markersize": 6, "label": "_", "zorder": 4}
    if len(finite):
        ax.plot(finite[:1, 0], finite[:1, 1], "o", markerfacecolor="white", **look)
        ax.plot(finite[-1:, 0], finite[-1:, 1], "o", **look)
    if goal is not None:
        edge: Any = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(goal[:1], goal[1:], "X", **look | edge | {"zorder": 5})
    lengths = np.hypot(np.diff(finite[:, 0]), np.diff(finite[:, 1]))
    if not lengths.sum() > 0:
        return
    along = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
    for share in ARROWS:
        i = int(np.clip(np.searchsorted(along, share), 1, len(finite) - 1))
        arrow: Any = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", finite[i], finite[i - 1], arrowprops=arrow, zorder=3)


def _label(ax: Axes, name: str) -> None:
    """Label the axes, with the name of the unit if there is one only."""
    room = min(size_in_points(ax)) - text_width("multiplier λ of  (1)", title_font())
    short = shortened(name, room, title_font())
    of = f" of {short}" if name else ""
    ax.set(xlabel=f"output x{of} (1)", ylabel=f"multiplier λ{of} (1)")
    ax.locator_params(nbins=5)


def _add_keys(ax: Axes, run: Run, paths: Sequence[Array], target: bool) -> None:
    """Add the legend: the marks once, in grey, and the paths if there are several.

    The end of a path that diverged is its last finite point.
    """
    time = times_of(run)
    finite = np.all([finite_samples(path) for path in paths], axis=0)
    kept = np.flatnonzero(finite)
    unit = time_label(run).removeprefix("time (").removesuffix(")")
    end = f"end, {time[-1]:g} {unit}"
    if not len(kept):
        end = "end"
        add_note(ax, "no finite value")
    elif kept[-1] < len(time) - 1:
        end = f"last finite point, {time[kept[-1]]:g} {unit}"
    marks: dict[str, Any] = {
        "start": {"marker": "o", "markerfacecolor": "white"},
        end: {"marker": "o"},
    }
    if target:
        marks["backpropagation"] = {"marker": "X"}
    known = ax.get_legend_handles_labels()[1]
    for label, look in marks.items():
        if label not in known:
            add_legend_line(ax, label, color=GREY, linestyle="none", **look)
    add_legend(ax)


def _draw_field(ax: Axes, run: Run, population: str, unit: int, row: int) -> None:
    """Draw the vector field in the window of the path, and where each rate is zero."""
    path = [line for line in ax.get_lines() if line.get_gid() == PATH][-1]
    places = np.column_stack(path.get_data())
    low, high = places.min(axis=0), places.max(axis=0)
    margin = MARGIN * np.maximum(high - low, 1e-3)
    x = np.linspace(low[0] - margin[0], high[0] + margin[0], FINE)
    lam = np.linspace(low[1] - margin[1], high[1] + margin[1], FINE)
    dx, dlam = field_of(run, population, unit, x, lam, row)
    sideways, upwards = dx / np.ptp(x), dlam / np.ptp(lam)
    size = np.hypot(sideways, upwards)
    size[size == 0] = 1.0
    some = slice(None, None, COARSE)
    ax.quiver(
        x[some],
        lam[some],
        (sideways / size)[some, some],
        (upwards / size)[some, some],
        color="0.75",
        pivot="mid",
        scale=18,
        width=0.004,
        zorder=0,
    )
    for rate, dashes in ((dx, "-"), (dlam, "--")):
        if rate.min() < 0 < rate.max():
            look: Any = {"colors": "0.45", "linewidths": 0.9, "linestyles": dashes}
            ax.contour(x, lam, rate, levels=[0.0], zorder=1, **look)
    ax.set(xlim=(x[0], x[-1]), ylim=(lam[0], lam[-1]))
    add_legend_line(ax, "dx/dt = 0", color="0.45", linewidth=0.9)
    add_legend_line(ax, "dλ/dt = 0", color="0.45", linewidth=0.9, linestyle=DASHED)


def field_of(
    run: Run, population: str, unit: int, x: Array, lam: Array, row: int
) -> tuple[Array, Array]:
    """Return dx/dt and dλ/dt of one unit, (len(lam), len(x)), 1/s, all others held at the end.

    Parameters
    ----------
    x, lam : (n,), unit 1
        Values of the unit's output and multiplier.
    row : int
        Row of the pattern among the recorded ones.

    Raises
    ------
    DataError
        The weights moved, the run has extensions, or its end is not finite.
    """
    from neurosim.reference import right_hand_side

    if is_plastic(run) or run.settings.get("extensions"):
        raise DataError(
            f"a field of {run!r}; allowed: fixed weights and no extensions; try field=False"
        )
    pattern = int(traces_of(run, "pattern")["pattern"].values[row])
    columns, rows = np.meshgrid(x, lam)
    at = np.repeat(pattern, columns.size)
    outputs = {name: own[at] for name, own in run.x.items()}
    multipliers = {name: own[at] for name, own in run.lam.items()}
    for own in (*outputs.values(), *multipliers.values()):
        if not np.isfinite(own).all():
            raise DataError(f"a field of {run!r}, whose end is not finite; try field=False")
    outputs[population][:, unit] = columns.ravel()
    multipliers[population][:, unit] = rows.ravel()
    X = {name: own[at] for name, own in run.X.items()}
    Y = {name: own[at] for name, own in run.Y.items()}
    rates = right_hand_side(run.network, run.flow, outputs, multipliers, X, Y, plastic=False)
    dx = rates.x[population][:, unit].reshape(columns.shape)
    return dx, rates.lam[population][:, unit].reshape(columns.shape)
