"""Picture of scorecards: what each flow needs and tolerates, side by side.

Start at `plausibility`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neurosim.analysis.plausibility import Plausibility

Array = np.ndarray
WORST = 0.1  # accuracy lost at the far end of the scale


@styled
def plausibility(found: Mapping[str, Plausibility] | Plausibility) -> Figure:
    """Draw scorecards as a grid, with one cell per entry, coloured by how much is kept.

    For an accuracy, the colour shows how much is lost against the same training without
    imperfections, up to 10 points. For an imperfection, it shows the share of the levels that cost
    no more than 3 points. Counts have no colour.

    Parameters
    ----------
    found : {flow: Plausibility} or Plausibility
        As `neurosim.plausibility` returns them.

    Raises
    ------
    DataError
        `found` is empty.
    """
    cards = dict(found) if isinstance(found, Mapping) else {"measured": found}
    if not cards:
        raise DataError(
            f"found is empty: {found!r}; allowed: {{name: Plausibility}}; "
            "try neurosim.plausibility(net, flow, X, Y, ...)"
        )
    texts = [card.rows() for card in cards.values()]
    names = _all_names(texts)
    kept = np.zeros((len(names), len(cards)))
    for column, card in enumerate(cards.values()):
        kept[:, column] = [_kept(card, name) for name in names]
    figure = new_figure(3.4 + 1.15 * len(cards), 0.6 + 0.26 * len(names))
    ax = figure.subplots()
    image = ax.imshow(kept, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(kept):
        entry = texts[column].get(names[row], "-")
        color = "w" if share < 0.5 else "k"  # cells without a colour are white
        ax.text(column, row, entry, ha="center", va="center", color=color, size=8)
    ax.set_xticks(range(len(cards)), list(cards))
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax, shrink=0.5, ticks=[0, 0.5, 1])
    bar.set_label("kept: accuracy (0 at 10 points lost), or share of the levels")
    return figure


def _all_names(texts: list[dict[str, str]]) -> list[str]:
    """Return the names of the entries of all cards, each once, in the order of the cards."""
    names: dict[str, None] = {}
    for rows in texts:
        names |= dict.fromkeys(rows)
    return list(names)


def _kept(card: Plausibility, name: str) -> float:
    """Return how much is kept, 0 to 1; NaN for an entry that is a count."""
    if name in card.trained:
        lost = card.accuracy - card.trained[name]
        return float(np.clip(1 - lost / WORST, 0, 1))
    if name in card.tolerance:
        return card.tolerance[name].share
    return float("nan")
