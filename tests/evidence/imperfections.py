"""Figures of imperfections and prospective messages: the size of noise, and cells of two studies.

Cells are kept in ``runs/studies``. Cells that `neurosim study imperfections` and `neurosim study
prospective` have measured there are not measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.experiments import studies
from neurosim.experiments.studies import imperfections
from neurosim.model.methods import ONCE_A_STEP, ONE_EVALUATION

TAU = 10e-3  # s
HARD = {"message_noise": 1.0, "lost_zero": 0.3, "delay": 5.0}
ROBUST = ("damped", "rotated")


def measured(name: str, *overrides: str) -> Any:
    """Run the cells of a study that are missing, and return its data."""
    return studies.run(studies.load(name, overrides), Path("runs/studies") / name)[0]


def robust() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return, by flow and imperfection, the accuracy lost and the cosine of lam.

    Three numbers: mean and worst loss over seven seeds, in percentage points, and the mean cosine.
    The imperfections are message noise of sd 1, 30 % of messages lost and read as zero, and a delay
    of 5 steps.
    """
    levels = ", ".join(f"{kind} = [{level}]" for kind, level in HARD.items())
    asked = f"study.flows={list(ROBUST)}", f"study.levels={{{levels}}}", "study.seeds=7"
    data = measured("imperfections", *asked)
    lost, best = 100 * imperfections.lost(data), imperfections.at_best_rate(data)
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for flow in ROBUST:
        for kind, level in HARD.items():
            cell = {"imperfection": kind, "level": level, "flow": flow}
            own, cosine = lost.sel(cell), best.cosine.sel(cell)
            found.setdefault(flow, {})[kind] = (
                float(own.mean()),
                float(own.max()),
                float(cosine.mean()),
            )
    return found


def rho_bias() -> dict[str, dict[float, tuple[float, float]]]:
    """Return the bias of rho g as a ratio to two laws, by flow and sd of the message noise.

    The laws are -rho sd² mean(sigma') w, and Stein's. Ratios are means over the seeds.
    """
    flows = ["augmented1", "augmented2"]
    levels = "study.levels={rho_bias = [0.1, 0.3, 1.0]}"
    data = measured("imperfections", f"study.flows={flows}", levels, "study.tau_w=[20.0]")
    mean = data[["law", "stein"]].sel(imperfection=imperfections.BIAS).mean(("seed", "tau_w"))
    found: dict[str, dict[float, tuple[float, float]]] = {flow: {} for flow in flows}
    for flow in flows:
        for sd in (0.1, 0.3, 1.0):
            own = mean.sel(flow=flow, level=sd)
            found[flow][sd] = float(own.law), float(own.stein)
    return found


def look_ahead() -> dict[str, Any]:
    """Return the accuracy with plain and with prospective messages, without and with a delay.

    The delay is tau in each direction; `adjoint`, 2 tau per pattern. Each accuracy is given at its
    own best learning rate, and at the one that is best without the delay. For the saddle flows
    follows the number of trainings that diverged.
    """
    data = measured("prospective", "study.conditions={delay = [5]}")
    best, found = imperfections.at_best_rate(data), {}
    clean = best.sel(flow="adjoint", condition=imperfections.CLEAN, level=0.0)
    for name, condition, level in (("clean", imperfections.CLEAN, 0.0), ("delay", "delay", 5.0)):
        own = 100 * best.accuracy.sel(flow="adjoint", condition=condition, level=level).mean("seed")
        kept = data.accuracy.fillna(0.1).sel(flow="adjoint", condition=condition, level=level)
        own_rate, clean_rate = {}, {}
        for way in own.messages.values:
            own_rate[str(way)] = round(float(own.sel(messages=way)), 1)
        for way in ("plain", "exact"):
            at_clean = kept.sel(messages=way, tau_w=clean.tau_w.sel(messages=way))
            clean_rate[way] = round(100 * float(at_clean.mean()), 1)
        found[name] = {"at its own rate": own_rate, "at the clean rate": clean_rate}
    for flow in ("rotated", "damped", "augmented2"):
        own = best.sel(flow=flow, messages="exact", condition=imperfections.CLEAN, level=0.0)
        found[flow] = {"diverged": int(own.diverged), "of": int(own.accuracy.count())}
    return found


def noise_size() -> str:
    """Measure the sd of noise on states and messages over methods, steps and correlations.

    The sd is over 60000 linear units with leak 1/tau, their outputs and multipliers, as a share of
    the sd that is documented. A table: one row per method and step (tau), one column per
    correlation (dt); then the same of messages, and the largest deviation.
    """
    correlations = (None, 0.1, 1.0, 10.0)
    head = ["method, step", "white", *(f"{c:g} dt" for c in correlations[1:]), "messages"]
    lines = [" | ".join(head)]
    found: list[float] = []
    for method in ONE_EVALUATION:
        for h in (0.02, 0.1, 0.5):
            shares = []
            for c in correlations:
                noise = ns.StateNoise(0.5, None if c is None else c * h * TAU)
                shares.append(_share_of_sd(noise, method, h, 0.5, 8 * max(1, (c or 0) * h)))
            if method in ONCE_A_STEP:
                shares.append(_share_of_sd(ns.MessageNoise(0.5), method, h, 0.5, 2 * h))
            found += shares
            lines.append(" | ".join([f"{method}, {h:g}", *(f"{share:.4f}" for share in shares)]))
    largest = max(abs(share - 1) for share in found)
    lines.append(f"largest deviation of {len(found)}: {100 * largest:.2f} %")
    return "\n".join(["", *lines])


def _share_of_sd(noise: Any, method: str, h: float, sd: float, duration: float) -> float:
    """Return the sd that noise gives lone units after a duration (tau), over its documented sd."""
    units = 200
    net = ns.Network(
        [ns.Population("i", 1, "linear", clamped=True), ns.Population("h", units, "linear")],
        [ns.Projection("i", "h", np.zeros((units, 1)))],
        [ns.Loss("h", "mse", 0.0)],
    )
    options = {"dt": h * TAU, "method": method, "backend": "numpy", "seed": 7}
    sim = ns.Simulation(net, ns.Flow.adjoint(), imperfections=[noise], **options)
    X, Y = np.zeros((300, 1)), np.zeros((300, units))
    if isinstance(noise, ns.StateNoise):
        run = sim.relax(X, Y, duration=duration * TAU)
        values = [run.x["h"], run.lam["h"]]
    else:
        pairs = (("x", "received_x"), ("delta", "received_delta"))
        record = sum(pairs, ())
        traces = sim.relax(X, Y, duration=duration * TAU, record=record).traces
        own = traces.isel(time=-1, unit=traces.population.values == "h")
        values = [(own[received] - own[sent]).values for sent, received in pairs]
    return float(np.std(values)) / sd


ROWS = {
    "noise_size": noise_size,
    "imperfections": robust,
    "rho_bias": rho_bias,
    "prospective": look_ahead,
}
