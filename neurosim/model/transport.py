"""Message transports: messages at every step, or events once a value has changed enough.

A message transport is chosen for a whole simulation, or for each projection. With events a unit
keeps the value that it sent last, and sends the difference once the present value differs from it
by more than a threshold. Receivers add up the differences, which gives W times the values last
sent. The value is x forward and delta backward. Start at `Events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neurosim.arguments import checked_methods
from neurosim.errors import ModelError, number, out_of_range, unknown
from neurosim.model.flow import gain, seconds
from neurosim.model.frozen import FrozenDict
from neurosim.model.network import Network

FORWARD, BACKWARD = "x", "delta"  # the variable that is sent in each direction
ADAPTIVE = "adaptive"
DEFAULT_THRESHOLD = 0.01  # of populations that a mapping leaves out


@dataclass(frozen=True)
class Adaptive:
    """Adaptive threshold: it shrinks as its unit settles, so that errors shrink down to `floor`.

    Parameters
    ----------
    top : float
        Upper bound of the threshold, >= 0.
    floor : float
        Lower bound of the threshold, from 0 to `top`; clamped inputs use it.
    fall : float
        Time constant with which the upper bound falls, in units of tau_x, >= 0.
    fade : float
        Factor by which the unit's remembered speed fades within 0.2 tau_x, between 0 and 1.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    theta = clip(min(r, roof), floor, top). Here roof = top exp(-t/(fall tau_x)), with the time t
    since the pattern was clamped. r is the unit's remembered speed: at first `top`, then at every
    step r <- max(sqrt((tau_x dx/dt)² + (tau_lam dlam/dt)²), fade^(dt/(0.2 tau_x)) r).
    """

    top: float = 0.1
    floor: float = 1e-6
    fall: float = 6.0
    fade: float = 0.9

    def __post_init__(self) -> None:
        for name in ("top", "floor", "fall"):
            number(name, getattr(self, name), least=0, try_="0.01")
        number("fade", self.fade, above=0, below=1, try_="0.9")
        if self.floor > self.top:
            raise out_of_range("floor", self.floor, f"at most top = {self.top:g}", "1e-6")


Threshold = float | Adaptive
ADAPTIVE_KEYS = {f.name for f in fields(Adaptive)}


@dataclass(frozen=True)
class Dense:
    """Dense messages: every unit sends x and delta at every step."""


@checked_methods("threshold")
@dataclass(frozen=True)
class Events:
    """Events (send-on-delta): a unit sends the difference once |present - last sent| > theta.

    Parameters
    ----------
    theta : float, Adaptive, "adaptive" or {population: one of these}
        Threshold of x forward, >= 0; 0.01 for populations that a mapping leaves out.
    backward : float, Adaptive, "adaptive" or {population: one of these}, optional
        Threshold of delta backward, >= 0; `theta` if None, 0.01 for populations that a mapping
        leaves out.
    delay : time
        Delay from a unit to its receivers in both directions, rounded to whole steps, and at least
        one step unless it is 0.

    Raises
    ------
    ModelError
        A value out of range, or an unknown key of an adaptive threshold.
    """

    theta: Any = DEFAULT_THRESHOLD
    backward: Any = None
    delay: Any = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "theta", _thresholds("theta", self.theta))
        if self.backward is not None:
            object.__setattr__(self, "backward", _thresholds("backward", self.backward))
        object.__setattr__(self, "delay", seconds(self.delay, "delay", positive=False))

    def threshold(self, variable: str, population: str) -> Threshold:
        """Return the threshold of one population's messages in one direction."""
        return _threshold_of(self, variable, population)


@checked_methods("threshold")
@dataclass(frozen=True)
class Spikes:
    """Signed spikes of a fixed size: a unit spikes once |present - last sent| >= quantum.

    The spike has the sign of the difference. A unit spikes at most once per step, so that a large
    change takes several steps to send.

    Parameters
    ----------
    quantum : float or {population: float}
        Change of x that one spike stands for, > 0; 0.01 for populations that a mapping leaves out.
    backward : float or {population: float}, optional
        Change of delta that one spike stands for, > 0; `quantum` if None, 0.01 for populations that
        a mapping leaves out.
    refractory : time
        Time after a spike during which the unit does not spike again, per direction.
    max_rate : float, optional
        Largest spike rate of a unit, per direction, 1/s (or a Brian2 frequency), > 0; no limit if
        None.
    delay : time
        Delay from a unit to its receivers in both directions, rounded to whole steps, and at least
        one step unless it is 0.

    Raises
    ------
    ModelError
        A value out of range.
    """

    quantum: Any = DEFAULT_THRESHOLD
    backward: Any = None
    refractory: Any = 0.0
    max_rate: Any = None
    delay: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("quantum", "backward"):
            value = getattr(self, name)
            if value is not None:
                _check_quanta(name, value)
                object.__setattr__(self, name, _thresholds(name, value))
        for name in ("refractory", "delay"):
            object.__setattr__(self, name, seconds(getattr(self, name), name, positive=False))
        if self.max_rate is not None:
            rate = number("max_rate", gain("max_rate", self.max_rate), above=0, try_="100")
            object.__setattr__(self, "max_rate", rate)

    def threshold(self, variable: str, population: str) -> float:
        """Return the change that one spike of a population stands for, in one direction."""
        return float(_threshold_of(self, variable, population))  # type: ignore[arg-type]

    @property
    def silence(self) -> float:
        """Shortest time between two spikes of a unit, s."""
        period = 1 / self.max_rate if self.max_rate else 0.0
        return max(float(self.refractory), period)


Transport = Dense | Events | Spikes
KINDS: dict[str, type[Any]] = {"dense": Dense, "events": Events, "spikes": Spikes}


def resolve(net: Network, given: Any) -> dict[str, Transport]:
    """Return the message transport of every projection, by name.

    Parameters
    ----------
    net : Network
    given : str, Transport, mapping with a `kind`, or {projection: one of these}
        Projections that a mapping leaves out have dense messages.

    Raises
    ------
    ModelError
        An unknown projection, kind, argument or population.
    """
    if isinstance(given, Mapping) and "kind" not in given:
        for name in given:
            if name not in net.projections:
                raise unknown("projection of a transport", name, net.projections)
        found = FrozenDict({n: _transport(given.get(n, "dense")) for n in net.projections})
    else:
        rule = _transport(given)
        found = FrozenDict(dict.fromkeys(net.projections, rule))
    for rule in found.values():
        for name in _populations(rule):
            if name not in net.populations:
                raise unknown("population of a threshold", name, net.populations)
    return found


def described(transport: Any) -> Any:
    """Return a message transport as plain values, for a run's settings and for model files."""
    if isinstance(transport, Mapping):
        return {name: described(value) for name, value in transport.items()}
    if isinstance(transport, frozenset):
        return {name: described(value) for name, value in sorted(transport)}
    if isinstance(transport, Adaptive):
        return {f.name: getattr(transport, f.name) for f in fields(transport)}
    if isinstance(transport, Dense):
        return "dense"
    if isinstance(transport, Events | Spikes):
        kind = "events" if isinstance(transport, Events) else "spikes"
        values: dict[str, Any] = {"kind": kind}
        for f in fields(transport):
            value = described(getattr(transport, f.name))
            if value is not None:
                values[f.name] = value
        return values
    return transport


def _transport(given: Any) -> Transport:
    """Return a message transport from an object, a name, or a mapping with a `kind`."""
    if isinstance(given, Dense | Events | Spikes):
        return given
    if isinstance(given, str):
        return _transport({"kind": given})
    if not isinstance(given, Mapping):
        raise ModelError(
            f"transport is a {type(given).__name__}; allowed: Dense(), Events(theta=...), "
            f"Spikes(quantum=...), one of {', '.join(map(repr, KINDS))}, "
            "or {projection: one of these}"
        )
    keys = dict(given)
    name = keys.pop("kind", None)
    if not isinstance(name, str) or name not in KINDS:
        raise unknown("transport", name, KINDS)
    kind = KINDS[name]
    allowed = [f.name for f in fields(kind)]
    for key in keys:
        if key not in allowed:
            raise unknown(f"key of transport {name!r}", key, allowed)
    made: Transport = kind(**keys)
    return made


def _thresholds(name: str, given: Any) -> Any:
    """Return a threshold, or a hashable set of (population, threshold)."""
    if isinstance(given, Mapping) and set(given) & ADAPTIVE_KEYS:
        for key in given:
            if key not in ADAPTIVE_KEYS:
                raise unknown(f"key of an adaptive {name}", key, ADAPTIVE_KEYS)
        return Adaptive(**given)
    if isinstance(given, Mapping):
        return frozenset((population, _thresholds(name, one)) for population, one in given.items())
    if isinstance(given, frozenset | Adaptive):
        return given
    if isinstance(given, str) and given == ADAPTIVE:
        return Adaptive()
    return number(name, given, least=0, try_="0.01")


def _check_quanta(name: str, given: Any) -> None:
    """Check that a quantum, or every quantum of a mapping, is a positive number."""
    values = given.values() if isinstance(given, Mapping) else [given]
    for value in values:
        if isinstance(value, str | Adaptive):
            allowed = "a number above 0: spikes have a fixed size"
            raise out_of_range(name, value, allowed, "0.01")
        number(name, value, above=0, try_="0.01")


def _forward(rule: Events | Spikes) -> Any:
    """Return the threshold of x: one value, or a set of (population, value)."""
    if isinstance(rule, Events):
        return rule.theta
    return rule.quantum


def _threshold_of(rule: Events | Spikes, variable: str, population: str) -> Threshold:
    """Return one population's threshold in one direction; that of x if none is given for delta."""
    given = rule.backward
    if variable == FORWARD or given is None:
        given = _forward(rule)
    if isinstance(given, frozenset):
        given = dict(given).get(population, DEFAULT_THRESHOLD)
    threshold: Threshold = given
    return threshold


def _populations(rule: Transport) -> list[str]:
    """Return the names of the populations in a rule's thresholds, for checks."""
    if isinstance(rule, Dense):
        return []
    names: list[str] = []
    for given in (_forward(rule), rule.backward):
        if isinstance(given, frozenset):
            names += [population for population, _ in given]
    return names
