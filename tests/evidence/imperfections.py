"""Figures of imperfections and prospective messages, from cells of two studies.

Cells are kept in ``runs/studies``. Cells that `neurosim study imperfections` and `neurosim study
prospective` have measured there are not measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosim.experiments import studies
from neurosim.experiments.studies import imperfections

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


ROWS = {"imperfections": robust, "rho_bias": rho_bias, "prospective": look_ahead}
