"""neurosim's own errors and warnings, and the one form in which each kind of slip is reported.

The ground floor: imports nothing of the package. Every message names the thing, the value, what is
allowed and what to try.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from numbers import Integral
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
    """A whole number that is at least `least`, or the error that says so."""
    if (
        isinstance(value, bool) or not isinstance(value, Integral) or value < least
    ):  # NumPy's are Integral, too
        raise out_of_range(name, value, f"a whole number >= {least}")
    return int(value)
