"""Pictures of networks that change their size: what is left, and what it cost. Start at
`architecture`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.plot.canvas import GREY, add_legend, given_axes, styled
from neurosim.plot.drawing import PALETTE, proxy
from neurosim.plot.graph import network
from neurosim.plot.learning import accuracies
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREEN = PALETTE[0], PALETTE[2]


@styled
def architecture(log: Log) -> Figure:
    """The tale of a training that changes the network: hidden neurons, accuracy and operations over
    time.

    Raises
    ------
    DataError
        The log is not of `Pruning` or `Growing`.
    """
    from matplotlib.figure import Figure

    _check(log)
    scored = any(str(name).endswith("accuracy") for name in log.history)
    figure = Figure(figsize=(5.2, 6.4 if scored else 4.6), layout="constrained")
    axes = figure.subplots(3 if scored else 2, 1, sharex=True)
    neurons(log, axes[0])
    if scored:
        accuracies(log, axes[1])
    operations_done(log, axes[-1])
    for ax in axes[:-1]:
        ax.set_xlabel("")
    figure.align_ylabels(axes)
    return figure


@styled
def neurons(log: Log, ax: Axes | None = None) -> Axes:
    """Hidden neurons that are there and awake, over simulated time; those of a row are there until
    its end.

    Raises
    ------
    DataError
        The log is not of `Pruning` or `Growing`.
    """
    _check(log)
    ax = given_axes(ax)
    time, size = log.history["time"].values, log.history["neurons"].values
    ax.stairs(size, np.concatenate([[0.0], time]), color=BLUE, linewidth=1.4, baseline=None)
    for at, count, place in ((0.0, size[0], "left"), (time[-1], size[-1], "right")):
        ax.annotate(
            f"{count:.0f}",
            (at, count),
            xytext=(0, 3),
            textcoords="offset points",
            ha=place,
            fontsize=8,
        )
    ax.set(xlabel="time (s)", ylabel="hidden neurons (1)", ylim=(0, 1.12 * size.max()))
    return ax


@styled
def operations_done(log: Log, ax: Axes | None = None) -> Axes:
    """Synaptic operations until then, of each pattern, beside those of a network that is at its
    largest all the time.

    Raises
    ------
    DataError
        The log is not of `Pruning` or `Growing`.
    """
    _check(log)
    ax = given_axes(ax)
    time, done = (
        np.concatenate([[0.0], log.history[name].values]) for name in ("time", "operations")
    )
    fastest = float(np.max(np.diff(done) / np.diff(time)))
    ax.plot(time, 1e-6 * done, color=GREEN, marker="o" if len(time) <= 31 else "", markersize=3)
    ax.plot(time, 1e-6 * fastest * time, color=GREY, linestyle=(0, (3, 1.5)))
    proxy(ax, "done", color=GREEN)
    proxy(ax, "at the largest size throughout", color=GREY, linestyle=(0, (3, 1.5)))
    ax.set(xlabel="time (s)", ylabel="operations a pattern (10⁶)", ylim=(0, None))
    add_legend(ax)
    return ax


@styled
def before_and_after(before: Network, after: Network) -> Figure:
    """Two networks side by side, such as one as it began and what pruning left of it.

    See `network` for what is drawn.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    for ax, net, name in zip(
        figure.subplots(1, 2), (before, after), ("before", "after"), strict=True
    ):
        network(net, ax=ax)
        ax.set_title(f"{name}: {net.n_parameters:,} parameters")
    return figure


def _check(log: Log) -> None:
    if "neurons" not in log.history:
        raise DataError(
            f"history holds {sorted(map(str, log.history))}, no neurons; try train(..., "
            "Pruning(...)) or Growing(...)"
        )
