"""Recorded values as arrays, and the lines, scales and colours of populations in all pictures.

Start at `recorded_of` and `draw_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from neurosim.errors import DataError, shown
from neurosim.model.network import Network
from neurosim.plot.library import matplotlib as mpl
from neurosim.plot.names import wrapped
from neurosim.plot.page import (
    distinct_color,
    palette,
    title_font,
)
from neurosim.results.format import current_name
from neurosim.results.runs import Log, Run
from neurosim.results.traces import VARIABLES, with_current_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Array = np.ndarray
P = ParamSpec("P")
R = TypeVar("R")

GREY = "#7F7F7F"
NOT_FINITE = "#B0B0B0"  # of what is not finite, in every picture
DASHED = (0, (3, 1.5))
HOLLOW: Any = MappingProxyType({"markerfacecolor": "white"})  # of the second line of a colour
SYMBOLS = MappingProxyType(
    {
        "x": "output x",
        "a": "net input a",
        "g": "violation g",
        "lam": "multiplier λ",
        "delta": "message δ",
        "w": "weight w",
    }
)

NARROW = 5  # ratio of the ends of a logarithmic axis below which its ticks are even steps
LONG = 5.0  # s, from which times are drawn in s
MOST_CAPTION_LINES = 2
MOST_LINES = 32  # per population or projection; more could not be told apart
ROUNDING = 1e-17  # below it differences of float64 are rounding
LEAST_LOSS = 1e-34  # the same for losses, which are squares


# Recorded values


def recorded_names(run: Run) -> set[str]:
    """Return the current names of the recorded variables."""
    if run.traces is None:
        return set()
    return {current_name(str(name)) for name in run.traces.data_vars}


def traces_of(run: Run, variable: str) -> Any:
    """Return the traces of a run, an xarray.Dataset, if they hold a variable.

    Raises
    ------
    DataError
        The variable was not recorded.
    """
    if run.traces is None:
        recorded = []
    else:
        traces = with_current_names(run.traces)
        if variable in traces:
            return traces
        recorded = [str(name) for name in run.traces if str(name) in VARIABLES]
    raise DataError(
        f"{variable} was not recorded, only {recorded}; "
        f"try relax(..., record=({variable!r},)) to record it"
    )


def recorded_of(run: Run, variable: str) -> dict[str, Array]:
    """Return the recorded values of a variable, {population: (time, pattern, units)}.

    Raises
    ------
    DataError
        The variable was not recorded.
    """
    stored = traces_of(run, variable)
    names = stored["population"].values
    values = {}
    for name in dict.fromkeys(names.tolist()):
        own = stored[variable].values[..., names == name]
        if not np.isnan(own).all():
            values[str(name)] = own
    return values


def recorded_units(run: Run, population: str) -> Array:
    """Return the indices in a population of its recorded units, in the order of `recorded_of`."""
    stored = traces_of(run, "index")
    return np.asarray(stored["index"].values[stored["population"].values == population])


def row_of(run: Run, pattern: int | None) -> int:
    """Return the index of a pattern of the batch among the recorded ones; 0 if it is None.

    Raises
    ------
    DataError
        The pattern was not recorded.
    """
    recorded = traces_of(run, "pattern")["pattern"].values.tolist()
    if pattern is None:
        return 0
    if pattern not in recorded:
        raise DataError(f"pattern = {pattern!r} was not recorded; allowed: {recorded}")
    return int(recorded.index(pattern))


def times_of(run: Run) -> Array:
    """Return the times of the samples, (time,), in the unit of `time_label`."""
    seconds = np.asarray(traces_of(run, "time")["time"].values, dtype=float)
    return seconds if _is_long(seconds) else 1e3 * seconds


def time_label(run: Run) -> str:
    """Return the label of a time axis: in ms, or in s for a long run."""
    seconds = np.asarray(traces_of(run, "time")["time"].values, dtype=float)
    return "time (s)" if _is_long(seconds) else "time (ms)"


def _is_long(seconds: Array) -> bool:
    return bool(seconds.size and seconds[-1] >= LONG)


def refuse_stream(run: Run) -> None:
    """Refuse the run of a stream, which holds the inputs of its last frame only.

    Raises
    ------
    DataError
        The run is a stream.
    """
    if "per_frame" in run.settings:
        raise DataError(
            f"the run is a stream of {run.settings['per_frame']:g} s per frame, which holds the "
            "inputs of its last frame only; allowed: runs of relax; try ref=..., record=('g',)"
        )


def largest_size(values: Array) -> float:
    """Return the largest absolute value that is finite; 0 if there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))


def finite_or_nan(values: Array) -> Array:
    """Replace infinities by NaN."""
    return np.where(np.isfinite(values), values, np.nan)


def positive(values: Array) -> Array:
    """Replace what a logarithmic axis cannot show by NaN, so that exact zeros are gaps."""
    return np.where(values > 0, values, np.nan)


def finite_samples(values: Array) -> Array:
    """Return at which samples all values are finite, bool (time,)."""
    return np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))


def finite_times(run: Run, row: int) -> Array:
    """Return at which samples all recorded states of a pattern are finite, bool (time,)."""
    found = np.ones(len(times_of(run)), dtype=bool)
    for variable in recorded_names(run) & {"x", "lam", "g"}:
        for values in recorded_of(run, variable).values():
            found &= finite_samples(values[:, row])
    return found


# Lines


def evenly_spread(count: int, most: int, *, rounded: bool = True) -> Array:
    """Return at most `most` of the indices 0 to count - 1, spread evenly.

    Fractional places are rounded to the nearest index, or down if not `rounded`.
    """
    places = np.linspace(0, count - 1, min(count, most))
    if rounded:
        places = places.round()
    return np.unique(places.astype(int))


def chosen_lines(units: Iterable[int] | None, recorded: Array, what: str) -> Array:
    """Return where the units to draw stand among the recorded ones.

    By default all are drawn, but at most `MOST_LINES`.

    Parameters
    ----------
    units : iterable of int, optional
        Indices in the population.
    recorded : array of int
        Indices of the recorded units.
    what : str
        What they are, for the message.

    Raises
    ------
    DataError
        A unit was not recorded.
    """
    if units is None:
        return evenly_spread(len(recorded), MOST_LINES)
    place = {int(unit): i for i, unit in enumerate(recorded)}
    for unit in units:
        if unit not in place:
            raise DataError(f"{what}: {shown(unit)}; allowed: {_listed(recorded)}")
    return np.array([place[int(unit)] for unit in units], dtype=int)


def _listed(units: Array) -> str:
    """Return indices in words: a range where they are one."""
    if np.array_equal(units, np.arange(len(units))):
        return f"0 to {len(units) - 1}"
    first = ", ".join(map(str, units[:MOST_LINES]))
    return f"{first}, which were recorded" if len(units) <= MOST_LINES else f"{first}, ..."


def count_label(name: str, shown: int, total: int, noun: str) -> str:
    """Return a legend entry with the number of lines: those drawn, and those in all."""
    if total == 1:
        return f"{name}, 1 {noun.removesuffix('s')}"
    if shown == total:
        return f"{name}, {total} {noun}"
    return f"{name}, {shown} of {total} {noun}"


def draw_lines(
    ax: Axes,
    time: Array,
    values: Array,
    *,
    labels: Sequence[str],
    total: str,
    color: str,
    alone: bool,
) -> None:
    """Draw values, (time, lines), each line in its own colour if they are few and `alone`.

    Otherwise all are drawn in one colour and share one legend entry.

    Parameters
    ----------
    labels : sequence of str
        One for each line.
    total : str
        The label that all of them share.
    alone : bool
        Whether the axes hold no other lines.
    """
    marker = marker_for(len(time), most=1)
    if alone and len(labels) <= len(palette()):
        for line, label, own_color in zip(values.T, labels, palette(), strict=False):
            ax.plot(time, line, color=own_color, marker=marker, label=label)
        return
    label = total
    alpha = float(np.clip(8 / len(labels), 0.35, 1.0))
    thin = 2 / 3 * mpl.rcParams["lines.linewidth"]
    for line in values.T:
        ax.plot(time, line, color=color, marker=marker, alpha=alpha, linewidth=thin, label=label)
        label = "_"


def marker_for(points: int, most: int) -> str:
    """Return the marker of a line: dots up to `most` points, else none."""
    return "o" if points <= most else ""


# Axes, legends and colours


def population_label(net: Network, population: str, units: int) -> str:
    """Return a legend entry: a population's name, and how many of its units are drawn if not all.

    Parameters
    ----------
    units : int
        Number of units that are drawn.
    """
    size = net.populations[population].size
    return population if units == size else count_label(population, units, size, "units")


def axis_label(variable: str) -> str:
    """Return symbol and unit of a variable."""
    return f"{SYMBOLS.get(variable, variable)} (1)"


def span_of(time: Array) -> tuple[float, float]:
    """Return the limits of a time axis, with a margin on both sides."""
    first, last = float(time[0]), float(time[-1])
    margin = 0.05 * (last - first) or 1.0
    return first - margin, last + margin


def mark_not_finite(ax: Axes, time: Array, finite: Array) -> None:
    """Shade the time from the first sample that is not finite, and show all times.

    Parameters
    ----------
    time : (time,)
        In the unit of the axis.
    finite : (time,)
        Whether what is drawn is finite.
    """
    if finite.all():
        return
    first, last = span_of(time)
    low, high = ax.get_xlim()
    last = max(last, high)
    look: Any = {"color": NOT_FINITE, "alpha": 0.5, "linewidth": 0, "zorder": 0}
    ax.axvspan(time[np.argmin(finite)], last, label="not finite", **look)
    ax.set_xlim(min(first, low), last)


def mark_diverged(ax: Axes, log: Log) -> None:
    """Shade the time from which the loss of a training is not finite.

    A loss that is missing in between was not measured there.
    """
    if "loss" not in log.history:
        return
    finite = np.isfinite(log.history["loss"].values)
    if not finite[np.argmin(finite) :].any():
        mark_not_finite(ax, log.history["time"].values, finite)


def log_scale(ax: Axes, floor: float = ROUNDING, empty: str = "no value above 0") -> None:
    """Make the y axis logarithmic if any value is positive; cut it off below a floor.

    Where nothing can be drawn, a note in the empty axes says why: `empty`. Ticks of less than two
    powers of ten are plain numbers.
    """
    drawn = np.concatenate([np.ravel(line.get_ydata()) for line in ax.get_lines()])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size == 0:
        add_note(ax, empty)
        return
    drawn = drawn[drawn > 0]
    if drawn.size == 0:
        return
    low, high = drawn.min(), drawn.max()
    ax.set_yscale("log")
    if low < floor < high:
        ax.set_ylim(bottom=floor)
    if high < 100 * low:
        plain_ticks(ax.yaxis)


def plain_ticks(axis: Any, *, integer: bool = False) -> None:
    """Write short numbers at the ticks of a logarithmic axis that spans few powers of ten.

    Those of counts are integers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    if high < NARROW * low:
        axis.set_major_locator(MaxNLocator(4, integer=integer))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axis.set_minor_formatter(NullFormatter())


def add_note(ax: Axes, note: str) -> None:
    """Write in the middle of empty axes why they are empty."""
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # over lines and shades
    look: Any = {"ha": "center", "va": "center", "color": "0.35", "bbox": behind, "zorder": 5}
    ax.text(0.5, 0.5, note, transform=ax.transAxes, **look)
    ax.set_yticks([])


def color_of(net: Network, population: str) -> str:
    """Return the colour of a population, the same in every picture; grey if it is clamped."""
    neurons = net.neurons
    if population not in neurons:
        return GREY
    return distinct_color(neurons.index(population), len(neurons))


def text_color(background: Any) -> str:
    """Return black or white, whichever reads better on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(background)
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2  # WCAG 2
    return "white" if luminance < 0.18 else "black"


# Captions


def caption(run: Run, end: str, width: float) -> str:
    """Return lines that describe a run: its network; its flow, step and time.

    Parameters
    ----------
    run : Run
    end : str
        Words at the end.
    width : float
        Of a line, points.
    """
    flow = run.flow
    parts = [
        f"κ = {flow.kappa:.3g}",
        f"γ = {flow.gamma:.3g}",
        f"ρ = {flow.rho:.3g}",
    ]
    if "dt" in run.settings:
        dt = 1e3 * run.settings["dt"]
        parts.append(f"dt = {dt:g} ms")
    parts.append(f"{run.time:g} s in {run.steps} steps")
    if run.interrupted:
        parts.append("interrupted")
    lines = []
    for text in (repr(run.network), ", ".join(parts) + end):
        lines += wrapped(text, width, MOST_CAPTION_LINES, title_font())
    return "\n".join(line.strip() for line in lines)


def last_part(result: Run | Log) -> str:
    """Return the end of a caption if the run is only the last part of a training, else "".

    A training that prunes or grows its network has several parts.
    """
    if isinstance(result, Run) or "neurons" not in result.history:
        return ""
    time = result.history["time"]
    if not len(time):
        return ""
    return f", the last part of {float(time[-1]):g} s"
