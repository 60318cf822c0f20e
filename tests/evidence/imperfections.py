"""Figures of imperfections and prospective messages: the size of noise, and cells of two studies.

Cells are kept in ``runs/studies``. Cells that `neurosim study imperfections` and `neurosim study
prospective` have measured there are not measured again.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.experiments import studies
from neurosim.experiments.studies import imperfections
from neurosim.model.methods import ONCE_A_STEP, ONE_EVALUATION

TAU = 10e-3  # s
HARD = {"message_noise": 1.0, "lost_zero": 0.3, "delay": 5.0}
ROBUST = ("damped", "rotated")
SDS = (0.1, 0.3, 1.0)  # of the noise on messages that gives rho g a bias
KEPT = Path("runs/studies")


def measured(name: str, *overrides: str, folder: Path = KEPT) -> Any:
    """Run the cells of a study that are missing in a folder, and return its data."""
    return studies.run(studies.load(name, overrides), folder / name)[0]


def losses(folder: Path = KEPT) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return, by flow and imperfection, what is lost and the cosine of lam, one of each seed.

    The loss is of accuracy, in percentage points. The imperfections are message noise of sd 1, 30 %
    of messages lost and read as zero, and a delay of 5 steps; seeds are seven.
    """
    levels = ", ".join(f"{kind} = [{level}]" for kind, level in HARD.items())
    asked = f"study.flows={list(ROBUST)}", f"study.levels={{{levels}}}", "study.seeds=7"
    data = measured("imperfections", *asked, folder=folder)
    lost, best = 100 * imperfections.lost(data), imperfections.at_best_rate(data)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for flow in ROBUST:
        found[flow] = {}
        for kind, level in HARD.items():
            cell = {"imperfection": kind, "level": level, "flow": flow}
            own, cosine = lost.sel(cell), best.cosine.sel(cell)
            found[flow][kind] = {"lost": own.values.tolist(), "cosine": cosine.values.tolist()}
    return found


def robust() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return mean and worst of what is lost, and the mean cosine, by flow and imperfection."""
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for flow, kinds in losses().items():
        found[flow] = {}
        for kind, own in kinds.items():
            found[flow][kind] = fmean(own["lost"]), max(own["lost"]), fmean(own["cosine"])
    return found


def bias_ratios(folder: Path = KEPT) -> dict[str, dict[float, dict[str, list[float]]]]:
    """Return the bias of rho g as ratios to two laws, one of each seed, by flow and sd of noise.

    The noise is on messages. The laws are -rho sd² mean(sigma') w, and Stein's.
    """
    flows = ["augmented1", "augmented2"]
    asked = (f"study.flows={flows}", f"study.levels={{rho_bias = {list(SDS)}}}")
    data = measured("imperfections", *asked, "study.tau_w=[20.0]", folder=folder)
    own = data[["law", "stein"]].sel(imperfection=imperfections.BIAS, tau_w=20.0)
    found: dict[str, dict[float, dict[str, list[float]]]] = {flow: {} for flow in flows}
    for flow in flows:
        for sd in SDS:
            ratios = own.sel(flow=flow, level=sd)
            found[flow][sd] = {law: ratios[law].values.tolist() for law in ("law", "stein")}
    return found


def rho_bias() -> dict[str, dict[float, tuple[float, float]]]:
    """Return the means of `bias_ratios` over the seeds."""
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for flow, own in bias_ratios().items():
        found[flow] = {}
        for sd, ratios in own.items():
            found[flow][sd] = fmean(ratios["law"]), fmean(ratios["stein"])
    return found


def accuracies(folder: Path = KEPT) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return accuracies in % with plain and prospective messages, without and with a delay.

    The delay is tau in each direction; `adjoint`, 2 tau per pattern. Each accuracy is given at its
    own best learning rate, and at the one that is best without the delay; one of each seed.
    """
    data = measured("prospective", "study.conditions={delay = [5]}", folder=folder)
    best = imperfections.at_best_rate(data).sel(flow="adjoint")
    clean = best.sel(condition=imperfections.CLEAN, level=0.0)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name, condition, level in (("clean", imperfections.CLEAN, 0.0), ("delay", "delay", 5.0)):
        at = {"condition": condition, "level": level}
        kept = data.accuracy.fillna(imperfections.CHANCE).sel(flow="adjoint", **at)
        found[name] = {"own rate": {}, "clean rate": {}}
        for way in [str(way) for way in best.messages.values]:
            own = 100 * best.accuracy.sel(messages=way, **at)
            at_clean = 100 * kept.sel(messages=way, tau_w=clean.tau_w.sel(messages=way))
            found[name]["own rate"][way] = own.values.tolist()
            found[name]["clean rate"][way] = at_clean.values.tolist()
    return found


def diverged(folder: Path = KEPT) -> dict[str, dict[str, int]]:
    """Return, by saddle flow, how many trainings with prospective messages diverged."""
    data = measured("prospective", "study.conditions={delay = [5]}", folder=folder)
    best, found = imperfections.at_best_rate(data), {}
    for flow in ("rotated", "damped", "augmented2"):
        own = best.sel(flow=flow, messages="exact", condition=imperfections.CLEAN, level=0.0)
        found[flow] = {"diverged": int(own.diverged), "of": int(own.accuracy.count())}
    return found


def look_ahead() -> dict[str, Any]:
    """Return the means of `accuracies` over the seeds, and the figures of `diverged`."""
    found: dict[str, Any] = {}
    for name, rates in accuracies().items():
        found[name] = {}
        for rate, ways in rates.items():
            found[name][rate] = {way: round(fmean(own), 1) for way, own in ways.items()}
    return found | diverged()


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
