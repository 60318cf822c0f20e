"""What fixes the structure of a simulation, before any Brian2 object exists.

Start at `Plan`; its values (weights, gains, data, seed) are loaded into an engine later, so that two
plans that are equal need one build.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from neurosim import expressions, lagrangian
from neurosim.network import Network

GUARD_EVERY = 10  # steps between two looks for a state that left its bound
ARRAYS = frozenset({"x", "lam", "a", "feedback", "sigma", "delta", "y", "w", "b"})  # stored, not derived


@dataclass(frozen=True)
class Extension:
    """Terms and equations of a user's own on one population, in Brian2's notation.

    Parameters
    ----------
    population : str
    x, lam : str
        Terms in 1/s added to dx/dt and dlam/dt, e.g. ``"I/tau_x"`` or ``"0.1*sqrt(2/tau_x)*xi"``.
    equations : str
        More equations, e.g. ``"dI/dt = -I/tau_I + 0.1*sqrt(2/tau_I)*xi : 1"`` and parameters such as
        ``"tau_I : second (shared)"``.
    parameters : dict of str to value
        Initial values of what `equations` declares; Brian2 quantities or numbers, or (patterns, units).
    """

    population: str
    x: str = ""
    lam: str = ""
    equations: str = ""
    parameters: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """One recorded variable: which entries of which group's array."""

    group: str
    variable: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The structure of one Brian2 network, for `patterns` patterns at once."""

    net: Network
    patterns: int
    dt: float
    method: str = "euler"
    presentation: bool = False
    extensions: tuple[Extension, ...] = ()
    recorded: tuple[Recorded, ...] = ()

    def extension(self, population: str) -> Extension:
        """All extensions of one population as one."""
        own = [e for e in self.extensions if e.population == population]
        plus = " + ".join
        return Extension(
            population,
            plus(f"({e.x})" for e in own if e.x.strip()),
            plus(f"({e.lam})" for e in own if e.lam.strip()),
            "\n".join(e.equations for e in own if e.equations.strip()),
            {k: v for e in own for k, v in e.parameters.items()},
        )

    def equations(self, population: str) -> str:
        """The equations of one population, as Brian2 gets them."""
        if self.net.populations[population].clamped:
            return lagrangian.clamped()
        own = self.extension(population)
        text = lagrangian.population(self.net, population, own.x, own.lam, own.equations)
        derived = {r.variable for r in self.recorded if r.group == population} - ARRAYS
        # a copy that Brian2 stores once a step, for the recorder
        lines = [
            f"recorded_{v} = {v} : 1 (constant over dt)" for v in sorted(derived) if not self._stored(population, v)
        ]
        return "\n".join([text, *lines])

    def variables(self, population: str) -> list[str]:
        """What can be recorded of a population: everything its equations name per unit."""
        lines = [line for line in self.equations(population).splitlines() if "shared" not in line and ":" in line]
        heads = [line.split(":")[0].split("=")[0].strip() for line in lines]
        return [h[1:].removesuffix("/dt") if h.endswith("/dt") else h for h in heads if not h.startswith("recorded_")]

    def array_name(self, recorded: Recorded) -> str:
        """The array that holds a recorded variable."""
        if recorded.variable in ARRAYS or self._stored(recorded.group, recorded.variable):
            return recorded.variable
        return f"recorded_{recorded.variable}"

    def _stored(self, population: str, variable: str) -> bool:
        own = self.extension(population).equations
        heads = [line.split(":")[0].split("=")[0].strip() for line in own.splitlines()]
        return variable in heads or f"d{variable}/dt" in heads

    @property
    def partitions(self) -> tuple[str, ...]:
        """Populations whose loss reads the softmax's normaliser."""
        return tuple(n for n, v in self.net.losses.items() if expressions.loss(v.kind, v.epsilon).partition)


def projection_group(name: str) -> str:
    """Brian2's name for a projection: ``"pre->post"`` is no identifier."""
    return name.replace("->", "_to_")


def bias_group(population: str) -> str:
    """Brian2's name for the biases of a population."""
    return f"{population}_bias"
