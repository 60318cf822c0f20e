"""The text of learning rules: lines, names and parameters, before they are parsed.

Below `plasticity`. Start at `lines`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any

from neurosim.errors import ModelError, number, out_of_range
from neurosim.model import dimensions, formulas
from neurosim.model.frozen import FrozenDict

WEIGHT = "w"
NOISE = "xi"  # white noise, one per synapse
ENDS = ("pre", "post")
TIMES = {"t": 1, "dt": 1, "tau_w": 1}  # names that every rule may read, by power of the second
FUNCTIONS = formulas.FUNCTIONS | {"floor": 1}
RANDOM = re.compile(r"\b(randn?)\s*\(\s*\)")
EQUATION = re.compile(r"\s*d\s*(\w+)\s*/\s*dt\s*=([^=:]+):\s*1\s*")
DEFINITION = re.compile(r"\s*(\w+)\s*=([^=:]+):\s*1\s*")
ASSIGNMENT = re.compile(r"\s*(\w+)\s*=([^=:]+)")
OF_UNIT = re.compile(r"([A-Za-z]\w*?)_(pre|post)")
NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
MOST_LINES = 20
MOST_LETTERS = 40  # of a name
# of the engine's arrays of a projection, and of C++
TAKEN = frozenset(
    (
        *("N", "i", "t", "dt", "t_in_timesteps", "w", "tau_w", "l1", "l2", "row_l1"),
        *("column_l1", "lazy", "back", "back_size", "sign", "row", "col", "copy", "memory"),
        *("step_length", "stage_time"),
    )
)
CPP_WORDS = """
    alignas alignof and asm auto bitand bitor bool break case catch char class compl const constexpr
    continue decltype default delete do double else enum explicit export extern false float for
    friend goto if inline int long mutable namespace new noexcept not nullptr operator or private
    protected public register return short signed sizeof static struct switch template this throw
    true try typedef typeid typename union unsigned using virtual void volatile while xor
"""
CPP = frozenset(CPP_WORDS.split())
PREFIXES = ("rule_", "rand", "force_", "first_", "second_", "rate_", "recorded_", "xi_")


def check_new(name: str, taken: Iterable[str]) -> None:
    """Refuse a name that the engine, a unit or C++ has."""
    fits = NAME.fullmatch(name) and len(name) <= MOST_LETTERS
    reserved = name in TAKEN or name in CPP or keyword.iskeyword(name) or name in FUNCTIONS
    if not fits or reserved or OF_UNIT.fullmatch(name) or name.startswith(PREFIXES):
        allowed = (
            f"at most {MOST_LETTERS} letters, digits and single '_', without _pre and _post at "
            "the end, and not a name of the engine or of C++"
        )
        raise out_of_range("name in a rule", name, allowed)
    if name in taken:
        raise ModelError(f"{name!r} is given twice in a rule; allowed: one meaning per name")


def lines(name: str, given: Iterable[Any]) -> tuple[str, ...]:
    """Return equations, one on each line.

    Raises
    ------
    ModelError
        Something other than text, or too many lines.
    """
    found: list[str] = []
    for text in given:
        if not isinstance(text, str):
            raise out_of_range(name, text, "text such as 'dw/dt = delta_post*x_pre/tau_w : 1'")
        found += [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    for line in found:
        if not line.isascii():  # Python would read letters of other alphabets as Latin ones
            raise out_of_range(name, line, "ASCII text")
    if len(found) > MOST_LINES:
        raise out_of_range(name, f"{len(found)} lines", f"at most {MOST_LINES}")
    return tuple(found)


def parts(after: str) -> list[str]:
    """Return assignments, which stand on lines or are separated by ``;``."""
    found = []
    for part in re.split(r"[;\n]", after):
        if part.strip():
            found.append(" ".join(part.split()))
    return found


def names(key: str, given: Any) -> tuple[str, ...]:
    """Return names as a tuple; one name may stand alone."""
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Iterable):
        raise out_of_range(key, given, "names")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise out_of_range(key, name, "names")
        if found.count(name) > 1:
            raise ModelError(f"{key} = {found} has {name!r} twice; allowed: once")
    return found


def parameters_of(given: Any) -> FrozenDict:
    """Return parameters as plain values: numbers, and text such as ``"0.05 s"``."""
    if given is None:
        return FrozenDict()
    if not isinstance(given, Mapping):
        raise out_of_range("parameters", given, "{name: number, time or rate}")
    found = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise out_of_range("name of a parameter", name, "text")
        quantity = dimensions.quantity(name, value)
        number(name, quantity.value)
        found[name] = quantity.plain
    return FrozenDict(found)
