"""neurosim's own errors and warnings, and the one form in which each kind of slip is reported.

The ground floor: imports nothing of the package. Every message names the thing, the value, what is
allowed and what to try.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from typing import Any


class NeurosimError(Exception):
    """Base of everything neurosim raises on purpose; the command line exits with 2 on it.

    Attributes
    ----------
    log : Log or None
        What training had logged until then, if it was training that failed.
    """

    log: Any = None


class ModelError(NeurosimError, ValueError):
    """A network, flow, simulation or model file that cannot be."""


class DataError(NeurosimError, ValueError):
    """Patterns or targets that do not fit the network."""


class FileError(NeurosimError, OSError):
    """A file that cannot be read or written, or that is not neurosim's."""


class ConvergenceError(NeurosimError, RuntimeError):
    """A fixed point that was not found: the cyclic graph does not contract."""


class DivergenceError(NeurosimError, RuntimeError):
    """A run that left the finite numbers.

    Attributes
    ----------
    time : float
        When it was seen, in s from the start of the run.
    population : str
        Where it was seen first.
    run : Run or None
        What had been recorded until then.
    """

    def __init__(self, message: str, *, time: float, population: str, run: Any = None) -> None:
        super().__init__(message)
        self.time = time
        self.population = population
        self.run = run


class BackendError(NeurosimError, RuntimeError):
    """The chosen backend cannot run here: no compiler, or a build that failed."""


class StabilityWarning(UserWarning):
    """The step is beyond what the linearised flow allows."""


class UnsettledWarning(UserWarning):
    """Something that has a meaning at rest was asked of a state that still moves."""


def unknown(name: str, value: object, allowed: Collection[str]) -> ModelError:
    """The one form in which an unknown name is refused, with the nearest valid one."""
    text = str(value)
    near = get_close_matches(text, list(allowed), n=1) or [
        a for a in allowed if len(text) > 2 and text in a
    ]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ModelError(f"{name} = {value!r}; allowed: {', '.join(allowed)}{hint}")


def out_of_range(name: str, value: Any, allowed: str, try_: str = "") -> ModelError:
    """The one form in which a value outside its range is refused."""
    return ModelError(f"{name} = {value!r}; allowed: {allowed}" + (f"; try {try_}" if try_ else ""))


def whole(name: str, value: Any, least: int) -> int:
    """Return a whole number of at least `least`; NumPy's are accepted, booleans are not.

    Raises
    ------
    ModelError
        Any other value.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise out_of_range(name, value, f"a whole number >= {least}")
    return int(value)


def number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    try_: str = "",
) -> float:
    """Return a finite number within bounds; NumPy's are accepted, booleans are not.

    Parameters
    ----------
    name : str
        The name that the message uses.
    value : number
    least, most : float, optional
        Closed bounds.
    above, below : float, optional
        Open bounds.
    try_ : str
        A value to suggest.

    Raises
    ------
    ModelError
        Any other value.

    Examples
    --------
    >>> number("epsilon", 0.05, least=0)
    0.05
    """
    good = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    good = good and (least is None or value >= least) and (most is None or value <= most)
    good = good and (above is None or value > above) and (below is None or value < below)
    if not good:
        bounds = {">=": least, ">": above, "<=": most, "<": below}
        stated = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
        allowed = " ".join(["a finite number", " and ".join(stated)]).strip()
        raise out_of_range(name, value, allowed, try_)
    return float(value)


def yes_or_no(name: str, value: Any) -> bool:
    """Return True or False as it is.

    Raises
    ------
    ModelError
        Any other value.
    """
    if not isinstance(value, bool):
        raise out_of_range(name, value, "True or False")
    return value
