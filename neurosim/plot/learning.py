"""Pictures of learning, from a log. Start at `learning_curve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import GREY, add_legend, given_axes, log_scale, styled
from neurosim.plot.drawing import PALETTE, proxy
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Array = np.ndarray


@styled
def learning_curve(log: Log, ax: Axes | None = None) -> Axes:
    """Loss (left, log) and accuracy (right) over simulated time; full lines are training, dashed
    validation.

    Returns the left axes; the right ones share their time.

    Raises
    ------
    DataError
        The log holds no loss.
    """
    if "loss" not in log.history:
        raise DataError(f"history holds {sorted(map(str, log.history))}; allowed: loss and more")
    ax = given_axes(ax)
    blue, red = PALETTE[:2]
    dashes = {"": "-", "validation_": (0, (3, 1.5))}
    for prefix, line in dashes.items():
        _progress(log, f"{prefix}loss", ax, color=blue, linestyle=line)
    ax.set(xlabel="time (s)", ylabel="loss, mean over patterns (1)")
    log_scale(ax)
    accuracies = [f"{prefix}accuracy" for prefix in dashes if f"{prefix}accuracy" in log.history]
    if accuracies:
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        for name in accuracies:
            line = dashes[name.removesuffix("accuracy")]
            _progress(log, name, right, scale=100.0, color=red, linestyle=line)
        right.set_ylabel("accuracy (%)", color=red)
        right.tick_params(axis="y", colors=red)
        right.set_ylim(top=min(100.5, right.get_ylim()[1]))
        ax.yaxis.label.set_color(blue)
        ax.tick_params(axis="y", which="both", colors=blue)
        proxy(ax, "loss", color=blue)
        proxy(ax, "accuracy", color=red)
    if any(f"validation_{name}" in log.history for name in ("loss", "accuracy")):
        proxy(ax, "training", color=GREY)
        proxy(ax, "validation", color=GREY, linestyle=dashes["validation_"])
    add_legend(ax)
    return ax


@styled
def accuracies(log: Log, ax: Axes | None = None) -> Axes:
    """Accuracy over simulated time; full lines are training, dashed validation.

    Raises
    ------
    DataError
        The log holds none.
    """
    there = [name for name in ("accuracy", "validation_accuracy") if name in log.history]
    if not there:
        raise DataError(
            f"history holds {sorted(map(str, log.history))}; allowed: accuracy and more"
        )
    ax = given_axes(ax)
    for name, label, line in (
        ("accuracy", "training", "-"),
        ("validation_accuracy", "validation", (0, (3, 1.5))),
    ):
        _progress(log, name, ax, scale=100.0, color=PALETTE[1], linestyle=line)
        if len(there) == 2:
            proxy(ax, label, color=PALETTE[1], linestyle=line)
    ax.set(xlabel="time (s)", ylabel="accuracy (%)", ylim=(None, 101))
    if len(there) == 2:
        add_legend(ax)
    return ax


def _progress(log: Log, name: str, ax: Axes, *, scale: float = 1.0, **line: Any) -> None:
    """One variable of a log's history, where it was measured."""
    if name not in log.history:
        return
    values, time = log.history[name].values, log.history["time"].values
    there = np.isfinite(values)
    marker = "o" if there.sum() <= 30 else ""
    ax.plot(time[there], scale * values[there], marker=marker, markersize=3, label="_", **line)


def diagnostics(log: Log, ax: Axes) -> None:
    """Violation and distance to backpropagation while learning."""
    shown = {"violation": "violation", "cosine": "1 − cos(λ, λ$_{BP}$)"}
    there = {name: label for name, label in shown.items() if name in log.history}
    if not there:
        raise DataError("history holds neither violation nor cosine")
    history = log.history.assign({"cosine": 1 - log.history["cosine"]} if "cosine" in there else {})
    for i, (name, label) in enumerate(there.items()):
        color = PALETTE[2 + i]
        _progress(Log(history, log.run), name, ax, color=color)
        proxy(ax, label, color=color)
    ax.set(xlabel="time (s)", ylabel="distance (1)")
    log_scale(ax)
    add_legend(ax)
