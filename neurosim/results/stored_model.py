"""Convert a model to JSON text and arrays by key, for datasets and files, and back.

Below `traces` and `files`. The keys are those of ``.npz`` archives of weights: the name of a
projection for its weights, (n_post, n_pre); ``pre->post.data``, ``.indices`` and ``.indptr`` for
the CSR parts of a sparse matrix; ``feedback.pre->post`` for feedback weights; the name of a
population for its biases, (units,). In a dataset a key has a prefix, see `parameter_name`. Start at
`parameter_variables`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import FileError, shown
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.weights import transposed, with_values

Array = np.ndarray
Variable = tuple[tuple[str, ...], Array]  # dimensions and values

FEEDBACK = "feedback."  # before the name of a projection: the key of its feedback weights
CSR_PARTS = ("data", "indices", "indptr")


def model_json(net: Network, flow: Flow, settings: Mapping[str, Any]) -> str:
    """Return the whole model without its weights, as JSON text."""
    from neurosim.version import __version__

    model = {
        "network": net.describe(),
        "flow": flow.as_dict(),
        "settings": dict(settings),
        "neurosim": __version__,
    }
    try:
        return json.dumps(model, default=_plain)
    except (TypeError, ValueError) as error:  # a key that is not text; a value within itself
        raise FileError(
            f"the model or its settings cannot be stored: {error}; allowed: names that are text, "
            f"and values that do not hold themselves; settings = {shown(settings)}"
        ) from error


def _plain(value: Any) -> Any:
    """Return a value that JSON can represent in place of one that it cannot; at worst text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def parameter_variables(net: Network) -> dict[str, Variable]:
    """Return weights, feedback weights and biases as {key: (dimensions, array)}.

    Feedback weights are included only where they are parameters. They are (n_pre, n_post); of
    sparse ones only the values are stored, in the order of the weights' synapses.
    """
    variables: dict[str, Variable] = {}
    for name, weights in net.weights.items():
        if isinstance(weights, np.ndarray):
            variables[name] = (_dimensions(net, name), weights)
            continue
        synapse, row = f"synapse.{name}", f"row.{name}"
        variables[f"{name}.data"] = ((synapse,), weights.data)
        variables[f"{name}.indices"] = ((synapse,), weights.indices)
        variables[f"{name}.indptr"] = ((row,), weights.indptr)
    for name, feedback in net.feedback.items():
        if not net.projections[name].draws_feedback:
            continue
        key = f"{FEEDBACK}{name}"
        if isinstance(feedback, np.ndarray):
            *term, post, pre = _dimensions(net, name)
            variables[key] = ((*term, pre, post), feedback)
        else:
            values = transposed(feedback).data
            variables[key] = ((f"synapse.{name}",), values)
    for name, bias in net.biases.items():
        shares = len(bias) < net.populations[name].size
        variables[name] = ((f"feature.{name}" if shares else f"post.{name}",), bias)
    return variables


def _dimensions(net: Network, name: str) -> tuple[str, ...]:
    """Return the dimensions of a dense matrix of weights, or of shared weights.

    Their prefixes differ, since xarray does not allow one dimension twice, and a projection may
    lead from a population to itself.
    """
    projection = net.projections[name]
    if projection.shares:
        own = (f"feature.{projection.post}", f"pre_feature.{projection.pre}")
        return (f"term.{name}", *own)
    return f"post.{projection.post}", f"pre.{projection.pre}"


def parameter_name(key: str) -> str:
    """Return the variable of a dataset that holds a parameter.

    The key alone would look like a recorded variable.

    Examples
    --------
    >>> parameter_name("input->output"), parameter_name("output")
    ('weights.input->output', 'bias.output')
    """
    if key.startswith(FEEDBACK):
        return key
    if "->" in key:
        return f"weights.{key}"
    return f"bias.{key}"


def parameter_keys(description: Mapping[str, Any]) -> list[str]:
    """Return the keys of all parameters of a network, from its `describe()`."""
    keys: list[str] = []
    for described in description["projections"]:
        name = _projection_name(described)
        if described["sparse"]:
            keys += [f"{name}.{part}" for part in CSR_PARTS]
        else:
            keys.append(name)
        if _draws_feedback(described):
            keys.append(f"{FEEDBACK}{name}")
    return keys + _unclamped(description)


def parameters_from(
    description: Mapping[str, Any], arrays: Mapping[str, Array]
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Any]]:
    """Return weights by projection, biases by population, and feedback weights by projection.

    Parameters
    ----------
    description : mapping
        Description of the network, from its `describe()`.
    arrays : {key: array}
        As from `parameter_variables`.

    Raises
    ------
    ValueError
        The parts of a sparse matrix do not fit each other.
    """
    sizes: dict[str, int] = {}
    for population in description["populations"]:
        sizes[population["name"]] = population["size"]
    weights: dict[str, Any] = {}
    feedback: dict[str, Any] = {}
    for described in description["projections"]:
        name = _projection_name(described)
        if described["sparse"]:
            shape = sizes[described["post"]], sizes[described["pre"]]
            weights[name] = _sparse_matrix(name, arrays, shape)
        else:
            weights[name] = arrays[name]
        stored = arrays.get(f"{FEEDBACK}{name}")
        if stored is None:
            continue
        if described["sparse"]:
            feedback[name] = transposed(with_values(weights[name], stored))
        else:
            feedback[name] = stored
    biases = {name: arrays[name] for name in _unclamped(description)}
    return weights, biases, feedback


def _projection_name(described: Mapping[str, Any]) -> str:
    """Return the name of a described projection, ``pre->post``."""
    return f"{described['pre']}->{described['post']}"


def _sparse_matrix(name: str, arrays: Mapping[str, Array], shape: tuple[int, int]) -> Any:
    """Build a csr_array from its parts, which are checked."""
    from scipy.sparse import csr_array

    parts = [arrays[f"{name}.{part}"] for part in CSR_PARTS]
    matrix = csr_array(tuple(parts), shape=shape)
    # With an index that is out of range, SciPy would read memory outside the arrays.
    matrix.check_format(full_check=True)
    return matrix


def _unclamped(description: Mapping[str, Any]) -> list[str]:
    """Return the names of the populations that have a bias."""
    return [p["name"] for p in description["populations"] if not p["clamped"]]


def _draws_feedback(described: Mapping[str, Any]) -> bool:
    """Return whether the feedback weights of a described projection are parameters."""
    kind = described.get("feedback", SYMMETRIC)
    return Projection(described["pre"], described["post"], feedback=kind).draws_feedback
