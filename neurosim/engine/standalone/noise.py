"""Facts about the random numbers of a step that the C++ templates read.

Below `code`. Start at `noise_code`.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurosim.engine.plan import Plan


@dataclass(frozen=True, kw_only=True)
class DrawCode:
    """The random numbers of one step that one array holds."""

    variable: str
    n: int  # numbers
    first: int  # place of the first of them in the row of all numbers


@dataclass(frozen=True, kw_only=True)
class NoiseCode:
    """The random numbers of one step, see `engine/draws.py`."""

    pairs: int  # pairs of normal numbers
    uniforms: int  # uniform numbers
    blocks: int  # blocks of words of the generator
    draws: tuple[DrawCode, ...]


def noise_code(plan: Plan) -> NoiseCode | None:
    """Describe the random numbers of a plan; None where nothing is random."""
    row = plan.row
    draws = []
    for place in row.places:
        variable = f"{place.array}_{place.group}"
        draws.append(DrawCode(variable=variable, n=place.size, first=place.first))
    if not draws:
        return None
    return NoiseCode(pairs=row.pairs, uniforms=row.uniforms, blocks=row.blocks, draws=tuple(draws))
