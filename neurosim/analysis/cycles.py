"""Limit cycles and other attractors where a flow leaves its saddle point, by simulation.

Above `continuation` and `simulation`. Start at `limit_cycle`; `attractors` walks over a parameter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from neurosim.analysis.continuation import Bifurcation, Branch
from neurosim.arguments import checked
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.model.methods import RK4
from neurosim.model.state import State
from neurosim.model.values import ByValue
from neurosim.reference.jacobian import Linearised
from neurosim.reference.linear_algebra import eigenpairs
from neurosim.results.runs import Run
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.trials import without_trials

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

SAMPLES = 60  # per period of the slowest mode that rings
# largest step, times the fastest mode: rk4 is stable up to 2.8 and hardly damps the slow modes
REACH = 1.0
PERIODS = 20  # per piece of simulation, after each of which the amplitude is compared
PIECES = 25  # at most
SETTLED = 2e-3  # relative change of the amplitude from one piece to the next
AT_REST = 1e-7  # amplitude
REGULAR = 0.02  # largest relative spread of the periods of a cycle
PUSH = 1e-3  # away from the saddle, where the size of the cycle is not known


@dataclass(frozen=True, eq=False)
class Cycle(ByValue):
    """Attractor at which a simulation ended.

    Attributes
    ----------
    parameter : float
    kind : {"rest", "cycle", "irregular", "unsettled", "diverged"}
        Irregular: the amplitude stays, the periods differ by more than 2 %. Unsettled: the
        amplitude still changed when the simulation ended.
    amplitude : float
        Half the distance from the lowest to the highest output of the unit that moves most, unit 1;
        0 at rest.
    period : float
        s; NaN unless it is a cycle.
    population : str
        Population of that unit.
    state : State
        The last x and lam, to go on from; None where the run diverged.
    """

    parameter: float
    kind: str
    amplitude: float
    period: float
    population: str
    state: State | None = field(repr=False, compare=False)


@checked
def limit_cycle(branch: Branch, parameter: float, *, start: Any = None) -> Cycle:
    """Simulate from near the saddle point until the amplitude of the outputs stays.

    Parameters
    ----------
    branch : Branch
        As `continuation` found it.
    parameter : float
        Within the branch.
    start : State or Bifurcation, optional
        A state to start from; or a supercritical Hopf point nearby: the simulation then starts on
        its small cycle, because growth from the saddle to the cycle would take long. By default the
        saddle, pushed along its slowest mode.

    Returns
    -------
    Cycle
        Past a subcritical point the attractor is far from the saddle and may be irregular.

    Raises
    ------
    DataError
        The branch does not pass this parameter.
    """
    net, flow = branch.family(parameter)
    saddle = branch.at(parameter)
    fastest, omega, mode = _slowest(branch, parameter, saddle)
    period = 2 * np.pi / omega
    dt = min(period / SAMPLES, REACH / fastest)
    simulation = Simulation(net, flow, dt=dt, method=RK4, backend="numpy")
    steps = int(np.ceil(PERIODS * 2 * np.pi / omega / dt))
    push = PUSH
    if isinstance(start, Bifurcation) and start.amplitude(parameter) > 0:
        mode, push = start.mode, start.amplitude(parameter) / start.largest_output
    state = _pushed(saddle, push * mode.real)
    if isinstance(start, State):
        state = start
    before = np.inf
    for _ in range(PIECES):
        try:
            run = _relaxed(simulation, branch, state, steps)
        except DivergenceError as error:
            return Cycle(parameter, "diverged", np.inf, np.nan, error.population, None)
        state = run.state
        trace, where = _largest_excursion(run)
        amplitude = float(np.ptp(trace) / 2)
        if amplitude < AT_REST:
            return Cycle(parameter, "rest", 0.0, np.nan, where, state)
        if abs(amplitude - before) <= SETTLED * amplitude:
            period, spread = _period(trace, dt)
            if spread < REGULAR:
                return Cycle(parameter, "cycle", amplitude, period, where, state)
            return Cycle(parameter, "irregular", amplitude, np.nan, where, state)
        before = amplitude
    return Cycle(parameter, "unsettled", amplitude, np.nan, where, state)


@checked
def attractors(branch: Branch, values: Sequence[float], *, start: Any = None) -> list[Cycle]:
    """Find the attractors at several values; each simulation starts where the last one ended.

    Walks up and down differ where two attractors coexist, as beside a subcritical point. After an
    end at rest or a divergence, the next simulation starts near its saddle.

    Parameters
    ----------
    branch : Branch
    values : sequence of float
        Values of the parameter, in the order of the walk.
    start : State or Bifurcation, optional
        Start of the first, as in `limit_cycle`.

    Returns
    -------
    list of Cycle

    Raises
    ------
    DataError
        The branch does not pass one of the values.
    """
    found: list[Cycle] = []
    for value in values:
        cycle = limit_cycle(branch, float(value), start=start)
        found.append(cycle)
        start = None
        if cycle.kind not in ("rest", "diverged"):
            start = cycle.state
    return found


def _relaxed(simulation: Simulation, branch: Branch, state: State, steps: int) -> Run:
    """Relax the branch's pattern from a state, outputs recorded.

    Raises
    ------
    DivergenceError
        The flow leaves the finite numbers.
    """
    duration = steps * simulation.dt
    with warnings.catch_warnings(), without_trials():
        warnings.simplefilter("ignore", StabilityWarning)
        return simulation.relax(
            branch.X, branch.Y or None, duration=duration, start=state, record="x"
        )


def _largest_excursion(run: Run) -> tuple[Array, str]:
    """Return the recorded output of the unit that moves most, (samples,), and its population."""
    traces = cast("xr.Dataset", run.traces)
    among = np.isin(traces["population"], run.network.neurons)
    moved = traces["x"].isel(pattern=0, unit=among)
    unit = int(np.ptp(moved.values, axis=0).argmax())
    return moved.values[:, unit], str(moved["population"].values[unit])


def _slowest(branch: Branch, parameter: float, saddle: State) -> tuple[float, float, Array]:
    """Return the modes that set the scales of a simulation.

    Returns
    -------
    fastest : float
        Largest modulus of all modes, 1/s.
    omega : float
        Angular frequency of the slowest mode that rings, 1/s; `fastest` where none does.
    mode : (states,), complex
        The slowest mode.
    """
    net, flow = branch.family(parameter)
    linear = Linearised(net, flow, saddle.x, saddle.lam, branch.X, branch.Y)
    values, vectors = eigenpairs(linear.jacobian(), "the Jacobian")
    fastest = omega = float(np.abs(values).max())
    ringing = values[np.abs(values.imag) > 0]
    if ringing.size:
        omega = float(abs(ringing[ringing.real.argmax()].imag))
    return fastest, omega, vectors[:, values.real.argmax()]


def _pushed(saddle: State, push: Array) -> State:
    """Return the saddle moved by a vector over x and then lam of all populations."""
    arrays = [*saddle.x.values(), *saddle.lam.values()]
    sizes = [v.shape[1] for v in arrays]
    pieces = iter(np.split(push, np.cumsum(sizes)[:-1]))
    x = {n: v + next(pieces) for n, v in saddle.x.items()}
    lam = {n: v + next(pieces) for n, v in saddle.lam.items()}
    return State(x, lam)


def _period(trace: Array, dt: float) -> tuple[float, float]:
    """Return the period of a trace, s, and its spread relative to it.

    The period is the mean time between upward passages through the middle.
    """
    middle = (trace.max() + trace.min()) / 2
    below = np.flatnonzero((trace[:-1] < middle) & (trace[1:] >= middle))
    if below.size < 3:
        return np.nan, np.inf
    rise = trace[below + 1] - trace[below]
    times = (below + (middle - trace[below]) / rise) * dt
    gaps = np.diff(times)
    mean = gaps.mean()
    return float(mean), float(gaps.std() / mean)
