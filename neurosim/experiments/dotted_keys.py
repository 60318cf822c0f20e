"""Dotted keys of a model, such as ``flow.rho`` or ``network.populations.1.size``: read and set.

``--set`` and the parameters of a sweep name such keys. Start at `override` and `set_key`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from neurosim.errors import LONGEST, ModelError, shown
from neurosim.experiments.schema import TABLES


def override(raw: dict[str, Any], text: str) -> None:
    """Set one dotted key of a raw model by the text of a ``--set`` option.

    Raises
    ------
    ModelError
        Text that is not TABLE.KEY=VALUE, or an unknown key.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or "" in parts:
        raise ModelError(f"--set {shown(text)}; allowed: TABLE.KEY=VALUE, e.g. flow.rho=2")
    set_key(raw, parts, parsed(value), "--set ")


def parsed(text: str) -> Any:
    """Return a value that is written as in TOML; anything else is text.

    Examples
    --------
    >>> parsed("[2, 4]"), parsed("10 ms")
    ([2, 4], '10 ms')
    """
    text = text.strip()
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    if len(found) != 1:  # the text held a line break and more keys
        return text
    return found["value"]


def set_key(raw: dict[str, Any], parts: Sequence[str], value: Any, option: str = "") -> None:
    """Set one dotted key of a raw model.

    Parameters
    ----------
    raw : dict
        Tables as TOML reads them; changed in place.
    parts : sequence of str
        The parts of the key; an entry of a list is given by its number.
    value
        A value as TOML reads it; it is validated later, with its table.
    option : str
        Text before the key in messages.

    Raises
    ------
    ModelError
        An unknown key, with the nearest valid one, or an entry that a list does not have.
    """
    _check_known(parts, option)
    place: Any = raw
    whole_key = (option + ".".join(parts))[:LONGEST]
    for i, part in enumerate(parts[:-1]):
        if isinstance(place, list):
            place = place[_index(place, part, whole_key)]
        else:
            place = place.setdefault(part, {})
        if not isinstance(place, dict | list):
            at = ".".join(parts[: i + 1])
            missing = parts[i + 1]
            raise ModelError(f"{whole_key}: {at} is {shown(place)}, which has no key {missing!r}")
    last: Any = parts[-1]
    if isinstance(place, list):
        last = _index(place, last, whole_key)
    place[last] = value


def _index(entries: list[Any], part: str, whole_key: str) -> int:
    """Return the index of an entry, which must be in the list."""
    if not part.isdecimal() or int(part) >= len(entries):
        raise ModelError(f"{whole_key}: entry {shown(part)}; allowed: 0 to {len(entries) - 1}")
    return int(part)


def _check_known(parts: Sequence[str], option: str) -> None:
    """Refuse a key that its table does not have."""
    names: tuple[str, ...] = ()
    for part in parts:
        if part.isdecimal():
            continue
        if names in TABLES and part not in TABLES[names].model_fields:
            allowed = [".".join((*names, key)) for key in TABLES[names].model_fields]
            whole_key = (option + ".".join(parts))[:LONGEST]
            raise ModelError(
                f"{whole_key}: unknown key; allowed: {', '.join(allowed)}{_hint(parts)}"
            )
        names = (*names, part)


def _hint(parts: Sequence[str]) -> str:
    """Return the nearest key of any table: by spelling, else one with the same last part."""
    known = []
    for path, table in TABLES.items():
        if path:
            known += [".".join((*path, key)) for key in table.model_fields]
    near = get_close_matches(".".join(parts), known, n=1)
    near += [key for key in known if key.endswith("." + parts[-1])]
    if not near:
        return ""
    return f"; did you mean {near[0]!r}?"
