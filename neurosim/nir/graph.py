"""Read a NIR graph as populations and weights: every field of a node is used or refused.

Nothing depends on the order of nodes or edges. Below `networks`, which adds what the metadata
describe. Start at `read_graph`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, unknown
from neurosim.model.populations import RESERVED

if TYPE_CHECKING:
    import nir

Array = np.ndarray
Ends = tuple[str, str]  # names of the presynaptic and the postsynaptic population

INPUT, OUTPUT, INTEGRATOR = "Input", "Output", "LI"  # kinds of NIR nodes
LINEAR, AFFINE = "Linear", "Affine"
WEIGHTED = (LINEAR, AFFINE)
# the fields of each kind that are read; `metadata` of a node are remarks
READ = {
    INPUT: ("input_type",),
    OUTPUT: ("output_type",),
    INTEGRATOR: ("tau", "r", "v_leak"),
    LINEAR: ("weight",),
    AFFINE: ("weight", "bias"),
}
DERIVED = ("input_type", "output_type", "metadata")


@dataclass(frozen=True)
class ReadGraph:
    """Populations and weights of a graph, by the names of the populations.

    Attributes
    ----------
    sizes : {population: units}
    clamped : set of populations
        Those of input nodes.
    weights : {(pre, post): (n_post, n_pre)}
        Sums over parallel paths; r of the integrators included.
    biases : {population: (units,)}
    times : {population: s}
        Time constants of the integrators.
    outputs : list of populations
        The one before each output node; NIR adds such a node after each that has no other.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    clamped: set[str] = field(default_factory=set)
    weights: dict[Ends, Array] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    def in_order(self) -> list[str]:
        """Return inputs, then the other populations in topological order, then the outputs.

        Ties are in alphabetical order, and so are populations of a graph with a cycle.
        """
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(self.sizes)
        graph.add_edges_from(self.weights)
        names = sorted(self.sizes)
        if nx.is_directed_acyclic_graph(graph):
            names = list(nx.lexicographical_topological_sort(graph))
        inputs = [name for name in names if name in self.clamped]
        last = [name for name in names if name in self.outputs]
        between = [name for name in names if name not in {*inputs, *last}]
        return inputs + between + last

    def add(self, pre: str, post: str, weight: Array) -> None:
        """Add weights from one population to another."""
        expected = self.sizes[post], self.sizes[pre]
        if weight.shape != expected:
            raise ModelError(
                f"NIR weights from {pre!r} to {post!r} have shape {weight.shape}; "
                f"allowed: {expected}, by the sizes of both"
            )
        before = self.weights.get((pre, post))
        self.weights[pre, post] = weight if before is None else before + weight


@dataclass(frozen=True)
class _Edges:
    """The edges of a graph, by node."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]


def read_graph(graph: nir.NIRGraph) -> ReadGraph:
    """Return the populations and weights of a graph.

    Raises
    ------
    ModelError
        A kind of node or a field that cannot be expressed, values that are not finite numbers of
        the right shape, or edges that do not fit.
    """
    nodes: Mapping[str, Any] = graph.nodes
    kinds = {name: _kind(name, node) for name, node in nodes.items()}
    edges = _edges(kinds, graph.edges)
    names = population_names(_of_populations(kinds, edges))
    read = ReadGraph()
    gains: dict[str, Array] = {}  # r of the integrators
    for node_name, name in names.items():
        _read_population(read, gains, name, node_name, nodes[node_name])
    for node_name in sorted(nodes):
        if kinds[node_name] in WEIGHTED:
            _read_weights(read, gains, names, edges, node_name, nodes[node_name])
    for node_name, name in names.items():
        if kinds[node_name] == INTEGRATOR:
            for pre in edges.before[node_name]:
                if pre in names:  # an edge without a linear node on it
                    read.add(names[pre], name, np.diag(gains[name]))
    for node_name, kind in kinds.items():
        if kind == OUTPUT:
            read.outputs.append(_output(read, names, edges, node_name, nodes[node_name]))
    return read


def _kind(name: str, node: Any) -> str:
    """Return the kind of a node, all of whose fields are read."""
    kind = type(node).__name__
    if kind not in READ:
        raise unknown(f"NIR node {name!r}, of kind", kind, tuple(READ))
    for own in fields(node):
        if own.name not in (*READ[kind], *DERIVED):
            value = getattr(node, own.name)
            raise ModelError(
                f"{own.name} of NIR node {name!r} = {value!r} cannot be expressed; "
                f"allowed: {', '.join(READ[kind])}"
            )
    return kind


def _edges(kinds: Mapping[str, str], pairs: Iterable[Any]) -> _Edges:
    """Return the edges by node, in alphabetical order.

    Raises
    ------
    ModelError
        An edge that ends nowhere, that stands twice, or that enters an input or leaves an output.
    """
    edges = _Edges({name: [] for name in kinds}, {name: [] for name in kinds})
    for (pre, post), count in sorted(Counter(tuple(pair) for pair in pairs).items()):
        shown = f"NIR edge {pre!r} -> {post!r}"
        for end in (pre, post):
            if end not in kinds:
                raise unknown(f"{shown}: node", end, tuple(kinds))
        if count > 1:
            raise ModelError(f"{shown} stands {count} times; allowed: once")
        if kinds[post] == INPUT or kinds[pre] == OUTPUT:
            raise ModelError(f"{shown}; allowed: edges out of inputs and into outputs")
        edges.before[post].append(pre)
        edges.after[pre].append(post)
    return edges


def _of_populations(kinds: Mapping[str, str], edges: _Edges) -> list[str]:
    """Return the nodes that become populations.

    Those are inputs, integrators, and linear nodes that not only integrators follow.
    """
    found = []
    for name, kind in kinds.items():
        after = [kinds[post] for post in edges.after[name]]
        only_integrators = bool(after) and set(after) == {INTEGRATOR}
        if kind in (INPUT, INTEGRATOR) or (kind in WEIGHTED and not only_integrators):
            found.append(name)
    return found


def population_names(nodes: Iterable[str]) -> dict[str, str]:
    """Return a valid population name for each node, all of them different.

    A node whose name is valid keeps it. Of the others that would get one name, the second and
    further ones, in alphabetical order, are numbered.

    Examples
    --------
    >>> population_names(["fc.1", "fc_1", "0"])
    {'0': 'node_0', 'fc.1': 'fc_1_2', 'fc_1': 'fc_1'}
    """
    wanted = {name: _identifier(name) for name in sorted(nodes)}
    taken = {name for name, valid in wanted.items() if name == valid}
    names: dict[str, str] = {}
    for name, valid in wanted.items():
        chosen, number = valid, 2
        while name != valid and chosen in taken:
            chosen, number = f"{valid}_{number}", number + 1
        names[name] = chosen
        taken.add(chosen)
    return names


def _identifier(name: str) -> str:
    """Return a valid population name; NIR names the nodes of a list by numbers."""
    made = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if made[:1].isalpha() and made not in RESERVED and not made.startswith("transport_"):
        return made
    return f"node_{made}"


def _read_population(
    read: ReadGraph, gains: dict[str, Array], name: str, node_name: str, node: Any
) -> None:
    """Enter size, biases and time constant of a node that becomes a population."""
    kind = type(node).__name__
    if kind == INPUT:
        read.sizes[name] = _units(node_name, node.input_type["input"])
        read.clamped.add(name)
    elif kind == INTEGRATOR:
        leak = _numbers(node_name, "v_leak", node.v_leak)
        size = _units(node_name, leak.shape)
        read.sizes[name] = size
        read.biases[name] = leak
        gains[name] = _numbers(node_name, "r", node.r, size)
        read.times[name] = _time_constant(node_name, _numbers(node_name, "tau", node.tau, size))
    else:
        weight = _numbers(node_name, "weight", node.weight)
        read.sizes[name] = _units(node_name, weight.shape[:-1])
        read.biases[name] = np.zeros(read.sizes[name])
        gains[name] = np.ones(read.sizes[name])


def _read_weights(
    read: ReadGraph,
    gains: Mapping[str, Array],
    names: Mapping[str, str],
    edges: _Edges,
    node_name: str,
    node: Any,
) -> None:
    """Enter the weights and biases of a linear node, times r of the integrators after it."""
    weight = _numbers(node_name, "weight", node.weight)
    if weight.ndim != 2:
        raise ModelError(f"weight of NIR node {node_name!r} has shape {weight.shape}; allowed: 2-D")
    bias = np.zeros(len(weight))
    if type(node).__name__ == AFFINE:
        bias = _numbers(node_name, "bias", node.bias, len(weight))
    sources = edges.before[node_name]
    if len(sources) != 1:
        raise ModelError(
            f"NIR node {node_name!r} has the sources {sources}; "
            "allowed: one input, integrator or linear population"
        )
    pre = names[sources[0]]
    for target in [node_name] if node_name in names else edges.after[node_name]:
        post = names[target]
        r = gains[post]
        if len(r) == len(weight):  # else `add` refuses
            read.biases[post] = read.biases[post] + r * bias
            read.add(pre, post, r[:, None] * weight)
        else:
            read.add(pre, post, weight)


def _output(
    read: ReadGraph, names: Mapping[str, str], edges: _Edges, node_name: str, node: Any
) -> str:
    """Return the population before an output node."""
    sources = edges.before[node_name]
    if len(sources) != 1:
        raise ModelError(f"NIR output {node_name!r} has the sources {sources}; allowed: one node")
    name = names[sources[0]]
    size = _units(node_name, node.output_type["output"])
    if size != read.sizes[name]:
        raise ModelError(
            f"NIR output {node_name!r} has {size} units, {name!r} before it {read.sizes[name]}; "
            "allowed: equally many"
        )
    return name


def _units(node_name: str, shape: Any) -> int:
    """Return the number of units of a node with a shape of one dimension."""
    sizes = np.atleast_1d(np.asarray(shape))
    if sizes.shape != (1,):
        raise ModelError(
            f"NIR node {node_name!r} has the shape {tuple(sizes.tolist())}; "
            "allowed: one dimension, (units,)"
        )
    return int(sizes[0])


def _time_constant(node_name: str, tau: Array) -> float:
    """Return the one time constant of an integrator's units."""
    if (tau != tau[0]).any() or tau[0] <= 0:
        raise ModelError(
            f"tau of NIR node {node_name!r} is {tau.min():g} to {tau.max():g} s; allowed: one time "
            "> 0 for all units of a population; try a node for each time"
        )
    return float(tau[0])


def _numbers(node_name: str, key: str, value: Any, size: int | None = None) -> Array:
    """Return a field as finite floats, (size,) if that is given.

    Raises
    ------
    ModelError
        Values that are masked, complex, not numbers or not finite, or another shape.
    """
    shown = f"{key} of NIR node {node_name!r}"
    array = np.asarray(value)
    if isinstance(value, np.ma.MaskedArray) or array.dtype.kind not in "biuf":
        raise ModelError(f"{shown} is a {type(value).__name__} of {array.dtype}; allowed: floats")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ModelError(f"{shown} holds values that are not finite; allowed: finite numbers")
    if size is not None and array.ndim == 0:
        array = np.full(size, array)
    if size is not None and array.shape != (size,):
        raise ModelError(f"{shown} has shape {array.shape}; allowed: ({size},)")
    return array
