"""Picture of scorecards: what each flow needs and tolerates, side by side.

Start at `plausibility`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError
from neurosim.plot.canvas import text_color
from neurosim.plot.library import matplotlib as mpl
from neurosim.plot.names import shortened_all, text_width
from neurosim.plot.page import (
    LINE_SPACING,
    Size,
    figure_of,
    shown_axes,
    size_in_points,
    small_font,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neurosim.analysis.plausibility import Plausibility

Array = np.ndarray
WORDS = {
    "reads beyond its synapses (share)": "unit reads beyond its synapses (share)",
    "of these, error only": "of these, zero without an error",
    "without phases (%)": "accuracy without phases (%)",
    "clocked switches per presentation": "switches by a clock, per presentation",
}
MOST_LABEL = 0.45  # of the width of a figure
WORST = 0.1  # accuracy lost at the far end of the scale


@styled
def plausibility(
    found: Mapping[str, Plausibility] | Plausibility,
    *,
    figsize: Size | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw scorecards as a grid, with one cell per entry, coloured by how much is kept.

    Accuracies are means over the seeds ± standard deviation. Their colour shows how much is lost
    against the same training without imperfections, up to 10 points. An imperfection has the
    largest level that costs no more than 3 points; the colour shows the share of such levels.
    Counts have no colour.

    Parameters
    ----------
    found : {flow: Plausibility} or Plausibility
        As `neurosim.plausibility` returns them.
    figsize : (float, float), optional
        Size of the new figure, inches.
    ax : Axes, optional
        By default those of a new figure.

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
    line = LINE_SPACING * small_font() / 72
    entries = chain.from_iterable(rows.values() for rows in texts)
    cell = 1.1 * max(text_width(entry, small_font()) for entry in entries) / 72
    size = 3.2 + (cell + 0.1) * len(cards), 2.2 + 1.7 * line * len(names)
    ax = shown_axes(ax, size, figsize)
    grids = {
        "accuracy kept (share)": (_kept_accuracy, "Blues"),
        "levels tolerated (share)": (_tolerated, "Oranges"),
    }
    for label, (measure, shades) in grids.items():
        _draw_grid(ax, cards, names, measure, shades, label)
    short = shortened_all(list(cards), 72 * cell, small_font())
    upright = any(text_width(name, small_font()) > 72 * cell for name in cards)
    ax.set_xticks(range(len(cards)), list(cards) if upright else short)
    if upright:
        ax.tick_params(axis="x", labelrotation=90)
    tolerated = set(chain.from_iterable(card.tolerance for card in cards.values()))
    labels = [_row_label(name, tolerated) for name in names]
    most = MOST_LABEL * 72 * figure_of(ax).get_figwidth()
    ax.set_yticks(range(len(names)), shortened_all(labels, most, small_font()))
    for column, rows in enumerate(texts):
        for row, name in enumerate(names):
            _write(ax, column, row, rows.get(name, "-"), list(cards.values())[column], name)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure_of(ax)


def _draw_grid(
    ax: Axes,
    cards: Mapping[str, Plausibility],
    names: list[str],
    measure: Callable[[Plausibility, str], float],
    shades: str,
    label: str,
) -> None:
    """Draw the cells for which a measure is a number, with a colour bar if there are any."""
    kept = np.zeros((len(names), len(cards)))
    for column, card in enumerate(cards.values()):
        kept[:, column] = [measure(card, name) for name in names]
    image = ax.imshow(kept, cmap=shades, vmin=0, vmax=1, aspect="auto")
    if np.isfinite(kept).any():
        place: Any = {"location": "bottom", "shrink": 0.7, "aspect": 30, "pad": 0.02}
        bar = figure_of(ax).colorbar(image, ax=ax, ticks=[0, 0.5, 1], **place)
        bar.set_label(label)


def _write(ax: Axes, column: int, row: int, text: str, card: Plausibility, name: str) -> None:
    """Write an entry into its cell, in black or white, whichever reads better."""
    shades = {_kept_accuracy: "Blues", _tolerated: "Oranges"}
    color = "black"
    if text_width(text, small_font()) > size_in_points(ax)[0] / max(len(ax.get_xticks()), 1):
        text, _, _ = text.partition(" ±")
    for measure, name_of_map in shades.items():
        kept = measure(card, name)
        if np.isfinite(kept):
            color = text_color(mpl.colormaps[name_of_map](kept))
    ax.text(column, row, text, ha="center", va="center", color=color, size=small_font())


def _row_label(name: str, tolerated: Collection[str]) -> str:
    """Return what a row shows, in words."""
    if name in tolerated:
        return f"tolerated {name}"
    return WORDS.get(name, name)


def _all_names(texts: list[dict[str, str]]) -> list[str]:
    """Return the names of the entries of all cards, each once, in the order of the cards."""
    names: dict[str, None] = {}
    for rows in texts:
        names |= dict.fromkeys(rows)
    return list(names)


def _kept_accuracy(card: Plausibility, name: str) -> float:
    """Return how much accuracy is kept, 0 to 1; NaN for another entry."""
    if name not in card.trained:
        return float("nan")
    lost = card.accuracy - card.trained[name]
    return float(np.clip(1 - lost / WORST, 0, 1))


def _tolerated(card: Plausibility, name: str) -> float:
    """Return the share of tolerated levels of an imperfection; NaN for another entry."""
    if name not in card.tolerance:
        return float("nan")
    return card.tolerance[name].share
