"""The flow of a network with extensions, in plain NumPy and SciPy.

Extensions are read by the grammar of `model.extension_text` and evaluated here, node by node;
the engine takes the same texts from Brian2. So what is outside of that grammar, such as noise, has
no reference: see `unread`. Start at `ExtendedFlow`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import ConvergenceError, ModelError
from neurosim.model.extension import STATES, Extension, merged
from neurosim.model.extension_text import (
    OPERATORS,
    PARAMETER,
    READABLE,
    STATE,
    UNITS,
    Variable,
    read_equations,
    read_expression,
)
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.reference.functions import (
    dsigma,
    n_patterns,
    net_input,
    received,
    sigma,
    violation_at,
)
from neurosim.reference.losses import loss_slope, output_slope
from neurosim.reference.ode import messages_at, rates_at
from neurosim.reference.trajectory import sharpness

Array = np.ndarray
Values = dict[str, Any]  # of variables of one population, arrays (patterns, units) or numbers

NUMPY: Mapping[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "arctan": np.arctan,
    "abs": np.abs,
    "sign": np.sign,
    "max": np.maximum,
    "min": np.minimum,
}


@dataclass(frozen=True)
class Extended:
    """State of an extended flow, or its rates of change in 1/s.

    Attributes
    ----------
    x, lam : dict of str to array, (patterns, units)
        By population that is not clamped.
    own : dict of str to array, (patterns, units)
        States of the extensions, by "population.variable".
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    own: dict[str, Array]


def unread(extensions: Sequence[Extension]) -> str:
    """Return why the reference cannot evaluate these extensions, or "" if it can."""
    try:
        _read(extensions)
    except ModelError as error:
        return str(error)
    return ""


def own_states(net: Network, extensions: Sequence[Extension]) -> list[str]:
    """Return the own states of extensions of populations that are not clamped.

    As "population.variable".

    Raises
    ------
    ModelError
        A text that is not of the grammar.
    """
    found = []
    for own in _read(extensions):
        if own.population in net.neurons:
            found += [f"{own.population}.{v.name}" for v in own.variables if v.kind == STATE]
    return found


class ExtendedFlow:
    """The flow of x, lam and the extensions' own states, with fixed weights.

    Parameters
    ----------
    net : Network
    flow : Flow
    extensions : sequence of Extension
    X, Y : array or mapping
        Inputs and targets, clamped throughout.

    Raises
    ------
    ModelError
        A text that is not of the grammar, or reads what its population does not have.
    DataError
        X or Y do not fit the network.
    """

    def __init__(
        self, net: Network, flow: Flow, extensions: Sequence[Extension], X: Any, Y: Any
    ) -> None:
        self.net = net
        self.flow = flow
        self.clamped = patterns(net, X)
        self.count = n_patterns(self.clamped)
        self.targets = targets(net, Y, self.count)
        self.own = _read(extensions)

    def initial(self) -> dict[str, Array]:
        """Return the extensions' own states at the start of a run."""
        found = {}
        for own in self.own:
            for v in own.variables:
                if v.kind != STATE:
                    continue
                size = self.net.populations[own.population].size
                shape = (self.count, size)
                value = own.parameters.get(v.name, 0.0)
                if np.size(value) == self.count * size:
                    value = np.reshape(value, shape)
                found[f"{own.population}.{v.name}"] = np.broadcast_to(value, shape).astype(float)
        return found

    def at_zero(self) -> Extended:
        """Return the state x = lam = 0, with the own states of the start."""
        x, lam = {}, {}
        for n in self.net.neurons:
            shape = (self.count, self.net.populations[n].size)
            x[n], lam[n] = np.zeros(shape), np.zeros(shape)
        return Extended(x, lam, self.initial())

    def rates(self, state: Extended, time: float = 0.0, step: float = 0.0) -> Extended:
        """Return the rates of change at a state.

        Parameters
        ----------
        state : Extended
        time : float, s
            Value of `t`.
        step : float, s
            As in `right_hand_side`.
        """
        net, flow = self.net, self.flow
        plain = rates_at(net, flow, state.x, state.lam, self.clamped, self.targets, False, step)
        found = Extended(dict(plain.x), dict(plain.lam), {})
        units = self._units(state, step)
        for own in self.own:
            n = own.population
            values: Values = {**units[n], "t": time}
            for v in own.variables:
                if v.kind == STATE:
                    values[v.name] = state.own[f"{n}.{v.name}"]
            value = own.evaluator(values, self.count, net.populations[n].size)
            for z, rates in (("x", found.x), ("lam", found.lam)):
                if own.terms[f"d{z}"] is not None:
                    rates[n] = np.broadcast_to(value(own.terms[f"d{z}"]), rates[n].shape)
                if own.terms[z] is not None:
                    rates[n] = rates[n] + value(own.terms[z])
            for v in own.variables:
                if v.kind == STATE:
                    key = f"{n}.{v.name}"
                    found.own[key] = np.broadcast_to(value(v.expression), state.own[key].shape)
        return found

    def _units(self, state: Extended, step: float) -> dict[str, Values]:
        """Return what a text may read of each population."""
        net, flow = self.net, self.flow
        outputs, G, slope_G, mu, delta = messages_at(
            net, flow, state.x, state.lam, self.clamped, self.targets, step
        )
        units: dict[str, Values] = {n: {"x": x} for n, x in self.clamped.items()}
        for n in net.neurons:
            population = net.populations[n]
            a, x = net_input(net, n, outputs), outputs[n]
            feedback = received(net, n, delta)
            pull = output_slope(net, n, x, self.targets)
            units[n] = {
                **{name: getattr(flow, name) for name in ("kappa", "gamma", "rho")},
                **{name: flow.time(name, n) for name in ("tau_x", "tau_lam")},
                "x": x,
                "lam": mu[n] if population.free else state.lam[n],
                "a": a,
                "sigma": sigma(population.activation, a),
                "dsigma": dsigma(population.activation, a),
                "g": violation_at(population.activation, x, a),
                "G": G[n],
                "dG": slope_G[n],
                "epsilon": population.epsilon,
                "activity_l1": population.activity_l1,
                "mu": mu[n],
                "delta": delta[n],
                "feedback": feedback,
                "dL_dx": pull + mu[n] - feedback,
            }
            if n in net.losses:
                units[n]["y"] = self.targets[n]
                units[n]["dV_dx"] = loss_slope(
                    net.losses[n], x, self.targets[n], population.features
                )
        return units

    def solve(self, start: Extended, duration: float) -> Extended:
        """Return the state after a time, s, by SciPy's DOP853.

        Raises
        ------
        ConvergenceError
            SciPy gives up.
        """
        from scipy import integrate

        step = sharpness(self.net, self.flow)

        def right(time: float, vector: Array) -> Array:
            return _packed(self.rates(_unpacked(vector, start), time, step))

        solution = integrate.solve_ivp(
            right, (0.0, duration), _packed(start), method="DOP853", rtol=1e-10, atol=1e-12
        )
        if not solution.success or not np.isfinite(solution.y[:, -1]).all():
            raise ConvergenceError(
                f"SciPy gave up on the extended flow before {duration:g} s: {solution.message}; "
                "try a shorter duration"
            )
        return _unpacked(solution.y[:, -1], start)

    def speed(self, state: Extended) -> float:
        """Return the largest rate of change per time constant, unit 1.

        Own states count by the tau_x of their population.
        """
        rates = self.rates(state)
        found: list[float] = []
        for z, by_population in zip(STATES, (rates.x, rates.lam), strict=True):
            for n, rate in by_population.items():
                found.append(float(np.abs(rate).max()) * self.flow.time(f"tau_{z}", n))
        for key, rate in rates.own.items():
            population = key.partition(".")[0]
            if population in self.net.neurons:
                found.append(float(np.abs(rate).max()) * self.flow.time("tau_x", population))
        return max(found)


def _read(extensions: Sequence[Extension]) -> list[_Own]:
    """Return the texts of all extensions, read, by population."""
    populations = dict.fromkeys(e.population for e in extensions)
    return [_Own(merged(population, extensions)) for population in populations]


class _Own:
    """The texts of one extension, read.

    Attributes
    ----------
    population : str
    variables : tuple of Variable
    terms : dict of str to syntax tree or None
        Of x, lam, dx and dlam.
    parameters : dict of str to number or array
        In base units.
    """

    def __init__(self, e: Extension) -> None:
        what = f"the extension of {e.population}"
        self.population = e.population
        self.variables = read_equations(f"equations of {what}", e.equations, READABLE)
        self.values = {v.name: v for v in self.variables if v.kind != STATE}
        names = (*READABLE, *(v.name for v in self.variables))
        self.terms: dict[str, ast.expr | None] = {}
        for key in ("x", "lam", "dx", "dlam"):
            text = getattr(e, key)
            self.terms[key] = None
            if text.strip():
                self.terms[key] = read_expression(f"{key} of {what}", text, names)
        self.parameters = {name: np.asarray(value) for name, value in e.parameters.items()}

    def evaluator(self, values: Values, count: int, size: int) -> Callable[[Any], Any]:
        """Return the function that evaluates a syntax tree at the values of a moment.

        Parameters
        ----------
        values : dict of str to array or number
            Of all variables but this extension's parameters and values; completed on the way.
        count, size : int
            Patterns and units.
        """

        def named(name: str) -> Any:
            if name in UNITS:
                return UNITS[name][1]
            if name not in values:
                values[name] = self._declared(name, count, size, evaluate)
            return values[name]

        def evaluate(tree: Any) -> Any:
            return _evaluated(tree, named)

        return evaluate

    def _declared(self, name: str, count: int, size: int, evaluate: Callable[[Any], Any]) -> Any:
        """Return the value of a parameter or of an equation ``name = ...``."""
        variable: Variable | None = self.values.get(name)
        if variable is None:
            raise ModelError(
                f"{name!r} in an extension of {self.population}: this population does not have it; "
                "allowed: the names in sim.equations"
            )
        if variable.kind != PARAMETER:
            return evaluate(variable.expression)
        if name not in self.parameters:
            raise ModelError(
                f"the extension of {self.population} has no value for {name}; "
                "try Extension(..., parameters={...})"
            )
        value = self.parameters[name]
        return value.reshape(count, size) if value.size == count * size else value


def _evaluated(tree: Any, named: Callable[[str], Any]) -> Any:
    """Return the value of a checked syntax tree, given the values of names."""
    match tree:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return named(name)
        case ast.UnaryOp(operand=operand):
            sign = -1.0 if isinstance(tree.op, ast.USub) else 1.0
            return sign * _evaluated(operand, named)
        case ast.Call(func=ast.Name(id=name), args=given):
            return NUMPY[name](*(_evaluated(argument, named) for argument in given))
    return OPERATORS[type(tree.op)](_evaluated(tree.left, named), _evaluated(tree.right, named))


def _packed(state: Extended) -> Array:
    """Return all arrays of a state as one vector."""
    arrays = [*state.x.values(), *state.lam.values(), *state.own.values()]
    return np.concatenate([np.ravel(array) for array in arrays])


def _unpacked(vector: Array, like: Extended) -> Extended:
    """Return a vector as a state with the shapes of another; arrays are views."""
    found = Extended({}, {}, {})
    place = 0
    for part in ("x", "lam", "own"):
        for name, array in getattr(like, part).items():
            getattr(found, part)[name] = vector[place : place + array.size].reshape(array.shape)
            place += array.size
    return found
