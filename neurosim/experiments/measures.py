"""What is measured of a parameter point: how its relaxation ended, how fast, how well, and what the
spectrum says.

Above `together` and `analysis`; knows a model file's parts, no sweep. Start at `MEASURES`; `Case`
is what a measure is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.alignment import Alignment, alignment
from neurosim.data.datasets import Data
from neurosim.data.patterns import labels
from neurosim.errors import ModelError, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results.metrics import accuracy as share_right
from neurosim.results.metrics import middle
from neurosim.results.operations import synaptic_operations
from neurosim.results.runs import Log, Run
from neurosim.simulation.batch import End

if TYPE_CHECKING:
    from neurosim.analysis.stability import Stability

Array = np.ndarray

OUTCOMES = ("settled", "ringing", "settling", "diverged", "failed")
STILL_FALLING = (
    0.5  # of the residual, from a quarter of a run to the next: less, and it comes to rest
)


@dataclass(frozen=True)
class Case:
    """One parameter point after its relaxation, as a measure is given it.

    Attributes
    ----------
    net, flow : Network, Flow
        With the learnt weights where the sweep trained first.
    data : Data
    end : End
        Of the relaxation, with what was seen on the way.
    log : Log or None
        Of the training.
    """

    net: Network
    flow: Flow
    data: Data
    end: End
    log: Log | None = None
    kept: dict[Any, Any] = field(
        default_factory=dict, repr=False, compare=False
    )  # of points with the same network

    @property
    def run(self) -> Run:
        """The relaxation's end."""
        return self.end.run

    @property
    def outcome(self) -> str:
        """How it ended, one of `OUTCOMES` but "failed".

        Not settled in its time, a point is "settling" if the largest max |tau dz/dt| of a quarter
        of the run fell by half or more from the second to the third and on to the last; else it is
        "ringing".
        """
        if self.end.diverged:
            return "diverged"
        if self.run.settled:
            return "settled"
        quarters = [part.max() for part in np.array_split(self.end.residuals, 4)[1:] if part.size]
        falls = all(late <= STILL_FALLING * early for early, late in pairwise(quarters))
        return "settling" if falls and len(quarters) > 1 else "ringing"

    @cached_property
    def exact(self) -> reference.Adjoint:
        """Backpropagation's answer for the same patterns; points that share a network share it."""
        key = id(self.net), id(self.data)
        if key not in self.kept:
            self.kept[key] = reference.backprop(self.net, self.data.X, self.data.Y)
        found: reference.Adjoint = self.kept[key]
        return found

    @cached_property
    def alignment(self) -> Alignment:
        """The relaxed state against backpropagation."""
        return alignment(self.run, self.exact)

    @cached_property
    def spectrum(self) -> Stability:
        """Of the flow of (x, lam) at the saddle point, all patterns."""
        from neurosim.analysis.stability import stability

        return stability(self.net, self.flow, self.run.X, self.run.Y)


@dataclass(frozen=True)
class Measure:
    """A number a point.

    Attributes
    ----------
    of : callable
        Gets a `Case`, returns a number.
    unit, about : str
        For axes and tables.
    at_end : bool
        Of the relaxed state, so that there is none where it diverged.
    learnt : bool
        Of the learnt weights, so that a model with ``[train]`` is trained first.
    """

    of: Callable[[Case], float]
    unit: str = "1"
    about: str = ""
    at_end: bool = False
    learnt: bool = False


def _settle_time(case: Case) -> float:
    return case.run.time if case.run.settled else float("nan")


def _residual(case: Case) -> float:
    return float(case.end.residuals[-1]) if len(case.end.residuals) else float("nan")


def _violation(case: Case) -> float:
    sigma = reference.functions.sigma
    x = {**case.run.X, **case.run.x}
    nets = {n: reference.functions.net_input(case.net, n, x) for n in case.net.neurons}
    return max(
        float(np.abs(x[n] - sigma(case.net.populations[n].activation, a)).max())
        for n, a in nets.items()
    )


def _loss(case: Case) -> float:
    return reference.loss(case.net, reference.forward(case.net, case.data.X), case.data.Y)


def _accuracy(case: Case) -> float:
    X, Y = case.data.validation or (case.data.X, case.data.Y)
    output = case.net.output
    classes = labels(Y, case.net.populations[output].size)
    if classes is None:
        raise ModelError("accuracy needs classes as targets; try measure='loss'")
    return share_right(reference.forward(case.net, X)[output], classes, middle(Y))


def _max_step(case: Case) -> float:
    return float(case.spectrum.max_step[_method(case)])


def _method(case: Case) -> str:
    method = str(case.run.settings.get("method", "euler"))
    return "rk4" if method == "adaptive" else method


def _growth(case: Case) -> float:
    """log |R(h s)| / h of the mode that grows most, R of the method; without R, the flow's own
    largest Re s.
    """
    from neurosim.reference.spectrum import AMPLIFICATION

    s, dt, method = case.spectrum.eigenvalues, float(case.run.settings["dt"]), _method(case)
    if method not in AMPLIFICATION:
        return float(s.real.max())
    return float(np.log(np.abs(np.polyval(AMPLIFICATION[method][::-1], dt * s))).max() / dt)


MEASURES: dict[str, Measure] = {
    "settle_time": Measure(_settle_time, "s", "time until nothing changes any more"),
    "residual": Measure(_residual, "1", "largest tau dz/dt, as last looked at"),
    "alignment": Measure(
        lambda c: c.alignment.worst,
        "1",
        "smallest cosine of lam to backpropagation's, over populations",
        at_end=True,
    ),
    "error": Measure(
        lambda c: c.alignment.max_error,
        "1",
        "largest error of lam against backpropagation",
        at_end=True,
    ),
    "gradient_alignment": Measure(
        lambda c: min(c.alignment.grad_cosine.values()),
        "1",
        "smallest cosine of the weight gradient to backpropagation's, over projections",
        at_end=True,
    ),
    "violation": Measure(_violation, "1", "largest |x - sigma(a)|", at_end=True),
    "loss": Measure(_loss, "1", "loss after a forward pass, training patterns", learnt=True),
    "accuracy": Measure(
        _accuracy, "1", "share of patterns put right, held back ones if there are any", learnt=True
    ),
    "slowest_rate": Measure(
        lambda c: c.spectrum.slowest_rate, "1/s", "decay of the slowest mode at the saddle point"
    ),
    "frequency": Measure(
        lambda c: float(c.spectrum.frequency[0]), "Hz", "of the slowest mode at the saddle point"
    ),
    "max_step": Measure(
        _max_step, "s", "largest step that holds at the saddle point, for this method"
    ),
    "growth": Measure(
        _growth,
        "1/s",
        "growth of a perturbation of the saddle point at this dt: settles if negative",
    ),
    "synaptic_operations": Measure(
        lambda c: synaptic_operations(c.run).effective,
        "1",
        "messages times synapses, per pattern over the relaxation",
        at_end=True,
    ),
    "simulated_time": Measure(lambda c: c.run.time, "s", "simulated until it ended"),
}


def chosen(measure: Any) -> dict[str, Measure]:
    """Measures by name, from names, callables, or a mapping of names to either.

    Raises
    ------
    ModelError
        A name that is no measure, or nothing that can be called.
    """
    given: Iterable[tuple[str, Any]]
    if isinstance(measure, str) or callable(measure):
        measure = [measure]
    if isinstance(measure, Mapping):
        given = measure.items()
    else:
        given = [(m if isinstance(m, str) else getattr(m, "__name__", repr(m)), m) for m in measure]
    found = {}
    for name, m in given:
        if isinstance(m, Measure):
            found[name] = m
        elif isinstance(m, str):
            if m not in MEASURES:
                raise unknown("measure", m, MEASURES)
            found[name] = MEASURES[m]
        elif callable(m):
            found[name] = Measure(
                m, about=(getattr(m, "__doc__", None) or name).strip().splitlines()[0]
            )
        else:
            raise ModelError(
                f"measure {m!r}; allowed: a name, or a function of a Case that returns a number"
            )
    for name in found:
        if name in ("outcome", "reason", "point") or not name.isidentifier():
            raise ModelError(
                f"measure named {name!r}; allowed: an identifier, not outcome, reason or point"
            )
    if not found:
        raise ModelError(f"no measure; allowed: {', '.join(MEASURES)}, or a function of your own")
    return found


def take(measures: Mapping[str, Measure], case: Case) -> dict[str, float]:
    """Every measure of a case; NaN where it is of an end that was not reached."""
    gone = case.outcome == "diverged"
    return {
        n: float("nan") if gone and m.at_end else float(m.of(case)) for n, m in measures.items()
    }
