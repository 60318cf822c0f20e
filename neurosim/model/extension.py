"""User-supplied terms, noise and equations of a population."""

from __future__ import annotations

from dataclasses import dataclass, field

from neurosim.errors import out_of_range


@dataclass(frozen=True)
class Extension:
    """Terms and equations of a user's own on one population, in Brian2's notation.

    Parameters
    ----------
    population : str
        A clamped one takes equations, but has no dx/dt or dlam/dt for a term.
    x, lam : str
        Terms in 1/s added to dx/dt and dlam/dt, e.g. ``"I/tau_x"`` or ``"0.1*sqrt(2/tau_x)*xi"``.
    equations : str
        More equations, e.g. ``"dI/dt = -I/tau_I + 0.1*sqrt(2/tau_I)*xi : 1"`` and parameters such
        as ``"tau_I : second (shared)"``.
    parameters : dict of str to value
        Initial values of what `equations` declares; Brian2 quantities or numbers, or (patterns,
        units).
    """

    population: str
    x: str = ""
    lam: str = ""
    equations: str = ""
    parameters: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("population", "x", "lam", "equations"):
            if not isinstance(getattr(self, key), str):
                raise out_of_range(
                    f"{key} of an extension", getattr(self, key), "text in Brian2's notation"
                )
