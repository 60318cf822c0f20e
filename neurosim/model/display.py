"""Short texts and HTML of values that hold many numbers. Start at `short_repr`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import Any

SHOWN = 6  # entries of a mapping or sequence
MOST = 60  # letters of any other value


def short_repr(value: Any) -> str:
    """Return the fields of a dataclass on one line, arrays by their shapes.

    Fields with ``repr=False`` and empty ones are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from neurosim.model.state import State
    >>> State({"out": np.zeros((4, 2))}, {"out": np.zeros((4, 2))})
    State(x={out: (4, 2)}, lam={out: (4, 2)}, steps_before=0)
    """
    parts = []
    for field in fields(value):
        own = getattr(value, field.name)
        empty = isinstance(own, Mapping | Sequence) and not len(own)
        if field.repr and not empty:
            parts.append(f"{field.name}={_short(own)}")
    return f"{type(value).__name__}({', '.join(parts)})"


def _short(value: Any) -> str:
    """Return a value in few letters: shapes of arrays, and the first entries of what has many."""
    if hasattr(value, "shape") and value.shape:
        return str(tuple(value.shape))
    if isinstance(value, Mapping):
        entries = [f"{name}: {_short(own)}" for name, own in list(value.items())[:SHOWN]]
        return "{" + ", ".join([*entries, *_rest(value)]) + "}"
    if isinstance(value, list | tuple):
        entries = [_short(own) for own in value[:SHOWN]]
        return "[" + ", ".join([*entries, *_rest(value)]) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join(repr(value).split())
    if len(text) > MOST and type(value).__module__ == "builtins":
        return f"{text[: MOST - 3]}..."
    return text


def _rest(value: Any) -> list[str]:
    """Return a note of how many entries are left out, if any."""
    return [f"{len(value) - SHOWN} more"] if len(value) > SHOWN else []


def html_table(title: str, rows: Mapping[str, str]) -> str:
    """Return a table of names and texts as HTML, in which both are escaped."""
    lines = [f"<strong>{escape(title)}</strong>", "<table>"]
    for name, text in rows.items():
        cells = f"<td>{escape(name)}</td><td style='text-align: left'>{escape(text)}</td>"
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</table>"])
