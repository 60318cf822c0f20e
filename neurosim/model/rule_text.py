"""The text of learning rules: lines, names and parameters, before they are parsed.

Below `plasticity`. Start at `lines`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from neurosim.errors import ModelError, number, out_of_range, shown
from neurosim.model import dimensions, formulas
from neurosim.model.flow import UNITS
from neurosim.model.frozen import FrozenDict

WEIGHT = "w"
NOISE = "xi"  # white noise, one per synapse
ENDS = ("pre", "post")
TIMES = {"t": 1, "dt": 1, "tau_w": 1}  # names that every rule may read, by power of the second
FUNCTIONS = formulas.FUNCTIONS | {"floor": 1}
RANDOM = re.compile(r"\b(randn?)\s*\(\s*\)")
EQUATION = re.compile(r"\s*d\s*(\w+)\s*/\s*dt\s*=([^=:]+):\s*1\s*")
DEFINITION = re.compile(r"\s*(\w+)\s*=([^=:]+):\s*1\s*")
DECLARATION = re.compile(r"\s*(\w+)\s*:\s*1\s*")  # of a variable that only assignments move
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
    """Refuse a name that the engine, a unit or C++ has.

    Raises
    ------
    ModelError
        The message has the reason.
    """
    if name in taken:
        raise ModelError(f"{name!r} is given twice in a rule; allowed: one meaning per name")
    reason = ""
    if name == WEIGHT:
        reason = "has its initial value from the projection"
    elif name in TAKEN or name.startswith(PREFIXES):
        reason = "is a name of the engine"
    elif name in FUNCTIONS or name in CPP or keyword.iskeyword(name):
        reason = "is a function, or a word of Python or C++"
    elif OF_UNIT.fullmatch(name):
        reason = "ends with _pre or _post, as variables of units do"
    elif not NAME.fullmatch(name) or len(name) > MOST_LETTERS:
        reason = f"does not consist of at most {MOST_LETTERS} letters, digits and single '_'"
    if reason:
        raise ModelError(f"{shown(name)} in a rule {reason}; allowed: another name")


def unreadable(line: str, name: str, readable: Iterable[str], *, ends: bool) -> ModelError:
    """Return the error for a name that a line of a rule cannot read.

    Parameters
    ----------
    line, name : str
    readable : iterable of str
        Names that it can read.
    ends : bool
        Whether it may read variables of the two ends.
    """
    known = list(dict.fromkeys(readable))
    if ends:
        known = list(dict.fromkeys([*known, "x_pre", "x_post", "delta_post"]))
    hint = "try parameters= or modulators="
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif name in ("rand", "randn"):
        hint = f"did you mean {name}()?"
    elif OF_UNIT.fullmatch(name):
        hint = "try a variable of the rule that an equation moves"
    elif name in UNITS or name == "Hz":
        hint = f"try parameters={{'tau': 50*{name}}}"
    where = "which is not at a synapse"
    others = " and other variables of the two ends, with _pre or _post" if ends else ""
    if not ends and OF_UNIT.fullmatch(name):
        where = "which assignments cannot read"
    return ModelError(
        f"{shown(line)} reads {name!r}, {where}; allowed: {', '.join(known)}{others}; {hint}"
    )


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
        for line in text.splitlines():
            code = " ".join(line.partition("#")[0].split())
            if code:
                found.append(code)
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
    """Return names as a tuple; one name may stand alone.

    Raises
    ------
    ModelError
        Something else, such as a mapping, whose values would be dropped.
    """
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Iterable) or isinstance(names, Mapping):
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
