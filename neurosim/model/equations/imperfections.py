"""All imperfections of one simulation, combined into equation text and random draws.

The text is in Brian2's notation; time constants and signs are drawn once. Above
`model.imperfections`, which defines the single imperfections; below every backend. Start at
`resolve`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown
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
    kind_of,
)
from neurosim.model.network import Network
from neurosim.model.transport import BACKWARD, FORWARD
from neurosim.model.weights import synapse_indices, synapses

Array = np.ndarray
DIRECTIONS = (FORWARD, BACKWARD)
_TIMES, _SIGNS = 1, 2  # last entries of the seeds, for independent random streams


@dataclass(frozen=True)
class Imperfections:
    """All imperfections of one simulation.

    Attributes
    ----------
    given : tuple of Imperfection
        At most one of each kind; those of messages act in this order, a delay last.
    prospective : Prospective or None
        Prospective messages, if any.
    seed : int
        Seed of the time constants and signs, which are drawn once.
    """

    given: tuple[Imperfection, ...] = ()
    prospective: Prospective | None = None
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.given or self.prospective)

    def of(self, kind: type[Any]) -> Any:
        """Return the imperfection of that kind, or None."""
        for item in self.given:
            if isinstance(item, kind):
                return item
        return None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Imperfections that a message passes through, in order."""
        return tuple(item for item in self.given if isinstance(item, Stage))

    @property
    def alters_messages(self) -> bool:
        """Whether receivers read something other than x and delta."""
        return bool(self.stages or self.prospective or self.of(Delay))

    @property
    def draws(self) -> bool:
        """Whether imperfections draw random numbers during a run."""
        return self.of(StateNoise) is not None or any(stage.draws for stage in self.stages)

    @property
    def own_times(self) -> bool:
        """Whether time constants are per unit."""
        return self.of(TimeConstants) is not None

    def received(self, variable: str) -> str:
        """Return the name of the variable that receivers of x or delta read."""
        return f"received_{variable}" if self.alters_messages else variable

    def known(self, variable: str) -> str:
        """Return the name of the variable that plasticity reads for x or delta.

        A synapse is located at its postsynaptic unit, so x arrives with the delay, delta without.
        """
        if variable == BACKWARD and self.of(Delay):
            return "sent_delta"
        return self.received(variable)

    def slope(self, activation: str) -> str:
        """Return the expression that replaces sigma'(a), or an empty string."""
        derivative: Derivative | None = self.of(Derivative)
        if derivative is None or activation == "linear":
            return ""
        return derivative.text

    def term(self, variable: str, method: str) -> str:
        """Return the noise term to add to dx/dt or dlam/dt, 1/s, or an empty string."""
        noise: StateNoise | None = self.of(StateNoise)
        return noise.term(variable, method) if noise else ""

    def leaks(self, clamped: bool) -> dict[str, str]:
        """Return the leaks (1/s) of the states of noise, by variable; their steps are exact."""
        noise: StateNoise | None = self.of(StateNoise)
        return noise.leaks if noise and not clamped else {}

    @property
    def _estimates_rates(self) -> bool:
        """Whether units estimate their rates of change by a low-pass difference."""
        return self.prospective is not None and self.prospective.time is not None

    @property
    def _with_values(self) -> list[Stage | Derivative]:
        """Imperfections whose text contains dimensionless shared parameters."""
        derivative = self.of(Derivative)
        if derivative is None:
            return [*self.stages]
        return [*self.stages, derivative]

    @property
    def _stage_arrays(self) -> list[str]:
        names: list[str] = []
        for stage in self.stages:
            names += stage.arrays
        return names

    def equations(self, clamped: bool) -> list[str]:
        """Return the equations to add to those of a population's flow.

        Parameters
        ----------
        clamped : bool
            Whether the population is clamped.
        """
        lines = []
        if self.of(LowPass):
            lines += self._low_pass(clamped)
        if clamped:
            return lines
        noise = self.of(StateNoise)
        if noise:
            lines += noise.equations
        if self._estimates_rates:
            lines += [f"dpast_{v}/dt = ({v} - past_{v})/look : 1" for v in ("x", "lam")]
            lines.append("look : second (shared)")
        for item in self._with_values:
            lines += [f"{name} : 1 (shared)" for name in item.values]
        kept = self._stage_arrays
        if self.alters_messages:
            kept.append("received")
        if self.of(Delay):
            kept.append("sent")
        for v in DIRECTIONS:
            lines += [f"{name}_{v} : 1" for name in kept]
        return lines

    def _low_pass(self, clamped: bool) -> list[str]:
        """Return the equations that low-pass filter the two factors of plasticity."""
        x = FORWARD if clamped else self.received(FORWARD)
        lines = [f"dslow_x/dt = ({x} - slow_x)/low_pass : 1", "low_pass : second (shared)"]
        if not clamped:
            delta = self.known(BACKWARD)
            lines.append(f"dslow_delta/dt = ({delta} - slow_delta)/low_pass : 1")
        return lines

    def constants(self, clamped: bool) -> dict[str, float]:
        """Return the values of the shared parameters in `equations`, by name.

        Parameters
        ----------
        clamped : bool
            Whether the population is clamped.
        """
        values: dict[str, float] = {}
        low_pass = self.of(LowPass)
        if low_pass:
            values["low_pass"] = low_pass.time
        if clamped:
            return values
        if self.prospective and self.prospective.time:
            values["look"] = self.prospective.time
        for item in self._with_values:
            values |= item.values
        noise = self.of(StateNoise)
        if noise:
            values |= noise.values
        return values

    def sent(self, variable: str, rates: Mapping[str, str]) -> list[Statement]:
        """Return the statements that compute a message from x or delta; the last one assigns it.

        Parameters
        ----------
        variable : "x" or "delta"
        rates : dict with keys "x" and "lam"
            Right-hand sides of the population, 1/s, without noise.
        """
        if not self.alters_messages:
            return []
        statements, message = [], variable
        if self.prospective:
            message = f"ahead_{variable}"
            statements.append((message, self._ahead(variable, rates)))
        for stage in self.stages:
            statements += stage.sent(variable, message)
            message, _ = statements[-1]
        result = f"sent_{variable}" if self.of(Delay) else f"received_{variable}"
        return [*statements, (result, message)]

    def _ahead(self, variable: str, rates: Mapping[str, str]) -> str:
        """Return the expression of x or delta one tau ahead.

        delta = sigma' (lam + rho (x - sigma)) is linear in both states, so their increments add.
        """
        if self._estimates_rates:
            x, lam = "tau_x/look*(x - past_x)", "tau_lam/look*(lam - past_lam)"
        else:
            x, lam = f"tau_x*({rates['x']})", f"tau_lam*({rates['lam']})"
        if variable == FORWARD:
            return f"x + {x}"
        return f"delta + dsigma*({lam} + rho*({x}))"

    def delay_steps(self, dt: float) -> int:
        """Return the delay in steps of `dt` s; 0 without a delay."""
        delay: Delay | None = self.of(Delay)
        return delay.whole(dt) if delay else 0

    def times(self, number: int, size: int) -> Array:
        """Draw the factors of tau_x and tau_lam of one population's units, (2, units), unit 1.

        Parameters
        ----------
        number : int
            Position of the population in the network.
        size : int
            Number of its units.
        """
        spread = self.of(TimeConstants).spread
        rng = np.random.default_rng([self.seed, number, _TIMES])
        factors: Array = np.exp(spread * rng.standard_normal((2, size)))
        return factors

    def signs(self, net: Network) -> dict[str, Array]:
        """Return +1 or -1 for every neuron and input unit, (units,) by population.

        They are drawn, except where fixed weights have signs already.

        Raises
        ------
        ModelError
            Fixed weights of both signs from one neuron.
        """
        inhibitory = self.of(Dale).inhibitory
        signs = {}
        for number, (name, population) in enumerate(net.populations.items()):
            rng = np.random.default_rng([self.seed, number, _SIGNS])
            signs[name] = np.where(rng.random(population.size) < inhibitory, -1.0, 1.0)
        for n, own in signs.items():
            positive, negative = _fixed_signs(net, n)
            if (positive & negative).any():
                unit = int(np.argmax(positive & negative))
                raise ModelError(
                    f"dale with unit {unit} of {n}, whose fixed weights (plastic=False) have both "
                    "signs; allowed: one sign per neuron; try plastic=True"
                )
            own[positive] = 1.0
            own[negative] = -1.0
        return signs

    def impose_signs(self, net: Network) -> None:
        """Give every plastic weight the sign of its presynaptic neuron, in place, under `Dale`."""
        if self.of(Dale) is None:
            return
        signs = self.signs(net)
        for name, q in net.projections.items():
            w, own = net.weights[name], signs[q.pre]
            if not q.plastic:
                continue
            if isinstance(w, np.ndarray):
                w[...] = np.abs(w) * own
            else:
                w.data[...] = np.abs(w.data) * own[w.indices]

    @property
    def words(self) -> str:
        """Names of the kinds, for error messages."""
        names = [kind_of(item) for item in self.given]
        if self.prospective:
            names.append("prospective")
        return ", ".join(names)

    def described(self) -> dict[str, Any]:
        """Return the imperfections as plain values, for a run's settings and model files."""
        values: dict[str, Any] = {}
        if self.given:
            values["imperfections"] = [_described(item) for item in self.given]
        if self.prospective:
            values["prospective"] = self.prospective.time or True
        return values


NONE = Imperfections()


def resolve(given: Any, prospective: Any, seed: int) -> Imperfections:
    """Validate user-supplied imperfections and combine them.

    Parameters
    ----------
    given : sequence of Imperfection or mapping, or one of them
        A mapping has a `kind`, and the arguments of that kind.
    prospective : Prospective, time, bool or None
        Prospective messages; True is `Prospective()`, a time t is ``Prospective(t)``.
    seed : int
        Seed of the time constants and signs.

    Raises
    ------
    ModelError
        Unknown kinds or keys, values out of range, one kind twice.
    """
    items = [given] if isinstance(given, Imperfection | Mapping) else given
    if isinstance(items, str | np.ndarray) or not isinstance(items, Iterable):
        raise out_of_range("imperfections", given, "a list, e.g. [MessageNoise(0.1)]")
    found = tuple(_imperfection(item) for item in items)
    kinds = [type(item) for item in found]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ModelError(
                f"imperfections contain {kinds.count(kind)} {kind.__name__}; "
                "allowed: one of each kind"
            )
    return Imperfections(found, _prospective(prospective), seed)


def _prospective(given: Any) -> Prospective | None:
    if given is None or given is False:
        return None
    if given is True:
        return Prospective()
    if isinstance(given, Prospective):
        return given
    return Prospective(given)


def _imperfection(given: Any) -> Imperfection:
    if isinstance(given, Imperfection):
        return given
    if not isinstance(given, Mapping):
        names = ", ".join(kind.__name__ for kind in KINDS.values())
        raise ModelError(
            f"imperfections contain a {type(given).__name__}; allowed: {names}, "
            f"or a table with kind = one of {', '.join(map(repr, KINDS))}"
        )
    keys = dict(given)
    name = keys.pop("kind", None)
    if not isinstance(name, str) or name not in KINDS:
        raise unknown("kind of an imperfection", name, KINDS)
    kind = KINDS[name]
    allowed = [f.name for f in fields(kind)]
    for key in keys:
        if key not in allowed:
            raise unknown(f"key of imperfection {name!r}", key, allowed)
    try:
        made: Imperfection = kind(**keys)
    except TypeError as error:
        raise ModelError(
            f"imperfection {name!r} has {sorted(keys)}; allowed: {', '.join(allowed)}"
        ) from error
    return made


def _described(item: Imperfection) -> dict[str, Any]:
    """Return an imperfection's kind and the arguments that are not None, as plain values."""
    values = {"kind": kind_of(item)}
    for f in fields(item):
        value = getattr(item, f.name)
        if value is not None:
            values[f.name] = value
    return values


def _fixed_signs(net: Network, population: str) -> tuple[Array, Array]:
    """Return which units have a positive and which a negative fixed weight to another, (units,)."""
    positive = np.zeros(net.populations[population].size, dtype=bool)
    negative = positive.copy()
    for q in net.outgoing(population):
        if not q.plastic:
            w = net.matrix(q.name)
            _, pre = synapse_indices(w)
            values = synapses(w).ravel()
            positive[pre[values > 0]] = True
            negative[pre[values < 0]] = True
    return positive, negative
