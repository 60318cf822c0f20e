"""Pictures of messages: who spoke when, what it cost, and what accuracy that bought. Start at
`events`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import (
    GREY,
    add_legend,
    color_of,
    given_axes,
    log_scale,
    milliseconds,
    positive,
    recorded_names,
    recorded_of,
    row_of,
    share_legend,
    span_of,
    styled,
    traces_of,
)
from neurosim.plot.drawing import PALETTE
from neurosim.plot.runs import final_reference, traces
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Array = np.ndarray


@styled
def events(run: Run, pattern: int | None = None, ax: Axes | None = None) -> Axes:
    """Who spoke when: a mark for each event of a neuron (forward), and below of a multiplier unit
    (backward).

    From the recorded events_x and events_delta; where not every step was recorded, at the next
    sample.

    Raises
    ------
    DataError
        Neither was recorded.
    """
    names = recorded_names(run)
    counted = {v: recorded_of(run, v) for v in ("events_delta", "events_x") if v in names}
    if not counted:
        traces_of(run, "events_x")
    row, time, ax = row_of(run, pattern), milliseconds(run), given_axes(ax)
    base, ticks = 0.0, []
    least = 0.15 * max(
        counts.shape[2] for populations in counted.values() for counts in populations.values()
    )
    for variable, populations in counted.items():
        for name, counts in reversed(populations.items()):
            sample, unit = np.nonzero(np.diff(counts[:, row], axis=0, prepend=0))
            color, size = color_of(run.network, name), counts.shape[2]
            height = max(size, least)  # a small population has room for its name
            ax.plot(
                time[sample],
                base + unit * height / size,
                "|",
                color=color,
                markersize=2.5,
                alpha=0.7,
                rasterized=len(unit) > 5000,
            )
            ticks.append((base + height / 2, f"{'x' if variable == 'events_x' else 'δ'} {name}"))
            base += height + least / 2
    ax.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    ax.tick_params(axis="y", length=0)
    ax.set(
        xlabel="time (ms)", ylabel="unit that speaks", ylim=(-least / 4, base), xlim=span_of(time)
    )
    return ax


@styled
def events_over_traces(run: Run, pattern: int | None = None) -> Figure:
    """Who spoke when, over what moved then: `events`, x and lam of one pattern, on one axis of
    time.

    Raises
    ------
    DataError
        x, lam, or both events_x and events_delta were not recorded.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 6.6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(1.5, 1.0, 1.0))
    events(run, pattern, axes[0])
    for variable, ax in zip(("x", "lam"), axes[1:], strict=True):
        traces(run, variable, pattern=pattern, ax=ax)
    for ax in axes[:-1]:
        ax.set_xlabel("")
    share_legend(figure, axes, run.network)
    return figure


@styled
def operations(run: Run, ax: Axes | None = None) -> Axes:
    """Synaptic operations of messages since the start, by events (from what was recorded) and
    dense, a pattern.

    Raises
    ------
    DataError
        events_x or events_delta of some population that speaks was not recorded.
    """
    from neurosim.results.operations import operations_by_event, synaptic_operations

    spent = operations_by_event(run)
    total, time, ax = synaptic_operations(run), milliseconds(run), given_axes(ax)
    ax.plot(
        time,
        total.dense * (time / 1e3 + run.settings["dt"]) / run.time,
        color="black",
        linestyle=":",
        label="dense",
    )
    for label, values in spent.items():
        name = label.split()[1]
        style_ = "-" if label.startswith("x") else (0, (3, 1.5))
        ax.plot(
            time, positive(values), color=color_of(run.network, name), linestyle=style_, label=label
        )
    ax.plot(
        time, positive(np.sum(list(spent.values()), axis=0)), color="black", label="events, all"
    )
    ax.set(xlabel="time (ms)", ylabel="synaptic operations (1)")
    log_scale(ax)
    add_legend(ax)
    return ax


@styled
def cost(runs: Iterable[Run], ax: Axes | None = None) -> Axes:
    """Accuracy against cost: of each run, the largest error of lam to backpropagation over its
    synaptic operations.

    Parameters
    ----------
    runs : iterable of Run
        Of relaxations that differ in their threshold, which stands beside each point.

    Raises
    ------
    DataError
        No runs, or frames of a stream.
    """
    from neurosim.results.operations import synaptic_operations

    points = []
    for run in runs:
        truth, spent = final_reference(run), synaptic_operations(run)
        error = max(float(np.abs(run.lam[n] - truth.lam[n]).max()) for n in run.network.neurons)
        points.append((spent.effective, error, _threshold(run), spent.dense))
    if not points:
        raise DataError("no runs; allowed: runs of relax with different thresholds")
    ax = given_axes(ax)
    points.sort()
    for family, color in (("θ", PALETTE[0]), ("q", PALETTE[1]), ("", PALETTE[2])):
        own = [
            p
            for p in points
            if p[2].partition(" = ")[0] == family or (not family and " = " not in p[2])
        ]
        line = "o-" if family else "D"
        ax.plot([p[0] for p in own], [p[1] for p in own], line, color=color, markersize=4)
    for operations_, error, label, _ in points:
        ax.annotate(
            label, (operations_, error), xytext=(4, 4), textcoords="offset points", fontsize=8
        )
    ax.axvline(points[0][3], color=GREY, linestyle=(0, (3, 1.5)))
    ax.annotate(
        "dense",
        (points[0][3], 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4, -10),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=GREY,
    )
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="synaptic operations a pattern (1)",
        ylabel="max |λ − λ$_{BP}$| (1)",
    )
    ax.margins(0.12)
    return ax


def _threshold(run: Run) -> str:
    transport = run.settings.get("transport", "dense")
    if not isinstance(transport, dict) or "kind" not in transport:
        return transport if isinstance(transport, str) else "mixed"
    value = transport.get("theta", transport.get("quantum"))
    if isinstance(value, dict):
        return "adaptive" if "floor" in value else "mixed"
    return f"{'θ' if transport['kind'] == 'events' else 'q'} = {value:g}"
