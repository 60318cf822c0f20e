"""Legends that fit: above the axes, in as many columns as there is room for.

Above `canvas`, below every module that draws. Start at `add_legend`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network
from neurosim.plot.canvas import color_of
from neurosim.plot.drawing import FONT, LINE, size_in_points
from neurosim.plot.names import shortened_all, text_width

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = 32  # points of a legend's entry beside its text
MOST_COLUMNS = 8  # of a legend


def add_legend(ax: Axes, without: Collection[str] = (), others: Sequence[Artist] = ()) -> None:
    """Add a legend above the axes, where no curve can be, or replace the one that is there.

    It has as many columns as fit, opaque lines, and each label once.

    Parameters
    ----------
    without : collection of str
        Names whose entries are left out; a name ends at the first comma of a label.
    others : sequence of Artist
        Entries of the legend that are not drawn.
    """
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        if label.split(",")[0] not in without:
            entries[label] = handle
    entries |= {str(handle.get_label()): handle for handle in others}
    if (old := ax.get_legend()) is not None:
        old.remove()
    if not entries:
        return
    width, height = size_in_points(ax)
    labels = fitted_labels(list(entries), width - KEY)
    exponent = LINE if _has_exponent(ax) else 0  # is drawn where the legend would be
    legend = ax.legend(
        list(entries.values()),
        labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0 + exponent / height),
        borderaxespad=0.3,
        ncols=_columns_within(width, labels),
        handlelength=1.6,
        columnspacing=1.0,
        labelspacing=0.3,
    )
    for line in legend.legend_handles:
        if line is not None:
            line.set_alpha(1.0)


def fitted_labels(labels: Sequence[str], width: float) -> list[str]:
    """Return labels of at most `width` points: names, which end at a comma, are shortened."""
    long = [label for label in labels if "$" not in label and text_width(label, FONT) > width]
    if not long:
        return list(labels)
    names = [label.partition(",")[0] for label in long]
    rests = [label.removeprefix(name) for label, name in zip(long, names, strict=True)]
    room = width - max(text_width(rest, FONT) for rest in rests)
    short = dict(zip(names, shortened_all(names, room, FONT), strict=True))
    fitted = {}
    for label, name, rest in zip(long, names, rests, strict=True):
        fitted[label] = short[name] + rest
    return [fitted.get(label, label) for label in labels]


def _columns_within(width: float, labels: Sequence[str]) -> int:
    """Return how many columns of a legend fit into a width, in points."""
    widest = max(text_width(label.replace("$_{BP}$", "BP"), FONT) for label in labels)
    return int(np.clip(width // (KEY + widest), 1, len(labels)))


def _has_exponent(ax: Axes) -> bool:
    """Return whether a power of ten, or an offset, stands above the y axis."""
    formatter = ax.yaxis.get_major_formatter()
    formatter.set_locs(list(ax.get_yticks()))
    return bool(formatter.get_offset())


def share_legend(figure: Figure, axes: Sequence[Axes], net: Network) -> None:
    """Replace the populations' entries in the legends of all panels by one legend of the figure."""
    from matplotlib.lines import Line2D

    for ax in axes:
        add_legend(ax, without=net.populations)
    width = 72 * figure.get_figwidth() - KEY
    labels = fitted_labels(net.neurons, width - KEY)
    handles = []
    for name, label in zip(net.neurons, labels, strict=True):
        handles.append(Line2D([], [], color=color_of(net, name), label=label))
    columns = min(_columns_within(width, labels), MOST_COLUMNS)
    figure.legend(handles=handles, loc="outside lower right", ncols=columns, handlelength=1.6)
