"""Draw the units and synapses of a network: in columns by depth, or on rings where it is cyclic.

Below `graph`, which chooses and calls. Start at `columns` and `rings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network
from neurosim.plot.names import shortened_all, text_width, wrapped
from neurosim.plot.page import (
    PALETTE,
    line_height,
    size_in_points,
    small_font,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
Place = tuple[float, float]  # in data coordinates
Units = tuple[Array, Array]  # indices, (drawn,), and places, (drawn, 2)
Lines = list[str]  # of a label
Anchor = tuple[float, float, str, str]  # of a name, with its horizontal and vertical alignment

MOST_UNITS = 40  # of a population that is drawn whole; of a larger one, SHOWN are drawn
SHOWN = 24
MOST_EDGES = 3000  # in all: the strongest of each projection
NARROW = 45  # points; in narrower columns names stand upright
MOST_NAME_LINES = 3
LEAST_TOP = 0.4  # of the highest unit, above which a name is one of the top row
LEAST_HEIGHT = 0.4  # of the columns, however few units they have
OFFSET = 8  # points between units and names
NO_NAME = 0.07  # gap between two populations without a name between them
BOTH_ENDS = 0.8  # of UPRIGHT, where names stand above and below
UPRIGHT, BESIDE = 0.4, 0.28  # largest share of the height or width that names take
# behind a name, so that it can be read over lines
BACKGROUND = {
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.75,
    "pad": 0.8,
}


@dataclass(frozen=True)
class Drawing:
    """Places of units and names, in data coordinates.

    Attributes
    ----------
    units : {population: (indices, places)}
        Indices of the drawn units, (drawn,), and their places, (drawn, 2).
    labels : {population: Anchor}
        Where each name is drawn, and on which side of its place.
    spacing : float
        Smallest distance between two units.
    dots : sequence of Place
        Where an ellipsis stands for the units that are not drawn.
    texts : {population: lines}
        Name, size and kind, as far as there is room.
    rings : bool
        Whether populations are rings on a circle, not columns.
    upright : bool
        Whether names stand upright.
    """

    units: dict[str, Units]
    labels: dict[str, Anchor]
    spacing: float
    dots: Sequence[Place] = ()
    texts: Mapping[str, Lines] = field(default_factory=dict)
    rings: bool = False
    upright: bool = False

    def places(self) -> Array:
        """Return the places of all units, (drawn, 2)."""
        return np.concatenate([own for _, own in self.units.values()])


def _shown(size: int) -> Array:
    """Return the indices of the drawn units: all, or the first and last of a large population."""
    if size <= MOST_UNITS:
        return np.arange(size)
    half = SHOWN // 2
    first = np.arange(half)
    last = np.arange(size - half, size)
    return np.concatenate([first, last])


def _rows(size: int) -> Array:
    """Return the row of each drawn unit in its column; two rows are free for an ellipsis."""
    drawn = len(_shown(size))
    rows = np.arange(drawn)
    if size > MOST_UNITS:
        rows[SHOWN // 2 :] += 2
    return rows


def _layers(net: Network) -> list[list[str]]:
    """Return the populations of each depth of an acyclic graph, in the order of the network."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(net.populations)
    graph.add_edges_from((q.pre, q.post) for q in net.projections.values())
    layers = []
    for generation in nx.topological_generations(graph):
        layers.append([name for name in net.populations if name in generation])
    return layers


def columns(net: Network, width: float, height: float) -> Drawing:
    """Place an acyclic graph: one column per depth, heights 0 to 1.

    The name of the first population of a column stands above it, that of the last below it.

    Parameters
    ----------
    net : Network
    width, height : float
        Size of the axes, points.
    """
    layers = _layers(net)
    texts, upright = _column_names(net, layers, width, height)
    # Between two populations of one depth, where the name of one in the middle stands.
    lines = max(map(len, texts.values()))
    every = 1  # column with names
    if upright:
        every = int(np.ceil(0.9 * line_height() * len(layers) / width))
    named = (2 * line_height() + 6 + line_height() * lines) / height
    if upright:
        named = UPRIGHT / 2
    units: dict[str, Units] = {}
    labels: dict[str, Anchor] = {}
    dots: list[Place] = []
    spacing = 1.0
    for depth, names in enumerate(layers):
        x = float(depth)
        rows = {name: _rows(net.populations[name].size) for name in names}
        count = len(names) - 1
        gap = NO_NAME if count == 1 else min(named, 0.6 / max(count, 1))
        gaps = gap * count
        total = sum(int(own[-1]) for own in rows.values())
        step = min((1 - gaps) / max(total, 1), 0.065)
        y = 0.5 + (step * total + gaps) / 2
        for place, (name, own) in enumerate(rows.items()):
            size = net.populations[name].size
            heights = y - step * own
            depths = np.full(len(own), x)
            units[name] = _shown(size), np.column_stack([depths, heights])
            if size > MOST_UNITS:
                middle = SHOWN // 2 + 0.5
                dots.append((x, y - step * middle))
            if depth % every == 0:
                labels[name] = _anchor(x, y, float(heights[-1]), below=0 < place == count)
            y -= step * int(own[-1]) + gap
        spacing = min(spacing, step)
    return Drawing(units, labels, spacing, dots, texts, upright=upright)


def _anchor(x: float, top: float, bottom: float, *, below: bool) -> Anchor:
    """Return where the name of a population in a column stands: above it or below."""
    return (x, bottom, "center", "top") if below else (x, top, "center", "bottom")


def _column_names(
    net: Network, layers: Sequence[Sequence[str]], width: float, height: float
) -> tuple[dict[str, Lines], bool]:
    """Return the lines of each name, and whether they stand upright."""
    room = 0.95 * width / len(layers)
    lines = {name: _label_lines(net, name) for name in net.populations}
    if _longest(lines) <= room:
        return lines, False
    if room >= NARROW:
        found = {}
        for name, (first, second) in lines.items():
            found[name] = [*wrapped(first, room, MOST_NAME_LINES, small_font()), second]
        return found, False
    alone = {name: own[:1] for name, own in lines.items()}
    upright = {name: [", ".join(own)] for name, own in lines.items()}
    if _longest(upright) > UPRIGHT * height and _longest(alone) <= room:
        return alone, False
    found = {}
    most = int(np.clip(room // line_height(), 1, MOST_NAME_LINES))
    end = UPRIGHT  # share of the height for the names above all columns
    if any(len(names) > 1 for names in layers):
        end = UPRIGHT * BOTH_ENDS
    for names in layers:
        for place, name in enumerate(names):
            share = end
            if 0 < place < len(names) - 1:  # between two others
                share = 0.75 * min(UPRIGHT / 2, 0.6 / (len(names) - 1)) * (1 - UPRIGHT)
            found[name] = wrapped(", ".join(lines[name]), share * height, most, small_font())
    if most == 1:
        if _longest(found) < _longest(upright):
            lines = alone  # their sizes do not fit
        for chosen in ([names[0] for names in layers], [n[-1] for n in layers if len(n) > 1]):
            texts = [", ".join(lines[name]) for name in chosen]
            short = shortened_all(texts, end * height, small_font())
            found |= {name: [text] for name, text in zip(chosen, short, strict=True)}
    return found, True


def rings(net: Network, width: float) -> Drawing:
    """Place a cyclic graph: populations on a circle, the first on the left, units on rings.

    Parameters
    ----------
    net : Network
    width : float
        Width of the axes, points.
    """
    import networkx as nx

    layout = nx.circular_layout(net.populations)
    half_angle = np.pi / max(len(layout), 2)  # between the centres of two neighbours
    between_centres = 2 * np.sin(half_angle)
    radius = 0.35 * min(1.0, between_centres)
    units: dict[str, Units] = {}
    labels: dict[str, Anchor] = {}
    spacing = radius
    for name, (x, y) in layout.items():
        centre = np.array([-x, y])
        if len(layout) == 1:
            centre = np.array([0.0, 1e-9])
        index = _shown(net.populations[name].size)
        count = len(index)
        units[name] = index, centre + _ring(count, radius)
        circumference = 2 * np.pi * radius
        spacing = min(spacing, circumference / max(count, 6))
        to_label = radius + 0.1
        distance = np.linalg.norm(centre)
        anchor = centre * (1 + to_label / distance)
        labels[name] = (*anchor, *_alignment(centre))
    texts = {}
    for name in net.populations:
        first, second = _label_lines(net, name)
        texts[name] = [*wrapped(first, BESIDE * width, MOST_NAME_LINES, small_font()), second]
    return Drawing(units, labels, spacing, texts=texts, rings=True)


def _ring(count: int, radius: float) -> Array:
    """Return points on a ring about the origin, (count, 2), clockwise from the top."""
    if count == 1:
        return np.zeros((1, 2))
    turned = 2 * np.pi * np.arange(count) / count
    angle = np.pi / 2 - turned
    x = np.cos(angle)
    y = np.sin(angle)
    return radius * np.column_stack([x, y])


def _alignment(centre: Array) -> tuple[str, str]:
    """Return the alignment of a name that stands outside its ring: beside, above or below it."""
    if centre[0] > 0.5:
        return "left", "center"
    if centre[0] < -0.5:
        return "right", "center"
    if centre[1] > 0:
        return "center", "bottom"
    return "center", "top"


def draw_synapses(ax: Axes, net: Network, drawing: Drawing) -> float:
    """Draw the strongest synapses of each projection.

    Returns
    -------
    float
        Height of the highest point of a unit or line.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    heights = drawing.places()[:, 1]
    top = float(heights.max())
    most = -(-MOST_EDGES // max(len(net.projections), 1))
    positive = to_rgba(PALETTE[0])
    negative = to_rgba(PALETTE[1])
    for name, q in net.projections.items():
        pre, start = drawing.units[q.pre]
        post, end = drawing.units[q.post]
        block = net.matrix(name)[post][:, pre]
        if not isinstance(block, np.ndarray):
            block = block.toarray()
        i, j = np.nonzero(block)
        if i.size == 0:
            continue
        by_strength = np.argsort(np.abs(block[i, j]))
        strongest = by_strength[-most:]  # the last is drawn on top
        i, j = i[strongest], j[strongest]
        w = block[i, j]
        largest = np.abs(block).max()
        strength = np.abs(w) / largest
        colors = np.where((w > 0)[:, None], positive, negative)
        colors[:, 3] = 0.05 + 0.65 * strength**2
        bend = _bend(drawing, q.pre, q.post)
        curves = _curves(start[j], end[i], bend)
        heights = curves[..., 1]
        top = max(top, float(heights.max()))
        widths = 0.2 + 1.2 * strength
        lines = LineCollection(
            list(curves),
            colors=colors,
            linewidths=widths,
            zorder=1,
        )
        ax.add_collection(lines)
    return top


def add_sign_legend(ax: Axes) -> None:
    """Add the legend of the signs of weights below a network."""
    add_legend_line(ax, "w > 0", color=PALETTE[0])
    add_legend_line(ax, "w < 0", color=PALETTE[1])
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=2,
        handlelength=1.6,
    )


def _bend(drawing: Drawing, pre: str, post: str) -> float:
    """Return the bend of a projection's lines.

    Between rings, lines of the two directions separate. Lines that skip a column are arcs of one
    height. Others are straight.
    """
    if drawing.rings and pre != post:
        return 0.12
    _, start = drawing.units[pre]
    _, end = drawing.units[post]
    jump = float(end[0, 0] - start[0, 0])
    if not drawing.rings and jump > 1:
        return 0.25 / jump
    return 0.0


def _curves(start: Array, end: Array, bend: float) -> Array:
    """Return lines (n, points, 2), bent to the left by half of `bend` times their length."""
    points = 24 if bend else 2
    t = np.linspace(0, 1, points)[:, None]
    start = start[:, None, :]
    chord = end[:, None, :] - start
    right = chord[..., 0]
    up = chord[..., 1]
    left = np.stack([-up, right], axis=-1)
    sideways = 2 * bend * t * (1 - t) * left
    return np.asarray(start + t * chord + sideways)


def draw_labels(ax: Axes, drawing: Drawing, top: float) -> None:
    """Draw names and sizes, and set limits that leave room for them.

    Parameters
    ----------
    top : float
        Height of the highest point of a line, from `draw_synapses`.
    """
    highest = float(drawing.places()[:, 1].max())
    if drawing.rings:
        _limit_rings(ax, drawing)
    else:
        _limit_columns(ax, drawing, top)
    for name, (x, y, horizontal, vertical) in drawing.labels.items():
        offset = 0.0
        if not drawing.rings:
            offset = 8.0 if vertical == "bottom" else -8.0
            if vertical == "bottom" and top > highest and y > LEAST_TOP * highest:
                y = top  # above the arcs, which would cross it
        ax.annotate(
            "\n".join(drawing.texts[name]),
            (x, y),
            xytext=(0, offset),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            rotation=90 if drawing.upright else 0,
            fontsize=small_font(),
            zorder=4,
            bbox=BACKGROUND,
        )


def _label_lines(net: Network, name: str) -> Lines:
    """Return the name of a population, and its size and kind."""
    p = net.populations[name]
    kind = "units"
    if p.clamped:
        kind = "clamped"
    elif p.activation.isidentifier():
        kind = p.activation
    return [name, f"{p.size} {kind}"]


def _name_size(drawing: Drawing) -> tuple[float, float]:
    """Return the width of the longest line and the height of the highest name, in points."""
    lines = max(map(len, drawing.texts.values()))
    return _longest(drawing.texts), 4.0 + line_height() * lines


def _longest(texts: Mapping[str, Lines]) -> float:
    """Return the width of the longest line, in points."""
    lines = chain.from_iterable(texts.values())
    return max(text_width(line, small_font()) for line in lines)


def _limit_rings(ax: Axes, drawing: Drawing) -> None:
    """Leave room for the longest line on both sides, and for the names above and below."""
    width, height = size_in_points(ax)
    longest, lines = _name_size(drawing)
    places = drawing.places()
    left, bottom = places.min(axis=0) - 0.1
    right, upper = places.max(axis=0) + 0.1
    remaining = max(width - 2 * longest, width / 4)
    side = (right - left) * longest / remaining
    ends = (upper - bottom) * lines / max(height - 2 * lines, height / 4)
    ax.set_xlim(left - side, right + side)
    ax.set_ylim(bottom - ends, upper + ends)
    ax.set_aspect("equal")


def _limit_columns(ax: Axes, drawing: Drawing, top: float) -> None:
    """Leave room for names above the columns, and below those of several populations."""
    _, height = size_in_points(ax)
    last = float(drawing.places()[:, 0].max())
    longest, lines = _name_size(drawing)
    needed = (longest if drawing.upright else lines) + OFFSET
    room = min(needed / height, 0.6)
    bottom = min(float(drawing.places()[:, 1].min()), 0.5 - LEAST_HEIGHT / 2) - 0.05
    below = 0.0
    if any(vertical == "top" for *_, vertical in drawing.labels.values()):
        room = min(room, 0.35)
        below = room
    span = (top + 0.04 - bottom) / (1 - room - below)
    ax.set_xlim(-0.5, last + 0.5)
    ax.set_ylim(bottom - below * span, top + 0.04 + room * span)


def add_legend_line(ax: Axes, label: str, **line: Any) -> None:
    """Add an entry to the legend that stands for a kind of line."""
    ax.plot([], [], label=label, **line)
