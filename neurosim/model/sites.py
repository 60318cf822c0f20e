"""Sites: where units lie, and over which of them a projection shares its weights.

A population of size (8, 8, 16) has 16 features at each of 8 x 8 sites. A shared projection applies
the same small matrices W_o at every site; the fixed, sparse matrices A_o say which site reads
which:

    a[s', f'] = sum_o sum_s A_o[s', s] sum_f W_o[f', f] x[s, f]

A convolution of a 3 x 3 kernel has nine shifts A_o, a recurrent layer one shift along time, a graph
layer its adjacency matrix. Below `populations`; `shared` holds the matrices of a network. Start at
`Conv`.

References
----------
Convolution: LeCun et al., Neural Computation 1, 541 (1989). Graphs: Scarselli et al., IEEE Trans.
Neural Networks 20, 61 (2009); Tiezzi et al., arXiv 2002.07720.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from itertools import product
from typing import Any, ClassVar

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.model.site_matrices import Matrix, checked_matrix, kron, shift, sparse

Shape = tuple[int, ...]  # sites along each axis

SAME, VALID = "same", "valid"
MEAN = "mean"


def count(sites: Shape) -> int:
    """Return the number of sites; 1 without a site axis."""
    return math.prod(sites)


@dataclass(frozen=True)
class Over(ABC):
    """Base of what a projection can be shared over: how post sites read pre sites."""

    kind: ClassVar[str]
    weighted: ClassVar[bool] = True  # whether the projection has weights

    @abstractmethod
    def post_sites(self, pre: Shape) -> Shape | None:
        """Return the sites that result from those of the presynaptic population.

        None where the matrices alone determine their number.

        Raises
        ------
        ModelError
            The presynaptic sites do not fit.
        """

    @abstractmethod
    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return the matrices A_o, each (post sites, pre sites), sparse.

        Raises
        ------
        ModelError
            The presynaptic sites do not fit.
        """

    def describe(self) -> dict[str, Any]:
        """Return the arguments as plain values, for files and for `over_of`."""
        found: dict[str, Any] = {"kind": self.kind}
        for argument in fields(self):
            value = getattr(self, argument.name)
            found[argument.name] = list(value) if isinstance(value, tuple) else value
        return found


@dataclass(frozen=True)
class Conv(Over):
    """Share weights over shifts: a convolution in one, two or more dimensions.

    Parameters
    ----------
    kernel : int or tuple of int
        Sites of the kernel along each axis, >= 1; one number is for all axes.
    stride : int or tuple of int
        Sites from one reading to the next, >= 1.
    padding : "same", "valid", int or tuple of int
        Sites outside that are read as 0 on either side: kernel // 2, none, or a number.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    As in other libraries the kernel is not flipped. Its terms are in row-major order.

    Examples
    --------
    >>> Conv(3, stride=2).post_sites((28, 28))
    (14, 14)
    """

    kernel: Any
    stride: Any = 1
    padding: Any = SAME
    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", _per_axis("kernel", self.kernel, 1))
        object.__setattr__(self, "stride", _per_axis("stride", self.stride, 1))
        if isinstance(self.padding, str):
            if self.padding not in (SAME, VALID):
                raise unknown("padding", self.padding, (SAME, VALID, "a number"))
            return
        object.__setattr__(self, "padding", _per_axis("padding", self.padding, 0))

    def post_sites(self, pre: Shape) -> Shape:
        """Return the sites that result, (before + 2 padding - kernel) // stride + 1 per axis."""
        found = []
        for size, kernel, stride, padding in self._axes(pre):
            if kernel > 2 * size + 1:
                allowed = f"1 to {2 * size + 1} over {size} sites"
                raise out_of_range("kernel", kernel, allowed)
            reached = size + 2 * padding - kernel
            if reached < 0:
                raise ModelError(
                    f"kernel of {kernel} sites over {size} sites with padding {padding}; allowed: "
                    f"at most {size + 2 * padding}"
                )
            found.append(reached // stride + 1)
        return tuple(found)

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return one shift per site of the kernel, in row-major order."""
        post = self.post_sites(pre)
        by_axis = []
        for (size, kernel, stride, padding), readers in zip(self._axes(pre), post, strict=True):
            shifts = [shift(readers, size, stride, k - padding) for k in range(kernel)]
            by_axis.append(shifts)
        terms = by_axis[0]
        for shifts in by_axis[1:]:
            terms = [kron(outer, inner) for outer, inner in product(terms, shifts)]
        return tuple(terms)

    def numbers(self, pre: Shape) -> list[tuple[int, int, int]]:
        """Return kernel, stride and padding of every axis, as numbers.

        Examples
        --------
        >>> Conv((3, 5)).numbers((8, 8))
        [(3, 1, 1), (5, 1, 2)]
        """
        return [(kernel, stride, padding) for _, kernel, stride, padding in self._axes(pre)]

    def _axes(self, pre: Shape) -> list[tuple[int, int, int, int]]:
        """Return size, kernel, stride and padding of every axis."""
        _require_axes(self.kind, pre)
        kernel = _spread("kernel", self.kernel, pre)
        stride = _spread("stride", self.stride, pre)
        match self.padding:
            case "same":
                padding = tuple(k // 2 for k in kernel)
            case "valid":
                padding = (0,) * len(pre)
            case given:
                padding = _spread("padding", given, pre)
        return list(zip(pre, kernel, stride, padding, strict=True))


@dataclass(frozen=True)
class Pool(Over):
    """Average over blocks of sites, feature by feature; the projection has no weights to learn.

    Parameters
    ----------
    size : int or tuple of int
        Sites of a block along each axis, >= 1; must divide the sites.
    how : "mean"
        What is read of a block.

    Examples
    --------
    >>> Pool(2).post_sites((28, 28))
    (14, 14)
    """

    size: Any
    how: str = MEAN
    kind: ClassVar[str] = "pool"
    weighted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _per_axis("size", self.size, 1))
        if self.how != MEAN:
            raise unknown("how", self.how, (MEAN,))

    def post_sites(self, pre: Shape) -> Shape:
        """Return the number of blocks along each axis."""
        _require_axes(self.kind, pre)
        found = []
        for sites, size in zip(pre, _spread("size", self.size, pre), strict=True):
            if sites % size:
                raise ModelError(
                    f"pool of {size} sites over {sites} sites; allowed: a divisor of {sites}"
                )
            found.append(sites // size)
        return tuple(found)

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return one matrix of means."""
        self.post_sites(pre)
        by_axis = []
        for sites, size in zip(pre, _spread("size", self.size, pre), strict=True):
            blocks = np.arange(sites) // size
            entry = np.full(sites, 1 / size)
            by_axis.append(sparse(entry, blocks, np.arange(sites), (sites // size, sites)))
        return (reduce(kron, by_axis),)


@dataclass(frozen=True)
class Lag(Over):
    """Read the site `steps` before along the first axis, which is time: a recurrent layer.

    Parameters
    ----------
    steps : int
        Sites back, >= 1. The first `steps` sites read 0.

    Notes
    -----
    A projection with a lag closes no cycle: a site depends on earlier ones only.

    Examples
    --------
    >>> Lag().matrices((3,))[0].toarray()
    array([[0., 0., 0.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """

    steps: int = 1
    kind: ClassVar[str] = "lag"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole("steps", self.steps, 1))

    def post_sites(self, pre: Shape) -> Shape:
        """Return the same sites."""
        _require_axes(self.kind, pre)
        if self.steps >= pre[0]:
            raise out_of_range("steps", self.steps, f"1 to {pre[0] - 1}, as there are {pre[0]}")
        return pre

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return one shift along the first axis."""
        self.post_sites(pre)
        in_time = shift(pre[0], pre[0], 1, -self.steps)
        others = count(pre[1:])
        return (kron(in_time, shift(others, others, 1, 0)),)


@dataclass(frozen=True)
class Pointwise(Over):
    """Read the same site: the same layer at every site, a 1 x 1 convolution.

    Examples
    --------
    >>> Pointwise().post_sites((40,))
    (40,)
    """

    kind: ClassVar[str] = "pointwise"

    def post_sites(self, pre: Shape) -> Shape:
        """Return the same sites."""
        return pre

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return the identity."""
        return (shift(count(pre), count(pre), 1, 0),)


@dataclass(frozen=True)
class Site(Over):
    """Read one site; the postsynaptic population has no site axes.

    Parameters
    ----------
    index : int or tuple of int
        The site that is read; negative numbers count from the end.

    Examples
    --------
    >>> Site(-1).matrices((3,))[0].toarray()
    array([[0., 0., 1.]])
    """

    index: Any
    kind: ClassVar[str] = "site"

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", _per_axis("index", self.index, None))

    def post_sites(self, pre: Shape) -> Shape:
        """Return no sites."""
        _require_axes(self.kind, pre)
        if len(self.index) != len(pre):
            raise out_of_range("index", self.index, f"one number per axis of the sites {pre}")
        for place, size in zip(self.index, pre, strict=True):
            if not -size <= place < size:
                raise out_of_range("index", self.index, f"{-size} to {size - 1} along {size} sites")
        return ()

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return one row."""
        self.post_sites(pre)
        place = 0
        for index, size in zip(self.index, pre, strict=True):
            place = place * size + index % size
        return (sparse(np.ones(1), np.zeros(1), np.array([place]), (1, count(pre))),)


@dataclass(frozen=True, eq=False)
class Terms(Over):
    """Share weights over any sparse matrices: the general form, of which the others are cases.

    Parameters
    ----------
    terms : list of SciPy sparse arrays or arrays, each (post sites, pre sites)
        The matrices A_o, real and finite; their entries are fixed.

    Raises
    ------
    ModelError
        No matrix, matrices of different shapes, or entries that are not finite numbers.

    Examples
    --------
    >>> Terms([np.eye(3), np.eye(3, k=1)]).post_sites((3,))
    """

    terms: Any
    kind: ClassVar[str] = "terms"

    def __post_init__(self) -> None:
        given = self.terms
        if isinstance(given, str | bytes | Mapping) or not isinstance(given, Sequence):
            raise out_of_range("terms", given, "a list of matrices", "[A]")
        found = tuple(checked_matrix("terms", matrix) for matrix in given)
        shapes = {matrix.shape for matrix in found}
        if len(shapes) != 1:
            raise ModelError(
                f"terms have the shapes {sorted(shapes)}; allowed: one shape for all, at least one"
            )
        object.__setattr__(self, "terms", found)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash((self.kind, tuple(matrix.shape for matrix in self.terms)))

    def post_sites(self, pre: Shape) -> Shape | None:
        """Return None: the number of rows is known, the axes are not."""
        columns = self.terms[0].shape[1]
        if columns != count(pre):
            raise ModelError(
                f"{self.kind} with {columns} columns over {count(pre)} sites; allowed: one column "
                "per presynaptic site, (post sites, pre sites)"
            )
        return None

    def matrices(self, pre: Shape) -> tuple[Matrix, ...]:
        """Return the matrices as given."""
        self.post_sites(pre)
        return tuple(self.terms)

    def describe(self) -> dict[str, Any]:
        """Return shape and entries of every matrix as plain values."""
        found = []
        for matrix in self.terms:
            entries = matrix.tocoo()
            rows, columns = entries.coords
            described = {
                "shape": list(matrix.shape),
                "rows": rows.tolist(),
                "columns": columns.tolist(),
                "values": entries.data.tolist(),
            }
            found.append(described)
        return {"kind": self.kind, "terms": found}


@dataclass(frozen=True, eq=False)
class Graph(Terms):
    """Share weights over the edges of a graph, weighted by its adjacency matrix.

    Parameters
    ----------
    terms : SciPy sparse array or array, (post sites, pre sites)
        Adjacency matrix A: entry [s', s] is what site s' reads of site s. It is not normalised.

    Examples
    --------
    >>> Graph(np.ones((2, 2)) - np.eye(2)).matrices((2,))[0].nnz
    2
    """

    kind: ClassVar[str] = "graph"

    def __post_init__(self) -> None:
        given = self.terms
        if not isinstance(given, tuple):  # a copy has its matrix in a tuple
            object.__setattr__(self, "terms", [given])
        super().__post_init__()


def _per_axis(key: str, given: Any, least: int | None) -> Shape:
    """Return one whole number per axis, or a single one for all, as a tuple."""
    several = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str | bytes)
    values = list(given) if several else [given]
    if not values:
        raise out_of_range(key, given, "at least one whole number", "3")
    bound = -(2**31) if least is None else least
    return tuple(whole(key, value, bound) for value in values)


def _spread(key: str, given: Shape, pre: Shape) -> Shape:
    """Return one number per axis of the sites."""
    if len(given) == 1:
        return given * len(pre)
    if len(given) != len(pre):
        raise out_of_range(key, given, f"one number, or one per axis of the sites {pre}")
    return given


def _require_axes(kind: str, pre: Shape) -> None:
    """Refuse a presynaptic population without sites."""
    if not pre:
        raise ModelError(
            f"over = {kind}, but the presynaptic population has no sites; allowed: a size with "
            "sites before the features; try size=(8, 8, 1)"
        )
