"""A ring of samples: the last values of recorded variables, in memory of a fixed size.

Imports nothing else of this room. Start at `Samples`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


class Samples:
    """The last `capacity` samples of several variables.

    Parameters
    ----------
    sizes : sequence of int
        Numbers per sample of each variable.
    capacity : int
        Samples that are kept; older ones are overwritten.
    """

    def __init__(self, sizes: Sequence[int], capacity: int) -> None:
        self.capacity = capacity
        self.count = 0  # samples in the ring
        self._next = 0
        self._times = np.empty(capacity)
        self._rows = [np.empty((capacity, size)) for size in sizes]

    def append(self, times: Array, rows: Sequence[Array]) -> None:
        """Add samples at these times (s), which follow all earlier ones.

        `rows` has one array of (samples, numbers) per variable.
        """
        times = times[-self.capacity :]
        places = (self._next + np.arange(len(times))) % self.capacity
        self._times[places] = times
        for own, new in zip(self._rows, rows, strict=True):
            own[places] = new[-self.capacity :]
        self._next = (self._next + len(times)) % self.capacity
        self.count = min(self.count + len(times), self.capacity)

    def last(self, since: float = -np.inf) -> tuple[Array, list[Array]]:
        """Return the times of samples not before `since` (s), and copies of their rows."""
        places = self._places()
        places = places[self._times[places] >= since]
        return self._times[places], [rows[places] for rows in self._rows]

    def cut(self, time: float) -> None:
        """Forget the samples from this time (s) on."""
        places = self._places()
        kept = int(np.count_nonzero(self._times[places] < time))
        self._next = (self._next - (self.count - kept)) % self.capacity
        self.count = kept

    def clear(self) -> None:
        """Forget all samples."""
        self.count = self._next = 0

    @property
    def nbytes(self) -> int:
        """Memory of the ring, bytes."""
        return int(self._times.nbytes + sum(rows.nbytes for rows in self._rows))

    def _places(self) -> Array:
        """Return the places of the samples in the ring, the oldest first."""
        return (self._next - self.count + np.arange(self.count)) % self.capacity
