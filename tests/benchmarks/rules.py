"""Cost of a step with user-written learning rules, against the built-in one in the same minute."""

from __future__ import annotations

import numpy as np

import neurosim as ns
from neurosim.model.rules import LIBRARY

SIZES = (784, 128, 10)
TEXTS = {
    "text of the built-in rule": "dw/dt = delta_post*x_pre/tau_w : 1",
    "does not separate": "dw/dt = max(x_pre - w, 0)*delta_post/tau_w : 1",
}


def seconds_per_step(rule: object, patterns: int, steps: int, backend: str) -> float:
    """Return the time of one step, s, without building and starting."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(patterns, SIZES[0])), rng.integers(0, SIZES[-1], patterns)
    net = ns.Network.mlp(SIZES, seed=0, plasticity=rule)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=10), dt=1e-3, backend=backend)
    more = {}
    if getattr(rule, "modulators", ()):
        more["modulators"] = dict.fromkeys(rule.modulators, 1.0)  # type: ignore[attr-defined]
    sim.train(X, Y, ns.Simultaneous(duration=steps * 1e-3, reports=1), **more)
    return sim.loop_time / steps


def rules(repeats: int = 7, backend: str = "standalone") -> str:
    """Time steps of 784-128-10 with every rule, as ratios to the built-in rule, in turns."""
    tried: dict[str, object] = {name: ns.Plasticity(text) for name, text in TEXTS.items()}
    tried |= {name: make() for name, make in LIBRARY.items() if name != "gradient"}
    lines = []
    for patterns, steps in ((1, 2000), (32, 200), (1024, 10)):
        for name, rule in tried.items():
            own = max(steps // 20, 2) if name == "does not separate" else steps
            ratios = []
            for _ in range(repeats):
                built_in = seconds_per_step(None, patterns, steps, backend)
                ratios.append(seconds_per_step(rule, patterns, own, backend) / built_in)
            low, high = np.percentile(ratios, [25, 75])
            lines.append(
                f"{patterns:5d} patterns, {name:26s} {np.median(ratios):7.2f} "
                f"({low:.2f} to {high:.2f})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(rules())
