"""Picture of recorded weights. Start at `weights`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.plot.canvas import (
    MOST_LINES,
    axis_label,
    color_of,
    count_label,
    draw_lines,
    evenly_spread,
    finite_or_nan,
    finite_samples,
    mark_not_finite,
    time_label,
    times_of,
    traces_of,
)
from neurosim.plot.legends import add_legend
from neurosim.plot.page import Size, given_axes, styled
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray


@styled
def weights(
    run: Run,
    projection: str,
    synapses: Iterable[tuple[int, int]] | None = None,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw the recorded weights of a projection over time, one line per synapse.

    Parameters
    ----------
    run : Run
    projection : str
        ``"pre->post"``.
    synapses : iterable of (post, pre), optional
        By default all that were recorded, but at most `canvas.MOST_LINES`, spread evenly.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    DataError, ModelError
        Those weights were not recorded.
    """
    stored = traces_of(run, "w")
    projections = stored["projection"].values
    if projection not in projections:
        allowed = dict.fromkeys(projections.tolist())
        raise unknown("projection with a trace of weights", projection, allowed)
    here = np.flatnonzero(projections == projection)
    post = stored["post"].values[here].tolist()
    pre = stored["pre"].values[here].tolist()
    pairs = list(zip(post, pre, strict=True))
    if synapses is None:
        chosen = evenly_spread(len(here), MOST_LINES)
    else:
        chosen = _places_of(synapses, pairs, projection)
    ax = given_axes(ax, figsize)
    name = projection.replace("->", "→")
    drawn = finite_or_nan(stored["w"].values[:, here[chosen]])
    draw_lines(
        ax,
        times_of(run),
        drawn,
        labels=[f"{name} [{post[i]}, {pre[i]}]" for i in chosen],
        total=count_label(name, len(chosen), len(here), "synapses"),
        color=color_of(run.network, run.network.projections[projection].post),
        alone=True,
    )
    ax.set(xlabel=time_label(run), ylabel=axis_label("w"))
    mark_not_finite(ax, times_of(run), finite_samples(drawn))
    add_legend(ax)
    return ax


def _places_of(
    synapses: Iterable[tuple[int, int]], recorded: list[tuple[int, int]], projection: str
) -> Array:
    """Return where synapses (post, pre) stand among the recorded ones.

    Raises
    ------
    DataError
        A synapse was not recorded.
    """
    place = {pair: i for i, pair in enumerate(recorded)}
    places = []
    for post, pre in synapses:
        pair = (int(post), int(pre))
        if pair not in place:
            raise DataError(
                f"synapse (post, pre) = {pair} of {projection} was not recorded; "
                f"allowed: {recorded[:8]}..."
            )
        places.append(place[pair])
    return np.array(places, dtype=int)
