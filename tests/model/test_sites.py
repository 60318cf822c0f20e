"""Sites: their matrices against SciPy, networks with shared weights, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate
from scipy.sparse import csr_array

import neurosim as ns
from neurosim.data.patterns import patterns, targets
from neurosim.model import sites
from neurosim.model.network import Network
from neurosim.model.overs import over_of
from neurosim.model.populations import Population, Projection
from tests.helpers import shared_nets

AXES = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(AXES, st.data())
def test_convolution_is_scipys_correlation(shape: list[int], data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, size)) for size in shape]
    stride = [data.draw(st.integers(1, 3)) for _ in shape]
    padding = data.draw(st.sampled_from(["same", "valid", 1]))
    conv = sites.Conv(tuple(kernel), tuple(stride), padding)
    pads = {"same": [k // 2 for k in kernel], "valid": [0] * len(shape), 1: [1] * len(shape)}
    rng = np.random.default_rng(sum(shape))
    x, w = rng.normal(size=shape), rng.normal(size=kernel)
    padded = np.pad(x, [(p, p) for p in pads[padding]])
    steps = tuple(slice(None, None, s) for s in stride)
    expected = correlate(padded, w, "valid")[steps]
    matrices = conv.matrices(tuple(shape))
    assert conv.post_sites(tuple(shape)) == expected.shape
    assert len(matrices) == w.size
    total = sum(
        value * (matrix @ x.ravel()) for value, matrix in zip(w.ravel(), matrices, strict=True)
    )
    np.testing.assert_allclose(total, expected.ravel(), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(AXES, st.data())
def test_pool_is_the_mean_of_blocks(blocks: list[int], data: st.DataObject) -> None:
    size = [data.draw(st.integers(1, 3)) for _ in blocks]
    shape = tuple(np.multiply(blocks, size))
    x = np.random.default_rng(1).normal(size=shape)
    split = x.reshape([n for pair in zip(blocks, size, strict=True) for n in pair])
    expected = split.mean(axis=tuple(range(1, 2 * len(blocks), 2)))
    pool = sites.Pool(tuple(size))
    (matrix,) = pool.matrices(shape)
    np.testing.assert_allclose(matrix @ x.ravel(), expected.ravel(), atol=1e-12)
    assert pool.post_sites(shape) == tuple(blocks)


def test_lag_site_and_pointwise_read_what_they_say() -> None:
    x = np.arange(12.0).reshape(4, 3)
    (lag,) = sites.Lag(2).matrices((4, 3))
    shifted = np.zeros_like(x)
    shifted[2:] = x[:-2]
    np.testing.assert_array_equal((lag @ x.ravel()).reshape(4, 3), shifted)
    (site,) = sites.Site((1, -1)).matrices((4, 3))
    assert site @ x.ravel() == [x[1, 2]]
    (same,) = sites.Pointwise().matrices((4, 3))
    np.testing.assert_array_equal(same @ x.ravel(), x.ravel())


EVERY_KIND = [
    sites.Conv(3),
    sites.Conv((1, 3), 2, "valid"),
    sites.Conv(5, padding=1),
    sites.Pool((2, 1)),
    sites.Lag(2),
    sites.Pointwise(),
    sites.Site(-1),
    sites.Graph([[0, 2.5], [1, 0]]),
    sites.Terms([np.eye(3), csr_array(np.eye(3, k=1))]),
]


@pytest.mark.parametrize("over", EVERY_KIND, ids=lambda over: over.kind)
def test_describes_itself_in_plain_values(over: sites.Over) -> None:
    described = json.loads(json.dumps(over.describe()))
    assert over_of("over", described) == over
    assert hash(over_of("over", described)) == hash(over)


@pytest.mark.parametrize("kind", shared_nets.KINDS)
@pytest.mark.parametrize("shared", [True, False])
def test_networks_survive_descriptions_and_graphs(kind: str, shared: bool) -> None:
    net = shared_nets.network(kind, 1, shared=shared)
    description = json.loads(json.dumps(net.describe()))
    twins = [
        Network.from_description(description, net.weights, net.biases),
        Network.from_networkx(net.to_networkx()),
        net.copy(),
    ]
    X, _ = shared_nets.data(net, 1)
    for twin in twins:
        assert twin.populations == net.populations
        for n, x in ns.reference.forward(net, X).items():
            # a graph may sum the projections onto a population in another order
            np.testing.assert_allclose(ns.reference.forward(twin, X)[n], x, atol=1e-14)


def test_shapes_and_spread_of_shared_weights() -> None:
    net = Network.convolutional((16, 16, 4), [32], kernel=3, outputs=3, gain=1.5, seed=3)
    w = net.weights["input->hidden1"]
    assert w.shape == (9, 32, 4)
    assert w.std() == pytest.approx(1.5 / np.sqrt(36), rel=0.05)
    assert net.biases["hidden1"].shape == (32,)
    assert net.biases["output"].shape == (3,)
    apart = Network.convolutional((6, 6, 2), [3], outputs=3, shared=False, seed=3)
    assert apart.weights["input->hidden1"].shape == (108, 72)
    assert apart.biases["hidden1"].shape == (108,)
    orthogonal = Network.recurrent(5, 2, 8, 3, gain=1.0).weights["hidden1->hidden1"][0]
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(8), atol=1e-12)


def test_without_over_weights_are_dense_whatever_the_shapes() -> None:
    populations = [Population("input", (2, 3), clamped=True), Population("output", (4, 5))]
    net = Network(populations, [Projection("input", "output")])
    assert net.weights["input->output"].shape == (20, 6)
    assert net.biases["output"].shape == (20,)


def test_pools_have_no_parameters() -> None:
    net = Network.convolutional((4, 4, 1), [2], pool=2, outputs=3)
    assert net.n_parameters == 9 * 2 + 2 + 2 * 2 * 2 * 3 + 3 + 2
    assert not net.projections["hidden1->pool1"].plastic


def test_data_may_have_axes_of_sites() -> None:
    net = Network.recurrent(3, 2, 4, 5, read="every")
    X = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(patterns(net, X)["input"], X.reshape(2, 6))
    np.testing.assert_array_equal(patterns(net, X.reshape(2, 6))["input"], X.reshape(2, 6))
    Y = [[0, -1, 4], [1, 2, -1]]
    encoded = targets(net, Y, 2)["output"].reshape(2, 3, 5)
    assert encoded[0, 0].tolist() == [1, 0, 0, 0, 0]
    assert not encoded[0, 1].any()
    assert encoded.sum() == 4
    np.testing.assert_array_equal(targets(net, encoded, 2)["output"], encoded.reshape(2, 15))


def test_sites_without_a_target_add_no_loss_and_no_slope() -> None:
    net = Network.recurrent(3, 2, 4, 5, read="every", seed=1)
    X = np.random.default_rng(0).normal(size=(1, 3, 2))
    only = ns.reference.backprop(net, X, [[2, -1, -1]])
    assert not only.lam["output"].reshape(3, 5)[1:].any()
    parts = [
        ns.reference.backprop(net, X, np.where(np.arange(3) == t, 2, -1)[None]) for t in range(3)
    ]
    whole = ns.reference.backprop(net, X, [[2, 2, 2]])
    assert whole.loss == pytest.approx(sum(part.loss for part in parts))
    for n in net.neurons:
        np.testing.assert_allclose(whole.lam[n], sum(part.lam[n] for part in parts), atol=1e-14)


def _pair(over: Any, pre: Any = (4, 4, 1), post: Any = (4, 4, 2), **options: Any) -> Network:
    populations = [Population("input", pre, clamped=True), Population("hidden", post)]
    return Network(populations, [Projection("input", "hidden", over=over, **options)])


REFUSED = [
    (lambda: _pair(sites.Conv(3, stride=2)), r"sites of hidden.*\(4, 4\).*\(2, 2\)"),
    (lambda: _pair(sites.Pool(3)), "divisor of 4"),
    (lambda: _pair(sites.Pool(2), post=(2, 2, 2)), "features of hidden = 2.*allowed: 1"),
    (lambda: _pair(sites.Lag(4)), "steps = 4"),
    (lambda: _pair(sites.Site(16), post=3), "one number per axis"),
    (lambda: _pair(sites.Site((4, 0)), post=3), "-4 to 3"),
    (lambda: _pair(sites.Graph(np.eye(3))), "3 columns over 16 sites"),
    (lambda: _pair("pointwise", pre=16, post=(4, 4, 2)), "sites of hidden"),
    (lambda: _pair(sites.Conv(3), pre=16), "no sites"),
    (lambda: _pair(sites.Conv(99)), "kernel = 99"),
    (lambda: sites.Conv(8).post_sites((3,)), "kernel = 8.*1 to 7 over 3 sites"),
    (lambda: sites.Conv(0), "kernel = 0"),
    (lambda: sites.Conv(3, padding="full"), "padding = 'full'"),
    (lambda: sites.Conv(2.5), "kernel = 2.5"),
    (lambda: sites.Pool(2, "max"), "how = 'max'"),
    (lambda: sites.Terms([]), "terms"),
    (lambda: sites.Terms([np.eye(2), np.eye(3)]), "one shape"),
    (lambda: sites.Graph(np.full((2, 2), np.nan)), "terms holds nan"),
    (lambda: sites.Graph([[1, 1j]]), "imaginary|complex"),
    (lambda: sites.Graph(nx.path_graph(4)), "terms = .*try datasets.graph_from_networkx"),
    (lambda: _pair("convolution"), "kind of over"),
    (lambda: _pair({"kind": "conv", "size": 3}), "argument of conv"),
    (lambda: _pair({"kind": "conv"}), "kernel"),
    (lambda: _pair(3), "over of input->hidden = 3"),
    (lambda: _pair(sites.Conv(3), mask=np.ones((32, 16))), "mask of input->hidden beside over"),
    (lambda: _pair(None, shared=False), "shared of input->hidden"),
    (lambda: _pair(sites.Conv(3), weights=np.ones((9, 1, 2))), r"\(9, 2, 1\)"),
    (lambda: _pair(sites.Conv(3), shared=False, init="orthogonal"), "init"),
    (lambda: _pair(sites.Conv(3), shared=False, weights=np.ones((32, 16))), "connects no sites"),
    (lambda: Population("a", (3, 0)), "size of a = 0"),
    (lambda: Population("a", ()), "size of a"),
    (lambda: Population("a", 7, shape=(2, 3)), "size of a = 7"),
    (lambda: Network.convolutional((8, 8), [3], stride=[1, 2]), "stride"),
    (lambda: Network.convolutional(64, [3]), "shape = 64"),
    (lambda: Network.convolutional((8, 8, 1), []), "channels"),
    (lambda: Network.recurrent(5, 2, 3, 4, read="first"), "read"),
    (lambda: Network.graph(np.zeros((3, 3)), 1, 2, 3), "0 edges"),
    (lambda: Network.graph(np.ones((3, 2)), 1, 2, 3), "square|nodes"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_refuses_by_name(make: Any, words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        make()


def test_refuses_what_shared_weights_cannot_honour() -> None:
    net = shared_nets.network("conv", 1)
    X, Y = shared_nets.data(net, 1)
    direct = ns.Plasticity("dw/dt = tanh(delta_post*x_pre*w)/tau_w : 1")
    ruled = Network(
        list(net.populations.values()),
        [
            Projection(q.pre, q.post, over=q.over, plasticity=direct if q.plastic else None)
            for q in net.projections.values()
        ],
        list(net.losses.values()),
    )
    with pytest.raises(ns.ModelError, match="does not separate"):
        ns.Simulation(ruled, ns.Flow.adjoint())
    with pytest.raises(ns.ModelError, match="dale with input->one"):
        ns.Simulation(net, ns.Flow.adjoint(), imperfections=[ns.Dale()])
    with pytest.raises(ns.ModelError, match="grow with input"):
        ns.grow(net, {"one": [0]})
    sim = ns.Simulation(net, ns.Flow.adjoint())
    with pytest.raises(ns.ModelError, match="Pruning with input"):
        sim.train(X, Y, ns.Pruning(schedule=ns.Simultaneous(duration="10 ms")))
    with pytest.raises(ns.ModelError, match="input->one shares its weights"):
        ns.rivals.predictive_coding(net, X, Y)
    with pytest.raises(ns.DataError, match="shape"):
        ns.reference.forward(net, np.zeros((2, 5)))
    with pytest.raises(ns.ModelError):
        net.projections["input->one"] = Projection("input", "one")


def test_what_messages_advise_holds() -> None:
    pytest.importorskip("nir")
    net = Network.graph(np.eye(4), 1, 2, 3, seed=0)
    X = np.random.default_rng(0).normal(size=(2, 4, 1))
    with pytest.raises(ns.ModelError, match=r"net.unrolled\(\)"):
        ns.to_nir(net)
    back = ns.from_nir(ns.to_nir(net.unrolled()))
    expected = ns.reference.forward(net, X)["output"]
    np.testing.assert_allclose(ns.reference.forward(back, X)["output"], expected, atol=1e-14)
    apart = Network.convolutional((4, 4, 1), [2], outputs=3, seed=0, shared=False)
    X = np.random.default_rng(0).normal(size=(2, 4, 4, 1))
    assert ns.rivals.predictive_coding(apart, X, [0, 1]).method == "predictive_coding"


def test_matrices_have_one_column_per_presynaptic_site() -> None:
    terms = sites.Terms([np.ones((2, 3))])
    assert terms.post_sites((3,)) is None
    assert terms.matrices((3,))[0].shape == (2, 3)
    with pytest.raises(ns.ModelError, match="terms with 3 columns over 2 sites"):
        terms.post_sites((2,))


@pytest.mark.parametrize(("key", "least"), [("kernel", 1), ("stride", 1), ("padding", 0)])
def test_numbers_of_a_convolution_have_a_least_value(key: str, least: int) -> None:
    given = {"kernel": 3} | {key: least}
    assert getattr(sites.Conv(**given), key) == (least,)
    words = f"{key} = {least - 1}; allowed: a whole number >= {least}"
    with pytest.raises(ns.ModelError, match=words):
        sites.Conv(**given | {key: least - 1})
