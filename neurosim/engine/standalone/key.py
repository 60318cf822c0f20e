"""What a plan's program is made from, as one key that Brian2 is not needed for.

Equal keys have equal programs; the reverse does not hold: what may enter the generated code is in
the key as it stands, whether it does or not (see `tests/test_structure.py`). Start at `key`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.engine.compiler import compiler_command, processor
from neurosim.engine.plan import Plan, Recorded
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.network import Network

PACKAGE = Path(__file__).parents[2]
SOURCES = ("*.py", "*.h", "*.cpp")
MAKERS = ("brian2", "sympy", "jinja2", "numpy", "scipy-openblas32")
VARIABLES = ("CXX", "CC", "CXXFLAGS", "CPPFLAGS", "CFLAGS", "LDFLAGS")
# dt and what a seed draws are arguments; what dt makes of delays is added
NOT_IN_CODE = {Plan: ("dt",), Recorded: ("folder", "write"), Imperfections: ("seed",)}


class _UntoldError(Exception):
    """A value that cannot be told in a key."""


def key(plan: Plan) -> str | None:
    """24 hex digits; None where what the program is made from cannot be told: functions a user gave
    to Brian2.
    """
    if (
        plan.extensions and "brian2" in sys.modules
    ):  # their text may call what the user has registered there
        return None
    delays = [o.delay_steps(plan.dt) for o in plan.event_sources], plan.lines
    try:
        told = [_told(plan), _told(delays), _preferences(), *_surroundings()]
    except _UntoldError:
        return None
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def _told(value: Any) -> Any:
    """A value as JSON has it, with its type and all that is in it."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Network):  # numbers of weights are arguments; how many there are is not
        return [
            value.describe(),
            {n: [int(w.size), *w.shape] for n, w in value.weights.items()},
            *value.feedback,
        ]
    if is_dataclass(value):
        left_out = NOT_IN_CODE.get(type(value), ())
        own = {
            f.name: _told(getattr(value, f.name)) for f in fields(value) if f.name not in left_out
        }
        return [type(value).__qualname__, own]
    if isinstance(value, Mapping):
        return [[_told(k), _told(v)] for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    raise _UntoldError(type(value).__name__)


def _preferences() -> Any:
    """Brian2's, which a user may have set."""
    if "brian2" in sys.modules:
        prefs = sys.modules["brian2"].prefs
        return {name: repr(prefs[name]) for name in prefs}
    files = Path.home() / ".brian" / "user_preferences", Path("brian_preferences")
    return [file.read_text() for file in files if file.is_file()]


def _surroundings() -> list[Any]:
    """Sources, packages, the compiler and the processor."""
    return [
        _sources(),
        _versions(),
        sys.version,
        sys.prefix,
        processor(),
        compiler_command(),
        [os.environ.get(v) for v in VARIABLES],
    ]


@lru_cache(maxsize=1)
def _sources() -> str:
    """A digest of the package itself: a key of today's code never finds the program of yesterday's."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in SOURCES for p in PACKAGE.rglob(pattern)):
        digest.update(str(path.relative_to(PACKAGE)).encode() + path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    return [metadata.version(name) for name in MAKERS]
