"""The graph: builders, sparse weights, NetworkX and back, what is refused."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csr_array, csr_matrix

import neurosim as ns
from neurosim.model.weights import synapse_indices, synapses
from tests.helpers.problems import Problem, dags, dense, rings

IN, OUT = ns.Population("in", 3, clamped=True), ns.Population("out", 2)


def test_mlp_has_the_names_shapes_and_spread_of_the_design() -> None:
    net = ns.Network.mlp([400, 300, 10], gain=1.5, seed=3)
    assert list(net.populations) == ["input", "hidden1", "output"]
    assert list(net.weights) == ["input->hidden1", "hidden1->output"]
    assert net.weights["input->hidden1"].shape == (300, 400)
    assert net.weights["input->hidden1"].std() == pytest.approx(1.5 / 20, rel=0.02)
    assert not any(b.any() for b in net.biases.values())
    assert net.populations["output"].activation == "linear"
    assert (
        repr(net)
        == "Network(400-300-10, 2 projections, 123310 parameters, cross_entropy on output)"
    )
    again = ns.Network.mlp([400, 300, 10], gain=1.5, seed=3)
    assert all(np.array_equal(again.weights[n], w) for n, w in net.weights.items())


@settings(max_examples=25, deadline=None)
@given(problem=st.one_of(dags(l1=True), rings()))
def test_networkx_and_back(problem: Problem) -> None:
    net, X, _ = problem
    graph = net.to_networkx()
    assert isinstance(graph, nx.DiGraph)
    back = ns.Network.from_networkx(graph)
    for key, found in back.describe().items():
        assert sorted(found, key=repr) == sorted(net.describe()[key], key=repr)
    for n, w in net.weights.items():
        assert abs(back.weights[n] - w).max() == 0
    for n, x in ns.reference.forward(back, X).items():
        assert np.array_equal(x, ns.reference.forward(net, X)[n])


def test_every_attribute_of_a_networkx_graph_is_used_or_refused() -> None:
    graph = nx.DiGraph()
    graph.add_node(1, size=2, colour="red")
    graph.add_node(2, size=1, bias=[0.5], loss=ns.Loss("before_it_was_renamed", "mse", weight=2.0))
    graph.add_edge(1, 2, weights=[[1.0, 2.0]])
    renamed = nx.relabel_nodes(graph, {1: "n1", 2: "n2"})
    net = ns.Network.from_networkx(renamed)
    np.testing.assert_array_equal(net.biases["n2"], [0.5])
    assert net.losses == {"n2": ns.Loss("n2", "mse", weight=2.0)}

    class Name:
        """A node that is not text."""

        def __str__(self) -> str:
            return "n2"

    net = ns.Network.from_networkx(nx.relabel_nodes(renamed, {"n2": Name()}))
    np.testing.assert_array_equal(net.biases["n2"], [0.5])
    for change, message in (
        (lambda g: g.nodes["n2"].update(activaton="relu"), "did you mean 'activation'"),
        (lambda g: g.edges["n1", "n2"].update(weight=0.5), "did you mean 'weights'"),
        (lambda g: g.nodes["n1"].update(bias=[1.0, 1.0]), "a key of biases = 'n1'"),
    ):
        wrong = renamed.copy()
        change(wrong)
        with pytest.raises(ns.ModelError, match=message):
            ns.Network.from_networkx(wrong)
    with pytest.raises(ns.ModelError, match="allowed: a DiGraph"):
        ns.Network.from_networkx(nx.Graph(renamed))


def test_any_networkx_graph_with_sizes_is_a_network() -> None:
    graph = nx.DiGraph([("a", "b"), ("b", "c"), ("a", "c")])
    nx.set_node_attributes(graph, 4, "size")
    graph.nodes["c"]["loss"] = "mse"
    net = ns.Network.from_networkx(graph, seed=1)
    assert net.inputs == ("a",)
    assert net.losses["c"].kind == "mse"
    del graph.nodes["b"]["size"]
    with pytest.raises(ns.ModelError, match="node 'b' has no attribute 'size'"):
        ns.Network.from_networkx(graph)


@pytest.mark.parametrize("kind", [csr_array, csr_matrix, coo_array])
def test_sparse_weights_of_any_kind_become_compressed_rows(kind) -> None:
    w = np.array([[0.0, 1.5, 0.0], [2.0, 0.0, -1.0]])
    net = ns.Network([IN, OUT], [ns.Projection("in", "out", kind(w))])
    assert isinstance(net.weights["in->out"], csr_array)
    assert np.array_equal(net.weights["in->out"].toarray(), w)
    assert net.n_parameters == 3 + 2


def test_a_mask_sets_which_synapses_exist() -> None:
    mask = np.array([[1, 0, 1], [0, 0, 0]])
    net = ns.Network([IN, OUT], [ns.Projection("in", "out", mask=mask)], seed=1)
    w = net.weights["in->out"]
    assert np.array_equal(w.toarray() != 0, mask)
    given_too = ns.Network([IN, OUT], [ns.Projection("in", "out", np.ones((2, 3)), mask)])
    assert np.array_equal(given_too.weights["in->out"].toarray(), mask)


def test_a_network_keeps_its_own_weights() -> None:
    w = np.ones((2, 3))
    net = ns.Network([IN, OUT], [ns.Projection("in", "out", w)])
    twin = net.copy()
    w[:] = 5
    net.weights["in->out"][0, 0] = 7
    assert net.weights["in->out"].max() == 7
    assert twin.weights["in->out"].max() == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ns.Population("2nd", 3), r"population name = '2nd'; allowed: a letter"),
        (lambda: ns.Population("a;b", 3), r"population name = 'a;b'"),
        (lambda: ns.Population("run", 3), r"population name = 'run'"),
        (lambda: ns.Population("a", 0), r"size of a = 0; allowed: a whole number >= 1"),
        (lambda: ns.Population("a", 2.5), r"size of a = 2.5"),
        (lambda: ns.Population("transport_forward", 2), r"population name = 'transport_forward'"),
        (lambda: ns.Population("a", 2, ["tanh"]), r"activation = \['tanh'\]"),
        (lambda: ns.Population("a", 2, "tanhh"), r"did you mean 'tanh'\?"),
        (
            lambda: ns.Population("a", 2, constraint="lni"),
            r"a: constraint = 'lni'; .* did you mean 'lin'\?",
        ),
        (
            lambda: ns.Population("a", 2, constraint="g + 1"),
            r"constraint 'g \+ 1' at g = 0 = 1.0; allowed: 0",
        ),
        (
            lambda: ns.Population("a", 2, constraint="exec(g)"),
            r"a: constraint = 'exec\(g\)' is not a plain formula",
        ),
        (
            lambda: ns.Population("a", 2, constraint="tube", epsilon=-1),
            r"a: epsilon = -1; allowed: a finite number >= 0",
        ),
        (
            lambda: ns.Population("a", 2, plastic_bias=0),
            r"plastic_bias of a = 0; allowed: True or False",
        ),
        (
            lambda: ns.Population("a", 2, epsilon=0.1),
            r"epsilon = 0.1; allowed: 0 with constraint 'lin'.*'tube'",
        ),
        (
            lambda: ns.Network.mlp([3, 2], constraint={"outptu": "abs"}),
            r"population of constraint = .* mean 'output'\?",
        ),
        (lambda: ns.Network.mlp([3]), r"at least two layers"),
        (lambda: ns.Network.mlp("3-2"), r"sizes = '3-2'; allowed: a sequence, each a whole number"),
        (lambda: ns.Network.mlp([3, 2], seed=-1), r"seed = -1"),
        (lambda: ns.Network.mlp([3, 2], l1=-0.1), r"l1 of input->output = -0.1"),
        (lambda: ns.Network.mlp([3, 2, 2], group_l1=-0.1), r"row_l1 of input->hidden1 = -0.1"),
        (
            lambda: ns.Network.mlp([3, 2], group_l1=0.1),
            r"group_l1 = 0.1; allowed: 0 where no layer is hidden",
        ),
        (lambda: ns.Network.mlp([3, 2], gain=float("nan")), r"gain of input->output = nan"),
        (
            lambda: ns.Network.mlp([3, 2], loss="hinge"),
            r"loss = 'hinge'; .* did you mean 'squared_hinge'\?",
        ),
        (lambda: ns.Network([IN], []), r"no population with dynamics"),
        (lambda: ns.Network([IN, OUT, OUT], []), r"population 'out' is given twice"),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "uot")]),
            r"an end of in->uot = .* did you mean 'out'\?",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("out", "in")]),
            r"ends at a clamped population",
        ),
        (lambda: ns.Network([IN, OUT], [], [ns.Loss("in")]), r"loss on 'in', which is clamped"),
        (lambda: ns.Network([IN, OUT], [], [ns.Loss("ou")]), r"did you mean 'out'\?"),
        (
            lambda: ns.Network([IN, OUT], ["in->out"]),
            r"projection 'in->out' is a str; allowed: Projection\(...\)",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", np.ones((3, 2)))]),
            r"\(3, 2\); .* try the transpose",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", np.full((2, 3), np.nan))]),
            r"hold NaN or infinity",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", [["a"] * 3] * 2)]),
            r"are not numbers",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", mask=np.ones((3, 2)))]),
            r"mask of in->out has shape \(3, 2\)",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", mask=np.full((2, 3), 0.5))]),
            r"mask of in->out has entries of float64 other than 0 and 1",
        ),
        (
            lambda: ns.Network([IN, OUT], [ns.Projection("in", "out", mask=[[], [1]])]),
            r"mask of in->out is not an array \(.*; allowed: bool \(n_post, n_pre\) = \(2, 3\)",
        ),
        (lambda: ns.Loss("out", weight=-1), r"loss weight of out = -1"),
        (lambda: ns.Loss("out", "eps_insensitive", epsilon=-1), r"loss_epsilon of out = -1"),
    ],
)
def test_an_impossible_network_is_refused(make, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        make()


def test_a_user_supplied_sparse_matrix_stays_as_it_is() -> None:
    mine = csr_array(
        (np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 3)
    )
    net = ns.Network([IN, OUT], [ns.Projection("in", "out", mine)])
    assert mine.nnz == 3
    assert np.array_equal(net.weights["in->out"].toarray(), [[3.0, 0, 0], [0, 3.0, 0]])
    with pytest.raises(ns.ModelError, match="outside the mask"):
        ns.Network([IN, OUT], [ns.Projection("in", "out", mine, mask=np.zeros((2, 3)))])


def test_cycles_are_seen() -> None:
    ring = ns.Network(
        [IN, OUT], [ns.Projection("in", "out"), ns.Projection("out", "out", gain=0.1)]
    )
    assert ring.order() is None
    assert "cyclic" in repr(ring)
    assert ns.Network([IN, OUT], [ns.Projection("in", "out")]).order() == ["in", "out"]


def test_a_constraint_is_of_the_network_or_of_a_population() -> None:
    net = ns.Network.mlp([3, 4, 2], constraint="tube", epsilon=0.05)
    assert {
        n: (net.populations[n].constraint, net.populations[n].epsilon) for n in net.neurons
    } == {"hidden1": ("tube", 0.05), "output": ("tube", 0.05)}
    net = ns.Network.mlp(
        [3, 4, 2], constraint={"hidden1": "abs_eps"}, epsilon=0.1, plastic_bias=False
    )
    assert (net.populations["hidden1"].epsilon, net.populations["output"].constraint) == (
        0.1,
        "lin",
    )
    own = ns.Network.mlp([3, 4, 2], constraint="tube", epsilon={"hidden1": 0.1})
    assert (own.populations["hidden1"].epsilon, own.populations["output"].epsilon) == (0.1, 0.0)
    for twin in (
        net.copy(),
        ns.Network.from_networkx(net.to_networkx()),
        ns.Network.from_description(net.describe(), net.weights, net.biases),
    ):
        assert twin.describe() == net.describe()
        assert not any(twin.populations[n].plastic_bias for n in net.neurons)
    deep = ns.Network.residual([3, 2, 2], 4, plastic_bias=False)
    assert not any(deep.populations[n].plastic_bias for n in deep.neurons)


def test_exits_are_readouts_with_a_share_of_the_loss():
    """The total loss by hand; weights between layers are those without exits."""
    plain = ns.Network.mlp([5, 4, 6, 3], loss="mse", seed=3)
    net = ns.Network.mlp([5, 4, 6, 3], loss="mse", seed=3, exits={"hidden2": 0.3})
    assert list(net.losses) == ["exit2", "output"]
    assert net.output == "output"
    assert all(np.array_equal(net.weights[n], w) for n, w in plain.weights.items())
    assert list(ns.Network.mlp([5, 4, 6, 3], exits=0.5).losses) == ["exit1", "exit2", "output"]
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    h = np.tanh(
        np.tanh(X @ plain.weights["input->hidden1"].T) @ plain.weights["hidden1->hidden2"].T
    )
    early, late = (h @ net.weights[f"hidden2->{end}"].T for end in ("exit2", "output"))
    expected = (
        0.5 * ((late - Y) ** 2).sum(axis=1).mean()
        + 0.3 * 0.5 * ((early - Y) ** 2).sum(axis=1).mean()
    )
    assert ns.reference.backprop(net, X, Y).loss == pytest.approx(expected, rel=1e-12)
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=10e-3, backend="numpy").relax(
        X, Y, duration=60e-3
    )
    assert ns.alignment(run, ns.reference.backprop(net, X, Y)).max_error < 1e-12


def test_skips_jump_and_keep_the_spread_of_the_net_input():
    net = ns.Network.mlp([300, 200, 200, 300], seed=1, gain=1.5, skips=2)
    assert list(net.projections)[3:] == ["input->hidden2", "hidden1->output"]
    for name, own in {"hidden1": 300, "hidden2": 500, "output": 400}.items():
        for q in net.incoming(name):
            assert net.weights[q.name].std() == pytest.approx(1.5 / np.sqrt(own), rel=0.02)
    twin = ns.Network.mlp([3, 4, 2], seed=5, skips=0)
    assert np.array_equal(
        twin.weights["input->hidden1"], ns.Network.mlp([3, 4, 2], seed=5).weights["input->hidden1"]
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"skips": 1}, r"skips = 1; allowed: 0, or layers from 2 to 3"),
        ({"skips": 4}, r"skips = 4; allowed"),
        (
            {"exits": {"hidden9": 0.3}},
            r"population of exits = 'hidden9'; allowed: hidden1, hidden2",
        ),
        ({"exits": -0.3}, r"loss weight of exit1 = -0.3"),
    ],
)
def test_impossible_exits_and_skips_are_refused(keys, message):
    with pytest.raises(ns.ModelError, match=message):
        ns.Network.mlp([5, 4, 6, 3], **keys)


@settings(max_examples=25, deadline=None)
@given(problem=st.one_of(dags(), rings()))
def test_indices_of_synapses_are_those_of_their_values(problem: Problem) -> None:
    net, _, _ = problem
    for w in net.weights.values():
        post, pre = synapse_indices(w)
        assert np.array_equal(dense(w)[post, pre], synapses(w).ravel())
        assert (np.diff(post * w.shape[1] + pre) > 0).all()  # row by row


def test_biases_that_do_not_fit_are_refused() -> None:
    net = ns.Network([IN, OUT], [ns.Projection("in", "out")])
    for bias, message in (
        (["a", "b"], r"biases\['out'\] are not numbers"),
        (np.zeros(3), r"biases\['out'\] has shape \(3,\); allowed: \(2,\)"),
        ([0.0, np.inf], r"biases\['out'\] holds inf at index"),
    ):
        net.biases["out"] = bias
        with pytest.raises(ns.ModelError, match=message):
            net.check_parameters()


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 8), min_size=2, max_size=4),
    gain=st.floats(0.1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_orthogonal_weights_keep_lengths(sizes: list[int], gain: float, seed: int) -> None:
    """W/gain has orthonormal rows or columns, whichever are fewer; the seed decides which."""
    net = ns.Network.mlp(sizes, loss="mse", init="orthogonal", gain=gain, seed=seed)
    again = ns.Network.mlp(sizes, loss="mse", init="orthogonal", gain=gain, seed=seed)
    for name, w in net.weights.items():
        q = w / gain
        product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        assert_allclose(product, np.eye(min(q.shape)), atol=1e-12)
        assert_array_equal(w, again.weights[name])


def test_orthogonal_weights_are_uniform() -> None:
    """No direction is preferred: the mean over many draws vanishes, and no sign is fixed."""
    shape = 3, 3
    draws = [
        ns.Network.mlp([3, 3], loss="mse", init="orthogonal", seed=seed).weights["input->output"]
        for seed in range(400)
    ]
    assert np.abs(np.mean(draws, axis=0)).max() < 4 * np.sqrt(1 / 3 / len(draws))
    assert np.mean([np.linalg.det(w) > 0 for w in draws]) == pytest.approx(0.5, abs=0.1)
    assert draws[0].shape == shape


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"init": "orthogonl"}, "init of a->b = 'orthogonl'; allowed: .*did you mean 'orthogonal'"),
        ({"init": "orthogonal", "mask": np.ones((2, 2))}, "'orthogonal' beside mask"),
        ({"init": "orthogonal", "weights": np.ones((2, 2))}, "'orthogonal' beside weights"),
    ],
)
def test_an_init_that_cannot_be_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        ns.Projection("a", "b", **more)


def test_biases_start_where_they_are_asked_to() -> None:
    net = ns.Network.mlp([3, 4, 2], loss="mse", bias_init=-0.5)
    for bias in net.biases.values():
        assert_array_equal(bias, -0.5)
    back = ns.Network.from_description(net.describe(), net.weights, net.biases)
    assert back.populations == net.populations
    assert ns.Network.from_networkx(net.to_networkx()).populations == net.populations
    plain = ns.Network.mlp([3, 4, 2], loss="mse")
    assert "bias_init" not in plain.describe()["populations"][1]  # files stay as they were
    assert_array_equal(net.weights["hidden1->output"], plain.weights["hidden1->output"])


@pytest.mark.parametrize("bias", [np.inf, np.nan, "0.1", True, None])
def test_a_bias_that_is_not_a_number_is_refused(bias: Any) -> None:
    with pytest.raises(ns.ModelError, match=r"bias_init of a = .*allowed: a finite number"):
        ns.Population("a", 2, bias_init=bias)


def test_an_input_has_no_bias_to_start_with() -> None:
    with pytest.raises(ns.ModelError, match=r"bias_init of a = 1\.0; allowed: 0 where clamped"):
        ns.Population("a", 2, clamped=True, bias_init=1)


def test_a_model_file_and_an_estimator_take_the_new_keywords() -> None:
    """Neither has a list of its own in which a keyword could be missing."""
    from neurosim.estimators import SaddleRegressor
    from neurosim.experiments.modelfile import load

    net = load("xor", ["network.init=orthogonal", "network.bias_init=0.25"]).network()
    expected = ns.Network.mlp([2, 4, 1], loss="mse", init="orthogonal")
    assert_array_equal(net.weights["input->hidden1"], expected.weights["input->hidden1"])
    assert_array_equal(net.biases["hidden1"], 0.25)
    assert SaddleRegressor(init="orthogonal").get_params()["init"] == "orthogonal"
    assert SaddleRegressor(bias_init=0.1).get_params()["bias_init"] == 0.1
