"""Order of operations of shared weights: which site reads which, and whether products come first.

    a[t, g] += sum_o sum_s A_o[t, s] sum_f W_o[g, f] x[s, f]

Mixing first costs a product over the sites that are written, multiplying first one over the sites
that are read. Below both backends. Start at `Mixing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from neurosim.engine.names import TABLES
from neurosim.model.shared import Between

Array = np.ndarray
# a multiply-add of a sparse product in units of one of BLAS: both read memory, one only that
COST_OF_MIXING = 8
# numbers of a block of patterns that are mixed at once: 1 MB, which stays in the second cache
BLOCK = 2**17


@dataclass(frozen=True, eq=False)
class Mixing:
    """One direction of a shared projection: from the sites that are read to those written.

    Parameters
    ----------
    between : Between
    backward : bool
        Whether messages go back, from post to pre.
    """

    between: Between
    backward: bool = False

    @property
    def terms(self) -> int:
        """Number of matrices A_o."""
        return len(self.between.matrices)

    @property
    def read(self) -> tuple[int, int]:
        """Sites and features that are read."""
        own = self.between
        if self.backward:
            return own.post_sites, own.post_features
        return own.pre_sites, own.pre_features

    @property
    def written(self) -> tuple[int, int]:
        """Sites and features that are written."""
        return Mixing(self.between, not self.backward).read

    @cached_property
    def matrix(self) -> Any:
        """Which site each written site reads, by term: csr_array, (sites written x terms, read)."""
        from scipy.sparse import csr_array, vstack

        matrices = self.between.matrices
        stacked = [matrix.T if self.backward else matrix for matrix in matrices]
        by_term = csr_array(vstack(stacked))
        sites = self.written[0]
        # from (term, site) to (site, term)
        order = np.arange(self.terms * sites).reshape(self.terms, sites).T.ravel()
        found = csr_array(by_term[order])
        found.sort_indices()
        return found

    @cached_property
    def spread(self) -> Any:
        """The same for products by term: csr_array, (sites written, sites read x terms)."""
        from scipy.sparse import csr_array

        found = csr_array(Mixing(self.between, not self.backward).matrix.T)
        found.sort_indices()
        return found

    @property
    def mixes_first(self) -> bool:
        """Whether mixing before the product takes less work than after it."""
        sites_read, features_read = self.read
        sites_written, features_written = self.written
        product = self.terms * features_read * features_written
        mixing = COST_OF_MIXING * self.between.entries
        first = sites_written * product + mixing * features_read
        return first <= sites_read * product + mixing * features_written

    @property
    def width(self) -> int:
        """Numbers per pattern between the two operations."""
        sites, features = self.read
        if self.mixes_first:
            sites = self.written[0]
        else:
            features = self.written[1]
        return sites * self.terms * features

    def block(self, patterns: int) -> int:
        """Return the number of patterns that are mixed at once."""
        return max(1, min(patterns, BLOCK // self.width))


def tables(between: Between) -> dict[str, Any]:
    """Return the tables of a projection for a compiled program, as csr_arrays by `names.TABLES`.

    They are that of the product forward, that of the product back, and that by which weights move.
    """
    ahead, back = Mixing(between), Mixing(between, backward=True)
    found = []
    for direction in (ahead, back):
        found.append(direction.matrix if direction.mixes_first else direction.spread)
    outer = ahead.matrix if ahead.mixes_first else back.matrix
    return dict(zip(TABLES, (*found, outer), strict=True))


def table_values(between: Between) -> dict[str, Array]:
    """Return the arrays of `tables` by name (`names.TABLE_ARRAYS`)."""
    found = {}
    for name, table in tables(between).items():
        found[f"{name}_row"] = table.indptr
        found[f"{name}_col"] = table.indices
        found[f"{name}_value"] = table.data
    return found
