"""neurosim's errors and warnings, and the functions that check values and word messages.

Imports no other module of the package. Every message gives the name, the value, the allowed values
and, where possible, a value to try.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Collection
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from typing import Any


class NeurosimError(Exception):
    """Base class of all errors that neurosim raises on purpose; the command line exits with 2.

    Attributes
    ----------
    log : Log or None
        Rows logged before the error, if it was raised during training.
    """

    log: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Restore message and attributes without `__init__`, whose arguments may be others."""
        return _restored, (type(self), self.args), self.__dict__


def _restored(kind: type[NeurosimError], args: tuple[Any, ...]) -> NeurosimError:
    """Return the error that pickle or copy makes anew; its attributes are set afterwards."""
    return kind.__new__(kind, *args)


class ModelError(NeurosimError, ValueError):
    """A network, flow, simulation or model file with impossible or contradictory values."""


class ReadOnlyError(ModelError, AttributeError, TypeError):
    """An attribute, or an entry of a mapping, that is fixed once its object is made."""


class DataError(NeurosimError, ValueError):
    """Patterns or targets that do not fit the network."""


class FileError(NeurosimError, OSError):
    """A file that cannot be read or written, or that neurosim did not write."""


class ConvergenceError(NeurosimError, RuntimeError):
    """A fixed point that was not found, for example where a cyclic graph is not a contraction."""


class DivergenceError(NeurosimError, RuntimeError):
    """A run whose state is no longer finite.

    Attributes
    ----------
    time : float
        Time at which a value was first found not to be finite, in s from the start of the run.
    population : str
        Population in which it was found.
    run : Run or None
        The run up to that time, with its recorded traces.
    """

    def __init__(self, message: str, *, time: float, population: str, run: Any = None) -> None:
        super().__init__(message)
        self.time = time
        self.population = population
        self.run = run


class BackendError(NeurosimError, RuntimeError):
    """The chosen backend cannot run here: no compiler, or a build that failed."""


class StabilityWarning(UserWarning):
    """The step exceeds the largest stable step of the linearised flow."""


class UnsettledWarning(UserWarning):
    """A quantity that is defined only at rest was computed from a state that still moves."""


class MeasureWarning(UserWarning):
    """A measure of a sweep, or the objective of a search, raised an error at a point."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of neurosim that led here, however many calls lie between."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("neurosim."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, category, stacklevel=depth)


LONGEST = 200  # letters of a value that a message shows


def shown(value: object) -> str:
    """Return a value as messages show it: on one line, cut off where it is long.

    Examples
    --------
    >>> shown("x" * 1000)[-8:]
    'xxxx ...'
    """
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(value))
    except Exception:  # of an object whose own __repr__ fails
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def unknown(name: str, value: object, allowed: Collection[str]) -> ModelError:
    """Return the error for an unknown name; its message suggests the nearest valid one.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        The unknown name.
    allowed : collection of str
        Valid names.

    Examples
    --------
    >>> print(unknown("constraint", "lin-eps", ("lin", "lin_eps", "abs")))
    constraint = 'lin-eps'; allowed: lin, lin_eps, abs; did you mean 'lin_eps'?
    """
    names = [str(valid)[:LONGEST] for valid in allowed]
    near = []
    if isinstance(value, str) and len(value) <= LONGEST:
        near = get_close_matches(value, names, n=1)
        if not near and len(value) > 2:
            near = [valid for valid in names if value in valid]
    hint = f"; did you mean {near[0]!r}?" if near else ""
    stated = ", ".join(names) or "none"
    return ModelError(f"{name[:LONGEST]} = {shown(value)}; allowed: {stated}{hint}")


def choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return a name if it is one of the allowed ones.

    Raises
    ------
    ModelError
        Any other value, as `unknown` words it.
    """
    if not isinstance(value, str) or value not in allowed:
        raise unknown(name, value, allowed)
    return value


def out_of_range(name: str, value: Any, allowed: str, try_: str = "") -> ModelError:
    """Return the error for a value outside its range.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        The value.
    allowed : str
        Range of valid values, in words.
    try_ : str
        Value to suggest; none if empty.

    Examples
    --------
    >>> print(out_of_range("epsilon", -1, "a finite number >= 0", "0.05"))
    epsilon = -1; allowed: a finite number >= 0; try 0.05
    """
    hint = f"; try {try_}" if try_ else ""
    return ModelError(f"{name[:LONGEST]} = {shown(value)}; allowed: {allowed}{hint}")


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Return a whole number within bounds as an int; NumPy integers are accepted, booleans are not.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        Value to check.
    least : int
        Smallest valid value.
    most : int, optional
        Largest valid value.

    Raises
    ------
    ModelError
        Any other value.

    Examples
    --------
    >>> whole("depth", 3, 1)
    3
    """
    valid = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
    if not valid or (most is not None and int(value) > most):
        bound = "" if most is None else f" and <= {most}"
        raise out_of_range(name, value, f"a whole number >= {least}{bound}")
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
    """Return a finite number within bounds as a float; booleans are refused.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        Value to check.
    least, most : float, optional
        Closed bounds.
    above, below : float, optional
        Open bounds.
    try_ : str
        Value to suggest; none if empty.

    Raises
    ------
    ModelError
        Any other value.

    Examples
    --------
    >>> number("epsilon", 0.05, least=0)
    0.05
    """
    valid = isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    valid = valid and (least is None or value >= least) and (most is None or value <= most)
    valid = valid and (above is None or value > above) and (below is None or value < below)
    if not valid:
        bounds = {">=": least, ">": above, "<=": most, "<": below}
        stated = [f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None]
        allowed = f"a finite number {' and '.join(stated)}".strip()
        raise out_of_range(name, value, allowed, try_)
    return float(value)


def _is_finite(value: Real) -> bool:
    """Whether a number is finite as a float; a whole number may be too large for one."""
    try:
        return isfinite(value)
    except OverflowError:
        return False


def yes_or_no(name: str, value: Any) -> bool:
    """Return the value if it is True or False.

    Raises
    ------
    ModelError
        Any other value.
    """
    if not isinstance(value, bool):
        raise out_of_range(name, value, "True or False")
    return value
