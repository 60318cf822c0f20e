"""Convolutions to NIR and back, against a convolution of plain NumPy loops in NIR's axis order."""

from __future__ import annotations

import json
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim import sites
from neurosim.nir import time_constants

nir = pytest.importorskip("nir")
RNG = np.random.default_rng(0)
Array = np.ndarray


def convolved(x: Array, w: Array, b: Array, stride: Any, padding: Any) -> Array:
    """Return a convolution of (features, rows, columns), as deep-learning libraries define it."""
    (up, left), (down, right) = padding, stride
    framed = np.pad(x, [(0, 0), (up, up), (left, left)])
    high, wide = w.shape[2:]
    rows = (framed.shape[1] - high) // down + 1
    columns = (framed.shape[2] - wide) // right + 1
    found = np.zeros((len(w), rows, columns))
    for out, row, column in product(range(len(w)), range(rows), range(columns)):
        total = b[out]
        for feature, i, j in product(range(x.shape[0]), range(high), range(wide)):
            read = framed[feature, down * row + i, right * column + j]
            total += w[out, feature, i, j] * read
        found[out, row, column] = total
    return found


def integrator(shape: tuple[int, ...], **values: Any) -> Any:
    fields = {"tau": np.full(shape, 0.02), "r": np.ones(shape), "v_leak": np.zeros(shape)}
    return nir.LI(**(fields | values))


def chain(*nodes: Any, before: Any, after: Any, check: bool = True) -> Any:
    """Return a graph of nodes one after the other, between an input and an output."""
    first, last = nir.Input(np.array(before)), nir.Output(np.array(after))
    named = {"i": first} | {f"n{k}": node for k, node in enumerate(nodes)} | {"o": last}
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=check)


def same(net: ns.Network, twin: ns.Network) -> None:
    assert twin.describe() == net.describe()
    for name, w in net.weights.items():
        dense = [m if isinstance(m, np.ndarray) else m.toarray() for m in (w, twin.weights[name])]
        assert_array_equal(*dense)
    for name, b in net.biases.items():
        assert_array_equal(twin.biases[name], b)


@pytest.mark.parametrize(
    ("stride", "padding", "numbers"),
    [
        (1, 0, (0, 0)),
        (2, 1, (1, 1)),
        ((1, 2), (2, 0), (2, 0)),
        (1, "same", (1, 1)),
        (1, "valid", (0, 0)),
    ],
)
def test_a_convolution_of_another_tool(
    stride: Any, padding: Any, numbers: Any, tmp_path: Any
) -> None:
    """Also r and v_leak by feature, the node's bias, and a readout after Flatten."""
    w, b = RNG.normal(size=(3, 2, 3, 3)), RNG.normal(size=3)
    x = RNG.normal(size=(2, 5, 6))
    steps = (stride, stride) if isinstance(stride, int) else stride
    expected = convolved(x, w, b, steps, numbers)
    r, leak = RNG.normal(size=3), RNG.normal(size=3)
    by_feature = {
        "r": np.broadcast_to(r[:, None, None], expected.shape).copy(),
        "v_leak": np.broadcast_to(leak[:, None, None], expected.shape).copy(),
    }
    expected = r[:, None, None] * expected + leak[:, None, None]
    readout = RNG.normal(size=(4, expected.size))
    graph = chain(
        nir.Conv2d((5, 6), w, stride, padding, 1, 1, b),
        integrator(expected.shape, **by_feature),
        nir.Flatten({"input": np.array(expected.shape)}, 0),
        nir.Linear(readout),
        integrator((4,)),
        before=(2, 5, 6),
        after=(4,),
    )
    nir.write(tmp_path / "graph.nir", graph)
    for given in (graph, nir.read(tmp_path / "graph.nir")):
        net = ns.from_nir(given)
        assert net.populations["n1"].shape == (*expected.shape[1:], 3)
        found = ns.reference.forward(net, np.moveaxis(x, 0, -1)[None])
        maps = found["n1"].reshape(*expected.shape[1:], 3)
        assert_allclose(np.moveaxis(maps, -1, 0), expected, atol=1e-12)
        assert_allclose(found["n4"][0], readout @ expected.reshape(-1), atol=1e-12)
        assert time_constants(given) == {"n1": 0.02, "n4": 0.02}


def test_a_convolution_along_time() -> None:
    w, b, x = RNG.normal(size=(3, 2, 4)), RNG.normal(size=3), RNG.normal(size=(2, 9))
    expected = convolved(x[:, None], w[:, :, None], b, (1, 2), (0, 1))[:, 0]
    graph = chain(nir.Conv1d(9, w, 2, 1, 1, 1, b), before=(2, 9), after=expected.shape)
    net = ns.from_nir(graph)
    found = ns.reference.forward(net, x.T[None])["n0"].reshape(-1, 3).T
    assert_allclose(found, expected, atol=1e-12)


def test_convolutions_one_after_the_other_and_a_pool() -> None:
    """Without integrators each is a linear population."""
    w, v, x = (
        RNG.normal(size=(3, 1, 3, 3)),
        RNG.normal(size=(2, 3, 2, 2)),
        RNG.normal(size=(1, 6, 6)),
    )
    first = convolved(x, w, np.zeros(3), (1, 1), (1, 1))
    pooled = first.reshape(3, 3, 2, 3, 2).mean(axis=(2, 4))
    last = convolved(pooled, v, np.ones(2), (1, 1), (0, 0))
    two = np.array([2, 2])
    graph = chain(
        nir.Conv2d((6, 6), w, 1, 1, 1, 1, np.zeros(3)),
        nir.AvgPool2d(two, two, 0 * two),
        nir.Conv2d(None, v, 1, 0, 1, 1, np.ones(2)),
        before=(1, 6, 6),
        after=last.shape,
    )
    net = ns.from_nir(graph)
    found = ns.reference.forward(net, np.moveaxis(x, 0, -1)[None])["n2"].reshape(2, 2, 2)
    assert_allclose(np.moveaxis(found, -1, 0), last, atol=1e-12)


NETS = {
    "image": lambda: ns.Network.convolutional((6, 8, 2), [3, 4], stride=[1, 2], outputs=5, seed=1),
    "pools": lambda: ns.Network.convolutional((8, 8, 1), [3, 2], pool=2, outputs=4, seed=2),
    "time": lambda: ns.Network.convolutional((12, 2), [3], kernel=5, outputs=4, seed=3),
    "valid": lambda: ns.Network.convolutional((7, 7, 1), [3], padding="valid", outputs=4, seed=4),
    "own weights": lambda: ns.Network.convolutional((4, 4, 1), [2], outputs=3, shared=False),
    "unrolled": lambda: ns.Network.convolutional((4, 4, 1), [2], outputs=3).unrolled(),
}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_a_round_trip_through_a_file(make: Any, tmp_path: Any) -> None:
    net = make()
    for name in net.neurons:
        net.biases[name] = RNG.normal(size=net.biases[name].shape)
    nir.write(tmp_path / "net.nir", ns.to_nir(net, ns.Flow.adjoint(tau_x="7 ms")))
    graph = nir.read(tmp_path / "net.nir")
    twin = ns.from_nir(graph)
    same(net, twin)
    assert set(time_constants(graph).values()) == {0.007}
    X = RNG.normal(size=(2, net.populations["input"].size))
    graph.metadata.pop("neurosim")  # another tool reads linear populations
    plain = ns.from_nir(graph)
    linear = ns.Network(
        [ns.Population(n, p.shape or p.size, "linear", clamped=p.clamped) for n, p in
         net.populations.items()],
        list(net.projections.values()), [ns.Loss("output", "mse")],
    )  # fmt: skip
    linear.weights, linear.biases = net.weights, net.biases
    outputs = [ns.reference.forward(one, X)["output"] for one in (plain, linear)]
    assert_allclose(*outputs, atol=1e-12)


def test_the_nodes_of_a_written_net_compute_what_it_computes() -> None:
    """In NIR's axis order, by the loops of this file."""
    net = ns.Network.convolutional((5, 6, 2), [3], stride=2, activation="linear", outputs=4, seed=5)
    net.biases["hidden1"] = RNG.normal(size=3)
    graph = ns.to_nir(net)
    x = RNG.normal(size=(2, 5, 6))
    node, leak = graph.nodes["input->hidden1"], graph.nodes["hidden1"].v_leak
    maps = convolved(x, node.weight, node.bias, node.stride, node.padding) + leak
    expected = graph.nodes["hidden1->output"].weight @ maps.reshape(-1)
    found = ns.reference.forward(net, np.moveaxis(x, 0, -1)[None])["output"][0]
    assert_allclose(found, expected, atol=1e-12)
    assert type(graph.nodes["hidden1->output_flat"]).__name__ == "Flatten"


W = np.ones((3, 2, 3, 3))


def conv(**changes: Any) -> Any:
    fields = {
        "input_shape": (5, 5), "weight": W, "stride": 1, "padding": 1, "dilation": 1, "groups": 1,
        "bias": np.zeros(3),
    }  # fmt: skip
    node = nir.Conv2d(**fields)
    for key, value in changes.items():
        setattr(node, key, value)
    return node


LI = (3, 5, 5)
UNEVEN = np.arange(75.0).reshape(LI)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([conv(dilation=(2, 2))], r"dilation of NIR node 'n0' = \(2, 2\); allowed: 1"),
        ([conv(groups=2)], "groups of NIR node 'n0' = 2; allowed: 1"),
        ([conv(stride=(1.5, 1))], r"stride of NIR node 'n0' = \(1.5, 1\); allowed: one or 2 whole"),
        (
            [conv(stride=(0, 1))],
            r"stride of NIR node 'n0' = \(0, 1\); allowed: one or 2 whole numbers >= 1",
        ),
        ([conv(padding="full")], "padding of NIR node 'n0' = 'full'; allowed: 'same', 'valid'"),
        ([conv(padding="same", stride=2)], r"'same'; allowed: numbers.*with stride \(2, 2\)"),
        ([conv(padding="same", weight=np.ones((3, 2, 2, 2)))], "has no middle"),
        (
            [conv(padding=-1)],
            r"padding of NIR node 'n0' = -1; allowed: one or 2 whole numbers >= 0",
        ),
        ([conv(input_shape=(4, 5))], r"reads = \(2, 5, 5\); allowed: \(2, 4, 5\)"),
        ([conv(weight=np.ones((3, 1, 3, 3)))], r"reads = \(2, 5, 5\); allowed: \(1, 5, 5\)"),
        ([conv(weight=np.ones((3, 2, 3)))], r"shape of weight of NIR node 'n0' = \(3, 2, 3\)"),
        ([conv(weight=W * np.nan)], "weight of NIR node 'n0' holds values that are not finite"),
        ([conv(bias=np.zeros(2))], r"bias of NIR node 'n0' has shape \(2,\); allowed: \(3,\)"),
        ([conv(), integrator((3, 5, 4))], r"shape \(3, 5, 4\); allowed: \(3, 5, 5\)"),
        ([conv(), integrator(LI, r=UNEVEN)], "r of NIR node 'n1' is 0 to 74; allowed: one number"),
        ([conv(), integrator(LI, v_leak=UNEVEN)], "v_leak of the NIR node of 'n1' is different"),
        ([conv(), nir.Linear(np.ones((4, 75)))], r"reads 'n0'.*\(3, 5, 5\).*try a Flatten node"),
        (
            [conv(), nir.Flatten({"input": np.array(LI)}, 1), nir.Linear(np.ones((4, 75)))],
            r"flattens the axes 1 to -1 of \(3, 5, 5\); allowed: all axes",
        ),
        (
            [conv(), nir.Flatten({"input": np.array(LI)}, 0), integrator((75,))],
            "'n2' of kind LI reads the Flatten node 'n1'; allowed: Linear, Affine",
        ),
        (
            [conv(), nir.AvgPool2d(np.array([5, 5]), np.array([1, 1]), np.array([0, 0]))],
            r"stride of NIR node 'n1' = \(1, 1\); allowed: \(5, 5\), its kernel_size",
        ),
        (
            [conv(), nir.AvgPool2d(np.array([5, 5]), np.array([5, 5]), np.array([1, 1]))],
            r"padding of NIR node 'n1' = \(1, 1\); allowed: 0",
        ),
        ([conv(), nir.SumPool2d(np.ones(2), np.ones(2), np.zeros(2))], "of kind = 'SumPool2d'"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(nodes: Any, words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        ns.from_nir(chain(*nodes, before=(2, 5, 5), after=LI, check=False))


def _onto_sites() -> ns.Network:
    image, maps = (2, 2, 1), (2, 2, 3)
    return ns.Network(
        [ns.Population("a", 3, clamped=True), ns.Population("b", image), ns.Population("c", maps)],
        [ns.Projection("a", "b"), ns.Projection("b", "c", over=sites.Conv(3))],
        [ns.Loss("c", "mse")],
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ns.Network.recurrent(3, 2, 4, 2), "over pointwise.*allowed: sites.Conv, sites.Po"),
        (
            lambda: ns.Network.convolutional((3, 3, 3, 1), [2], outputs=2),
            "one or two axes of sites",
        ),
        (_onto_sites, "a->b has weights of one pair.*b has the sites of a convolution"),
        (
            lambda: ns.Network.convolutional((7, 7, 1), [2], kernel=(3, 5), padding=0, outputs=2),
            "reads one number of the kernel for both axes; allowed: a square kernel",
        ),
    ],
)
def test_what_nir_cannot_hold_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        ns.to_nir(make())


def test_a_kernel_that_is_not_square_keeps_its_axes() -> None:
    net = ns.Network.convolutional((6, 7, 1), [2], kernel=(3, 5), outputs=2, seed=6)
    graph = ns.to_nir(net)
    assert graph.nodes["input->hidden1"].weight.shape == (2, 1, 3, 5)
    same(net, ns.from_nir(graph))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["projections"][0]["over"].update(stride=[2]), "over Conv.*in the graph"),
        (lambda d: d["projections"][0].update(over={"kind": "pool", "size": [1]}), "over Pool"),
        (lambda d: d["populations"][1].update(shape=[16, 2]), r"shape of hidden1 is \(16, 2\)"),
    ],
)
def test_metadata_that_say_something_else_are_refused(change: Any, words: str) -> None:
    graph = ns.to_nir(ns.Network.convolutional((4, 4, 1), [2], outputs=3))
    described = json.loads(graph.metadata["neurosim"])
    change(described)
    graph.metadata["neurosim"] = json.dumps(described)
    with pytest.raises(ns.ModelError, match=words):
        ns.from_nir(graph)
