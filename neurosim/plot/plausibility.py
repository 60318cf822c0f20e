"""The picture of scorecards: what each flow needs and bears, side by side. Start at `plausibility`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neurosim.analysis.plausibility import Plausibility

Array = np.ndarray
WORST = 0.1  # of accuracy lost: the far end of the scale


@styled
def plausibility(found: Mapping[str, Plausibility] | Plausibility) -> Figure:
    """Scorecards as a grid: an entry a cell, coloured by how much is kept.

    Of accuracies the colour is what is lost against the same training with nothing taken away, up
    to 10 points; of an imperfection the share of the levels that cost no more than 3 points. Counts
    have no colour.

    Parameters
    ----------
    found : {flow: Plausibility}
        As `neurosim.plausibility` returns them; one alone, too.

    Raises
    ------
    DataError
        None at all.
    """
    import matplotlib.pyplot as plt

    cards = dict(found) if isinstance(found, Mapping) else {"measured": found}
    if not cards:
        raise DataError(
            "found is empty; allowed: {name: Plausibility}; try "
            "neurosim.plausibility(net, flow, X, Y, ...)"
        )
    texts = [card.rows() for card in cards.values()]
    names = list(dict.fromkeys(name for rows in texts for name in rows))
    kept = np.array([[_kept(card, name) for card in cards.values()] for name in names])
    figure = plt.figure(
        figsize=(3.4 + 1.15 * len(cards), 0.6 + 0.26 * len(names)), layout="constrained"
    )
    ax = figure.subplots()
    image = ax.imshow(kept, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, name in enumerate(names):
        for column, rows in enumerate(texts):
            light = not kept[row, column] < 0.5  # no colour is white
            ax.text(
                column,
                row,
                rows.get(name, "-"),
                ha="center",
                va="center",
                color="k" if light else "w",
                size=8,
            )
    ax.set_xticks(range(len(cards)), list(cards))
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.5, ticks=[0, 0.5, 1])
    bar.set_label("kept: accuracy (0 at 10 points lost), or share of the levels")
    return figure


def _kept(card: Plausibility, name: str) -> float:
    if name in card.trained:
        return float(np.clip(1 - (card.accuracy - card.trained[name]) / WORST, 0, 1))
    return card.tolerance[name].share if name in card.tolerance else float("nan")
