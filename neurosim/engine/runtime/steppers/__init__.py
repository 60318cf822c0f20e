"""Steppers: one per integration method, which moves the state and the weights.

Above `messages` and `rates`, below `step`, which chooses one. A stepper is made for one segment.
"""

from __future__ import annotations

from typing import Protocol


class Stepper(Protocol):
    """One integration method."""

    def step(self, learning: bool) -> None:
        """Move the state by one step, and the weights if they learn; messages have been sent."""
