"""The sensible picture of a result in one figure: what `neurosim plot` draws. Start at `summary`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ConvergenceError, DataError
from neurosim.plot.architecture import neurons, operations_done
from neurosim.plot.canvas import caption, last_part, share_legend, styled
from neurosim.plot.feedback import ANGLE, feedback_angles
from neurosim.plot.graph import network
from neurosim.plot.learning import diagnostics, learning_curve
from neurosim.plot.messages import events, operations
from neurosim.plot.runs import agreement, traces, violation
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Array = np.ndarray


@styled
def summary(result: Run | Log) -> Figure:
    """The sensible picture of a run or a log, in one figure: what `neurosim plot` draws.

    Panels for which nothing was recorded are left out.
    """
    from matplotlib.figure import Figure

    run = result.run if isinstance(result, Log) else result
    candidates: list[Callable[[Axes], Any]] = []
    most = 4
    if isinstance(result, Log):
        candidates, most = (
            [lambda ax: learning_curve(result, ax), lambda ax: diagnostics(result, ax)],
            2,
        )
        if any(str(name).startswith(ANGLE) for name in result.history):
            candidates, most = [*candidates, lambda ax: feedback_angles(result, ax)], 3
        if "neurons" in result.history:  # the network has changed its size
            candidates[1:1], most = (
                [lambda ax: neurons(result, ax), lambda ax: operations_done(result, ax)],
                4,
            )
    candidates += [
        lambda ax: traces(run, "x", ax=ax),
        lambda ax: traces(run, "lam", ax=ax),
        lambda ax: events(run, ax=ax),
        lambda ax: operations(run, ax),
        lambda ax: violation(run, ax),
        lambda ax: agreement(run, ax=ax),
    ]
    panels = [panel for panel in candidates if _can_draw(panel)][:most]
    columns = 1 + (len(panels) + 1) // 2
    figure = Figure(
        figsize=(1.2 + 3.3 * columns, 5.6 if len(panels) > 1 else 3.8), layout="constrained"
    )
    grid = figure.add_gridspec(
        2 if len(panels) > 1 else 1, columns, width_ratios=[1.35, *[1.0] * (columns - 1)]
    )
    network(run.network, run, ax=figure.add_subplot(grid[:, 0]))
    axes = [figure.add_subplot(grid[i % 2, 1 + i // 2]) for i in range(len(panels))]
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax)
    if panels and not isinstance(result, Log):
        share_legend(figure, axes, run.network)
    figure.suptitle(caption(run) + last_part(result), fontsize=9)
    return figure


def _can_draw(panel: Callable[[Axes], Any]) -> bool:
    """Whether what a panel needs was recorded: tried on axes that are thrown away."""
    from matplotlib.figure import Figure

    try:
        panel(Figure().add_subplot())
    except (DataError, ConvergenceError):
        return False
    return True
