"""What a circuit may lack: noise, slow or lost messages, unequal clocks, wrong slopes, signs that
must stay.

Each is a small frozen dataclass for `Simulation(imperfections=[...])`; they combine. Messages are
what synapses hear: x forward, delta = sigma'(a) mu back. What changes a message changes the net
inputs and the feedback that are made of it, and what plasticity uses; a unit still knows its own
state. Those of messages act in the order in which they are given, a delay last. Data are data: what
clamped inputs send arrives as it is (`LowPass` filters it too). Start at `StateNoise`; all of one
simulation together are in `circuit`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isinf
from typing import Any, ClassVar

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.model.formulas import parse, to_text
from neurosim.model.flow import seconds

Statement = tuple[str, str]  # what is assigned, and the expression


@dataclass(frozen=True)
class StateNoise:
    """Noise on outputs and multipliers, white or of a correlation time (Ornstein-Uhlenbeck).

    Parameters
    ----------
    sd : float
        Stationary standard deviation of a unit that does nothing but relax with its tau, whatever
        the correlation.
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
        return {"state_noise": self.sd} | (
            {} if self.correlation is None else {"correlation": self.correlation}
        )

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
            f"dnoise_{v}/dt = -noise_{v}/correlation + state_noise*sqrt(2/correlation)*xi_{v} : 1"
            for v in ("x", "lam")
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

    def sent(self, variable: str, given: str) -> list[Statement]:
        """What becomes of a message."""
        return [(f"noisy_{variable}", f"{given} + message_noise*randn()")]


@dataclass(frozen=True)
class LostMessages:
    """Each message of each unit is lost at each step with some probability, for all who would hear
    it.

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

    def sent(self, variable: str, given: str) -> list[Statement]:
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
        To the nearest multiple, halves up; or to one of the two around it, such that the mean is
        the message.
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

    def sent(self, variable: str, given: str) -> list[Statement]:
        """What becomes of a message."""
        up = "rand()" if self.draws else "0.5"
        return [(f"whole_{variable}", f"quantum*floor({given}/quantum + {up})")]


@dataclass(frozen=True)
class Delay:
    """Messages arrive later: x at the synapses onto the next unit, and what these send back at the
    unit before.

    A synapse is where its postsynaptic unit is, and knows that unit's delta at once: both factors
    of plasticity are then of one moment. Before the first message has arrived 0 is heard.

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
            raise ModelError(
                f"delay has steps = {self.steps!r} and time = {self.time!r}; allowed: one of them"
            )
        if self.steps is not None and (
            isinstance(self.steps, bool) or int(self.steps) != self.steps or self.steps < 1
        ):
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
        Standard deviation of log tau; the median is the flow's. Drawn by the simulation's seed,
        alike for all patterns.
    """

    spread: float

    def __post_init__(self) -> None:
        _keep(self, "spread", _number("time_constants.spread", self.spread))


@dataclass(frozen=True)
class Derivative:
    """Something else in place of sigma'(a) in what is sent back; of linear populations the slope
    stays 1.

    Parameters
    ----------
    expression : str
        ``"box"``: 1 where \\|a\\| <= half_width, else 0; or a plain formula in `a`, such as ``"1/(1
        + abs(a))"``.
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
            raise ModelError(
                f"derivative.half_width = {self.half_width!r} belongs to expression = 'box'"
            )
        parse(self.expression, ("a",), "derivative")

    @property
    def text(self) -> str:
        """In Brian2's notation."""
        if self.expression != "box":
            return to_text(parse(self.expression, ("a",), "derivative"))
        return "1.0" if isinf(self.half_width or 0.0) else "1.0*int(abs(a) <= half_width)"

    @property
    def values(self) -> dict[str, float]:
        """Of the shared parameters that `text` reads."""
        return {"half_width": float(self.half_width or 0.0)} if "half_width" in self.text else {}


@dataclass(frozen=True)
class Dale:
    """Each presynaptic neuron's outgoing weights keep one sign (Dale's law): what would cross 0
    stays at 0.

    Training begins by giving the weights as they are the sign of their neuron; then every step of a
    weight ends on its side. Which neurons inhibit is drawn by the simulation's seed. Weights that
    rest stay as they are.

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
    """The remedy: plasticity reads a low-pass of each of its two factors, in place of what was just
    heard.

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

    Relaxation, tau dx/dt = sigma(a) - x, is a low-pass filter of sigma(a), and x + tau dx/dt undoes
    it: with kappa = 0 what is heard is sigma(a) itself, and likewise of lam; where kappa > 0 it is
    a look-ahead. delta is that of both states one tau ahead. Rates are by what the unit knows: the
    net input and the feedback that it heard last.

    Parameters
    ----------
    time : time, optional
        The rate is then the unit's own estimate, a low-pass difference: x + (tau/time)(x - past),
        with time d(past)/dt = x - past. Exact if None.

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


def _keep(item: Any, name: str, value: Any) -> None:
    object.__setattr__(item, name, value)


def _number(name: str, value: Any, most: float = inf, above: bool = False) -> float:
    good = (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and 0 <= value <= most
    )
    if not good or value == inf or (above and value == 0):
        allowed = f"a finite number {'above' if above else 'from'} 0" + (
            "" if most == inf else f" to {most:g}"
        )
        raise out_of_range(name, value, allowed, "0.1")
    return float(value)
