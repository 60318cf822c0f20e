"""Draw the units of a network, in the colour of their multiplier. Start at `draw_units`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network
from neurosim.plot.canvas import finite_or_nan, largest_size
from neurosim.plot.drawing import Drawing
from neurosim.plot.tiles import SHADES, grey_note, shades

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
LEAST_LAM = 1e-10  # below which multipliers are not coloured


def add_lam_bar(ax: Axes, lam: Mapping[str, Array], largest: float | None = None) -> Any:
    """Add the colour bar of multipliers of one pattern, {population: (units,)}; return its colours.

    Parameters
    ----------
    largest : float, optional
        The |λ| of the darkest colours; by default the largest one.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if largest is None:
        largest = max(largest_size(own) for own in lam.values())
    label = "multiplier λ (1)"
    note = grey_note(np.concatenate(list(lam.values())))
    if largest < LEAST_LAM:  # only rounding is left, which has no colour
        largest = 1.0
        note = note or "all below 10⁻¹⁰"
    if note:
        label += f"\n{note}"
    colormap = ScalarMappable(Normalize(-largest, largest), shades(SHADES))
    bar: Any = {"label": label, "shrink": 0.6, "aspect": 22, "pad": 0.02}
    ax.figure.colorbar(colormap, ax=ax, **bar)
    return colormap


def draw_units(
    ax: Axes, net: Network, drawing: Drawing, lam: Mapping[str, Array] | None, colormap: Any
) -> None:
    """Draw the units, in the colour of their multiplier where it is given.

    Parameters
    ----------
    lam : {population: (units,)}, optional
        Multipliers of one pattern.
    colormap : ScalarMappable, optional
        Of `add_lam_bar`.
    """
    area = _unit_area(ax, drawing)
    for name, (index, places) in drawing.units.items():
        face: Any = "white"
        marker = "o"
        if net.populations[name].clamped:
            face, marker = "#D9D9D9", "s"
        elif lam is not None:
            face = colormap.to_rgba(finite_or_nan(lam[name][index]))
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


def _unit_area(ax: Axes, drawing: Drawing) -> float:
    """Return the area of a unit's mark, in points²: neighbours do not touch, nor do columns."""
    bottom, top = ax.get_ylim()
    scale = ax.bbox.height / (top - bottom)  # pixels per unit of data coordinates
    left, right = ax.get_xlim()
    across = ax.bbox.width / (right - left)
    apart = drawing.spacing * scale
    apart = drawing.spacing * min(scale, across) if drawing.rings else min(apart, across)
    diameter = float(np.clip(0.72 * apart * 72 / ax.figure.dpi, 2.5, 12))  # points
    return diameter**2
