"""Figures of sweeps, measured anew: ``python -m tests.evidence crowd phase_diagram ...``."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import neurosim as ns
from neurosim import modelfile

RELAXING_XOR = ("simulation.duration='500 ms'", "simulation.settle=1e-6")


def crowd(points: int = 1000, separate: int = 40) -> dict[str, float]:
    """Seconds for XOR relaxations: as one network, and as single runs of one compiled program, per `points`.

    The single runs are timed by `Simulation.relax` as a whole, and by nothing but the program's own start, run and
    end, which is what a loop over a finished binary would cost.
    """
    rhos, gammas, seeds = np.linspace(0.5, 3, 10).tolist(), np.linspace(0, 1, 10).tolist(), range(points // 100)
    values = {"flow.rho": rhos, "flow.gamma": gammas, "network.seed": seeds}
    model = modelfile.load("xor", RELAXING_XOR)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        found = ns.sweep(model, values, measure="settle_time", out=Path(folder) / "crowd.zarr")
        whole = time.perf_counter() - begin
    single, program, agree = _single_runs(model, found, separate)
    return {
        "crowd": whole, "single": single * points, "program alone": program * points,
        "times faster": single * points / whole, "times faster than programs alone": program * points / whole,
        "settle times that differ": float(agree),
    }  # fmt: skip


def _single_runs(model: Any, found: Any, count: int) -> tuple[float, float, int]:
    """Seconds a run, seconds a program, and runs whose settling time is not that of the crowd."""
    from neurosim.engine import brian

    execute, spent = brian.Device.execute, []

    def timed(self: Any, *args: Any) -> Any:
        begin = time.perf_counter()
        try:
            return execute(self, *args)
        finally:
            spent.append(time.perf_counter() - begin)

    flat = found.stack(point=("flow.rho", "flow.gamma", "network.seed"))
    chosen = np.linspace(0, flat.sizes["point"] - 1, count + 1).astype(int)
    brian.Device.execute, data, differ, begin = timed, model.data(), 0, 0.0
    try:
        for number, i in enumerate(chosen):
            rho, gamma, seed = flat["point"].values[i]
            spec = model.changed({"flow.rho": rho, "flow.gamma": gamma, "network.seed": int(seed),
                                  "simulation.backend": "standalone", "simulation.record": []})  # fmt: skip
            if number == 1:  # the first one compiles
                spent.clear()
                begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ns.StabilityWarning)
                run = spec.relax(spec.simulation(), data)
            settled = run.time if run.settled else np.nan
            differ += not np.isclose(settled, flat["settle_time"].values[i], rtol=1e-9, atol=0, equal_nan=True)
        return (time.perf_counter() - begin) / count, float(np.mean(spent)), differ
    finally:
        brian.Device.execute = execute
