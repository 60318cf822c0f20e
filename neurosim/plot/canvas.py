"""What pictures share: their look, axes, legends and colours, and what a run recorded, as arrays.
Start at `styled`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.plot.drawing import PALETTE
from neurosim.results.format import current_name
from neurosim.results.runs import Log, Run
from neurosim.results.traces import VARIABLES, with_current_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Array = np.ndarray
P = ParamSpec("P")
R = TypeVar("R")

GREY = "#7F7F7F"
STYLE: Any = MappingProxyType(  # matplotlib's stubs want their own literal keys
    {
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.2,
        "figure.dpi": 120,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,  # text stays text
        "svg.fonttype": "none",
    }
)
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

MOST_LINES = 32  # of one population or projection; more are a blot
ROUNDING = 1e-17  # below it differences of float64 say nothing


def style() -> AbstractContextManager[None]:
    """The look of all pictures as a context, for figures of one's own: ``with style():
    plt.subplots()``.
    """
    import matplotlib as mpl

    return mpl.rc_context(dict(STYLE))


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """The function, drawing in the look that all pictures share."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with (
            style(),
            np.errstate(over="ignore", invalid="ignore"),
        ):  # what diverged can be drawn too
            return function(*args, **kwargs)

    return inner


def given_axes(ax: Axes | None, size: tuple[float, float] = (4.8, 3.2)) -> Axes:
    """The axes that were given, untouched; or those of a new pyplot figure, `size` in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def recorded_names(run: Run) -> set[str]:
    """Return the names of the recorded variables as they are called today."""
    return set() if run.traces is None else {current_name(str(v)) for v in run.traces.data_vars}


def traces_of(run: Run, variable: str) -> Any:
    """The run's traces, if that variable is among them."""
    traces = None if run.traces is None else with_current_names(run.traces)
    if traces is None or variable not in traces:
        there = [] if run.traces is None else [str(v) for v in run.traces if str(v) in VARIABLES]
        raise DataError(
            f"{variable} was not recorded, only {there}; try relax(..., "
            f"record=({variable!r},)) to record it"
        )
    return traces


def recorded_of(run: Run, variable: str) -> dict[str, Array]:
    """What was recorded of a variable, {population: (time, pattern, units)}."""
    stored = traces_of(run, variable)
    names = stored["population"].values
    values = {
        str(name): stored[variable].values[..., names == name]
        for name in dict.fromkeys(names.tolist())
    }
    return {name: array for name, array in values.items() if not np.isnan(array).all()}


def row_of(run: Run, pattern: int | None) -> int:
    """Where a pattern of the batch is in what was recorded; the first one if None."""
    recorded = traces_of(run, "pattern")["pattern"].values.tolist()
    if pattern is not None and pattern not in recorded:
        raise DataError(f"pattern = {pattern!r} was not recorded; allowed: {recorded}")
    return 0 if pattern is None else recorded.index(pattern)


def milliseconds(run: Run) -> Array:
    """Times of the samples, (time,), in ms."""
    return np.asarray(1e3 * traces_of(run, "time")["time"].values)


def evenly_spread(count: int, most: int, *, rounded: bool = True) -> Array:
    """Return at most `most` of the indices 0 to count - 1, at equal distances.

    Indices that fall between two whole numbers are rounded to the nearest, or else down.
    """
    places = np.linspace(0, count - 1, min(count, most))
    if rounded:
        places = places.round()
    return np.unique(places.astype(int))


def chosen_units(units: Iterable[int] | None, size: int, what: str) -> Array:
    """Index of the lines to draw; evenly spread where they are too many."""
    if units is None:
        return np.unique(np.linspace(0, size - 1, min(size, MOST_LINES)).round().astype(int))
    chosen = [int(unit) for unit in units]
    if outside := [unit for unit in chosen if not 0 <= unit < size]:
        raise DataError(f"{what}: {outside[0]}; allowed: 0 to {size - 1}")
    return np.array(chosen, dtype=int)


def counted(name: str, shown: int, total: int, noun: str) -> str:
    """How many are drawn of how many, for a legend."""
    return f"{name}, {total} {noun}" if shown == total else f"{name}, {shown} of {total} {noun}"


def plot_many(
    ax: Axes,
    time: Array,
    values: Array,
    *,
    labels: Sequence[str],
    total: str,
    color: str,
    alone: bool,
) -> None:
    """Lines of their own colours where they are few and alone, else of one colour with one entry in
    the legend.
    """
    few = alone and len(labels) <= len(PALETTE)
    for i, line in enumerate(values.T):
        label = labels[i] if few else total if i == 0 else "_"
        alpha = 1.0 if few else max(0.35, min(1.0, 8 / len(labels)))
        ax.plot(
            time,
            line,
            color=PALETTE[i] if few else color,
            alpha=alpha,
            linewidth=1.2 if few else 0.8,
            label=label,
        )


def add_legend(ax: Axes, without: Collection[str] = ()) -> None:
    """Above the axes, where no curve can be; as many columns as fit, lines opaque, each label once."""
    handles, labels = ax.get_legend_handles_labels()
    entries = {
        name: h
        for h, name in zip(handles, labels, strict=True)
        if name.split(",")[0] not in without
    }
    if (old := ax.get_legend()) is not None:
        old.remove()
    if not entries:
        return
    width = ax.bbox.width * 72 / ax.figure.dpi  # points
    widest = 26 + 4.6 * max(len(name.replace("$_{BP}$", "BP")) for name in entries)
    legend = ax.legend(
        list(entries.values()),
        list(entries),
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.3,
        ncols=int(np.clip(width // widest, 1, len(entries))),
        handlelength=1.6,
        columnspacing=1.0,
        labelspacing=0.3,
    )
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def axis_label(variable: str) -> str:
    """Symbol and unit of a variable."""
    return f"{SYMBOLS.get(variable, variable)} (1)"


def color_of(net: Network, population: str) -> str:
    """The same population has the same colour in every picture."""
    neurons = net.neurons
    return PALETTE[neurons.index(population) % len(PALETTE)] if population in neurons else GREY


def positive(values: Array) -> Array:
    """What a logarithmic axis can show: exact zeros are gaps."""
    return np.where(values > 0, values, np.nan)


def log_scale(ax: Axes) -> None:
    """A logarithmic axis if there is something to show on it, and not below what rounding leaves."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator

    drawn = np.concatenate([np.ravel(line.get_ydata()) for line in ax.get_lines()])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if drawn.size == 0:
        return
    ax.set_yscale("log")
    if drawn.min() < ROUNDING < drawn.max():
        ax.set_ylim(bottom=ROUNDING)
    if drawn.max() < 100 * drawn.min():  # one or two powers of ten say too little
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))


def refuse_stream(run: Run) -> None:
    """Only the inputs of the last frame are known of a stream."""
    if "per_frame" in run.settings:
        raise DataError(
            "the run is a stream, whose inputs are not those of the last frame; try "
            "ref=..., record=('g',)"
        )


def span_of(time: Array) -> tuple[float, float]:
    """Limits of an axis of time, with a margin."""
    margin = 0.05 * float(time[-1] - time[0]) or 1.0
    return float(time[0]) - margin, float(time[-1]) + margin


def caption(run: Run) -> str:
    """What was simulated, in two lines."""
    flow = run.flow
    dt = f", dt = {1e3 * run.settings['dt']:g} ms" if "dt" in run.settings else ""
    return (
        f"{run.network!r}\nκ = {flow.kappa:.3g}, γ = {flow.gamma:.3g}, ρ = {flow.rho:.3g}{dt}, "
        f"{run.time:g} s in {run.steps} steps" + (", interrupted" if run.interrupted else "")
    )


def last_part(result: Run | Log) -> str:
    """What is to be added about the time of a training whose network changed its size."""
    if (
        isinstance(result, Run)
        or "neurons" not in result.history
        or not len(result.history["time"])
    ):
        return ""
    return f", the last part of {float(result.history['time'][-1]):g} s"


def share_legend(figure: Figure, axes: Sequence[Axes], net: Network) -> None:
    """One legend for the populations, whose colours all panels share."""
    from matplotlib.lines import Line2D

    for ax in axes:
        add_legend(ax, without=net.populations)
    handles = [Line2D([], [], color=color_of(net, n), label=n) for n in net.neurons]
    figure.legend(
        handles=handles, loc="outside lower right", ncols=min(len(handles), 8), handlelength=1.6
    )
