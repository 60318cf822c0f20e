"""What users hand in as X and Y, checked against a network and turned into float arrays.

Labels and one-hot targets as in scikit-learn; nothing here knows a flow or a simulation.
Start at `patterns` and `targets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.model.network import Network
from neurosim.model.populations import Loss

Array = np.ndarray


def patterns(net: Network, X: Any, *, copy: bool = True) -> dict[str, Array]:
    """X as ``{input population: (patterns, units)}``, float and finite.

    X is (patterns, features); with several inputs a mapping by population, or their columns side by
    side. Without `copy` the arrays may be the user's own, to be read only.

    Raises
    ------
    DataError
        Wrong shape, not numbers, NaN or infinity; says which.
    """
    sizes = {n: net.populations[n].size for n in net.inputs}
    if not sizes:
        raise DataError(
            "X has nowhere to go: no population is clamped; add Population(name, size, "
            "clamped=True)"
        )
    if isinstance(X, Mapping):
        if set(X) != set(sizes):
            raise DataError(f"X has populations {sorted(X)}; allowed: {sorted(sizes)}")
        arrays = {n: _matrix(f"X[{n!r}]", X[n], sizes[n], copy) for n in sizes}
        if len({len(a) for a in arrays.values()}) > 1:
            raise DataError(
                f"X has { ({n: len(a) for n, a in arrays.items()}) } patterns; allowed: "
                "equally many"
            )
        return arrays
    X = _matrix("X", X, sum(sizes.values()), copy)
    cuts = np.cumsum(list(sizes.values()))[:-1]
    return {
        n: np.ascontiguousarray(part)
        for n, part in zip(sizes, np.split(X, cuts, axis=1), strict=True)
    }


def targets(net: Network, Y: Any, n_patterns: int) -> dict[str, Array]:
    """Y as ``{population with a loss: (patterns, units)}``, encoded as its loss reads it.

    Class labels become one-hot rows, for `squared_hinge` rows of ±1; a single array goes to every
    loss. What has no target, a price on outputs, gets zeros.

    Raises
    ------
    DataError
        Wrong shape or number of patterns, NaN, labels out of range.
    """
    asked = [n for n, v in net.losses.items() if v.term.targeted]
    unasked = {
        n: np.zeros((n_patterns, net.populations[n].size)) for n in net.losses if n not in asked
    }
    if not asked:
        return unasked
    if Y is None:
        raise DataError(f"Y is missing; the network has a loss on {', '.join(asked)}")
    if isinstance(Y, Mapping):
        for name in Y:
            if name not in net.losses:
                raise DataError(str(unknown("a key of Y", name, asked)))
        if missing := set(asked) - set(Y):
            raise DataError(f"Y has no targets for {sorted(missing)}; allowed: {sorted(asked)}")
        given = dict(Y)
    else:
        given = dict.fromkeys(asked, Y)
    encoded = {
        n: _encode(net.losses[n], net.populations[n].size, given[n], n_patterns) for n in asked
    }
    return {n: encoded[n] if n in encoded else unasked[n] for n in net.losses}


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """X and Y, given as one argument."""
    if not (isinstance(value, tuple | list) and len(value) == 2):
        raise DataError(f"{name} is a {type(value).__name__}; allowed: (X, Y)")
    return value[0], value[1]


def labels(Y: Any, size: int) -> Array | None:
    """Class indices (patterns,) of labels or one-hot rows; None where Y is a regression target."""
    Y = np.asarray(Y)
    if size > 1 and Y.ndim == 1 and np.issubdtype(Y.dtype, np.number) and (np.round(Y) == Y).all():
        return np.asarray(Y.astype(int))
    if (
        Y.ndim == 2
        and Y.shape[1] == size > 1
        and (np.sort(Y, axis=1)[:, :-1] == np.sort(Y, axis=1)[:, :1]).all()
    ):
        return np.asarray(Y.argmax(axis=1)) if np.isin(Y, (-1, 0, 1)).all() else None
    if size == 1 and np.unique(Y).size == 2 and np.isin(Y, (-1, 0, 1)).all():
        return np.asarray(Y.reshape(-1) > 0, dtype=int)
    return None


def _matrix(name: str, value: Any, columns: int, copy: bool) -> Array:
    array = _numbers(name, value, copy)
    if array.ndim != 2 or array.shape[1] != columns or len(array) == 0:
        hint = "; one pattern is X[None, :]" if array.ndim == 1 and array.size == columns else ""
        raise DataError(
            f"{name} has shape {array.shape}; allowed: (patterns, {columns}), at least "
            f"one pattern{hint}"
        )
    return array


def _numbers(name: str, value: Any, copy: bool = True) -> Array:
    try:
        made = np.array if copy else np.asarray
        array = made(
            value.toarray() if hasattr(value, "toarray") else value, dtype=float, order="C"
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} is not an array of numbers: {error}; try sklearn.preprocessing"
        ) from error
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise DataError(
            f"{name} holds {array[at]} at index {at} ({len(bad)} in all); allowed: "
            "finite numbers; try sklearn.impute"
        )
    return array


def _encode(loss: Loss, size: int, Y: Any, n_patterns: int) -> Array:
    name = f"Y for {loss.population}"
    array = _numbers(name, Y)
    if array.ndim == 0 or len(array) != n_patterns:
        raise DataError(f"{name} has shape {array.shape}; allowed: {n_patterns} patterns, as X has")
    if array.ndim == 1 and size > 1:
        array = _one_hot(name, array, size)
    elif array.ndim == 1:
        array = array[:, None]
    if array.shape != (n_patterns, size):
        raise DataError(
            f"{name} has shape {array.shape}; allowed: labels ({n_patterns},) or "
            f"({n_patterns}, {size})"
        )
    if loss.kind == "squared_hinge":
        return _signs(name, array)
    if loss.kind == "cross_entropy" and not np.allclose(array.sum(axis=1), 1):
        row = int(np.argmax(~np.isclose(array.sum(axis=1), 1)))
        raise DataError(
            f"{name}, row {row}, sums to {array[row].sum():g}; allowed for "
            "cross_entropy: labels, or rows of sum 1"
        )
    return array


def _one_hot(name: str, values: Array, size: int) -> Array:
    wrong = (values != np.round(values)) | (values < 0) | (values >= size)
    if wrong.any():
        raise DataError(
            f"{name} holds label {values[wrong][0]:g}; allowed: whole numbers 0 to {size - 1} "
            f"({size} units), or targets of shape ({len(values)}, {size})"
        )
    return np.asarray(np.eye(size)[values.astype(int)])


def _signs(name: str, values: Array) -> Array:
    if np.isin(values, (0, 1)).all():
        return 2 * values - 1
    if np.isin(values, (-1, 1)).all():
        return values
    wrong = values[~np.isin(values, (-1, 0, 1))]
    found = f"holds {wrong[0]:g}" if wrong.size else "mixes -1 and 0"
    raise DataError(f"{name} {found}; allowed for squared_hinge: 0/1 or -1/1")
