"""The forward network in NIR, the format in which neuromorphic tools exchange graphs, and back.
Start at `to_nir`.

A population is NIR's leaky integrator, tau dv/dt = v_leak - v + I, whose leak is the bias: at rest
it holds the net input. A projection is a linear node. What NIR has no word for (activations,
losses, prices of weights, which synapses can be absent) stands in the graph's metadata as JSON, so
that a round trip loses nothing.

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
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import PRICES, Loss, Population, Projection

if TYPE_CHECKING:
    import nir

Array = np.ndarray
KEY = "neurosim"  # of the metadata
WEIGHTED = ("Linear", "Affine")
KNOWN = ("Input", "Output", "LI", *WEIGHTED)


def to_nir(net: Network, flow: Flow | None = None) -> nir.NIRGraph:
    """The forward network as a NIR graph; `nir.write` keeps it.

    Parameters
    ----------
    net : Network
    flow : Flow, optional
        Whose `tau_x` the integrators get; 10 ms by default.

    Returns
    -------
    nir.NIRGraph

    Raises
    ------
    BackendError
        The package `nir` is not installed.
    ModelError
        Feedback weights other than the weights themselves.
    """
    if net.feedback:
        raise ModelError(
            f"feedback of {next(iter(net.feedback))} is not symmetric, and NIR has no "
            "word for feedback weights; "
            "allowed: networks whose messages return through their weights"
        )
    nir, flow = _nir(), flow or Flow.augmented()
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for name, p in net.populations.items():
        if p.clamped:
            nodes[name] = nir.Input(input_type={"input": np.array([p.size])})
            continue
        tau, one = np.full(p.size, flow.time("tau_x", name)), np.ones(p.size)
        nodes[name] = nir.LI(tau=tau, r=one, v_leak=net.biases[name].copy())
    for name, q in net.projections.items():
        w = net.weights[name]
        nodes[name] = nir.Linear(weight=np.array(w if isinstance(w, np.ndarray) else w.toarray()))
        edges += [(q.pre, name), (name, q.post)]
    for name in net.losses or [net.output]:
        output = _free(f"{name}_output", nodes)
        nodes[output] = nir.Output(output_type={"output": np.array([net.populations[name].size])})
        edges.append((name, output))
    described = net.describe()
    for q in described["projections"]:
        if q["sparse"]:
            w = net.weights[f"{q['pre']}->{q['post']}"]
            q |= {"row": w.indptr.tolist(), "column": w.indices.tolist()}
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata={KEY: json.dumps(described)})


def from_nir(graph: nir.NIRGraph) -> Network:
    """A network from a NIR graph of inputs, leaky integrators, and linear or affine nodes.

    Without neurosim's metadata populations are linear and there is no loss. A linear node that
    leads to no integrator is a population of its own.

    Parameters
    ----------
    graph : nir.NIRGraph

    Raises
    ------
    ModelError
        A node that a network of constraints x = sigma(W x + b) does not have, or metadata that do
        not fit.
    """
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    for name, kind in kinds.items():
        if kind not in KNOWN:
            raise unknown(f"NIR node {name!r}, of kind", kind, KNOWN)
    described = _described(graph.metadata)
    after = {name: [b for a, b in graph.edges if a == name] for name in kinds}
    own = {n: n for n, k in kinds.items() if k in ("Input", "LI")}
    own |= {
        n: _identifier(n)
        for n, k in kinds.items()
        if k in WEIGHTED and not _integrators(kinds, after[n])
    }
    weights: dict[tuple[str, str], Array] = {}
    biases = {
        own[n]: np.asarray(graph.nodes[n].v_leak, dtype=float) for n in own if kinds[n] == "LI"
    }
    for name in (n for n, k in kinds.items() if k in WEIGHTED):
        node, sources = graph.nodes[name], [a for a, b in graph.edges if b == name]
        if len(sources) != 1 or sources[0] not in own:
            raise ModelError(
                f"NIR node {name!r} reads {sources}; allowed: one input, integrator or "
                "linear population"
            )
        for target in _integrators(kinds, after[name]) or [name]:
            key, weight = (own[sources[0]], own[target]), np.asarray(node.weight, dtype=float)
            weights[key] = weights[key] + weight if key in weights else weight
            bias = np.asarray(getattr(node, "bias", np.zeros(len(weight))), dtype=float)
            biases[own[target]] = biases.get(own[target], np.zeros(len(weight))) + bias
    sizes = {n: _size(graph.nodes[n], kinds[n]) for n in own}
    net = _network({own[n]: (sizes[n], kinds[n] == "Input") for n in own}, weights, described)
    net.biases = {n: biases[n] for n in net.neurons}
    net.check_parameters()
    return net


def _network(
    sizes: Mapping[str, tuple[int, bool]],
    weights: Mapping[tuple[str, str], Array],
    described: Mapping[str, Any],
) -> Network:
    try:
        told = {p["name"]: p for p in described.get("populations", ())}
        prices = {(q["pre"], q["post"]): q for q in described.get("projections", ())}
        names = [n for n in told if n in sizes] + [n for n in sizes if n not in told]
        populations = [_population(n, *sizes[n], told.get(n, {})) for n in names]
        order = [key for key in prices if key in weights] + [
            key for key in weights if key not in prices
        ]
        projections = [
            Projection(
                *key,
                _stored(weights[key], prices.get(key, {})),
                **{k: v for k, v in prices.get(key, {}).items() if k in (*PRICES, "plastic")},
            )
            for key in order
        ]
        return Network(populations, projections, [Loss(**v) for v in described.get("losses", ())])
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"the metadata {KEY!r} of the NIR graph do not fit it: {error}; try without them"
        ) from error


def _population(name: str, size: int, clamped: bool, told: Mapping[str, Any]) -> Population:
    keys: dict[str, Any] = (
        {"activation": "linear"} | dict(told) | {"name": name, "size": size, "clamped": clamped}
    )
    return Population(**keys)


def _stored(weight: Array, told: Mapping[str, Any]) -> Any:
    """Dense, or the synapses that the metadata name."""
    if not told.get("sparse"):
        return weight
    from scipy.sparse import csr_array

    row, column = (
        np.asarray(told["row"], dtype=np.int32),
        np.asarray(told["column"], dtype=np.int32),
    )
    values = weight[np.repeat(np.arange(len(weight)), np.diff(row)), column]
    return csr_array((values, column, row), shape=weight.shape)


def _described(metadata: Any) -> dict[str, Any]:
    text = metadata.get(KEY, "{}") if isinstance(metadata, Mapping) else "{}"
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


def _integrators(kinds: Mapping[str, str], names: list[str]) -> list[str]:
    return [n for n in names if kinds.get(n) == "LI"]


def _size(node: Any, kind: str) -> int:
    if kind == "Input":
        return int(np.prod(node.input_type["input"]))
    return len(node.v_leak) if kind == "LI" else len(node.weight)


def _identifier(name: str) -> str:
    """As Brian2 allows it: NIR numbers the nodes of a list."""
    made = "".join(c if c.isalnum() else "_" for c in name)
    return made if made[:1].isalpha() else f"node_{made}"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _nir() -> Any:
    try:
        import nir
    except ImportError as error:
        raise BackendError("NIR needs the package nir; try pip install 'neurosim[nir]'") from error
    return nir
