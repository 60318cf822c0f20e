"""Pictures of feedback weights. Start at `feedback_angles`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurosim.errors import DataError
from neurosim.plot.canvas import (
    DASHED,
    GREY,
    HOLLOW,
    color_of,
    largest_size,
    mark_diverged,
    marker_for,
)
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend
from neurosim.plot.page import (
    Size,
    given_axes,
    styled,
)
from neurosim.results.runs import Log

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ANGLE = "angle."  # in a log's history, before the name of a population or projection


@styled
def feedback_angles(log: Log, ax: Axes | None = None, *, figsize: Size | None = None) -> Axes:
    """Draw the angles of λ to backpropagation's and of feedback weights B to Wᵀ over training.

    Full lines are λ at rest with the weights of each row, on training patterns. Dashed lines are
    the projections' B, in the colour of the presynaptic population, which receives their messages.

    Parameters
    ----------
    log : Log
        The training of a network with feedback weights.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The messages of the network return through its weights.
    """
    names = [str(name) for name in log.history if str(name).startswith(ANGLE)]
    if not names:
        raise DataError(
            f"history holds {sorted(map(str, log.history))}, no angles; "
            "try a network with feedback='kolen_pollack'"
        )
    ax = given_axes(ax, figsize)
    time = log.history["time"].values
    marker = marker_for(len(time), most=31)
    highest = 90.0
    dashed: Any = {"linestyle": DASHED, **HOLLOW}
    for name in names:
        pre, arrow, _ = name.removeprefix(ANGLE).partition("->")
        color = color_of(log.run.network, pre)
        angles = log.history[name].values
        line: Any = {"color": color, "marker": marker, "markersize": 3, "label": "_"}
        if arrow:
            ax.plot(time, angles, **line, **dashed)
        else:
            ax.plot(time, angles, **line)
            add_legend_line(ax, pre, color=color)
        highest = max(highest, largest_size(angles))
    add_legend_line(ax, "λ to backpropagation's", color=GREY)
    add_legend_line(ax, "B to Wᵀ", color=GREY, **dashed)
    ax.set(xlabel="time (s)", ylabel="angle (°)", ylim=(0, 1.05 * highest))
    ax.set_yticks(range(0, int(highest) + 1, 30))
    mark_diverged(ax, log)
    add_legend(ax)
    return ax
