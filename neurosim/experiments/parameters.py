"""Values of dotted keys in one form per kind of key: times in seconds, real numbers as floats.

The parameters of a sweep or a search pass through it, so that designs, tables, files and pictures
never hold "5 ms" as text, or a real number as an integer. Start at `in_base_units`.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

import numpy as np

from neurosim.errors import ModelError, out_of_range, shown
from neurosim.experiments.schema import IN_SECONDS, TABLES
from neurosim.model.extension_text import quantity
from neurosim.model.flow import seconds

RADIANS = ("flow.theta",)
TIMES = ("simulation.prospective",)  # or true, or false
# arguments that are times, in tables whose keys depend on a kind
TIMES_WITHIN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("simulation", "imperfections"): ("correlation", "time"),
    ("simulation", "transport"): ("delay", "refractory"),
}
OF_EXTENSION = ("extension", "parameters")  # numbers in the base units of their declarations
TIME, REAL, WHOLE, OTHER = "time", "real", "whole", "other"  # kinds of keys


def in_base_units(parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of all parameters as lists of plain values.

    A time becomes seconds, whether it is a number, a text or a Brian2 quantity; a whole number
    becomes a float where the key is a real number.

    Raises
    ------
    ModelError
        A value with a unit that the key does not have, or a parameter without values.

    Examples
    --------
    >>> in_base_units({"flow.tau_x": ["5 ms", 0.01], "flow.rho": 4, "network.depth": [2, 3]})
    {'flow.tau_x': [0.005, 0.01], 'flow.rho': [4.0], 'network.depth': [2, 3]}
    """
    if not isinstance(parameters, Mapping):
        raise ModelError(
            f"parameters is a {type(parameters).__name__}; "
            "allowed: a mapping such as {'flow.rho': [0.5, 1, 2]}"
        )
    found = {}
    for key, given in parameters.items():
        kind = kind_of(str(key))
        found[str(key)] = [_value(str(key), kind, value) for value in _listed(str(key), given)]
    return found


def unit_of(key: str) -> str:
    """Return the unit in which `in_base_units` gives the values of a key: "s", "rad" or "1".

    The unit of a parameter of ``[[extension]]`` is the base unit of its declaration.

    Examples
    --------
    >>> unit_of("train.present")
    's'
    """
    if key in RADIANS:
        return "rad"
    if key.startswith(f"{OF_EXTENSION[0]}."):
        return "base unit"
    return "s" if kind_of(key) == TIME else "1"


def kind_of(key: str) -> str:
    """Return the kind of value that a dotted key takes; `OTHER` for an unknown key."""
    *path, name = [part for part in key.split(".") if not part.isdecimal()]
    table = tuple(path)
    if key in TIMES or name in TIMES_WITHIN.get(table, ()):
        return TIME
    if table[:1] == ("flow",) and len(table) > 1:  # the time of one population
        return kind_of(".".join(table))
    known = TABLES.get(table)
    field = known.model_fields.get(name) if known is not None else None
    if field is None:
        return REAL if table == OF_EXTENSION else OTHER
    kinds = _types(field.annotation)
    if IN_SECONDS in (*field.metadata, *kinds):
        return TIME
    if int in kinds:
        return WHOLE
    return REAL if float in kinds else OTHER


def _types(annotation: Any) -> set[Any]:
    """Return the types of a union without None; of an annotated type, its annotations."""
    if get_origin(annotation) in (Union, types.UnionType):
        found: set[Any] = set()
        for part in get_args(annotation):
            found |= _types(part)
        return found - {types.NoneType}
    if hasattr(annotation, "__metadata__"):
        return set(annotation.__metadata__)
    return {annotation}


def _listed(key: str, given: Any) -> list[Any]:
    """Return the values of one parameter as a list; one value counts as a list of one."""
    is_one = isinstance(given, str | bytes | Mapping) or not hasattr(given, "__iter__")
    is_array = hasattr(given, "dtype")
    if is_one or (is_array and np.ndim(given) == 0):
        given = [given]
    values = list(given)
    if not values:
        raise ModelError(
            f"{key} has no values: {shown(given)}; allowed: one or more, e.g. [0.5, 1, 2]"
        )
    return values


def _value(key: str, kind: str, value: Any) -> Any:
    """Return one value of a key as a plain Python value."""
    if kind == TIME and isinstance(value, Mapping):
        return {name: seconds(time, key, positive=False) for name, time in value.items()}
    if kind == TIME and not (key in TIMES and isinstance(value, bool)):
        return seconds(value, key, positive=False)
    if kind == REAL and key.startswith(f"{OF_EXTENSION[0]}."):
        if isinstance(value, str):
            value, _ = quantity(key, value)
        return value if isinstance(value, list) else float(value)
    if hasattr(value, "dim"):  # a Brian2 quantity
        if not getattr(value, "is_dimensionless", False):
            unit = unit_of(key)
            raise out_of_range(key, value, f"a value of unit {unit}, without another unit")
        value = float(value)
    if isinstance(value, np.ma.MaskedArray | type(np.ma.masked)):
        raise out_of_range(key, value, "values that are not masked")
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if kind == REAL and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
