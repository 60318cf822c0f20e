"""Measures of a parameter point: speed, end and accuracy of its relaxation, and its spectrum.

A measure depends on one point, not on the sweep. One that raises an error is NaN at that point; its
`Failures` are warned of. Start at `MEASURES`; `Case` is the argument of every measure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.alignment import Alignment, alignment
from neurosim.data.datasets import Data
from neurosim.errors import DataError, MeasureWarning, ModelError, out_of_range, shown, unknown
from neurosim.model import methods
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results.metrics import share_correct
from neurosim.results.operations import synaptic_operations
from neurosim.results.runs import Log, Run
from neurosim.simulation.batch import End

if TYPE_CHECKING:
    from neurosim.analysis.stability import Stability

Array = np.ndarray

SETTLED, RINGING, SETTLING, DIVERGED, FAILED = OUTCOMES = (
    "settled",
    "ringing",
    "settling",
    "diverged",
    "failed",
)
# largest ratio of residuals of successive quarters at which a run still counts as settling
STILL_FALLING = 0.5
RESERVED = ("outcome", "reason", "point")  # names in the dataset of a sweep


@dataclass(frozen=True)
class Case:
    """One parameter point after its relaxation: the argument of a measure.

    Attributes
    ----------
    net, flow : Network, Flow
        With the learnt weights if the sweep trained first.
    data : Data
    end : End
        The end of the relaxation, with the residuals at moments on the way.
    log : Log or None
        The log of the training; None if the sweep did not train.
    kept : dict
        Values that points with the same network share, so that they are computed once.
    """

    net: Network
    flow: Flow
    data: Data
    end: End
    log: Log | None = None
    kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def run(self) -> Run:
        """The run of the relaxation."""
        return self.end.run

    @property
    def outcome(self) -> str:
        """How the relaxation ended: one of `OUTCOMES`, except "failed".

        A point that has not settled in its time is "settling" if the largest max |tau dz/dt| of a
        quarter of the run fell to half or less from the second quarter to the third, and again to
        the last. Otherwise it is "ringing".
        """
        if self.end.diverged:
            return DIVERGED
        if self.run.settled:
            return SETTLED
        later = np.array_split(self.end.residuals, 4)[1:]
        largest = [quarter.max() for quarter in later if quarter.size]
        falls = all(late <= STILL_FALLING * early for early, late in pairwise(largest))
        if falls and len(largest) > 1:
            return SETTLING
        return RINGING

    @cached_property
    def exact(self) -> reference.Adjoint:
        """Backpropagation on the same patterns, computed once for points that share a network."""
        key = id(self.net), id(self.data)
        if key not in self.kept:
            self.kept[key] = reference.backprop(self.net, self.data.X, self.data.Y)
        found: reference.Adjoint = self.kept[key]
        return found

    @cached_property
    def alignment(self) -> Alignment:
        """Alignment of the relaxed state with backpropagation."""
        return alignment(self.run, self.exact)

    @cached_property
    def spectrum(self) -> Stability:
        """Spectrum of the flow of (x, lam) at the saddle point, over all patterns.

        Raises
        ------
        ModelError
            The model has extensions, whose spectrum is not known.
        """
        from neurosim.analysis.stability import stability

        extensions = self.run.settings.get("extensions")
        if extensions:
            raise ModelError(
                f"the spectrum with extensions = {shown(extensions)} is not known; "
                "allowed: models without; try measure='settle_time'"
            )

        return stability(self.net, self.flow, self.run.X, self.run.Y)


@dataclass(frozen=True)
class Measure:
    """A quantity that is measured at every point, as one number.

    Attributes
    ----------
    of : callable
        Takes a `Case` and returns a number.
    unit, about : str
        Unit and description, for axes and tables.
    at_end : bool
        Whether it measures the relaxed state; it is then NaN where a point diverged.
    learnt : bool
        Whether it measures learnt weights; a model with ``[train]`` is then trained first.
    """

    of: Callable[[Case], float]
    unit: str = "1"
    about: str = ""
    at_end: bool = False
    learnt: bool = False


def _settle_time(case: Case) -> float:
    if not case.run.settled:
        return float("nan")
    return case.run.time


def _simulated_time(case: Case) -> float:
    return case.run.time


def _residual(case: Case) -> float:
    if not len(case.end.residuals):
        return float("nan")
    return float(case.end.residuals[-1])


def _alignment(case: Case) -> float:
    return case.alignment.worst


def _error(case: Case) -> float:
    return case.alignment.max_error


def _gradient_alignment(case: Case) -> float:
    return min(case.alignment.grad_cosine.values())


def _violation(case: Case) -> float:
    """Return the largest |x - sigma(a)|."""
    x = {**case.run.X, **case.run.x}
    largest = []
    for name in case.net.neurons:
        a = reference.functions.net_input(case.net, name, x)
        activation = case.net.populations[name].activation
        g = x[name] - reference.functions.sigma(activation, a)
        largest.append(float(np.abs(g).max()))
    return max(largest)


def _loss(case: Case) -> float:
    return reference.loss(case.net, reference.forward(case.net, case.data.X), case.data.Y)


def _accuracy(case: Case) -> float:
    X, Y = case.data.validation or (case.data.X, case.data.Y)
    net = case.net
    share = share_correct(net, reference.forward(net, X)[net.output], Y)
    if share is None:
        raise ModelError(
            f"accuracy needs classes as targets, not an array of shape {np.shape(Y)}; "
            "try measure='loss'"
        )
    return share


def _slowest_rate(case: Case) -> float:
    return case.spectrum.slowest_rate


def _frequency(case: Case) -> float:
    return float(case.spectrum.frequency[0])


def _max_step(case: Case) -> float:
    return float(case.spectrum.max_step[_method(case)])


def _method(case: Case) -> str:
    """Return the method whose stability function the run's method has."""
    method = str(case.run.settings.get("method", methods.EULER))
    others = {methods.ADAPTIVE: methods.RK4, methods.ANDERSON: methods.EULER}
    return others.get(method, method)


def _growth(case: Case) -> float:
    """Return log |R(h s)| / h of the mode that grows most, 1/s.

    R is the stability function of the method, h the step. A method without R has the growth of the
    flow itself, the largest Re s.
    """
    from neurosim.reference.spectrum import AMPLIFICATION

    s = case.spectrum.eigenvalues
    method = _method(case)
    dt = float(case.run.settings["dt"])
    if method not in AMPLIFICATION:
        return float(s.real.max())
    coefficients = AMPLIFICATION[method][::-1]
    amplification = np.abs(np.polyval(coefficients, dt * s))
    return float(np.log(amplification).max() / dt)


def _synaptic_operations(case: Case) -> float:
    return synaptic_operations(case.run).effective


MEASURES: dict[str, Measure] = {
    "settle_time": Measure(_settle_time, "s", "time until nothing changes any more"),
    "residual": Measure(_residual, "1", "largest |tau dz/dt| when last read"),
    "alignment": Measure(
        _alignment,
        about="smallest cosine of lam to backpropagation's, over populations",
        at_end=True,
    ),
    "error": Measure(_error, about="largest error of lam against backpropagation", at_end=True),
    "gradient_alignment": Measure(
        _gradient_alignment,
        about="smallest cosine of the weight gradient to backpropagation's, over projections",
        at_end=True,
    ),
    "violation": Measure(_violation, about="largest |x - sigma(a)|", at_end=True),
    "loss": Measure(_loss, about="loss after a forward pass, training patterns", learnt=True),
    "accuracy": Measure(
        _accuracy,
        about="share of patterns classified correctly, held-out ones if there are any",
        learnt=True,
    ),
    "slowest_rate": Measure(_slowest_rate, "1/s", "decay of the slowest mode at the saddle point"),
    "frequency": Measure(_frequency, "Hz", "frequency of the slowest mode at the saddle point"),
    "max_step": Measure(_max_step, "s", "largest stable step of the method at the saddle point"),
    "growth": Measure(
        _growth,
        "1/s",
        "growth of a perturbation of the saddle point at this dt: settles if negative",
    ),
    "synaptic_operations": Measure(
        _synaptic_operations,
        about="messages times synapses, per pattern over the relaxation",
        at_end=True,
    ),
    "simulated_time": Measure(_simulated_time, "s", "simulated time until the end"),
}


def select(measure: Any) -> dict[str, Measure]:
    """Return measures by name, from names, callables, or a mapping of names to either.

    Raises
    ------
    ModelError
        An unknown name, or an object that cannot be called.
    """
    given: Iterable[tuple[str, Any]]
    if isinstance(measure, str) or callable(measure):
        measure = [measure]
    if not isinstance(measure, Iterable) or isinstance(measure, np.ndarray | bytes):
        raise out_of_range("measure", measure, f"{', '.join(MEASURES)}, or a function of a Case")
    if isinstance(measure, Mapping):
        given = measure.items()
    else:
        given = [(_name(one), one) for one in measure]
    found = {name: _measure(name, one) for name, one in given}
    for name in found:
        if name in RESERVED or not str(name).isidentifier():
            raise ModelError(
                f"measure named {name!r}; allowed: an identifier other than {', '.join(RESERVED)}"
            )
    if not found:
        raise ModelError(
            f"measure = {shown(measure)} is empty; allowed: {', '.join(MEASURES)}, "
            "or a user-supplied function"
        )
    return found


def _name(measure: Any) -> str:
    if isinstance(measure, str):
        return measure
    return str(getattr(measure, "__name__", repr(measure)))


def _measure(name: str, given: Any) -> Measure:
    """Return a measure that was given as a `Measure`, by name, or as a function."""
    if isinstance(given, Measure):
        return given
    if isinstance(given, str):
        if given not in MEASURES:
            raise unknown("measure", given, MEASURES)
        return MEASURES[given]
    if not callable(given):
        raise ModelError(
            f"measure {shown(given)}; allowed: a name, or a function of a Case that returns a "
            "number"
        )
    documentation = getattr(given, "__doc__", None) or name
    return Measure(given, about=documentation.strip().splitlines()[0])


def evaluate(measure: Measure, case: Case) -> float:
    """Return the value of a measure; NaN if it needs the relaxed state and the point diverged.

    Raises
    ------
    DataError
        A value that is not one real number without a unit.
    """
    if measure.at_end and case.outcome == DIVERGED:
        return float("nan")
    value: Any = measure.of(case)
    array = np.asarray(value)
    has_unit = hasattr(value, "dim") and not value.is_dimensionless
    is_masked = isinstance(value, np.ma.MaskedArray)
    if array.size != 1 or array.dtype.kind not in "biuf" or has_unit or is_masked:
        raise DataError(f"the value {str(value)[:60]!r}; allowed: one real number without a unit")
    return float(array.item())


class Failures:
    """Warn where measures raise errors: at the first point of each, and at the end in numbers."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, point: Mapping[str, Any], unmeasured: Mapping[str, str]) -> None:
        """Count the measures that raised an error at a point, and warn of new ones."""
        for name, error in unmeasured.items():
            self.counts[name] = self.counts.get(name, 0) + 1
            if self.counts[name] == 1:
                values = ", ".join(f"{key} = {value}" for key, value in point.items())
                warnings.warn(
                    f"measure {name!r} is NaN at {values}, as it raised {error}",
                    MeasureWarning,
                    stacklevel=2,
                )

    def close(self, points: int) -> None:
        """Warn of the measures that failed at further points."""
        for name, count in self.counts.items():
            if count > 1:
                warnings.warn(
                    f"measure {name!r} raised errors at {count} of {points} points; "
                    "the variable reason of the result has them",
                    MeasureWarning,
                    stacklevel=2,
                )
