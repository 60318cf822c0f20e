"""The network as a graph, laid out by `drawing`. Start at `network`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.model.network import Network
from neurosim.plot.drawing import (
    Drawing,
    add_sign_legend,
    columns,
    draw_labels,
    draw_synapses,
    rings,
)
from neurosim.plot.page import (
    Size,
    given_axes,
    lay_out,
    size_in_points,
    styled,
)
from neurosim.plot.units import add_lam_bar, draw_units
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


@styled
def network(
    net: Network,
    run: Run | None = None,
    pattern: int = 0,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw the graph: columns by depth, or rings on a circle where it is cyclic.

    Lines are synapses. Their width and opacity show |w| relative to the strongest of the
    projection, their colour the sign of w. With a run, the weights are its final ones, and units
    have the colour of their final multiplier. Of a population of more than `drawing.MOST_UNITS`,
    only the first and the last units are drawn.

    Parameters
    ----------
    net : Network
    run : Run, optional
        A run of this network.
    pattern : int
        Row of the batch whose multipliers are drawn.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError
        The run is of another network, or has no such pattern.
    """
    lam = None
    if run is not None:
        lam = _multipliers(net, run, pattern)
        net = run.network
    ax = given_axes(ax, figsize, (5.2, 3.8))
    draw_network(ax, net, lam)
    return ax


def draw_network(
    ax: Axes, net: Network, lam: dict[str, Array] | None, largest: float | None = None
) -> Drawing:
    """Draw a network into axes, and return where its units are.

    Parameters
    ----------
    lam : {population: (units,)}, optional
        Multipliers of one pattern.
    largest : float, optional
        The |λ| of the darkest colours; by default the largest one.
    """
    ax.set_axis_off()
    add_sign_legend(ax)
    colormap = None if lam is None else add_lam_bar(ax, lam, largest)
    lay_out(ax)
    width, height = size_in_points(ax)
    drawing = rings(net, width) if net.order() is None else columns(net, width, height)
    top = draw_synapses(ax, net, drawing)
    draw_labels(ax, drawing, top)
    draw_units(ax, net, drawing, lam, colormap)
    return drawing


def _multipliers(net: Network, run: Run, pattern: int) -> dict[str, Array]:
    """Return the final multipliers of a pattern, {population: (units,)}.

    Raises
    ------
    DataError
        The run is of another network, or has no such pattern.
    """
    if run.network.describe() != net.describe():
        raise DataError(f"run is of {run.network!r}; allowed: a run of {net!r}")
    count = len(next(iter(run.lam.values())))
    if not 0 <= pattern < count:
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {count - 1}")
    return {name: lam[pattern] for name, lam in run.lam.items()}
