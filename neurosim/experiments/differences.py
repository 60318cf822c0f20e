"""Say in which keys two stored descriptions differ. Start at `differences`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

LONGEST_SHOWN = 60  # characters of a value
MOST_SHOWN = 5  # keys
ABSENT = "not set"


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return the keys in which two descriptions differ, with both values; "" if they are equal.

    Values that are texts in TOML or JSON are compared key by key, and numbers by their values.

    Examples
    --------
    >>> differences({"model": "[flow]\\nrho = 1.0"}, {"model": "[flow]\\nrho = 2.0"})
    'model: flow.rho = 1.0 there, 2.0 here'
    """
    found: list[str] = []
    for name in dict.fromkeys([*there, *here]):
        first, second = _flat(there.get(name)), _flat(here.get(name))
        for key in dict.fromkeys([*first, *second]):
            values = first.get(key, ABSENT), second.get(key, ABSENT)
            if values[0] != values[1]:
                title = f"{name}: {key}" if key else name
                found.append(f"{title} = {_short(values[0])} there, {_short(values[1])} here")
    more = len(found) - MOST_SHOWN
    shown = "; ".join(found[:MOST_SHOWN])
    return f"{shown}; and {more} more keys" if more > 0 else shown


def _flat(value: Any) -> dict[str, Any]:
    """Return a description by dotted keys; a value that is not a table has the key ""."""
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, Mapping):
        return {"": value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        own = {"": inner}
        if isinstance(inner, Mapping):
            own = _flat(inner)
        for path, part in own.items():
            flat[f"{key}.{path}" if path else str(key)] = part
    return flat


def _parsed(text: str) -> Any:
    """Return what a text in JSON or TOML describes, or the text itself."""
    for parse in (json.loads, tomllib.loads):
        try:
            return parse(text)
        except (ValueError, RecursionError):
            continue
    return text


def _short(value: Any) -> str:
    text = str(value)
    if len(text) <= LONGEST_SHOWN:
        return text
    return text[: LONGEST_SHOWN - 3] + "..."
