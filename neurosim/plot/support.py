"""Pictures of support neurons: who is support for what, multipliers with the tube, and the cross of
the conditions.

Start at `support_summary`, all three of a run in one figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import unknown
from neurosim.plot.canvas import GREY, add_legend, color_of, given_axes, styled
from neurosim.plot.drawing import PALETTE
from neurosim.reference.constraints import violation
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neurosim.analysis.support import Support

Array = np.ndarray
BINS = 41


@styled
def support_summary(run: Run, population: str | None = None, tol: float = 1e-4) -> Figure:
    """Support map, multipliers and conditions of one population, side by side.

    Parameters
    ----------
    run : Run
        At rest, weights fixed; see `neurosim.at_rest`.
    population : str, optional
        The first that is not clamped by default.
    tol : float
        As in `neurosim.support_neurons`.
    """
    from matplotlib.figure import Figure

    from neurosim.analysis.support import support_neurons

    name, found = population or run.network.neurons[0], support_neurons(run, tol)
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    support_map(found, name, left)
    multipliers(found, None, middle)
    conditions(run, name, tol, right)
    return figure


@styled
def support_map(found: Support, population: str, ax: Axes | None = None) -> Axes:
    """Which unit of a population is support for which pattern, at the lower wall (lam < 0) or the
    upper one.

    Patterns stand in the order of how many units carry them, units in that of how many patterns
    they carry.

    Parameters
    ----------
    found : Support
    population : str
    ax : Axes, optional

    Raises
    ------
    ModelError
        A population that the support does not have.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    if population not in found:
        raise unknown("population", population, found)
    own = found[population]
    rows, columns = (np.argsort(-own.sum(axis=axis), kind="stable") for axis in (1, 0))
    side = np.where(own, np.sign(found.lam[population]), 0)[np.ix_(rows, columns)]
    ax = given_axes(ax, (4.0, 4.4))
    colors = [PALETTE[0], "#EEEEEE", PALETTE[1]]
    norm = BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    ax.imshow(side, cmap=ListedColormap(colors), norm=norm, aspect="auto", interpolation="nearest")
    labels = ("support, λ < 0", "straw", "support, λ > 0")
    patches = [Patch(color=color, label=label) for color, label in zip(colors, labels, strict=True)]
    ax.legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, handlelength=1
    )
    state = "" if found.settled else " (NOT at rest)"
    ax.set_title(f"{population}: {own.mean():.0%} support, |λ| > {found.tol:g}{state}")
    ax.set(xlabel="unit, most often support first", ylabel="pattern, most carried first")
    return ax


@styled
def multipliers(found: Support, population: str | None = None, ax: Axes | None = None) -> Axes:
    """Histogram of the multipliers, straw neurons (|lam| <= tol) as one bar in the middle; counts
    on a log axis.

    Parameters
    ----------
    found : Support
    population : str, optional
        All by default, each in its colour.
    ax : Axes, optional

    Raises
    ------
    ModelError
        A population that the support does not have.
    """
    if population is not None and population not in found:
        raise unknown("population", population, found)
    names = list(found) if population is None else [population]
    ax = given_axes(ax)
    largest = max(float(np.abs(found.lam[n]).max()) for n in names)
    edges = (
        np.linspace(-largest, largest, BINS + 1) if largest > 0 else np.linspace(-1, 1, BINS + 1)
    )
    for number, n in enumerate(names):
        own, color = found[n], PALETTE[list(found).index(n) % len(PALETTE)]
        label = f"{n}: {own.mean():.0%} support"
        ax.hist(
            found.lam[n][own],
            bins=list(edges),
            histtype="step",
            color=color,
            label=label,
            linewidth=1.4,
        )
        width = edges[1] - edges[0]
        left = (number - (len(names) - 1) / 2) * width / len(names)
        ax.bar(left, (~own).sum(), width / len(names), color=color, alpha=0.4, label="_")
    ax.bar(0, 0, color=GREY, alpha=0.4, label=f"straw, |λ| ≤ {found.tol:g}")
    ax.set(
        xlabel="multiplier λ (1)", ylabel="neurons and patterns (1)", yscale="log", ylim=(0.7, None)
    )
    add_legend(ax)
    return ax


@styled
def conditions(run: Run, population: str, tol: float = 1e-4, ax: Axes | None = None) -> Axes:
    """Multiplier over violation of every unit and pattern, with the cross on which both lie at a
    solution.

    Within the tube λ = 0; at its walls λ has the wall's sign.

    Raises
    ------
    ModelError
        A population that the run does not have.
    """
    from neurosim.analysis.support import support_neurons

    net = run.network
    if population not in net.neurons:
        raise unknown("population", population, net.neurons)
    found, g = support_neurons(run, tol), violation(net, population, {**run.X, **run.x})
    lam, own, width = run.lam[population], found[population], net.populations[population].epsilon
    ax = given_axes(ax, (4.2, 3.4))
    high = 1.15 * max(float(np.abs(lam).max()), tol)
    reach = 1.4 * max(float(np.abs(g).max()), width, tol)
    cross: Any = {
        "color": GREY,
        "linewidth": 5,
        "alpha": 0.3,
        "solid_capstyle": "butt",
        "zorder": 0,
    }
    ax.plot([-width, -width, width, width], [-high, 0, 0, high], label="conditions", **cross)
    color = color_of(net, population)
    ax.plot(
        g[own],
        lam[own],
        "o",
        color=color,
        markersize=3,
        alpha=0.6,
        label=f"support, {own.mean():.0%}",
    )
    ax.plot(
        g[~own],
        lam[~own],
        "o",
        color="black",
        markersize=3,
        alpha=0.35,
        label=f"straw, {(~own).mean():.0%}",
    )
    state = "" if found.settled else " (NOT at rest)"
    ax.set_title(f"{population}, ε = {width:g}{state}")
    ax.set(
        xlabel="violation g (1)",
        ylabel="multiplier λ (1)",
        xlim=(-reach, reach),
        ylim=(-high, high),
    )
    ax.legend(loc="upper left")
    return ax
