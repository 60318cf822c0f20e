"""Check the arguments of public functions against the annotations of their parameters.

An annotation is the one statement of what a parameter takes: mypy reads it before a program runs,
`checked` while it runs. Above `errors`, below all other modules. Start at `checked`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, wraps
from importlib import import_module
from inspect import Parameter, signature
from numbers import Integral, Real
from os import PathLike, fspath
from types import MappingProxyType, NoneType, SimpleNamespace, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from neurosim.errors import out_of_range

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# modules of names in annotations that are imported for type checking only
HOMES = MappingProxyType(
    {
        "Adjoint": "neurosim.reference",
        "Axes": "matplotlib.axes",
        "Figure": "matplotlib.figure",
        "Inferred": "neurosim.reference.rivals",
        "Live": "neurosim.simulation.live",
        "Plausibility": "neurosim.analysis.plausibility",
        "Support": "neurosim.analysis.support",
    }
)
MODULES = MappingProxyType({"nx": "networkx", "xr": "xarray"})
UNCHECKED = ("BrianNetwork",)  # too slow to import for a check
SCALARS: Mapping[Any, tuple[Any, str]] = MappingProxyType(
    {
        bool: (bool | np.bool_, "True or False"),
        int: (Integral, "a whole number"),
        float: (Real, "a number"),
        str: (str, "text"),
        NoneType: (NoneType, "None"),
    }
)
EXACT = 2**53  # up to which floats hold every whole number
SERIES = (Iterable, Sequence, Collection, list)
# how to come by a value of a class
SOURCES = MappingProxyType(
    {
        "Axes": "Matplotlib's Axes",
        "Branch": "a Branch, as continuation returns it",
        "Dataset": "an xarray.Dataset, as neurosim.sweep returns it",
        "Flow": "a Flow, e.g. Flow.augmented()",
        "Growing": "Growing(...)",
        "LocalPropagation": "LocalPropagation(...)",
        "Log": "a Log, as train returns it",
        "Network": "a Network, e.g. Network.mlp([64, 32, 10])",
        "Plausibility": "a Plausibility, as neurosim.plausibility returns it",
        "Presentations": "Presentations(...)",
        "Pruning": "Pruning(...)",
        "Run": "a Run, as relax returns it",
        "Simultaneous": "Simultaneous(...)",
        "Stability": "a Stability, as neurosim.stability returns it",
        "Support": "a Support, as support_neurons returns it",
    }
)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it refuses an argument of another type than annotated.

    The error is a `ModelError`, which names the argument. An iterator becomes a tuple, so that
    looking at its items does not use it up; a whole number beyond `EXACT` becomes a float where a
    float is expected. Ranges are left to the function.

    Examples
    --------
    >>> @checked
    ... def doubled(number: float) -> float:
    ...     return 2 * number
    >>> doubled("3")
    Traceback (most recent call last):
    neurosim.errors.ModelError: number = '3'; allowed: a number
    """
    parameters = signature(function)
    several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    single = [p.name for p in parameters.parameters.values() if p.kind not in several]

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        given = parameters.bind(*args, **kwargs)
        hints = _hints(function)
        for name in single:
            if name in given.arguments and name in hints:
                given.arguments[name] = check(name, given.arguments[name], hints[name])
        return function(*given.args, **given.kwargs)

    return inner


def checked_methods(*names: str) -> Callable[[type[T]], type[T]]:
    """Return a decorator of a class whose methods of these names are `checked`.

    "__init__" stands for the fields of a dataclass, too.
    """

    def decorate(kind: type[T]) -> type[T]:
        for name in names:
            method = vars(kind)[name]
            if isinstance(method, classmethod):
                setattr(kind, name, classmethod(checked(method.__func__)))
            else:
                setattr(kind, name, checked(method))
        return kind

    return decorate


def check(name: str, value: Any, hint: Any) -> Any:
    """Return a value that is of a type; an iterator over values as a tuple.

    Raises
    ------
    ModelError
        It is of another type; the message has the `name`.
    """
    if isinstance(value, Iterator) and _takes_series(hint):
        value = tuple(value)
    if isinstance(value, Mapping) and any(isinstance(own, Iterator) for own in value.values()):
        value = {k: tuple(own) if isinstance(own, Iterator) else own for k, own in value.items()}
    if not accepts(value, hint):
        raise out_of_range(name, value, described(hint))
    is_whole = isinstance(value, Integral) and abs(value) > EXACT  # type: ignore[operator]
    return _as_float(name, value) if is_whole and float in (hint, *get_args(hint)) else value


def _as_float(name: str, value: Any) -> float:
    """Return a whole number as a float, as NumPy does not calculate with those of any size."""
    try:
        return float(value)
    except OverflowError as error:
        raise out_of_range(name, value, "a number that a float can hold") from error


def accepts(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, as annotations write it; items are looked at, too."""
    if hint in (Any, object) or isinstance(hint, TypeVar):
        return True
    if hint in SCALARS:
        is_bool = isinstance(value, bool)
        return isinstance(value, SCALARS[hint][0]) and (hint is bool or not is_bool)
    kind = get_origin(hint) or hint
    if _is_of_paths(kind):
        return isinstance(value, PathLike) and _is_path(fspath(value))
    for kinds, fits, _ in FORMS:
        if kind in kinds:
            return fits(value, get_args(hint))
    return isinstance(value, kind)


def described(hint: Any) -> str:
    """Return a type in words, for the message of an error."""
    if hint in (Any, object):
        return "a value"
    if hint in SCALARS:
        return SCALARS[hint][1]
    kind = get_origin(hint) or hint
    for kinds, _, words in FORMS:
        if kind in kinds:
            parts = [described(part) for part in get_args(hint) if not isinstance(part, list)]
            return words(parts)
    name = getattr(hint, "__name__", str(hint))
    return SOURCES.get(name, f"a {name}")


def _is_one_of(value: Any, parts: tuple[Any, ...]) -> bool:
    """Return whether a value is of any of these types; text is a path where one of them is."""
    if isinstance(value, str) and any(_is_of_paths(get_origin(part) or part) for part in parts):
        return _is_path(value)
    return any(accepts(value, part) for part in parts)


def _is_of_paths(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PathLike)


def _is_path(value: Any) -> bool:
    """Return whether the system takes this text as a path: it ends a name at the character NUL."""
    return isinstance(value, str) and "\0" not in value


def _is_tuple(value: Any, parts: tuple[Any, ...]) -> bool:
    """Return whether a value is a row of so many items of these types."""
    is_row = isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)
    if not is_row or len(value) != len(parts):
        return False
    return all(accepts(item, part) for item, part in zip(value, parts, strict=True))


def _is_mapping(value: Any, parts: tuple[Any, ...]) -> bool:
    """Return whether a value is a mapping with keys and values of these types."""
    if not isinstance(value, Mapping):
        return False
    return _is_series(list(value), parts[:1]) and _is_series(list(value.values()), parts[1:])


def _is_series(value: Any, parts: tuple[Any, ...]) -> bool:
    """Return whether a value can be iterated over, and all its items are of a type."""
    if isinstance(value, str | bytes | Mapping):
        return False
    try:
        items = iter(value)
    except TypeError:
        return False
    return all(accepts(item, parts[0]) for item in items)


def _takes_series(hint: Any) -> bool:
    """Return whether a type is that of items in a row, or one of several is."""
    return get_origin(hint) in SERIES or any(get_origin(part) in SERIES for part in get_args(hint))


# generic types: their origins; a function that tells whether a value is of one, given its
# arguments; and one that words it, given these in words
FORMS: tuple[tuple[Any, Callable[..., bool], Callable[[list[str]], str]], ...] = (
    ((Union, UnionType), _is_one_of, " or ".join),
    ((Callable,), lambda value, _: callable(value), lambda _: "a function"),
    ((tuple,), _is_tuple, lambda parts: f"({', '.join(parts)})"),
    ((Mapping, dict), _is_mapping, lambda parts: f"{{{': '.join(parts)}}}"),
    (SERIES, _is_series, lambda parts: f"a sequence, each {parts[0]}"),
)


class _Names(dict[str, Any]):
    """Names in annotations that the module of a function imports for type checking only."""

    def __missing__(self, name: str) -> Any:
        if name in UNCHECKED:
            return Any
        if name in MODULES:
            return import_module(MODULES[name])
        return getattr(import_module(HOMES[name]), name)  # KeyError: a name of the module itself


@cache
def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function's arguments as types."""
    given = {name: type_ for name, type_ in function.__annotations__.items() if name != "return"}
    arguments = SimpleNamespace(__annotations__=given)
    return get_type_hints(arguments, function.__globals__, _Names())
