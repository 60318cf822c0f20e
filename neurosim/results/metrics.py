"""Numbers that compare outputs, gradients and weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.model.weights import Weights

Array = np.ndarray


def accuracy(outputs: Array, classes: Array, middle: float = 0.0) -> float:
    """Share of patterns whose largest output is the class; one output: its side of `middle`."""
    if outputs.shape[1] > 1:
        return float(np.mean(outputs.argmax(axis=1) == classes))
    return float(np.mean((outputs[:, 0] > middle) == (classes > 0)))


def middle(Y: Any) -> float:
    """Between the two values of a target with one output: 1/2 for 0 and 1, 0 for -1 and 1."""
    return 0.5 * float(np.min(Y) + np.max(Y))


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two arrays of one shape, read as vectors; 1 if both are zero, 0
    if one is.
    """
    sizes = [float(np.abs(v).max(initial=0.0)) for v in (a, b)]
    if 0 in sizes:
        return float(sizes[0] == sizes[1])
    u, v = a / sizes[0], b / sizes[1]  # squares neither over- nor underflow
    return float(np.clip(np.vdot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v)), -1, 1))


def angle(one: Weights, other: Weights) -> float:
    """Angle between two matrices, or other arrays of one shape, read as vectors, in degrees; 0 if
    both are zero.
    """
    u, v = (np.ravel(m if isinstance(m, np.ndarray) else m.toarray()) for m in (one, other))
    lengths = [float(np.linalg.norm(w)) for w in (u, v)]
    if 0 in lengths:
        return 0.0 if lengths[0] == lengths[1] else 90.0
    u, v = u / lengths[0], v / lengths[1]
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))
