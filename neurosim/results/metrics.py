"""Compare outputs, gradients and weights: accuracy, cosine and angle."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.data.patterns import labels, targets_by_site
from neurosim.data.sample_weights import weighted_mean
from neurosim.model.network import Network
from neurosim.model.weights import Weights

Array = np.ndarray


def accuracy(
    outputs: Array, classes: Array, middle: float = 0.0, weights: Array | None = None
) -> float:
    """Return the share of patterns whose largest output is that of their class.

    Parameters
    ----------
    outputs : (patterns, units), unit 1
        With a single unit, class 1 is predicted above `middle` and class 0 otherwise.
    classes : (patterns,) of int
    middle : float, unit 1
        0 by default.
    weights : (patterns,), optional
        Weights of the patterns in the share; all count alike by default.

    Examples
    --------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    if outputs.shape[1] > 1:
        right = outputs.argmax(axis=1) == classes
    else:
        above = outputs[:, 0] > middle
        right = above == (classes > 0)
    return float(weighted_mean(right, weights))


def share_correct(net: Network, x: Array, Y: Any, weights: Array | None = None) -> float | None:
    """Return the accuracy of a network's output; None if the targets are not classes.

    Where the output has sites, each site with a target counts as a pattern.

    Parameters
    ----------
    net : Network
    x : (patterns, units), unit 1
        Outputs of `net.output`.
    Y : array, or mapping of population to array
        Labels or targets as in `Simulation.train`; -1 at a site stands for none.
    weights : (patterns,), optional
        Weights of the patterns in the share; all count alike by default.

    Raises
    ------
    DataError
        Y does not fit the output.

    Examples
    --------
    >>> net = Network.recurrent(3, 1, 4, 2, read="every")
    >>> x = np.array([[0.1, 0.9, 0.8, 0.2, 0.3, 0.7]])  # class 1, 0 and 1
    >>> share_correct(net, x, [[1, -1, 0]])
    0.5
    """
    features = net.populations[net.output].features
    rows, known = targets_by_site(net, Y, len(x))
    targets = rows[known]
    classes = labels(targets, features) if len(targets) else None
    if classes is None:
        return None
    if weights is not None:
        weights = np.repeat(weights, known.size // len(x))[known]
    return accuracy(x.reshape(-1, features)[known], classes, middle(targets), weights)


def middle(Y: Any) -> float:
    """Return the midpoint of the two values of a target: 1/2 for 0 and 1, 0 for -1 and 1."""
    return 0.5 * float(np.min(Y) + np.max(Y))


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two arrays of one shape, read as vectors.

    It is 1 if both are zero, and 0 if one is.
    """
    size_a = float(np.abs(a).max(initial=0.0))
    size_b = float(np.abs(b).max(initial=0.0))
    if size_a == 0 or size_b == 0:
        return float(size_a == size_b)
    # Scaled by their largest entries, so that squares neither over- nor underflow.
    u = a / size_a
    v = b / size_b
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    found = np.vdot(u, v) / lengths
    return float(np.clip(found, -1, 1))


def angle(one: Weights, other: Weights) -> float:
    """Return the angle between two matrices of one shape, read as vectors, in degrees.

    It is 0 if both are zero, and 90 if one is. It is computed from the chord, which stays precise
    near 0 and 180 degrees, where an arc cosine would not.

    Examples
    --------
    >>> angle(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]))
    90.0
    """
    u = _flat(one)
    v = _flat(other)
    length_u = float(np.linalg.norm(u))
    length_v = float(np.linalg.norm(v))
    if length_u == 0 and length_v == 0:
        return 0.0
    if length_u == 0 or length_v == 0:
        return 90.0
    u = u / length_u
    v = v / length_v
    chord = np.linalg.norm(u - v)
    diagonal = np.linalg.norm(u + v)
    half = np.arctan2(chord, diagonal)
    return float(np.degrees(2 * half))


def _flat(matrix: Weights) -> Array:
    """Return all entries of a dense or sparse matrix as a vector."""
    if not isinstance(matrix, np.ndarray):
        matrix = matrix.toarray()
    return np.ravel(matrix)
