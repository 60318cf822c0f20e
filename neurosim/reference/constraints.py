"""Constraint functions G(g) in plain NumPy, and what they add to the scalar L.

Its own formulas for the built-in kinds, shared with nothing that is simulated. Start at
`constraint`.

References
----------
lin, lin_eps, abs, abs_eps: Marra et al. 2020, arXiv 2002.07720. tube: |g| <= epsilon by the augmented Lagrangian of
Rockafellar, J. Optim. Theory Appl. 12, 555 (1973), two-sided as in Bertsekas, Constrained Optimization and Lagrange
Multiplier Methods, 1982, section 3.1: one multiplier, of which lam_plus and lam_minus are the two signs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.model import expressions
from neurosim.model.network import Network
from neurosim.model.populations import Population
from neurosim.reference.functions import net_input, sigma

Array = np.ndarray


def violation(net: Network, population: str, outputs: Mapping[str, Array]) -> Array:
    """g = x - sigma(a) of one population, (patterns, units), from the outputs of all."""
    activation = net.populations[population].activation
    return np.asarray(outputs[population] - sigma(activation, net_input(net, population, outputs)))


def constraint(
    population: Population,
    g: Array,
    lam: Array | float = 0.0,
    rho: float = 0.0,
    judged: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """G and its slope G'(g) of a population's units; a tube's depend on lam and rho.

    Parameters
    ----------
    population : Population
    g, lam : array, (patterns, units), unit 1
    rho : float
        Of a tube; 0 is its limit, where a multiplier that is not 0 keeps its slack at the wall.
    judged : (g, lam), optional
        In their place where it is judged on which side of a kink the state is; within a tube G is 0
        then.

    Returns
    -------
    tuple of two arrays, (patterns, units), unit 1
    """
    at, width = (g if judged is None else judged[0]), population.epsilon
    G: Array | float
    slope: Array | float
    match population.constraint:
        case "none":
            G, slope = 0.0, 0.0
        case "lin":
            G, slope = g, 1.0
        case "lin_eps":
            slope = np.where(np.abs(at) >= width, 1.0, 0.0)
            G = slope * (g - width * np.sign(at))
        case "abs":
            slope = np.sign(at)
            G = slope * g
        case "abs_eps":
            slope = np.where(np.abs(at) >= width, np.sign(at), 0.0)
            G = slope * g - width * np.abs(slope)
        case "squared":
            G, slope = g**2, 2 * g
        case "tube":
            pull = lam if judged is None else judged[1]
            tension = (
                at + pull / rho if rho > 0 else np.where(pull != 0, np.copysign(np.inf, pull), at)
            )
            slope = np.where(np.abs(tension) >= width, 1.0, 0.0)
            within = 0.0 if rho == 0 or judged is not None else -lam / rho
            G = np.where(slope > 0, g - width * np.sign(tension), within)
        case formula:
            G = expressions.numpy_function(formula, ("g", "epsilon"))(g, width)
            slope = expressions.numpy_derivative(formula, ("g", "epsilon"), "g")(g, width)
    return np.broadcast_to(G, g.shape), np.broadcast_to(slope, g.shape)


def price(population: Population, rho: float, g: Array, lam: Array) -> Array:
    """lam G + (rho/2) G² of every unit, straight from the definition; of a tube the least over its
    slack.
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
            return np.asarray(
                (np.maximum(np.abs(lam + rho * g) - rho * width, 0.0) ** 2 - lam**2) / (2 * rho)
            )
        case "tube":
            return np.asarray(lam * g - width * np.abs(lam))
        case formula:
            G = expressions.numpy_function(formula, ("g", "epsilon"))(g, width)
    return np.asarray(lam * G + rho / 2 * G**2)
