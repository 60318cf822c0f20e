"""Check, order and describe a network's graph, and convert it to files' values and NetworkX.

Above `populations`; below `network`, which adds weights and biases. Start at `check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, shown, unknown
from neurosim.model.expressions import EPS_INSENSITIVE, FREE
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.populations import OPTIONS, Loss, Population, Projection
from neurosim.model.weights import Weights

if TYPE_CHECKING:
    import networkx as nx

NEARLY = 0.8  # similarity of a misspelt name to the right one, as in difflib
Parts = tuple[list[Population], list[Projection], list[Loss]]
# arguments of `Population` that files always contain, in this order, as in 0.1.0
ALWAYS = ("name", "size", "activation", "constraint", "epsilon", "clamped", "activity_l1")


def by_name(what: str, items: Sequence[Any], kind: type, key: str) -> dict[str, Any]:
    """Return objects of one kind as a dict by their attribute `key`.

    Raises
    ------
    ModelError
        An object of another kind, or two with the same name.
    """
    if isinstance(items, kind):
        items = [items]
    try:
        given = list(items)
    except TypeError as error:
        raise out_of_range(what, items, f"a list of {kind.__name__}(...)") from error
    named: dict[str, Any] = {}
    for item in given:
        if not isinstance(item, kind):
            raise ModelError(
                f"{what} {shown(item)} is a {type(item).__name__}; allowed: {kind.__name__}(...)"
            )
        name = getattr(item, key)
        if name in named:
            raise ModelError(f"{what} {name!r} is given twice; allowed: once")
        named[name] = item
    return named


def check(
    populations: Mapping[str, Population],
    projections: Mapping[str, Projection],
    losses: Mapping[str, Loss],
) -> None:
    """Check that populations, projections and losses fit together.

    Raises
    ------
    ModelError
        All populations are clamped, a name is unknown, or a projection or loss is not allowed.
    """
    if all(population.clamped for population in populations.values()):
        raise ModelError(
            f"populations = {list(populations)} has no population with dynamics; "
            "allowed: at least one that is not clamped; try clamped=False"
        )
    for projection in projections.values():
        _check_projection(projection, populations)
    for name in losses:
        if name not in populations:
            raise unknown("population of a loss", name, populations)
        if populations[name].clamped:
            raise ModelError(
                f"loss on {name!r}, which is clamped: its outputs are data; "
                "allowed: a population that is not clamped"
            )


def _check_projection(q: Projection, populations: Mapping[str, Population]) -> None:
    for end in (q.pre, q.post):
        if end not in populations:
            raise unknown(f"an end of {q.name}", end, populations)
    pre, post = populations[q.pre], populations[q.post]
    if pre.free:
        raise ModelError(
            f"projection {q.name} starts at a population without constraint, "
            "whose outputs are not state variables; "
            f"allowed: constraint {FREE!r} where no projection starts; try 'lin'"
        )
    if post.clamped:
        raise ModelError(
            f"projection {q.name} ends at a clamped population, whose outputs are data; "
            "allowed: a population that is not clamped"
        )
    if pre.clamped and q.feedback != SYMMETRIC:
        raise ModelError(
            f"feedback of {q.name} = {q.feedback!r}, but nothing is sent back to {q.pre}, "
            f"which is clamped; allowed: {SYMMETRIC!r}"
        )


def has_cycle(projections: Mapping[str, Projection]) -> bool:
    """Whether the graph has a cycle, found without the slow import of NetworkX."""
    sorter = TopologicalSorter[str]()
    for q in projections.values():
        sorter.add(q.post, q.pre)
    try:
        sorter.prepare()
    except CycleError:
        return True
    return False


def order(
    populations: Mapping[str, Population], projections: Mapping[str, Projection]
) -> list[str] | None:
    """Return the populations in topological order: each after those that project to it.

    Returns
    -------
    list of str, or None if the graph has a cycle
    """
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(populations)
    graph.add_edges_from((q.pre, q.post) for q in projections.values())
    if not nx.is_directed_acyclic_graph(graph):
        return None
    return list(nx.topological_sort(graph))


def summary(
    populations: Mapping[str, Population],
    projections: Mapping[str, Projection],
    losses: Mapping[str, Loss],
    n_parameters: int,
    cyclic: bool,
) -> str:
    """Return sizes, counts and losses of a network in one line, as its `repr` has them."""
    kinds = [f"{loss.kind} on {name}" for name, loss in losses.items()]
    parts = [
        _shape_summary(populations, projections),
        f"{len(projections)} projections",
        f"{n_parameters} parameters",
        ", ".join(kinds) or "no loss",
    ]
    if cyclic:
        parts.append("cyclic")
    return ", ".join(parts)


def _shape_summary(
    populations: Mapping[str, Population], projections: Mapping[str, Projection]
) -> str:
    """Return the sizes as ``"64-32-10"`` if the graph is a chain, else their number and sum."""
    sizes = []
    for p in populations.values():
        axes = (p.size,) if p.shape is None else p.shape
        sizes.append("x".join(map(str, axes)))
    ends = [(q.pre, q.post) for q in projections.values()]
    if ends == list(pairwise(populations)):
        return "-".join(sizes)
    units = sum(population.size for population in populations.values())
    return f"{len(sizes)} populations, {units} units"


def describe(
    populations: Mapping[str, Population],
    projections: Mapping[str, Projection],
    losses: Mapping[str, Loss],
    weights: Mapping[str, Weights],
) -> dict[str, Any]:
    """Return the graph as plain values, for files and for `from_description`."""
    rows = []
    for name, q in projections.items():
        sparse = not isinstance(weights[name], np.ndarray)
        rows.append({"pre": q.pre, "post": q.post, **q.options, "sparse": sparse})
    return {
        "populations": [_described_population(p) for p in populations.values()],
        "projections": rows,
        "losses": [_arguments(loss) for loss in losses.values()],
    }


def _described_population(p: Population) -> dict[str, Any]:
    """Return the arguments of a population: those in `ALWAYS`, and others that are not default."""
    found = {name: getattr(p, name) for name in ALWAYS}
    for argument in fields(p):
        value = getattr(p, argument.name)
        if argument.name not in ALWAYS and value != argument.default:
            found[argument.name] = value
    if p.bias_plasticity is not None:
        found["bias_plasticity"] = p.bias_plasticity.describe()
    return found


def from_description(
    description: Mapping[str, Any],
    weights: Mapping[str, Weights],
    feedback: Mapping[str, Weights],
) -> Parts:
    """Build populations, projections and losses from plain values of `describe` and weights.

    Raises
    ------
    ModelError
        The description, or the weights, lack an entry or have one that is unknown.
    """
    try:
        projections = []
        for q in description["projections"]:
            name = f"{q['pre']}->{q['post']}"
            options = {key: q[key] for key in OPTIONS if key in q}
            own = {"weights": weights[name], "feedback_weights": feedback.get(name)}
            projections.append(Projection(q["pre"], q["post"], **own, **options))
        populations = [Population(**p) for p in description["populations"]]
        losses = []
        for loss in description["losses"]:
            reads = loss.get("kind") == EPS_INSENSITIVE  # older files may have it elsewhere, unread
            losses.append(Loss(**loss | ({} if reads else {"epsilon": 0.0})))
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"the description of a network does not fit its weights: {error}; "
            "allowed: what Network.describe returns, and the weights of all its projections"
        ) from error
    return populations, projections, losses


def to_networkx(
    populations: Mapping[str, Population],
    projections: Mapping[str, Projection],
    losses: Mapping[str, Loss],
    weights: Mapping[str, Weights],
    biases: Mapping[str, np.ndarray],
    feedback: Mapping[str, Weights],
) -> nx.DiGraph:
    """Return a NetworkX graph with all arguments, weights and biases as attributes."""
    import networkx as nx

    graph = nx.DiGraph()
    for name, p in populations.items():
        attributes = _arguments(p)
        del attributes["name"]
        graph.add_node(name, **attributes, bias=biases.get(name), loss=losses.get(name))
    for name, q in projections.items():
        attributes = {"weights": weights[name].copy(), **q.options}
        if q.draws_feedback:
            attributes["feedback_weights"] = feedback[name].copy()
        graph.add_edge(q.pre, q.post, **attributes)
    return graph


def from_networkx(graph: nx.DiGraph) -> Parts:
    """Build populations, projections and losses from a NetworkX graph.

    Raises
    ------
    ModelError
        A node without the attribute `size`, or an attribute out of range.
    """
    if not graph.is_directed():
        raise ModelError(f"{graph} is not directed; allowed: a DiGraph; try graph.to_directed()")
    populations, losses = [], []
    for name, data in graph.nodes(data=True):
        _refuse_misspelt(f"node {name!r}", data, (*_names(Population), "bias", "loss"))
        if "size" not in data:
            raise ModelError(
                f"node {name!r} has no attribute 'size'; allowed: size=number of units"
            )
        given = _given(Population, data) | {"name": str(name)}
        given.setdefault("clamped", graph.in_degree(name) == 0)
        populations.append(Population(**given))
        loss = data.get("loss")
        if isinstance(loss, Loss):
            losses.append(replace(loss, population=str(name)))  # the node may have been renamed
        elif loss is not None:
            losses.append(Loss(str(name), loss))
    projections = []
    for pre, post, data in graph.edges(data=True):
        _refuse_misspelt(f"edge {pre!r}->{post!r}", data, _names(Projection))
        given = _given(Projection, data) | {"pre": str(pre), "post": str(post)}
        projections.append(Projection(**given))
    return populations, projections, losses


def _arguments(item: Population | Loss) -> dict[str, Any]:
    """Return the fields of an object with their values, in order."""
    return {argument.name: getattr(item, argument.name) for argument in fields(item)}


def _given(kind: type[Population | Projection], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a node or an edge that are arguments of `kind`."""
    return {
        argument.name: data[argument.name] for argument in fields(kind) if argument.name in data
    }


def _names(kind: type[Population | Projection]) -> tuple[str, ...]:
    return tuple(argument.name for argument in fields(kind))


def _refuse_misspelt(where: str, data: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Refuse an attribute whose name is nearly that of an argument; others have another purpose."""
    for name in data:
        if name not in allowed and get_close_matches(str(name), allowed, n=1, cutoff=NEARLY):
            raise unknown(f"attribute of {where}", name, allowed)
