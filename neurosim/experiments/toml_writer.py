"""Write the tables of a model file as TOML.

Start at `write`; `neurosim.experiments.modelfile.loads` reads the same tables back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from neurosim.experiments.schema import Tables

Path = tuple[str, ...]  # names of the tables around a table


def write(tables: Tables) -> str:
    """Return tables as TOML."""
    return "\n".join(_lines(tables.model_dump(exclude_none=True), ())).strip() + "\n"


def _lines(table: Mapping[str, Any], path: Path) -> list[str]:
    """Return the lines of a table: plain keys, then tables, then lists of tables.

    Below the top level, tables are written inline.
    """
    plain = []
    inner = []
    lists = []
    for key, value in table.items():
        if _is_list_of_tables(value):
            for entry in value:
                name = ".".join(_key(part) for part in (*path, key))
                lists += ["", f"[[{name}]]", *_lines(entry, (*path, key))]
        elif isinstance(value, Mapping) and not path:
            if value or Tables.model_fields[key].is_required():
                inner += ["", f"[{_key(key)}]", *_lines(value, (key,))]
        else:
            plain.append(_entry(key, value))
    return plain + inner + lists


def _is_list_of_tables(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(entry, Mapping) for entry in value)


def _entry(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return key
    return _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        entries = [_entry(key, entry) for key, entry in value.items()]
        return "{ " + ", ".join(entries) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return repr(value)
