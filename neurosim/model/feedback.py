"""Feedback weights B: the matrix that carries messages back where it is not Wᵀ.

B is (n_pre, n_post), and `Network` stores it. How B moves with the weights is in
`equations/lagrangian`, how a mirror learns it between rows of a log in `simulation/weight_mirror`.
Start at `KINDS`.

References
----------
random: Lillicrap et al., Nat. Commun. 7, 13276 (2016); sign: Liao, Leibo & Poggio, AAAI 2016;
kolen_pollack: Kolen & Pollack, IJCNN 1994; mirror: Akrout et al., NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.arrays import real_array
from neurosim.model.weights import (
    Weights,
    at_synapses,
    synapses,
    transpose_hint,
    transposed,
    with_values,
)

SYMMETRIC, RANDOM, SIGN = "symmetric", "random", "sign"
KOLEN_POLLACK, MIRROR = "kolen_pollack", "mirror"
KINDS = (SYMMETRIC, RANDOM, SIGN, KOLEN_POLLACK, MIRROR)
FOLLOWING = (SIGN, KOLEN_POLLACK)  # kinds whose B moves at every step at which the weights do
DERIVED = (SYMMETRIC, SIGN)  # kinds whose B is determined by W, so it is not a parameter
DECAY = 0.01  # default `feedback_decay` of kolen_pollack


def size_of(w: Weights) -> float:
    """Return the root mean square of the weights of existing synapses; 0 if there are none."""
    values = synapses(w)
    if values.size == 0:
        return 0.0
    return float(np.sqrt(np.mean(np.square(values))))


def random_feedback(w: Weights, size: float, rng: np.random.Generator) -> Weights:
    """Draw B ~ N(0, size²), (n_pre, n_post), with the same synapses as W."""
    return transposed(with_values(w, size * rng.normal(size=synapses(w).shape)))


def scaled_signs(w: Weights, size: float) -> Weights:
    """Return size * sign(W), (n_post, n_pre), which is Bᵀ of the kind sign."""
    return with_values(w, size * np.sign(synapses(w)))


def checked_feedback(name: str, given: Any, w: Weights) -> Weights:
    """Validate B and return it as floats, (n_pre, n_post), with the same synapses as W.

    Parameters
    ----------
    name : str
        Name of the matrix, for messages.
    given : array-like or SciPy sparse array, (n_pre, n_post)
    w : array or csr_array, (n_post, n_pre)
        Weights of the projection.

    Raises
    ------
    ModelError
        Another shape, values that are not finite numbers, or synapses that W does not have.
    """
    from scipy.sparse import csr_array

    shape = (*w.shape[:-2], w.shape[-1], w.shape[-2])
    layout = "(n_pre, n_post)" if len(shape) == 2 else "(terms, pre features, post features)"
    allowed = f"{layout} = {shape}"
    dense = real_array(name, given, error=ModelError, allowed=allowed, booleans=False)
    if dense.shape != shape:
        hint = transpose_hint(dense.shape, shape)
        raise ModelError(f"{name} has shape {dense.shape}; allowed: {allowed}{hint}")
    if isinstance(w, np.ndarray):
        return dense
    exists = transposed(csr_array((np.ones(w.nnz), w.indices, w.indptr), shape=w.shape))
    if np.any(dense[exists.toarray() == 0]):
        raise ModelError(
            f"{name} has synapses that the weights do not have; "
            "allowed: those of the weights, transposed"
        )
    return transposed(with_values(w, at_synapses(w, dense.T)))
