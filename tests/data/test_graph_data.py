"""Graphs as data: from NetworkX, SciPy and MATLAB, and files that are not to be trusted."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.io import savemat

from neurosim.data import datasets, mat
from neurosim.errors import DataError, FileError, ModelError, NeurosimError

SETS = ("trainSet", "validationSet", "testSet")


def random_graphs(seed: int, count: int, directed: bool) -> list[nx.Graph]:
    """Return graphs of different sizes with weights, features and some targets."""
    rng = np.random.default_rng(seed)
    graphs = []
    for _ in range(count):
        graph = nx.gnp_random_graph(
            int(rng.integers(1, 7)), 0.5, seed=int(rng.integers(1000)), directed=directed
        )
        for node in graph:
            graph.nodes[node]["x"] = rng.normal(size=2)
            if rng.random() < 0.7:
                graph.nodes[node]["y"] = int(rng.integers(3))
        for edge in graph.edges:
            graph.edges[edge]["weight"] = float(rng.uniform(0.1, 1))
        graphs.append(graph)
    return graphs


@given(seed=st.integers(0, 10**6), count=st.integers(1, 3), directed=st.booleans())
@settings(max_examples=30, deadline=None)
def test_graphs_from_networkx(seed: int, count: int, directed: bool) -> None:
    """Every arc stands once, at [post, pre], within its own block."""
    graphs = random_graphs(seed, count, directed)
    data = datasets.graph_from_networkx(graphs)
    arcs = {}
    start = 0
    for number, graph in enumerate(graphs):
        for pre, post, about in graph.edges(data=True):
            arcs[start + post, start + pre] = about["weight"]
            if not directed:
                arcs[start + pre, start + post] = about["weight"]
        nodes = slice(start, start + len(graph))
        assert (data.graph[nodes] == number).all()
        assert data.names[nodes] == tuple(graph.nodes)
        for place, node in enumerate(graph):
            assert_array_equal(data.X[start + place], graph.nodes[node]["x"])
            if data.Y is not None:
                assert data.Y[start + place] == graph.nodes[node].get("y", -1)
        start += len(graph)
    post, pre = data.adjacency.tocoo().coords
    found = dict(
        zip(zip(post.tolist(), pre.tolist(), strict=True), data.adjacency.tocoo().data, strict=True)
    )
    assert found == arcs
    order = list(range(count))[::-1]
    again = data.select(order)
    blocks = [data.adjacency[data.graph == n][:, data.graph == n] for n in order]
    assert_array_equal(again.adjacency.toarray(), sparse.block_diag(blocks).toarray())
    nodes = np.concatenate([np.flatnonzero(data.graph == n) for n in order])
    assert_array_equal(again.X, data.X[nodes])
    if data.Y is None:
        assert again.Y is None
    else:
        assert_array_equal(again.Y, data.Y[nodes])
    sizes = [len(graphs[n]) for n in order]
    assert_array_equal(again.graph, np.repeat(np.arange(count), sizes))
    assert again.names == sum((data.select([n]).names for n in order), ())


def test_without_attributes() -> None:
    club = nx.karate_club_graph()
    data = datasets.graph_from_networkx(club, weight="none")
    assert (data.X.shape, data.Y, data.classes) == ((34, 0), None, None)
    assert data.adjacency.nnz == 2 * 78
    X, Y = data.patterns
    assert (X.shape, Y) == ((1, 34, 0), None)
    assert str(data) == "1 graphs, 34 nodes, 156 arcs, 0 features, no classes"


@given(seed=st.integers(0, 10**6), loops=st.booleans())
@settings(max_examples=20, deadline=None)
def test_normalised(seed: int, loops: bool) -> None:
    """Against dense products, node by node."""
    (graph,) = random_graphs(seed, 1, directed=False)
    data = datasets.graph_from_networkx(graph)
    dense = data.adjacency.toarray() + loops * np.eye(len(graph))
    mean, symmetric = np.zeros_like(dense), np.zeros_like(dense)
    for post, pre in np.argwhere(dense):
        mean[post, pre] = dense[post, pre] / dense[post].sum()
        symmetric[post, pre] = dense[post, pre] / np.sqrt(dense[post].sum() * dense[pre].sum())
    assert_allclose(data.normalised(loops=loops).toarray(), mean, atol=1e-15)
    if not loops:
        assert_array_equal(data.normalised().toarray(), data.normalised("mean").toarray())
        assert_allclose(data.normalised().toarray(), mean, atol=1e-15)
    assert_allclose(data.normalised("symmetric", loops=loops).toarray(), symmetric, atol=1e-15)


def test_a_mean_is_over_the_arcs_that_arrive() -> None:
    directed = datasets.graph_from_scipy([[0, 1, 3], [0, 0, 2], [0, 0, 0]])
    mean = [[0, 0.25, 0.75], [0, 0, 1], [0, 0, 0]]
    assert_allclose(directed.normalised().toarray(), mean, atol=1e-15)


def test_refused_normalisations() -> None:
    directed = datasets.graph_from_scipy([[0, 1], [0, 0]])
    with pytest.raises(DataError, match="not symmetric"):
        directed.normalised("symmetric")
    with pytest.raises(ModelError, match="kind = 'row'; allowed: mean, symmetric"):
        directed.normalised("row")
    with pytest.raises(DataError, match="weight -1; allowed: >= 0"):
        datasets.graph_from_scipy([[0, -1], [-1, 0]]).normalised()
    with pytest.raises(DataError, match=r"graphs = 0; allowed: a list of numbers; try \[0\]"):
        directed.select(0)  # type: ignore[arg-type]
    for graphs in ([], [0, 0]):
        with pytest.raises(DataError, match="each once"):
            directed.select(graphs)
    with pytest.raises(ModelError, match="graphs = 1; allowed: a whole number >= 0 and <= 0"):
        directed.select([1])


def test_arrays_are_copied() -> None:
    matrix, X = sparse.csr_array(np.eye(2)), np.ones((2, 1))
    data = datasets.graph_from_scipy(matrix, X)
    matrix.data[:], X[:] = 7, 7
    assert_array_equal(data.adjacency.toarray(), np.eye(2))
    assert_array_equal(data.X, [[1], [1]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"adjacency": np.ones((2, 3))}, r"shape \(2, 3\); allowed: \(nodes, nodes\)"),
        ({"adjacency": np.ones(3)}, r"shape \(3,\)"),
        ({"adjacency": np.zeros((0, 0))}, "at least one node"),
        ({"adjacency": [[np.nan]]}, "adjacency"),
        ({"adjacency": sparse.csr_array([[np.inf]])}, "adjacency"),
        ({"adjacency": sparse.csr_array([[1j]])}, "complex"),
        (
            {"adjacency": np.eye(2), "X": np.ones(2)},
            r"X has shape \(2,\); allowed: \(2, features\)",
        ),
        ({"adjacency": np.eye(2), "X": np.ones((3, 1))}, r"X has shape \(3, 1\)"),
        ({"adjacency": np.eye(2), "Y": [0, -2]}, "Y holds -2; allowed: whole numbers >= -1"),
        ({"adjacency": np.eye(2), "Y": [0, 0.5]}, "Y holds 0.5"),
        ({"adjacency": np.eye(2), "Y": [0]}, r"Y has shape \(1,\); allowed: \(2,\)"),
        ({"adjacency": np.eye(2), "graph": [0, 2]}, "without a gap"),
        ({"adjacency": np.ones((2, 2)), "graph": [0, 1]}, "arc from node 1 to node 0, which are"),
        ({"adjacency": np.eye(2), "names": ["a"]}, "names has 1 names; allowed: 2"),
    ],
)
def test_refused_arrays(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        datasets.graph_from_scipy(**arguments)


def test_refused_networkx_graphs() -> None:
    path = nx.path_graph(3)
    path.nodes[1]["x"] = 1.0
    with pytest.raises(DataError, match="node 0 has no attribute 'x'; allowed: all nodes, or none"):
        datasets.graph_from_networkx(path)
    path = nx.path_graph(3)
    path.edges[0, 1]["weight"] = 2.0
    with pytest.raises(DataError, match="1 of 2 edges have the attribute 'weight'"):
        datasets.graph_from_networkx(path)
    path = nx.path_graph(2)
    path.nodes[0]["y"] = -1
    with pytest.raises(DataError, match="is -1; allowed"):
        datasets.graph_from_networkx(path)
    path.nodes[0]["y"] = "red"
    with pytest.raises(DataError, match="attribute 'y' of a node = 'red'; allowed: a number"):
        datasets.graph_from_networkx(path)
    path = nx.path_graph(2)
    path.edges[0, 1]["weight"] = "heavy"
    with pytest.raises(DataError, match=r"'weight' of edge \(0, 1\) = 'heavy'; allowed: a number"):
        datasets.graph_from_networkx(path)
    for graphs in (nx.MultiGraph([(0, 1)]), [nx.Graph()], [3], [], None, 5):
        with pytest.raises(DataError, match="graphs"):
            datasets.graph_from_networkx(graphs)


# MATLAB


def lpgnn_set(seed: int, count: int = 3, size: int = 4, features: int = 2) -> dict[str, Any]:
    """Return one of the three sets, as the files of LP-GNN have it."""
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(count):
        upper = np.triu(rng.random((size, size)) < 0.5, 1).astype(float)
        blocks.append(upper + upper.T)
    nodes = count * size
    return {
        "graphNum": float(count),
        "nNodes": float(nodes),
        "connMatrix": sparse.csc_array(sparse.block_diag(blocks)),
        "nodeLabels": rng.normal(size=(features, nodes)),
        "targets": np.where(rng.random((1, nodes)) < 0.5, -1, 1).astype(np.int16),
    }


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("features", [1, 2])
def test_lpgnn(tmp_path: Path, compressed: bool, features: int) -> None:
    sets = {name: lpgnn_set(seed, features=features) for seed, name in enumerate(SETS)}
    savemat(tmp_path / "d.mat", {"dataSet": sets}, do_compression=compressed)
    found = datasets.lpgnn(tmp_path / "d.mat")
    assert list(found) == ["train", "validation", "test"]
    for data, truth in zip(found.values(), sets.values(), strict=True):
        assert_array_equal(data.adjacency.toarray(), truth["connMatrix"].toarray())
        assert_array_equal(data.X, truth["nodeLabels"].T)
        assert data.Y is not None
        assert_array_equal(data.Y, truth["targets"].ravel() > 0)
        assert data.graph.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert data.classes == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"targets": np.zeros((1, 12))}, r"targets holds \[0"),
        ({"graphNum": 5.0}, "12 nodes in 5 graphs"),
        ({"graphNum": 0.5}, "graphNum"),
        ({"nodeLabels": np.ones((2, 11))}, r"X has shape \(11, 2\)"),
        ({"connMatrix": sparse.csc_array(np.ones((12, 12)))}, "arcs within a graph"),
        ({"connMatrix": "text"}, r"lacks dataSet\.trainSet\.connMatrix"),
        ({"targets": sparse.csc_array(np.ones((1, 12)))}, "targets is not an array"),
    ],
)
def test_refused_lpgnn_sets(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    sets = {name: lpgnn_set(0) | change for name in SETS}
    savemat(tmp_path / "d.mat", {"dataSet": sets})
    with pytest.raises(NeurosimError, match=words):
        datasets.lpgnn(tmp_path / "d.mat")


def test_other_mat_files(tmp_path: Path) -> None:
    path = tmp_path / "d.mat"
    with pytest.raises(ModelError, match="path = None; allowed: "):
        datasets.lpgnn(None)  # type: ignore[arg-type]
    with pytest.raises(FileError, match="does not exist"):
        datasets.lpgnn(path)
    sets = {name: lpgnn_set(0) for name in SETS}
    savemat(path, {"dataSet": sets})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FileError, match="is damaged"):
        datasets.lpgnn(path)
    savemat(path, {"dataSet": sets}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FileError, match="is damaged"):
        datasets.lpgnn(path)
    for raw in (b"MATLAB 7.3" + bytes(118) + whole[128:], b"\x89HDF\r\n\x1a\n" + bytes(200)):
        path.write_bytes(raw)
        with pytest.raises(FileError, match="not a MATLAB file of version 5"):
            datasets.lpgnn(path)
    savemat(path, {"other": 1.0})
    with pytest.raises(FileError, match=r"lacks dataSet\.trainSet\.connMatrix"):
        datasets.lpgnn(path)


def mat_bytes(*elements: bytes) -> bytes:
    header = b"MATLAB 5.0".ljust(124) + b"\x00\x01IM"
    return header + b"".join(elements)


def element(kind: int, value: bytes) -> bytes:
    padding = b"" if kind == mat.COMPRESSED else bytes(-len(value) % 8)
    return struct.pack("<II", kind, len(value)) + value + padding


def matrix(of_class: int, dimensions: tuple[int, ...], *content: bytes) -> bytes:
    flags = element(mat.UINT32, struct.pack("<II", of_class, 0))
    sizes = element(mat.INT32, struct.pack(f"<{len(dimensions)}i", *dimensions))
    return element(mat.MATRIX, flags + sizes + element(mat.INT8, b"v") + b"".join(content))


NUMBER = element(9, struct.pack("<d", 1.5))


def structure(inner: bytes, dimensions: tuple[int, ...] = (1, 1)) -> bytes:
    names = element(mat.INT32, struct.pack("<i", 4)) + element(mat.INT8, b"in\0\0")
    return matrix(mat.STRUCT, dimensions, names, inner)


def nested(depth: int) -> bytes:
    inner = matrix(6, (1, 1), NUMBER)
    for _ in range(depth):
        inner = structure(inner)
    return inner


def sparse_matrix(rows: list[int], starts: list[int], dimensions: tuple[int, int]) -> bytes:
    return matrix(
        mat.SPARSE,
        dimensions,
        element(mat.INT32, struct.pack(f"<{len(rows)}i", *rows)),
        element(mat.INT32, struct.pack(f"<{len(starts)}i", *starts)),
        element(9, struct.pack(f"<{len(rows)}d", *range(1, len(rows) + 1))),
    )


def test_mat_files_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "d.mat"
    path.write_bytes(mat_bytes(nested(3)))
    assert mat.read_mat(path)["v"]["in"]["in"]["in"] == 1.5
    path.write_bytes(mat_bytes(sparse_matrix([1, 0], [0, 1, 2], (2, 2))))
    assert_array_equal(mat.read_mat(path)["v"].toarray(), [[0, 2], [1, 0]])
    for skipped in (matrix(1, (1, 1), nested(0)), structure(nested(0), (2, 1)), matrix(17, (1,))):
        path.write_bytes(mat_bytes(skipped))
        assert list(mat.read_mat(path).values()) == [None]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (matrix(6, (-5, 1), NUMBER), r"dimensions \(-5, 1\)"),
        (matrix(6, (1,) * 33, NUMBER), "dimensions"),
        (matrix(6, (100_000, 100_000), NUMBER), r"1 values of dimensions \(100000, 100000\)"),
        (matrix(6 + mat.COMPLEX, (1, 1), NUMBER, NUMBER), "'v' has imaginary parts"),
        (matrix(6, (1, 1), element(9, bytes(7))), "values of 7 bytes"),
        (matrix(6, (1, 1), element(16, b"text")), "values of type 16"),
        (matrix(6, (1, 1)), "a value without its values"),
        (nested(50), "nested more than 16 deep"),
        (nested(2_000), "nested more than 16 deep"),
        (structure(NUMBER), "a field of type 9"),
        (structure(b""), "without its next field"),
        (sparse_matrix([5], [0, 1], (2, 1)), "rows from 5 to 5 of 2"),
        (sparse_matrix([-1], [0, 1], (2, 1)), "rows from -1"),
        (sparse_matrix([0], [0, 9], (2, 1)), "up to 9 of 1 entries"),
        (sparse_matrix([0], [1, 1], (2, 1)), "starts of columns up to"),
        (sparse_matrix([0, 1], [0, 2, 1], (2, 2)), "starts of columns up to"),
        (sparse_matrix([0], [0, 1], (2, 10**9)), "2 starts of columns of dimensions"),
        (struct.pack("<II", mat.MATRIX, 2**32 - 1), "4294967295 bytes stated, 0 left"),
        (struct.pack("<HHI", 1, 5, 0), "5 bytes stated, 4 left"),
        (element(mat.MATRIX, element(mat.UINT32, struct.pack("<II", 6, 0))), "its dimensions"),
        (b"\0\0\0", "bytes where a tag should be"),
        (element(mat.COMPRESSED, b"not zlib"), "incorrect header check"),
        (element(mat.COMPRESSED, zlib.compress(nested(1))[:-6]), "is cut short"),
    ],
)
def test_hostile_mat_files(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "d.mat").write_bytes(mat_bytes(content))
    with pytest.raises(FileError, match=words):
        datasets.lpgnn(tmp_path / "d.mat")


def test_limits_of_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.mat"
    savemat(path, {"zeros": np.zeros(10_000)}, do_compression=True)
    monkeypatch.setattr(mat, "MOST_BYTES", 50_000)
    with pytest.raises(FileError, match="over 50000 bytes once unpacked"):
        datasets.lpgnn(path)
    monkeypatch.setattr(mat, "MOST_BYTES", 100)
    with pytest.raises(FileError, match="allowed: at most 100"):
        datasets.lpgnn(path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_mutated_mat_files_are_read_or_refused(data: Any, tmp_path_factory: Any) -> None:
    stream = io.BytesIO()
    sets = {name: lpgnn_set(0, count=1, size=2) for name in SETS}
    savemat(stream, {"dataSet": sets})
    raw = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("mutated") / "d.mat"
    path.write_bytes(raw)
    with suppress(NeurosimError):
        datasets.lpgnn(path)
