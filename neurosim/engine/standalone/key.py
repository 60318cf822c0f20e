"""The key of a plan's structure: a hash of all that its program is made from, without Brian2.

Equal keys imply equal programs. The converse does not hold: the key contains everything that may
enter the generated code, even where it does not (see tests/engine/test_key.py). Start at
`structure_key`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.engine.compiler import compiler_command, optimisation, processor
from neurosim.engine.plan import Plan, Recorded
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.network import Network

PACKAGE = Path(__file__).parents[2]
SOURCES = ("*.py", "*.h", "*.cpp")
MAKERS = ("brian2", "sympy", "jinja2", "numpy", "scipy-openblas32")
VARIABLES = ("CXX", "CC", "CXXFLAGS", "CPPFLAGS", "CFLAGS", "LDFLAGS")
# Fields that do not affect the code: dt and the numbers drawn with a seed are arguments of a
# program. `structure_key` adds the steps of delays, which depend on dt.
NOT_IN_CODE = {Plan: ("dt",), Recorded: ("folder", "write"), Imperfections: ("seed",)}


class _NoKeyError(Exception):
    """A value that cannot be part of a key."""


def structure_key(plan: Plan, flags: Sequence[str] = ()) -> str | None:
    """Return the key of a plan's structure and of further compiler flags, 24 hex digits.

    Return None if the program may depend on functions that a user has registered with Brian2, or
    on values that cannot be part of a key.
    """
    if plan.extensions and "brian2" in sys.modules:  # the equations may call such functions
        return None
    delays = [source.delay_steps(plan.dt) for source in plan.event_sources]
    try:
        parts = [_plain(plan), _plain((delays, plan.lines, *flags)), _preferences()]
        parts += _surroundings()
    except _NoKeyError:
        return None
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _plain(value: Any) -> Any:
    """Return a value in a form that JSON can store, with the types and all parts of objects."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Network):
        # weights are arguments of a program, but their shapes and numbers of synapses are not
        sizes = {name: [int(w.size), *w.shape] for name, w in value.weights.items()}
        return [_structure(value), sizes, *value.feedback]
    if is_dataclass(value):
        return [type(value).__qualname__, _plain_fields(value)]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise _NoKeyError(f"a {type(value).__name__}, {value!r}, cannot be part of a key")


def _structure(net: Network) -> dict[str, Any]:
    """Return a network's description, without the values of the parameters of learning rules."""
    found = net.describe()
    for row in found["projections"]:
        if "plasticity" in row:
            own = net.projections[f"{row['pre']}->{row['post']}"].own_rule
            row["plasticity"] = _without_values(row["plasticity"], own is None)
    for row in found["populations"]:
        if "bias_plasticity" in row:
            own = net.populations[row["name"]].own_bias_rule
            row["bias_plasticity"] = _without_values(row["bias_plasticity"], own is None)
    return found


def _without_values(rule: Mapping[str, Any], is_built_in: bool) -> Any:
    return [is_built_in, {**rule, "parameters": sorted(rule.get("parameters", ()))}]


def _plain_fields(value: Any) -> dict[str, Any]:
    left_out = NOT_IN_CODE.get(type(value), ())
    names = [field.name for field in fields(value) if field.name not in left_out]
    return {name: _plain(getattr(value, name)) for name in names}


def _preferences() -> Any:
    """Return Brian2's preferences; before its import, the contents of the user's file of them."""
    if "brian2" in sys.modules:
        prefs = sys.modules["brian2"].prefs
        return {name: repr(prefs[name]) for name in prefs}
    file = Path.home() / ".brian" / "user_preferences"
    return file.read_text() if file.is_file() else None


def _surroundings() -> list[Any]:
    """Return the inputs besides the plan: sources, packages, compiler and processor."""
    return [
        _sources(),
        _versions(),
        sys.version,
        sys.prefix,
        processor(),
        compiler_command(),
        optimisation(),
        [os.environ.get(variable) for variable in VARIABLES],
    ]


@lru_cache(maxsize=1)
def _sources() -> str:
    """Return a digest of the package's sources: a changed package never uses older programs."""
    paths: set[Path] = set()
    for pattern in SOURCES:
        paths.update(PACKAGE.rglob(pattern))
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(PACKAGE)).encode() + path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    return [metadata.version(name) for name in MAKERS]
