"""Facts about shared weights that the C++ templates read.

Below `code` and `rules`. Start at `shared_code`.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurosim.engine.mixing import Mixing, table_values
from neurosim.model.shared import Between


@dataclass(frozen=True, kw_only=True)
class PassCode:
    """One direction of shared weights, see `ns_shared.h`."""

    first: bool  # whether sites are mixed before the product
    block: int  # patterns that are taken at once


@dataclass(frozen=True, kw_only=True)
class SharedCode:
    """The weights of a projection whose sites share them."""

    terms: int
    post_sites: int
    pre_sites: int
    post: int  # features
    pre: int  # features
    ahead: PassCode
    back: PassCode
    tables: dict[str, int]  # sizes of the arrays of its tables, by variable


def shared_code(between: Between | None, patterns: int) -> SharedCode | None:
    """Describe shared weights; None where sites do not share them."""
    if between is None:
        return None
    passes = []
    for backward in (False, True):
        mixing = Mixing(between, backward)
        passes.append(PassCode(first=mixing.mixes_first, block=mixing.block(patterns)))
    return SharedCode(
        terms=len(between.matrices),
        post_sites=between.post_sites,
        pre_sites=between.pre_sites,
        post=between.post_features,
        pre=between.pre_features,
        ahead=passes[0],
        back=passes[1],
        tables={name: len(values) for name, values in table_values(between).items()},
    )
