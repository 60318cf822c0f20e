"""Support neurons: which neurons carry the solution of which pattern, by their multipliers at rest.

Above `simulation`. Within its tolerance (straw) a neuron sends no error and changes no weight; one
whose multiplier is not 0 (support) stands at the wall of its tube. Start at `support_neurons`;
`kkt` says how near a solution a state is.

References
----------
Betti, Gori & Marra 2018, arXiv 1808.06934: the notion. Conditions: Karush 1939, Kuhn & Tucker 1951.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.analysis.rest import speed
from neurosim.errors import (
    DivergenceError,
    ModelError,
    StabilityWarning,
    UnsettledWarning,
    out_of_range,
)
from neurosim.model.flow import Flow
from neurosim.reference import right_hand_side
from neurosim.reference.constraints import violation
from neurosim.results.runs import Log, Run
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
MOST_STEPS = 20_000  # on the way to rest
CREEPS = 1e-3  # what moves by less per time constant is on its way; more is a step that is too long


@dataclass(frozen=True, repr=False)
class Support(Mapping[str, Array]):
    """Which neurons are support, {population: bool (patterns, units)}.

    Attributes
    ----------
    lam : dict of str to array, (patterns, units), unit 1
    margin : dict of str to array, (patterns, units), unit 1
        Distance of |g| to the wall, epsilon - |g|: 0 at it, negative beyond.
    tol : float
        |lam| above which a neuron is support.
    speed : float
        Largest |tau dx/dt| and |tau dlam/dt| of the state; see `settled`.
    time : float
        Of the run, s.
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
        """Whether the state moves by at most `tol` per time constant; if not, shares are artefacts
        of its motion.
        """
        return self.speed <= self.tol

    @property
    def ever_support(self) -> dict[str, Array]:
        """Units that are support for some pattern, {population: bool (units,)}."""
        return {n: np.asarray(own.any(axis=0)) for n, own in self.support.items()}

    @property
    def support_patterns(self) -> Array:
        """Patterns that some neuron is support for, bool (patterns,): like support vectors, they
        alone teach.
        """
        return np.asarray(np.any([own.any(axis=1) for own in self.support.values()], axis=0))

    def shares(self, by: str = "layer") -> dict[str, Any]:
        """Share of support of every population: one number, or an array by "unit" (units,) or
        "pattern" (patterns,).
        """
        if by == "layer":
            return {n: float(own.mean()) for n, own in self.support.items()}
        if by not in ("unit", "pattern"):
            raise out_of_range("by", by, "'layer', 'unit' or 'pattern'")
        return {n: own.mean(axis=0 if by == "unit" else 1) for n, own in self.support.items()}

    def to_xarray(self) -> xr.Dataset:
        """support, lam and margin over (pattern, unit); units have the coordinates `population` and
        `index`.
        """
        import xarray as xr

        names = np.repeat(list(self.support), [own.shape[1] for own in self.support.values()])
        index = np.concatenate([np.arange(own.shape[1]) for own in self.support.values()])
        columns: dict[str, Mapping[str, Array]] = {
            "support": self.support,
            "lam": self.lam,
            "margin": self.margin,
        }
        return xr.Dataset(
            {
                v: (("pattern", "unit"), np.hstack(list(part.values())), {"units": "1"})
                for v, part in columns.items()
            },
            {"population": ("unit", names), "index": ("unit", index)},
            {"tol": self.tol, "speed": self.speed, "settled": int(self.settled)},
        )

    def __repr__(self) -> str:
        shares = ", ".join(f"{n} {share:.0%}" for n, share in self.shares().items())
        state = (
            "at rest"
            if self.settled
            else f"NOT at rest, moving by {self.speed:.1g} per time constant"
        )
        return f"Support({shares}; {self.support_patterns.mean():.0%} of the patterns; |lam| > {self.tol:g}, {state})"


@dataclass(frozen=True)
class Kkt:
    """By how much a state misses the conditions of Karush, Kuhn and Tucker, each the largest over
    patterns and units.

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


def support_neurons(run: Run, tol: float = 1e-4) -> Support:
    """Which neurons are support for which pattern: |lam| > tol at the end of a run.

    Parameters
    ----------
    run : Run
        At rest with weights fixed, such as one of ``relax(..., settle=...)`` or of `at_rest`; else
        an `UnsettledWarning`: on the move nearly every multiplier differs from 0.
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
    if isinstance(tol, bool) or not isinstance(tol, int | float) or not 0 < tol < np.inf:
        raise out_of_range("tol", tol, "a number > 0", "1e-4")
    net, outputs = run.network, {**run.X, **run.x}
    margin = {
        n: net.populations[n].epsilon - np.abs(violation(net, n, outputs)) for n in net.neurons
    }
    found = Support(
        {n: np.abs(v) > tol for n, v in run.lam.items()},
        dict(run.lam),
        margin,
        tol,
        speed(run),
        run.time,
    )
    if not found.settled:
        warnings.warn(
            f"the run still moves by {found.speed:.1g} per time constant; allowed: "
            f"{tol:g}, as tol. "
            "Shares of support are artefacts of its motion; try neurosim.at_rest(sim, run)",
            UnsettledWarning,
            stacklevel=2,
        )
    return found


def at_rest(
    simulation: Simulation, run: Run | Log, *, settle: float = 1e-6, most_steps: int = MOST_STEPS
) -> Run:
    """A run relaxed on, with the weights that it ended with, until nothing changes by `settle` per
    time constant.

    Training leaves weights for which its own step may be too long: what does not come to rest goes
    on, or starts again if it diverged, with a quarter of the step.

    Parameters
    ----------
    simulation : Simulation
        Whose flow, step and backend are used; it is not changed.
    run : Run or Log
        Of any network that fits; a stream or presentations leave the patterns that were shown last.
    settle, most_steps : float, int
        What counts as rest, and how many steps are tried with each length.

    Raises
    ------
    DivergenceError
        The shorter step, too, is too long for these weights.
    """
    last = run.run if isinstance(run, Log) else run
    twin = copy.copy(simulation)
    twin.net = last.network
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)
        try:
            rest = twin.relax(
                last.X, last.Y, duration=most_steps * twin.dt, start=last, settle=settle
            )
        except DivergenceError:
            rest = last
    if rest is not last and (rest.settled or rest.interrupted or speed(rest) < CREEPS):
        return rest
    twin.dt /= 4
    return twin.relax(last.X, last.Y, duration=most_steps * twin.dt, start=rest, settle=settle)


def kkt(run: Run) -> Kkt:
    """The final state of a run against the conditions of min V subject to |g| <= epsilon (g = 0
    where `lin`).

    Raises
    ------
    ModelError
        A constraint that is neither `tube` nor `lin`.
    """
    net = run.network
    for n in net.neurons:
        if net.populations[n].constraint not in ("tube", "lin", "none"):
            raise ModelError(
                f"constraint {net.populations[n].constraint!r} of {n} has no multipliers at rest; "
                "allowed: tube, lin"
            )
    plain = Flow(kappa=1.0, gamma=0.0, rho=0.0, tau_x=1.0, tau_lam=1.0)
    rates = right_hand_side(net, plain, run.x, run.lam, run.X, run.Y, plastic=False)
    outputs = {**run.X, **run.x}
    off, missed = 0.0, 0.0
    for n in net.neurons:
        g, width, lam = violation(net, n, outputs), net.populations[n].epsilon, run.lam[n]
        off = max(off, float((np.abs(g) - width).max()))
        if width or net.populations[n].constraint == "tube":
            missed = max(missed, float(np.abs(lam * (g - width * np.sign(lam))).max()))
    return Kkt(max(float(np.abs(v).max()) for v in rates.x.values()), max(off, 0.0), missed)


@dataclass
class SupportOverTraining:
    """Support at rest with weights frozen, at every row of the log of a training: ``train(...,
    visit=...)``.

    Parameters
    ----------
    simulation : Simulation
        The one that trains.
    tol : float
        As in `support_neurons`.
    every : int
        Rows of the log between two looks.
    patterns : int
        How many of the patterns that are simulated at once are looked at, from the first on.

    Attributes
    ----------
    found : list of Support

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

    def __call__(self, run: Run) -> None:
        """One look at a training that goes on."""
        self.rows += 1
        if self.rows % self.every:
            return
        X, Y, x, lam = (
            {n: v[: self.patterns] for n, v in part.items()}
            for part in (run.X, run.Y, run.x, run.lam)
        )
        few = replace(run, X=X, Y=Y, x=x, lam=lam, auxiliary={})
        rest = at_rest(self.simulation, few, settle=self.tol / 10)
        one = support_neurons(rest, self.tol)
        self.found.append(Support(one.support, one.lam, one.margin, one.tol, one.speed, run.time))

    def to_xarray(self) -> xr.Dataset:
        """share over (time, population), share_of_patterns and settled over time, ever_support over
        (time, unit).
        """
        import xarray as xr

        if not self.found:
            raise ModelError("no look was taken; try train(..., visit=this)")
        first, time = self.found[0], [one.time for one in self.found]
        index = first.to_xarray()
        return xr.Dataset(
            {
                "share": (
                    ("time", "population"),
                    [list(one.shares().values()) for one in self.found],
                ),
                "share_of_patterns": ("time", [one.support_patterns.mean() for one in self.found]),
                "ever_support": (
                    ("time", "unit"),
                    [np.hstack(list(one.ever_support.values())) for one in self.found],
                ),
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
