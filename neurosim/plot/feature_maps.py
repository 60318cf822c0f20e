"""Pictures of populations and weights that lie on sites. Start at `feature_maps`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurosim.errors import DataError, ModelError, out_of_range, unknown
from neurosim.model.network import Network
from neurosim.model.sites import Conv
from neurosim.plot.canvas import (
    axis_label,
    evenly_spread,
    finite_or_nan,
)
from neurosim.plot.names import shortened
from neurosim.plot.page import Size, given_axes, size_in_points, styled, title_font
from neurosim.plot.tiles import (
    OTHER_SHADES,
    SHADES,
    Tiles,
    add_bar,
    add_title,
    draw_tiles,
    grey_note,
    norm_of,
    shades,
)
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
MOST_MAPS = 36  # feature maps in one picture
MOST_KERNELS = 16  # features of a kernel's picture along one side
MOST_TICKS = 8
VARIABLES = ("x", "lam")


@styled
def feature_maps(
    run: Run,
    population: str | None = None,
    variable: str = "x",
    features: Sequence[int] | None = None,
    *,
    pattern: int = 0,
    ax: Axes | None = None,
    figsize: Size | None = None,
) -> Axes:
    """Draw the final x or λ of one pattern as an image per feature.

    Colours are symmetric about 0; values that are not finite are grey. With one axis of sites each
    feature is a row. The rows and columns of an image are the first and the second axis of sites.

    Parameters
    ----------
    run : Run
    population : str, optional
        One whose units lie on one or two axes of sites; by default the first such that is not
        clamped.
    variable : "x" or "lam"
    features : sequence of int, optional
        By default all, but at most `MOST_MAPS`, spread evenly.
    pattern : int
        Row of the batch.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        No such population or variable, or a population without sites.
    DataError
        The run has no such pattern, or the population no such feature.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.convolutional((4, 4, 1), [3], outputs=2)
    >>> sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy", dt="10 ms")
    >>> run = sim.relax(np.ones((1, 4, 4, 1)), [0], duration="50 ms")
    >>> feature_maps(run, "hidden1", "lam").get_title()
    'hidden1\\n3 features, 4 x 4 sites, pattern 0'
    """
    name = _on_sites(run.network, population)
    p = run.network.populations[name]
    values = values_at(run, name, variable, pattern)
    chosen = _chosen(features, p.features, MOST_MAPS)
    maps = np.moveaxis(values.reshape(*p.sites, p.features), -1, 0)[chosen]
    ax = given_axes(ax, figsize)
    colors = SHADES if variable == "lam" else OTHER_SHADES
    if len(p.sites) == 1:
        _draw_strips(ax, maps, chosen, colors, axis_label(variable))
    else:
        names = [f"{feature}" for feature in chosen] if p.features > 1 else [""]
        tiles = Tiles(maps, names, _columns(ax, maps))
        draw_tiles(ax, tiles, colors, axis_label(variable))
    counted = _counted(len(chosen), p.features, "features")
    sites = " x ".join(map(str, p.sites))
    width, _ = size_in_points(ax)
    title = shortened(name, width, title_font())
    add_title(ax, title, f"{counted}, {sites} sites, pattern {pattern}", grey_note(maps))
    return ax


@styled
def kernels(
    net: Network, projection: str, *, ax: Axes | None = None, figsize: Size | None = None
) -> Axes:
    """Draw the kernels of a convolution as small images.

    A row per postsynaptic feature, a column per presynaptic one; where there is one presynaptic
    feature, the kernels fill a grid. Colours are symmetric about 0 and the same in all kernels. At
    most `MOST_KERNELS` features are drawn along a side, spread evenly.

    Parameters
    ----------
    net : Network
        That of a run, such as ``log.run.network``, for learnt weights.
    projection : str
        ``"pre->post"``, over `sites.Conv` with shared weights, in one or two dimensions.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        No such projection, or one that has no kernels.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.convolutional((8, 8, 1), [6], outputs=2)
    >>> kernels(net, "input->hidden1").get_title()
    'input->hidden1\\n6 kernels of 3 x 3 sites'
    """
    if projection not in net.projections:
        raise unknown("projection", projection, net.projections)
    weights, kernel = _kernels(net, projection)
    _, posts, pres = weights.shape
    of_post, of_pre = _chosen(None, posts, MOST_KERNELS), _chosen(None, pres, MOST_KERNELS)
    if pres == 1:
        of_post = _chosen(None, posts, MOST_MAPS)
    part = weights[:, of_post][:, :, of_pre]
    images = part.transpose(1, 2, 0).reshape(-1, *kernel)
    ax = given_axes(ax, figsize, (4.8, 3.8))
    names, columns = [""] * len(images), len(of_pre)
    if pres == 1:
        names, columns = [f"{feature}" for feature in of_post], _columns(ax, images)
    draw_tiles(ax, Tiles(images, names, columns), OTHER_SHADES, axis_label("w"))
    if pres > 1:
        _label_features(ax, of_post, of_pre, kernel)
    counted = _counted(len(images), posts * pres, "kernels")
    size = " x ".join(map(str, _shape(net, projection)))
    add_title(ax, projection, f"{counted} of {size} sites", grey_note(images))
    return ax


def _on_sites(net: Network, population: str | None) -> str:
    """Return the population to draw, on one or two axes of sites."""
    drawable = [n for n, p in net.populations.items() if len(p.sites) in (1, 2)]
    if population is None:
        found = [name for name in drawable if name in net.neurons]
        if not found:
            raise ModelError(
                f"{net!r} has no population on one or two axes of sites; allowed: one with a size "
                "such as (8, 8, 16); try neurosim.plot.traces"
            )
        return found[0]
    if population not in net.populations:
        raise unknown("population", population, net.populations)
    if population not in drawable:
        allowed = f"one on one or two axes of sites: {', '.join(drawable) or 'there is none'}"
        sites = net.populations[population].sites
        raise out_of_range("population", f"{population} on sites {sites}", allowed)
    return population


def values_at(run: Run, population: str, variable: str, pattern: int) -> Array:
    """Return the final x or λ of one pattern, (units,).

    Raises
    ------
    ModelError
        Another variable, or λ of a clamped population.
    DataError
        The run has no such pattern.
    """
    if variable not in VARIABLES:
        raise unknown("variable", variable, VARIABLES)
    if variable == "lam" and population not in run.lam:
        allowed = "x, as a clamped population has no multipliers"
        raise out_of_range(f"variable of {population}", variable, allowed)
    rows = np.asarray((run.lam if variable == "lam" else {**run.X, **run.x})[population])
    if not 0 <= pattern < len(rows):
        raise DataError(f"pattern = {pattern!r}; allowed: 0 to {len(rows) - 1}")
    found: Array = rows[pattern]
    return found


def _chosen(given: Sequence[int] | None, count: int, most: int) -> Array:
    """Return the features to draw, at most `most` where none are given."""
    if given is None:
        return evenly_spread(count, most)
    chosen = np.asarray(given)
    fits = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
    if not fits or chosen.min() < 0 or chosen.max() >= count:
        raise DataError(f"features = {given!r}; allowed: a list of 0 to {count - 1}")
    return chosen


def _counted(drawn: int, total: int, noun: str) -> str:
    """Return how many are drawn of how many."""
    if total == 1:
        return f"1 {noun.removesuffix('s')}"
    return f"{total} {noun}" if drawn == total else f"{drawn} of {total} {noun}"


def _columns(ax: Axes, images: Array) -> int:
    """Return how many tiles stand in a row, so that they are as large as possible."""
    width, height = size_in_points(ax)
    count, high, wide = images.shape
    best = max(
        range(1, count + 1),
        key=lambda columns: min(
            0.85 * width / (columns * 1.15 * wide),
            0.8 * height / (-(-count // columns) * 1.3 * high),
        ),
    )
    return int(best)


def _draw_strips(ax: Axes, maps: Array, features: Array, colors: str, label: str) -> None:
    """Draw features on one axis of sites as rows of one image."""
    from matplotlib.ticker import MaxNLocator

    drawn = ax.imshow(
        finite_or_nan(maps),
        cmap=shades(colors),
        norm=norm_of(maps),
        aspect="auto",
        interpolation="nearest",
    )
    ax.set(xlabel="site", ylabel="feature")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _label_rows(ax, features)
    add_bar(ax, drawn, label)


def _label_rows(ax: Axes, features: Array) -> None:
    places = _regular(len(features))
    ax.set_yticks(places, [f"{feature}" for feature in features[places]])


def _regular(count: int) -> Array:
    """Return at most `MOST_TICKS` places from 0 at equal distances."""
    step = -(-count // MOST_TICKS)
    return np.arange(0, count, step)


def _kernels(net: Network, projection: str) -> tuple[Array, tuple[int, int]]:
    """Return weights, (terms, post features, pre features), and the shape of a kernel's image."""
    q = net.projections[projection]
    shape = _shape(net, projection) if isinstance(q.over, Conv) else ()
    if not isinstance(q.over, Conv) or not q.shares or len(shape) > 2:
        over = "nothing" if q.over is None else q.over.kind
        given = f"{projection} over {over}, shared = {q.shared}, kernel of {len(shape)} axes"
        allowed = "one over sites.Conv with shared=True, on one or two axes"
        raise out_of_range("projection", given, allowed, "neurosim.plot.weights")
    high, wide = shape if len(shape) == 2 else (1, *shape)
    return np.asarray(net.weights[projection]), (high, wide)


def _shape(net: Network, projection: str) -> tuple[int, ...]:
    """Return the sites of a kernel along each axis."""
    q = net.projections[projection]
    axes = len(net.populations[q.pre].sites)
    kernel: tuple[int, ...] = q.over.kernel
    return kernel * axes if len(kernel) == 1 else kernel


def _label_features(ax: Axes, posts: Array, pres: Array, kernel: tuple[int, int]) -> None:
    """Number rows and columns of a grid of kernels by their features."""
    high, wide = kernel
    gap = 0.15 * max(kernel)
    rows, columns = _regular(len(posts)), _regular(len(pres))
    ax.set_yticks(rows * (high + gap) + high / 2, [f"{one}" for one in posts[rows]])
    ax.set_xticks(columns * (wide + gap) + wide / 2, [f"{one}" for one in pres[columns]])
    ax.tick_params(length=0)
    ax.set(xlabel="presynaptic feature", ylabel="postsynaptic feature")
