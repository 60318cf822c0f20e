"""Find the largest stable Euler step at a state, and a remedy where dt exceeds it.

Above `reference.jacobian` and `reference.spectrum`, below `stability_monitor`. Start at
`stable_step`; `remedy` suggests changes before a divergence, `advice` after one.
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
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.reference.jacobian import Linearised
from neurosim.reference.spectrum import ROUNDING, largest_step, modes

Array = np.ndarray
At = tuple[dict[str, Array], dict[str, Array], dict[str, Array], dict[str, Array]]
"""x, lam, X and Y at which a flow is linearised."""

DENSE = 300  # coupled states (x and lam) up to which the whole Jacobian is built
MATRIX_FREE_PATTERNS = 2  # patterns that are linearised at most where it is not built
MARGIN = 0.8  # share of the stable step that is recommended
# Where dt is this many times too large, other gains are recommended, not a smaller step.
FAR = 100
RHOS = (2.0, 4.0, 8.0, 16.0)  # augmentations that `remedy` tries


@dataclass(frozen=True)
class StableStep:
    """The largest stable step of explicit Euler at a state.

    Attributes
    ----------
    step : float, s
        The smallest over the patterns that were linearised. `inf` if every mode stands still; 0 if
        a mode grows, or oscillates undamped, so that no step is stable.
    growing : bool
        Whether the eigenvalue of any mode has a positive real part: then the flow itself leaves
        this state, whatever the step.
    eigenvalue : complex, 1/s
        Eigenvalue of the mode that limits the step.
    population : str
        Population in which that mode has the largest share.
    at : tuple
        x, lam, X and Y of the patterns that were linearised, for `remedy`.
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
    """Return the largest step at which explicit Euler is stable, with fixed weights.

    The flow of (x, lam) is linearised at the state. A damped mode with eigenvalue s is stable for
    steps of up to 2 |Re s| / |s|². Coupled parts of up to `DENSE` states are diagonalised. Larger
    ones are searched by Arnoldi iteration, which can miss the limiting mode where several are
    close.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
    X, Y : array or mapping
        Inputs and targets of the same patterns.
    patterns : int
        Largest number of patterns to linearise, spread over the batch; at most two where the flow
        has more than `DENSE` states.

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
    states = 2 * sum(net.populations[n].size for n in net.neurons)
    if states > DENSE:
        patterns = min(patterns, MATRIX_FREE_PATTERNS)
    spread = np.linspace(0, count - 1, max(1, min(patterns, count)))
    chosen = np.unique(spread.round().astype(int))
    batch = (
        {n: x[n] for n in net.neurons},
        {n: lam[n] for n in net.neurons},
        clamped,
        read_targets(net, Y, count),
    )
    found = [_limiting_mode(net, flow, _rows(batch, [row])) for row in chosen]
    worst = min(found, key=_by_step)
    growing = any(mode.growing for mode in found)
    return replace(worst, growing=growing, at=_rows(batch, chosen))


def remedy(net: Network, flow: Flow, dt: float, stable: StableStep) -> str:
    """Return a sentence that suggests a stable step or another flow where `dt` is not stable.

    A flow is suggested only if its stable step at the same state was found to be larger.

    Parameters
    ----------
    net, flow
        As given to `stable_step`.
    dt : float, s
        Step in use.
    stable : StableStep
        Found by `stable_step`.
    """
    if dt < stable.step:
        return f"dt = {_ms(dt)} is stable: the stable step is {_ms(stable.step)}"
    where = f"in {stable.population!r} (eigenvalue {stable.eigenvalue:.3g} per second)"
    shorter = f"try dt = {_ms(MARGIN * stable.step)}"
    if stable.step > dt / FAR:
        return (
            f"dt = {_ms(dt)} is beyond the stable step {_ms(stable.step)}, which is limited by a "
            f"mode {where}; {shorter}"
        )
    if stable.step > 0:
        found = f"a mode {where} is hardly damped: the stable step is {_ms(stable.step)}"
    elif stable.growing:
        found = f"a mode {where} grows, so no explicit Euler step is stable"
    else:
        found = f"a mode {where} is not damped, so no explicit Euler step is stable"
    for name, candidate in _candidates(net, flow):
        step = _step_of(net, candidate, stable.at)
        if step > max(stable.step, dt / FAR):
            return f"{found}; try {name} and dt = {_ms(min(dt, MARGIN * step))}"
    if stable.step > 0:
        return f"{found}; {shorter}"
    return (
        f"{found}; neither rho up to {RHOS[-1]:g} nor Flow.adjoint() is stable at this state for "
        f"a step of at least dt/{FAR}; try smaller weights"
    )


def advice(plan: Plan, flow: Flow, dt: float, stable: StableStep, plastic: bool) -> str:
    """Return a sentence on what to try after a divergence.

    Parameters
    ----------
    plan : Plan
    flow : Flow
    dt : float, s
        Step in use.
    stable : StableStep
        Found at the last state within the bound.
    plastic : bool
        Whether weights moved.
    """
    own = plan.imperfections
    step = f"stable step {_ms(stable.step)}"
    if own.prospective:
        return (
            "prospective messages undo the lag of a unit that relaxes; with a saddle term "
            "(kappa > 0), a look-ahead time as short as the step, or weights that move fast, they "
            "amplify deviations; try Flow.adjoint(), a larger tau_w, or prospective=False"
        )
    if dt >= stable.step:
        return remedy(plan.net, flow, dt, stable)
    if own.alters_messages:
        return (
            f"a circuit whose messages are neither late nor noisy would be stable ({step}); "
            "try smaller imperfections, Flow.rotated(1.3), Flow.adjoint() or a larger tau_w"
        )
    if any(plan.net.populations[n].term.slides for n in plan.net.neurons):
        return (
            "the step is stable away from the kinks of the constraint function; along a kink the "
            f"state chatters, more so with a longer step; try dt = {dt * 250:.3g} ms, "
            "or constraint='tube'"
        )
    if not plastic:
        return (
            "the step itself is stable, so an activation, a loss or an extension may not be "
            "defined everywhere; try start='forward', or smaller inputs"
        )
    return (
        f"outputs and multipliers alone would be stable ({step}), so moving weights are the likely "
        "cause: try a tau_w several times larger, Flow.adjoint(), or a later plastic_from"
    )


def _candidates(net: Network, flow: Flow) -> list[tuple[str, Flow]]:
    """Return flows that may be stable where this one is not, in the order in which to try them."""
    found = []
    if flow.kappa > 0:
        tau_x = {n: flow.time("tau_x", n) for n in net.neurons}
        for rho in RHOS:
            if rho > flow.rho:
                tau_lam = {n: tau / rho for n, tau in tau_x.items()}
                name = f"rho = {rho:g} with tau_lam = tau_x/{rho:g}"
                found.append((name, replace(flow, rho=rho, tau_lam=tau_lam)))
    adjoint = replace(flow, kappa=0.0, gamma=1.0, rho=0.0)
    return [*found, ("the preset Flow.adjoint() with these time constants", adjoint)]


def _step_of(net: Network, flow: Flow, at: At) -> float:
    """Return the stable step of another flow at the same patterns, s."""
    x, lam, X, Y = at
    return stable_step(net, flow, x, lam, X, Y, patterns=len(x[net.neurons[0]])).step


def _limiting_mode(net: Network, flow: Flow, at: At) -> StableStep:
    """Return the mode with the smallest stable step, at the state of one pattern."""
    linear = Linearised(net, flow, *at)
    found = modes(linear, DENSE)
    steps = largest_step(EULER, found.eigenvalues, found.fastest)
    worst = np.lexsort((-found.eigenvalues.real, steps))[0]
    eigenvalue = complex(found.eigenvalues[worst])
    growing = eigenvalue.real > ROUNDING * found.fastest
    population = linear.places[int(found.share[worst].argmax())]
    return StableStep(float(steps[worst]), growing, eigenvalue, population, at)


def _by_step(mode: StableStep) -> tuple[float, float]:
    """Order modes by their step; among equals the one that grows fastest comes first."""
    return mode.step, -mode.eigenvalue.real


def _rows(at: At, rows: Any) -> At:
    """Return the given patterns of a state."""
    x, lam, X, Y = at
    return _taken(x, rows), _taken(lam, rows), _taken(X, rows), _taken(Y, rows)


def _taken(values: Mapping[str, Array], rows: Any) -> dict[str, Array]:
    return {n: np.asarray(a)[rows] for n, a in values.items()}


def _ms(time: float) -> str:
    return f"{1e3 * time:.3g} ms"
