"""Legends that fit: above the axes, in as many columns as there is room for.

Above `canvas`, below every module that draws. Start at `add_legend`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network
from neurosim.plot.canvas import color_of
from neurosim.plot.names import shortened_all, text_width, wrapped
from neurosim.plot.page import (
    figure_of,
    line_height,
    size_in_points,
    small_font,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY = 32  # points of a legend's entry beside its text
MOST_COLUMNS = 8  # of a legend
MOST_TITLE_LINES = 3
MOST_ENTRIES = 7  # of a legend, beyond which a series of colours is one
LEAST_SERIES = 4
MOST_ROOM = 0.5  # of axes for a legend within them
PLACE = "place of the legend"
# of a legend within axes, that upright lines would cross
INSIDE: Any = MappingProxyType(
    {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.8}
)


def add_legend(
    ax: Axes, without: Collection[str] = (), others: Sequence[Artist] = (), title: str = ""
) -> None:
    """Add a legend that covers no curve and no title, or replace the one that is there.

    It stands above the axes, where a title moves out of its way, or, where the figure has no
    layout engine that makes room, within the axes above the curves. It has as many columns as fit,
    opaque lines, and each label once. A long series of colours, such as populations by depth, is
    one entry.

    Parameters
    ----------
    without : collection of str
        Names whose entries are left out; a name ends at the first comma of a label.
    others : sequence of Artist
        Entries of the legend that are not drawn.
    title : str
        Words above the entries.
    """
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        if label.split(",")[0] not in without:
            entries[label] = handle
    entries |= {str(handle.get_label()): handle for handle in others}
    if (old := ax.get_legend()) is not None:
        old.remove()
    if not entries and not title:
        return
    entries = collapsed(entries)
    width, height = size_in_points(ax)
    labels = fitted_labels(list(entries), width - KEY)
    exponent = line_height() if _has_exponent(ax) else 0  # is drawn where the legend would be
    lines = wrapped(title, width, MOST_TITLE_LINES, small_font()) if title else []
    columns = columns_within(width, labels)
    above = figure_of(ax).get_layout_engine() is not None
    place = (0.0, 1.0 + exponent / height) if above else (0.0, 1.0)
    legend = ax.legend(
        list(entries.values()),
        labels,
        loc="lower left" if above else "upper left",
        bbox_to_anchor=place,
        borderaxespad=0.3,
        ncols=columns,
        columnspacing=1.0,
        labelspacing=0.3,
        title="\n".join(lines) or None,
        title_fontsize=small_font(),
        alignment="left",
        **_keys(entries),
        **({} if above else INSIDE),
    )
    for line in legend.legend_handles:
        if line is not None:
            line.set_alpha(1.0)
    if above:
        _lift_title(ax)
    else:
        rows = len(lines) + -(-len(labels) // columns)
        _leave_room(ax, (1.15 * rows * line_height() + 4) / height)


def collapsed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a legend, in which a long series of colours is one entry.

    Its label has the first and the last name, its handle is a tuple of all handles.
    """
    if len(entries) <= MOST_ENTRIES:
        return dict(entries)
    series: dict[Any, list[str]] = {}
    for label, handle in entries.items():
        series.setdefault(_look(label, handle), []).append(label)
    found: dict[str, Any] = {}
    for labels in series.values():
        if len(labels) < LEAST_SERIES:
            found |= {label: entries[label] for label in labels}
            continue
        first, last = (label.partition(",")[0] for label in (labels[0], labels[-1]))
        found[f"{first} … {last}"] = tuple(entries[label] for label in labels)
    return found


def _look(label: str, handle: Any) -> Any:
    """Return what the entries of one series share; an entry in black or grey is alone."""
    from matplotlib.colors import to_rgb
    from matplotlib.lines import Line2D

    if not isinstance(handle, Line2D):
        return type(handle)
    red, green, blue = to_rgb(handle.get_color())
    if red == green == blue:
        return label
    return handle.get_linestyle(), str(handle.get_marker())


def _keys(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a legend's keys: longer ones where a key has many colours."""
    from matplotlib.legend_handler import HandlerTuple

    if not any(type(handle) is tuple for handle in entries.values()):  # not one of bars
        return {"handlelength": 1.6}
    side_by_side = {tuple: HandlerTuple(ndivide=None, pad=0)}
    return {"handlelength": 5.0, "handler_map": side_by_side}


def _lift_title(ax: Axes) -> None:
    """Let the title of axes, whenever it is set, stand above the legend that stands above them.

    Matplotlib lifts a title above what is in the axes' own axes; an empty one has the place of the
    legend.
    """
    from matplotlib.transforms import Bbox

    def place(_: Any, renderer: Any) -> Bbox:
        legend = ax.get_legend()
        box = ax.bbox if legend is None else legend.get_window_extent(renderer)
        return Bbox(box.transformed(figure_of(ax).transFigure.inverted()))

    for child in ax.child_axes:
        if child.get_label() == PLACE:
            return
    empty = ax.inset_axes((0.0, 1.0, 1.0, 0.0), label=PLACE)
    empty.set_axes_locator(place)
    empty.set_axis_off()
    empty.set_in_layout(False)


def _leave_room(ax: Axes, share: float) -> None:
    """Raise the upper limit of axes, and of those over them, to free a share of the height."""
    share = min(share, MOST_ROOM)
    own = ax.get_position().bounds
    for other in {ax, *ax.get_shared_x_axes().get_siblings(ax)}:
        if other.get_position().bounds != own:
            continue
        scale = other.yaxis.get_transform()
        low, high = scale.transform(np.array(other.get_ylim()))
        raised = low + (high - low) / (1 - share)
        other.set_ylim(top=float(scale.inverted().transform(np.array([raised]))[0]))


def fitted_labels(labels: Sequence[str], width: float) -> list[str]:
    """Return labels of at most `width` points: names, which end at a comma, are shortened."""
    long = [
        label for label in labels if "$" not in label and text_width(label, small_font()) > width
    ]
    if not long:
        return list(labels)
    names = [label.partition(",")[0] for label in long]
    rests = [label.removeprefix(name) for label, name in zip(long, names, strict=True)]
    room = width - max(text_width(rest, small_font()) for rest in rests)
    short = dict(zip(names, shortened_all(names, room, small_font()), strict=True))
    fitted = {}
    for label, name, rest in zip(long, names, rests, strict=True):
        fitted[label] = short[name] + rest
    return [fitted.get(label, label) for label in labels]


def columns_within(width: float, labels: Sequence[str]) -> int:
    """Return how many columns of a legend fit into a width, in points."""
    if not labels:
        return 1
    widest = max(text_width(label.replace("$_{BP}$", "BP"), small_font()) for label in labels)
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
    colors = {}
    for name in net.neurons:
        colors[name] = Line2D([], [], color=color_of(net, name))
    entries = collapsed(colors)
    labels = fitted_labels(list(entries), width - KEY)
    columns = min(columns_within(width, labels), MOST_COLUMNS)
    options: Any = {"loc": "outside lower right", "ncols": columns, **_keys(entries)}
    figure.legend(list(entries.values()), labels, **options)
