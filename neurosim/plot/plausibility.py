"""Picture of scorecards: what each flow needs and tolerates, side by side.

Start at `plausibility`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.analysis.plausibility import spread_note
from neurosim.errors import DataError
from neurosim.plot.canvas import text_color
from neurosim.plot.library import matplotlib as mpl
from neurosim.plot.names import shortened_all, text_width
from neurosim.plot.page import (
    LINE_SPACING,
    Size,
    figure_of,
    lay_out,
    room_at_left,
    shown_axes,
    size_in_points,
    small_font,
    styled,
    tick_font,
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
    entries = list(chain.from_iterable(rows.values() for rows in texts))
    cell = 1.1 * max(text_width(entry, small_font()) for entry in entries) / 72
    tolerated = set(chain.from_iterable(card.tolerance for card in cards.values()))
    labels = [_row_label(name, tolerated) for name in names]
    beside = max(text_width(label, small_font()) for label in labels) / 72
    size = 0.4 + max(beside / MOST_LABEL, beside + cell * len(cards)), 2.4 + 1.7 * line * len(names)
    ax = shown_axes(ax, size, figsize)
    grids = {
        "accuracy kept (share)": (_kept_accuracy, "Blues"),
        "levels tolerated (share)": (_tolerated, "Oranges"),
    }
    for label, (measure, shades) in grids.items():
        _draw_grid(ax, cards, names, measure, shades, label)
    figure = figure_of(ax)
    room = MOST_LABEL * 72 * figure.get_figwidth()
    if figure.get_layout_engine() is None:
        room = room_at_left(ax, MOST_LABEL, label=False)
    ax.set_yticks(range(len(names)), shortened_all(labels, room, tick_font(ax.yaxis)))
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    note = spread_note(cards.values())
    if note:
        ax.set_xlabel(note.replace(" over", "\nover"))
        ax.xaxis.set_label_position("bottom")
    ax.set_xticks(range(len(cards)), list(cards), rotation=90)
    lay_out(ax)
    apart = size_in_points(ax)[0] / len(cards)
    if all(text_width(name, tick_font(ax.xaxis)) < 0.95 * apart for name in cards):
        ax.tick_params(axis="x", labelrotation=0)
    _write_entries(ax, list(cards.values()), names, apart)
    return figure


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


def _write_entries(
    ax: Axes, cards: Sequence[Plausibility], names: Sequence[str], apart: float
) -> None:
    """Write all entries, in cells `apart` points wide.

    Where they do not fit, deviations are left out; where they still do not, entries stand upright.
    """
    entries = []
    for column, card in enumerate(cards):
        rows = card.rows()
        for row, name in enumerate(names):
            text = rows.get(name, "-")
            entries.append((column, row, "not finite" if text.startswith("nan") else text))
    widest = max(text_width(text, small_font()) for _, _, text in entries)
    if widest > 0.95 * apart:
        entries = [(column, row, text.partition(" ±")[0]) for column, row, text in entries]
        ax.set_xlabel("")
    widest = max(text_width(text, small_font()) for _, _, text in entries)
    look: Any = {"ha": "center", "va": "center", "fontsize": small_font()}
    if widest > 0.95 * apart:
        look |= {"rotation": 90, "fontsize": min(small_font(), apart / LINE_SPACING)}
    for column, row, text in entries:
        color = _ink(cards[column], names[row])
        ax.text(column, row, text, color=color, **look)


def _ink(card: Plausibility, name: str) -> str:
    """Return black or white, whichever reads better in the cell of an entry."""
    shades = {_kept_accuracy: "Blues", _tolerated: "Oranges"}
    color = "black"
    for measure, name_of_map in shades.items():
        kept = measure(card, name)
        if np.isfinite(kept):
            color = text_color(mpl.colormaps[name_of_map](kept))
    return color


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
