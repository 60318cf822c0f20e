"""Attributes of a simulation that are arguments of its constructor: setting one checks them all.

Below `simulation`. Start at `Settable`.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from neurosim.model.frozen import ReadOnly

KEPT = ("factories", "last_session", "lock")  # of a simulation whose arguments change


class Settable(ReadOnly):
    """Base of `Simulation`: an argument that is set counts from the next run on.

    The simulation is made anew from its arguments, so that a value is refused, or has an effect, as
    in the constructor. All other public attributes are fixed.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._made or name not in signature(type(self)).parameters:
            super().__setattr__(name, value)
            return
        given = arguments_of(self) | {name: value}
        twin = object.__new__(type(self))
        type(self).__init__(twin, **given)
        for attribute, found in vars(twin).items():
            if attribute not in KEPT and not attribute.startswith("_"):
                vars(self)[attribute] = found


def arguments_of(sim: Any) -> dict[str, Any]:
    """Return the arguments from which a simulation would be made."""
    given = {name: vars(sim).get(name) for name in signature(type(sim)).parameters}
    return given | {
        "backend": sim.requested_backend,
        "imperfections": sim.imperfections.given,
        "prospective": sim.imperfections.prospective or False,
    }
