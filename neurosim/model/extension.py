"""User-supplied terms, noise and equations of a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurosim.arguments import checked_methods
from neurosim.model.arrays import own
from neurosim.model.frozen import FrozenDict
from neurosim.model.values import ByValue


@checked_methods("__init__")
@dataclass(frozen=True, eq=False)
class Extension(ByValue):
    """User-supplied terms and equations on one population, in Brian2's notation.

    Parameters
    ----------
    population : str
        Name of the population. A clamped one accepts only `equations`, because it has no dx/dt and
        dlam/dt.
    x : str
        Term in 1/s added to dx/dt, e.g. ``"I/tau_x"`` or ``"0.1*sqrt(2/tau_x)*xi"``. A step adds
        the factor of xi times sqrt(dt) N(0, 1) (Euler-Maruyama); with exponential_euler it is exact
        in the leak.
    lam : str
        Term in 1/s added to dlam/dt.
    equations : str
        Additional equations, e.g. ``"dI/dt = -I/tau_I + 0.1*sqrt(2/tau_I)*xi : 1"`` and parameters
        such as ``"tau_I : second (shared)"``. Random functions are rand() and randn(), drawn once
        per unit and step.
    parameters : dict of str to value
        Initial values of the variables that `equations` declares: Brian2 quantities, numbers, or
        arrays (patterns, units).

    Raises
    ------
    ModelError
        A value of another type.
    """

    population: str
    x: str = ""
    lam: str = ""
    equations: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        copies = FrozenDict({name: own(value) for name, value in self.parameters.items()})
        object.__setattr__(self, "parameters", copies)
