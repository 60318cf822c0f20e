"""Draw the units of a network, in the colour of their multiplier. Start at `draw_units`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.network import Network
from neurosim.plot.drawing import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
LEAST_LAM = 1e-10  # below which multipliers are not coloured


def draw_units(
    ax: Axes,
    net: Network,
    drawing: Drawing,
    lam: Mapping[str, Array] | None,
    largest: float | None = None,
) -> None:
    """Draw the units, in the colour of their multiplier where it is given.

    Parameters
    ----------
    lam : {population: (units,)}, optional
        Multipliers of one pattern.
    largest : float, optional
        The |λ| of the darkest colours; by default the largest one.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if largest is None:
        largest = _largest_finite(lam or {})
    label = "multiplier λ (1)"
    if largest < LEAST_LAM:  # only rounding is left, which has no colour
        largest, label = 1.0, f"multiplier λ (1), all below {LEAST_LAM:g}"
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
            label=label,
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
    return largest


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
