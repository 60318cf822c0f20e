"""Pictures of messages: which units send when, at what cost, and with what accuracy.

Start at `events`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    HOLLOW,
    add_note,
    color_of,
    finite_times,
    log_scale,
    mark_not_finite,
    marker_for,
    plain_ticks,
    population_label,
    positive,
    recorded_names,
    recorded_of,
    row_of,
    span_of,
    time_label,
    times_of,
    traces_of,
)
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend, share_legend
from neurosim.plot.names import shortened_all, text_width
from neurosim.plot.page import (
    PALETTE,
    Size,
    given_axes,
    line_height,
    new_figure,
    room_at_left,
    size_in_points,
    small_font,
    styled,
    tick_font,
)
from neurosim.plot.runs import final_reference, traces
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

THETA, QUANTUM, OTHER = "θ", "q", ""
FAMILIES = (
    (THETA, "o-", PALETTE[0]),
    (QUANTUM, "o-", PALETTE[1]),
    (OTHER, "D", PALETTE[2]),
)
SYMBOLS = {"events_delta": "δ", "events_x": "x"}  # of recorded counts, from the bottom up
WIDEST_NAMES = 0.35  # of the width of the axes
ROOM = 0.75  # of axes before they are laid out, which a legend or labels may narrow
MANY = 5000  # events from which marks are stored as pixels


@styled
def events(
    run: Run, pattern: int | None = None, ax: Axes | None = None, *, figsize: Size | None = None
) -> Axes:
    """Draw a mark for each event of one pattern: forward messages above, backward ones below.

    Events are counted in the recorded events_x and events_delta. Where not every step was recorded,
    a mark stands at the next sample.

    Parameters
    ----------
    run : Run
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        Neither was recorded.
    """
    recorded = recorded_names(run)
    if not recorded & set(SYMBOLS):
        traces_of(run, "events_x")  # raises the error
    row = row_of(run, pattern)
    time = times_of(run)
    ax = given_axes(ax, figsize)
    rows = []
    for variable, symbol in SYMBOLS.items():
        if variable in recorded:
            own = recorded_of(run, variable)
            rows += [(symbol, name, own[name][:, row]) for name in reversed(own)]
    least = 0.15 * max(counts.shape[1] for _, _, counts in rows)
    base, places, labels = 0.0, [], []
    for symbol, name, counts in rows:
        size = counts.shape[1]
        sample, unit = np.nonzero(np.diff(counts, axis=0, prepend=0))
        height = max(size, least)  # leaves room for the name of a small population
        ax.plot(
            time[sample],
            base + unit * height / size,
            "|",
            color=color_of(run.network, name),
            markersize=2.5,
            alpha=0.7,
            rasterized=len(unit) > MANY,
        )
        places.append(base + height / 2)
        labels.append(f"{symbol} {population_label(run.network, name, size)}")
        base += height + least / 2
    if not any(counts.any() for _, _, counts in rows):
        add_note(ax, "no events")
    room = room_at_left(ax, WIDEST_NAMES)
    step = ROOM * size_in_points(ax)[1] / max(len(places), 1)  # points per name
    every = int(np.ceil(line_height() / step))
    ax.set_yticks(places[::every], shortened_all(labels[::every], room, tick_font(ax.yaxis)))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=time_label(run), ylabel="unit that sends")
    ax.set(xlim=span_of(time), ylim=(-least / 2, base))
    mark_not_finite(ax, time, finite_times(run, row))
    add_legend(ax)
    return ax


@styled
def events_over_traces(
    run: Run, pattern: int | None = None, *, figsize: Size | None = None
) -> Figure:
    """Draw the events, x and lam of one pattern above each other, over the same time.

    Parameters
    ----------
    run : Run
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        x, lam, or both events_x and events_delta were not recorded.
    """
    figure = new_figure(5.2, 6.6, figsize)
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(1.5, 1.0, 1.0))
    events(run, pattern, axes[0])
    traces(run, "x", pattern=pattern, ax=axes[1])
    traces(run, "lam", pattern=pattern, ax=axes[2])
    for ax in axes[:-1]:
        ax.set_xlabel("")
    share_legend(figure, axes, run.network)
    return figure


@styled
def operations(run: Run, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the synaptic operations of messages per pattern since the start.

    Full lines are messages forward, dashed ones messages back. Recorded events are compared with
    dense messages.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        events_x or events_delta was not recorded for a population that sends events.
    """
    from neurosim.results.operations import operations_by_event, synaptic_operations

    spent = operations_by_event(run)
    total, time, ax = synaptic_operations(run), times_of(run), given_axes(ax, figsize)
    seconds = traces_of(run, "time")["time"].values
    until = seconds + run.settings["dt"]  # after the step of each sample
    dense = total.dense * until / run.time
    marker = marker_for(len(time), most=1)
    ax.plot(time, dense, color="black", marker=marker, linestyle=":", label="dense")
    named = set()
    for label, values in spent.items():
        symbol, name = label.split(maxsplit=1)
        line: Any = {"linestyle": "-"} if symbol == "x" else {"linestyle": DASHED, **HOLLOW}
        color = color_of(run.network, name)
        own = "_" if name in named else name
        named.add(name)
        ax.plot(time, positive(values), color=color, marker=marker, label=own, **line)
    effective = np.sum(list(spent.values()), axis=0)
    ax.plot(time, positive(effective), color="black", marker=marker, label="all events")
    add_legend_line(ax, "x forward", color=GREY, marker=marker)
    add_legend_line(ax, "δ back", color=GREY, marker=marker, linestyle=DASHED, **HOLLOW)
    ax.set(xlabel=time_label(run), ylabel="operations per pattern (1)")
    log_scale(ax)
    patterns = traces_of(run, "pattern").sizes["pattern"]
    finite = np.all([finite_times(run, row) for row in range(patterns)], axis=0)
    mark_not_finite(ax, time, finite)
    add_legend(ax)
    return ax


@styled
def cost(runs: Iterable[Run], ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the largest error of λ against backpropagation over the synaptic operations of each run.

    Parameters
    ----------
    runs : iterable of Run
        Relaxations that differ in their threshold, which is written beside each point.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        There are no runs, or one of them is a stream.
    """
    points = sorted(_cost_of(run) for run in runs)
    if not points:
        raise DataError(f"runs = {points}; allowed: runs of relax with different thresholds")
    ax = given_axes(ax, figsize)
    for family, line, color in FAMILIES:
        own = [point for point in points if _family(point[2]) == family]
        spent = positive(np.array([point[0] for point in own]))
        errors = positive(np.array([point[1] for point in own]))
        ax.plot(spent, errors, line, color=color, markersize=4)
    lost = sum(not np.isfinite(point[1]) for point in points)
    log_scale(ax, empty="no finite value" if lost else "no value above 0")
    dense = points[0][3]
    ax.axvline(dense, color=GREY, linestyle=DASHED)
    ax.annotate(
        "dense",
        (dense, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-2, -2),
        textcoords="offset points",
        ha="right",
        va="top",
        rotation=90,
        fontsize=small_font(),
        color=GREY,
    )
    ax.set(xscale="log", xlabel="synaptic operations per pattern (1)")
    ax.set(ylabel="max |λ − λ$_{BP}$| (1)")
    ax.margins(0.15)
    low, high = ax.get_xlim()
    if high < 100 * low:
        plain_ticks(ax.xaxis)
    if lost:
        add_legend(ax, title=f"{lost} of {len(points)} runs have no finite λ")
    _write_thresholds(ax, points, dense)
    return ax


def _write_thresholds(
    ax: Axes, points: Sequence[tuple[float, float, str, float]], dense: float
) -> None:
    """Write the threshold of each point beside it, where it does not cross the dense line."""
    for effective, error, label, _ in points:
        if not 0 < error < np.inf:  # nor NaN, of a run that diverged
            continue
        (left, _), (line, _) = ax.transData.transform([(effective, error), (dense, error)])
        room = ROOM * 72 * (line - left) / ax.figure.dpi
        look: Any = {"xytext": (4, 4)}
        if 0 < room < text_width(label, small_font()) + 6:
            look = {"xytext": (-4, -4), "ha": "right", "va": "top"}
        place = effective, error
        ax.annotate(label, place, textcoords="offset points", fontsize=small_font(), **look)


def _cost_of(run: Run) -> tuple[float, float, str, float]:
    """Return effective operations, largest error of λ, threshold, and dense operations."""
    from neurosim.results.operations import synaptic_operations

    truth, spent = final_reference(run), synaptic_operations(run)
    errors = [np.abs(run.lam[name] - truth.lam[name]).max() for name in run.network.neurons]
    largest = float(np.max(errors))  # NaN where one is, unlike Python's max
    return spent.effective, largest, _threshold(run), spent.dense


def _threshold(run: Run) -> str:
    """Return the message transport of a run as a label, with its threshold if it has one."""
    transport = run.settings.get("transport", "dense")
    if isinstance(transport, str):
        return transport
    if not isinstance(transport, dict) or "kind" not in transport:
        return "mixed"
    value = transport.get("theta", transport.get("quantum"))
    if isinstance(value, dict):
        return "adaptive" if "floor" in value else "mixed"
    symbol = THETA if transport["kind"] == "events" else QUANTUM
    return f"{symbol} = {value:g}"


def _family(label: str) -> str:
    """Return the symbol of the threshold in a label of `_threshold`."""
    symbol, equals, _ = label.partition(" = ")
    return symbol if equals else OTHER
