"""Grids of small images with one colour bar: feature maps and kernels.

Below `feature_maps`. Start at `draw_tiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.plot.canvas import NOT_FINITE, finite_or_nan, largest_size
from neurosim.plot.names import text_width, wrapped
from neurosim.plot.page import (
    figure_of,
    lay_out,
    line_height,
    size_in_points,
    small_font,
    title_font,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
SHADES = "PRGn"  # of multipliers, as in other pictures: green above 0, purple below
OTHER_SHADES = "RdBu_r"  # of outputs and weights: red above 0, blue below
MOST_TITLE_LINES = 2
LEAST_BAR, MOST_BAR = 0.45, 0.85  # height of a colour bar over that of its axes
BAR = 70  # points beside a picture for its colour bar and the numbers


@dataclass(frozen=True)
class Tiles:
    """Small images of one shape in a grid.

    Attributes
    ----------
    images : (tiles, height, width)
    names : sequence of str
        One above each image; empty texts where there is no need.
    columns : int
        Tiles in a row.
    """

    images: Array
    names: Sequence[str]
    columns: int

    @property
    def rows(self) -> int:
        """Number of rows of tiles."""
        return -(-len(self.images) // self.columns)


def norm_of(values: Array) -> Any:
    """Return limits that are symmetric about 0, of the largest finite value; ±1 where all are 0."""
    from matplotlib.colors import Normalize

    largest = largest_size(values) or 1.0
    return Normalize(-largest, largest)


def grey_note(values: Array) -> str:
    """Return the words that explain grey, where values are not finite; "" where all are."""
    return "" if np.isfinite(values).all() else "grey: not finite"


def shades(name: str) -> Any:
    """Return a colour map in which values that are not finite are grey."""
    import matplotlib as mpl

    return mpl.colormaps[name].with_extremes(bad=NOT_FINITE)


def draw_tiles(ax: Axes, tiles: Tiles, colors: str, label: str) -> None:
    """Draw tiles with frames, names and a colour bar whose middle is 0.

    Parameters
    ----------
    ax : Axes
    tiles : Tiles
    colors : str
        Name of a diverging colour map.
    label : str
        Of the colour bar, with the unit.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Rectangle

    norm, colormap = norm_of(tiles.images), shades(colors)
    _, height, width = tiles.images.shape
    named = any(tiles.names)
    across, down = _steps(ax, tiles, named=named)
    for place, (image, name) in enumerate(zip(tiles.images, tiles.names, strict=True)):
        row, column = divmod(place, tiles.columns)
        left, top = column * across, row * down
        ax.imshow(
            finite_or_nan(image),
            extent=(left, left + width, top + height, top),
            cmap=colormap,
            norm=norm,
            interpolation="nearest",
        )
        frame = Rectangle((left, top), width, height, fill=False, edgecolor="#808080", lw=0.5)
        frame.set_clip_on(False)
        ax.add_patch(frame)
        middle = left + width / 2
        ax.text(middle, top, name, ha="center", va="bottom", fontsize=_name_font())
    room = down - height if named else 0.04 * height
    ax.set_xlim(-0.04 * width, (tiles.columns - 1) * across + 1.04 * width)
    ax.set_ylim((tiles.rows - 1) * down + 1.04 * height, -room)
    ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set(xticks=[], yticks=[])
    room_across, room_down = size_in_points(ax)
    ratio = abs(np.diff(ax.get_ylim())[0] / np.diff(ax.get_xlim())[0])
    drawn_height = ratio * (room_across - BAR)
    share = float(np.clip(drawn_height / room_down, LEAST_BAR, MOST_BAR))
    add_bar(ax, ScalarMappable(norm, colormap), label, share)


def add_bar(ax: Axes, drawn: Any, label: str, share: float = 0.85) -> None:
    """Add a colour bar whose height is a share of the axes' height."""
    aspect = 26 * share  # of height to width, so that every bar is equally wide
    figure_of(ax).colorbar(drawn, ax=ax, label=label, shrink=share, aspect=aspect, pad=0.03)


def add_title(ax: Axes, *texts: str) -> None:
    """Write lines above axes that are as wide as the axes beside their colour bar allow."""
    width, _ = size_in_points(ax)
    lines = []
    for text in filter(None, texts):
        lines += wrapped(text, width, MOST_TITLE_LINES, title_font())
    ax.set_title("\n".join(line.strip() for line in lines))
    lay_out(
        ax
    )  # equal scales make a second layout differ from the first, which would cut texts off


def _name_font() -> float:
    return 0.85 * small_font()


def _steps(ax: Axes, tiles: Tiles, *, named: bool) -> tuple[float, float]:
    """Return the distance of neighbouring tiles across and down, in sites.

    Names are given the height of a line and the width of the longest of them.
    """
    _, height, width = tiles.images.shape
    gap = 0.15 * max(height, width)
    if not named:
        return width + gap, height + gap
    room_across, room_down = size_in_points(ax)
    longest = max(text_width(name, _name_font()) for name in tiles.names) + 4
    room_across = max(room_across - BAR, 40)
    room_down = max(room_down - 3 * line_height(), 40)
    across, down = width + gap, height + gap
    for _ in range(20):  # the scale follows from the distances, and they from the scale
        scale = min(room_across / (tiles.columns * across), room_down / (tiles.rows * down))
        across = max(width + gap, longest / scale)
        down = max(height + gap, height + line_height() / scale)
    return across, down
