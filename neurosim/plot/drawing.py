"""Where the units and synapses of a network are drawn, and how: layers, or rings on a circle.

Below `plot`, which chooses and calls. Start at `columns` and `rings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

# Okabe & Ito 2008 without yellow, which is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MOST_UNITS = 40  # of a population, all drawn; of a larger one, SHOWN
SHOWN = 24
MOST_EDGES = 3000  # in all; the strongest of each projection


@dataclass(frozen=True)
class Drawing:
    """Where units are drawn, in data coordinates.

    `units` is {population: (index of the drawn units, (drawn, 2))}, `labels` the anchor of each
    name and the side of it that the text is on, `spacing` the smallest distance of two units.
    """

    units: dict[str, tuple[Array, Array]]
    labels: dict[str, tuple[float, float, str, str]]
    spacing: float
    dots: Sequence[tuple[float, float]] = ()
    rings: bool = False


def _shown(size: int) -> Array:
    """Index of the drawn units: all of a small population, the first and the last of a large one."""
    return np.arange(size) if size <= MOST_UNITS else np.r_[: SHOWN // 2, size - SHOWN // 2 : size]


def columns(net: Network, gap: float) -> Drawing:
    """An acyclic graph: a column per depth, heights 0 to 1; between two populations of one depth a
    gap for a name.
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(net.populations)
    graph.add_edges_from((q.pre, q.post) for q in net.projections.values())
    units: dict[str, tuple[Array, Array]] = {}
    labels: dict[str, tuple[float, float, str, str]] = {}
    dots, spacing = [], 1.0
    for depth, layer in enumerate(nx.topological_generations(graph)):
        names = [name for name in net.populations if name in layer]
        rows = {}
        for name in names:  # a large population leaves two rows for its dots
            index = _shown(net.populations[name].size)
            large = len(index) < net.populations[name].size
            rows[name] = np.arange(len(index)) + 2 * large * (np.arange(len(index)) >= SHOWN // 2)
        own_gap = min(gap, 0.6 / max(len(names) - 1, 1))
        gaps, total = own_gap * (len(names) - 1), sum(int(r[-1]) for r in rows.values())
        step = min((1 - gaps) / max(total, 1), 0.065)
        y = 0.5 + (step * total + gaps) / 2
        for name in names:
            index = _shown(net.populations[name].size)
            units[name] = (
                index,
                np.column_stack([np.full(len(index), float(depth)), y - step * rows[name]]),
            )
            labels[name] = (float(depth), y, "center", "bottom")
            if rows[name][-1] >= len(index):
                dots.append((float(depth), y - step * (SHOWN // 2 + 0.5)))
            y -= step * int(rows[name][-1]) + own_gap
        spacing = min(spacing, step)
    return Drawing(units, labels, spacing, dots)


def rings(net: Network) -> Drawing:
    """A cyclic graph: populations on a circle, the first one left; the units of each on a ring."""
    import networkx as nx

    layout = nx.circular_layout(net.populations)
    count = len(layout)
    radius = 0.35 * min(1.0, 2 * np.sin(np.pi / max(count, 2)))
    units: dict[str, tuple[Array, Array]] = {}
    labels: dict[str, tuple[float, float, str, str]] = {}
    spacing = radius
    for name, (x, y) in layout.items():
        outward = np.array([-x, y]) if count > 1 else np.array([0.0, 1e-9])
        index = _shown(net.populations[name].size)
        angle = np.pi / 2 - 2 * np.pi * np.arange(len(index)) / len(index)
        ring = radius * np.column_stack([np.cos(angle), np.sin(angle)]) * (len(index) > 1)
        units[name] = index, outward + ring
        spacing = min(spacing, 2 * np.pi * radius / max(len(index), 6))
        anchor = outward * (1 + (radius + 0.1) / np.linalg.norm(outward))
        beside = abs(outward[0]) > 0.5
        horizontal = ("right" if outward[0] < 0 else "left") if beside else "center"
        labels[name] = (
            *anchor,
            horizontal,
            "center" if beside else "bottom" if outward[1] > 0 else "top",
        )
    return Drawing(units, labels, spacing, rings=True)


def draw_synapses(ax: Axes, net: Network, drawing: Drawing) -> float:
    """The strongest synapses of each projection; returns the height of the highest point of a line."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba_array

    top = max(float(xy[:, 1].max()) for _, xy in drawing.units.values())
    for name, q in net.projections.items():
        (pre, start), (post, end) = drawing.units[q.pre], drawing.units[q.post]
        block = net.weights[name][post][:, pre]
        block = block if isinstance(block, np.ndarray) else block.toarray()
        i, j = np.nonzero(block)
        order = np.argsort(np.abs(block[i, j]))[
            -MOST_EDGES // len(net.projections) :
        ]  # strong ones on top
        if order.size == 0:
            continue
        i, j = i[order], j[order]
        strength = np.abs(block[i, j]) / np.abs(block).max()
        if drawing.rings:
            bend = 0.12 if q.pre != q.post else 0.0
        else:  # what jumps over a column is an arc of one height
            jump = end[0, 0] - start[0, 0]
            bend = 0.25 / jump if jump > 1 else 0.0
        colors = np.array(to_rgba_array([PALETTE[0] if w > 0 else PALETTE[1] for w in block[i, j]]))
        colors[:, 3] = 0.05 + 0.65 * strength**2
        curves = _curves(start[j], end[i], bend)
        top = max(top, float(curves[..., 1].max()))
        ax.add_collection(
            LineCollection(list(curves), colors=colors, linewidths=0.2 + 1.2 * strength, zorder=1)
        )
    for label, color in (("w > 0", PALETTE[0]), ("w < 0", PALETTE[1])):
        proxy(ax, label, color=color)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=2, handlelength=1.6)
    return top


def _curves(start: Array, end: Array, bend: float) -> Array:
    """Lines (n, points, 2) from `start` to `end`, bent to the left by half of `bend` times their
    length.
    """
    t = np.linspace(0, 1, 24 if bend else 2)[None, :, None]
    chord = (end - start)[:, None, :]
    left = chord[..., ::-1] * np.array([-1.0, 1.0])
    return np.asarray(start[:, None, :] + t * chord + 2 * bend * t * (1 - t) * left)


def draw_labels(ax: Axes, net: Network, drawing: Drawing, top: float) -> None:
    """Names and sizes, and limits that leave room for them; upright where columns are narrower than
    words.
    """
    texts = {}
    for name in drawing.labels:
        p = net.populations[name]
        kind = "clamped" if p.clamped else p.activation if p.activation.isidentifier() else "units"
        texts[name] = (name, f"{p.size} {kind}")
    letter = 4.9  # points, on average
    width, height = (72 * size / ax.figure.dpi for size in (ax.bbox.width, ax.bbox.height))
    longest = letter * max(len(line) for text in texts.values() for line in text)
    if drawing.rings:
        positions = np.concatenate([xy for _, xy in drawing.units.values()])
        (left, bottom), (right, upper) = positions.min(axis=0) - 0.1, positions.max(axis=0) + 0.1
        side = (right - left) * longest / max(width - 2 * longest, width / 4)
        ends = (upper - bottom) * 24 / (height - 48)
        ax.set(xlim=(left - side, right + side), ylim=(bottom - ends, upper + ends), aspect="equal")
        upright = False
    else:
        last = max(x for x, *_ in drawing.labels.values())
        upright = longest > 0.95 * width / (last + 1)
        # Inside a column only the gap is there, whatever the words.
        room = (letter * max(len(", ".join(t)) for t in texts.values()) if upright else 24) / height
        ax.set(xlim=(-0.5, last + 0.5), ylim=(-0.05, top + 0.04 + (top + 0.09) * room / (1 - room)))
    for name, (x, y, horizontal, vertical) in drawing.labels.items():
        ax.annotate(
            (", " if upright else "\n").join(texts[name]),
            (x, y),
            xytext=(0, 0 if drawing.rings else 8),
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            rotation=90 if upright else 0,
            fontsize=8,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )


def draw_units(ax: Axes, net: Network, drawing: Drawing, lam: Mapping[str, Array] | None) -> None:
    """The units that are drawn, in the colour of their multiplier where there is one."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    scale = ax.bbox.height / (top - bottom)  # pixels a unit of the data
    if drawing.rings:
        scale = min(scale, ax.bbox.width / (right - left))
    area = float(np.clip(0.72 * drawing.spacing * scale * 72 / ax.figure.dpi, 2.5, 12)) ** 2
    finite = {n: np.nan_to_num(v, posinf=0.0, neginf=0.0) for n, v in (lam or {}).items()}
    largest = max((float(np.abs(v).max()) for v in finite.values()), default=0.0) or 1.0
    colormap = ScalarMappable(Normalize(-largest, largest), "PRGn")
    for name, (index, xy) in drawing.units.items():
        clamped = net.populations[name].clamped
        face: Any = "#D9D9D9" if clamped else "white"
        if lam is not None and not clamped:
            face = colormap.to_rgba(lam[name][index])
        marker = "s" if clamped else "o"
        ax.scatter(
            xy[:, 0],
            xy[:, 1],
            s=area,
            marker=marker,
            c=face,
            edgecolors="#404040",
            linewidths=0.5,
            zorder=3,
        )
    for x, y in drawing.dots:
        ax.text(x, y, "⋮", ha="center", va="center", fontsize=10, zorder=3)
    if lam is not None:
        ax.figure.colorbar(
            colormap, ax=ax, label="multiplier λ (1)", shrink=0.6, aspect=22, pad=0.02
        )


def proxy(ax: Axes, label: str, **line: Any) -> None:
    """An entry of the legend that stands for a kind of line."""
    ax.plot([], [], label=label, **line)
