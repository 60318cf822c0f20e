"""User-written learning rules at every synapse and pattern, without splitting them into products.

Plain NumPy, of memory (patterns, n_post, n_pre): a check of the engine's steps, which are matrix
products. Start at `one_step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.model.rule_text import NOISE, OF_UNIT, WEIGHT

if TYPE_CHECKING:
    import sympy

Array = np.ndarray
Ends = Mapping[tuple[str, str], Array]


def rate(
    net: Network, name: str, x: Mapping[str, Array], delta: Mapping[str, Array], tau_w: float
) -> Array:
    """Return dw/dt of a projection with a rule of `w` alone, (n_post, n_pre), 1/s.

    Parameters
    ----------
    net : Network
    name : str
        The projection; a population for its biases, (n,).
    x, delta : dict of str to array, (patterns, units)
        By population.
    tau_w : float, s

    Raises
    ------
    ModelError
        The rule has other variables, modulators, noise or assignments, or reads another variable
        of its ends: then dw/dt is not a function of these arguments.
    """
    rule, post, pre = _rule_of(net, name)
    known = {("x", "pre"), ("x", "post"), ("delta", "post")}
    if pre in net.neurons:
        known.add(("delta", "pre"))
    simple = not (rule.own_variables or rule.modulators or rule.after or rule.is_random)
    if not simple or not rule.ends_read <= known or "t" in _names(rule) or "dt" in _names(rule):
        raise ModelError(
            f"the reference has no rate for the rule of {name}, {rule!r}; allowed: rules of w, x, "
            "delta and parameters; try plastic=False"
        )
    ends: dict[tuple[str, str], Array] = {}
    for variable, end in rule.ends_read:
        values = x if variable == "x" else delta
        if end == "post":
            ends[variable, end] = values[post]
        elif pre:
            ends[variable, end] = values[pre]
        else:  # biases are weights from a unit whose output is 1
            ends[variable, end] = np.ones((len(x[post]), 1))
    w = net.biases[name][:, None] if pre == "" else _dense(net.weights[name])
    shared = {**rule.constants, "tau_w": tau_w}
    (equation,) = rule.flow
    found = _mean(equation.rate, {WEIGHT: w}, ends, shared)
    return found[:, 0] if pre == "" else found


def one_step(
    rule: Plasticity,
    synapses: Mapping[str, Array],
    ends: Ends,
    shared: Mapping[str, float],
    step: float,
    *,
    gate_is_open: bool = True,
    draws: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Return the variables of all synapses after one Euler step of a rule.

    Parameters
    ----------
    rule : Plasticity
    synapses : dict of str to array, (n_post, n_pre)
        `w` and the rule's own variables.
    ends : dict of (str, str) to array, (patterns, units)
        Variables of the two ends, by name and "pre" or "post".
    shared : dict of str to float
        tau_w, t, parameters and modulators.
    step : float, s
    gate_is_open : bool
        Whether the variables in `gated` move.
    draws : dict of str to array, (n_post, n_pre), optional
        Normal numbers ``xi``, and numbers such as ``rand_1`` of the assignments.

    Examples
    --------
    >>> rule = Plasticity("dw/dt = x_post*x_pre/tau_w : 1")
    >>> ends = {("x", "pre"): np.ones((1, 2)), ("x", "post"): np.full((1, 1), 3.0)}
    >>> one_step(rule, {"w": np.zeros((1, 2))}, ends, {"tau_w": 1.0}, 0.5)["w"]
    array([[1.5, 1.5]])
    """
    found = {name: np.array(values, dtype=float) for name, values in synapses.items()}
    shared = {**shared, **rule.constants, "dt": step}
    draws = {} if draws is None else draws
    for equation in rule.flow:
        if not gate_is_open and equation.variable in rule.gated:
            continue
        change = step * _mean(equation.rate, found, ends, shared)
        if equation.noise != 0:
            factor = _mean(equation.noise, found, {}, shared)
            change = change + np.sqrt(step) * factor * draws[NOISE]
        found[equation.variable] = found[equation.variable] + change
    for variable, formula in rule.assignments:
        if gate_is_open or variable not in rule.gated:
            found[variable] = _mean(formula, {**found, **draws}, {}, shared)
    return found


def check_built_in(net: Network) -> None:
    """Refuse user-written rules where derivatives of the built-in one are taken.

    Raises
    ------
    ModelError
        A projection or a population with another rule.
    """
    for name, q in net.projections.items():
        if q.plastic and q.own_rule is not None:
            raise _without_derivative(name, q.own_rule)
    for name in net.neurons:
        p = net.populations[name]
        if p.plastic_bias and p.own_bias_rule is not None:
            raise _without_derivative(name, p.own_bias_rule)


def _without_derivative(name: str, rule: Plasticity) -> ModelError:
    return ModelError(
        f"{name} has the rule {rule!r}, whose derivatives the reference does not take; "
        "allowed: the built-in rule, or plastic=False"
    )


def _mean(
    formula: sympy.Expr, synapses: Mapping[str, Array], ends: Ends, shared: Mapping[str, float]
) -> Array:
    """Return the mean over patterns of a formula at every synapse."""
    import sympy

    values: dict[str, Any] = dict(shared)
    for name, own in synapses.items():
        values[name] = own[None]
    for (name, end), rows in ends.items():
        values[f"{name}_{end}"] = rows[:, :, None] if end == "post" else rows[:, None, :]
    symbols = sorted(formula.free_symbols, key=str)
    function = sympy.lambdify(symbols, formula, "numpy")
    found = np.asarray(function(*(values[str(symbol)] for symbol in symbols)), dtype=float)
    count = max((len(rows) for rows in ends.values()), default=1)
    shape = next(iter(synapses.values())).shape
    mean: Array = np.broadcast_to(found, (count, *shape)).mean(axis=0)
    return mean


def _rule_of(net: Network, name: str) -> tuple[Plasticity, str, str]:
    """Return a rule and its ends; "" for the missing end of biases."""
    if name in net.populations:
        rule, post, pre = net.populations[name].own_bias_rule, name, ""
    else:
        q = net.projections[name]
        rule, post, pre = q.own_rule, q.post, q.pre
    assert rule is not None
    return rule, post, pre


def _names(rule: Plasticity) -> set[str]:
    found = set()
    for equation in rule.flow:
        for symbol in equation.rate.free_symbols:
            if not OF_UNIT.fullmatch(str(symbol)):
                found.add(str(symbol))
    return found


def _dense(weights: Any) -> Array:
    if isinstance(weights, np.ndarray):
        return weights
    return np.asarray(weights.toarray())
