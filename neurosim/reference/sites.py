"""Products with shared weights, term by term, in plain NumPy.

    a[s', f'] = sum_o sum_s A_o[s', s] sum_f W_o[f', f] x[s, f]

Written from this formula, without the engine's order of operations. Below `functions`. Start at
`product`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosim.model.shared import Between

Array = np.ndarray


def product(connected: Between, weights: Array, x: Array) -> Array:
    """W x at every site.

    Parameters
    ----------
    connected : Between
    weights : array, (terms, post features, pre features)
    x : array, (..., n_pre)

    Returns
    -------
    array, (..., n_post)
    """
    own = by_site(x, connected.pre_features)
    total: Any = 0.0
    for matrix, term in zip(connected.matrices, weights, strict=True):
        total = total + mixed(matrix, own) @ term.T
    return np.asarray(total.reshape(*x.shape[:-1], -1))


def returned(connected: Between, weights: Array, delta: Array) -> Array:
    """Wᵀ delta at every site; arguments as in `product`, delta (..., n_post)."""
    own = by_site(delta, connected.post_features)
    total: Any = 0.0
    for matrix, term in zip(connected.matrices, weights, strict=True):
        total = total + mixed(matrix.T, own) @ term
    return np.asarray(total.reshape(*delta.shape[:-1], -1))


def gradient(connected: Between, delta: Array, x: Array) -> Array:
    """Sum over the sites, and mean over the patterns, of what every synapse multiplies.

    Parameters
    ----------
    connected : Between
    delta : array, (..., patterns, n_post)
    x : array, (..., patterns, n_pre)
        One of the two may have leading axes.

    Returns
    -------
    array, (..., terms, post features, pre features)
    """
    post = by_site(delta, connected.post_features)
    pre = by_site(x, connected.pre_features)
    terms = []
    for matrix in connected.matrices:
        read = mixed(matrix, pre)
        terms.append(np.einsum("...ksg,...ksf->...gf", post, read, optimize=True))
    return np.asarray(np.stack(terms, axis=-3) / x.shape[-2])


def by_site(values: Array, features: int) -> Array:
    """Return (..., units) as (..., sites, features)."""
    return np.asarray(values.reshape(*values.shape[:-1], -1, features))


def mixed(matrix: Any, values: Array) -> Array:
    """Apply a matrix between sites, (post sites, pre sites), to (..., pre sites, features)."""
    *leading, sites, features = values.shape
    sites_first = np.moveaxis(values, -2, 0).reshape(sites, -1)
    read = np.asarray(matrix @ sites_first).reshape(-1, *leading, features)
    return np.asarray(np.moveaxis(read, 0, -2))
