"""The method of a simulation that opens a live one. Start at `OpensLive.live`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from neurosim.arguments import checked_methods

if TYPE_CHECKING:
    from neurosim.simulation.live import Live


@checked_methods("live")
class OpensLive:
    """Base of `Simulation`."""

    def live(
        self,
        X: Any,
        Y: Any = None,
        *,
        plastic: bool = False,
        patterns: Sequence[int] | None = None,
        start: Any = "zero",
        record: str | Iterable[str] = ("x", "lam"),
        every: Any = None,
        keep: int | None = None,
    ) -> Live:
        """Open a simulation that stays open: run it in pieces, and change anything in between.

        It has a copy of the network, so that this simulation and its network stay as they are.

        Parameters
        ----------
        X, Y
            As in `relax`.
        plastic : bool
            Whether weights move; `Live.plastic` changes it.
        patterns : sequence of int, optional
            The rows of X that are simulated, all by default; `Live.show` clamps others.
        start, record, every
            As in `relax`; x and lam are recorded by default.
        keep : int, optional
            Number of samples that are kept; by default what fits into 8 MB, 1,000 to 20,000.

        Returns
        -------
        Live

        Raises
        ------
        ModelError, DataError, ConvergenceError
            As in `relax`; ModelError also with ``backend="standalone"`` or user-supplied objects.
        """
        from neurosim.simulation.live import Live

        return Live(
            self,  # type: ignore[arg-type]
            X,
            Y,
            plastic=plastic,
            patterns=patterns,
            start=start,
            record=record,
            every=every,
            keep=keep,
        )
