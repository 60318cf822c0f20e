"""Convert networks to NIR, the format in which neuromorphic tools exchange graphs, and back.

A population becomes NIR's leaky integrator, tau dv/dt = v_leak - v + r I with r = 1, whose v_leak
is the bias: at rest v is the net input. A projection becomes a linear node. The graph's metadata
hold as JSON what NIR cannot express: activations, constraints, losses, penalties, and which
synapses can be absent. So a network is the same after a round trip. Start at `to_nir`.

References
----------
Pedersen et al. 2024, Neuromorphic intermediate representation, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import BackendError, ModelError, unknown
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import PENALTIES, Loss, Population, Projection
from neurosim.model.weights import Weights, synapse_indices

if TYPE_CHECKING:
    import nir

Array = np.ndarray
Described = Mapping[str, Any]  # plain values of `Network.describe`, or a part of them
Ends = tuple[str, str]  # names of the presynaptic and the postsynaptic population

KEY = "neurosim"  # key in the graph's metadata
INPUT, OUTPUT, INTEGRATOR = "Input", "Output", "LI"  # kinds of NIR nodes
WEIGHTED = ("Linear", "Affine")
KNOWN = (INPUT, OUTPUT, INTEGRATOR, *WEIGHTED)


# To NIR


def to_nir(net: Network, flow: Flow | None = None) -> nir.NIRGraph:
    """Return the forward network as a NIR graph, which ``nir.write`` can save.

    Parameters
    ----------
    net : Network
    flow : Flow, optional
        Source of the integrators' time constants, its `tau_x`; 10 ms by default. Everything else
        about the flow is not part of the graph.

    Returns
    -------
    nir.NIRGraph

    Raises
    ------
    BackendError
        The package `nir` is not installed.
    ModelError
        A projection whose feedback is not symmetric.

    Examples
    --------
    >>> graph = to_nir(Network.mlp([4, 3, 2]))  # doctest: +SKIP
    >>> nir.write("net.nir", graph)  # doctest: +SKIP
    """
    if net.feedback:
        name, *_ = net.feedback
        kind = net.projections[name].feedback
        raise ModelError(
            f"feedback of {name} = {kind!r}, for which NIR has no node; allowed: {SYMMETRIC!r}"
        )
    nir = _nir()
    flow = flow or Flow.augmented()
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for name, population in net.populations.items():
        size = population.size
        if population.clamped:
            nodes[name] = nir.Input(input_type={"input": np.array([size])})
        else:
            tau = np.full(size, flow.time("tau_x", name))
            nodes[name] = nir.LI(tau=tau, r=np.ones(size), v_leak=net.biases[name].copy())
    for name, projection in net.projections.items():
        nodes[name] = nir.Linear(weight=_dense_copy(net.weights[name]))
        edges.append((projection.pre, name))
        edges.append((name, projection.post))
    for name in net.losses or [net.output]:
        output = _free_name(f"{name}_output", nodes)
        size = net.populations[name].size
        nodes[output] = nir.Output(output_type={"output": np.array([size])})
        edges.append((name, output))
    metadata = {KEY: json.dumps(_description(net))}
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def _description(net: Network) -> dict[str, Any]:
    """Return `Network.describe` plus the indices of the synapses of sparse weights."""
    description = net.describe()
    for described in description["projections"]:
        if described["sparse"]:
            weights = net.weights[f"{described['pre']}->{described['post']}"]
            described["row"] = weights.indptr.tolist()
            described["column"] = weights.indices.tolist()
    return description


def _dense_copy(weights: Weights) -> Array:
    """Return weights as a new dense array."""
    if isinstance(weights, np.ndarray):
        return weights.copy()
    return np.asarray(weights.toarray())


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that is not taken, by appending underscores."""
    while name in taken:
        name += "_"
    return name


# From NIR


def from_nir(graph: nir.NIRGraph) -> Network:
    """Return the network of a NIR graph of inputs, leaky integrators, and linear or affine nodes.

    Without neurosim's metadata all populations are linear, and none has a loss. A linear node that
    is not followed by an integrator becomes a population. Time constants and resistances r of
    integrators are not read.

    Parameters
    ----------
    graph : nir.NIRGraph
        From `to_nir`, or from another tool.

    Returns
    -------
    Network

    Raises
    ------
    ModelError
        A node of a kind that x = sigma(W x + b) cannot express, a linear node without exactly one
        source, or metadata that do not fit the graph.
    """
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    for name, kind in kinds.items():
        if kind not in KNOWN:
            raise unknown(f"NIR node {name!r}, of kind", kind, KNOWN)
    description = _read_metadata(graph.metadata)
    names = _population_names(graph, kinds)
    weights: dict[Ends, Array] = {}
    biases: dict[str, Array] = {}
    for node_name, population in names.items():
        if kinds[node_name] == INTEGRATOR:
            biases[population] = np.asarray(graph.nodes[node_name].v_leak, dtype=float)
    for node_name, kind in kinds.items():
        if kind not in WEIGHTED:
            continue
        node = graph.nodes[node_name]
        weight = np.asarray(node.weight, dtype=float)
        zeros = np.zeros(len(weight))
        bias = np.asarray(getattr(node, "bias", zeros), dtype=float)
        pre = names[_source(graph, node_name, names)]
        for target in _integrators_after(graph, kinds, node_name) or [node_name]:
            post = names[target]
            biases[post] = biases.get(post, zeros) + bias
            if (pre, post) in weights:
                weights[pre, post] = weights[pre, post] + weight
            else:
                weights[pre, post] = weight
    sizes: dict[str, int] = {}
    clamped: list[str] = []
    for node_name, population in names.items():
        sizes[population] = _size(graph.nodes[node_name], kinds[node_name])
        if kinds[node_name] == INPUT:
            clamped.append(population)
    net = _network(sizes, clamped, weights, description)
    net.biases = {name: biases[name] for name in net.neurons}
    net.check_parameters()
    return net


def _population_names(graph: nir.NIRGraph, kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the name of the population for each node that becomes one, by the node's name.

    Those are inputs, integrators, and linear nodes that are not followed by an integrator.
    """
    names: dict[str, str] = {}
    for name, kind in kinds.items():
        if kind in (INPUT, INTEGRATOR):
            names[name] = name
    for name, kind in kinds.items():
        if kind in WEIGHTED and not _integrators_after(graph, kinds, name):
            names[name] = _identifier(name)
    return names


def _integrators_after(graph: nir.NIRGraph, kinds: Mapping[str, str], name: str) -> list[str]:
    """Return the names of the integrators that directly follow a node."""
    after = [post for pre, post in graph.edges if pre == name]
    return [post for post in after if kinds.get(post) == INTEGRATOR]


def _source(graph: nir.NIRGraph, name: str, names: Mapping[str, str]) -> str:
    """Return the name of the one node that precedes a linear node.

    Raises
    ------
    ModelError
        No such node, several, or one that does not become a population.
    """
    sources: list[str] = [pre for pre, post in graph.edges if post == name]
    if len(sources) != 1 or sources[0] not in names:
        raise ModelError(
            f"NIR node {name!r} has the sources {sources}; "
            "allowed: one input, integrator or linear population"
        )
    return sources[0]


def _size(node: Any, kind: str) -> int:
    """Return the number of units of a node that becomes a population."""
    if kind == INPUT:
        return int(np.prod(node.input_type["input"]))
    if kind == INTEGRATOR:
        return len(node.v_leak)
    return len(node.weight)


def _identifier(name: str) -> str:
    """Return a valid population name; NIR names the nodes of a list by numbers."""
    allowed = [character if character.isalnum() else "_" for character in name]
    made = "".join(allowed)
    if made[:1].isalpha():
        return made
    return f"node_{made}"


def _read_metadata(metadata: Any) -> dict[str, Any]:
    """Return the network's description from the metadata; an empty dict if there is none.

    Raises
    ------
    ModelError
        Metadata that are not a JSON object.
    """
    text = "{}"
    if isinstance(metadata, Mapping):
        text = metadata.get(KEY, text)
    if isinstance(text, bytes):
        text = text.decode()
    try:
        found = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ModelError(f"the metadata {KEY!r} of the NIR graph are not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(
            f"the metadata {KEY!r} of the NIR graph are a {type(found).__name__}; "
            "allowed: a JSON object"
        )
    return found


def _network(
    sizes: Mapping[str, int],
    clamped: list[str],
    weights: Mapping[Ends, Array],
    description: Described,
) -> Network:
    """Build the network; populations and projections in the metadata come first, in their order.

    Raises
    ------
    ModelError
        Metadata that do not fit the graph.
    """
    try:
        described = {p["name"]: p for p in description.get("populations", ())}
        populations: list[Population] = []
        for name in _in_order(described, sizes):
            given = {
                "activation": "linear",
                **described.get(name, {}),
                "name": name,
                "size": sizes[name],
                "clamped": name in clamped,
            }
            populations.append(Population(**given))
        of_ends = {(q["pre"], q["post"]): q for q in description.get("projections", ())}
        projections: list[Projection] = []
        for ends in _in_order(of_ends, weights):
            projections.append(_projection(ends, weights[ends], of_ends.get(ends, {})))
        losses = [Loss(**loss) for loss in description.get("losses", ())]
        return Network(populations, projections, losses)
    except ModelError:
        raise
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise ModelError(
            f"the metadata {KEY!r} of the NIR graph do not fit it: {error}; try without them"
        ) from error


def _in_order(first: Mapping[Any, Any], keys: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of a mapping: those that `first` has too, in its order, then the others."""
    front = [key for key in first if key in keys]
    return front + [key for key in keys if key not in first]


def _projection(ends: Ends, weight: Array, described: Described) -> Projection:
    """Return a projection with the penalties and the synapses given in the metadata."""
    kept = {key: described[key] for key in (*PENALTIES, "plastic") if key in described}
    return Projection(*ends, _stored(weight, described), **kept)


def _stored(weight: Array, described: Described) -> Weights:
    """Return the weights as a dense array, or sparse at the synapses given in the metadata."""
    if not described.get("sparse"):
        return weight
    from scipy.sparse import csr_array

    row = np.asarray(described["row"], dtype=np.int32)
    column = np.asarray(described["column"], dtype=np.int32)
    pattern = csr_array((np.ones(len(column)), column, row), shape=weight.shape)
    values = weight[synapse_indices(pattern)]
    return csr_array((values, column, row), shape=weight.shape)


def _nir() -> Any:
    """Import the optional package `nir`."""
    try:
        import nir
    except ImportError as error:
        raise BackendError(
            f"NIR needs the package nir ({error}); try pip install 'neurosim[nir]'"
        ) from error
    return nir
