"""Support neurons: which neurons carry the solution of which pattern, by their multipliers at rest.

Above `simulation` and `rest`. Within its tolerance (straw) a neuron sends no message back and
changes no weight; a neuron whose multiplier is not 0 (support) is at the wall of its tube. Start at
`support_neurons`; `kkt` measures how close a state is to a solution.

References
----------
Support neurons: Betti, Gori & Marra 2018, arXiv 1808.06934.
Conditions: Karush 1939; Kuhn & Tucker 1951.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.analysis.rest import speed
from neurosim.arguments import checked
from neurosim.errors import (
    DivergenceError,
    ModelError,
    StabilityWarning,
    UnsettledWarning,
    number,
    unknown,
    warn,
    whole,
)
from neurosim.model.display import short_repr
from neurosim.model.flow import Flow
from neurosim.model.values import ByValue
from neurosim.reference import right_hand_side
from neurosim.reference.extended import unread
from neurosim.reference.functions import rows_of, violation
from neurosim.results.runs import Log, Run
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.trials import without_trials

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
MOST_STEPS = 20_000  # on the way to rest
# a state that moves by less per time constant is still settling; otherwise the step is too long
CREEPS = 1e-3
GROUPINGS = ("layer", "unit", "pattern")  # of `Support.shares`


@dataclass(frozen=True, repr=False, eq=False)
class Support(ByValue, Mapping[str, Array]):
    """Support neurons by population, {population: bool (patterns, units)}.

    Attributes
    ----------
    support : dict of str to array of bool, (patterns, units)
    lam : dict of str to array, (patterns, units), unit 1
    margin : dict of str to array, (patterns, units), unit 1
        Distance of |g| to the wall, epsilon - |g|: 0 at it, negative beyond.
    tol : float
        |lam| above which a neuron is support.
    speed : float
        Largest |tau dx/dt| and |tau dlam/dt| of the state, unit 1; see `settled`. NaN if a run
        with extensions did not end by ``relax(settle=...)``.
    time : float
        Time of the run, s.
    """

    support: dict[str, Array]
    lam: dict[str, Array]
    margin: dict[str, Array]
    tol: float
    speed: float
    time: float = 0.0

    def __getitem__(self, population: str) -> Array:
        return self.support[population]

    def __iter__(self) -> Iterator[str]:
        return iter(self.support)

    def __len__(self) -> int:
        return len(self.support)

    @property
    def settled(self) -> bool:
        """Whether the state moves by at most `tol` per time constant.

        If not, shares of support are artefacts of its motion.
        """
        return self.speed <= self.tol

    @property
    def ever_support(self) -> dict[str, Array]:
        """Units that are support for some pattern, {population: bool (units,)}."""
        return {n: np.asarray(own.any(axis=0)) for n, own in self.support.items()}

    @property
    def support_patterns(self) -> Array:
        """Patterns for which some neuron is support, bool (patterns,).

        Like support vectors, only these change the weights.
        """
        return np.asarray(np.any([own.any(axis=1) for own in self.support.values()], axis=0))

    @checked
    def shares(self, by: str = "layer") -> dict[str, Any]:
        """Return the share of support of every population.

        Parameters
        ----------
        by : {"layer", "unit", "pattern"}
            One number for each population, or an array (units,) or (patterns,).

        Raises
        ------
        ModelError
            Another `by`.
        """
        if by not in GROUPINGS:
            raise unknown("by", by, GROUPINGS)
        if by == "layer":
            return {n: float(own.mean()) for n, own in self.support.items()}
        axis = 0 if by == "unit" else 1
        return {n: own.mean(axis=axis) for n, own in self.support.items()}

    def to_xarray(self) -> xr.Dataset:
        """Return support, lam and margin over (pattern, unit).

        Units have the coordinates `population` and `index`.
        """
        import xarray as xr

        sizes = [own.shape[1] for own in self.support.values()]
        names = np.repeat(list(self.support), sizes)
        index = np.concatenate([np.arange(size) for size in sizes])
        columns: dict[str, Mapping[str, Array]] = {
            "support": self.support,
            "lam": self.lam,
            "margin": self.margin,
        }
        variables = {}
        for name, part in columns.items():
            variables[name] = (("pattern", "unit"), np.hstack(list(part.values())), {"units": "1"})
        return xr.Dataset(
            variables,
            {"population": ("unit", names), "index": ("unit", index)},
            {"tol": self.tol, "speed": self.speed, "settled": int(self.settled)},
        )

    def __repr__(self) -> str:
        shares = ", ".join(f"{n} {share:.0%}" for n, share in self.shares().items())
        state = "at rest"
        if not self.settled:
            state = f"NOT at rest, moving by {self.speed:.1g} per time constant"
        patterns = f"{self.support_patterns.mean():.0%} of the patterns"
        return f"Support({shares}; {patterns}; |lam| > {self.tol:g}, {state})"


@dataclass(frozen=True)
class Kkt:
    """Residuals of a state in the conditions of Karush, Kuhn and Tucker.

    Each is the largest over patterns and units, unit 1.

    Attributes
    ----------
    stationarity : float
        |dL/dx|, with lam as the multiplier.
    feasibility : float
        |g| - epsilon, where it is positive.
    complementarity : float
        lam_plus |g - epsilon| and lam_minus |g + epsilon|.
    """

    stationarity: float
    feasibility: float
    complementarity: float

    @property
    def residual(self) -> float:
        """The largest of the three."""
        return max(self.stationarity, self.feasibility, self.complementarity)


@checked
def support_neurons(run: Run, tol: float = 1e-4) -> Support:
    """Find the neurons that are support for each pattern: |lam| > tol at the end of a run.

    Parameters
    ----------
    run : Run
        A run at rest with weights fixed, as by ``relax(..., settle=...)`` or `at_rest`. Otherwise
        an `UnsettledWarning` is issued: in a state that moves nearly every multiplier differs from
        0.
    tol : float
        In units of lam.

    Returns
    -------
    Support

    Raises
    ------
    ModelError
        `tol` out of range.
    """
    number("tol", tol, above=0, try_="1e-4")
    net, outputs = run.network, {**run.X, **run.x}
    margin = {}
    for n in net.neurons:
        margin[n] = net.populations[n].epsilon - np.abs(violation(net, n, outputs))
    support = {n: np.abs(v) > tol for n, v in run.lam.items()}
    found = Support(support, dict(run.lam), margin, tol, _speed(run), run.time)
    if not found.settled:
        motion = f"still moves by {found.speed:.1g} per time constant"
        if np.isnan(found.speed):
            motion = "has extensions, and did not end at rest as by relax(settle=...)"
        warn(
            f"the run {motion}; allowed: {tol:g}, as tol. Shares of support are artefacts of its "
            "motion; try neurosim.at_rest(sim, run)",
            UnsettledWarning,
        )
    return found


def _speed(run: Run) -> float:
    """Return the largest change per time constant at the end of a run, unit 1.

    A run does not hold its extensions, so with these it is the bound of ``relax(settle=...)``, or
    NaN if that was not reached.
    """
    if not run.settings.get("extensions"):
        return speed(run)
    return float(run.settings["settle"]) if run.settled else np.nan


@checked
def at_rest(
    simulation: Simulation, run: Run | Log, *, settle: float = 1e-6, most_steps: int = MOST_STEPS
) -> Run:
    """Continue a run with its final weights until it changes by at most `settle` per time constant.

    The step of a training may be too long for the weights that it ends with. A run that does not
    come to rest is continued with a quarter of the step; a run that diverges is repeated with it.

    Parameters
    ----------
    simulation : Simulation
        Gives flow, step and backend; it is not changed.
    run : Run or Log
        Run of any network that fits; after streams and presentations its patterns are those that
        were shown last.
    settle : float
        Largest change per time constant of a state at rest.
    most_steps : int
        Number of steps of each of the two lengths.

    Returns
    -------
    Run

    Raises
    ------
    DivergenceError
        The shorter step, too, is too long for these weights.
    """
    most_steps = whole("most_steps", most_steps, 1, 10**9)
    last = run.run if isinstance(run, Log) else run
    twin = copy.copy(simulation)
    twin.net = last.network
    with warnings.catch_warnings(), without_trials():
        warnings.simplefilter("ignore", StabilityWarning)
        try:
            rest = twin.relax(
                last.X, last.Y, duration=most_steps * twin.dt, start=last, settle=settle
            )
        except DivergenceError:
            rest = last
    creeps = False
    if rest is not last and not unread(twin.extensions):
        creeps = speed(rest, twin.extensions) < CREEPS
    if rest is not last and (rest.settled or rest.interrupted or creeps):
        return rest
    twin.dt /= 4
    return twin.relax(last.X, last.Y, duration=most_steps * twin.dt, start=rest, settle=settle)


@checked
def kkt(run: Run) -> Kkt:
    """Measure how far a run's final state misses the conditions of min V with |g| <= epsilon.

    g = 0 where the constraint is `lin`.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Kkt

    Raises
    ------
    ModelError
        A constraint other than `tube`, `lin` and `none`.
    """
    net = run.network
    for n in net.neurons:
        constraint = net.populations[n].constraint
        if constraint not in ("tube", "lin", "none"):
            raise ModelError(
                f"constraint {constraint!r} of {n} has no multipliers at rest; "
                "allowed: tube, lin, none"
            )
    # -dL/dx is the rate of this flow
    plain = Flow(kappa=1.0, gamma=0.0, rho=0.0, tau_x=1.0, tau_lam=1.0)
    rates = right_hand_side(net, plain, run.x, run.lam, run.X, run.Y, plastic=False)
    stationarity = max(float(np.abs(rate).max()) for rate in rates.x.values())
    outputs = {**run.X, **run.x}
    feasibility, complementarity = 0.0, 0.0
    for n in net.neurons:
        population, lam = net.populations[n], run.lam[n]
        g, width = violation(net, n, outputs), population.epsilon
        feasibility = max(feasibility, float((np.abs(g) - width).max()))
        if width or population.constraint == "tube":
            slack = g - width * np.sign(lam)
            complementarity = max(complementarity, float(np.abs(lam * slack).max()))
    return Kkt(stationarity, feasibility, complementarity)


@dataclass(repr=False)
class SupportOverTraining:
    """Support at rest with weights frozen, at the rows of a training's log.

    Passed to ``train(..., visit=...)``.

    Parameters
    ----------
    simulation : Simulation
        The simulation that trains.
    tol : float
        As in `support_neurons`.
    every : int
        Rows of the log from one measurement to the next.
    patterns : int
        Number of patterns of the batch that are measured, from the first on.

    Attributes
    ----------
    found : list of Support
    rows : int
        Number of rows that the log has so far.

    Examples
    --------
    >>> seen = SupportOverTraining(sim)  # doctest: +SKIP
    >>> log = sim.train(X, Y, Simultaneous(duration=4), visit=seen)  # doctest: +SKIP
    >>> seen.to_xarray().share.sel(population="hidden1").plot()  # doctest: +SKIP
    """

    simulation: Simulation
    tol: float = 1e-4
    every: int = 1
    patterns: int = 500
    found: list[Support] = field(default_factory=list)
    rows: int = 0

    __repr__ = short_repr

    def __call__(self, run: Run) -> None:
        """Measure the support if this row of the log is one of every `every`."""
        self.rows += 1
        if self.rows % self.every:
            return
        first = slice(self.patterns)
        few = replace(
            run,
            X=rows_of(run.X, first),
            Y=rows_of(run.Y, first),
            x=rows_of(run.x, first),
            lam=rows_of(run.lam, first),
            auxiliary={},
        )
        rest = at_rest(self.simulation, few, settle=self.tol / 10)
        one = support_neurons(rest, self.tol)
        self.found.append(Support(one.support, one.lam, one.margin, one.tol, one.speed, run.time))

    def to_xarray(self) -> xr.Dataset:
        """Return the measurements over time.

        `share` is over (time, population), `ever_support` over (time, unit); `share_of_patterns`
        and `settled` are over time.

        Raises
        ------
        ModelError
            Nothing was measured.
        """
        import xarray as xr

        if not self.found:
            raise ModelError(
                f"nothing was measured in {self.rows} rows, with every = {self.every}; allowed: at "
                "least one measurement; try train(..., visit=this)"
            )
        first, time = self.found[0], [one.time for one in self.found]
        index = first.to_xarray()
        share = [list(one.shares().values()) for one in self.found]
        ever = [np.hstack(list(one.ever_support.values())) for one in self.found]
        return xr.Dataset(
            {
                "share": (("time", "population"), share),
                "share_of_patterns": ("time", [one.support_patterns.mean() for one in self.found]),
                "ever_support": (("time", "unit"), ever),
                "settled": ("time", [one.settled for one in self.found]),
            },
            {
                "time": ("time", time, {"units": "s", "long_name": "time"}),
                "population": list(first),
                "unit_population": ("unit", index["population"].values),
                "index": ("unit", index["index"].values),
            },
            {"tol": self.tol},
        )
