"""Convert networks to NIR, the format in which neuromorphic tools exchange graphs, and back.

A population becomes NIR's leaky integrator, tau dv/dt = v_leak - v + r I with r = 1, whose v_leak
is the bias: at rest v is the net input. A projection becomes a linear node, one over `sites.Conv`
or `sites.Pool` a convolution or a pool of NIR, whose features come first. The graph's metadata
hold as JSON what NIR cannot express: activations, constraints, losses, penalties, and which
synapses can be absent. So a network is the same after a round trip. `neurosim.nir.graph` reads the
nodes and edges. Start at `to_nir`.

References
----------
Pedersen et al. 2024, Neuromorphic intermediate representation, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import BackendError, ModelError
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import OPTIONS, Loss, Population, Projection
from neurosim.model.sites import Conv, Pool
from neurosim.model.weights import Weights, synapse_indices
from neurosim.nir.convolutions import (
    array_of,
    features_first,
    flat_order,
    shaped_populations,
    written_convolution,
    written_pool,
)
from neurosim.nir.graph import ReadGraph, read_graph

if TYPE_CHECKING:
    import nir

Array = np.ndarray
Described = Mapping[str, Any]  # plain values of `Network.describe`, or a part of them

KEY = "neurosim"  # key in the graph's metadata
DESCRIBED = ("populations", "projections", "losses")  # keys of a description
_DO_NOT_FIT = f"the metadata {KEY!r} of the NIR graph do not fit it"
_WITHOUT = f"try without them: graph.metadata.pop({KEY!r})"


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
        A projection whose feedback is not symmetric or whose weights are shared over something
        other than `sites.Conv`, or a population that nothing projects to.

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
    _check_sources(net)
    nir = _nir()
    flow = flow or Flow.augmented()
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    shaped = shaped_populations(net)
    shapes: dict[str, tuple[int, ...]] = {}  # of nodes, features first
    for name, population in net.populations.items():
        own = population.shape if name in shaped else None
        shapes[name] = (population.size,) if own is None else features_first(own)
        if population.clamped:
            nodes[name] = nir.Input(input_type={"input": np.array(shapes[name])})
            continue
        tau = np.full(shapes[name], flow.time("tau_x", name))
        leak = np.tile(net.biases[name], population.size // net.biases[name].size)
        if own is not None:
            leak = array_of(leak, own)
        nodes[name] = nir.LI(tau=tau, r=np.ones(shapes[name]), v_leak=leak)
    for projection in net.projections.values():
        _add_projection(nir, net, projection, shaped, nodes, edges)
    for name in net.losses or [net.output]:
        output = _free_name(f"{name}_output", nodes)
        nodes[output] = nir.Output(output_type={"output": np.array(shapes[name])})
        edges.append((name, output))
    metadata = {KEY: json.dumps(_description(net))}
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def _add_projection(
    nir: Any,
    net: Network,
    q: Projection,
    shaped: Collection[str],
    nodes: dict[str, Any],
    edges: list[tuple[str, str]],
) -> None:
    """Add the node of a projection and its edges, with a flattening node where one is needed.

    Raises
    ------
    ModelError
        Weights shared over something for which NIR has no node, or dense ones onto the sites of a
        convolution.
    """
    name, before = q.name, q.pre
    if q.shares and not isinstance(q.over, Conv):
        raise ModelError(
            f"{name} shares its weights over {q.over.kind}, which is not written as a node of "
            "NIR; allowed: sites.Conv, sites.Pool, and weights of one pair of units each; "
            "try net.unrolled()"
        )
    if q.shares:
        nodes[name] = written_convolution(nir, net, q)
    elif isinstance(q.over, Pool) and {q.pre, q.post} <= set(shaped):
        nodes[name] = written_pool(nir, net, q)
    else:
        weight = _dense_copy(net.weights[name])
        if q.post in shaped:
            raise ModelError(
                f"{name} has weights of one pair of units each, but {q.post} has the sites of a "
                "convolution, and no node of NIR comes between; allowed: sites.Conv into it; try "
                "net.unrolled()"
            )
        shape = net.populations[q.pre].shape
        if q.pre in shaped and shape is not None:
            weight = weight[:, flat_order(shape)].copy()
            before = _free_name(f"{name}_flat", nodes)
            first = np.array(features_first(shape))
            nodes[before] = nir.Flatten(input_type={"input": first}, start_dim=0)
            edges.append((q.pre, before))
        nodes[name] = nir.Linear(weight=weight)
    edges.append((before, name))
    edges.append((name, q.post))


def _check_sources(net: Network) -> None:
    """Refuse populations that nothing projects to: NIR would add an input before each."""
    for name in net.neurons:
        if not net.incoming(name):
            raise ModelError(
                f"population {name!r} has no incoming projection, and NIR begins at inputs; "
                "allowed: a projection into every population that is not clamped"
            )


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
    """Return the network of a NIR graph of inputs, leaky integrators, and linear nodes.

    Linear nodes are Linear, Affine, Conv1d, Conv2d and AvgPool2d, with Flatten before the first
    two. What a convolution reads lies on sites: (features, sites) in NIR, features last here.

    Every field of a node is read or refused. At rest an integrator has v = v_leak + r I, so r
    scales the weights and biases before it. Time constants belong to a flow: `time_constants` reads
    them. An edge without a linear node on it becomes the identity matrix. A linear node that is
    followed by something other than an integrator becomes a population.

    Without neurosim's metadata all populations are linear, none has a loss, and the graph must have
    one output. The order of the graph's nodes and edges does not matter: populations stand in
    topological order, inputs in alphabetical order. Names that a population cannot have are
    changed, `fc.1` to `fc_1` and `0` to `node_0`, and numbered where two would become one.

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
        A node or a field that x = sigma(W x + b) cannot express, edges that do not fit, or metadata
        that do not fit the graph.
    """
    read = read_graph(graph)
    description = _read_metadata(graph.metadata)
    net = _described_network(read, description) if description else _plain_network(read)
    net.biases = {name: _biases(net, name, read.biases[name]) for name in net.neurons}
    net.check_parameters()
    return net


def _biases(net: Network, name: str, units: Array) -> Array:
    """Return the biases of a population, per feature where its sites share them.

    Raises
    ------
    ModelError
        Sites that share their biases, and have different ones.
    """
    if net.biases[name].size == units.size:
        return units
    by_site = units.reshape(-1, net.biases[name].size)
    if (by_site != by_site[0]).any():
        raise ModelError(
            f"v_leak of the NIR node of {name!r} is different at its sites; allowed: one number "
            "per feature, as the sites share the weights into them"
        )
    return np.array(by_site[0])


def time_constants(graph: nir.NIRGraph) -> dict[str, float]:
    """Return the time constant of every integrator of a NIR graph, {population: s}.

    Names are those of `from_nir`. Linear populations, which NIR gives no time constant, are left
    out.

    Raises
    ------
    ModelError
        As `from_nir`.

    Examples
    --------
    >>> flow = Flow.adjoint(tau_x=time_constants(graph))  # doctest: +SKIP
    """
    return read_graph(graph).times


def _plain_network(read: ReadGraph) -> Network:
    """Return the network of a graph without metadata, its output last.

    Raises
    ------
    ModelError
        No output, or several.
    """
    if len(read.outputs) != 1 or read.outputs[0] in read.clamped:
        raise ModelError(
            f"outputs of the NIR graph come from {sorted(read.outputs) or 'no node'}; "
            "allowed: one Output node, after an integrator or a linear node, or the metadata of "
            "to_nir"
        )
    populations = [
        Population(
            name, read.shapes.get(name, read.sizes[name]), "linear", clamped=name in read.clamped
        )
        for name in read.in_order()
    ]
    projections = []
    for ends in sorted({*read.weights, *read.overs}):
        weights, over = read.weights.get(ends), read.overs.get(ends)
        projections.append(Projection(*ends, weights, over=over))
    return Network(populations, projections)


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


def _described_network(read: ReadGraph, description: Described) -> Network:
    """Build the network that the metadata describe, with the weights of the graph.

    Raises
    ------
    ModelError
        Metadata that do not fit the graph.
    """
    try:
        _check_same("keys", DESCRIBED, description)
        populations = [_population(read, given) for given in description["populations"]]
        _check_same("populations", read.sizes, [p.name for p in populations])
        projections = []
        for given in description["projections"]:
            projections.append(_projection(read, given))
        of_graph = map("->".join, {*read.weights, *read.overs})
        _check_same("projections", of_graph, [q.name for q in projections])
        _check_overs(read, populations, projections)
        losses = [Loss(**loss) for loss in description["losses"]]
        net = Network(populations, projections, losses)
        compared = list(net.losses or [net.output])
        _check_same("outputs", compared, [name for name in compared if name in read.outputs])
        return net
    except ModelError:
        raise
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise ModelError(f"{_DO_NOT_FIT}: {error}; {_WITHOUT}") from error


def _check_same(what: str, of_graph: Iterable[str], of_metadata: Iterable[str]) -> None:
    """Refuse metadata that name other things than the graph has, or one twice."""
    expected, found = sorted(of_graph), sorted(of_metadata)
    if expected != found:
        raise ModelError(
            f"{_DO_NOT_FIT}: {what} {', '.join(found) or 'none'} there, "
            f"{', '.join(expected) or 'none'} in the graph; {_WITHOUT}"
        )


def _check_overs(
    read: ReadGraph, populations: Iterable[Population], projections: Iterable[Projection]
) -> None:
    """Refuse metadata with other convolutions and pools than the graph has."""
    sites = {p.name: p.sites for p in populations}
    for q in projections:
        there, here = q.over, read.overs.get((q.pre, q.post))
        if here is None and q.shares:
            raise ModelError(f"{_DO_NOT_FIT}: {q.name} is over {there} there only; {_WITHOUT}")
        if here is None:
            continue
        pre = sites[q.pre]
        alike = type(there) is type(here) and _same_matrices(there, here, pre)
        if not alike:
            raise ModelError(
                f"{_DO_NOT_FIT}: {q.name} is over {there} there, over {here} in the graph; "
                f"{_WITHOUT}"
            )


def _same_matrices(there: Any, here: Any, pre: tuple[int, ...]) -> bool:
    """Return whether two say the same of which site reads which."""
    first, second = there.matrices(pre), here.matrices(pre)
    if len(first) != len(second) or first[0].shape != second[0].shape:
        return False
    return all((a != b).nnz == 0 for a, b in zip(first, second, strict=True))


def _population(read: ReadGraph, given: Described) -> Population:
    """Return a population of the metadata, whose size and kind are those of the graph."""
    population = Population(**given)
    name = population.name
    if name in read.sizes:
        there = population.size, population.clamped
        here = read.sizes[name], name in read.clamped
        if there != here:
            raise ModelError(
                f"{_DO_NOT_FIT}: size and clamped of {name} are {there} there, {here} in the "
                f"graph; {_WITHOUT}"
            )
    if name in read.shapes and read.shapes[name] != population.shape:
        raise ModelError(
            f"{_DO_NOT_FIT}: shape of {name} is {population.shape} there, {read.shapes[name]} in "
            f"the graph; {_WITHOUT}"
        )
    return population


def _projection(read: ReadGraph, given: Described) -> Projection:
    """Return a projection with the options and the synapses given in the metadata."""
    ends = given["pre"], given["post"]
    weight = read.weights.get(ends)
    kept = {key: value for key, value in given.items() if key in OPTIONS}
    left = set(given) - set(kept) - {"pre", "post", "sparse", "row", "column"}
    if left or kept.get("feedback", SYMMETRIC) != SYMMETRIC:
        wrong = min(left) if left else "feedback"
        raise ModelError(f"{_DO_NOT_FIT}: {wrong} = {given[wrong]!r} of {ends}; {_WITHOUT}")
    if weight is None and ends not in read.overs:
        return Projection(*ends)  # refused, since the graph does not have it
    if weight is None or ends in read.overs:
        return Projection(*ends, weight, **kept)
    return Projection(*ends, _stored(weight, given), **kept)


def _stored(weight: Array, described: Described) -> Weights:
    """Return the weights as a dense array, or sparse at the synapses given in the metadata."""
    if not described.get("sparse"):
        return weight
    from scipy.sparse import csr_array

    row = np.asarray(described["row"], dtype=np.int32)
    column = np.asarray(described["column"], dtype=np.int32)
    pattern = csr_array((np.ones(len(column)), column, row), shape=weight.shape)
    values = weight[synapse_indices(pattern)]
    if np.count_nonzero(weight) != np.count_nonzero(values):
        raise ModelError(
            f"{_DO_NOT_FIT}: {described['pre']}->{described['post']} has weights where its "
            f"synapses are absent; {_WITHOUT}"
        )
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
