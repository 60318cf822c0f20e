"""How messages travel: at every step, or as events once there is something new to say. Start at
`Events`.

A transport is chosen for a whole simulation, or for each projection. With events a unit keeps what
it last sent and speaks when the present value differs from it; receivers add up what they hear, so
what they know is W times what was sent. Forward the value is x, backward it is delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.model.flow import seconds
from neurosim.model.network import Network

FORWARD, BACKWARD = "x", "delta"  # the variable that travels


@dataclass(frozen=True)
class Adaptive:
    """A threshold of each unit that shrinks as the unit settles, so that the fixed point is reached
    to any accuracy.

    theta = clip(min(r, roof), floor, top), where r is the speed of the unit, r <- max(|tau d(x,
    lam)/dt|, r fading), and the roof falls from `top` with the time since the pattern was clamped.
    Clamped inputs use `floor`.

    Parameters
    ----------
    top, floor : float
        Bounds of the threshold.
    fall : float
        Time constant of the roof, in tau_x: roof = top exp(-t/(fall tau_x)), t since the pattern
        was clamped.
    fade : float
        What is left of r after 0.2 tau_x.
    """

    top: float = 0.1
    floor: float = 1e-6
    fall: float = 6.0
    fade: float = 0.9

    def __post_init__(self) -> None:
        for name in ("top", "floor", "fall"):
            _number(name, getattr(self, name), least=0.0)
        if not 0 < self.fade < 1:
            raise out_of_range("fade", self.fade, "between 0 and 1", "0.9")
        if self.floor > self.top:
            raise out_of_range("floor", self.floor, f"at most top = {self.top:g}", "1e-6")


Threshold = float | Adaptive
ADAPTIVE_KEYS = {f.name for f in fields(Adaptive)}


@dataclass(frozen=True)
class Dense:
    """Every message at every step."""


@dataclass(frozen=True)
class Events:
    """Send-on-delta: the difference travels once |now - last sent| > theta.

    Parameters
    ----------
    theta : float, Adaptive, "adaptive" or {population: one of these}
        Threshold of x forward; populations that are not named have 0.01.
    backward : the same, optional
        Threshold of delta; `theta` if None.
    delay : time
        From a unit to its receivers, in both directions; in whole steps, at least one if it is not
        0.
    """

    theta: Any = 0.01
    backward: Any = None
    delay: Any = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", _thresholds("theta", self.theta))
        if self.backward is not None:
            object.__setattr__(self, "backward", _thresholds("backward", self.backward))
        object.__setattr__(self, "delay", seconds(self.delay, "delay", positive=False))

    def threshold(self, variable: str, population: str) -> Threshold:
        """Of one population's messages in one direction."""
        return _of(
            self.theta if variable == FORWARD or self.backward is None else self.backward,
            population,
        )


@dataclass(frozen=True)
class Spikes:
    """Signed spikes of a fixed size: one, of sign(now - last sent), once |now - last sent| >=
    quantum.

    A large change takes several steps to send: a unit spikes at most once a step.

    Parameters
    ----------
    quantum : float or {population: float}
        What a spike of x stands for; populations that are not named have 0.01.
    backward : the same, optional
        What a spike of delta stands for; `quantum` if None.
    refractory : time
        After a spike a unit is silent for this long.
    max_rate : float, optional
        Spikes of a unit per second, at most (or a Brian2 frequency).
    delay : time
        From a unit to its receivers, in both directions; in whole steps, at least one if it is not
        0.
    """

    quantum: Any = 0.01
    backward: Any = None
    refractory: Any = 0.0
    max_rate: Any = None
    delay: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("quantum", "backward"):
            value = getattr(self, name)
            if value is None:
                continue
            for one in value.values() if isinstance(value, Mapping) else [value]:
                if isinstance(one, str | Adaptive):
                    raise out_of_range(
                        name, one, "a number above 0: spikes have a fixed size", "0.01"
                    )
                _number(name, one, least=0.0, above=True)
            object.__setattr__(self, name, _thresholds(name, value))
        for name in ("refractory", "delay"):
            object.__setattr__(self, name, seconds(getattr(self, name), name, positive=False))
        if self.max_rate is not None:
            object.__setattr__(
                self, "max_rate", _number("max_rate", float(self.max_rate), least=0.0, above=True)
            )

    def threshold(self, variable: str, population: str) -> float:
        """What a spike of one population stands for, in one direction."""
        given = self.quantum if variable == FORWARD or self.backward is None else self.backward
        return float(_of(given, population))  # type: ignore[arg-type]

    @property
    def silence(self) -> float:
        """Shortest time between two spikes of a unit, s."""
        return max(float(self.refractory), 1 / self.max_rate if self.max_rate else 0.0)


Transport = Dense | Events | Spikes
KINDS: dict[str, type[Any]] = {"dense": Dense, "events": Events, "spikes": Spikes}


def resolve(net: Network, given: Any) -> dict[str, Transport]:
    """The transport of every projection, from a name, a transport, or {projection: either}.

    Raises
    ------
    ModelError
        Unknown projections, names or populations.
    """
    if isinstance(given, Mapping) and "kind" not in given:
        for name in given:
            if name not in net.projections:
                raise unknown("projection of a transport", name, net.projections)
        found = {name: _transport(given.get(name, "dense")) for name in net.projections}
    else:
        found = dict.fromkeys(net.projections, _transport(given))
    for rule in found.values():
        for name in _named(rule):
            if name not in net.populations:
                raise unknown("population of a threshold", name, net.populations)
    return found


def described(transport: Any) -> Any:
    """As it stands in a run's settings: plain values."""
    if isinstance(transport, Mapping):
        return {name: described(value) for name, value in transport.items()}
    if isinstance(transport, Adaptive):
        return {f.name: getattr(transport, f.name) for f in fields(transport)}
    if isinstance(transport, frozenset):
        return {name: described(value) for name, value in sorted(transport)}
    if isinstance(transport, Dense | Events | Spikes):
        name = next(n for n, kind in KINDS.items() if isinstance(transport, kind))
        own = {f.name: described(getattr(transport, f.name)) for f in fields(transport)}
        return {"kind": name, **{n: v for n, v in own.items() if v is not None}} if own else name
    return transport


def _transport(given: Any) -> Transport:
    if isinstance(given, Dense | Events | Spikes):
        return given
    if isinstance(given, str):
        return _transport({"kind": given})
    if isinstance(given, Mapping):
        kind, keys = given.get("kind"), {k: v for k, v in given.items() if k != "kind"}
        if kind not in KINDS:
            raise unknown("transport", str(kind), KINDS)
        allowed = [f.name for f in fields(KINDS[kind])]
        for key in keys:
            if key not in allowed:
                raise unknown(f"key of transport {kind!r}", key, allowed)
        made: Transport = KINDS[kind](**keys)
        return made
    raise ModelError(
        f"transport is a {type(given).__name__}; allowed: Dense(), Events(theta=...), "
        "Spikes(quantum=...), one of "
        f"{', '.join(map(repr, KINDS))}, or {{projection: one of these}}"
    )


def _thresholds(name: str, given: Any) -> Any:
    """A threshold, or a hashable of (population, threshold)."""
    if isinstance(given, Mapping) and set(given) & ADAPTIVE_KEYS:
        for key in given:
            if key not in ADAPTIVE_KEYS:
                raise unknown(f"key of an adaptive {name}", key, ADAPTIVE_KEYS)
        return Adaptive(**given)
    if isinstance(given, Mapping):
        return frozenset((population, _thresholds(name, one)) for population, one in given.items())
    if isinstance(given, frozenset | Adaptive):
        return given
    if given == "adaptive":
        return Adaptive()
    return _number(name, given, least=0.0)


def _of(given: Any, population: str) -> Threshold:
    found: Threshold = dict(given).get(population, 0.01) if isinstance(given, frozenset) else given
    return found


def _named(rule: Transport) -> list[str]:
    if isinstance(rule, Dense):
        return []
    given = [rule.theta if isinstance(rule, Events) else rule.quantum, rule.backward]
    return [name for one in given if isinstance(one, frozenset) for name, _ in one]


def _number(name: str, value: Any, least: float, above: bool = False) -> float:
    good = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value < float("inf")
    )
    if not good or (above and value == least):
        raise out_of_range(
            name, value, f"a finite number {'above' if above else 'from'} {least:g}", "0.01"
        )
    return float(value)
