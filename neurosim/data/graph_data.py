"""Graphs as data: an adjacency matrix, features and targets of nodes.

Several graphs are one block-diagonal adjacency matrix. Above `mat` and `labels`. Start at
`GraphData`; `graph_from_networkx`, `graph_from_scipy` and `lpgnn` make them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.content import named
from neurosim.data.mat import read_mat
from neurosim.errors import DataError, FileError, choice, shown, whole
from neurosim.model.arrays import check_finite, real_array, refuse_lossy
from neurosim.model.display import short_repr

Array = np.ndarray

NO_TARGET = -1
NORMALISATIONS = ("mean", "symmetric")
PARTS = {"train": "trainSet", "validation": "validationSet", "test": "testSet"}
FIELDS = ("connMatrix", "nodeLabels", "targets", "graphNum")


@dataclass(frozen=True, eq=False, repr=False)
class GraphData:
    """Graphs with features and targets of their nodes.

    Attributes
    ----------
    adjacency : scipy.sparse.csr_array (nodes, nodes), unit 1
        Row *post*, column *pre*: the weight of the arc from pre to post. Several graphs are blocks.
    X : (nodes, features), unit 1
        Features; none, (nodes, 0), where the graphs have none.
    Y : (nodes,) or None
        Class labels 0, 1, ..., -1 for a node without a target. None without targets.
    graph : (nodes,)
        Number of the graph of each node, 0, 1, ...
    classes : int or None
        Number of classes.
    names : tuple
        Names of the nodes, in their order.
    """

    adjacency: Any
    X: Array
    Y: Array | None
    graph: Array
    classes: int | None = None
    names: tuple[Any, ...] = ()

    __repr__ = short_repr

    @property
    def patterns(self) -> tuple[Array, Array | None]:
        """X and Y as one pattern, (1, nodes, features) and (1, nodes); Y may be None."""
        return self.X[None], None if self.Y is None else self.Y[None]

    def __str__(self) -> str:
        graphs = int(self.graph.max()) + 1
        return (
            f"{graphs} graphs, {len(self.X)} nodes, {self.adjacency.nnz} arcs, "
            f"{self.X.shape[1]} features, {self.classes or 'no'} classes"
        )

    def normalised(self, kind: str = "mean", *, loops: bool = False) -> Any:
        """Return the adjacency matrix with the sums of its rows divided out.

        Parameters
        ----------
        kind : str
            "mean": D⁻¹ A, the mean over the arcs that arrive. "symmetric": D^(-1/2) A D^(-1/2) of
            an undirected graph. D is the diagonal of the sums of rows; a row without arcs stays 0.
        loops : bool
            Whether every node first gets an arc of weight 1 to itself.

        Returns
        -------
        scipy.sparse.csr_array (nodes, nodes)

        Raises
        ------
        ModelError
            Another kind.
        DataError
            Negative weights; "symmetric" where A is not symmetric.

        References
        ----------
        Kipf & Welling 2017, arXiv 1609.02907, eq. 2 ("symmetric" with loops).

        Examples
        --------
        >>> pair = graph_from_scipy([[0, 2], [2, 0]], [[1.0], [0.5]])
        >>> pair.normalised().toarray()
        array([[0., 1.],
               [1., 0.]])
        """
        from scipy import sparse

        choice("kind", kind, NORMALISATIONS)
        matrix = self.adjacency
        if loops:
            matrix = matrix + sparse.eye_array(len(self.X), format="csr")
        if matrix.nnz and matrix.data.min() < 0:
            raise DataError(f"adjacency has the weight {matrix.data.min():g}; allowed: >= 0")
        if kind == "symmetric" and (matrix != matrix.T).nnz:
            raise DataError(
                "adjacency is not symmetric, beside kind = 'symmetric'; allowed: an undirected "
                "graph; try kind='mean'"
            )
        return sparse.csr_array(_divided(matrix, kind))

    def select(self, graphs: Iterable[int]) -> GraphData:
        """Return some of the graphs, numbered anew in the given order.

        Parameters
        ----------
        graphs : iterable of int
            Numbers of graphs, each once.

        Raises
        ------
        ModelError
            A number that no graph has, or that is given twice.
        """
        from scipy import sparse

        if not isinstance(graphs, Iterable):
            raise DataError(f"graphs = {shown(graphs)}; allowed: a list of numbers; try [0]")
        last = int(self.graph.max())
        chosen = [whole("graphs", number, 0, last) for number in graphs]
        if not chosen or len(set(chosen)) < len(chosen):
            raise DataError(f"graphs = {chosen}; allowed: numbers from 0 to {last}, each once")
        places = [np.flatnonzero(self.graph == number) for number in chosen]
        nodes = np.concatenate(places)
        numbers = np.repeat(np.arange(len(chosen)), [len(place) for place in places])
        return GraphData(
            sparse.csr_array(self.adjacency[nodes][:, nodes]),
            self.X[nodes],
            None if self.Y is None else self.Y[nodes],
            numbers,
            self.classes,
            tuple(self.names[node] for node in nodes) if self.names else (),
        )


def graph_from_scipy(
    adjacency: Any,
    X: Any = None,
    Y: Any = None,
    *,
    graph: Any = None,
    names: Collection[Any] = (),
) -> GraphData:
    """Return graphs from an adjacency matrix and arrays; everything is copied.

    Parameters
    ----------
    adjacency : SciPy sparse array or matrix, or array (nodes, nodes)
        Row *post*, column *pre*: a message goes along the arc from pre to post. SciPy's
        `csgraph` and NetworkX write arcs the other way round: transpose theirs if the graph is
        directed.
    X : (nodes, features), optional
    Y : (nodes,), optional
        Labels 0, 1, ...; -1 for a node without a target.
    graph : (nodes,), optional
        Number of the graph of each node, 0, 1, ...; by default all nodes are of one graph.
    names : collection, optional
        Names of the nodes.

    Raises
    ------
    DataError
        Shapes that do not fit each other, numbers that are not finite, arcs between two graphs.

    Examples
    --------
    >>> print(graph_from_scipy([[0, 1], [1, 0]], [[1.0], [0.5]], [0, 1]))
    1 graphs, 2 nodes, 2 arcs, 1 features, 2 classes
    """
    matrix = _adjacency(adjacency)
    nodes = matrix.shape[0]
    features = np.zeros((nodes, 0))
    if X is not None:
        features = real_array("X", X)
    if features.ndim != 2 or len(features) != nodes:
        raise DataError(f"X has shape {features.shape}; allowed: ({nodes}, features)")
    labels = None if Y is None else _whole("Y", Y, nodes, NO_TARGET)
    numbers = np.zeros(nodes, dtype=int)
    if graph is not None:
        numbers = _whole("graph", graph, nodes, 0)
    _check_graphs(matrix, numbers)
    if names and len(names) != nodes:
        raise DataError(f"names has {len(names)} names; allowed: {nodes}, one per node")
    classes = None if labels is None else int(labels.max()) + 1
    return GraphData(matrix, features, labels, numbers, classes or None, tuple(names))


def _adjacency(adjacency: Any) -> Any:
    """Return a copy as a CSR array of floats, without stored zeros."""
    from scipy import sparse

    if not sparse.issparse(adjacency):
        adjacency = real_array("adjacency", adjacency)
        if adjacency.ndim != 2:
            raise DataError(f"adjacency has shape {adjacency.shape}; allowed: (nodes, nodes)")
    refuse_lossy("adjacency", adjacency.data if sparse.issparse(adjacency) else adjacency)
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1] or not adjacency.shape[0]:
        raise DataError(
            f"adjacency has shape {adjacency.shape}; allowed: (nodes, nodes), at least one node"
        )
    matrix = sparse.csr_array(adjacency, dtype=float, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    check_finite("adjacency", matrix.data)
    return matrix


def _whole(name: str, values: Any, nodes: int, least: int) -> Array:
    """Return a whole number per node."""
    array = real_array(name, values)
    if array.shape != (nodes,):
        raise DataError(f"{name} has shape {array.shape}; allowed: ({nodes},), one per node")
    if (array != np.round(array)).any() or array.min() < least:
        wrong = array[(array != np.round(array)) | (array < least)][0]
        raise DataError(f"{name} holds {wrong:g}; allowed: whole numbers >= {least}")
    return array.astype(int)


def _check_graphs(matrix: Any, numbers: Array) -> None:
    """Refuse numbers of graphs with a gap, and arcs between two graphs."""
    present = np.unique(numbers)
    if present[-1] != len(present) - 1:
        raise DataError(f"graph has the numbers {present[:8]}; allowed: 0, 1, ... without a gap")
    arcs = matrix.tocoo()
    post, pre = arcs.coords
    between = np.flatnonzero(numbers[post] != numbers[pre])
    if between.size:
        arc = int(between[0])
        raise DataError(
            f"adjacency has an arc from node {pre[arc]} to node {post[arc]}, which are of graphs "
            f"{numbers[pre[arc]]} and {numbers[post[arc]]}; allowed: arcs within a graph"
        )


def graph_from_networkx(
    graphs: Any, features: str | None = "x", target: str | None = "y", weight: str = "weight"
) -> GraphData:
    """Return graphs from one NetworkX graph, or from several.

    An undirected edge becomes two arcs; the edge u, v of a directed graph the arc from u to v.

    Parameters
    ----------
    graphs : networkx.Graph or DiGraph, or iterable of them
        Multigraphs are refused.
    features, target : str, optional
        Attributes of nodes: a number or a sequence of numbers; a label 0, 1, ... An attribute that
        no node has is left out; a target may lack on some nodes, features may not.
    weight : str
        Attribute of edges; 1 where no edge has it.

    Raises
    ------
    DataError
        An attribute that only some nodes or edges have, or that is not a number.

    Examples
    --------
    >>> import networkx as nx
    >>> print(graph_from_networkx(nx.path_graph(3)))
    1 graphs, 3 nodes, 4 arcs, 0 features, no classes
    """
    import networkx as nx
    from scipy import sparse

    if not isinstance(graphs, nx.Graph | Iterable):
        raise DataError(f"graphs = {shown(graphs)}; allowed: one networkx graph, or several")
    listed = [graphs] if isinstance(graphs, nx.Graph) else list(graphs)
    for graph in listed:
        if not isinstance(graph, nx.Graph) or graph.is_multigraph() or not len(graph):
            raise DataError(
                f"graphs holds {shown(graph)}; allowed: networkx.Graph or DiGraph with at "
                "least one node; try networkx.Graph(multigraph)"
            )
    if not listed:
        raise DataError(f"graphs = {shown(graphs)}; allowed: at least one graph")
    blocks = []
    names: list[Any] = []
    nodes: list[dict[str, Any]] = []
    for graph in listed:
        _check_weights(graph, weight)
        # NetworkX's rows are where edges begin
        blocks.append(nx.to_scipy_sparse_array(graph, weight=weight, dtype=float).T)
        names += list(graph.nodes)
        nodes += [graph.nodes[node] for node in graph.nodes]
    sizes = [len(graph) for graph in listed]
    return graph_from_scipy(
        sparse.block_diag(blocks, format="csr"),
        _attribute(nodes, names, features),
        _targets(nodes, target),
        graph=np.repeat(np.arange(len(listed)), sizes),
        names=names,
    )


def _check_weights(graph: Any, weight: str) -> None:
    """Refuse a weight that only some edges have."""
    having = []
    for *pair, value in graph.edges(data=weight):
        if value is not None:
            having.append(_real(f"{weight!r} of edge {tuple(pair)}", value))
    if having and len(having) < graph.number_of_edges():
        raise DataError(
            f"{len(having)} of {graph.number_of_edges()} edges have the attribute {weight!r}; "
            "allowed: all of them, or none"
        )


def _divided(matrix: Any, kind: str) -> Any:
    """Return D⁻¹ A or D^(-1/2) A D^(-1/2), see `GraphData.normalised`."""
    from scipy import sparse

    degrees = np.asarray(matrix.sum(axis=1)).ravel()
    connected = np.flatnonzero(degrees)
    factors = np.zeros(len(degrees))
    if kind == "mean":
        factors[connected] = 1 / degrees[connected]
        return sparse.diags_array(factors) @ matrix
    factors[connected] = 1 / np.sqrt(degrees[connected])
    return sparse.diags_array(factors) @ matrix @ sparse.diags_array(factors)


def _real(name: str, value: Any) -> float:
    """Return a number as a float.

    Raises
    ------
    DataError
        Anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise DataError(f"{name} = {shown(value)}; allowed: a number")
    return float(value)


def _attribute(nodes: list[dict[str, Any]], names: list[Any], name: str | None) -> Array | None:
    """Return an attribute of all nodes as features; None if no node has it."""
    if name is None or not any(name in node for node in nodes):
        return None
    for node, label in zip(nodes, names, strict=True):
        if name not in node:
            raise DataError(
                f"node {label!r} has no attribute {name!r}; allowed: all nodes, or none"
            )
    rows = real_array(f"attribute {name!r} of the nodes", [node[name] for node in nodes])
    return rows.reshape(len(nodes), -1)


def _targets(nodes: list[dict[str, Any]], name: str | None) -> list[Any] | None:
    """Return an attribute as labels, -1 for nodes without it; None if no node has it."""
    if name is None or not any(name in node for node in nodes):
        return None
    labels = []
    for node in nodes:
        label = float(NO_TARGET)
        if name in node:
            label = _real(f"attribute {name!r} of a node", node[name])
            if label == NO_TARGET:
                raise DataError(f"attribute {name!r} of a node is -1; allowed: 0, 1, ..., or none")
        labels.append(label)
    return labels


@checked
def lpgnn(path: str | Path) -> dict[str, GraphData]:
    """Read the subgraph or clique sets of LP-GNN, a MATLAB file.

    Parameters
    ----------
    path : str or Path
        A file with the structure ``dataSet.{trainSet, validationSet, testSet}``, each with
        ``connMatrix`` (arcs), ``nodeLabels`` (features), ``targets`` (±1) and ``graphNum``.

    Returns
    -------
    {"train": GraphData, "validation": GraphData, "test": GraphData}
        Targets -1 and 1 become the classes 0 and 1. Graphs have equally many nodes.

    Raises
    ------
    FileError
        The file is missing, damaged, too large, or has another structure.
    DataError
        Arrays that do not fit each other.

    References
    ----------
    Tiezzi, Marra, Melacci, Maggini 2021, "Deep Constraint-based Propagation in Graph Neural
    Networks", arXiv 2005.02392; the files are in the repository mtiezzi/lpgnn.
    """
    path = Path(path)
    whole_set = read_mat(path).get("dataSet")
    found: dict[str, GraphData] = {}
    for part, field in PARTS.items():
        fields = whole_set.get(field) if isinstance(whole_set, dict) else None
        given = fields if isinstance(fields, dict) else {}
        lacking = [name for name in FIELDS if given.get(name) is None]
        if lacking:
            raise FileError(
                f"{named(path)} lacks dataSet.{field}.{lacking[0]}; allowed: the structure of "
                "LP-GNN's sets"
            )
        found[part] = _lpgnn_part(path, f"dataSet.{field}", given)
    return found


def _lpgnn_part(path: Path, place: str, fields: dict[str, Any]) -> GraphData:
    """Return one of the three sets of a file."""
    where = f"{named(path)}, {place}"
    for name in FIELDS[1:]:
        if not isinstance(fields[name], np.ndarray):
            raise DataError(f"{where}.{name} is not an array of numbers; allowed: one")
    signs = fields["targets"].ravel()
    nodes = len(signs)
    stated = fields["graphNum"].ravel()
    graphs = int(stated[0]) if stated.shape == (1,) and stated[0] >= 1 else 0
    if graphs == 0 or graphs != stated[0]:
        raise DataError(f"{where}.graphNum = {stated[:3]}; allowed: a whole number >= 1")
    if nodes % graphs:
        raise DataError(f"{where} has {nodes} nodes in {graphs} graphs; allowed: as many in each")
    if not np.isin(signs, (-1, 1)).all():
        raise DataError(f"{where}.targets holds {np.unique(signs)[:5]}; allowed: -1 and 1")
    try:
        return graph_from_scipy(
            fields["connMatrix"],
            fields["nodeLabels"].T,  # (features, nodes) in the file
            (signs + 1) // 2,
            graph=np.repeat(np.arange(graphs), nodes // graphs),
        )
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
