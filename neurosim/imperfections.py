"""What a circuit may lack: noise, slow or lost messages, unequal clocks, wrong slopes, signs that must stay.

Each is a small frozen dataclass for `Simulation(imperfections=[...])`; they combine. Messages are what synapses
hear: x forward, delta = sigma'(a) mu back. What changes a message changes the net inputs and the feedback that are made
of it, and what plasticity uses; a unit still knows its own state. Those of messages act in the order in which they are
given, a delay last. Data are data: what clamped inputs send arrives as it is (`LowPass` filters it too). Start at
`StateNoise`; `Imperfections` is what an engine reads, as equations and statements in Brian2's notation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import inf, isinf
from typing import Any, ClassVar

import numpy as np

from neurosim import expressions
from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.flow import seconds
from neurosim.network import Network

Array = np.ndarray
Statement = tuple[str, str]  # what is assigned, and the expression
DIRECTIONS = ("x", "delta")  # the variable that travels forward, and back
ONCE_A_STEP = ("euler", "exponential_euler")  # methods whose messages are sent once a step
NOISELESS = ("heun", "rk4")  # methods that noise has no meaning for


@dataclass(frozen=True)
class StateNoise:
    """Noise on outputs and multipliers, white or of a correlation time (Ornstein-Uhlenbeck).

    Parameters
    ----------
    sd : float
        Stationary standard deviation of a unit that does nothing but relax with its tau, whatever the correlation.
    correlation : time, optional
        Of the noise; white if None.
    """

    sd: float
    correlation: Any = None

    def __post_init__(self) -> None:
        _keep(self, "sd", _number("state_noise.sd", self.sd))
        if self.correlation is not None:
            _keep(self, "correlation", seconds(self.correlation, "state_noise.correlation"))

    @property
    def values(self) -> dict[str, float]:
        """Of the shared parameters of `equations`."""
        return {"state_noise": self.sd} | ({} if self.correlation is None else {"correlation": self.correlation})

    def term(self, variable: str) -> str:
        """What is added to dx/dt or dlam/dt, 1/s: a unit with leak 1/tau then has the variance sd²."""
        if self.correlation is None:
            return f"state_noise*sqrt(2/tau_{variable})*xi_{variable}"
        return f"noise_{variable}*sqrt((correlation + tau_{variable})/correlation)/tau_{variable}"

    @property
    def equations(self) -> list[str]:
        """Of the noise itself, where it has a state."""
        if self.correlation is None:
            return ["state_noise : 1 (shared)"]
        own = [
            f"dnoise_{v}/dt = -noise_{v}/correlation + state_noise*sqrt(2/correlation)*xi_{v} : 1" for v in ("x", "lam")
        ]
        return [*own, "correlation : second (shared)", "state_noise : 1 (shared)"]


@dataclass(frozen=True)
class MessageNoise:
    """White noise on every message, drawn anew at every step, one draw for all who hear the unit.

    Parameters
    ----------
    sd : float
        Standard deviation, of x forward and of delta back.
    """

    sd: float
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _keep(self, "sd", _number("message_noise.sd", self.sd))

    values = property(lambda self: {"message_noise": self.sd})
    arrays: ClassVar[tuple[str, ...]] = ()

    def said(self, variable: str, given: str) -> list[Statement]:
        """What becomes of a message."""
        return [(f"noisy_{variable}", f"{given} + message_noise*randn()")]


@dataclass(frozen=True)
class LostMessages:
    """Each message of each unit is lost at each step with some probability, for all who would hear it.

    Parameters
    ----------
    share : float
        Probability, from 0 to 1.
    read : "held" or "zero"
        What is heard in its place: the last message that arrived (at first 0), or nothing.
    """

    share: float
    read: str = "held"
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _keep(self, "share", _number("lost_messages.share", self.share, most=1.0))
        if self.read not in ("held", "zero"):
            raise unknown("lost_messages.read", self.read, ("held", "zero"))

    values = property(lambda self: {"lost": self.share})

    @property
    def arrays(self) -> tuple[str, ...]:
        """What a population keeps of each direction."""
        return ("passed",) if self.read == "held" else ()

    def said(self, variable: str, given: str) -> list[Statement]:
        """What becomes of a message."""
        held = f" + passed_{variable}*(1 - passes_{variable})" if self.read == "held" else ""
        return [
            (f"passes_{variable}", "1.0*int(rand() >= lost)"),
            (f"passed_{variable}", f"{given}*passes_{variable}{held}"),
        ]


@dataclass(frozen=True)
class Quantised:
    """Messages in whole multiples of a quantum.

    Parameters
    ----------
    quantum : float
        Unit 1.
    how : "rounded" or "stochastic"
        To the nearest multiple, halves up; or to one of the two around it, such that the mean is the message.
    """

    quantum: float
    how: str = "rounded"

    def __post_init__(self) -> None:
        _keep(self, "quantum", _number("quantised.quantum", self.quantum, above=True))
        if self.how not in ("rounded", "stochastic"):
            raise unknown("quantised.how", self.how, ("rounded", "stochastic"))

    values = property(lambda self: {"quantum": self.quantum})
    arrays: ClassVar[tuple[str, ...]] = ()

    @property
    def draws(self) -> bool:
        """Whether there is chance in it."""
        return self.how == "stochastic"

    def said(self, variable: str, given: str) -> list[Statement]:
        """What becomes of a message."""
        up = "rand()" if self.draws else "0.5"
        return [(f"whole_{variable}", f"quantum*floor({given}/quantum + {up})")]


@dataclass(frozen=True)
class Delay:
    """Messages arrive later: x at the synapses onto the next unit, and what these send back at the unit before.

    A synapse is where its postsynaptic unit is, and knows that unit's delta at once: both factors of plasticity are
    then of one moment. Before the first message has arrived 0 is heard.

    Parameters
    ----------
    steps : int, optional
        At least 1.
    time : time, optional
        In place of `steps`; in whole steps, at least one.
    """

    steps: int | None = None
    time: Any = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.time is None):
            raise ModelError(f"delay has steps = {self.steps!r} and time = {self.time!r}; allowed: one of them")
        if self.steps is not None and (isinstance(self.steps, bool) or int(self.steps) != self.steps or self.steps < 1):
            raise out_of_range("delay.steps", self.steps, "a whole number >= 1", "1")
        if self.time is not None:
            _keep(self, "time", seconds(self.time, "delay.time"))

    def whole(self, dt: float) -> int:
        """Steps between speaking and being heard."""
        return int(self.steps) if self.steps is not None else max(1, round(self.time / dt))


@dataclass(frozen=True)
class TimeConstants:
    """Every unit has time constants tau_x and tau_lam of its own, log-normal around the flow's.

    Parameters
    ----------
    spread : float
        Standard deviation of log tau; the median is the flow's. Drawn by the simulation's seed, alike for all patterns.
    """

    spread: float

    def __post_init__(self) -> None:
        _keep(self, "spread", _number("time_constants.spread", self.spread))


@dataclass(frozen=True)
class Derivative:
    """Something else in place of sigma'(a) in what is sent back; of linear populations the slope stays 1.

    Parameters
    ----------
    expression : str
        ``"box"``: 1 where \\|a\\| <= half_width, else 0; or a plain formula in `a`, such as ``"1/(1 + abs(a))"``.
    half_width : float, optional
        Of the box, 1 if None; `inf` for a slope of 1 everywhere.
    """

    expression: str = "box"
    half_width: float | None = None

    def __post_init__(self) -> None:
        if self.expression == "box":
            given = 1.0 if self.half_width is None else self.half_width
            number = given if given == inf else _number("derivative.half_width", given, above=True)
            _keep(self, "half_width", number)
            return
        if self.half_width is not None:
            raise ModelError(f"derivative.half_width = {self.half_width!r} belongs to expression = 'box'")
        expressions.parse(self.expression, ("a",), "derivative")

    @property
    def text(self) -> str:
        """In Brian2's notation."""
        if self.expression != "box":
            return expressions.to_text(expressions.parse(self.expression, ("a",), "derivative"))
        return "1.0" if isinf(self.half_width or 0.0) else "1.0*int(abs(a) <= half_width)"

    @property
    def values(self) -> dict[str, float]:
        """Of the shared parameters that `text` reads."""
        return {"half_width": float(self.half_width or 0.0)} if "half_width" in self.text else {}


@dataclass(frozen=True)
class Dale:
    """Each presynaptic neuron's outgoing weights keep one sign (Dale's law): what would cross 0 stays at 0.

    Training begins by giving the weights as they are the sign of their neuron; then every step of a weight ends on its
    side. Which neurons inhibit is drawn by the simulation's seed. Weights that rest stay as they are.

    Parameters
    ----------
    inhibitory : float
        Share of neurons, inputs too, whose weights are at most 0; the others' are at least 0.
    """

    inhibitory: float = 0.2

    def __post_init__(self) -> None:
        _keep(self, "inhibitory", _number("dale.inhibitory", self.inhibitory, most=1.0))


@dataclass(frozen=True)
class LowPass:
    """The remedy: plasticity reads a low-pass of each of its two factors, in place of what was just heard.

    Parameters
    ----------
    time : time
        Time constant; 2 tau_x cures noise on messages.
    """

    time: Any

    def __post_init__(self) -> None:
        _keep(self, "time", seconds(self.time, "low_pass.time"))


@dataclass(frozen=True)
class Prospective:
    """Neighbours read where a unit is going: x + tau dx/dt and lam + tau dlam/dt.

    Relaxation, tau dx/dt = sigma(a) - x, is a low-pass filter of sigma(a), and x + tau dx/dt undoes it: with kappa = 0
    what is heard is sigma(a) itself, and likewise of lam; where kappa > 0 it is a look-ahead. delta is that of both
    states one tau ahead. Rates are by what the unit knows: the net input and the feedback that it heard last.

    Parameters
    ----------
    time : time, optional
        The rate is then the unit's own estimate, a low-pass difference: x + (tau/time)(x - past), with
        time d(past)/dt = x - past. Exact if None.

    Notes
    -----
    Derived from the flow's own equations, as above. The authors of latent equilibrium (Haider, Ellenberger, Kriener,
    Jordan, Senn & Petrovici, NeurIPS 2021), who send such signals in networks of neurons, give notice of a patent
    application, WO2023046504A1: mind it where this is built rather than studied.
    """

    time: Any = None

    def __post_init__(self) -> None:
        if self.time is not None:
            _keep(self, "time", seconds(self.time, "prospective.time"))


Stage = MessageNoise | LostMessages | Quantised
Imperfection = StateNoise | Stage | Delay | TimeConstants | Derivative | Dale | LowPass
KINDS: dict[str, type[Any]] = {
    "state_noise": StateNoise, "message_noise": MessageNoise, "lost_messages": LostMessages, "quantised": Quantised,
    "delay": Delay, "time_constants": TimeConstants, "derivative": Derivative, "dale": Dale, "low_pass": LowPass,
}  # fmt: skip


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
    def speaks(self) -> bool:
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

    def heard(self, variable: str) -> str:
        """What receivers of x or delta know."""
        return f"heard_{variable}" if self.speaks else variable

    def known(self, variable: str) -> str:
        """What the synapses onto a unit know of x at the other end, or of its own delta, which need not travel."""
        return "said_delta" if variable == "delta" and self.of(Delay) else self.heard(variable)

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
            x, delta = ("x" if clamped else self.heard("x")), self.known("delta")
            slow = [f"dslow_x/dt = ({x} - slow_x)/low_pass : 1", "low_pass : second (shared)"]
            slow += [] if clamped else [f"dslow_delta/dt = ({delta} - slow_delta)/low_pass : 1"]
        if clamped:
            return slow
        noise = self.of(StateNoise)
        lines = [*slow, *(noise.equations if noise else ())]
        if self.prospective and self.prospective.time:
            lines += [f"dpast_{v}/dt = ({v} - past_{v})/look : 1" for v in ("x", "lam")] + ["look : second (shared)"]
        lines += [f"{name} : 1 (shared)" for item in self._valued for name in item.values]
        kept = [name for stage in self.stages for name in stage.arrays]
        kept += (["heard"] if self.speaks else []) + (["said"] if self.of(Delay) else [])
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
        return found + [f"{name}_{v}" for stage in self.stages for name in stage.arrays for v in DIRECTIONS]

    def constants(self, clamped: bool) -> dict[str, float]:
        """Values of the shared parameters of `equations`."""
        slow = self.of(LowPass)
        found = {"low_pass": slow.time} if slow else {}
        if clamped:
            return found
        found |= {"look": self.prospective.time} if self.prospective and self.prospective.time else {}
        for item in (*self._valued, *([self.of(StateNoise)] if self.of(StateNoise) else [])):
            found |= item.values
        return found

    @property
    def _valued(self) -> list[Any]:
        return [*self.stages, *([self.of(Derivative)] if self.of(Derivative) else [])]

    def said(self, variable: str, rates: Mapping[str, str]) -> list[Statement]:
        """How a message comes about, of a population whose right-hand sides are `rates` (1/s, without noise)."""
        if not self.speaks:
            return []
        statements, name = [], variable
        if self.prospective:
            name = f"ahead_{variable}"
            statements.append((name, self._ahead(variable, rates)))
        for stage in self.stages:
            statements += stage.said(variable, name)
            name = statements[-1][0]
        return [*statements, (f"{'said' if self.of(Delay) else 'heard'}_{variable}", name)]

    def _ahead(self, variable: str, rates: Mapping[str, str]) -> str:
        """A unit's message one tau ahead; delta = sigma' (lam + rho (x - sigma)) is linear in both states."""
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
        factors: Array = np.exp(spread * np.random.default_rng([self.seed, number, 1]).standard_normal((2, size)))
        return factors

    def signs(self, net: Network) -> dict[str, Array]:
        """+1 or -1 of every neuron, by population."""
        share = self.of(Dale).inhibitory
        rngs = {n: np.random.default_rng([self.seed, i, 2]) for i, n in enumerate(net.populations)}
        return {n: np.where(rng.random(net.populations[n].size) < share, -1.0, 1.0) for n, rng in rngs.items()}

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
            raise ModelError(f"imperfections have {kinds.count(kind)} of {kind.__name__}; allowed: one of each kind")
    if isinstance(prospective, Prospective) or prospective is None or prospective is False:
        return Imperfections(found, prospective or None, seed)
    return Imperfections(found, Prospective(None if prospective is True else prospective), seed)


def check(imperfections: Imperfections, net: Network, method: str, events: Iterable[str]) -> None:
    """Refuse what has no meaning together; `events` are projections whose messages are not dense.

    Raises
    ------
    ModelError
    """
    own = imperfections
    what = _words(own)
    if not own:
        return
    if free := [n for n in net.neurons if net.populations[n].free]:
        raise ModelError(f"{what} with {free[0]}, which has no constraint and no state; allowed: constraint='lin'")
    messages = own.speaks or own.of(LowPass) is not None
    if messages and (spoken := list(events)):
        raise ModelError(
            f"{what} with events over {spoken[0]}: these act on dense messages; allowed: transport='dense'; try "
            "Events(delay=...), Spikes(quantum=...)"
        )
    if messages and method not in ONCE_A_STEP:
        raise ModelError(
            f"{what} with method = {method!r}, which sends messages anew within a step; allowed: "
            f"{', '.join(map(repr, ONCE_A_STEP))}"
        )
    if own.draws and method in (*NOISELESS, "adaptive"):
        raise ModelError(f"noise needs method='euler': {method} has no meaning for it")
    if own.prospective and own.prospective.time is None:
        for n in net.neurons:
            if net.populations[n].constraint != "lin":
                raise ModelError(
                    f"prospective with constraint {net.populations[n].constraint!r} of {n}: the look-ahead is derived "
                    "for G = g; allowed: constraint='lin'"
                )


def _words(imperfections: Imperfections) -> str:
    names = {kind: name for name, kind in KINDS.items()}
    found = [names[type(i)] for i in imperfections.given] + (["prospective"] if imperfections.prospective else [])
    return ", ".join(found)


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
            raise ModelError(f"imperfection {kind!r} has {sorted(keys)}; allowed: {', '.join(allowed)}") from error
        return made
    raise ModelError(
        f"imperfections hold a {type(given).__name__}; allowed: {', '.join(k.__name__ for k in KINDS.values())}, or a "
        f"table with kind = one of {', '.join(map(repr, KINDS))}"
    )


def _described(item: Imperfection) -> dict[str, Any]:
    name = next(n for n, kind in KINDS.items() if isinstance(item, kind))
    own = {f.name: getattr(item, f.name) for f in fields(item)}
    return {"kind": name, **{k: v for k, v in own.items() if v is not None}}


def _keep(item: Any, name: str, value: Any) -> None:
    object.__setattr__(item, name, value)


def _number(name: str, value: Any, most: float = inf, above: bool = False) -> float:
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool) and 0 <= value <= most
    if not good or value == inf or (above and value == 0):
        allowed = f"a finite number {'above' if above else 'from'} 0" + ("" if most == inf else f" to {most:g}")
        raise out_of_range(name, value, allowed, "0.1")
    return float(value)
