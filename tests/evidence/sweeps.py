"""Figures of sweeps: batches of points, the phase diagram, critical rho, kills and workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.analysis.stability import critical_rho as critical
from neurosim.experiments import modelfile, sweep_store, sweep_task

RELAXING_XOR = ("simulation.duration='500 ms'", "simulation.settle=1e-6")


def batch_of_points(points: int = 1000, separate: int = 40) -> dict[str, float]:
    """Time `points` XOR relaxations, in s: as one network, and as runs of one compiled program.

    `separate` single runs are timed twice: all of `Simulation.relax`, and only the process of the
    program, which is what a loop over a finished binary would take.
    """
    values = {
        "flow.rho": np.linspace(0.5, 3, 10).tolist(),
        "flow.gamma": np.linspace(0, 1, 10).tolist(),
        "network.seed": range(points // 100),
    }
    model = modelfile.load("xor", RELAXING_XOR)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        found = ns.sweep(model, values, measure="settle_time", out=Path(folder) / "batch.zarr")
        whole = time.perf_counter() - begin
    single, program, agree = _single_runs(model, found, separate)
    return {
        "as one network": whole,
        "single": single * points,
        "program alone": program * points,
        "times faster": single * points / whole,
        "times faster than programs alone": program * points / whole,
        "settle times that differ": float(agree),
    }


def _single_runs(model: Any, found: Any, count: int) -> tuple[float, float, int]:
    """Return seconds per run, seconds per process of the program, and deviating runs.

    A run deviates if its settling time is not that of its point in the batch.
    """
    from neurosim.engine import brian

    execute = brian.Device.execute
    spent: list[float] = []

    def timed(self: Any, *args: Any) -> Any:
        begin = time.perf_counter()
        try:
            return execute(self, *args)
        finally:
            spent.append(time.perf_counter() - begin)

    flat = found.stack(point=("flow.rho", "flow.gamma", "network.seed"))
    chosen = np.linspace(0, flat.sizes["point"] - 1, count + 1).astype(int)
    data, differ, begin = model.data(), 0, 0.0
    brian.Device.execute = timed
    try:
        for number, i in enumerate(chosen):
            rho, gamma, seed = flat["point"].values[i]
            spec = model.changed(
                {
                    "flow.rho": rho,
                    "flow.gamma": gamma,
                    "network.seed": int(seed),
                    "simulation.backend": "standalone",
                    "simulation.record": [],
                }
            )
            if number == 1:  # the first one compiles
                spent.clear()
                begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ns.StabilityWarning)
                run = spec.relax(spec.simulation(), data)
            settled = run.time if run.settled else np.nan
            differ += not np.isclose(
                settled, flat["settle_time"].values[i], rtol=1e-9, atol=0, equal_nan=True
            )
        return (time.perf_counter() - begin) / count, float(np.mean(spent)), differ
    finally:
        brian.Device.execute = execute


DRIVER = """
import sys, neurosim as ns
import neurosim.engine.build
from neurosim.experiments import pool as workers
from tests.evidence.sweeps import KILLED
workers.Here.size = 8  # several tasks, though there is one process
print("ready", flush=True)
ns.sweep("xor", out=sys.argv[1], jobs=int(sys.argv[2]), **KILLED)
print("finished", flush=True)
"""
KILLED: dict[str, Any] = {
    "parameters": {
        "flow.rho": np.linspace(0.5, 3, 8).tolist(),
        "flow.gamma": np.linspace(0, 1, 6).tolist(),
        "network.seed": range(4),
        "network.depth": [2, 3, 4],
    },
    "measure": ["settle_time", "error", "growth"],
    "overrides": (*RELAXING_XOR, "network.sizes=[2,4,1]"),
}


def killed(jobs: int = 1, times: int = 20, seed: int = 0) -> dict[str, float]:
    """Kill the driver (jobs = 1) or its workers (jobs = 2), and compare with an undisturbed sweep.

    The driver is killed at `times` random moments, and each time started again on the same folder.
    Workers are killed one at a time while the driver continues.

    Raises
    ------
    AssertionError
        A figure differs from the undisturbed sweep.
    """
    import xarray as xr

    rng = np.random.default_rng(seed)
    begin = time.perf_counter()
    calm = ns.sweep("xor", **KILLED)
    span = 0.6 * (time.perf_counter() - begin)
    with tempfile.TemporaryDirectory() as folder:
        path, kills, starts, done = Path(folder) / "sweep.zarr", 0, 0, []
        while True:
            driver = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(path), str(jobs)],
                stdout=subprocess.PIPE,
                text=True,
            )
            starts += 1
            assert driver.stdout is not None
            driver.stdout.readline()
            if jobs == 1 and kills < times:
                time.sleep(rng.uniform(0, span))
                driver.kill()
                kills += 1
            while jobs > 1 and kills < times and driver.poll() is None:
                time.sleep(rng.uniform(0, 8))
                children = [int(p) for p in _children(driver.pid)]
                if children:
                    os.kill(int(rng.choice(children)), signal.SIGKILL)
                    kills += 1
            driver.wait()
            found = sweep_store.read(path) if path.exists() else None
            done.append(0 if found is None else int((found["outcome"] != "").sum()))
            if driver.returncode == 0 and kills >= times:
                break
            # A driver that finishes before it was killed often enough starts from scratch.
            if driver.returncode == 0:
                xr.testing.assert_equal(found, calm)
                shutil.rmtree(path)
            elif jobs > 1:
                raise RuntimeError(f"the driver ended with {driver.returncode} after {kills} kills")
        xr.testing.assert_equal(found, calm)  # raises where any figure differs
    return {
        "kills": kills,
        "starts": starts,
        "points": calm["outcome"].size,
        "done after each start": done,
    }  # type: ignore[dict-item]


def _children(pid: int) -> list[str]:
    """Return the worker processes of a driver, without joblib's resource tracker."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [p for p in found if "resource_tracker" not in Path(f"/proc/{p}/cmdline").read_text()]


PHASE = {
    "flow.theta": np.linspace(0.25, 1.5, 24).tolist(),
    "network.depth": list(range(2, 21, 2)),
    "network.gain": np.linspace(0.5, 1.75, 9).tolist(),
}
NEAR = 1.05  # factor of the gain: a point is near the boundary if it crosses it within this


def phase_diagram(path: str = "", jobs: int = 2) -> dict[str, float]:
    """Compare predicted and simulated stability over the diagram of models/phase_diagram.toml."""
    model, begin = modelfile.load("phase_diagram"), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = path or f"{folder}/phase.zarr"
        found = ns.sweep(model, PHASE, measure=["growth", "settle_time"], out=out, jobs=jobs)
    seconds = time.perf_counter() - begin
    growth, settled = found["growth"], found["outcome"] == "settled"
    predicted, near = growth < 0, _near(model, growth)
    far = ~near
    return {
        "points": predicted.size,
        "seconds": seconds,
        "near the boundary": float(near.mean()),
        "agree, of the others": float((predicted == settled).values[far].mean()),
        "agree, of all": float((predicted == settled).mean()),
        "predicted stable": float(predicted.mean()),
    }


def _near(model: modelfile.ModelFile, growth: Any) -> Any:
    """Return the points where 5 % more or less of every weight changes the predicted stability.

    Only points beside the boundary are tried: the next grid point is 9 % away or more.
    """
    near = np.zeros(growth.shape, bool)
    stable = (growth < 0).transpose("flow.theta", "network.depth", "network.gain")
    verdict = stable.values
    beside = [np.roll(verdict, shift, axis=2) != verdict for shift in (1, -1)]
    beside[0][..., 0] = beside[1][..., -1] = True
    for index in np.argwhere(beside[0] | beside[1]):
        at = {str(d): float(growth[d][i]) for d, i in zip(stable.dims, index, strict=True)}
        for factor in (NEAR, 1 / NEAR):
            values = at | {
                "network.gain": at["network.gain"] * factor,
                "network.depth": int(at["network.depth"]),
            }
            settles = _growth(model.changed(values)) < 0
            near[tuple(index)] |= settles != verdict[tuple(index)]
    return near


def _growth(spec: modelfile.ModelFile) -> float:
    """Return log |1 + h s| / h of Euler's fastest growing mode at the saddle point."""
    data, dt = spec.data(), spec.simulation().dt
    s = ns.stability(spec.network(), spec.flow(), data.X, data.Y).eigenvalues
    return float(np.log(np.abs(1 + dt * s)).max() / dt)


def critical_rho(depths: tuple[int, ...] = (3, 6, 10), seeds: int = 2) -> dict[str, float]:
    """Compare the critical rho of `augmented` by the spectrum with simulations.

    Cases vary depth, gain, tau_lam / tau_x and seed. Simulations at 0.95 and 1.05 of the spectrum's
    rho start a thousandth from the saddle point and take rk4 steps well below the largest stable
    one. Spectrum and simulation agree within 5 % if the lower one does not settle and the upper one
    does.
    """
    base = modelfile.load("phase_diagram")
    tables = base.tables.model_copy(
        update={"flow": base.tables.flow.model_copy(update={"theta": None})}
    )
    base = modelfile.ModelFile("critical", tables).changed(
        {"flow.preset": "augmented", "simulation.method": "rk4"}
    )
    count, agree = 0, 0
    for depth, gain, ratio, seed in product(
        depths, (1.0, 1.25, 1.5), (0.25, 1.0, 4.0), range(seeds)
    ):
        own = {
            "network.depth": depth,
            "network.gain": gain,
            "network.seed": seed,
            "flow.tau_lam": 0.01 * ratio,
        }
        spec = base.changed(own | {"flow.rho": 1.0})
        data = spec.data()
        exact = critical(spec.network(), spec.flow(), data.X, data.Y, tau_lam="fixed")
        if not 0 < exact < np.inf:
            continue  # stable at any rho, or at none that was tried
        below, above = _bracketed(base, own, exact)
        case = (depth, gain, ratio, seed, exact, below, above)
        print("depth, gain, tau_lam/tau_x, seed, rho:", *case, flush=True)
        count, agree = count + 1, agree + (below != "settled" and above == "settled")
    return {"cases": count, "bracketed within 5 %": agree}


def _bracketed(base: Any, own: dict[str, Any], rho: float) -> list[str]:
    """Return the outcomes of runs at 0.95 and 1.05 of a rho.

    They last fourteen times the lifetime of the slowest mode of both. A state counts as settled if
    it moves a thousand times less than that mode does at a thousandth from the saddle point. With
    a coarser bound a slowly growing mode would count as settled.
    """
    points = [own | {"flow.rho": 0.95 * rho}, own | {"flow.rho": 1.05 * rho}]
    specs = [base.changed(point) for point in points]
    net, data = specs[0].network(), specs[0].data()
    modes = [ns.stability(net, spec.flow(), data.X, data.Y).eigenvalues for spec in specs]
    model = base.changed({"simulation.dt": 0.7 / max(float(np.abs(s).max()) for s in modes)})
    slowest = min(abs(float(s.real.max())) for s in modes)
    task = sweep_task.SweepTask(
        model, tuple(enumerate(points)), {}, 14 / slowest, 1e-6 * 0.01 * slowest
    )
    ends = {f.index: f.outcome for f in task.work()}
    return [ends[0], ends[1]]


def speedup(points: int = 480) -> dict[str, float]:
    """Return points per second in this process and with two workers (best of three), and the ratio.

    The first of the three includes the start of the workers.
    """
    values = {"flow.rho": np.linspace(4, 12, points // 4).tolist(), "network.seed": range(4)}
    overrides = ("simulation.duration='1 s'", "simulation.backend='numpy'", "simulation.record=[]")
    found = {}
    for jobs in (1, 2):
        rates = []
        for _ in range(3):
            begin = time.perf_counter()
            ns.sweep(
                "deep", values, measure="settle_time", overrides=overrides, settle=1e-12, jobs=jobs
            )
            rates.append(points / (time.perf_counter() - begin))
        found[f"{jobs} workers, points per second"] = max(rates)
    one, two = found.values()
    return found | {"ratio": two / one}


def _text(found: dict[str, Any]) -> str:
    """Return the figures of a row as text."""
    lines = []
    for name, value in found.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        lines.append(f"{name}: {shown}")
    return "; ".join(lines)


ROWS: dict[str, Callable[[], str]] = {
    "batch_of_points": lambda: _text(batch_of_points()),
    "phase_diagram": lambda: _text(phase_diagram()),
    "critical_rho": lambda: _text(critical_rho()),
    "driver_killed": lambda: _text(killed(jobs=1)),
    "workers_killed": lambda: _text(killed(jobs=2)),
    "two_workers": lambda: _text(speedup()),
}
