"""Flow: gains and time constants of the three coupled flows, and named presets.

Contains no network and runs nothing. Times are stored as float seconds; Brian2 quantities and text
such as ``"10 ms"`` are accepted too, without importing Brian2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import cos, inf, isfinite, pi, sin
from types import MappingProxyType
from typing import Any

from neurosim.arguments import checked
from neurosim.errors import ModelError, choice, out_of_range, unknown
from neurosim.model.frozen import FrozenDict
from neurosim.model.values import ByValue

DEFAULT_TIMES = MappingProxyType({"tau_x": 10e-3, "tau_lam": 10e-3, "tau_w": 200e-3})  # s
OTHERS = "*"  # key of a mapping of times: all populations that it does not name
UNITS = {
    "s": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "msecond": 1e-3,
    "us": 1e-6,
    "usecond": 1e-6,
}
_TIME = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([a-z]+)\s*")
# Brian2's exponents of m, kg, s, A, K, mol, cd
_SECOND = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
_DIMENSIONLESS = (0.0,) * 7
# arguments of the presets beside time constants
_PRESET_KEYS = {
    "augmented": ("rho",),
    "rotated": ("theta", "rho"),
    "local_propagation": ("rho", "rate", "ratio", "step"),
}


def seconds(value: Any, name: str, *, positive: bool = True) -> float:
    """Return a time in seconds, as a float.

    Parameters
    ----------
    value : Brian2 quantity, number of seconds, or text such as ``"10 ms"``
    name : str
        Name of the argument, for messages.
    positive : bool
        Whether 0 is refused.

    Raises
    ------
    ModelError
        The value is not a time, not finite, negative, or 0 where that is refused.

    Examples
    --------
    >>> seconds("10 ms", "tau_x")
    0.01
    """
    if isinstance(value, str):
        result = _parsed_time(value, name)
    elif isinstance(value, bool) or not _may_be_time(value):
        raise out_of_range(name, value, "a time", "10*ms")
    else:
        try:
            result = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise out_of_range(name, value, "a time in seconds", "10*ms") from error
    if not isfinite(result) or result < 0 or (positive and result == 0):
        sign = ">" if positive else ">="
        raise out_of_range(name, value, f"a finite time {sign} 0", "10*ms")
    return result


def _parsed_time(text: str, name: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None or match[2] not in UNITS:
        raise out_of_range(name, text, f"a number and one of {', '.join(UNITS)}", "'10 ms'")
    return float(match[1]) * UNITS[match[2]]


def _may_be_time(value: Any) -> bool:
    """Whether a value is a plain one, or a Brian2 quantity that is a time or dimensionless."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        return False  # float() would return a count of NumPy's own unit, such as ms
    return _exponents(value) in (_SECOND, _DIMENSIONLESS)


def _exponents(value: Any) -> tuple[float, ...]:
    """Return the exponents of a Brian2 quantity's dimensions; those of a number if it has none."""
    dimensions = getattr(value, "dim", None)
    if dimensions is None:
        return _DIMENSIONLESS
    return tuple(float(d) for d in getattr(dimensions, "_dims", ()))


def plain(value: Any) -> Any:
    """Return a Brian2 quantity, such as a rate, as a float in SI units; other values unchanged."""
    return float(value) if hasattr(value, "dim") and getattr(value, "shape", None) == () else value


def gain(name: str, value: Any) -> float:
    """Return a finite number >= 0 as a float, without a unit.

    Raises
    ------
    ModelError
        Any other value.
    """
    allowed = "a finite number >= 0"
    if isinstance(value, str | bool) or _exponents(value) != _DIMENSIONLESS:
        raise out_of_range(name, value, allowed)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise out_of_range(name, value, allowed) from error
    if not 0 <= number < inf:  # nor nan
        raise out_of_range(name, value, allowed)
    return number


Time = float | Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow(ByValue):
    """Gains (unit 1) and time constants (s) of the flows of arXiv 1808.06934.

    Parameters
    ----------
    kappa : float
        Gain of the saddle term, >= 0.
    gamma : float
        Gain of the relaxation term, >= 0; kappa and gamma must not both be 0.
    rho : float
        Weight of the augmentation (rho/2) G², >= 0 (Platt & Barr, NIPS 1987).
    tau_x : time, or {population: time}
        Time constant of the outputs, > 0. The key "*" of a mapping stands for all populations that
        it does not name; without it they have 10 ms.
    tau_lam : time, or {population: time}
        Time constant of the multipliers, > 0; a mapping as for `tau_x`.
    tau_w : time, or {population: time}
        Time constant of the weights into a population, > 0; a mapping as for `tau_x`, without "*"
        200 ms.

    Raises
    ------
    ModelError
        A gain or time out of range.

    Examples
    --------
    >>> Flow.augmented(rho=4.0, tau_x="20 ms").tau_lam
    0.005
    """

    kappa: float = 1.0
    gamma: float = 0.0
    rho: float = 0.0
    tau_x: Time = DEFAULT_TIMES["tau_x"]
    tau_lam: Time = DEFAULT_TIMES["tau_lam"]
    tau_w: Time = DEFAULT_TIMES["tau_w"]

    def __post_init__(self) -> None:
        for name in ("kappa", "gamma", "rho"):
            object.__setattr__(self, name, gain(f"flow.{name}", getattr(self, name)))
        if self.kappa + self.gamma == 0:
            raise ModelError(
                f"flow.kappa = flow.gamma = {self.gamma:g}: nothing would move; "
                "allowed: at least one > 0; try Flow.adjoint() or Flow.augmented()"
            )
        for name in DEFAULT_TIMES:
            times = _times(f"flow.{name}", getattr(self, name))
            object.__setattr__(self, name, times)

    def time(self, name: str, population: str) -> float:
        """Return `tau_x`, `tau_lam` or `tau_w` of one population, s."""
        value: Time = getattr(self, choice("time constant", name, DEFAULT_TIMES))
        if isinstance(value, Mapping):
            others = value.get(OTHERS, DEFAULT_TIMES[name])
            return value.get(population, others)
        return value

    def as_dict(self) -> dict[str, Any]:
        """Return the arguments as plain values, for files."""
        return asdict(self)

    @classmethod
    def arrow_hurwicz(cls, **times: Any) -> Flow:
        """Return the paper's plain descent and ascent, which is undamped where the loss is flat.

        Parameters
        ----------
        **times : time
            `tau_x`, `tau_lam` and `tau_w`.
        """
        return cls(kappa=1.0, gamma=0.0, rho=0.0, **times)

    @classmethod
    def augmented(cls, rho: float = 1.0, **times: Any) -> Flow:
        """Return the saddle flow with Platt-Barr damping.

        Parameters
        ----------
        rho : float
            Weight of the augmentation, >= 0.
        **times : time
            `tau_x`, `tau_lam` and `tau_w`. By default `tau_lam` is tau_x / max(1, rho) in every
            population, those that a mapping `tau_x` leaves out too.
        """
        if "tau_lam" not in times:
            scale = 1 / max(1.0, gain("flow.rho", rho))
            tau_x = _times("flow.tau_x", times.get("tau_x", DEFAULT_TIMES["tau_x"]))
            if isinstance(tau_x, Mapping):
                every = {OTHERS: DEFAULT_TIMES["tau_x"], **tau_x}
                times["tau_lam"] = {name: time * scale for name, time in every.items()}
            else:
                times["tau_lam"] = tau_x * scale
        return cls(kappa=1.0, gamma=0.0, rho=rho, **times)

    @classmethod
    def damped(cls, **times: Any) -> Flow:
        """Return saddle and relaxation terms in equal parts: kappa = gamma = 1.

        Parameters
        ----------
        **times : time
            `tau_x`, `tau_lam` and `tau_w`.
        """
        return cls(kappa=1.0, gamma=1.0, rho=0.0, **times)

    @classmethod
    def rotated(cls, theta: float = pi / 4, rho: float = 0.0, **times: Any) -> Flow:
        """Return kappa = cos theta, gamma = sin theta: between `arrow_hurwicz` and `adjoint`.

        Parameters
        ----------
        theta : float
            Angle in radians, from 0 (`arrow_hurwicz`) to pi/2 (`adjoint`).
        rho : float
            Weight of the augmentation, >= 0.
        **times : time
            `tau_x`, `tau_lam` and `tau_w`.
        """
        if not 0 <= gain("flow.theta", theta) <= pi / 2:
            raise out_of_range("theta", theta, "0 to pi/2 radians")
        kappa = max(cos(theta), 0.0) if theta < pi / 2 else 0.0
        return cls(kappa=kappa, gamma=sin(theta), rho=rho, **times)

    @classmethod
    def adjoint(cls, **times: Any) -> Flow:
        """Return pure relaxation: kappa = 0, gamma = 1.

        At dt = tau, one Euler step per layer makes the forward pass, and one more per layer the
        backward pass.

        Parameters
        ----------
        **times : time
            `tau_x`, `tau_lam` and `tau_w`.
        """
        return cls(kappa=0.0, gamma=1.0, rho=0.0, **times)

    @classmethod
    def local_propagation(
        cls,
        rho: float = 0.01,
        rate: float = 1e-3,
        ratio: float = 10.0,
        *,
        step: Any = 1e-3,
        **times: Any,
    ) -> Flow:
        """Return the flow of Local Propagation, for the schedule `LocalPropagation`.

        Adam moves each variable by about dt/tau per step, so the time constants follow from rates.

        Parameters
        ----------
        rho : float
            Weight of the paper's rho G², >= 0. The flow's own term is (rho/2) G², so its `rho` is
            twice this value.
        rate : float
            Learning rate of the weights, > 0: tau_w = step / rate.
        ratio : float
            Rate of outputs and multipliers over that of the weights, > 0: tau_x = tau_lam =
            tau_w / ratio.
        step : time
            The simulation's dt, > 0.
        **times : time
            `tau_x`, `tau_lam` and `tau_w`, in place of the derived values.

        References
        ----------
        Marra, Tiezzi, Melacci, Betti, Maggini & Gori, IJCNN 2020, arXiv 2002.07720.
        """
        for name, value in (("rate", rate), ("ratio", ratio)):
            if not gain(f"flow.{name}", value) > 0:
                raise out_of_range(f"flow.{name}", value, "a finite number > 0")
        tau_w = seconds(step, "flow.step") / float(rate)
        tau = tau_w / float(ratio)
        times = {"tau_w": tau_w, "tau_x": tau, "tau_lam": tau} | times
        return cls(kappa=1.0, gamma=0.0, rho=2 * gain("flow.rho", rho), **times)

    @classmethod
    @checked
    def from_preset(cls, preset: str, **overrides: Any) -> Flow:
        """Return a preset by name, with some of its arguments replaced.

        Time constants that a preset derives, such as `tau_lam` from rho, are derived from the new
        arguments.

        Parameters
        ----------
        preset : str
            One of `PRESETS`.
        **overrides
            Arguments of the preset or of `Flow`, in place of the defaults.

        Raises
        ------
        ModelError
            An unknown preset or key, with the nearest valid one.

        Examples
        --------
        >>> Flow.from_preset("augmented", rho=2.0).tau_lam
        0.005
        """
        if preset not in PRESETS:
            raise unknown("flow.preset", preset, PRESETS)
        own = _PRESET_KEYS.get(preset, ())
        allowed = (*(f.name for f in fields(cls)), *own)
        of_preset, of_flow = {}, {}
        for key, value in overrides.items():
            if key not in allowed:
                raise unknown(f"a key of flow ({preset})", key, allowed)
            if key in DEFAULT_TIMES or key in own:
                of_preset[key] = value
            else:
                of_flow[key] = value
        flow: Flow = getattr(cls, preset)(**of_preset)
        return replace(flow, **of_flow) if of_flow else flow


PRESETS = ("arrow_hurwicz", "augmented", "damped", "rotated", "adjoint", "local_propagation")


def _times(name: str, given: Any) -> Time:
    """Return a time in s, or a dict of times by population."""
    if isinstance(given, Mapping):
        return FrozenDict({p: seconds(time, f"{name}[{p!r}]") for p, time in given.items()})
    return seconds(given, name)
