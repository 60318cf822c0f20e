"""Networks with sites in model files: three builders, graphs with `over`, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.experiments import modelfile
from neurosim.model import sites


def _network(text: str, tmp_path: Path) -> ns.Network:
    path = tmp_path / "model.toml"
    path.write_text(f'{text}\n[flow]\npreset = "adjoint"\n[data]\nname = "digits"\n')
    return modelfile.load(path).network()


CONVOLUTIONAL = """
[network.convolutional]
shape = [6, 6, 2]
channels = [3]
outputs = 4
"""
RECURRENT = """
[network.recurrent]
steps = 4
features = 2
hidden = 3
outputs = 5
"""
ADJACENCY = """
[network.graph]
adjacency = [[0, 1], [1, 0]]
features = 2
state = 3
outputs = 2
edge = 4
"""
BUILDERS = {
    CONVOLUTIONAL: ns.Network.convolutional([6, 6, 2], [3], outputs=4, seed=3),
    RECURRENT: ns.Network.recurrent(4, 2, 3, 5, seed=3),
    ADJACENCY: ns.Network.graph([[0, 1], [1, 0]], 2, 3, 2, edge=4, seed=3),
}


@pytest.mark.parametrize(("text", "expected"), BUILDERS.items())
def test_builders_with_sites(text: str, expected: ns.Network, tmp_path: Path) -> None:
    net = _network(f"[network]\nseed = 3\n{text}", tmp_path)
    assert net.describe() == expected.describe()
    for name, w in expected.weights.items():
        np.testing.assert_array_equal(net.weights[name], w)


GRAPH = """
[[network.populations]]
name = "input"
size = [4, 4, 1]
clamped = true

[[network.populations]]
name = "hidden"
size = [2, 2, 3]

[[network.populations]]
name = "output"
size = 2

[[network.projections]]
pre = "input"
post = "hidden"
over = {over}

[[network.projections]]
pre = "hidden"
post = "output"
"""


def test_projections_over_sites(tmp_path: Path) -> None:
    over = '{ kind = "conv", kernel = 3, stride = 2 }'
    net = _network(GRAPH.replace("{over}", over), tmp_path)
    assert net.populations["hidden"].shape == (2, 2, 3)
    assert net.projections["input->hidden"].over == sites.Conv(3, 2)
    assert net.weights["input->hidden"].shape == (9, 3, 1)


HUGE = "{ shape = [1000000000, 16], rows = [], columns = [], values = [] }"
REFUSED = {
    '{ kind = "conv", kernel = 3 }': "sites of hidden",
    '{ kind = "conv", kernel = 1000000 }': "kernel = 1000000",
    '{ kind = "convolution" }': "kind of over",
    '"pointwise"': "sites of hidden",
    f'{{ kind = "graph", terms = [{HUGE}] }}': "shape of over",
    '{ kind = "terms", terms = "import os" }': "terms",
    "3": "over of input->hidden = 3",
}


@pytest.mark.parametrize(("over", "words"), REFUSED.items())
def test_refuses_by_name(over: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        _network(GRAPH.replace("{over}", over), tmp_path)


TOO_LARGE = {
    CONVOLUTIONAL.replace("[6, 6, 2]", "[4000, 4000, 1]"): "units of network",
    RECURRENT.replace("steps = 4", "steps = 1000000"): "units of network",
    f"[network]\nsizes = [2, 3]\n{RECURRENT}": "network.sizes beside",
    ADJACENCY.replace(", [1, 0]]", "]"): "adjacency has shape",
    ADJACENCY.replace("[1, 0]]", "[1]]"): "adjacency",
    CONVOLUTIONAL.replace("[6, 6, 2]", "[]"): "shape",
    CONVOLUTIONAL.replace("[3]", "[]"): "channels",
}


@pytest.mark.parametrize(("text", "words"), TOO_LARGE.items())
def test_refuses_builders_by_name(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        _network(text, tmp_path)


@pytest.mark.parametrize("name", ["conv", "rows"])
def test_built_in_models_are_backpropagation(name: str) -> None:
    model = modelfile.load(name)
    net, data = model.network(), model.data()
    X, Y = data.X[:4], data.Y[:4]
    exact = ns.reference.backprop(net, X, Y)
    run = model.simulation().relax(X, Y, duration=model.schedule().present)
    for n in net.neurons:
        np.testing.assert_allclose(run.lam[n], exact.lam[n], atol=1e-12)
