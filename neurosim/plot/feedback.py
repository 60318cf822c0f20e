"""Pictures of feedback weights. Start at `feedback_angles`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import GREY, add_legend, color_of, given_axes, styled
from neurosim.plot.drawing import proxy
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ANGLE = "angle."  # before the name of a population or projection, in a log's history


@styled
def feedback_angles(log: Log, ax: Axes | None = None) -> Axes:
    """Angles over training: of λ to backpropagation's (full lines), and of each B to the weights Wᵀ
    (dashed).

    A projection has the colour of its presynaptic population, which is where its messages arrive. λ
    is that at rest with the weights of the row, on training patterns.

    Raises
    ------
    DataError
        The log is of a network whose messages return through its weights.
    """
    names = [str(name) for name in log.history if str(name).startswith(ANGLE)]
    if not names:
        raise DataError(
            f"history holds {sorted(map(str, log.history))}, no angles; try a network "
            "with feedback='kolen_pollack'"
        )
    ax = given_axes(ax)
    time = log.history["time"].values
    marker = "o" if len(time) <= 31 else ""
    for name in names:
        place = name.removeprefix(ANGLE)
        pre, own, _ = place.partition("->")
        color, dashes = color_of(log.run.network, pre), (0, (3, 1.5)) if own else "-"
        ax.plot(
            time,
            log.history[name].values,
            color=color,
            linestyle=dashes,
            marker=marker,
            markersize=3,
            label="_",
        )
        if not own:
            proxy(ax, pre, color=color)
    proxy(ax, "λ to backpropagation's", color=GREY)
    proxy(ax, "B to Wᵀ", color=GREY, linestyle=(0, (3, 1.5)))
    highest = max(float(np.nanmax(log.history[name].values)) for name in names)
    ax.set(xlabel="time (s)", ylabel="angle (°)", ylim=(0, 1.05 * max(highest, 90.0)))
    ax.set_yticks(range(0, int(max(highest, 90)) + 1, 30))
    add_legend(ax)
    return ax
