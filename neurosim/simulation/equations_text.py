"""Write the ODEs of a simulation as text, in Brian2's notation."""

from __future__ import annotations

from neurosim.engine.plan import Plan
from neurosim.model.equations import lagrangian
from neurosim.model.weights import synapses
from neurosim.simulation.compatibility import Chosen

DIRECTIONS = ("x", "delta")  # messages forward, and back


def equations_text(chosen: Chosen) -> str:
    """Return the equations of all populations and projections, one paragraph for each."""
    plan = plan_of(chosen)
    populations = [_population(plan, name) for name in plan.net.neurons]
    projections = [_projection(plan, name) for name in plan.net.projections]
    return "\n\n".join([*populations, *projections])


def plan_of(chosen: Chosen, *, learns: bool = False) -> Plan:
    """Return the plan of a simulation of one pattern, from which its equations are printed."""
    return Plan(
        chosen.net,
        1,
        chosen.dt,
        chosen.method,
        extensions=chosen.extensions,
        transports=chosen.transports,
        learns=learns,
        imperfections=chosen.imperfections,
    )


def _population(plan: Plan, name: str) -> str:
    population = plan.net.populations[name]
    title = f"# {name}: {population.size} neurons, {population.size} multiplier units"
    messages = ""
    for direction in DIRECTIONS:
        for variable, expression in plan.sent(name, direction):
            messages += f"\n# at every step {variable} = {expression}"
    bias = lagrangian.bias(population, plan.bias_plasticity_reads(name))
    if population.plastic_bias and population.own_bias_rule is not None:
        bias = f"\n# biases of {name}, as w with x_pre = 1\n{bias}"
    return f"{title}\n{plan.equations(name)}{messages}\n{bias}"


def _projection(plan: Plan, name: str) -> str:
    count = synapses(plan.net.weights[name]).size
    x, delta = (plan.received(name, v) for v in DIRECTIONS)
    reads = (plan.plasticity_reads(name, v) for v in DIRECTIONS)
    learns = lagrangian.projection(plan.net.projections[name], *reads)
    return f"# {name}: {count} synapses, a += w*{x}_pre, feedback += w*{delta}_post\n{learns}"
