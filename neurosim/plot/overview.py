"""Summary of a run or a log in one figure, which `neurosim run` and `neurosim plot` draw.

Start at `summary`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from neurosim.errors import ConvergenceError, DataError
from neurosim.plot.architecture import neurons, operations_done
from neurosim.plot.canvas import caption, last_part, new_figure, styled
from neurosim.plot.feedback import ANGLE, feedback_angles
from neurosim.plot.graph import network
from neurosim.plot.learning import diagnostics, learning_curve
from neurosim.plot.legends import share_legend
from neurosim.plot.messages import events, operations
from neurosim.plot.runs import agreement, traces, violation
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Panel = Callable[..., Any]  # takes ax=
MOST_PANELS = 4


@styled
def summary(result: Run | Log) -> Figure:
    """Draw the network beside up to four panels that suit a run or a log, in one figure.

    Panels for which nothing was recorded are left out.

    Parameters
    ----------
    result : Run or Log
    """
    if isinstance(result, Log):
        run = result.run
        panels = _panels_of_log(result)
    else:
        run = result
        panels = [panel for panel in _candidates(run) if _can_draw(panel)][:MOST_PANELS]
    columns = 1 + (len(panels) + 1) // 2
    rows, height = (2, 5.6) if len(panels) > 1 else (1, 3.8)
    figure = new_figure(1.2 + 3.3 * columns, height)
    grid = figure.add_gridspec(rows, columns, width_ratios=[1.35, *[1.0] * (columns - 1)])
    network(run.network, run, ax=figure.add_subplot(grid[:, 0]))
    places = [(i % 2, 1 + i // 2) for i in range(len(panels))]
    axes = [figure.add_subplot(grid[place]) for place in places]
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax=ax)
    if panels and isinstance(result, Run):
        share_legend(figure, axes, run.network)
    figure.suptitle(caption(run) + last_part(result), fontsize=9)
    return figure


def _candidates(run: Run) -> list[Panel]:
    """Return the panels of a run, the most informative first."""
    return [
        partial(traces, run, "x"),
        partial(traces, run, "lam"),
        partial(events, run),
        partial(operations, run),
        partial(violation, run),
        partial(agreement, run),
    ]


def _panels_of_log(log: Log) -> list[Panel]:
    """Return the panels of a log, and of its run where the log has too few."""
    found: list[Panel] = [partial(learning_curve, log)]
    most = 2
    if "neurons" in log.history:
        found += [partial(neurons, log), partial(operations_done, log)]
        most = MOST_PANELS
    found.append(partial(diagnostics, log))
    if any(str(name).startswith(ANGLE) for name in log.history):
        found.append(partial(feedback_angles, log))
        most = max(most, 3)
    drawn = [panel for panel in (*found, *_candidates(log.run)) if _can_draw(panel)]
    return drawn[:most]


def _can_draw(panel: Panel) -> bool:
    """Return whether everything that a panel needs was recorded, by drawing it on spare axes."""
    from matplotlib.figure import Figure

    try:
        panel(ax=Figure().add_subplot())
    except (DataError, ConvergenceError):
        return False
    return True
