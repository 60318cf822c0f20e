"""Validate X and Y against a network, and encode them as float arrays by population.

Labels and one-hot targets have the formats of scikit-learn. Above `network`, below everything that
simulates or differentiates; independent of any flow. Start at `patterns` and `targets`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.model.arrays import real_array, refuse_lossy
from neurosim.model.network import Network
from neurosim.model.populations import Loss

Array = np.ndarray
SIGNS_AND_ZERO = (-1, 0, 1)
NO_TARGET = -1  # the label of a site without a target
WITHOUT_TARGET = ("cross_entropy", "squared_hinge")  # losses that vanish where all targets are 0


# X


def patterns(net: Network, X: Any, *, copy: bool = True) -> dict[str, Array]:
    """Return X as ``{clamped population: (patterns, units)}``, float and finite; check `net` too.

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping of population to array (patterns, units)
        Units with sites may have their axes: (patterns, *shape). If several populations are
        clamped, an array has their columns side by side, in the order of the network. Lists and
        SciPy sparse arrays are accepted too.
    copy : bool
        Whether to copy the data; if False, arrays may share memory with X and must not be changed.

    Raises
    ------
    ModelError
        Parameters of the network that do not fit it.
    DataError
        A wrong shape or population, values that are not real numbers, NaN or infinity.

    Examples
    --------
    >>> net = Network.mlp([2, 3])
    >>> patterns(net, [[0, 1], [1, 1]])
    {'input': array([[0., 1.],
           [1., 1.]])}
    """
    net.check_parameters()
    sizes = {name: net.populations[name].size for name in net.inputs}
    if not sizes:
        raise DataError(
            f"X cannot be used: none of the populations {', '.join(net.populations)} is "
            "clamped; try Population(name, size, clamped=True)"
        )
    if isinstance(X, Mapping):
        return _patterns_by_population(net, sizes, X, copy)
    shape = net.populations[net.inputs[0]].shape if len(sizes) == 1 else None
    whole = _matrix("X", X, sum(sizes.values()), ", ".join(sizes), copy, shape)
    arrays: dict[str, Array] = {}
    start = 0
    for name, size in sizes.items():
        part = whole[:, start : start + size]
        arrays[name] = np.ascontiguousarray(part)
        start += size
    return arrays


def _patterns_by_population(
    net: Network, sizes: Mapping[str, int], X: Mapping[str, Any], copy: bool
) -> dict[str, Array]:
    """Return the arrays of a mapping that has exactly the populations of `sizes`."""
    if set(X) != set(sizes):
        raise DataError(
            f"X has the keys {', '.join(map(str, X))}; "
            f"allowed: each clamped population and no other, {', '.join(sizes)}"
        )
    arrays: dict[str, Array] = {}
    for name, size in sizes.items():
        shape = net.populations[name].shape
        arrays[name] = _matrix(f"X[{name!r}]", X[name], size, name, copy, shape)
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"X has {counts} patterns; allowed: equally many for each population")
    return arrays


def _matrix(
    name: str,
    value: Any,
    columns: int,
    populations: str,
    copy: bool,
    sites: tuple[int, ...] | None,
) -> Array:
    """Return a float array (patterns, columns), patterns >= 1, maybe given with axes of sites."""
    array = _numbers(name, value, copy)
    shape = array.shape
    if sites is not None and shape[1:] == sites and shape[0] > 0:
        return array.reshape(shape[0], columns)
    if array.ndim == 2 and shape[1] == columns and shape[0] > 0:
        return array
    hint = ""
    if shape == (columns,):
        hint = f"; one pattern is {name}[None, :]"
    elif array.ndim == 2 and shape[0] == columns:
        hint = f"; try {name}.T"
    elif sites is not None:
        hint = f"; or (patterns, {', '.join(map(str, sites))})"
    elif array.ndim > 2 and array[0].size == columns:
        hint = f"; try {name}.reshape(len({name}), -1), or flat=True of datasets.load"
    raise DataError(
        f"{name} has shape {shape}; allowed: (patterns, {columns}), at least one pattern "
        f"and one column per unit of {populations}{hint}"
    )


def _numbers(name: str, value: Any, copy: bool = True) -> Array:
    """Return a C-contiguous array of finite floats."""
    allowed = "numbers, rows of equal length; try sklearn.preprocessing to encode names"
    return real_array(name, value, allowed=allowed, copied=copy)


# Y


def targets(net: Network, Y: Any, n_patterns: int) -> dict[str, Array]:
    """Return Y as ``{population with a loss: (patterns, units)}``, encoded for the kind of loss.

    Class labels become one-hot rows, or rows of ±1 for `squared_hinge`. The targets of a loss that
    needs none, such as a penalty on outputs, are zeros.

    Parameters
    ----------
    net : Network
    Y : array, mapping of population to array, or None
        Labels (patterns,) or targets (patterns, units); for units with sites labels (patterns,
        *sites), where -1 stands for no target, or targets (patterns, *shape). A single array is
        used for every loss. None is allowed if no loss needs a target.
    n_patterns : int
        Number of patterns in X.

    Raises
    ------
    DataError
        A wrong shape or number of patterns, labels out of range, NaN or infinity, or no Y where
        a loss needs one.

    Examples
    --------
    >>> net = Network.mlp([2, 3], loss="cross_entropy")
    >>> targets(net, [2, 0], n_patterns=2)
    {'output': array([[0., 0., 1.],
           [1., 0., 0.]])}
    """
    targeted = [name for name, loss in net.losses.items() if loss.term.targeted]
    given = _given_targets(net, Y, targeted)
    encoded: dict[str, Array] = {}
    for name, loss in net.losses.items():
        size = net.populations[name].size
        shape = net.populations[name].shape
        if name in targeted and shape is not None:
            encoded[name] = _encode_sites(loss, shape, given[name], n_patterns)
        elif name in targeted:
            encoded[name] = _encode(loss, size, given[name], n_patterns)
        else:
            encoded[name] = np.zeros((n_patterns, size))
    return encoded


def targets_by_site(net: Network, Y: Any, n_patterns: int) -> tuple[Array, Array]:
    """Return the targets of the output with one row per site, and which sites have one.

    Parameters
    ----------
    net : Network
    Y : array, or mapping of population to array
        As `targets` takes it; of a mapping only the output's entry is read.
    n_patterns : int
        Number of patterns in X.

    Returns
    -------
    rows : (patterns * sites, features)
        Encoded for the loss on the output; labels of an output without a loss are one-hot.
    known : bool array, (patterns * sites,)
        Whether a row is a target. Without sites all are.

    Raises
    ------
    DataError
        Y does not fit the output.

    Examples
    --------
    >>> net = Network.recurrent(3, 1, 4, 2, read="every")
    >>> rows, known = targets_by_site(net, [[1, -1, 0]], n_patterns=1)
    >>> rows[known].argmax(axis=1), known
    (array([1, 0]), array([ True, False,  True]))
    """
    name = net.output
    p = net.populations[name]
    given = Y[name] if isinstance(Y, Mapping) else Y
    unchanged = Loss(name, "mse")  # encodes labels, and leaves targets as they are
    loss = net.losses.get(name, unchanged)
    may_lack = name not in net.losses or loss.kind in WITHOUT_TARGET
    if loss.kind == "cross_entropy":
        loss = unchanged  # rows that are not shares are not classes, which the caller finds
    if p.shape is None:
        return _encode(loss, p.size, given, n_patterns), np.ones(n_patterns, dtype=bool)
    return _rows_by_site(loss, p.shape, given, n_patterns, may_lack=may_lack)


def _given_targets(net: Network, Y: Any, targeted: list[str]) -> Mapping[str, Any]:
    """Return the user-supplied targets by population, for every loss that needs some."""
    if not targeted:
        return {}
    if Y is None:
        raise DataError(
            f"Y is missing; the network has a loss on {', '.join(targeted)}; "
            "allowed: labels (patterns,) or targets (patterns, units)"
        )
    if not isinstance(Y, Mapping):
        return dict.fromkeys(targeted, Y)
    for name in Y:
        if name not in targeted:
            raise DataError(f"{unknown('a key of Y', name, targeted)}")
    missing = [name for name in targeted if name not in Y]
    if missing:
        raise DataError(
            f"Y has no targets for {', '.join(missing)}; "
            f"allowed: a key for each loss, {', '.join(targeted)}"
        )
    return Y


def _encode(loss: Loss, size: int, Y: Any, n_patterns: int) -> Array:
    """Return the targets of one loss, (patterns, units)."""
    name = f"Y for {loss.population}"
    array = _numbers(name, Y)
    shape = array.shape
    if array.ndim == 0 or len(array) != n_patterns:
        raise DataError(f"{name} has shape {shape}; allowed: {n_patterns} patterns, as X has")
    if array.ndim == 1 and size > 1:
        array = _one_hot(name, array, size)
    elif array.ndim == 1:
        array = array[:, None]
    if array.shape != (n_patterns, size):
        hint = "; labels are Y[:, 0]" if shape == (n_patterns, 1) else ""
        raise DataError(
            f"{name} has shape {shape}; "
            f"allowed: labels ({n_patterns},) or targets ({n_patterns}, {size}){hint}"
        )
    if loss.kind == "squared_hinge":
        return _signs(name, array)
    if loss.kind == "cross_entropy":
        _check_shares(name, array)
    return array


def _encode_sites(loss: Loss, shape: tuple[int, ...], Y: Any, n_patterns: int) -> Array:
    """Return the targets of a loss on units with sites, (patterns, units); 0 where there is none.

    Every site is encoded as a pattern of its own.
    """
    may_lack = loss.kind in WITHOUT_TARGET
    rows, _ = _rows_by_site(loss, shape, Y, n_patterns, may_lack=may_lack)
    return rows.reshape(n_patterns, math.prod(shape))


def _rows_by_site(
    loss: Loss, shape: tuple[int, ...], Y: Any, n_patterns: int, *, may_lack: bool
) -> tuple[Array, Array]:
    """Return targets by site, (patterns * sites, features), and which of the rows are targets.

    `may_lack` allows sites without a target, whose labels are -1 or whose rows are 0.
    """
    name = f"Y for {loss.population}"
    array = _numbers(name, Y)
    sites, features = shape[:-1], shape[-1]
    allowed = [(n_patterns, *shape), (n_patterns, math.prod(shape))]
    if features > 1:
        allowed.insert(0, (n_patterns, *sites))
    if array.shape not in allowed:
        raise DataError(
            f"{name} has shape {array.shape}; allowed: {', '.join(map(str, allowed))}, labels by "
            "site or targets by unit"
        )
    if array.shape == (n_patterns, *sites) and features > 1:
        flat = array.reshape(-1)
        known = flat != NO_TARGET
        if not known.all() and not may_lack:
            raise DataError(
                f"{name} holds {NO_TARGET} for sites without a target; allowed with the loss "
                f"{loss.kind!r}: a target for every site; try {' or '.join(WITHOUT_TARGET)}"
            )
        rows = np.zeros((flat.size, features))
        rows[known] = _one_hot(name, flat[known], features)
    else:
        rows = array.reshape(-1, features)
        known = np.ones(len(rows), dtype=bool)
        if may_lack:
            known = np.any(rows != 0, axis=1)
    if loss.kind == "squared_hinge":
        rows[known] = _signs(name, rows[known])
    if loss.kind == "cross_entropy":
        _check_shares(name, rows[known])
    return rows, known


def _one_hot(name: str, values: Array, size: int) -> Array:
    """Return labels as one-hot rows, (patterns, size)."""
    fractional = values != np.round(values)
    outside = (values < 0) | (values >= size)
    wrong = values[fractional | outside]
    if wrong.size:
        hint = ""
        if values.min() == 1 and values.max() == size:
            hint = "; labels begin at 0, try Y - 1"
        raise DataError(
            f"{name} holds label {wrong[0]:g}; allowed: whole numbers 0 to {size - 1} "
            f"({size} units), or targets of shape ({len(values)}, {size}){hint}"
        )
    rows = np.eye(size)
    return np.asarray(rows[values.astype(int)])


def _signs(name: str, values: Array) -> Array:
    """Return targets of 0 and 1, or of -1 and 1, as -1 and 1."""
    if np.isin(values, (0, 1)).all():
        return 2 * values - 1
    if np.isin(values, (-1, 1)).all():
        return values
    found = "mixes -1 and 0"
    wrong = values[~np.isin(values, SIGNS_AND_ZERO)]
    if wrong.size:
        found = f"holds {wrong[0]:g}"
    raise DataError(f"{name} {found}; allowed for squared_hinge: labels, 0 and 1, or -1 and 1")


def _check_shares(name: str, values: Array) -> None:
    """Check that each row sums to 1, as required for `cross_entropy`."""
    sums = values.sum(axis=1)
    right = np.isclose(sums, 1)
    if not right.all():
        row = int(np.argmin(right))
        raise DataError(
            f"{name}, row {row}, sums to {sums[row]:g}; "
            "allowed for cross_entropy: labels, or rows of sum 1"
        )


# X and Y in other forms


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """Return X and Y from one argument, a tuple or list (X, Y); `name` is for the message.

    Raises
    ------
    DataError
        Any other value.
    """
    if not isinstance(value, tuple | list):
        raise DataError(f"{name} is a {type(value).__name__}; allowed: (X, Y)")
    if len(value) != 2:
        raise DataError(f"{name} has {len(value)} entries; allowed: (X, Y)")
    X, Y = value
    return X, Y


def labels(Y: Any, size: int) -> Array | None:
    """Return the class of each pattern, (patterns,) of int; None if the targets are not classes.

    Parameters
    ----------
    Y : (patterns,) or (patterns, outputs)
        Labels, or one-hot rows of 0 and 1 or of -1 and 1. With a single output, exactly two
        different values among -1, 0 and 1; the larger one is class 1.
    size : int
        Number of outputs.

    Examples
    --------
    >>> labels([[0, 1], [1, 0]], size=2)
    array([1, 0])
    """
    refuse_lossy("Y", Y, text=True)
    Y = np.asarray(Y)
    if size == 1:
        return _two_classes(Y)
    if Y.ndim == 1 and _are_whole(Y):
        return np.asarray(Y.astype(int))
    if Y.ndim == 2 and Y.shape[1] == size and _are_one_hot(Y):
        return np.asarray(Y.argmax(axis=1))
    return None


def _are_whole(Y: Array) -> bool:
    """Return whether all values are whole numbers."""
    if not np.issubdtype(Y.dtype, np.number):
        return False
    return bool((np.round(Y) == Y).all())


def _two_classes(Y: Array) -> Array | None:
    """Return 1 for the larger value, else 0; None unless Y has two values among -1, 0 and 1."""
    known = np.isin(Y, SIGNS_AND_ZERO)
    if np.unique(Y).size != 2 or not known.all():
        return None
    return np.asarray(Y.reshape(-1) == Y.max(), dtype=int)


def _are_one_hot(Y: Array) -> bool:
    """Return whether rows hold -1, 0 and 1 only, and all but the largest entry are equal."""
    in_order = np.sort(Y, axis=1)
    others = in_order[:, :-1]
    equal = others == in_order[:, :1]
    larger = in_order[:, -1] > in_order[:, 0]  # a row of zeros has no class
    known = np.isin(Y, SIGNS_AND_ZERO)
    return bool(equal.all() and larger.all() and known.all())
