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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
Place = tuple[float, float]  # in data coordinates
Units = tuple[Array, Array]  # indices, (drawn,), and places, (drawn, 2)
Lines = list[str]  # of a label
Anchor = tuple[float, float, str, str]  # of a name, with its horizontal and vertical alignment

# Okabe & Ito 2008 without yellow, which is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MOST_UNITS = 40  # of a population that is drawn whole; of a larger one, SHOWN are drawn
SHOWN = 24
MOST_EDGES = 3000  # in all: the strongest of each projection
FONT, LINE = 8, 10  # size of a name and height of its lines, points
NARROW = 45  # points; in narrower columns names stand upright
MOST_NAME_LINES = 3
LEAST_HEIGHT = 0.4  # of the columns, however few units they have
UPRIGHT, BESIDE = 0.4, 0.28  # largest share of the height or width that names take
# behind a name, so that it can be read over lines
BACKGROUND = {
    "facecolor": "white",
    "edgecolor": "none",
    "alpha": 0.75,
    "pad": 0.8,
}


def palette_color(i: int) -> str:
    """Return a colour of the palette, which repeats."""
    return PALETTE[i % len(PALETTE)]


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

    Parameters
    ----------
    net : Network
    width, height : float
        Size of the axes, points.
    """
    layers = _layers(net)
    texts, upright = _column_names(net, layers, width, height)
    # Between two populations of one depth, in which the name of the lower one stands.
    gap = (2 * LINE + 6 + LINE * max(map(len, texts.values()))) / height
    if upright:
        gap = UPRIGHT / 2
    units: dict[str, Units] = {}
    labels: dict[str, Anchor] = {}
    dots: list[Place] = []
    spacing = 1.0
    for depth, names in enumerate(layers):
        x = float(depth)
        rows = {name: _rows(net.populations[name].size) for name in names}
        count = len(names) - 1
        own_gap = min(gap, 0.6 / max(count, 1))
        gaps = own_gap * count
        total = sum(int(own[-1]) for own in rows.values())
        step = min((1 - gaps) / max(total, 1), 0.065)
        height = step * total + gaps
        y = 0.5 + height / 2
        for name, own in rows.items():
            size = net.populations[name].size
            heights = y - step * own
            depths = np.full(len(own), x)
            places = np.column_stack([depths, heights])
            units[name] = _shown(size), places
            labels[name] = (x, y, "center", "bottom")
            if size > MOST_UNITS:
                middle = SHOWN // 2 + 0.5
                dots.append((x, y - step * middle))
            y -= step * int(own[-1]) + own_gap
        spacing = min(spacing, step)
    return Drawing(units, labels, spacing, dots, texts, upright=upright)


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
            found[name] = [*wrapped(first, room, MOST_NAME_LINES, FONT), second]
        return found, False
    found = {}
    most = int(np.clip(room // LINE, 1, MOST_NAME_LINES))
    for names in layers:
        for place, name in enumerate(names):
            share = UPRIGHT
            if place > 0:  # below another population
                share = 0.75 * min(UPRIGHT / 2, 0.6 / (len(names) - 1)) * (1 - UPRIGHT)
            found[name] = wrapped(", ".join(lines[name]), share * height, most, FONT)
    if most == 1:
        highest = [names[0] for names in layers]
        texts = [", ".join(lines[name]) for name in highest]
        short = shortened_all(texts, UPRIGHT * height, FONT)
        found |= {name: [text] for name, text in zip(highest, short, strict=True)}
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
        texts[name] = [*wrapped(first, BESIDE * width, MOST_NAME_LINES, FONT), second]
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
    add_legend_line(ax, "w > 0", color=positive)
    add_legend_line(ax, "w < 0", color=negative)
    ax.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=2,
        handlelength=1.6,
    )
    return top


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
    if drawing.rings:
        _limit_rings(ax, drawing)
    else:
        _limit_columns(ax, drawing, top)
    for name, (x, y, horizontal, vertical) in drawing.labels.items():
        ax.annotate(
            "\n".join(drawing.texts[name]),
            (x, y),
            xytext=(0, 0 if drawing.rings else 8),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            rotation=90 if drawing.upright else 0,
            fontsize=FONT,
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
    return _longest(drawing.texts), 4.0 + LINE * lines


def _longest(texts: Mapping[str, Lines]) -> float:
    """Return the width of the longest line, in points."""
    lines = chain.from_iterable(texts.values())
    return max(text_width(line, FONT) for line in lines)


def size_in_points(ax: Axes) -> tuple[float, float]:
    """Return width and height of axes."""
    width = 72 * ax.bbox.width / ax.figure.dpi
    height = 72 * ax.bbox.height / ax.figure.dpi
    return width, height


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
    """Leave room for names above the columns."""
    _, height = size_in_points(ax)
    last = max(x for x, *_ in drawing.labels.values())
    longest, lines = _name_size(drawing)
    needed = longest if drawing.upright else lines
    room = min(needed / height, 0.6)
    bottom = min(float(drawing.places()[:, 1].min()), 0.5 - LEAST_HEIGHT / 2) - 0.05
    above = (top + 0.04 - bottom) * room / (1 - room)
    ax.set_xlim(-0.5, last + 0.5)
    ax.set_ylim(bottom, top + 0.04 + above)


def draw_units(ax: Axes, net: Network, drawing: Drawing, lam: Mapping[str, Array] | None) -> None:
    """Draw the units, in the colour of their multiplier where it is given.

    Parameters
    ----------
    lam : {population: (units,)}, optional
        Multipliers of one pattern.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    largest = _largest_finite(lam or {})
    colormap = ScalarMappable(Normalize(-largest, largest), "PRGn")
    area = _unit_area(ax, drawing)
    for name, (index, places) in drawing.units.items():
        face: Any = "white"
        marker = "o"
        if net.populations[name].clamped:
            face, marker = "#D9D9D9", "s"
        elif lam is not None:
            face = colormap.to_rgba(lam[name][index])
        ax.scatter(
            places[:, 0],
            places[:, 1],
            s=area,
            marker=marker,
            c=face,
            edgecolors="#404040",
            linewidths=0.5,
            zorder=3,
        )
    for x, y in drawing.dots:
        ax.text(
            x,
            y,
            "⋮",
            ha="center",
            va="center",
            fontsize=10,
            zorder=3,
        )
    if lam is not None:
        ax.figure.colorbar(
            colormap,
            ax=ax,
            label="multiplier λ (1)",
            shrink=0.6,
            aspect=22,
            pad=0.02,
        )


def _largest_finite(lam: Mapping[str, Array]) -> float:
    """Return the largest finite |λ|; 1 where all are zero."""
    largest = 0.0
    for own in lam.values():
        finite = np.nan_to_num(own, posinf=0.0, neginf=0.0)
        largest = max(largest, float(np.abs(finite).max()))
    return largest or 1.0


def _unit_area(ax: Axes, drawing: Drawing) -> float:
    """Return the area of a unit's mark, in points²: neighbours do not touch."""
    bottom, top = ax.get_ylim()
    scale = ax.bbox.height / (top - bottom)  # pixels per unit of data coordinates
    if drawing.rings:
        left, right = ax.get_xlim()
        across = ax.bbox.width / (right - left)
        scale = min(scale, across)
    apart = 0.72 * drawing.spacing * scale * 72 / ax.figure.dpi  # points
    diameter = float(np.clip(apart, 2.5, 12))
    return diameter**2


def add_legend_line(ax: Axes, label: str, **line: Any) -> None:
    """Add an entry to the legend that stands for a kind of line."""
    ax.plot([], [], label=label, **line)
