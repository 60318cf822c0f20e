"""What a flow does where its saddle point is not where it ends: limit cycles, by simulating them.

Above `continuation` and `simulation`. Start at `limit_cycle`; `attractors` walks over a parameter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from neurosim.analysis.continuation import Bifurcation, Branch
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.model.state import State
from neurosim.reference.jacobian import Linearised
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

SAMPLES = 60  # of one period of the slowest mode that rings
REACH = 1.0  # of a step, times the fastest mode: rk4 holds up to 2.8 and hardly damps the slow ones
PERIODS = 20  # of a piece of simulation, after each of which the amplitude is looked at
PIECES = 25  # at most
SETTLED = 2e-3  # relative change of the amplitude from one piece to the next
AT_REST = 1e-7  # amplitude
REGULAR = 0.02  # largest relative spread of the periods of a cycle
PUSH = 1e-3  # away from the saddle, where nothing better is known


@dataclass(frozen=True)
class Cycle:
    """Where a simulation ended.

    Attributes
    ----------
    parameter : float
    kind : {"rest", "cycle", "irregular", "unsettled", "diverged"}
        Irregular: its amplitude stays, its periods differ by more than 2 %. Unsettled: the
        amplitude still changed when the time was over.
    amplitude : float
        Half the distance from the lowest to the highest output of the unit that moves most, unit 1;
        0 at rest.
    period : float
        s; NaN unless it is a cycle.
    population : str
        Of that unit.
    state : State
        The last x and lam, to go on from; empty where the run diverged.
    """

    parameter: float
    kind: str
    amplitude: float
    period: float
    population: str
    state: State | None = field(repr=False, compare=False)


def limit_cycle(branch: Branch, parameter: float, *, start: Any = None) -> Cycle:
    """Simulate from near the saddle point, or from a given state, until the amplitude of the
    outputs stays.

    Parameters
    ----------
    branch : Branch
        As `continuation` found it.
    parameter : float
        Within it.
    start : State or Bifurcation, optional
        A state to start from; or a supercritical Hopf point near by, on whose small cycle the
        simulation then starts, where growing to it from the saddle would take long. By default the
        saddle, pushed along its slowest mode.

    Returns
    -------
    Cycle
        Past a subcritical point the attractor is far from the saddle, and need not be a cycle.

    Raises
    ------
    DataError
        The branch does not pass this parameter.
    """
    net, flow = branch.family(parameter)
    saddle = branch.at(parameter)
    fastest, omega, mode = _slowest(branch, parameter, saddle)
    dt = min(2 * np.pi / omega / SAMPLES, REACH / fastest)
    simulation = Simulation(net, flow, dt=dt, method="rk4", backend="numpy")
    steps = int(np.ceil(PERIODS * 2 * np.pi / omega / dt))
    if isinstance(start, Bifurcation) and start.amplitude(parameter) > 0:
        mode, push = (
            start.mode,
            start.amplitude(parameter) / np.abs(start.mode[: start.mode.size // 2]).max(),
        )
    else:
        push = PUSH
    state = start if isinstance(start, State) else _pushed(saddle, push * mode.real)
    before = np.inf
    for _ in range(PIECES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StabilityWarning)
                run = simulation.relax(
                    branch.X, branch.Y or None, duration=steps * dt, start=state, record="x"
                )
        except DivergenceError as error:
            return Cycle(parameter, "diverged", np.inf, np.nan, error.population, None)
        state, traces = run.state, cast("xr.Dataset", run.traces)
        moved = traces["x"].isel(pattern=0, unit=np.isin(traces["population"], net.neurons))
        half = np.ptp(moved.values, axis=0) / 2
        unit, amplitude = int(half.argmax()), float(half.max())
        where = str(moved["population"].values[unit])
        if amplitude < AT_REST:
            return Cycle(parameter, "rest", 0.0, np.nan, where, state)
        if abs(amplitude - before) <= SETTLED * amplitude:
            period, spread = _period(moved.values[:, unit], dt)
            kind = "cycle" if spread < REGULAR else "irregular"
            return Cycle(
                parameter, kind, amplitude, period if kind == "cycle" else np.nan, where, state
            )
        before = amplitude
    return Cycle(parameter, "unsettled", amplitude, np.nan, where, state)


def attractors(branch: Branch, values: Sequence[float], *, start: Any = None) -> list[Cycle]:
    """Where simulations end at each of these values, each going on from where the last one ended.

    Walked up and walked down, they differ where two attractors are there at once, as beside a
    subcritical point.

    Parameters
    ----------
    branch : Branch
    values : sequence of float
        In the order in which they are walked.
    start : State or Bifurcation, optional
        Of the first, as in `limit_cycle`.

    Returns
    -------
    list of Cycle
    """
    found: list[Cycle] = []
    for value in values:
        cycle = limit_cycle(branch, float(value), start=start)
        found.append(cycle)
        start = cycle.state if cycle.kind not in ("rest", "diverged") else None
    return found


def _slowest(branch: Branch, parameter: float, saddle: State) -> tuple[float, float, Array]:
    """Largest modulus of all modes and angular frequency of the slowest that rings, 1/s, and the
    slowest mode.
    """
    net, flow = branch.family(parameter)
    values, vectors = np.linalg.eig(
        Linearised(net, flow, saddle.x, saddle.lam, branch.X, branch.Y).jacobian()
    )
    fastest = float(np.abs(values).max())
    rings = np.flatnonzero(np.abs(values.imag) > 0)
    omega = abs(values[rings[values[rings].real.argmax()]].imag) if rings.size else fastest
    return fastest, float(omega), vectors[:, values.real.argmax()]


def _pushed(saddle: State, push: Array) -> State:
    """The saddle, moved by a vector over x and then lam of all populations."""
    sizes = [v.shape[1] for part in (saddle.x, saddle.lam) for v in part.values()]
    pieces = iter(np.split(push, np.cumsum(sizes)[:-1]))
    x, lam = ({n: v + next(pieces) for n, v in part.items()} for part in (saddle.x, saddle.lam))
    return State(x, lam)


def _period(trace: Array, dt: float) -> tuple[float, float]:
    """Mean time between upward passages through the middle, s, and how much it varies, relative to
    the mean.
    """
    middle = (trace.max() + trace.min()) / 2
    below = np.flatnonzero((trace[:-1] < middle) & (trace[1:] >= middle))
    if below.size < 3:
        return np.nan, np.inf
    times = (below + (middle - trace[below]) / (trace[below + 1] - trace[below])) * dt
    gaps = np.diff(times)
    return float(gaps.mean()), float(gaps.std() / gaps.mean())
