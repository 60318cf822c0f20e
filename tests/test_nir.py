"""Networks to NIR and back, also through its file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings

import neurosim as ns
from tests.helpers import problems

nir = pytest.importorskip("nir")


def same(net, twin):
    """Check that two networks have the same graph and parameters."""
    assert twin.describe() == net.describe()
    for name, w in net.weights.items():
        v = twin.weights[name]
        assert type(v) is type(w)
        if not isinstance(w, np.ndarray):
            v, w = v.toarray(), w.toarray()
        assert np.array_equal(v, w)
    for name, b in net.biases.items():
        assert np.array_equal(twin.biases[name], b)


@settings(max_examples=30, deadline=None)
@given(problem=problems.dags(l1=True))
def test_a_round_trip_loses_nothing(problem):
    same(problem[0], ns.from_nir(ns.to_nir(problem[0])))


@settings(max_examples=10, deadline=None)
@given(problem=problems.rings())
def test_neither_do_cycles(problem):
    same(problem[0], ns.from_nir(ns.to_nir(problem[0])))


def test_through_a_file(tmp_path):
    net, X, _ = problems.random_problem([5, 4, 3], 0)
    nir.write(tmp_path / "net.nir", ns.to_nir(net, ns.Flow.augmented(tau_x=7e-3)))
    graph = nir.read(tmp_path / "net.nir")
    assert np.allclose(graph.nodes["hidden1"].tau, 7e-3)
    twin = ns.from_nir(graph)
    same(net, twin)
    out = net.output
    assert np.array_equal(ns.reference.forward(net, X)[out], ns.reference.forward(twin, X)[out])


def test_a_graph_of_another_tool():
    """A chain of affine nodes: linear populations, no loss."""
    rng = np.random.default_rng(0)
    A, a, B = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=(2, 4))
    graph = nir.NIRGraph.from_list(nir.Affine(weight=A, bias=a), nir.Linear(weight=B))
    net = ns.from_nir(graph)
    x = rng.normal(size=(5, 3))
    assert np.allclose(ns.reference.forward(net, x)[net.output], (x @ A.T + a) @ B.T)
    assert not net.losses


def test_an_unknown_node_is_named():
    one = np.ones(3)
    graph = nir.NIRGraph.from_list(
        nir.Linear(weight=np.ones((3, 2))), nir.IF(r=one, v_threshold=one)
    )
    with pytest.raises(ns.ModelError, match="IF"):
        ns.from_nir(graph)


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps({"populations": [{"name": "hidden1", "sze": 3}]})]
)
def test_foreign_metadata_are_refused(text):
    net, _, _ = problems.random_problem([5, 4, 3], 0)
    graph = ns.to_nir(net)
    graph.metadata["neurosim"] = text
    with pytest.raises(ns.ModelError, match="metadata"):
        ns.from_nir(graph)


def test_a_formula_in_the_metadata_is_not_run():
    net, _, _ = problems.random_problem([5, 4, 3], 0)
    graph = ns.to_nir(net)
    described = json.loads(graph.metadata["neurosim"])
    described["populations"][1]["activation"] = "__import__('os').getcwd()"
    graph.metadata["neurosim"] = json.dumps(described)
    with pytest.raises(ns.ModelError):
        ns.from_nir(graph)
