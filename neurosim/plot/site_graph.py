"""Picture of a graph whose nodes are the sites of a population. Start at `graph_nodes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, ModelError, out_of_range, whole
from neurosim.model.network import Network
from neurosim.model.site_matrices import checked_matrix
from neurosim.model.sites import Terms
from neurosim.plot.canvas import axis_label, finite_or_nan, text_color
from neurosim.plot.feature_maps import values_at
from neurosim.plot.names import shortened
from neurosim.plot.page import Size, given_axes, size_in_points, small_font, styled, title_font
from neurosim.plot.tiles import OTHER_SHADES, SHADES, add_bar, add_title, grey_note, norm_of, shades
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray
MOST_NODES = 1000
MOST_NUMBERED = 40  # nodes with their numbers
LEAST_NUMBERED = 8  # points, the diameter of a node with a number


@styled
def graph_nodes(
    run: Run,
    population: str | None = None,
    variable: str = "lam",
    feature: int = 0,
    *,
    pattern: int = 0,
    adjacency: Any = None,
    ax: Axes | None = None,
    figsize: Size | None = None,
) -> Axes:
    """Draw a graph whose nodes have the colour of the final λ or x of one feature.

    Nodes are the sites of a population, placed by NetworkX' spring layout from a fixed seed.
    Colours are symmetric about 0; values that are not finite are grey. Edges are arrows where the
    graph is directed; those from a node to itself are not drawn.

    Parameters
    ----------
    run : Run
    population : str, optional
        One on one axis of sites, the nodes; by default the first such that is not clamped and
        between whose sites there are edges, on the sites of a clamped population if there is one.
    variable : "lam" or "x"
    feature, pattern : int
        Feature of each node, and row of the batch.
    adjacency : SciPy sparse array or array, (nodes, nodes), optional
        Entry [v, u] is an edge u -> v. By default what the projections over `sites.Graph` and
        `sites.Terms` connect, directly or through the sites of one other population.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        No such population or variable, no edges, another shape of the adjacency matrix, or more
        than `MOST_NODES` nodes.
    DataError
        No such pattern or feature.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.graph([[0, 1], [1, 0]], features=1, state=2, outputs=2, gain=0.5)
    >>> sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy")
    >>> run = sim.relax(np.ones((1, 2, 1)), [[0, 1]], duration="50 ms")
    >>> graph_nodes(run, "state").get_title()
    'state, feature 0 of 2\\n2 nodes, 1 edge, pattern 0'
    """
    name, edges = _graph(run.network, population, adjacency)
    p = run.network.populations[name]
    if not 0 <= whole("feature", feature, 0) < p.features:
        raise DataError(f"feature = {feature!r}; allowed: 0 to {p.features - 1}")
    values = values_at(run, name, variable, pattern).reshape(-1, p.features)[:, feature]
    ax = given_axes(ax, figsize, (4.8, 3.8))
    directed = bool((edges != edges.T).any())
    pairs = np.argwhere(edges if directed else np.triu(edges))
    _draw(ax, pairs[:, ::-1], finite_or_nan(values), variable, directed=directed)
    width, _ = size_in_points(ax)
    noun = "edge" if len(pairs) == 1 else "edges"
    which = f", feature {feature} of {p.features}"
    add_title(
        ax,
        shortened(name, 0.6 * width, title_font()) + which,
        f"{p.sites[0]} nodes, {len(pairs)} {noun}, pattern {pattern}",
        grey_note(values),
    )
    return ax


def _graph(net: Network, population: str | None, adjacency: Any) -> tuple[str, Array]:
    """Return the population to draw and its edges, a bool array (post nodes, pre nodes)."""
    candidates = [n for n, p in net.populations.items() if len(p.sites) == 1]
    if population is None:
        names = [name for name in candidates if name in net.neurons]
        given = [net.populations[name].sites for name in net.inputs]
        names.sort(key=lambda name: net.populations[name].sites not in given)
    elif population in candidates:
        names = [population]
    else:
        allowed = f"one on one axis of sites: {', '.join(candidates) or 'there is none'}"
        raise out_of_range("population", population, allowed)
    if adjacency is not None and names:
        return names[0], _given(adjacency, net.populations[names[0]].sites[0])
    for name in names:
        edges = _connected(net, name)
        if edges.any():
            return name, edges
    raise ModelError(
        f"population = {population!r}: no projection over sites.Graph or sites.Terms connects its "
        f"sites; allowed: a population on the nodes of a graph; try adjacency="
    )


def _given(adjacency: Any, nodes: int) -> Array:
    """Return the edges of an adjacency matrix."""
    matrix = checked_matrix("adjacency", adjacency)
    if matrix.shape != (nodes, nodes):
        raise out_of_range("shape of adjacency", matrix.shape, f"{(nodes, nodes)}")
    _check_size(nodes)
    return _without_loops(matrix.toarray() != 0)


def _check_size(nodes: int) -> None:
    if nodes > MOST_NODES:
        raise ModelError(
            f"{nodes} nodes could not be told apart; allowed: at most {MOST_NODES}; "
            "try a network of fewer graphs"
        )


def _connected(net: Network, population: str) -> Array:
    """Return which sites reach which, through one or two projections over a graph."""
    nodes = net.populations[population].sites[0]
    _check_size(nodes)
    found = np.zeros((nodes, nodes), dtype=bool)
    like = [n for n, p in net.populations.items() if p.sites == (nodes,)]
    graphs = [q for q in net.projections.values() if isinstance(q.over, Terms)]
    for first in graphs:
        if first.pre not in like:
            continue
        reached = _pattern(net, first)
        if first.post in like:
            found |= reached
            continue
        for second in graphs:
            if second.pre == first.post and second.post in like and first.pre == second.post:
                found |= (_pattern(net, second).astype(float) @ reached.astype(float)) > 0
    return _without_loops(found)


def _pattern(net: Network, q: Any) -> Array:
    """Return the pairs of sites that a projection connects, (post sites, pre sites)."""
    matrices = q.over.matrices(net.populations[q.pre].sites)
    found = matrices[0].toarray() != 0
    for matrix in matrices[1:]:
        found |= matrix.toarray() != 0
    return np.asarray(found)


def _without_loops(edges: Array) -> Array:
    found = edges.copy()
    np.fill_diagonal(found, val=False)
    return found


def _draw(ax: Axes, pairs: Array, values: Array, variable: str, *, directed: bool) -> None:
    """Draw nodes and edges, pairs (from, to), with a colour bar."""
    import networkx as nx
    from matplotlib.cm import ScalarMappable

    graph = nx.DiGraph() if directed else nx.Graph()
    graph.add_nodes_from(range(len(values)))
    graph.add_edges_from(pairs.tolist())
    places = nx.spring_layout(graph, seed=0, iterations=300)
    diameter = _diameter(ax, places, pairs)
    drawn = ScalarMappable(norm_of(values), shades(SHADES if variable == "lam" else OTHER_SHADES))
    arrows: Any = {"arrowsize": 7, "connectionstyle": "arc3,rad=0.08"} if directed else {}
    nx.draw_networkx_edges(
        graph, places, ax=ax, edge_color="#808080", width=0.8, node_size=diameter**2, **arrows
    )
    marks = nx.draw_networkx_nodes(
        graph,
        places,
        ax=ax,
        node_color=drawn.to_rgba(values),
        node_size=diameter**2,
        edgecolors="#404040",
        linewidths=0.6,
    )
    marks.set_zorder(3)
    if len(values) <= MOST_NUMBERED and diameter >= LEAST_NUMBERED:
        _number(ax, places, drawn.to_rgba(values), diameter)
    ax.set_axis_off()
    ax.margins(0.08)
    add_bar(ax, drawn, axis_label(variable))


def _diameter(ax: Axes, places: Any, pairs: Array) -> float:
    """Return the diameter of a node, points: most edges can be seen between their ends."""
    at = np.array(list(places.values()))
    if not len(pairs):
        return 12.0
    span = float(np.ptp(at, axis=0).max())
    lengths = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1)
    scale = 0.8 * min(size_in_points(ax)) / span  # points per unit of the layout
    return float(np.clip(0.5 * scale * np.median(lengths), 3, 18))


def _number(ax: Axes, places: Any, colors: Array, diameter: float) -> None:
    """Write the number of each node into its mark."""
    size = min(small_font(), 0.5 * diameter)
    for node, place in places.items():
        x, y = place
        ax.text(
            x,
            y,
            f"{node}",
            ha="center",
            va="center",
            fontsize=size,
            color=text_color(colors[node][:3]),
            zorder=4,
        )
