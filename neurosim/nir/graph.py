"""Read a NIR graph as populations and weights: every field of a node is used or refused.

Nothing depends on the order of nodes or edges. Below `networks`, which adds what the metadata
describe. Start at `read_graph`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, unknown
from neurosim.model.populations import RESERVED
from neurosim.model.sites import Over
from neurosim.nir.convolutions import (
    CONVOLUTIONS,
    FLATTEN,
    POOL,
    check_flatten,
    features_last,
    flat_order,
    read_convolution,
    read_pool,
    units_of,
)
from neurosim.nir.fields import checked_shape, numbers, time_constant

if TYPE_CHECKING:
    import nir

Array = np.ndarray
Shape = tuple[int, ...]
Ends = tuple[str, str]  # names of the presynaptic and the postsynaptic population

INPUT, OUTPUT, INTEGRATOR = "Input", "Output", "LI"  # kinds of NIR nodes
LINEAR, AFFINE = "Linear", "Affine"
DENSE = (LINEAR, AFFINE)
WEIGHTED = (*DENSE, *CONVOLUTIONS, POOL)  # what stands between two populations
# the fields of each kind that are read; `metadata` of a node are remarks
READ = {
    INPUT: ("input_type",),
    OUTPUT: ("output_type",),
    INTEGRATOR: ("tau", "r", "v_leak"),
    LINEAR: ("weight",),
    AFFINE: ("weight", "bias"),
    **dict.fromkeys(
        CONVOLUTIONS,
        ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias"),
    ),
    POOL: ("kernel_size", "stride", "padding"),
    FLATTEN: ("input_type", "start_dim", "end_dim"),
}
DERIVED = ("input_type", "output_type", "metadata")


@dataclass(frozen=True)
class ReadGraph:
    """Populations and weights of a graph, by the names of the populations.

    Attributes
    ----------
    sizes : {population: units}
    shapes : {population: (sites, features)}
        Of those on sites.
    clamped : set of populations
        Those of input nodes.
    weights : {(pre, post): (n_post, n_pre)}
        Sums over parallel paths; r of the integrators included. (terms, post features, pre
        features) of a convolution.
    overs : {(pre, post): object of `sites`}
        Of convolutions and pools; the latter have no weights.
    biases : {population: (units,)}
    times : {population: s}
        Time constants of the integrators.
    outputs : list of populations
        The one before each output node; NIR adds such a node after each that has no other.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    clamped: set[str] = field(default_factory=set)
    weights: dict[Ends, Array] = field(default_factory=dict)
    overs: dict[Ends, Over] = field(default_factory=dict)
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
        graph.add_edges_from({*self.weights, *self.overs})
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
        self._refuse_both(pre, post, None)
        before = self.weights.get((pre, post))
        self.weights[pre, post] = weight if before is None else before + weight

    def add_over(self, pre: str, post: str, over: Over, weight: Array | None) -> None:
        """Add a convolution with its weights, or a pool."""
        self._refuse_both(pre, post, over)
        before = self.weights.get((pre, post))
        if before is None and (pre, post) in self.overs:
            raise ModelError(f"NIR pools from {pre!r} to {post!r} twice; allowed: once")
        self.overs[pre, post] = over
        if weight is not None:
            self.weights[pre, post] = weight if before is None else before + weight

    def _refuse_both(self, pre: str, post: str, over: Over | None) -> None:
        """Refuse parallel paths of two kinds."""
        known = (pre, post) in self.weights or (pre, post) in self.overs
        before = self.overs.get((pre, post))
        if known and before != over:
            raise ModelError(
                f"NIR nodes of two kinds lead from {pre!r} to {post!r}, over {before} and {over}; "
                "allowed: parallel paths of one kind"
            )


@dataclass(frozen=True)
class _Edges:
    """The edges of a graph, by node."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]


@dataclass(frozen=True)
class _Given:
    """A graph as it was given: nodes, kinds and edges by node, and names of its populations."""

    nodes: Mapping[str, Any]
    kinds: dict[str, str]
    edges: _Edges
    names: dict[str, str]

    def source(self, name: str) -> str:
        """Return the one population before a node, behind a flattening one."""
        sources = self.edges.before[name]
        if len(sources) == 1 and self.kinds[sources[0]] == FLATTEN:
            return self.source(sources[0])
        if len(sources) != 1 or sources[0] not in self.names:
            raise ModelError(
                f"NIR node {name!r} has the sources {sources}; "
                "allowed: one input, integrator or linear population"
            )
        return sources[0]

    def is_flattened(self, name: str) -> bool:
        """Return whether a node reads a flattening one."""
        return [self.kinds[before] for before in self.edges.before[name]] == [FLATTEN]

    def shape(self, name: str, beyond: tuple[str, ...] = ()) -> Shape:
        """Return the shape of a population's node, (units,) or (features, sites).

        `beyond` has the nodes whose shapes depend on it.

        Raises
        ------
        ModelError
            Another shape, or one that depends on itself.
        """
        node, kind = self.nodes[name], self.kinds[name]
        if name in beyond:
            raise ModelError(
                f"NIR node {name!r} is in a cycle of nodes without a shape; allowed: an integrator "
                "in every cycle"
            )
        if kind == INPUT:
            return checked_shape(name, node.input_type["input"])
        if kind == INTEGRATOR:
            return checked_shape(name, np.shape(node.v_leak))
        if kind in DENSE:
            return checked_shape(name, np.shape(node.weight)[:-1])
        before = self.shape(self.source(name), (*beyond, name))
        features = before[0]
        over: Over
        if kind == POOL:
            over = read_pool(name, node)
        else:
            over, weight = read_convolution(name, node, before)
            features = weight.shape[1]
        after = over.post_sites(before[1:])
        return (features, *(after or ()))


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
    given = _Given(nodes, kinds, edges, names)
    read = ReadGraph()
    gains: dict[str, Array] = {}  # r of the integrators
    for node_name, name in names.items():
        _read_population(read, gains, given, name, node_name)
    for node_name in sorted(nodes):
        if kinds[node_name] == FLATTEN:
            _check_flattened(given, node_name)
        if kinds[node_name] in DENSE:
            _read_weights(read, gains, given, node_name)
        elif kinds[node_name] in WEIGHTED:
            _read_over(read, gains, given, node_name)
    for node_name, name in names.items():
        if kinds[node_name] == INTEGRATOR:
            for pre in edges.before[node_name]:
                if pre in names:  # an edge without a linear node on it
                    _check_same_shape(given, pre, node_name)
                    read.add(names[pre], name, np.diag(gains[name]))
    for node_name, kind in kinds.items():
        if kind == OUTPUT:
            read.outputs.append(_output(read, given, node_name))
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

    Those are inputs, integrators, and linear nodes, convolutions and pools that not only
    integrators follow.
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
    read: ReadGraph, gains: dict[str, Array], given: _Given, name: str, node_name: str
) -> None:
    """Enter size, shape, biases and time constant of a node that becomes a population."""
    node, kind = given.nodes[node_name], given.kinds[node_name]
    shape = given.shape(node_name)
    read.sizes[name] = math.prod(shape)
    if len(shape) > 1:
        read.shapes[name] = features_last(shape)
    if kind == INPUT:
        read.clamped.add(name)
    elif kind == INTEGRATOR:
        leak = numbers(node_name, "v_leak", node.v_leak)
        read.biases[name] = units_of(leak)
        gains[name] = units_of(numbers(node_name, "r", node.r, shape))
        tau = numbers(node_name, "tau", node.tau, shape)
        read.times[name] = time_constant(node_name, tau.reshape(-1))
    else:
        read.biases[name] = np.zeros(read.sizes[name])
        gains[name] = np.ones(read.sizes[name])


def _read_weights(
    read: ReadGraph, gains: Mapping[str, Array], given: _Given, node_name: str
) -> None:
    """Enter the weights and biases of a linear node, times r of the integrators after it."""
    node, names = given.nodes[node_name], given.names
    weight = numbers(node_name, "weight", node.weight)
    if weight.ndim != 2:
        raise ModelError(f"weight of NIR node {node_name!r} has shape {weight.shape}; allowed: 2-D")
    bias = np.zeros(len(weight))
    if type(node).__name__ == AFFINE:
        bias = numbers(node_name, "bias", node.bias, bias.shape)
    source = given.source(node_name)
    pre = names[source]
    if pre in read.shapes:
        weight = _in_order_of_units(given, node_name, source, weight)
    for target in [node_name] if node_name in names else given.edges.after[node_name]:
        post = names[target]
        if post in read.shapes:
            raise ModelError(
                f"NIR node {target!r} after {node_name!r} has the shape {given.shape(target)}; "
                "allowed: one dimension, (units,), after a linear node"
            )
        r = gains[post]
        if len(r) == len(weight):  # else `add` refuses
            read.biases[post] = read.biases[post] + r * bias
            read.add(pre, post, r[:, None] * weight)
        else:
            read.add(pre, post, weight)


def _in_order_of_units(given: _Given, node_name: str, source: str, weight: Array) -> Array:
    """Return weights whose columns are units with features last, not NIR's flattened array."""
    shape = given.shape(source)
    if not given.is_flattened(node_name):
        raise ModelError(
            f"NIR node {node_name!r} reads {source!r}, which has the shape {shape}; allowed: one "
            "dimension, (units,); try a Flatten node between them"
        )
    order = flat_order(features_last(shape))
    if weight.shape[1] != len(order):
        return weight  # which `add` refuses
    found = np.empty_like(weight)
    found[:, order] = weight
    return found


def _read_over(read: ReadGraph, gains: Mapping[str, Array], given: _Given, node_name: str) -> None:
    """Enter a convolution or a pool, times r of the integrators after it."""
    node, names, kind = given.nodes[node_name], given.names, given.kinds[node_name]
    source = given.source(node_name)
    if given.is_flattened(node_name):
        raise ModelError(f"NIR node {node_name!r} reads a Flatten node; allowed: sites")
    before = given.shape(source)
    over: Over
    weight: Array | None = None
    features = before[0]
    if kind == POOL:
        over = read_pool(node_name, node)
    else:
        over, weight = read_convolution(node_name, node, before)
        weight = numbers(node_name, "weight", weight)
        features = weight.shape[1]
    after = (features, *(over.post_sites(before[1:]) or ()))
    for target in [node_name] if node_name in names else given.edges.after[node_name]:
        post = names[target]
        if given.shape(target) != after:
            raise ModelError(
                f"NIR node {target!r} after {node_name!r} has the shape {given.shape(target)}; "
                f"allowed: {after}"
            )
        r = _gain_by_feature(target, gains[post].reshape(-1, features))
        if weight is None:
            if (r != 1).any():
                raise ModelError(f"r of NIR node {target!r} = {r[0]:g} after a pool; allowed: 1")
            read.add_over(names[source], post, over, None)
            continue
        bias = numbers(node_name, "bias", node.bias, (features,))
        read.biases[post] = read.biases[post] + np.tile(r * bias, math.prod(after[1:]))
        read.add_over(names[source], post, over, r[None, :, None] * weight)


def _gain_by_feature(node_name: str, r: Array) -> Array:
    """Return r of an integrator by feature; `r` is (sites, features)."""
    if (r != r[0]).any():
        raise ModelError(
            f"r of NIR node {node_name!r} is {r.min():g} to {r.max():g}; allowed: one number per "
            "feature, as its sites share their weights"
        )
    return np.asarray(r[0])


def _check_flattened(given: _Given, node_name: str) -> None:
    """Refuse a flattening node that is not between a population and linear nodes."""
    source = given.source(node_name)
    check_flatten(node_name, given.nodes[node_name], given.shape(source))
    for target in given.edges.after[node_name]:
        if given.kinds[target] not in DENSE:
            raise ModelError(
                f"NIR node {target!r} of kind {given.kinds[target]} reads the Flatten node "
                f"{node_name!r}; allowed: {', '.join(DENSE)}"
            )


def _check_same_shape(given: _Given, pre: str, post: str) -> None:
    """Refuse an edge without a node between populations of different shapes."""
    shapes = given.shape(pre), given.shape(post)
    if shapes[0] != shapes[1] and max(map(len, shapes)) > 1:
        raise ModelError(f"NIR edge {pre!r} -> {post!r} of shapes {shapes}; allowed: equal shapes")


def _output(read: ReadGraph, given: _Given, node_name: str) -> str:
    """Return the population before an output node."""
    sources = given.edges.before[node_name]
    if len(sources) != 1 or sources[0] not in given.names:
        raise ModelError(f"NIR output {node_name!r} has the sources {sources}; allowed: one node")
    name = given.names[sources[0]]
    shape = checked_shape(node_name, given.nodes[node_name].output_type["output"])
    expected = given.shape(sources[0])
    if len(shape) == len(expected) == 1 and shape != expected:
        raise ModelError(
            f"NIR output {node_name!r} has {shape[0]} units, {name!r} before it {expected[0]}; "
            "allowed: equally many"
        )
    if shape != expected:
        raise ModelError(
            f"NIR output {node_name!r} has the shape {shape}, {name!r} before it {expected}; "
            "allowed: the same"
        )
    return name
