"""The watch over a running simulation: which Euler step holds at a state, and what to do where dt
does not.

Above `linearised` and `spectrum`, below `session`. Start at `stable_step`; `remedy` and `advice`
say what to do about it, before and after a divergence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets as read_targets
from neurosim.engine.plan import Plan
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.reference.jacobian import Linearised
from neurosim.reference.spectrum import ROUNDING, largest_step, modes

Array = np.ndarray
At = tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array]]  # x, lam, X, Y

DENSE = 300  # coupled states (x and lam) up to which the whole Jacobian is built
MATRIX_FREE_PATTERNS = 2  # at most, where it is not
MARGIN = 0.8  # of the stable step is recommended
FAR = 100  # times too large a step: other gains are recommended, not a smaller step
RHOS = (2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class StableStep:
    """The largest step of explicit Euler that holds at a state.

    Attributes
    ----------
    step : float
        In s; the smallest over the patterns looked at. `inf` if no mode moves; 0 if one grows, or
        neither grows nor decays while it oscillates, so that no step holds.
    growing : bool
        Some mode has a positive real part: the flow itself leaves this state, whatever the step.
    eigenvalue : complex
        Of the mode that limits the step, 1/s.
    population : str
        Where that mode has most of its weight.
    at : tuple
        x, lam, X and Y of the patterns looked at, for `remedy`.
    """

    step: float
    growing: bool
    eigenvalue: complex
    population: str
    at: At = field(repr=False, compare=False)


def stable_step(
    net: Network,
    flow: Flow,
    x: Mapping[str, Array],
    lam: Mapping[str, Array],
    X: Any,
    Y: Any,
    patterns: int = 4,
) -> StableStep:
    """Largest stable step of explicit Euler, by linearising the flow of (x, lam) at a state,
    weights frozen.

    A mode with eigenvalue s holds for steps below 2 |Re s| / |s|². Coupled parts of up to `DENSE`
    states are diagonalised, larger ones searched by Arnoldi iteration, where a narrowly limiting
    mode can be missed.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
    X, Y : array or mapping
        Inputs and targets of the same patterns.
    patterns : int
        At most so many patterns, spread over the batch, are looked at (two where the Jacobian is
        not built).

    Returns
    -------
    StableStep

    Raises
    ------
    DataError
        X or Y do not fit the network.
    """
    clamped = read_patterns(net, X)
    count = len(x[net.neurons[0]])
    large = 2 * sum(net.populations[n].size for n in net.neurons) > DENSE
    wanted = min(patterns, MATRIX_FREE_PATTERNS) if large else patterns
    rows = np.unique(np.linspace(0, count - 1, max(1, min(wanted, count))).round().astype(int))
    encoded = read_targets(net, Y, count)
    everything = (
        {n: x[n] for n in net.neurons},
        {n: lam[n] for n in net.neurons},
        clamped,
        encoded,
    )
    at = _rows(everything, rows)
    found = [_limiting_mode(net, flow, _rows(everything, [row])) for row in rows]
    worst = min(found, key=lambda mode: (mode.step, -mode.eigenvalue.real))
    return replace(worst, growing=any(mode.growing for mode in found), at=at)


def remedy(net: Network, flow: Flow, dt: float, stable: StableStep) -> str:
    """A sentence that names what would hold where `dt` does not; every suggestion is tried at the
    same state.

    Parameters
    ----------
    net, flow
        As given to `stable_step`.
    dt : float
        Step in use, s.
    stable : StableStep
        What `stable_step` found.
    """
    if dt < stable.step:
        return f"dt = {_ms(dt)} holds: the stable step is {_ms(stable.step)}"
    where = f"in {stable.population!r} (eigenvalue {stable.eigenvalue:.3g} per second)"
    if stable.step > dt / FAR:
        return (
            f"dt = {_ms(dt)} is beyond the stable step {_ms(stable.step)} of the mode "
            f"that limits it, {where}; "
            f"try dt = {_ms(MARGIN * stable.step)}"
        )
    if stable.step > 0:
        found = f"a mode {where} is hardly damped: the stable step is {_ms(stable.step)}"
    else:
        found = f"a mode {where} {'grows' if stable.growing else 'is not damped'}, so no explicit Euler step holds"
    for name, candidate in _candidates(net, flow):
        if (step := _step_of(net, candidate, stable.at)) > max(stable.step, dt / FAR):
            return f"{found}; try {name} and dt = {_ms(min(dt, MARGIN * step))}"
    if stable.step > 0:
        return f"{found}; try dt = {_ms(MARGIN * stable.step)}"
    return f"{found}; neither rho up to {RHOS[-1]:g} nor Flow.adjoint() holds at this state: try smaller weights"


def advice(plan: Plan, flow: Flow, dt: float, stable: StableStep, plastic: bool) -> str:
    """What to try after a divergence, given the step that would hold; `plastic` says whether
    weights moved.
    """
    if plan.imperfections.prospective:
        return (
            "prospective messages undo the lag of a unit that relaxes; with a saddle "
            "term (kappa > 0), a "
            "look-ahead time as short as the step or weights that move fast they "
            "amplify: try Flow.adjoint(), "
            "a larger tau_w, or prospective=False"
        )
    if dt >= stable.step:
        return remedy(plan.net, flow, dt, stable)
    if plan.imperfections.alters_messages:
        return (
            "a circuit whose messages are neither late nor noisy would hold (stable "
            f"step {stable.step * 1e3:.3g} "
            "ms): try smaller imperfections, Flow.rotated(1.3), Flow.adjoint() or a larger tau_w"
        )
    if any(plan.net.populations[n].term.slides for n in plan.net.neurons):
        return (
            "the step would hold off the kinks of the constraint function; along them "
            "the state chatters, the "
            f"more the longer the step: try dt = {dt * 250:.3g} ms, or constraint='tube'"
        )
    if not plastic:
        return "the step itself would hold: an activation, a loss or an extension is not defined everywhere"
    return (
        f"outputs and multipliers alone would hold (stable step {stable.step * 1e3:.3g} "
        "ms), so moving weights are "
        "the likely cause: try a tau_w several times larger, Flow.adjoint(), or a "
        "later plastic_from"
    )


def _candidates(net: Network, flow: Flow) -> list[tuple[str, Flow]]:
    """Flows that may hold where this one does not, in the order in which they are tried."""
    tau_x = {n: flow.time("tau_x", n) for n in net.neurons}
    larger = [
        (
            f"rho = {rho:g} with tau_lam = tau_x/{rho:g}",
            replace(flow, rho=rho, tau_lam={n: tau / rho for n, tau in tau_x.items()}),
        )
        for rho in RHOS
        if rho > flow.rho and flow.kappa > 0
    ]
    return [
        *larger,
        (
            "the preset Flow.adjoint() with these time constants",
            replace(flow, kappa=0.0, gamma=1.0, rho=0.0),
        ),
    ]


def _step_of(net: Network, flow: Flow, at: At) -> float:
    x, lam, X, Y = at
    return stable_step(net, flow, x, lam, X, Y, patterns=len(x[net.neurons[0]])).step


def _rows(at: At, rows: Any) -> At:
    x, lam, X, Y = ({n: np.asarray(a)[rows] for n, a in part.items()} for part in at)
    return x, lam, X, Y


def _ms(time: float) -> str:
    return f"{1e3 * time:.3g} ms"


def _limiting_mode(net: Network, flow: Flow, at: At) -> StableStep:
    """The mode of one pattern that holds for the smallest step."""
    linear = Linearised(net, flow, *at)
    found = modes(linear, DENSE)
    steps = largest_step("euler", found.eigenvalues, found.fastest)
    worst = np.lexsort((-found.eigenvalues.real, steps))[0]
    eigenvalue = complex(found.eigenvalues[worst])
    growing, where = (
        eigenvalue.real > ROUNDING * found.fastest,
        linear.places[int(found.share[worst].argmax())],
    )
    return StableStep(float(steps[worst]), growing, eigenvalue, where, at)
