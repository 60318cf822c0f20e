"""Flow: gains and time constants of the three coupled flows, and the presets by name.

Knows no network and runs nothing. Times are kept as float seconds; Brian2 quantities and text such
as ``"10 ms"`` are read too, without importing Brian2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import cos, inf, pi, sin
from types import MappingProxyType
from typing import Any

from neurosim.errors import ModelError, out_of_range, unknown

DEFAULT_TIMES = MappingProxyType({"tau_x": 10e-3, "tau_lam": 10e-3, "tau_w": 200e-3})  # s
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
_SECOND = (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)  # Brian2's exponents of m, kg, s, A, K, mol, cd


def seconds(value: Any, name: str, *, positive: bool = True) -> float:
    """A time in float seconds, from a Brian2 quantity, a number of seconds or text like ``"10
    ms"``.

    Raises
    ------
    ModelError
        Not a time, not finite, or not positive.
    """
    dim = getattr(value, "dim", None)
    if isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is None or match[2] not in UNITS:
            raise out_of_range(name, value, "a number and one of " + ", ".join(UNITS), "'10 ms'")
        result = float(match[1]) * UNITS[match[2]]
    elif (
        dim is not None
        and tuple(float(d) for d in getattr(dim, "_dims", ())) not in (_SECOND, (0.0,) * 7)
    ) or isinstance(value, bool):
        raise out_of_range(name, value, "a time", "10*ms")
    else:
        try:
            result = float(value)
        except (TypeError, ValueError) as error:
            raise out_of_range(name, value, "a time in seconds", "10*ms") from error
    if not (result > 0 if positive else result >= 0) or result == inf:
        raise out_of_range(
            name, value, "a finite time" + (" > 0" if positive else " >= 0"), "10*ms"
        )
    return result


def gain(name: str, value: Any) -> float:
    """A finite number that is not negative, or the error that says so."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise out_of_range(name, value, "a number >= 0") from error
    if not 0 <= number < inf:  # nor nan
        raise out_of_range(name, value, "a finite number >= 0")
    return number


Time = float | Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Gains (unit 1) and time constants (s) of the flows of arXiv 1808.06934, section 1 of the
    README.

    Parameters
    ----------
    kappa, gamma : float
        Gain of the saddle term and of the relaxation term, >= 0 and not both 0.
    rho : float
        Weight of the augmentation (rho/2) G², >= 0 (Platt & Barr, NIPS 1987).
    tau_x, tau_lam, tau_w : time, or {population: time}
        Of outputs, multipliers and weights (those into the population). Populations that a mapping
        leaves out have the default, 10, 10 and 200 ms.

    Raises
    ------
    ModelError
        A gain or time out of range.
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
                "flow.kappa = flow.gamma = 0: nothing would move; try Flow.adjoint() "
                "or Flow.augmented()"
            )
        for name in DEFAULT_TIMES:
            value = getattr(self, name)
            if isinstance(value, Mapping):
                value = {p: seconds(t, f"flow.{name}[{p!r}]") for p, t in value.items()}
            else:
                value = seconds(value, f"flow.{name}")
            object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        return hash(repr(self))

    def time(self, name: str, population: str) -> float:
        """`tau_x`, `tau_lam` or `tau_w` of one population, in s."""
        value: Time = getattr(self, name)
        return value.get(population, DEFAULT_TIMES[name]) if isinstance(value, Mapping) else value

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for files."""
        return asdict(self)

    @classmethod
    def arrow_hurwicz(cls, **times: Any) -> Flow:
        """The paper's plain descent and ascent: undamped where the loss is flat."""
        return cls(kappa=1.0, gamma=0.0, rho=0.0, **times)

    @classmethod
    def augmented(cls, rho: float = 1.0, **times: Any) -> Flow:
        """Saddle flow with Platt-Barr damping; `tau_lam` defaults to tau_x / max(1, rho)."""
        if "tau_lam" not in times:
            scale = 1 / max(1.0, gain("flow.rho", rho))
            tau_x = times.get("tau_x", DEFAULT_TIMES["tau_x"])
            if isinstance(tau_x, Mapping):
                times["tau_lam"] = {
                    p: seconds(t, f"flow.tau_x[{p!r}]") * scale for p, t in tau_x.items()
                }
            else:
                times["tau_lam"] = seconds(tau_x, "flow.tau_x") * scale
        return cls(kappa=1.0, gamma=0.0, rho=rho, **times)

    @classmethod
    def damped(cls, **times: Any) -> Flow:
        """Half saddle, half relaxation."""
        return cls(kappa=1.0, gamma=1.0, rho=0.0, **times)

    @classmethod
    def rotated(cls, theta: float = pi / 4, rho: float = 0.0, **times: Any) -> Flow:
        """kappa = cos theta, gamma = sin theta (radians): from `arrow_hurwicz` (0) to `adjoint`
        (pi/2).
        """
        if not 0 <= gain("flow.theta", theta) <= pi / 2:
            raise out_of_range("theta", theta, "0 to pi/2 radians")
        return cls(
            kappa=max(cos(theta), 0.0) if theta < pi / 2 else 0.0,
            gamma=sin(theta),
            rho=rho,
            **times,
        )

    @classmethod
    def adjoint(cls, **times: Any) -> Flow:
        """Pure relaxation: at dt = tau one Euler step a layer is the forward, then the backward
        pass.
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
        """The flow of Local Propagation, for steps of Adam (`LocalPropagation`), which are by
        dt/tau.

        Parameters
        ----------
        rho : float
            Of the paper's rho G², which has no 1/2: the flow's own `rho` is twice that.
        rate : float
            Of the weights, a step: tau_w = step / rate.
        ratio : float
            Rate of outputs and multipliers in units of the weights': tau_x = tau_lam = tau_w /
            ratio.
        step : time
            The simulation's dt.

        References
        ----------
        Marra, Tiezzi, Melacci, Betti, Maggini & Gori, IJCNN 2020, arXiv 2002.07720.
        """
        for name, value in (("rate", rate), ("ratio", ratio)):
            if not gain(f"flow.{name}", value) > 0:
                raise out_of_range(f"flow.{name}", value, "a finite number > 0")
        tau_w = seconds(step, "flow.step") / rate
        times = {"tau_w": tau_w, "tau_x": tau_w / ratio, "tau_lam": tau_w / ratio} | times
        return cls(kappa=1.0, gamma=0.0, rho=2 * gain("flow.rho", rho), **times)

    @classmethod
    def from_preset(cls, preset: str, **overrides: Any) -> Flow:
        """A preset by name; whatever it derives (`tau_lam` from rho) is derived after the
        overrides.

        Raises
        ------
        ModelError
            An unknown preset or key, with the nearest valid one.
        """
        own = {
            "augmented": ("rho",),
            "rotated": ("theta", "rho"),
            "local_propagation": ("rho", "rate", "ratio", "step"),
        }
        if preset not in PRESETS:
            raise unknown("flow.preset", preset, PRESETS)
        names = tuple(f.name for f in fields(cls))
        for key in overrides:
            if key not in names and key not in own.get(preset, ()):
                raise unknown(f"a key of flow ({preset})", key, (*names, *own.get(preset, ())))
        passed = {
            k: v for k, v in overrides.items() if k in DEFAULT_TIMES or k in own.get(preset, ())
        }
        rest = {k: v for k, v in overrides.items() if k not in passed}
        flow: Flow = getattr(cls, preset)(**passed)
        return replace(flow, **rest) if rest else flow


PRESETS = ("arrow_hurwicz", "augmented", "damped", "rotated", "adjoint", "local_propagation")
