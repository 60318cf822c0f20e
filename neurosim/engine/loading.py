"""What an engine is loaded with before a run: gains, time constants, weights, biases, and what else
equations read.

Keys are the engine's (group, variable). Above `lagrangian` and `engine.plan`, below `session` and
`together`, which load what is told here. Start at `parameters`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.names import bias_group, projection_group
from neurosim.engine.plan import Plan
from neurosim.errors import ModelError, unknown
from neurosim.model.equations import lagrangian
from neurosim.model.extension import Extension
from neurosim.model.flow import Flow
from neurosim.model.methods import STAGED
from neurosim.model.network import Network
from neurosim.model.weights import synapses

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
Key = tuple[str, str]


def parameters(net: Network, flow: Flow, step: float) -> dict[Key, Any]:
    """Gains, time constants, weights and biases, by the engine's (group, variable).

    Parameters
    ----------
    step : s
        Of which a tube knows; 0 where messages are sent anew within a step.
    """
    values: dict[Key, Any] = {}
    for n in net.neurons:
        values |= {(n, v): value for v, value in lagrangian.shared(net, flow, n, step).items()}
        learns = net.populations[n].plastic_bias
        values |= {(bias_group(n), "tau_w"): flow.time("tau_w", n) if learns else math.inf}
        values |= {(bias_group(n), "w"): net.biases[n]}
    for name, q in net.projections.items():
        group, w = projection_group(name), net.weights[name]
        values |= {(group, "tau_w"): flow.time("tau_w", q.post) if q.plastic else math.inf}
        values |= {(group, price): value for price, value in (q.prices | {"l2": q.decay}).items()}
        if name in net.feedback:
            back = synapses(net.returning(name))
            values |= {
                (group, "back"): back if back.size else 0.0,
                (group, "back_size"): q.feedback_size or 0.0,
            }
        if isinstance(w, np.ndarray):
            values[group, "w"] = w
        elif w.nnz:
            values |= {(group, "w"): w.data, (group, "row"): w.indptr, (group, "col"): w.indices}
        else:
            values |= {(group, "w"): 0.0, (group, "row"): 0, (group, "col"): 0}
    return values


def initial_values(plan: Plan, flow: Flow, dt: float, engine: Engine) -> dict[Key, Any]:
    """`parameters`, and those of events, extensions and imperfections.

    Parameters
    ----------
    dt : s
        Between two messages.
    engine : Engine
        Says how many values an extension's own parameter has.

    Raises
    ------
    ModelError
        Parameters of an extension that are unknown, missing or of another shape.
    """
    values = parameters(plan.net, flow, 0.0 if plan.method in STAGED else plan.dt)
    for o in plan.event_sources:
        values |= {(o.population, k): v for k, v in o.constants(flow, dt).items()}
    for e in plan.extensions:
        values |= {(e.population, k): v for k, v in _of_extension(e, engine).items()}
    return values | _lacking(plan, flow)


def _lacking(plan: Plan, flow: Flow) -> dict[Key, Any]:
    """What imperfections give values to."""
    lacks, net = plan.imperfections, plan.net
    values: dict[Key, Any] = {}
    for number, (n, p) in enumerate(net.populations.items()):
        values |= {(n, k): v for k, v in lacks.constants(p.clamped).items()}
        if lacks.own_times and not p.clamped:
            for name, factors in zip(
                ("tau_x", "tau_lam"), lacks.times(number, p.size), strict=True
            ):
                values[n, name] = np.tile(flow.time(name, n) * factors, plan.patterns)
    signs = lacks.signs(net) if plan.dale else {}
    for name, q in net.projections.items() if signs else ():
        values[projection_group(name), "sign"] = signs[q.pre]
    return values


def _of_extension(e: Extension, engine: Engine) -> dict[str, Array]:
    """The values of an extension's own parameters, all of them."""
    from brian2 import Equations

    own = Equations(e.equations) if e.equations.strip() else Equations([])
    allowed = own.parameter_names | own.diff_eq_names
    found = {}
    for name, value in e.parameters.items():
        if name not in allowed:
            raise unknown(f"parameter of the extension of {e.population}", name, sorted(allowed))
        array = np.asarray(value, dtype=float)
        size = engine.size(e.population, name)
        if array.size not in (1, size):
            raise ModelError(
                f"{name} of {e.population} has shape {array.shape}; allowed: a number, "
                f"or {size} of them"
            )
        found[name] = array
    if missing := sorted(own.parameter_names - set(found)):
        raise ModelError(
            f"the extension of {e.population} gives no value to {', '.join(missing)}; "
            "try parameters="
        )
    return found
