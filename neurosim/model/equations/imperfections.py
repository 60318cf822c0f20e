"""A circuit with all that it lacks: the imperfections of one simulation, as an engine reads them.

Equations and statements in Brian2's notation, and what is drawn once. Above `imperfections`, which
says what each is; below every backend. Start at `resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from neurosim.errors import ModelError, unknown
from neurosim.model.imperfections import (
    KINDS,
    Dale,
    Delay,
    Derivative,
    Imperfection,
    LowPass,
    Prospective,
    Stage,
    Statement,
    StateNoise,
    TimeConstants,
)
from neurosim.model.network import Network

Array = np.ndarray
DIRECTIONS = ("x", "delta")  # the variable that travels forward, and back


@dataclass(frozen=True)
class Imperfections:
    """All of one simulation, as an engine reads them.

    Attributes
    ----------
    given : tuple of Imperfection
    prospective : Prospective or None
    seed : int
        Of what is drawn once: time constants, signs.
    """

    given: tuple[Imperfection, ...] = ()
    prospective: Prospective | None = None
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.given or self.prospective)

    def of(self, kind: type[Any]) -> Any:
        """The one of that kind, or None."""
        return next((i for i in self.given if isinstance(i, kind)), None)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What happens to a message on its way, in order."""
        return tuple(i for i in self.given if isinstance(i, Stage))

    @property
    def alters_messages(self) -> bool:
        """Whether what is heard differs from what is."""
        return bool(self.stages or self.prospective or self.of(Delay))

    @property
    def draws(self) -> bool:
        """Whether a run has chance in it."""
        return self.of(StateNoise) is not None or any(stage.draws for stage in self.stages)

    @property
    def own_times(self) -> bool:
        """Whether units have time constants of their own."""
        return self.of(TimeConstants) is not None

    def received(self, variable: str) -> str:
        """What receivers of x or delta know."""
        return f"received_{variable}" if self.alters_messages else variable

    def known(self, variable: str) -> str:
        """What the synapses onto a unit know of x at the other end, or of its own delta, which need
        not travel.
        """
        return "sent_delta" if variable == "delta" and self.of(Delay) else self.received(variable)

    def slope(self, activation: str) -> str:
        """What stands in place of sigma'(a); empty if nothing does."""
        derivative = self.of(Derivative)
        return "" if derivative is None or activation == "linear" else derivative.text

    def term(self, variable: str) -> str:
        """What is added to dx/dt or dlam/dt, 1/s."""
        noise = self.of(StateNoise)
        return noise.term(variable) if noise else ""

    def equations(self, clamped: bool) -> list[str]:
        """What a population's equations have beside those of section 1."""
        slow = []
        if self.of(LowPass):
            x, delta = ("x" if clamped else self.received("x")), self.known("delta")
            slow = [f"dslow_x/dt = ({x} - slow_x)/low_pass : 1", "low_pass : second (shared)"]
            slow += [] if clamped else [f"dslow_delta/dt = ({delta} - slow_delta)/low_pass : 1"]
        if clamped:
            return slow
        noise = self.of(StateNoise)
        lines = [*slow, *(noise.equations if noise else ())]
        if self.prospective and self.prospective.time:
            lines += [f"dpast_{v}/dt = ({v} - past_{v})/look : 1" for v in ("x", "lam")] + [
                "look : second (shared)"
            ]
        lines += [f"{name} : 1 (shared)" for item in self._valued for name in item.values]
        kept = [name for stage in self.stages for name in stage.arrays]
        kept += (["received"] if self.alters_messages else []) + (
            ["sent"] if self.of(Delay) else []
        )
        return lines + [f"{name}_{v} : 1" for v in DIRECTIONS for name in kept]

    def memory(self, clamped: bool) -> list[str]:
        """Variables of a population, beside a delay's line, from which a run can go on."""
        found = ["slow_x"] if self.of(LowPass) else []
        if clamped:
            return found
        found += ["slow_delta"] if self.of(LowPass) else []
        noise = self.of(StateNoise)
        found += ["noise_x", "noise_lam"] if noise and noise.correlation else []
        found += ["past_x", "past_lam"] if self.prospective and self.prospective.time else []
        return found + [
            f"{name}_{v}" for stage in self.stages for name in stage.arrays for v in DIRECTIONS
        ]

    def constants(self, clamped: bool) -> dict[str, float]:
        """Values of the shared parameters of `equations`."""
        slow = self.of(LowPass)
        found = {"low_pass": slow.time} if slow else {}
        if clamped:
            return found
        found |= (
            {"look": self.prospective.time} if self.prospective and self.prospective.time else {}
        )
        for item in (*self._valued, *([self.of(StateNoise)] if self.of(StateNoise) else [])):
            found |= item.values
        return found

    @property
    def _valued(self) -> list[Any]:
        return [*self.stages, *([self.of(Derivative)] if self.of(Derivative) else [])]

    def sent(self, variable: str, rates: Mapping[str, str]) -> list[Statement]:
        """How a message comes about, of a population whose right-hand sides are `rates` (1/s,
        without noise).
        """
        if not self.alters_messages:
            return []
        statements, name = [], variable
        if self.prospective:
            name = f"ahead_{variable}"
            statements.append((name, self._ahead(variable, rates)))
        for stage in self.stages:
            statements += stage.sent(variable, name)
            name = statements[-1][0]
        return [*statements, (f"{'sent' if self.of(Delay) else 'received'}_{variable}", name)]

    def _ahead(self, variable: str, rates: Mapping[str, str]) -> str:
        """A unit's message one tau ahead; delta = sigma' (lam + rho (x - sigma)) is linear in both
        states.
        """
        if self.prospective and self.prospective.time:
            x, lam = "tau_x/look*(x - past_x)", "tau_lam/look*(lam - past_lam)"
        else:
            x, lam = f"tau_x*({rates['x']})", f"tau_lam*({rates['lam']})"
        return f"x + {x}" if variable == "x" else f"delta + dsigma*({lam} + rho*({x}))"

    def delay_steps(self, dt: float) -> int:
        """Steps from speaking to being heard."""
        delay = self.of(Delay)
        return delay.whole(dt) if delay else 0

    def times(self, number: int, size: int) -> Array:
        """Factors of tau_x and tau_lam of the units of one population, (2, units)."""
        spread = self.of(TimeConstants).spread
        factors: Array = np.exp(
            spread * np.random.default_rng([self.seed, number, 1]).standard_normal((2, size))
        )
        return factors

    def signs(self, net: Network) -> dict[str, Array]:
        """+1 or -1 of every neuron, by population."""
        share = self.of(Dale).inhibitory
        rngs = {n: np.random.default_rng([self.seed, i, 2]) for i, n in enumerate(net.populations)}
        return {
            n: np.where(rng.random(net.populations[n].size) < share, -1.0, 1.0)
            for n, rng in rngs.items()
        }

    def impose_signs(self, net: Network) -> None:
        """Give every weight the sign of its presynaptic neuron, in place."""
        if self.of(Dale) is None:
            return
        signs = self.signs(net)
        for name, q in net.projections.items():
            w, own = net.weights[name], signs[q.pre]
            if isinstance(w, np.ndarray):
                w[...] = np.abs(w) * own
            else:
                w.data[...] = np.abs(w.data) * own[w.indices]

    @property
    def words(self) -> str:
        """Their kinds, for a message."""
        names = {kind: name for name, kind in KINDS.items()}
        return ", ".join(
            [names[type(i)] for i in self.given] + (["prospective"] if self.prospective else [])
        )

    def described(self) -> dict[str, Any]:
        """As they stand in a run's settings and in a model file: plain values."""
        found: dict[str, Any] = {}
        if self.given:
            found["imperfections"] = [_described(i) for i in self.given]
        if self.prospective:
            found["prospective"] = True if self.prospective.time is None else self.prospective.time
        return found


NONE = Imperfections()


def resolve(given: Any, prospective: Any, seed: int) -> Imperfections:
    """From what a user gives: objects, or mappings with a `kind`.

    Raises
    ------
    ModelError
        Unknown kinds or keys, values out of range, one kind twice.
    """
    items = [given] if isinstance(given, Imperfection | Mapping) else given
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise ModelError(f"imperfections = {given!r}; allowed: a list, e.g. [MessageNoise(0.1)]")
    found = tuple(_imperfection(one) for one in items)
    kinds = [type(i) for i in found]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ModelError(
                f"imperfections have {kinds.count(kind)} of {kind.__name__}; allowed: "
                "one of each kind"
            )
    if isinstance(prospective, Prospective) or prospective is None or prospective is False:
        return Imperfections(found, prospective or None, seed)
    return Imperfections(found, Prospective(None if prospective is True else prospective), seed)


def _imperfection(given: Any) -> Imperfection:
    if isinstance(given, Imperfection):
        return given
    if isinstance(given, Mapping):
        kind, keys = given.get("kind"), {k: v for k, v in given.items() if k != "kind"}
        if kind not in KINDS:
            raise unknown("kind of an imperfection", str(kind), KINDS)
        allowed = [f.name for f in fields(KINDS[kind])]
        for key in keys:
            if key not in allowed:
                raise unknown(f"key of imperfection {kind!r}", key, allowed)
        try:
            made: Imperfection = KINDS[kind](**keys)
        except TypeError as error:
            raise ModelError(
                f"imperfection {kind!r} has {sorted(keys)}; allowed: {', '.join(allowed)}"
            ) from error
        return made
    raise ModelError(
        f"imperfections hold a {type(given).__name__}; allowed: "
        f"{', '.join(k.__name__ for k in KINDS.values())}, or a "
        f"table with kind = one of {', '.join(map(repr, KINDS))}"
    )


def _described(item: Imperfection) -> dict[str, Any]:
    name = next(n for n, kind in KINDS.items() if isinstance(item, kind))
    own = {f.name: getattr(item, f.name) for f in fields(item)}
    return {"kind": name, **{k: v for k, v in own.items() if v is not None}}
