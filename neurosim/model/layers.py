"""Layers: how a net of layers is named and sized, and what each layer and each projection of it is
given.

Below `network`, whose `Network.mlp` and `Network.residual` put this together. Start at `named`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from neurosim.errors import out_of_range, unknown
from neurosim.model import expressions
from neurosim.model import feedback as carriers
from neurosim.model.populations import Population

Ends = Sequence[
    tuple[str, str]
]  # the presynaptic and the postsynaptic population of every projection


def named(sizes: Any, depth: Any = None) -> dict[str, int]:
    """Units of `input`, `hidden1`, ..., `output`; with `depth`, sizes are those of input, hidden
    and output.
    """
    if isinstance(sizes, str | bytes) or not isinstance(sizes, Iterable) or len(list(sizes)) < 2:
        raise out_of_range("sizes", sizes, "at least two layers, input first", "[64, 32, 10]")
    found = list(sizes) if depth is None else of_depth(list(sizes), depth)
    names = ["input", *(f"hidden{i}" for i in range(1, len(found) - 1)), "output"]
    return dict(zip(names, found, strict=True))


def of_depth(sizes: list[int], depth: Any) -> list[int]:
    """Units of every layer of a net with so many layers of weights; `sizes` is [input, hidden,
    output].
    """
    if len(sizes) != 3:
        raise out_of_range(
            "sizes", sizes, "three layers beside depth: input, hidden, output", "[16, 16, 16]"
        )
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise out_of_range("depth", depth, "a whole number of weight layers >= 1")
    return [sizes[0], *[sizes[1]] * (int(depth) - 1), sizes[2]]


def constraints(
    names: Sequence[str], constraint: Any, epsilon: Any, free_output: bool
) -> dict[str, dict[str, Any]]:
    """`Population`'s constraint and epsilon of every layer; one epsilon is for all constraints that
    read it.
    """
    kinds = of_each("constraint", constraint, names, "lin")
    widths = of_each("epsilon", epsilon, names, 0.0)
    if isinstance(constraint, Mapping) and not isinstance(epsilon, Mapping):
        widths = {
            n: epsilon if expressions.constraint(kinds[n]).reads_epsilon else 0.0 for n in names
        }
    found = {n: {"constraint": kinds[n], "epsilon": widths[n]} for n in names}
    return found | ({"output": {"constraint": "none", "epsilon": 0.0}} if free_output else {})


def exit_of(hidden: str) -> str:
    """The early exit of a hidden layer."""
    return hidden.replace("hidden", "exit")


def skips(layers: Any, names: Sequence[str]) -> list[tuple[str, str]]:
    """Ends of the projections that jump over so many layers."""
    if (
        isinstance(layers, bool)
        or not isinstance(layers, int | np.integer)
        or layers not in (0, *range(2, len(names)))
    ):
        allowed = (
            f"0, or layers from 2 to {len(names) - 1}"
            if len(names) > 2
            else "0 where no layer is hidden"
        )
        raise out_of_range("skips", layers, allowed)
    return list(zip(names, names[int(layers) :], strict=False)) if layers else []


def share(pre: str, post: str, ends: Ends, populations: Sequence[Population]) -> float:
    """How much smaller weights are drawn for what else brings input: the net input keeps its
    spread.
    """
    size = {p.name: p.size for p in populations}
    return math.sqrt(size[pre] / sum(size[one] for one, other in ends if other == post))


def carried(
    feedback: Any, decay: float | None, ends: Ends
) -> dict[tuple[str, str], dict[str, Any]]:
    """`Projection`'s feedback and its decay, of every projection; nothing is sent back to the
    input.
    """
    returning = {f"{pre}->{post}": (pre, post) for pre, post in ends if pre != "input"}
    kinds = of_each("feedback", feedback, list(returning), "symmetric", "projection")
    for kind in kinds.values():
        if kind not in carriers.KINDS:
            raise unknown("feedback", kind, carriers.KINDS)
    if decay is not None and "kolen_pollack" not in kinds.values():
        raise out_of_range("feedback_decay", decay, "None without feedback='kolen_pollack'")
    found: dict[tuple[str, str], dict[str, Any]] = {both: {} for both in ends}
    for name, kind in kinds.items():
        found[returning[name]] = {
            "feedback": kind,
            "feedback_decay": decay if kind == "kolen_pollack" else None,
        }
    return found


def of_each(
    key: str, given: Any, names: Sequence[str], otherwise: Any, what: str = "population"
) -> dict[str, Any]:
    """One value for all populations (or projections), or a mapping whose names are theirs."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    for name in given:
        if name not in names:
            raise unknown(f"{what} of {key}", name, names)
    return {name: given.get(name, otherwise) for name in names}
