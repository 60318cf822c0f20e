"""Describe the numbers of a live simulation as controls: group, symbol, unit, range, explanation.

Start at `controls_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

from neurosim.model.imperfections import kind_of

FLOW, NETWORK, MESSAGES = "flow", "network", "messages"
IMPERFECTIONS, LEARNING = "imperfections", "learning"
GROUPS = (FLOW, NETWORK, MESSAGES, IMPERFECTIONS, LEARNING)


@dataclass(frozen=True)
class Kind:
    """One kind of number: the paper's symbol, the range of its slider, and a line about it."""

    group: str
    symbol: str
    low: float
    high: float
    is_log: bool
    text: str


KINDS: dict[str, Kind] = {
    "kappa": Kind(FLOW, "κ", 0, 2, False, "Gain of the saddle term: descent in x, ascent in λ."),
    "gamma": Kind(FLOW, "γ", 0, 2, False, "Gain of each unit's own relaxation."),
    "flow.theta": Kind(FLOW, "θ", 0, pi / 2, False, "Turns κ = cos θ and γ = sin θ together."),
    "rho": Kind(FLOW, "ρ", 0, 16, False, "Weight of the augmentation (ρ/2) G²; it damps."),
    "tau_x": Kind(FLOW, "τx", 1e-3, 1, True, "Time constant of the outputs x."),
    "tau_lam": Kind(FLOW, "τλ", 1e-3, 1, True, "Time constant of the multipliers λ."),
    "tau_w": Kind(LEARNING, "τw", 1e-3, 10, True, "Time constant of the weights."),
    "dt": Kind(FLOW, "dt", 1e-5, 2e-2, True, "Step of the integrator."),
    "epsilon": Kind(NETWORK, "ε", 0, 0.5, False, "Half-width of the tolerance |g| ≤ ε."),
    "activity_l1": Kind(NETWORK, "α", 0, 0.5, False, "Penalty α Σ|x| on outputs."),
    "weight": Kind(NETWORK, "V", 0, 4, False, "Factor of the loss."),
    "l1": Kind(LEARNING, "l1", 0, 0.1, False, "Penalty Σ|w| on weights."),
    "l2": Kind(LEARNING, "l2", 0, 0.1, False, "Penalty Σw²/2 on weights."),
    "row_l1": Kind(LEARNING, "l1 r", 0, 0.1, False, "Group penalty on the weights onto a unit."),
    "column_l1": Kind(
        LEARNING, "l1 c", 0, 0.1, False, "Group penalty on the weights out of a unit."
    ),
    "feedback_decay": Kind(
        LEARNING, "c", 0, 0.2, False, "Decay of W and B that lets them align (Kolen-Pollack)."
    ),
    "feedback_size": Kind(NETWORK, "|B|", 0, 2, False, "Size of the feedback weights."),
    "theta": Kind(MESSAGES, "θ", 1e-5, 0.3, True, "Change that a unit sends as an event, x."),
    "backward": Kind(MESSAGES, "θδ", 1e-5, 0.3, True, "Change that a unit sends back, δ."),
    "quantum": Kind(MESSAGES, "q", 1e-3, 0.3, True, "Change of x that one spike stands for."),
    "top": Kind(MESSAGES, "θ↑", 1e-4, 1, True, "Upper bound of the adaptive threshold."),
    "floor": Kind(MESSAGES, "θ↓", 1e-8, 0.1, True, "Lower bound of the adaptive threshold."),
    "fall": Kind(MESSAGES, "fall", 0, 30, False, "Time in τx in which the upper bound falls."),
    "fade": Kind(MESSAGES, "fade", 0.5, 0.999, False, "How a unit's remembered speed fades."),
    "refractory": Kind(MESSAGES, "rest", 0, 0.05, False, "Time of rest after a spike."),
    "max_rate": Kind(MESSAGES, "rate", 1, 1000, True, "Largest spike rate of a unit, 1/s."),
    "sd": Kind(IMPERFECTIONS, "σ", 0, 0.5, False, "Standard deviation of the noise."),
    "correlation": Kind(IMPERFECTIONS, "τ", 1e-3, 1, True, "Correlation time of the noise."),
    "share": Kind(IMPERFECTIONS, "p", 0, 1, False, "Share of messages that are lost."),
    "spread": Kind(IMPERFECTIONS, "spread", 0, 1, False, "Spread of the units' time constants."),
    "half_width": Kind(
        IMPERFECTIONS, "width", 0.1, 5, False, "Half-width of the surrogate derivative."
    ),
    "time": Kind(IMPERFECTIONS, "τ", 1e-3, 1, True, "Time constant of the filter."),
    "prospective": Kind(MESSAGES, "ahead", 1e-4, 0.1, True, "Time over which rates are estimated."),
}
UNKNOWN = Kind(NETWORK, "", -2, 2, False, "Parameter of an extension.")
IN_SECONDS = ("tau_x", "tau_lam", "tau_w", "dt", "refractory", "correlation", "time", "prospective")


def controls_of(numbers: Mapping[str, float], sim: Any) -> list[dict[str, Any]]:
    """Return one description per number, in the order of the groups.

    Parameters
    ----------
    numbers : dict of str to float
        As `Live.numbers` returns them.
    sim : Simulation
        It has the names of populations and projections.

    Returns
    -------
    list of dict
        key, group, label, symbol, unit, low, high, log, value, text.

    Examples
    --------
    >>> import neurosim as ns
    >>> sim = ns.Simulation(ns.Network.mlp([2, 1]), ns.Flow.augmented(rho=2))
    >>> controls_of({"flow.rho": 2.0}, sim)[0]["symbol"]
    'ρ'
    """
    found = []
    for key, value in numbers.items():
        if _is_repeated(key, numbers):
            continue
        kind = _kind(key)
        unit = "s" if key.split(".")[1:2] and _is_time(key) else "1"
        if key == "flow.theta":
            unit = "rad"
        found.append(
            {
                "key": key,
                "group": _group(key, kind),
                "label": _label(key, sim),
                "symbol": kind.symbol or key.rpartition(".")[2],
                "unit": unit,
                "low": min(kind.low, value),
                "high": max(kind.high, value),
                "log": kind.is_log and value > 0,
                "value": value,
                "text": kind.text,
            }
        )
    return sorted(found, key=lambda control: GROUPS.index(control["group"]))


def _is_repeated(key: str, numbers: Mapping[str, float]) -> bool:
    """Return whether a key of one part is left to the key that stands for all parts."""
    parts = key.split(".")
    shared = f"network.{parts[-1]}"
    return len(parts) > 2 and parts[0] == "network" and shared in numbers


def _kind(key: str) -> Kind:
    if key in KINDS:
        return KINDS[key]
    for part in reversed(key.split(".")):
        if part in KINDS:
            return KINDS[part]
    return UNKNOWN


def _is_time(key: str) -> bool:
    return any(part in IN_SECONDS for part in key.split("."))


def _group(key: str, kind: Kind) -> str:
    if key.startswith("extension."):
        return NETWORK
    if key.startswith("simulation.imperfections"):
        return IMPERFECTIONS
    return kind.group


def _label(key: str, sim: Any) -> str:
    """Return a short name of what a number belongs to; empty where that is the whole model."""
    parts = key.split(".")
    if key.startswith("simulation.imperfections."):
        return kind_of(sim.imperfections.given[int(parts[2])]).replace("_", " ")
    if parts[0] == "network" and len(parts) > 2:
        return str(list(getattr(sim.net, parts[1]))[int(parts[2])])
    if parts[0] == "extension":
        return f"extension of {sim.extensions[int(parts[1])].population}"
    if parts[0] == "flow" and len(parts) > 2:
        return parts[2]
    if key.startswith("simulation.transport."):
        return " ".join(part for part in parts[2:-1] if part != "theta")
    return ""
