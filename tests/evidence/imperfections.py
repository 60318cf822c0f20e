"""Figures of imperfections and prospective messages: the cells of two studies, kept in
``runs/studies``.

What `neurosim study imperfections` and `neurosim study prospective` have measured is not measured
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosim.experiments import studies
from neurosim.experiments.studies import imperfections

HARD = {"message_noise": 1.0, "lost_zero": 0.3, "delay": 5.0}
ROBUST = ("damped", "rotated")


def measured(name: str, *overrides: str) -> Any:
    """The data of a study."""
    return studies.run(studies.load(name, overrides), Path("runs/studies") / name)[0]


def robust() -> dict[str, dict[str, tuple[float, float, float]]]:
    """Points that noise 1, zero-read loss .3 and 5 steps of delay cost: mean of seven seeds, worst;
    cosine of lam.
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
    """The bias of rho g over -rho sd² mean(sigma') w, and over Stein's law; mean over seeds, by
    flow and sd.
    """
    flows = ["augmented1", "augmented2"]
    levels = "study.levels={rho_bias = [0.1, 0.3, 1.0]}"
    data = measured("imperfections", f"study.flows={flows}", levels, "study.tau_w=[20.0]")
    mean = data[["law", "stein"]].sel(imperfection=imperfections.BIAS).mean(("seed", "tau_w"))
    return {
        flow: {
            sd: (
                float(mean.law.sel(flow=flow, level=sd)),
                float(mean.stein.sel(flow=flow, level=sd)),
            )
            for sd in (0.1, 0.3, 1.0)
        }
        for flow in flows
    }


def look_ahead() -> dict[str, Any]:
    """Accuracy of plain and prospective messages, `adjoint`, 2 tau a pattern: clean, and at a delay
    of tau each way.

    Each at its own best rate, and both at the rate that is best clean; then how many of the saddle
    flows diverged.
    """
    data = measured("prospective", "study.conditions={delay = [5]}")
    best, found = imperfections.at_best_rate(data), {}
    clean = best.sel(flow="adjoint", condition=imperfections.CLEAN, level=0.0)
    for name, condition, level in (("clean", imperfections.CLEAN, 0.0), ("delay", "delay", 5.0)):
        own = 100 * best.accuracy.sel(flow="adjoint", condition=condition, level=level).mean("seed")
        kept = data.accuracy.fillna(0.1).sel(flow="adjoint", condition=condition, level=level)
        at_clean = {
            w: 100 * float(kept.sel(messages=w, tau_w=clean.tau_w.sel(messages=w)).mean())
            for w in ("plain", "exact")
        }
        found[name] = {
            "at its own rate": {
                str(w): round(float(own.sel(messages=w)), 1) for w in own.messages.values
            },
            "at the clean rate": {w: round(v, 1) for w, v in at_clean.items()},
        }
    for flow in ("rotated", "damped", "augmented2"):
        own = best.sel(flow=flow, messages="exact", condition=imperfections.CLEAN, level=0.0)
        found[flow] = {"diverged": int(own.diverged), "of": int(own.accuracy.count())}
    return found


ROWS = {"imperfections": robust, "rho_bias": rho_bias, "prospective": look_ahead}
