"""Constraint functions G(g) in plain NumPy, and the terms that they add to L.

The formulas of the built-in kinds are written here a second time; the engine does not share them.
Start at `constraint`.

References
----------
lin, lin_eps, abs, abs_eps: Marra et al. 2020, arXiv 2002.07720.
tube: |g| <= epsilon by the augmented Lagrangian of Rockafellar, J. Optim. Theory Appl. 12, 555
(1973), two-sided as in Bertsekas, Constrained Optimization and Lagrange Multiplier Methods, 1982,
section 3.1. One multiplier; lam_plus and lam_minus are its positive and its negative part.
"""

from __future__ import annotations

import numpy as np

from neurosim.model import expressions
from neurosim.model.populations import Population

Array = np.ndarray


def constraint(
    population: Population,
    g: Array,
    lam: Array | float = 0.0,
    rho: float = 0.0,
    judged: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """G(g) and its slope G'(g); a tube's depend on lam and rho.

    Parameters
    ----------
    population : Population
    g, lam : array, (patterns, units), unit 1
    rho : float
        Weight of the augmentation, used by a tube only. At 0 the slack stays at the wall wherever
        the multiplier is not 0, the limit of small rho.
    judged : (g, lam), optional
        State that decides on which side of each kink the population is, in place of `g` and `lam`.
        G is then 0 within a tube.

    Returns
    -------
    G, slope : array, (patterns, units), unit 1
    """
    width = population.epsilon
    judged_g = g if judged is None else judged[0]
    G: Array | float
    slope: Array | float
    match population.constraint:
        case "none":
            G, slope = 0.0, 0.0
        case "lin":
            G, slope = g, 1.0
        case "lin_eps":
            slope = np.where(np.abs(judged_g) >= width, 1.0, 0.0)
            G = slope * (g - width * np.sign(judged_g))
        case "abs":
            slope = np.sign(judged_g)
            G = slope * g
        case "abs_eps":
            slope = np.where(np.abs(judged_g) >= width, np.sign(judged_g), 0.0)
            G = slope * g - width * np.abs(slope)
        case "squared":
            G, slope = g**2, 2 * g
        case "tube":
            G, slope = _tube(width, g, lam, rho, judged)
        case formula:
            G = expressions.numpy_function(formula, ("g", "epsilon"))(g, width)
            slope = expressions.numpy_derivative(formula, ("g", "epsilon"), "g")(g, width)
    return np.broadcast_to(G, g.shape), np.broadcast_to(slope, g.shape)


def _tube(
    width: float, g: Array, lam: Array | float, rho: float, judged: tuple[Array, Array] | None
) -> tuple[Array, Array]:
    """G = g - s and its slope, for the slack |s| <= width that minimises lam G + (rho/2) G²."""
    judged_g, judged_lam = (g, lam) if judged is None else judged
    if rho > 0:
        tension = judged_g + judged_lam / rho
    else:
        tension = np.where(judged_lam != 0, np.copysign(np.inf, judged_lam), judged_g)
    slope = np.where(np.abs(tension) >= width, 1.0, 0.0)
    within: Array | float = 0.0
    if rho != 0 and judged is None:
        within = -lam / rho
    return np.where(slope > 0, g - width * np.sign(tension), within), slope


def multiplier_terms(population: Population, rho: float, g: Array, lam: Array) -> Array:
    """lam G + (rho/2) G² of every unit, from the definition; of a tube, its minimum over the slack.

    Parameters
    ----------
    population : Population
    rho : float, unit 1
    g, lam : array, (patterns, units), unit 1

    Returns
    -------
    array, (patterns, units), unit 1
    """
    width = population.epsilon
    match population.constraint:
        case "none":
            return np.zeros_like(g)
        case "lin":
            G = g
        case "lin_eps":
            G = np.maximum(g, width) - np.maximum(-g, width)
        case "abs":
            G = np.abs(g)
        case "abs_eps":
            G = np.maximum(np.abs(g) - width, 0.0)
        case "squared":
            G = g**2
        case "tube" if rho > 0:
            beyond = np.maximum(np.abs(lam + rho * g) - rho * width, 0.0)
            return np.asarray((beyond**2 - lam**2) / (2 * rho))
        case "tube":
            return np.asarray(lam * g - width * np.abs(lam))
        case formula:
            G = expressions.numpy_function(formula, ("g", "epsilon"))(g, width)
    return np.asarray(lam * G + rho / 2 * G**2)
