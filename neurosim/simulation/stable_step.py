"""Find the largest stable Euler step at a state, and a remedy where dt exceeds it.

Above `reference.jacobian` and `reference.spectrum`, below `remedies` and `stability_monitor`. Start
at `stable_step`; `remedy` suggests changes before a divergence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns as read_patterns
from neurosim.data.patterns import targets as read_targets
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

    @property
    def stiff(self) -> bool:
        """Whether the limiting mode decays faster than it turns; otherwise it rings, or grows."""
        return self.step > 0 and -self.eigenvalue.real >= abs(self.eigenvalue.imag)


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
        return f"dt = {in_ms(dt)} is stable: the stable step is {in_ms(stable.step)}"
    cause = cause_of_limit(stable, dt)
    shorter = f"try dt = {in_ms(MARGIN * stable.step)}"
    if stable.stiff or stable.step > dt / FAR:
        return f"{cause}; {shorter}"
    tried = []
    for name, candidate in other_flows(net, flow):
        tried.append(name)
        step = step_of(net, candidate, stable.at)
        if step > max(stable.step, dt / FAR):
            return f"{cause}; try {name} and dt = {in_ms(min(dt, MARGIN * step))}"
    if stable.step > 0:
        return f"{cause}; {shorter}"
    without = ""
    if tried:
        without = (
            f"; none of these is stable at this state for a step of at least dt/{FAR}: "
            f"{', '.join(tried)}"
        )
    return f"{cause}{without}; try smaller weights"


def cause_of_limit(stable: StableStep, dt: float) -> str:
    """Return which mode limits the step, in words: one that is stiff, rings or grows."""
    where = f"in {stable.population!r} (eigenvalue {stable.eigenvalue:.3g} per second)"
    if stable.growing:
        return f"a mode {where} grows, so no explicit Euler step is stable"
    if not stable.step > 0:
        return f"a mode {where} is not damped, so no explicit Euler step is stable"
    beyond = f"dt = {in_ms(dt)} is beyond the stable step {in_ms(stable.step)}"
    if stable.stiff:
        return f"{beyond}, which is limited by a stiff mode {where}: it decays within a step"
    damped = "hardly damped" if stable.step <= dt / FAR else "weakly damped"
    return f"{beyond}, which is limited by a mode {where} that rings and is {damped}"


def other_flows(net: Network, flow: Flow) -> list[tuple[str, Flow]]:
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
    if adjoint != flow:
        found.append(("the preset Flow.adjoint() with these time constants", adjoint))
    return found


def step_of(net: Network, flow: Flow, at: At) -> float:
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


def in_ms(time: float) -> str:
    """Return a time in ms as text."""
    return f"{1e3 * time:.3g} ms"
