"""Guided tours: models that open with a text that says what to drag and what to look for.

Start at `TOURS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tour:
    """One tour.

    Attributes
    ----------
    title : str
    model : str
        A built-in model.
    sets : {key: value}
        Keys of the model that differ.
    views : tuple of str
        Views to open.
    steps : tuple of (text, command)
        What to do and what to look for; a command, or None, is what the button beside it sends.
    """

    title: str
    model: str
    sets: Mapping[str, Any] = field(default_factory=dict)
    views: tuple[str, ...] = ("traces", "spectrum")
    steps: tuple[tuple[str, Mapping[str, Any] | None], ...] = ()


KICK = {"type": "kick", "x": 0.3, "lam": 0.3}

TOURS: dict[str, Tour] = {
    "ringing": Tour(
        "Why plain Arrow-Hurwicz rings",
        "oscillator",
        steps=(
            (
                "This is the paper's plain saddle flow, κ = 1, γ = 0, ρ = 0. Watch the traces: the "
                "hidden units swing and never settle.",
                None,
            ),
            (
                "Look at the spectrum. Where the loss is flat nothing damps a unit, so its modes "
                "lie on the imaginary axis. Only the output's modes have moved to the left.",
                None,
            ),
            (
                "Give it ρ = 1 and kick it. All modes move left, and the ringing dies.",
                {"type": "set", "key": "flow.rho", "value": 1.0},
            ),
            ("Kick the network again.", KICK),
        ),
    ),
    "rho": Tour(
        "What ρ cures, and when it does not",
        "deep",
        {"flow.rho": 1.0, "flow.tau_lam": 0.01},
        steps=(
            (
                "Six layers deep with ρ = 1. The state ends in a limit cycle: λ σ'' is negative "
                "damping, and a mode of the saddle point grows.",
                None,
            ),
            (
                "Drag ρ up. Above a critical value every mode decays, at any depth.",
                {"type": "set", "key": "flow.rho", "value": 8.0},
            ),
            (
                "With τλ = τx a large ρ makes the slowest mode slow. Give it τλ = τx / ρ: the "
                "spectrum moves left.",
                {"type": "set", "key": "flow.tau_lam", "value": 0.00125},
            ),
            (
                "The saddle point itself does not depend on ρ: at rest a change moves nothing. "
                "Kick it to see the difference.",
                KICK,
            ),
        ),
    ),
    "hopf": Tour(
        "θ and depth: a Hopf point crossed live",
        "basin",
        {"flow.theta": 1.0, "start.x": 0.02, "start.lam": 0.02},
        steps=(
            (
                "κ = cos θ, γ = sin θ. At θ = 1 the state settles: every mode is on the left.",
                None,
            ),
            (
                "Drag θ down slowly and kick now and then. Near 0.843 a pair of modes reaches the "
                "imaginary axis: this is the Hopf point that ns.continuation predicts.",
                {"type": "set", "key": "flow.theta", "value": 0.86},
            ),
            (
                "Below it the saddle point rings for ever.",
                {"type": "set", "key": "flow.theta", "value": 0.8},
            ),
            ("Kick it, and watch the amplitude grow.", {"type": "kick", "x": 0.05, "lam": 0.05}),
        ),
    ),
    "events": Tour(
        "Events: a unit sends only when it has changed",
        "events",
        views=("traces", "raster", "network"),
        steps=(
            (
                "Each unit sends the difference once it has changed by more than its threshold, "
                "which falls as the unit settles. The raster shows who sends.",
                None,
            ),
            (
                "Compare the operations per second with those of dense messages. Kick the network "
                "and watch them rise and fall.",
                KICK,
            ),
            ("Show another digit.", {"type": "show", "pattern": [1]}),
        ),
    ),
    "transport": Tour(
        "A broken weight transport, healed by Kolen-Pollack",
        "xor",
        {
            "network.feedback": "kolen_pollack",
            "network.feedback_decay": 0.05,
            "network.seed": 2,
        },
        views=("traces", "fit"),
        steps=(
            (
                "Messages travel back through B instead of Wᵀ. At first B is random, so that λ "
                "rests away from backpropagation's adjoint: the agreement is below 1.",
                None,
            ),
            (
                "Let the weights move. B changes as W does while both decay, so that B turns "
                "towards Wᵀ, and the agreement rises.",
                {"type": "plastic", "on": True},
            ),
            (
                "Without the decay B never forgets where it began.",
                {"type": "set", "key": "network.feedback_decay", "value": 0.0},
            ),
        ),
    ),
    "xor": Tour(
        "XOR, learnt with all flows at once",
        "xor",
        views=("traces", "fit", "network"),
        steps=(
            (
                "Four patterns, each with its own neurons and multiplier units; the weights are "
                "shared. They are fixed now: the loss stands still once the state rests.",
                None,
            ),
            (
                "Let the weights move: neurons, multipliers and synapses flow together, with the "
                "same time constant. The loss falls to 0.",
                {"type": "plastic", "on": True},
            ),
            (
                "Make learning ten times slower, and start again.",
                {"type": "set", "key": "flow.tau_w", "value": 0.1},
            ),
            ("Start again.", {"type": "reset"}),
        ),
    ),
    "basins": Tour(
        "A limit cycle beside a saddle: two basins",
        "basin",
        {"start.x": 0.02, "start.lam": 0.02},
        views=("traces", "phase"),
        steps=(
            (
                "θ is 3 % above a subcritical Hopf point: the saddle point and a limit cycle are "
                "both stable. From near the saddle point the state settles.",
                None,
            ),
            (
                "A small kick dies away.",
                {"type": "kick", "x": 0.02, "lam": 0.02},
            ),
            (
                "A large one throws the state into the other basin, where it rings for ever.",
                {"type": "kick", "x": 1.0, "lam": 1.0},
            ),
            ("Start again, or click in the phase plane to start elsewhere.", {"type": "reset"}),
        ),
    ),
}


def described(name: str) -> dict[str, Any]:
    """Return a tour as plain values, for the page."""
    tour = TOURS[name]
    steps = []
    for text, command in tour.steps:
        steps.append({"text": text, "command": None if command is None else dict(command)})
    return {"name": name, "title": tour.title, "views": list(tour.views), "steps": steps}
