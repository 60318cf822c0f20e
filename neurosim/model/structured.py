"""Populations, and what projections share weights over, of convolutional, recurrent and graph nets.

Below `builders`, beside `layers`. Start at `convolutions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosim.errors import ModelError, choice, out_of_range, whole
from neurosim.model import sites
from neurosim.model.layers import INPUT, OUTPUT, Ends
from neurosim.model.populations import Population
from neurosim.model.site_matrices import checked_matrix

LAST, EVERY = "last", "every"
Overs = dict[Ends, sites.Over | None]  # what a projection shares weights over; None where dense


def convolutions(
    shape: Any,
    channels: Any,
    over: Mapping[str, Any],
    pool: Any,
    options: Mapping[str, Any],
) -> tuple[list[Population], Overs]:
    """Return the input, `hidden1`, `pool1`, ..., and what their projections are over.

    Parameters
    ----------
    shape : sequence of int
        Sites and features of the input.
    channels : sequence of int
        Features of every layer.
    over : dict
        Arguments of `sites.Conv`, each for all layers or a list of one per layer.
    pool : int, tuple or list
        Sites that are averaged behind every layer; 1 for none.
    options : dict
        Arguments of the populations of convolutions.

    Raises
    ------
    ModelError
        No sites, no layer, or lists of another length.
    """
    several = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not several or len(shape) < 2:
        raise out_of_range("shape", shape, "sites, then features", "(28, 28, 1)")
    if not isinstance(channels, Sequence) or isinstance(channels, str) or not channels:
        raise out_of_range("channels", channels, "features of at least one layer", "[8, 16]")
    populations = [Population(INPUT, tuple(shape), "linear", clamped=True)]
    ends: Overs = {}
    count = len(channels)
    given = {key: _per_layer(key, value, count) for key, value in over.items()}
    blocks = _per_layer("pool", pool, count)
    for i, features in enumerate(channels):
        conv = sites.Conv(**{key: values[i] for key, values in given.items()})
        before = populations[-1]
        own = conv.post_sites(before.sites)
        populations.append(Population(f"hidden{i + 1}", (*own, features), **options))
        ends[before.name, populations[-1].name] = conv
        if blocks[i] == 1:
            continue
        mean = sites.Pool(blocks[i])
        pooled = (*mean.post_sites(own), features)
        name = f"pool{i + 1}"
        populations.append(Population(name, pooled, "linear", plastic_bias=False))
        ends[f"hidden{i + 1}", name] = mean
    return populations, ends


def recurrent(
    steps: int,
    features: int,
    hidden: int,
    outputs: int,
    read: str,
    activation: str,
    output: str,
    options: Mapping[str, Any],
) -> tuple[list[Population], Overs]:
    """Return input, `hidden1` and output of a recurrent net, and what its projections are over."""
    choice("read", read, (LAST, EVERY))
    steps = whole("steps", steps, 2)
    reads_last = read == LAST
    populations = [
        Population(INPUT, (steps, features), "linear", clamped=True),
        Population("hidden1", (steps, hidden), activation, **options),
        Population(OUTPUT, outputs if reads_last else (steps, outputs), output, **options),
    ]
    ends: Overs = {
        (INPUT, "hidden1"): sites.Pointwise(),
        ("hidden1", "hidden1"): sites.Lag(),
        ("hidden1", OUTPUT): sites.Site(-1) if reads_last else sites.Pointwise(),
    }
    return populations, ends


def graph(
    adjacency: Any,
    features: tuple[int, int, int, int, int],
    activation: str,
    output: str,
) -> tuple[list[Population], Overs]:
    """Return the populations of a graph neural network, and what its projections are over.

    Parameters
    ----------
    adjacency : sparse array or array, (nodes, nodes)
        Entry [v, u] is the weight of the edge u -> v.
    features : tuple of int
        Of a label, an edge, a state, the readout (0 for none) and an output.
    activation, output : str
        Activations of edges, states and readout, and of the output.

    Raises
    ------
    ModelError
        A matrix that is not square, or without an edge.
    """
    from scipy.sparse import csr_array

    given = checked_matrix("adjacency", adjacency)
    nodes = given.shape[0]
    if given.shape[0] != given.shape[1] or not given.nnz:
        raise ModelError(
            f"adjacency has shape {given.shape} and {given.nnz} edges; allowed: (nodes, nodes), at "
            "least one edge"
        )
    target, source = given.nonzero()
    edges = np.arange(given.nnz)
    ones = np.ones(given.nnz)
    reads_source = csr_array((ones, (edges, source)), shape=(given.nnz, nodes))
    reads_target = csr_array((ones, (edges, target)), shape=(given.nnz, nodes))
    sums = csr_array((given.data, (target, edges)), shape=(nodes, given.nnz))
    label, edge, state, readout, outputs = features
    populations = [
        Population(INPUT, (nodes, label), "linear", clamped=True),
        Population("edge", (given.nnz, edge), activation),
        Population("state", (nodes, state), activation),
    ]
    ends: Overs = {
        (INPUT, "edge"): sites.Terms([reads_target, reads_source]),
        ("state", "edge"): sites.Graph(reads_source),
        ("edge", "state"): sites.Graph(sums),
    }
    last = "state"
    if readout:
        populations.append(Population("readout", (nodes, readout), activation))
        ends["state", "readout"] = sites.Pointwise()
        last = "readout"
    populations.append(Population(OUTPUT, (nodes, outputs), output))
    ends[last, OUTPUT] = sites.Pointwise()
    return populations, ends


def _per_layer(key: str, given: Any, count: int) -> list[Any]:
    """Return one value per layer, from a list of them or from one for all."""
    if not isinstance(given, list):
        return [given] * count
    if len(given) != count:
        raise out_of_range(key, given, f"one value, or a list of {count}, one per layer")
    return given
