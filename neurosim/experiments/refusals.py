"""Word the errors that pydantic finds in a table in the forms of `neurosim.errors`.

Below `kinds`, `schema` and the tables of studies. Start at `explained`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from neurosim.errors import ModelError, out_of_range, unknown

# pydantic's kinds of error, and what is allowed instead
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
MISSING_KEY = "missing"
ALLOWED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}

Place = tuple[str | int, ...]  # keys and numbers of entries
Tables = Mapping[tuple[str, ...], type[BaseModel]]  # by the names of the tables around them


def explained(
    error: ValidationError, path: Place = (), tables: Tables | Iterable[str] = ()
) -> ModelError:
    """Return the first error that pydantic found, in the forms of `neurosim.errors`.

    A missing key comes last, since a misspelt key leaves another one missing.

    Parameters
    ----------
    error : ValidationError
    path : tuple of str and int
        Place of the table that was validated.
    tables : {names: table}, or iterable of str
        All tables by their places, or the keys of the one that was validated.
    """
    first = min(error.errors(), key=_urgency)
    value = first["input"]
    kind = first["type"]
    place = (*path, *first["loc"])
    around = place[:-1]
    allowed = _keys(around, tables)
    whole_key = dotted(place)
    if kind in UNKNOWN_KEY:
        return unknown(f"a key of {dotted(around) or 'the model'}", place[-1], allowed)
    if kind == MISSING_KEY:
        return ModelError(f"{whole_key} is missing; allowed: {', '.join(allowed)}")
    if kind == "literal_error":
        return unknown(whole_key, value, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if kind == "value_error":
        return ModelError(str(first["ctx"]["error"]))
    return out_of_range(whole_key, value, ALLOWED.get(kind, first["msg"]))


def _keys(around: Place, tables: Tables | Iterable[str]) -> tuple[str, ...]:
    """Return the keys of the table at a place; those of the whole model if it is not known."""
    if not isinstance(tables, Mapping):
        return tuple(tables)
    names = tuple(part for part in around if isinstance(part, str))
    return tuple(tables.get(names, tables[()]).model_fields)


def _urgency(error: Any) -> int:
    """Return the order in which errors are reported: unknown keys, invalid values, missing keys."""
    if error["type"] in UNKNOWN_KEY:
        return 0
    return 2 if error["type"] == MISSING_KEY else 1


def dotted(place: Iterable[str | int]) -> str:
    """Return a place as messages write it: ``network.populations[1].size``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{str(part)[:80]}"
    return text.lstrip(".")
