"""Imperfections of a circuit: noise, slow or lost messages, unequal time constants, fixed signs.

Each is a small frozen dataclass for `Simulation(imperfections=[...])`; they can be combined.
Messages are x forward and delta = sigma'(a) mu backward. A changed message changes the net inputs
and the feedback computed from it, and what plasticity reads; a unit's own state is unaffected.
Imperfections of messages act in the order in which they are given, a delay last. Messages of
clamped inputs are data and do not change, except that `LowPass` filters them for plasticity.

`equations/imperfections` combines all imperfections of a simulation. Start at `StateNoise`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import Any, ClassVar

from neurosim.arguments import checked_methods
from neurosim.errors import ModelError, number, out_of_range, shown, unknown, whole
from neurosim.model.flow import seconds
from neurosim.model.formulas import parse, to_text
from neurosim.model.methods import EXPONENTIAL_EULER
from neurosim.model.schedules import MOST_DELAY, delay_steps

Statement = tuple[str, str]  # the variable that is assigned, and the expression
HELD, ZERO = "held", "zero"
ROUNDED, STOCHASTIC = "rounded", "stochastic"
BOX = "box"


@dataclass(frozen=True)
class StateNoise:
    """Noise on outputs and multipliers, white or with a correlation time (Ornstein-Uhlenbeck).

    It needs a method that takes a step by one evaluation: euler, semi_implicit or
    exponential_euler.

    Parameters
    ----------
    sd : float
        Standard deviation at stationarity, >= 0, that the noise alone gives a unit with leak 1/tau.
        It depends neither on the step nor on `correlation`.
    correlation : time, optional
        Correlation time of the noise, > 0; white noise if None.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    A step multiplies the state of a unit with leak 1/tau by r: 1 - dt/tau with Euler steps,
    e^(-dt/tau) with exponential ones. White noise adds sd sqrt(1 - r²) N(0, 1), which keeps the
    variance at sd². Correlated noise is multiplied by c = e^(-dt/correlation) and adds
    sd sqrt(1 - c²) N(0, 1), its exact update. The unit adds it with the factor
    sqrt((1 - r²) (1 - r c)/(1 + r c)), which again keeps the variance at sd².
    """

    sd: float
    correlation: Any = None

    def __post_init__(self) -> None:
        _keep(self, "sd", number("state_noise.sd", self.sd, least=0, try_="0.1"))
        if self.correlation is not None:
            _keep(self, "correlation", seconds(self.correlation, "state_noise.correlation"))

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared parameters in `equations`."""
        values = {"state_noise": self.sd}
        if self.correlation is not None:
            values["correlation"] = self.correlation
        return values

    def term(self, variable: str, method: str) -> str:
        """Return the term to add to dx/dt or dlam/dt, 1/s; with leak 1/tau the variance is sd²."""
        tau = f"tau_{variable}"
        exponential = method == EXPONENTIAL_EULER
        if self.correlation is None:
            # an exponential step is exact in the leak, an Euler step lacks dt/2tau of the damping
            density = f"2/{tau}" if exponential else f"(2 - dt/{tau})/{tau}"
            return f"state_noise*sqrt({density})*xi_{variable}"
        left = f"exp(-dt/{tau})" if exponential else f"(1 - dt/{tau})"
        both = f"{left}*exp(-dt/correlation)"
        gain = f"sqrt((1 + {left})/(1 - {left})*(1 - {both})/(1 + {both}))"
        return f"noise_{variable}*{gain}/{tau}"

    @property
    def leaks(self) -> dict[str, str]:
        """Leaks of the noise's own states, 1/s, in which their steps are exact."""
        if self.correlation is None:
            return {}
        return {"noise_x": "1/correlation", "noise_lam": "1/correlation"}

    @property
    def equations(self) -> list[str]:
        """Equations of the noise's parameters and, if it is correlated, of its state."""
        if self.correlation is None:
            return ["state_noise : 1 (shared)"]
        lines = []
        for v in ("x", "lam"):
            white = f"state_noise*sqrt(2/correlation)*xi_{v}"
            lines.append(f"dnoise_{v}/dt = -noise_{v}/correlation + {white} : 1")
        return [*lines, "correlation : second (shared)", "state_noise : 1 (shared)"]


@dataclass(frozen=True)
class MessageNoise:
    """White noise on every message: drawn anew at every step, the same for all receivers.

    Parameters
    ----------
    sd : float
        Standard deviation of the noise on x forward and on delta backward, >= 0.

    Raises
    ------
    ModelError
        A value out of range.
    """

    sd: float
    draws: ClassVar[bool] = True
    arrays: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _keep(self, "sd", number("message_noise.sd", self.sd, least=0, try_="0.1"))

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared parameters in `sent`."""
        return {"message_noise": self.sd}

    def sent(self, variable: str, given: str) -> list[Statement]:
        """Return statements that compute the message from `given`; the last one assigns it."""
        return [(f"noisy_{variable}", f"{given} + message_noise*randn()")]


@checked_methods("__init__")
@dataclass(frozen=True)
class LostMessages:
    """Random loss of messages: at each step each unit's message is lost for all receivers at once.

    Parameters
    ----------
    share : float
        Probability of a loss, from 0 to 1.
    read : "held" or "zero"
        Value that receivers read instead: the last message that arrived (at first 0), or 0.

    Raises
    ------
    ModelError
        A value out of range.
    """

    share: float
    read: str = HELD
    draws: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _keep(self, "share", number("lost_messages.share", self.share, least=0, most=1, try_="0.1"))
        if self.read not in (HELD, ZERO):
            raise unknown("lost_messages.read", self.read, (HELD, ZERO))

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared parameters in `sent`."""
        return {"lost": self.share}

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the variables that a population needs for each direction."""
        return ("passed",) if self.read == HELD else ()

    def sent(self, variable: str, given: str) -> list[Statement]:
        """Return statements that compute the message from `given`; the last one assigns it."""
        passed = f"{given}*passes_{variable}"
        if self.read == HELD:
            passed += f" + passed_{variable}*(1 - passes_{variable})"
        return [
            (f"passes_{variable}", "1.0*int(rand() >= lost)"),
            (f"passed_{variable}", passed),
        ]


@checked_methods("__init__")
@dataclass(frozen=True)
class Quantised:
    """Messages rounded to whole multiples of a quantum.

    Parameters
    ----------
    quantum : float
        Quantum of x and delta, unit 1, > 0.
    how : "rounded" or "stochastic"
        rounded: to the nearest multiple, halves up. stochastic: at random up or down, such that the
        mean is the message.

    Raises
    ------
    ModelError
        A value out of range.
    """

    quantum: float
    how: str = ROUNDED
    arrays: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        _keep(self, "quantum", number("quantised.quantum", self.quantum, above=0, try_="0.1"))
        if self.how not in (ROUNDED, STOCHASTIC):
            raise unknown("quantised.how", self.how, (ROUNDED, STOCHASTIC))

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared parameters in `sent`."""
        return {"quantum": self.quantum}

    @property
    def draws(self) -> bool:
        """Whether the rounding is random."""
        return self.how == STOCHASTIC

    def sent(self, variable: str, given: str) -> list[Statement]:
        """Return statements that compute the message from `given`; the last one assigns it."""
        up = "rand()" if self.draws else "0.5"
        return [(f"whole_{variable}", f"quantum*floor({given}/quantum + {up})")]


@dataclass(frozen=True)
class Delay:
    """Delayed messages: x on its way to the postsynaptic unit, delta to the presynaptic one.

    A synapse is located at its postsynaptic unit. Its plasticity reads that unit's delta without
    delay, and x with the delay. Before the first message arrives, receivers read 0.

    Parameters
    ----------
    steps : int, optional
        Delay in steps, >= 1.
    time : time, optional
        Delay in place of `steps`, > 0, rounded to whole steps, at least one.

    Raises
    ------
    ModelError
        Both or neither of `steps` and `time`, or a value out of range.
    """

    steps: int | None = None
    time: Any = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.time is None):
            raise ModelError(
                f"delay has steps = {shown(self.steps)} and time = {shown(self.time)}; "
                "allowed: one of them"
            )
        if self.time is not None:
            _keep(self, "time", seconds(self.time, "delay.time"))
            return
        steps: Any = self.steps
        if isinstance(steps, float) and steps.is_integer():
            steps = int(steps)  # the values of a sweep may be floats such as 2.0
        _keep(self, "steps", whole("delay.steps", steps, 1))
        if steps > MOST_DELAY:
            raise out_of_range("delay.steps", steps, f"1 to {MOST_DELAY}")

    def whole(self, dt: float) -> int:
        """Return the delay in steps of `dt` s."""
        if self.steps is not None:
            return self.steps
        return delay_steps(self.time, dt)


@dataclass(frozen=True)
class TimeConstants:
    """Unequal time constants: every unit has its own tau_x and tau_lam, log-normally distributed.

    They are drawn once from the simulation's seed, and are the same for all patterns.

    Parameters
    ----------
    spread : float
        Standard deviation of log(tau), >= 0; the median is the flow's tau.

    Raises
    ------
    ModelError
        A value out of range.
    """

    spread: float

    def __post_init__(self) -> None:
        _keep(self, "spread", number("time_constants.spread", self.spread, least=0, try_="0.1"))


@checked_methods("__init__")
@dataclass(frozen=True)
class Derivative:
    """Surrogate derivative: another factor in place of sigma'(a) in delta.

    Linear populations keep the factor 1.

    Parameters
    ----------
    expression : str
        ``"box"``, which is 1 where abs(a) <= half_width and 0 elsewhere, or a plain formula in `a`
        such as ``"1/(1 + abs(a))"``.
    half_width : float, optional
        Half-width of the box, > 0; 1 if None, `inf` for a factor of 1 everywhere. None beside a
        formula.

    Raises
    ------
    ModelError
        Text that is not a plain formula, a value out of range, or a half-width beside a formula.
    """

    expression: str = BOX
    half_width: float | None = None

    def __post_init__(self) -> None:
        if self.expression == BOX:
            width = 1.0 if self.half_width is None else self.half_width
            if width != inf:
                width = number("derivative.half_width", width, above=0, try_="0.1")
            _keep(self, "half_width", width)
            return
        if self.half_width is not None:
            raise ModelError(
                f"derivative.half_width = {self.half_width!r} belongs to expression = 'box'; "
                f"allowed with {self.expression!r}: None"
            )
        parse(self.expression, ("a",), "derivative")

    @property
    def text(self) -> str:
        """The factor as an expression in Brian2's notation."""
        if self.expression != BOX:
            return to_text(parse(self.expression, ("a",), "derivative"))
        if isinf(self.half_width or 0.0):
            return "1.0"
        return "1.0*int(abs(a) <= half_width)"

    @property
    def values(self) -> dict[str, float]:
        """Values of the shared parameters in `text`."""
        if "half_width" not in self.text:
            return {}
        return {"half_width": float(self.half_width or 0.0)}


@dataclass(frozen=True)
class Dale:
    """Dale's law: all outgoing weights of a neuron have the same sign.

    Training begins by giving every weight the sign of its presynaptic neuron. A weight that would
    later cross 0 in a step becomes 0. Which neurons are inhibitory is drawn from the simulation's
    seed. Fixed weights (`plastic=False`) keep their values and determine the sign of their neuron.

    Parameters
    ----------
    inhibitory : float
        Probability that a neuron or an input unit is inhibitory, from 0 to 1. Weights of inhibitory
        ones are at most 0, those of all others at least 0.

    Raises
    ------
    ModelError
        A value out of range.
    """

    inhibitory: float = 0.2

    def __post_init__(self) -> None:
        share = number("dale.inhibitory", self.inhibitory, least=0, most=1, try_="0.1")
        _keep(self, "inhibitory", share)


@dataclass(frozen=True)
class LowPass:
    """Low-pass filter in front of plasticity, a remedy for noise on messages.

    Plasticity reads filtered values of x and delta instead of the last messages.

    Parameters
    ----------
    time : time
        Time constant of the filter, > 0; 2 tau_x is enough against `MessageNoise`.

    Raises
    ------
    ModelError
        A value out of range.
    """

    time: Any

    def __post_init__(self) -> None:
        _keep(self, "time", seconds(self.time, "low_pass.time"))


@dataclass(frozen=True)
class Prospective:
    """Prospective messages, one tau ahead of a unit's state: x + tau dx/dt and lam + tau dlam/dt.

    Relaxation, tau dx/dt = sigma(a) - x, is a low-pass filter of sigma(a), and x + tau dx/dt undoes
    it. So with kappa = 0 (and gamma = 1) receivers read sigma(a) itself, and likewise for lam. With
    kappa > 0 the message is an extrapolation. delta is computed from x and lam one tau ahead. The
    rates of change are those for the last net input and feedback that the unit received.

    Parameters
    ----------
    time : time, optional
        Time constant with which each unit estimates its rates of change, > 0; they are exact if
        None.

    Raises
    ------
    ModelError
        A value out of range.

    Notes
    -----
    The estimate is a low-pass difference: x + (tau/time)(x - past), with time d(past)/dt = x -
    past.

    The derivation from the flow's own equations is given above. The authors of latent equilibrium
    (Haider, Ellenberger, Kriener, Jordan, Senn & Petrovici, NeurIPS 2021), whose neurons send
    similar signals, announce a patent application, WO2023046504A1. This matters to those who build
    such circuits rather than study them.
    """

    time: Any = None

    def __post_init__(self) -> None:
        if self.time is not None:
            _keep(self, "time", seconds(self.time, "prospective.time"))


Stage = MessageNoise | LostMessages | Quantised
Imperfection = StateNoise | Stage | Delay | TimeConstants | Derivative | Dale | LowPass
KINDS: dict[str, type[Any]] = {
    "state_noise": StateNoise,
    "message_noise": MessageNoise,
    "lost_messages": LostMessages,
    "quantised": Quantised,
    "delay": Delay,
    "time_constants": TimeConstants,
    "derivative": Derivative,
    "dale": Dale,
    "low_pass": LowPass,
}


def kind_of(item: Imperfection) -> str:
    """Return the name of an imperfection's kind."""
    names = {kind: name for name, kind in KINDS.items()}
    return names[type(item)]


def _keep(item: Any, name: str, value: Any) -> None:
    """Set a field of a frozen dataclass during its construction."""
    object.__setattr__(item, name, value)
