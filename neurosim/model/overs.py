"""Build what a projection shares weights over from a name or a dict, as model files have it.

Above `sites`, below `populations`. Start at `over_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, shown, unknown, whole
from neurosim.model.site_matrices import sparse
from neurosim.model.sites import Conv, Graph, Lag, Over, Pointwise, Pool, Site, Terms

MOST_SITES = 2**24  # in a matrix that a file describes

KINDS: dict[str, type[Over]] = {
    kind.kind: kind for kind in (Conv, Pool, Lag, Graph, Pointwise, Site, Terms)
}


def over_of(key: str, given: Any) -> Over | None:
    """Return what was given as an `Over`: an object, the name of a kind, or a dict with `kind`.

    Parameters
    ----------
    key : str
        Name of the argument, for messages.
    given : Over, str, dict or None

    Raises
    ------
    ModelError
        An unknown kind, or arguments that do not fit it.

    Examples
    --------
    >>> over_of("over", {"kind": "conv", "kernel": 3})
    Conv(kernel=(3,), stride=(1,), padding='same')
    """
    if given is None or isinstance(given, Over):
        return given
    arguments: dict[str, Any] = {}
    if isinstance(given, str):
        kind = given
    elif isinstance(given, Mapping) and "kind" in given:
        arguments = dict(given)
        kind = arguments.pop("kind")
    else:
        raise out_of_range(key, given, "an object of neurosim.sites", "sites.Conv(3)")
    if kind not in KINDS:
        raise unknown(f"kind of {key}", kind, KINDS)
    wanted = [argument.name for argument in fields(KINDS[kind])]
    for name in arguments:
        if name not in wanted:
            raise unknown(f"an argument of {kind} in {key}", name, wanted)
    if issubclass(KINDS[kind], Terms) and "terms" in arguments:
        arguments["terms"] = _described_matrices(key, arguments["terms"])
    try:
        return KINDS[kind](**arguments)
    except TypeError as error:
        raise ModelError(f"{key} = {shown(given)}: {error}; allowed: {', '.join(wanted)}") from None


def _described_matrices(key: str, given: Any) -> Any:
    """Return matrices from shape and entries as `Terms.describe` writes them; others as given."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return given
    found = []
    for matrix in given:
        if not isinstance(matrix, Mapping):
            return given
        try:
            shape = [whole(f"shape of {key}", size, 1, MOST_SITES) for size in matrix["shape"]]
            values, rows = np.asarray(matrix["values"]), np.asarray(matrix["rows"])
            columns = np.asarray(matrix["columns"])
            found.append(sparse(values, rows, columns, tuple(shape)))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"a matrix of {key} is {shown(dict(matrix))} ({error}); allowed: shape, rows, "
                "columns, values"
            ) from error
    return tuple(found)
