"""Networks to NIR and back, also through its file."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

import neurosim as ns
from neurosim.nir import time_constants
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


# Graphs of other tools

RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 3))
V = RNG.normal(size=(2, 4))
X = RNG.normal(size=(5, 3))


def integrator(size, *, tau=0.01, r=1.0, v_leak=0.0):
    """A leaky integrator with the same numbers for all units, or one for each."""
    return nir.LI(*(np.full(size, value, dtype=float) for value in (tau, r, v_leak)))


def ends(n_in=3, n_out=4):
    return nir.Input(np.array([n_in])), nir.Output(np.array([n_out]))


def graph_of(edges, n_out=4, n_in=3, **nodes):
    """A graph with an input `i` and an output `o`, from edges such as "i>w w>o"."""
    first, last = ends(n_in, n_out)
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    return nir.NIRGraph({"i": first, **nodes, "o": last}, pairs)


def predicted(graph):
    net = ns.from_nir(graph)
    return ns.reference.forward(net, X)[net.output]


@pytest.mark.parametrize("through_file", [False, True])
def test_every_field_of_an_integrator_is_used(tmp_path, through_file):
    """At rest v = v_leak + r (W x + b)."""
    b, r, leak = RNG.normal(size=(3, 4))
    graph = graph_of("i>w w>v v>o", w=nir.Affine(W, b), v=integrator(4, tau=7e-3, r=r, v_leak=leak))
    if through_file:
        nir.write(tmp_path / "g.nir", graph)
        graph = nir.read(tmp_path / "g.nir")
    assert np.allclose(predicted(graph), leak + r * (X @ W.T + b), atol=1e-14, rtol=0)
    assert time_constants(graph) == {"v": 7e-3}
    assert ns.Flow.adjoint(tau_x=time_constants(graph)).time("tau_x", "v") == 7e-3


def test_an_edge_without_weights_is_the_identity():
    r = RNG.normal(size=4)
    nodes = {"w": nir.Linear(W), "a": integrator(4), "b": integrator(4, r=r, v_leak=1)}
    assert np.allclose(predicted(graph_of("i>w w>a a>b b>o", **nodes)), 1 + r * (X @ W.T))
    both = predicted(graph_of("i>w w>a w>b a>b b>o", **nodes))
    assert np.allclose(both, 1 + 2 * r * (X @ W.T))
    direct = graph_of("i>a a>o", n_in=3, n_out=3, a=integrator(3, r=2))
    assert np.allclose(predicted(direct), 2 * X)


def test_a_linear_node_before_an_integrator_and_an_output_is_a_population():
    nodes = {"w": nir.Linear(W), "a": integrator(4), "back": nir.Linear(0.1 * np.eye(4))}
    graph = graph_of("i>w w>a w>o a>back back>a", **nodes)
    net = ns.from_nir(graph)
    assert net.output == "w"
    assert set(net.projections) == {"i->w", "w->a", "a->a"}
    assert np.allclose(predicted(graph), X @ W.T)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_nodes_and_edges_has_no_meaning(seed):
    """Neither does a file, which sorts the nodes."""
    last = nir.Output(np.array([2]))
    nodes = {
        "z": nir.Input(np.array([3])),
        "b": nir.Input(np.array([3])),
        "fc.1": nir.Affine(W, RNG.normal(size=4)),
        "fc_1": nir.Linear(W),
        "fc 1": nir.Linear(V),
        "9": integrator(4, r=2),
        "c": nir.Linear(V),
        "a": integrator(2),
        "out": last,
    }
    edges = [("z", "fc.1"), ("b", "fc_1"), ("fc.1", "9"), ("fc_1", "9")]
    edges += [("9", "fc 1"), ("9", "c"), ("fc 1", "a"), ("c", "a"), ("a", "out")]
    net = ns.from_nir(nir.NIRGraph(dict(nodes), list(edges)))
    assert net.inputs == ("b", "z")
    assert net.output == "a"
    rng = np.random.default_rng(seed)
    shuffled = {name: nodes[name] for name in rng.permutation(list(nodes))}
    same(net, ns.from_nir(nir.NIRGraph(shuffled, [edges[i] for i in rng.permutation(len(edges))])))


NAMES = {
    "as torch's Sequential": ("0", "1", "2", "3"),
    "one identifier": ("fc.1", "fc_1", "fc 1", "fc-1"),
    "numbered": ("fc", "fc_2", "fc.", "fc!"),
    "the engine's": ("run", "forward", "transport_a", "node_run"),
    "foreign": ("Schicht_ü", "层", "_x", "x"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_any_names_become_different_populations(tmp_path, names):
    a, b, c, d = names
    first, last = ends(3, 2)
    nodes = {"input": first, a: nir.Linear(W), b: integrator(4), c: nir.Linear(V), d: integrator(2)}
    chain = ["input", *names, "output"]
    graph = nir.NIRGraph(nodes | {"output": last}, list(pairwise(chain)))
    assert np.allclose(predicted(graph), X @ W.T @ V.T)
    net = ns.from_nir(graph)
    nir.write(tmp_path / "g.nir", ns.to_nir(net))
    same(net, ns.from_nir(nir.read(tmp_path / "g.nir")))


TWO = np.ones(2)
REFUSED = {
    "SumPool2d": lambda: nir.SumPool2d(np.ones(2), np.ones(2), np.zeros(2)),
    "CubaLI": lambda: nir.CubaLI(TWO, TWO, TWO, TWO),
    "CubaLIF": lambda: nir.CubaLIF(TWO, TWO, TWO, TWO, TWO),
    "Delay": lambda: nir.Delay(TWO),
    "I": lambda: nir.I(TWO),
    "IF": lambda: nir.IF(TWO, TWO),
    "LIF": lambda: nir.LIF(TWO, TWO, TWO, TWO),
    "Scale": lambda: nir.Scale(TWO),
    "Threshold": lambda: nir.Threshold(TWO),
    "NIRGraph": lambda: nir.NIRGraph.from_list(nir.Linear(np.eye(2))),
}
READ = {"Affine", "Linear", "LI", "Input", "Output", "Conv1d", "Conv2d", "AvgPool2d", "Flatten"}


def test_every_kind_of_node_is_read_or_refused_by_name():
    kinds = {name for name, kind in vars(nir.ir).items() if isinstance(kind, type)}
    assert kinds - {"NIRNode", "Any", "Dict"} == set(REFUSED) | READ
    first, last = ends(2, 2)
    for kind, make in REFUSED.items():
        nodes = {"i": first, "strange": make(), "o": last}
        graph = nir.NIRGraph(nodes, [("i", "strange"), ("strange", "o")], type_check=False)
        with pytest.raises(ns.ModelError, match=f"'strange', of kind = '{kind}'; allowed: Input"):
            ns.from_nir(graph)


def test_a_field_of_a_later_version_is_refused():
    from dataclasses import make_dataclass

    later = make_dataclass("LI", [("refractory", float, 2.0)], bases=(nir.LI,), kw_only=True)
    node = later(tau=TWO, r=TWO, v_leak=TWO, refractory=2.0)
    with pytest.raises(ns.ModelError, match=r"refractory of NIR node 'a' = 2.0 cannot"):
        ns.from_nir(graph_of("i>a a>o", 2, 2, a=node))


def changed(node, **values):
    """The same node with other values of some fields, which NIR itself does not check."""
    for key, value in values.items():
        setattr(node, key, value)
    return node


@pytest.mark.parametrize(
    ("edges", "nodes", "words"),
    [
        ("i>w w>a a>o", {"a": integrator(4, tau=[1, 1, 1, 2])}, "tau of NIR node 'a' is 1 to 2 s"),
        ("i>w w>a a>o", {"a": integrator(4, tau=0)}, "tau of NIR node 'a' is 0 to 0 s"),
        ("i>w w>a a>o", {"a": integrator(4, r=np.nan)}, "r of NIR node 'a' .* not finite"),
        ("i>w w>a a>o", {"a": changed(integrator(4), r=np.ones(3))}, r"shape \(3,\); allowed: \(4"),
        ("i>w w>a a>o", {"a": changed(integrator(4), v_leak=np.ones(4) * 1j)}, "complex128"),
        ("i>w w>a a>o", {"a": changed(integrator(4), r=np.ma.ones(4))}, "MaskedArray"),
        ("i>w w>a a>o", {"w": changed(nir.Linear(W), weight=W + 0j), "a": integrator(4)}, "weight"),
        ("i>w w>a a>o", {"w": changed(nir.Linear(W), weight=W.T), "a": integrator(4)}, "shape"),
        ("i>w w>a a>o", {"w": changed(nir.Linear(W), weight=W[None]), "a": integrator(4)}, "2-D"),
        ("i>a a>o", {"a": integrator(4)}, r"'i' to 'a' .*\(4, 4\); allowed: \(4, 3\)"),
        ("i>w j>w w>o", {"j": nir.Input(np.array([3]))}, r"'w' has the sources \['i', 'j'\]"),
        (
            "i>w w>a a>o a>p",
            {"a": integrator(4), "p": ends()[1]},
            "outputs .*'a', 'a'.*allowed: one",
        ),
        ("i>w w>a", {"a": integrator(4)}, r"NIR output 'o' has the sources \[\]"),
        ("i>w w>o w>o", {}, "stands 2 times"),
        ("i>w w>o w>lost", {}, "node = 'lost'; allowed"),
        ("i>w w>o o>w", {}, "edges out of inputs and into outputs"),
        ("i>w w>o", {"o": nir.Output(np.array([5]))}, "has 5 units, 'w' before it 4"),
        ("i>w w>o", {"i": nir.Input(np.array([3, 1]))}, r"the shape \(3, 1\); allowed: one"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(edges, nodes, words):
    first, last = ends()
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    nodes = {"i": first, "w": nir.Linear(W), "o": last} | nodes
    if "w" not in edges:
        del nodes["w"]
    with pytest.raises(ns.ModelError, match=words):
        ns.from_nir(nir.NIRGraph(nodes, pairs, type_check=False))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["populations"].pop(1), "populations input, output there, hidden1, input"),
        (lambda d: d["populations"].append(d["populations"][1]), "hidden1, hidden1"),
        (lambda d: d["populations"][1].update(size=5), r"size and clamped of hidden1 are \(5"),
        (lambda d: d["projections"].pop(), "projections input->hidden1 there"),
        (lambda d: d["projections"][0].update(delay=3), "delay = 3 of"),
        (lambda d: d["projections"][1].update(feedback="random"), "feedback = 'random'"),
        (lambda d: d.update(losses=[{"population": "hidden1"}]), "outputs"),
        (lambda d: d.update(noise=1), "keys losses, noise"),
        (lambda d: d.pop("losses"), "keys populations, projections there"),
    ],
)
def test_metadata_that_say_something_else_are_refused(change, words):
    net, _, _ = problems.random_problem([5, 4, 3], 0)
    graph = ns.to_nir(net)
    described = json.loads(graph.metadata["neurosim"])
    change(described)
    graph.metadata["neurosim"] = json.dumps(described)
    with pytest.raises(ns.ModelError, match=f"metadata 'neurosim' .*{words}"):
        ns.from_nir(graph)


def test_weights_at_absent_synapses_are_refused():
    populations = [ns.Population("a", 2, clamped=True), ns.Population("b", 2)]
    projection = ns.Projection("a", "b", mask=np.eye(2, dtype=bool))
    net = ns.Network(populations, [projection], [ns.Loss("b")])
    graph = ns.to_nir(net)
    same(net, ns.from_nir(graph))
    graph.nodes["a->b"].weight[0, 1] = 1
    with pytest.raises(ns.ModelError, match="a->b has weights where its synapses are absent"):
        ns.from_nir(graph)


def test_a_population_without_a_projection_into_it_is_refused():
    """NIR would add an input before it, which a network would read as one of its own."""
    populations = [
        ns.Population("a", 2, clamped=True),
        ns.Population("b", 2),
        ns.Population("c", 2),
    ]
    projections = [ns.Projection("a", "b"), ns.Projection("c", "b")]
    with pytest.raises(ns.ModelError, match="population 'c' has no incoming projection"):
        ns.to_nir(ns.Network(populations, projections, [ns.Loss("b")]))
