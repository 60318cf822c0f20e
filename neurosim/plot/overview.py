"""Summary of a run or a log in one figure, which `neurosim run` and `neurosim plot` draw.

Start at `summary`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from neurosim.errors import ConvergenceError, DataError
from neurosim.plot.architecture import neurons, operations_done
from neurosim.plot.canvas import caption, last_part
from neurosim.plot.feedback import ANGLE, feedback_angles
from neurosim.plot.graph import network
from neurosim.plot.learning import diagnostics, learning_curve
from neurosim.plot.legends import share_legend
from neurosim.plot.messages import events, operations
from neurosim.plot.page import (
    Size,
    new_figure,
    styled,
    title_font,
)
from neurosim.plot.runs import agreement, parity, traces, violation
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = Callable[..., Any]  # takes ax=
MOST_PANELS = 4
NARROW = 5  # inches, below which panels stand above each other


@styled
def summary(result: Run | Log, *, figsize: Size | None = None) -> Figure:
    """Draw the network beside up to four panels that suit a run or a log, in one figure.

    Panels for which nothing was recorded are left out.

    Parameters
    ----------
    result : Run or Log
    figsize : (float, float), optional
        Size of the new figure, inches.

    """
    if isinstance(result, Log):
        run = result.run
        panels = _panels_of_log(result)
    else:
        run = result
        panels = [panel for panel in _candidates(run) if _can_draw(panel)][:MOST_PANELS]
    figure, first, axes = _laid_out(len(panels), figsize)
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax=ax)
    if panels and isinstance(result, Run):
        share_legend(figure, axes, run.network)
    room = 0.95 * 72 * figure.get_figwidth()
    figure.suptitle(caption(run, last_part(result), room), fontsize=title_font())
    network(run.network, run, ax=first)  # the last, as it fits its names into what is left
    return figure


def _laid_out(panels: int, figsize: Size | None) -> tuple[Figure, Axes, list[Axes]]:
    """Return a figure, the axes of the network and those of the panels beside or below it."""
    columns = 1 + (panels + 1) // 2
    rows, height = (2, 5.6) if panels > 1 else (1, 3.8)
    figure = new_figure(1.2 + 3.3 * columns, height, figsize)
    if figure.get_figwidth() < NARROW:
        ratios = [2.2, *[1.0] * panels]
        stacked = figure.subplots(1 + panels, 1, height_ratios=ratios, squeeze=False)
        return figure, stacked[0, 0], list(stacked[1:, 0])
    ratios = [1.35, *[1.0] * (columns - 1)]
    grid = figure.add_gridspec(rows, columns, width_ratios=ratios)
    first = figure.add_subplot(grid[:, 0])
    places = [(i % 2, 1 + i // 2) for i in range(panels)]
    return figure, first, [figure.add_subplot(grid[place]) for place in places]


def _candidates(run: Run) -> list[Panel]:
    """Return the panels of a run, the most informative first."""
    return [
        partial(traces, run, "x"),
        partial(traces, run, "lam"),
        partial(events, run),
        partial(operations, run),
        partial(violation, run),
        partial(agreement, run),
        partial(parity, run),
    ]


def _panels_of_log(log: Log) -> list[Panel]:
    """Return the panels of a log, and of its run where the log has too few."""
    found: list[Panel] = [partial(learning_curve, log)]
    if "neurons" in log.history:
        found += [partial(neurons, log), partial(operations_done, log)]
    found.append(partial(diagnostics, log))
    if any(str(name).startswith(ANGLE) for name in log.history):
        found.append(partial(feedback_angles, log))
    drawn = [panel for panel in (*found, *_candidates(log.run)) if _can_draw(panel)]
    return drawn[:MOST_PANELS]


def _can_draw(panel: Panel) -> bool:
    """Return whether everything that a panel needs was recorded, by drawing it on spare axes."""
    from matplotlib.figure import Figure

    try:
        panel(ax=Figure().add_subplot())
    except (DataError, ConvergenceError):
        return False
    return True
