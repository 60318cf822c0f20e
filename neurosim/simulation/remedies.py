"""Why a run may have diverged, and the changes that may keep it within its bound.

Above `stable_step`, below `trials`, which tries the changes on the run that failed. Start at
`diagnosis`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neurosim.engine.plan import Plan
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER, EXPONENTIAL_EULER, RK4, SEMI_IMPLICIT
from neurosim.model.network import Network
from neurosim.simulation.stable_step import (
    FAR,
    MARGIN,
    StableStep,
    cause_of_limit,
    in_ms,
    other_flows,
    step_of,
)

FACTORS_OF_TAU_W = (3, 10, 30)
SHORTER = (1.0, 0.4, 0.1)  # times the recommended share of the stable step
QUARTERS = (1 / 4, 1 / 16)  # of the present step, where it is stable by the linearisation
TURNED = 1.3  # theta of `Flow.rotated`, rad: mostly relaxation


@dataclass(frozen=True)
class Change:
    """A change of a simulation that may keep a run within its bound.

    Attributes
    ----------
    name : str
        As it is advised.
    setting : mapping
        Fields of `options.Setting` in place of those of the run.
    start : {"", "forward"}
        State to start from, if it changes.
    """

    name: str
    setting: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""


def diagnosis(
    plan: Plan, flow: Flow, dt: float, stable: StableStep | None, plastic: bool
) -> tuple[str, list[Change]]:
    """Return the probable cause of a divergence, and changes in the order in which to try them.

    Parameters
    ----------
    plan : Plan
    flow : Flow
    dt : float, s
        Step in use.
    stable : StableStep or None
        Found at the last state within the bound; None if it was not computed.
    plastic : bool
        Whether weights moved.
    """
    net = plan.net
    own = plan.imperfections
    relaxing = Change("the preset Flow.adjoint() with these time constants", _flow(_adjoint(flow)))
    slower = _slower(net, flow) if plastic else []
    if own.prospective:
        cause = (
            "prospective messages undo the lag of a unit that relaxes; with a saddle term "
            "(kappa > 0), a look-ahead time as short as the step, or weights that move fast, they "
            "amplify deviations"
        )
        plain = Change("prospective=False", {"imperfections": replace(own, prospective=None)})
        found = [relaxing, *slower, plain, *_shorter(dt, QUARTERS)]
    elif stable is None:
        cause = "the stable step was not computed here"
        for population, state in plan.replaced:
            cause = (
                "the stable step is not known where an extension replaces a right-hand side, "
                f"d{state}/dt of {population}"
            )
        found = [*_shorter(dt, QUARTERS), relaxing, *slower]
    elif dt >= stable.step:
        cause = cause_of_limit(stable, dt)
        found = [*_within(plan, flow, dt, stable), *slower]
    elif own.alters_messages:
        cause = (
            "a circuit whose messages are neither late nor noisy would be stable "
            f"(stable step {in_ms(stable.step)})"
        )
        times: dict[str, Any] = {"tau_x": flow.tau_x, "tau_lam": flow.tau_lam, "tau_w": flow.tau_w}
        turned = replace(Flow.rotated(TURNED), **times)
        name = f"Flow.rotated({TURNED}) with these time constants"
        found = [Change(name, _flow(turned)), relaxing, *slower]
    elif any(net.populations[n].term.slides for n in net.neurons):
        cause = (
            "the step is stable away from the kinks of the constraint function; along a kink the "
            "state chatters, more so with a longer step"
        )
        found = [*_shorter(dt, QUARTERS), relaxing]
    elif plastic:
        cause = (
            f"outputs and multipliers alone would be stable (stable step {in_ms(stable.step)}), so "
            "moving weights are the likely cause"
        )
        found = [*slower, relaxing, *_shorter(dt, QUARTERS)]
    else:
        cause = (
            f"the step itself is stable (stable step {in_ms(stable.step)}), so an activation, a "
            "loss or an extension may not be defined everywhere on the way"
        )
        found = [Change("start='forward'", start="forward"), *_shorter(dt, QUARTERS), relaxing]
    if flow == _adjoint(flow):
        found = [change for change in found if change != relaxing]
    return cause, found


def _within(plan: Plan, flow: Flow, dt: float, stable: StableStep) -> list[Change]:
    """Return changes where the step is too long: shorter steps, methods, and other flows."""
    shorter = _shorter(MARGIN * stable.step, SHORTER) if stable.step > 0 else []
    flows = []
    for name, candidate in other_flows(plan.net, flow):
        step = step_of(plan.net, candidate, stable.at)
        if step > max(stable.step, dt / FAR):
            h = _rounded(min(dt, MARGIN * step))
            flows.append(Change(f"{name} and dt = {in_ms(h)}", {**_flow(candidate), "dt": h}))
    if stable.stiff or stable.step > dt / FAR:
        methods = [EXPONENTIAL_EULER] if stable.stiff else []
        return [*_methods(plan, methods), *shorter, *flows]
    methods = [] if stable.growing else [SEMI_IMPLICIT, RK4]
    return [*flows, *_methods(plan, methods), *shorter]


def _methods(plan: Plan, methods: list[str]) -> list[Change]:
    """Return other methods with the same step, where the run takes steps of Euler."""
    if plan.method != EULER:
        return []
    return [Change(f"method={method!r} with the same dt", {"method": method}) for method in methods]


def _shorter(dt: float, factors: tuple[float, ...]) -> list[Change]:
    """Return steps of these multiples of `dt` s."""
    steps = [_rounded(factor * dt) for factor in factors]
    return [Change(f"dt = {in_ms(h)}", {"dt": h}) for h in steps]


def _slower(net: Network, flow: Flow) -> list[Change]:
    """Return flows whose weights move more slowly."""
    found = []
    for factor in FACTORS_OF_TAU_W:
        tau_w = {n: factor * flow.time("tau_w", n) for n in net.neurons}
        name = f"a tau_w {factor} times larger"
        found.append(Change(name, _flow(replace(flow, tau_w=tau_w))))
    return found


def _adjoint(flow: Flow) -> Flow:
    return replace(flow, kappa=0.0, gamma=1.0, rho=0.0)


def _flow(flow: Flow) -> dict[str, Any]:
    return {"flow": flow}


def _rounded(dt: float) -> float:
    """Return a step as it is printed, s."""
    return float(f"{dt:.3g}")
