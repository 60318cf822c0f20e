"""Draw the random numbers of a step with NumPy, and write them into the arrays of populations.

`standalone/include/ns_noise.h` makes the same numbers in compiled programs. Above `arrays`, below
`step`. Start at `Noise`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.engine.draws import BLOCK, Row
from neurosim.engine.groups import Groups
from neurosim.engine.runtime.arrays import live

Array = np.ndarray
AHEAD = 2**14  # random numbers that are drawn at once, where a step takes fewer


class Noise:
    """Draw the random numbers of each step.

    Parameters
    ----------
    groups : Groups
    numbers : dict of str to array
        Counters and settings of the run (`groups.Counters`).
    """

    def __init__(self, groups: Groups, numbers: Mapping[str, Array]) -> None:
        self.row = groups.plan.row
        self.key = int(numbers["noise_key"][0])
        # from the number of a step to that in the chain of runs
        self.before = int(numbers["steps_before"][0]) - int(numbers["origin"][0])
        self.last = int(numbers["step"][0] + numbers["n_steps"][0])  # behind the last step
        self.first = 0  # step of the first of the rows
        self.rows = np.empty((0, self.row.size))
        self.parts: list[tuple[Array, slice]] = []
        for place in self.row.places:
            array = live(groups.by_name[place.group], place.array)
            self.parts.append((array, slice(place.first, place.first + place.size)))

    def draw(self, step: int) -> None:
        """Draw the numbers of this step, counted from the start of the run."""
        if not self.parts:
            return
        if not self.first <= step < self.first + len(self.rows):
            count = max(1, min(AHEAD // self.row.size, self.last - step))
            self.first = step
            self.rows = rows_of(self.row, self.key, self.before + step, count)
        row = self.rows[step - self.first]
        for array, part in self.parts:
            array[:] = row[part]


def rows_of(row: Row, key: int, first: int, count: int) -> Array:
    """Return the random numbers of `count` steps from step `first` on, (steps, numbers).

    The key of the generator also holds the number of blocks of a step: rows of another layout are
    independent, even where they are made from the same counters.
    """
    keys = np.array([key, row.blocks], dtype=np.uint64)
    generator = np.random.Philox(key=keys, counter=first * row.blocks)
    words = generator.random_raw(count * row.blocks * BLOCK).reshape(count, -1)
    pairs, uniforms = row.pairs, row.uniforms
    numbers = np.empty((count, row.size))
    for_normals = words[:, :pairs]
    # 32 bits each: a share between 0 and 1, of which the radius is made, and a part of a turn
    radius = (for_normals >> np.uint64(32)).view(np.int64) + 0.5
    radius *= 2.0**-32
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    angle = (for_normals & np.uint64(2**32 - 1)).view(np.int64) * (2 * np.pi * 2.0**-32)
    np.multiply(radius, np.cos(angle), out=numbers[:, :pairs])
    np.multiply(radius, np.sin(angle), out=numbers[:, pairs : 2 * pairs])
    for_uniforms = words[:, pairs : pairs + uniforms] >> np.uint64(11)
    np.multiply(for_uniforms.view(np.int64), 2.0**-53, out=numbers[:, 2 * pairs :])
    return numbers
