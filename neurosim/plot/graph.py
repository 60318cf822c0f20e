"""The network as a graph, laid out by `drawing`. Start at `network`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.plot.canvas import given_axes, styled
from neurosim.plot.drawing import columns, draw_labels, draw_synapses, draw_units, rings
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Array = np.ndarray


@styled
def network(net: Network, run: Run | None = None, pattern: int = 0, ax: Axes | None = None) -> Axes:
    """The graph: layers by depth, or rings on a circle where it is cyclic.

    Lines are synapses: their width and depth is |w| relative to the strongest of the projection,
    their colour the sign of w. With a run, its final weights are drawn, and nodes have the colour
    of their final multiplier. Of a population of more than `drawing.MOST_UNITS` the first and the
    last units are drawn.

    Parameters
    ----------
    net : Network
    run : Run, optional
        Of that network.
    pattern : int
        Row of the batch whose multipliers are drawn.
    ax : Axes, optional

    Raises
    ------
    DataError
        `run` is of another network, or has no such pattern.
    """
    if run is not None:
        _check_drawable(net, run, pattern)
        net = run.network
    ax = given_axes(ax, (5.2, 3.8))
    drawing = (
        rings(net)
        if net.order() is None
        else columns(net, gap=50 / (72 * ax.bbox.height / ax.figure.dpi))
    )
    ax.set_axis_off()
    top = draw_synapses(ax, net, drawing)
    draw_labels(ax, net, drawing, top)
    draw_units(
        ax, net, drawing, None if run is None else {n: lam[pattern] for n, lam in run.lam.items()}
    )
    return ax


def _check_drawable(net: Network, run: Run, pattern: int) -> None:
    if run.network.describe() != net.describe():
        raise DataError(f"run is of {run.network!r}; allowed: a run of {net!r}")
    count = len(next(iter(run.lam.values())))
    if not 0 <= pattern < count:
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {count - 1}")
