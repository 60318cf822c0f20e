"""Tables with a `kind`: message transports and imperfections, in model files.

Their keys are the arguments of the constructor that the kind names. Below `schema`. Start at
`checked_transport` and `checked_imperfections`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.experiments.keys import takes
from neurosim.experiments.refusals import Place, dotted, explained
from neurosim.model import imperfections, transport

KIND = "kind"


class _KindTable(BaseModel):
    """Base of the tables whose keys depend on their `kind`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _table(constructor: type[Any]) -> type[_KindTable]:
    """Return the table of one kind; a number of steps in a sweep may be a float such as 2.0."""
    return takes(constructor, written={"steps": float})(_KindTable)


TRANSPORTS = {kind: _table(made) for kind, made in transport.KINDS.items()}
IMPERFECTIONS = {kind: _table(made) for kind, made in imperfections.KINDS.items()}


def checked_transport(value: Any, place: Place) -> Any:
    """Return a transport as it was written: a kind, a table of one, or these by projection.

    Raises
    ------
    ModelError
        An unknown kind or key, or a value out of range; the message begins with its place.
    """
    if isinstance(value, Mapping) and KIND not in value:
        for projection, own in value.items():
            _check_transport(own, (*place, projection))
    else:
        _check_transport(value, place)
    return value


def _check_transport(value: Any, place: Place) -> None:
    given = {KIND: value} if isinstance(value, str) else value
    _check(given, place, TRANSPORTS, transport.KINDS)


def checked_imperfections(value: Any, place: Place) -> Any:
    """Return imperfections as they were written: a list of tables with a `kind`.

    Raises
    ------
    ModelError
        As for `checked_transport`.
    """
    if not isinstance(value, list):
        raise out_of_range(
            dotted(place), value, "a list of tables", "[{kind = 'delay', steps = 2}]"
        )
    for number, given in enumerate(value):
        _check(given, (*place, number), IMPERFECTIONS, imperfections.KINDS)
    return value


def _check(
    given: Any,
    place: Place,
    tables: Mapping[str, type[_KindTable]],
    constructors: Mapping[str, type[Any]],
) -> None:
    """Check the keys of a table by its kind, then build what it describes."""
    if not isinstance(given, Mapping):
        allowed = f"a table with kind = one of {', '.join(constructors)}"
        raise out_of_range(dotted(place), given, allowed)
    keys = dict(given)
    if KIND not in keys:
        allowed = ", ".join(constructors)
        raise ModelError(f"{dotted((*place, KIND))} is missing; allowed: {allowed}")
    kind = keys.pop(KIND)
    if not isinstance(kind, str) or kind not in constructors:
        raise unknown(dotted((*place, KIND)), kind, constructors)
    table = tables[kind]
    try:
        table.model_validate(keys)
    except ValidationError as error:
        raise explained(error, place, tuple(table.model_fields)) from None
    try:
        constructors[kind](**keys)
    except ModelError as error:
        raise ModelError(f"{dotted(place)}: {error}") from None
