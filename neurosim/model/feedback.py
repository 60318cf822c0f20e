"""Feedback weights: what carries messages back where that is not the transpose of what carried them
forward.

The message of a projection's synapses travels back through a matrix B of its own, (n_pre, n_post),
in place of Wᵀ. Beside `network`, which holds B; how B moves with the weights is in `lagrangian`,
and between rows of a log in `mirror`. Start at `KINDS`.

References
----------
random: Lillicrap et al., Nat. Commun. 7, 13276 (2016); sign: Liao, Leibo & Poggio, AAAI 2016; kolen_pollack: Kolen &
Pollack, IJCNN 1994; mirror: Akrout et al., NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.weights import Weights, at_synapses, synapses, transposed, with_values

SYMMETRIC, RANDOM, SIGN = "symmetric", "random", "sign"
KOLEN_POLLACK, MIRROR = "kolen_pollack", "mirror"
KINDS = (SYMMETRIC, RANDOM, SIGN, KOLEN_POLLACK, MIRROR)
FOLLOWING = (SIGN, KOLEN_POLLACK)  # those that move at every step at which the weights do
DECAY = 0.01  # of kolen_pollack, where none is given


def size_of(w: Weights) -> float:
    """Root mean square of the weights of the synapses that exist, unit 1."""
    values = synapses(w)
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def random_feedback(w: Weights, size: float, rng: np.random.Generator) -> Weights:
    """B ~ N(0, size²), (n_pre, n_post), of the synapses that W has."""
    return transposed(with_values(w, size * rng.normal(size=synapses(w).shape)))


def signs(w: Weights, size: float) -> Weights:
    """B = size sign(Wᵀ), (n_pre, n_post)."""
    return transposed(with_values(w, size * np.sign(synapses(w))))


def checked(name: str, given: Any, w: Weights) -> Weights:
    """B as a projection keeps it: floats, (n_pre, n_post), and a synapse back for each that W has.

    Raises
    ------
    ModelError
        Another shape, what is no number, or other synapses than W's.
    """
    from scipy.sparse import csr_array, issparse

    shape = w.shape[::-1]
    try:
        dense = np.array(given.toarray() if issparse(given) else given, dtype=float)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name} is not an array of numbers; allowed: (n_pre, n_post) = {shape}"
        ) from error
    if dense.shape != shape:
        hint = "; try the transpose" if dense.shape == shape[::-1] else ""
        raise ModelError(
            f"{name} has shape {dense.shape}; allowed: (n_pre, n_post) = {shape}{hint}"
        )
    if not np.isfinite(dense).all():
        raise ModelError(f"{name} holds NaN or infinity; allowed: finite numbers")
    if isinstance(w, np.ndarray):
        return dense
    there = transposed(csr_array((np.ones(w.nnz), w.indices, w.indptr), shape=w.shape))
    if np.any(dense[there.toarray() == 0]):
        raise ModelError(
            f"{name} has synapses that the weights do not have; allowed: those of the "
            "weights, turned"
        )
    return transposed(with_values(w, at_synapses(w, dense.T)))
