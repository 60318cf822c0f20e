"""Pictures of learning, from a log. Start at `learning_curve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    HOLLOW,
    LEAST_LOSS,
    add_note,
    log_scale,
    mark_diverged,
    marker_for,
)
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend
from neurosim.plot.page import (
    PALETTE,
    Size,
    given_axes,
    styled,
)
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

BLUE, RED = PALETTE[:2]
LINES: dict[str, Any] = {  # by prefix of a column
    "": {"linestyle": "-"},
    "validation_": {"linestyle": DASHED, **HOLLOW},
}
FULL = 101  # %, the top of an axis of accuracies
DISTANCES = {"violation": "violation", "cosine": "1 − cos(λ, λ$_{BP}$)"}


@styled
def learning_curve(log: Log, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw loss (left, logarithmic) and accuracy (right) over simulated time.

    Full lines are training, dashed ones validation.

    Parameters
    ----------
    log : Log
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Returns
    -------
    Axes
        The left ones; the right ones share their time axis.

    Raises
    ------
    DataError
        The log holds no loss.
    """
    _check_column(log, "loss", "loss" in log.history)
    ax = given_axes(ax, figsize)
    for prefix, line in LINES.items():
        _draw_column(ax, log, f"{prefix}loss", color=BLUE, **line)
    ax.set(xlabel="time (s)", ylabel="loss per pattern (1)")
    log_scale(ax, LEAST_LOSS, empty="no finite value")
    mark_diverged(ax, log)
    scored = _scored(log)
    if scored:
        _add_accuracies(ax, log, scored)
        add_legend_line(ax, "loss", color=BLUE)
        add_legend_line(ax, "accuracy", color=RED)
    if "validation_loss" in log.history or "validation_accuracy" in log.history:
        add_legend_line(ax, "training", color=GREY)
        add_legend_line(ax, "validation", color=GREY, **LINES["validation_"])
    add_legend(ax)
    return ax


def _add_accuracies(ax: Axes, log: Log, prefixes: list[str]) -> None:
    """Add a right axis with the accuracies, and give each axis the colour of its lines."""
    right = ax.twinx()
    right.spines["right"].set_visible(True)
    for prefix in prefixes:
        _draw_accuracy(right, log, prefix)
    right.set_ylabel("accuracy (%)", color=RED)
    right.tick_params(axis="y", colors=RED)
    if log.history.sizes["time"] == 1:
        right.margins(y=0.3)  # or both axes would have their ends at the same heights
    right.set_ylim(top=min(100.5, right.get_ylim()[1]))
    ax.yaxis.label.set_color(BLUE)
    ax.tick_params(axis="y", which="both", colors=BLUE)


@styled
def accuracies(log: Log, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw accuracy over simulated time.

    Full lines are training, dashed ones validation.

    Parameters
    ----------
    log : Log
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The log holds no accuracy.
    """
    scored = _scored(log)
    _check_column(log, "accuracy", bool(scored))
    ax = given_axes(ax, figsize)
    for prefix in scored:
        _draw_accuracy(ax, log, prefix)
    ax.set(xlabel="time (s)", ylabel="accuracy (%)")
    low = ax.dataLim.y0
    if np.isfinite(low):
        ax.set_ylim(low - 0.05 * (FULL - low), FULL)
    else:
        add_note(ax, "no finite value")
    mark_diverged(ax, log)
    if len(scored) == 2:
        add_legend_line(ax, "training", color=RED)
        add_legend_line(ax, "validation", color=RED, **LINES["validation_"])
    add_legend(ax)
    return ax


def diagnostics(log: Log, ax: Axes) -> None:
    """Draw the violation and the distance to backpropagation over simulated time.

    Raises
    ------
    DataError
        The log holds neither.
    """
    measured = [name for name in DISTANCES if name in log.history]
    _check_column(log, " or ".join(DISTANCES), bool(measured))
    for name in measured:
        color = PALETTE[2 + measured.index(name)]
        values = log.history[name].values
        if name == "cosine":
            values = 1 - values
        _draw_measured(ax, log.history["time"].values, values, color=color)
        add_legend_line(ax, DISTANCES[name], color=color)
    ax.set(xlabel="time (s)", ylabel="distance (1)")
    log_scale(ax)
    mark_diverged(ax, log)
    add_legend(ax)


def _scored(log: Log) -> list[str]:
    """Return the prefixes of the accuracies that a log holds."""
    return [prefix for prefix in LINES if f"{prefix}accuracy" in log.history]


def _draw_accuracy(ax: Axes, log: Log, prefix: str) -> None:
    _draw_column(ax, log, f"{prefix}accuracy", scale=100.0, color=RED, **LINES[prefix])


def _draw_column(ax: Axes, log: Log, name: str, *, scale: float = 1.0, **line: Any) -> None:
    """Draw a column of a log's history if it is there."""
    if name in log.history:
        values = scale * log.history[name].values
        _draw_measured(ax, log.history["time"].values, values, **line)


def _draw_measured(ax: Axes, time: Array, values: Array, **line: Any) -> None:
    """Draw values over time, without the rows in which they were not measured."""
    measured = np.isfinite(values)
    marker = marker_for(int(np.count_nonzero(measured)), most=30)
    ax.plot(time[measured], values[measured], marker=marker, markersize=3, label="_", **line)


def _check_column(log: Log, name: str, there: bool) -> None:
    """Refuse a log without the columns that a picture needs.

    Raises
    ------
    DataError
        They are missing.
    """
    if not there:
        raise DataError(f"history holds {sorted(map(str, log.history))}; missing: {name}")
