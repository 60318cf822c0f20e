"""The page on rest: errors of multipliers at rest, by depth, and how XOR ends."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from neurosim.plot.page import PALETTE
from tests.evidence import learning
from tests.evidence.findings.finding import BELOW, Finding, Numbers, power, table


def rest() -> Numbers:
    """Return errors at rest by flow, loss and backend, errors by depth, and how XOR ends."""
    return {
        "at rest": learning.at_rest(),
        "depths": {str(layers): error for layers, error in learning.depths().items()},
        "xor": learning.xor(),
    }


def rest_tables(found: Numbers) -> dict[str, str]:
    """Return a table of each."""
    rows = []
    for name, error in found["at rest"].items():
        rows.append([*name.split(", "), power(error)])
    depths = [[layers, power(error)] for layers, error in found["depths"].items()]
    ends = []
    for seed, (loss, gradient) in enumerate(found["xor"]):
        ends.append([str(seed), power(loss), power(gradient)])
    return {
        "flows": table(["flow", "loss", "backend", "largest error"], rows),
        "depths": table(["weight layers", "largest error of λ"], depths),
        "xor": table(["seed", "loss", "norm of the gradient"], ends),
    }


def draw_rest(found: Numbers) -> Any:
    """Draw errors over depth, and loss and gradient of XOR by seed."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.4), layout="constrained")
    layers = [int(name) for name in found["depths"]]
    errors = 1e16 * np.array(list(found["depths"].values()))
    left.plot(layers, errors, "o", ms=4, color=PALETTE[0])
    epsilon = 1e16 * np.finfo(float).eps
    left.axhline(epsilon, color="0.6", lw=0.8)
    left.annotate("spacing of doubles at 1", (layers[-1], epsilon), (0, -3), **BELOW)
    top = 1.1 * max(errors.max(), epsilon)
    left.set(xlabel="weight layers", ylabel="largest error of λ (10⁻¹⁶)", ylim=(-0.3, top))
    left.set_xticks(range(2, layers[-1] + 1, 3))
    left.set_title("2L steps of adjoint, dt = τ")
    ends = np.array(found["xor"])
    for i, name in enumerate(("loss", "norm of the gradient")):
        right.semilogy(ends[:, i], "os"[i], ms=4, color=PALETTE[i], label=name)
    right.set(xlabel="seed", ylabel="at the end (1)", xticks=range(len(ends)))
    right.set_title("XOR by all flows")
    right.legend(loc="center")
    return figure


FINDING = Finding(rest, rest_tables, draw_rest)
