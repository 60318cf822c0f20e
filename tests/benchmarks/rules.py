"""A step of 784-128-10 with learning rules as text, compiled, against the built-in rule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.model.rules import LIBRARY
from tests.benchmarks.timing import Row, Setting, in_turns

SIZES = (784, 128, 10)
STEPS = {1: 4000, 32: 400, 1024: 20}  # by the number of patterns
TEXT = "dw/dt = delta_post*x_pre/tau_w : 1"
MIXED = "dw/dt = max(x_pre - w, 0)*delta_post/tau_w : 1"  # does not separate into products


def measure(setting: Setting) -> Iterator[Row]:
    """Time the text of the built-in rule, every rule of the library, and one of another kind."""
    rules: dict[str, Any] = {"text of the built-in rule": ns.Plasticity(TEXT)}
    rules |= {name: make() for name, make in LIBRARY.items() if name != "gradient"}
    rules["does not separate"] = ns.Plasticity(MIXED)
    for patterns, steps in STEPS.items():
        if setting.quick and patterns > 32:
            return
        for name, rule in rules.items():
            own = max(steps // 20, 2) if name == "does not separate" else steps
            contenders = {
                "built in": partial(seconds_per_step, None, patterns, steps),
                name: partial(seconds_per_step, rule, patterns, own),
            }
            samples = in_turns(contenders, setting.repeat)
            target = "<= 1.1" if name.startswith("text") else ""
            what = f"{name}, {patterns} patterns"
            yield Row(what, samples[name], "built in", samples["built in"], target)


def seconds_per_step(rule: Any, patterns: int, steps: int) -> float:
    """Return the time of one step, s, without building and starting."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(patterns, SIZES[0])), rng.integers(0, SIZES[-1], patterns)
    net = ns.Network.mlp(SIZES, seed=0, plasticity=rule)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=1e6), dt=1e-3, backend="standalone")
    modulators = dict.fromkeys(rule.modulators, 1.0) if rule is not None else None
    sim.train(X, Y, ns.Simultaneous(duration=steps * 1e-3, reports=1), modulators=modulators)
    return sim.loop_time / steps
