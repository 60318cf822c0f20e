"""Pictures of support neurons: which unit is support for which pattern, with which multiplier.

Start at `support_summary`, which draws all three pictures of a run in one figure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import unknown
from neurosim.plot.canvas import GREY, NOT_FINITE, add_note, color_of, largest_size, plain_ticks
from neurosim.plot.drawing import add_legend_line
from neurosim.plot.legends import add_legend
from neurosim.plot.names import shortened
from neurosim.plot.page import (
    PALETTE,
    Size,
    distinct_color,
    given_axes,
    new_figure,
    size_in_points,
    styled,
    title_font,
)
from neurosim.reference.functions import violation
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neurosim.analysis.support import Support

Array = np.ndarray
BINS = 41
MOST_TICKS = 10
NARROW = 6  # inches, below which three pictures stand above each other
SIDES = {"λ < 0": PALETTE[0], "straw": "#EEEEEE", "λ > 0": PALETTE[1], "not finite": NOT_FINITE}


@styled
def support_summary(
    run: Run, population: str | None = None, tol: float = 1e-4, *, figsize: Size | None = None
) -> Figure:
    """Draw the support map, multipliers and conditions of one population, side by side.

    Parameters
    ----------
    run : Run
        At rest, with fixed weights; see `neurosim.at_rest`.
    population : str, optional
        By default the first that is not clamped.
    tol : float
        Largest |λ| of a straw neuron, as in `neurosim.support_neurons`.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        The run has no such population.
    """
    from neurosim.analysis.support import support_neurons

    name = run.network.neurons[0] if population is None else population
    found = support_neurons(run, tol)
    figure = new_figure(11, 3.8, figsize)
    shape = (1, 3) if figure.get_figwidth() > NARROW else (3, 1)
    first, second, third = figure.subplots(*shape)
    support_map(found, name, first)
    multipliers(found, None, second)
    conditions(run, name, tol, third)
    return figure


@styled
def support_map(
    found: Support, population: str, ax: Axes | None = None, *, figsize: Size | None = None
) -> Axes:
    """Draw which unit of a population is support for which pattern, and the sign of λ.

    λ < 0 at the lower wall of the tube, and λ > 0 at the upper one. Rows are patterns, those with
    the most support neurons first. Columns are units, those that are support most often first.

    Parameters
    ----------
    found : Support
    population : str
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        The support has no such population.
    """
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    if population not in found:
        raise unknown("population", population, found)
    own = found[population]
    rows = np.argsort(-own.sum(axis=1), kind="stable")
    columns = np.argsort(-own.sum(axis=0), kind="stable")
    finite = np.isfinite(found.lam[population])
    sides = np.where(own, np.sign(found.lam[population]), 0)
    sides[~finite] = 2
    ax = given_axes(ax, figsize, (4.0, 4.4))
    width, _ = size_in_points(ax)
    ax.imshow(
        sides[np.ix_(rows, columns)],
        cmap=ListedColormap(list(SIDES.values())),
        norm=BoundaryNorm([-1.5, -0.5, 0.5, 1.5, 2.5], 4),
        aspect="auto",
        interpolation="nearest",
    )
    handles = [Patch(color=color, label=label) for label, color in SIDES.items()]
    add_legend(ax, others=handles[:3] if finite.all() else handles)
    for axis, count in ((ax.xaxis, own.shape[1]), (ax.yaxis, own.shape[0])):
        axis.set_ticks(range(0, count, -(-count // MOST_TICKS)))
    share = _share(own, finite)
    if finite.any():
        share += f", |λ| > {found.tol:g}"
    ax.set_title(f"{shortened(population, width, title_font())}\n{share}{_rest_note(found)}")
    ax.set(xlabel="unit (most often support first)", ylabel="pattern (most support first)")
    return ax


@styled
def multipliers(
    found: Support,
    population: str | None = None,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw a histogram of the multipliers, with straw neurons as one bar in the middle.

    Counts are on a logarithmic axis.

    Parameters
    ----------
    found : Support
    population : str, optional
        By default all, each in its own colour.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        The support has no such population.
    """
    from matplotlib.patches import Patch

    if population is not None and population not in found:
        raise unknown("population", population, found)
    names = list(found) if population is None else [population]
    ax = given_axes(ax, figsize)
    ax.set(xlabel="multiplier λ (1)", ylabel="neurons × patterns (1)")
    lam = np.concatenate([np.ravel(found.lam[name]) for name in names])
    lost = np.count_nonzero(~np.isfinite(lam))
    if lost == lam.size:
        add_note(ax, "no finite multiplier")
        return ax
    largest = largest_size(lam)
    largest = max(largest, found.tol) or 1.0
    edges = np.linspace(-largest, largest, BINS + 1)
    width = edges[1] - edges[0]
    places = list(found)
    for i, name in enumerate(names):
        own, finite = found[name], np.isfinite(found.lam[name])
        color = distinct_color(places.index(name), len(places))
        ax.hist(
            found.lam[name][own & finite],
            bins=list(edges),
            histtype="step",
            color=color,
            label=f"{name}, {_share(own, finite)}",
            linewidth=1.4,
        )
        from_middle = i - (len(names) - 1) / 2  # bars
        ax.bar(
            from_middle * width / len(names),
            (~own & finite).sum(),
            width / len(names),
            color=color,
            alpha=0.4,
            label="_",
        )
    straw = Patch(color=GREY, alpha=0.4, label=f"straw, |λ| ≤ {found.tol:g}")
    ax.set(xlim=(-1.05 * largest, 1.05 * largest), yscale="log", ylim=(0.7, None))
    ax.locator_params(axis="x", nbins=5)
    low, high = ax.get_ylim()
    if high < 100 * low:
        plain_ticks(ax.yaxis, integer=True)
    title = f"{lost} of {lam.size} multipliers are not finite" if lost else ""
    add_legend(ax, others=[straw], title=title)
    return ax


@styled
def conditions(
    run: Run,
    population: str,
    tol: float = 1e-4,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw the multiplier over the violation of every unit and pattern.

    At a solution all points lie on the grey line: λ = 0 within the tube, and at a wall λ has the
    sign of that wall.

    Parameters
    ----------
    run : Run
        At rest, with fixed weights; see `neurosim.at_rest`.
    population : str
    tol : float
        Largest |λ| of a straw neuron, as in `neurosim.support_neurons`.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        The run has no such population.
    """
    from neurosim.analysis.support import support_neurons

    net = run.network
    if population not in net.neurons:
        raise unknown("population", population, net.neurons)
    found = support_neurons(run, tol)
    g = violation(net, population, {**run.X, **run.x})
    lam, width = run.lam[population], net.populations[population].epsilon
    ax = given_axes(ax, figsize, (4.2, 3.4))
    high = 1.15 * max(largest_size(lam), tol)
    reach = 1.4 * max(largest_size(g), width, tol)
    ax.plot(
        [-width, -width, width, width],
        [-high, 0, 0, high],
        label="conditions",
        color="0.85",
        linewidth=5,
        solid_capstyle="butt",
        zorder=0,
    )
    support, finite = found[population], np.isfinite(lam)
    for own, name, color, alpha in (
        (support & finite, "support", color_of(net, population), 0.6),
        (~support & finite, "straw", "black", 0.35),
    ):
        label = f"{name}, {own.mean():.0%}"
        ax.plot(g[own], lam[own], "o", color=color, markersize=3, alpha=alpha, label=label)
    name = shortened(population, size_in_points(ax)[0], title_font())
    ax.set_title(f"{name}\nε = {width:g}{_rest_note(found)}")
    ax.set(xlabel="violation g (1)", ylabel="multiplier λ (1)")
    ax.set(xlim=(-reach, reach), ylim=(-high, high))
    ax.locator_params(axis="x", nbins=5)
    if not finite.any():
        add_note(ax, "no finite multiplier")
    elif not finite.all():
        add_legend_line(ax, f"not finite, {(~finite).mean():.0%}", linestyle="none")
    add_legend(ax)
    return ax


def _share(own: Array, finite: Array) -> str:
    """Return the share of support among finite multipliers, in words."""
    return f"{own[finite].mean():.0%} support" if finite.any() else "no finite λ"


def _rest_note(found: Support) -> str:
    """Return the end of a title: a warning if the run is not at rest, since support may change."""
    return "" if found.settled else " (NOT at rest)"
