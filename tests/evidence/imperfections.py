"""Figures of imperfections and prospective messages: cells of two studies.

Cells are kept in ``runs/studies``. Those that `neurosim study imperfections` and `neurosim study
prospective` have measured are not measured again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosim.experiments import studies
from neurosim.experiments.studies import imperfections

HARD = {"message_noise": 1.0, "lost_zero": 0.3, "delay": 5.0}
ROBUST = ("damped", "rotated")


def measured(name: str, *overrides: str) -> Any:
    """Return the data of a study."""
    return studies.run(studies.load(name, overrides), Path("runs/studies") / name)[0]


def robust() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return the points of accuracy lost, mean and worst of seven seeds, and the cosine of lam.

    The imperfections are noise 1, loss .3 read as zero, and a delay of 5 steps.
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
    """Return the bias of rho g over -rho sd² mean(sigma') w and over Stein's law, by flow and sd.

    Both are means over the seeds.
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
    """Return the accuracy of plain and prospective messages: clean, and at a delay of tau each way.

    `adjoint`, 2 tau per pattern; each at its own best rate, and both at the rate that is best
    clean. Then the number of saddle flows that diverged.
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
