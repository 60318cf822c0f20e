"""Pictures of pruned and grown networks: their size, and their synaptic operations.

Start at `architecture`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.plot.canvas import DASHED, GREY, largest_size, mark_diverged, marker_for
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.graph import network
from neurosim.plot.learning import accuracies
from neurosim.plot.legends import add_legend
from neurosim.plot.page import (
    PALETTE,
    Size,
    given_axes,
    new_figure,
    small_font,
    styled,
)
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray

NARROW = 5  # inches, below which two networks stand above each other
BLUE, GREEN = PALETTE[0], PALETTE[2]


@styled
def architecture(log: Log, *, figsize: Size | None = None) -> Figure:
    """Draw hidden neurons, accuracy and operations over the time of a training that changed them.

    Parameters
    ----------
    log : Log
        Returned by `train` with a schedule `Pruning` or `Growing`.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The network was neither pruned nor grown.
    """
    _check_sizes(log)
    scored = any(str(name).endswith("accuracy") for name in log.history)
    height, panels = (6.4, 3) if scored else (4.6, 2)
    figure = new_figure(5.2, height, figsize)
    axes = figure.subplots(panels, 1, sharex=True)
    neurons(log, axes[0])
    if scored:
        accuracies(log, axes[1])
    operations_done(log, axes[-1])
    for ax in axes[:-1]:
        ax.set_xlabel("")
    figure.align_ylabels(axes)
    return figure


@styled
def neurons(log: Log, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the number of hidden neurons, without frozen ones, over simulated time.

    The number in a row of the log holds from the time of the row before to its own.

    Parameters
    ----------
    log : Log
        Returned by `train` with a schedule `Pruning` or `Growing`.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The network was neither pruned nor grown.
    """
    from matplotlib.ticker import MaxNLocator

    _check_sizes(log)
    ax = given_axes(ax, figsize)
    time, size = log.history["time"].values, log.history["neurons"].values
    ax.stairs(size, _from_zero(time), color=BLUE, linewidth=1.4, baseline=None)
    ends = ((0.0, size[0], "left"), (time[-1], size[-1], "right"))
    for at, count, side in ends:
        if not np.isfinite(count):
            continue
        ax.annotate(
            f"{count:.0f}",
            (at, count),
            xytext=(0, 3),
            textcoords="offset points",
            ha=side,
            fontsize=small_font(),
        )
    top = 1.12 * (largest_size(size) or 1.0)
    ax.set(xlabel="time (s)", ylabel="hidden neurons (1)", ylim=(0, top))
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    mark_diverged(ax, log)
    add_legend(ax)
    return ax


@styled
def operations_done(log: Log, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the synaptic operations per pattern since the start of a training.

    A dashed line shows those of a network that has its largest size throughout.

    Parameters
    ----------
    log : Log
        Returned by `train` with a schedule `Pruning` or `Growing`.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The network was neither pruned nor grown.
    """
    _check_sizes(log)
    ax = given_axes(ax, figsize)
    time = _from_zero(log.history["time"].values)
    done = _from_zero(log.history["operations"].values)
    fastest = largest_size(np.diff(done) / np.diff(time))
    marker = marker_for(len(time), most=31)
    ax.plot(time, 1e-6 * done, color=GREEN, marker=marker, markersize=3)
    ax.plot(time, 1e-6 * fastest * time, color=GREY, linestyle=DASHED)
    add_legend_line(ax, "done", color=GREEN)
    add_legend_line(ax, "at the largest size throughout", color=GREY, linestyle=DASHED)
    ax.set(xlabel="time (s)", ylabel="operations (10⁶)", ylim=(0, None))
    mark_diverged(ax, log)
    add_legend(ax)
    return ax


@styled
def before_and_after(before: Network, after: Network, *, figsize: Size | None = None) -> Figure:
    """Draw two networks side by side, such as one before and after pruning.

    See `network` for what is drawn.

    Parameters
    ----------
    before, after : Network
    figsize : (float, float), optional
        Size of the new figure, inches.

    """
    figure = new_figure(8.4, 4.2, figsize)
    shape = (1, 2) if figure.get_figwidth() > NARROW else (2, 1)
    first, second = figure.subplots(*shape)
    for ax, net, name in ((first, before, "before"), (second, after, "after")):
        ax.set_title(f"{name}: {net.n_parameters:,} parameters")
    network(before, ax=first)
    network(after, ax=second)
    return figure


def _from_zero(values: Array) -> Array:
    """Return the values of a log's rows, preceded by a zero for the start of the training."""
    return np.concatenate([[0.0], values])


def _check_sizes(log: Log) -> None:
    """Refuse the log of a network that was neither pruned nor grown.

    Raises
    ------
    DataError
        The history holds no column "neurons".
    """
    if "neurons" not in log.history:
        raise DataError(
            f"history holds {sorted(map(str, log.history))}, no neurons; "
            "try train(..., Pruning(...)) or Growing(...)"
        )
