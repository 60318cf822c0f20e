"""Values that are loaded into an engine before a run: parameters, weights and biases.

Keys are (group, variable). Above `lagrangian` and `plan`, below `simulation`. Start at
`parameters`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.mixing import table_values
from neurosim.engine.names import TABLE_ARRAYS, bias_group, projection_group
from neurosim.engine.plan import Plan
from neurosim.errors import ModelError, shown, unknown
from neurosim.model.arrays import real_array
from neurosim.model.equations import lagrangian
from neurosim.model.extension import Extension
from neurosim.model.flow import Flow
from neurosim.model.methods import STAGED
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
Key = tuple[str, str]


def parameters(net: Network, flow: Flow, step: float) -> dict[Key, Any]:
    """Return gains, time constants, weights and biases by (group, variable).

    Parameters
    ----------
    net : Network
    flow : Flow
    step : float
        Step that a tube constraint reads, s; 0 where messages are sent anew at every stage.
    """
    values: dict[Key, Any] = {}
    for n in net.neurons:
        _put(values, n, lagrangian.shared(net, flow, n, step))
        learns = net.populations[n].plastic_bias
        tau_w = flow.time("tau_w", n) if learns else math.inf
        _put(values, bias_group(n), {"tau_w": tau_w, "w": net.biases[n]})
    for name, q in net.projections.items():
        group = projection_group(name)
        values[group, "tau_w"] = flow.time("tau_w", q.post) if q.plastic else math.inf
        _put(values, group, q.penalties)
        values[group, "l2"] = q.decay
        if name in net.feedback:
            back = synapses(net.returning(name))
            values[group, "back"] = back if back.size else 0.0
            values[group, "back_size"] = q.feedback_size or 0.0
        _put(values, group, _stored(net.weights[name]))
    return values


def _put(values: dict[Key, Any], group: str, own: Mapping[str, Any]) -> None:
    """Add the values of one group, given by variable."""
    for variable, value in own.items():
        values[group, variable] = value


def _stored(w: Weights) -> dict[str, Any]:
    """Return weights as `groups.Synapses` stores them; no synapses become one of weight 0."""
    if isinstance(w, np.ndarray):
        return {"w": w}
    if w.nnz:
        return {"w": w.data, "row": w.indptr, "col": w.indices}
    return {"w": 0.0, "row": 0, "col": 0}


def initial_values(plan: Plan, flow: Flow, dt: float, engine: Engine) -> dict[Key, Any]:
    """Return the values of `parameters`, events, extensions, rules and imperfections.

    Parameters
    ----------
    plan : Plan
    flow : Flow
    dt : float
        Time between two messages, s.
    engine : Engine
        Its arrays determine the sizes that parameters of an extension may have.

    Raises
    ------
    ModelError
        Parameters of an extension that are unknown, missing or of another shape.
    """
    step = 0.0 if plan.method in STAGED else plan.dt
    values = parameters(plan.net, flow, step)
    for source in plan.event_sources:
        _put(values, source.population, source.constants(flow, dt))
    for extension in plan.extensions:
        _put(values, extension.population, _extension_values(extension, engine))
    for group, rule in plan.rules.items():
        _put(values, group, rule.values)
    return values | shared_tables(plan, engine) | _imperfection_values(plan, flow)


def shared_tables(plan: Plan, engine: Engine) -> dict[Key, Any]:
    """Return the tables of shared weights, for an engine that reads them."""
    values: dict[Key, Any] = {}
    for name in plan.net.projections:
        between = plan.net.between(name)
        group = projection_group(name)
        if between is not None and engine.has(group, TABLE_ARRAYS[0]):
            _put(values, group, table_values(between))
    return values


def _imperfection_values(plan: Plan, flow: Flow) -> dict[Key, Any]:
    """Return the values of the variables that imperfections add or replace."""
    imperfections = plan.imperfections
    net = plan.net
    values: dict[Key, Any] = {}
    for number, (n, population) in enumerate(net.populations.items()):
        _put(values, n, imperfections.constants(population.clamped))
        if imperfections.own_times and not population.clamped:
            factors = imperfections.times(number, population.size)
            for variable, own in zip(("tau_x", "tau_lam"), factors, strict=True):
                times = flow.time(variable, n) * own
                values[n, variable] = np.tile(times, plan.patterns)
    if plan.dale:
        signs = imperfections.signs(net)
        for name, q in net.projections.items():
            values[projection_group(name), "sign"] = signs[q.pre]
    return values


def _extension_values(e: Extension, engine: Engine) -> dict[str, Array]:
    """Return the values of an extension's parameters, and initial values of its own states.

    Raises
    ------
    ModelError
        Parameters that are unknown, missing or of another shape.
    """
    from neurosim.engine.quiet import equations

    own = equations(e.equations)
    allowed = own.parameter_names | own.diff_eq_names
    found = {}
    for name, value in e.parameters.items():
        if name not in allowed:
            raise unknown(f"parameter of the extension of {e.population}", name, sorted(allowed))
        found[name] = _parameter(e, name, value, own[name].dim, engine)
    missing = ", ".join(sorted(own.parameter_names - set(found)))
    if missing:
        raise ModelError(
            f"the extension of {e.population} has no value for {missing}; "
            "try Extension(..., parameters={...})"
        )
    return found


def _parameter(e: Extension, name: str, value: Any, dimensions: Any, engine: Engine) -> Array:
    """Return one parameter of an extension as numbers in the base unit of its declaration."""
    from brian2.units.fundamentalunits import Quantity, get_dimensions

    label = f"{name} of {e.population}"
    if isinstance(value, Quantity):
        if get_dimensions(value) != dimensions:
            raise ModelError(f"{label} = {shown(value)}; allowed: a value in units of {dimensions}")
        value = np.asarray(value)
    array = real_array(label, value, error=ModelError)
    size, patterns = engine.size(e.population, name), engine.plan.patterns
    shapes: list[tuple[int, ...]] = [(size,), (patterns, size // patterns)]
    if array.size != 1 and array.shape not in shapes:
        raise ModelError(
            f"{label} has shape {array.shape}; allowed: one number, or numbers of shape "
            f"{' or '.join(map(str, shapes))}"
        )
    return array
