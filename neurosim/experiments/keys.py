"""Derive the keys of a model file's table from the arguments of a constructor.

An argument's name, type, default and description stand once, in the constructor's signature and
docstring. Imported by `schema`, which has the tables. Start at `takes`.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, create_model

Table = TypeVar("Table", bound=BaseModel)
Constructor = Callable[..., Any]

# section "Parameters" of a NumPy docstring, up to the next heading
PARAMETERS = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", re.DOTALL | re.MULTILINE)
SKIPPED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def takes(
    *constructors: Constructor,
    omit: Sequence[str] = (),
    optional: Sequence[str] = (),
    written: Mapping[str, Any] | None = None,
) -> Callable[[type[Table]], type[Table]]:
    """Return a decorator that adds the arguments of constructors to a table, as typed keys.

    Parameters
    ----------
    constructors : callables
        Their arguments become keys. A key is required if its argument is. Any other key is None if
        a file leaves it out, so that the constructor's default applies.
    omit : sequence of str
        Arguments that are not keys.
    optional : sequence of str
        Required arguments that a file may leave out, since the table can also build without them.
    written : {argument: type}, optional
        Types of keys that are written differently in a file than in Python, such as a time.

    Returns
    -------
    callable
        A class decorator; keys that the table itself declares keep their types.
    """

    def derive(table: type[Table]) -> type[Table]:
        found: dict[str, Any] = {}
        for constructor in constructors:
            described = descriptions(constructor)
            for parameter in arguments(constructor):
                name = parameter.name
                if name in omit or name in table.model_fields:
                    continue
                kind = (written or {}).get(name, key_type(parameter.annotation))
                text = described.get(name)
                if parameter.default is inspect.Parameter.empty and name not in optional:
                    found[name] = (kind, Field(description=text))
                else:
                    found[name] = (kind | None, Field(default=None, description=text))
        derived = create_model(table.__name__, __base__=table, __module__=table.__module__, **found)
        derived.__doc__ = table.__doc__
        return derived

    return derive


def arguments(constructor: Constructor) -> list[inspect.Parameter]:
    """List the arguments of a constructor with their types resolved, without `self`."""
    signature = inspect.signature(constructor, eval_str=True)
    found = []
    for parameter in signature.parameters.values():
        if parameter.name != "self" and parameter.kind not in SKIPPED:
            found.append(parameter)
    return found


def key_type(annotation: Any) -> Any:
    """Return the type of a key in a file, from the type of an argument: lists for sequences."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kinds = [key_type(part) for part in parts if part is not types.NoneType]
        return Union[tuple(kinds)]  # noqa: UP007  of a computed list
    if origin in (Sequence, list):
        return list[key_type(parts[0])]  # type: ignore[misc]
    if origin in (Mapping, dict):
        return dict[key_type(parts[0]), key_type(parts[1])]  # type: ignore[misc]
    return annotation


def descriptions(constructor: Constructor) -> dict[str, str]:
    """Return the description of each parameter in a NumPy docstring, on one line.

    Examples
    --------
    >>> from neurosim.model.populations import Loss
    >>> descriptions(Loss)["weight"]
    'Factor of V, >= 0.'
    """
    text = inspect.getdoc(constructor) or ""
    section = PARAMETERS.search(text)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.group(1).splitlines() if section else ():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        elif line.strip():
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found
