"""Write the files of `version_0_1_0`: run once, with neurosim 0.1.0, and kept as the record of how
to repeat it.

``python write_files.py FOLDER`` uses only names that 0.1.0 has. `test_files.py` reads the result
with today's code.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

import neurosim as ns
from neurosim import modelfile, studies

MS = 1e-3


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(scale=0.5, size=(6, 5)), rng.integers(3, size=6)


def sparse_net() -> ns.Network:
    rng = np.random.default_rng(3)
    masks = rng.random((4, 5)) < 0.6, rng.random((3, 4)) < 0.8
    return ns.Network(
        [
            ns.Population("input", 5, clamped=True),
            ns.Population(
                "hidden1", 4, "a/(1+abs(a))", constraint="lin_eps", epsilon=0.01, activity_l1=0.01
            ),
            ns.Population("output", 3, "linear", plastic_bias=False),
        ],
        [
            ns.Projection("input", "hidden1", mask=masks[0], l2=0.01),
            ns.Projection(
                "hidden1", "output", mask=masks[1], feedback="kolen_pollack", row_l1=0.01
            ),
        ],
        [ns.Loss("output", "cross_entropy")],
    )


def arrays_of(run: ns.Run) -> dict[str, np.ndarray]:
    found = {f"x.{n}": v for n, v in run.x.items()} | {f"lam.{n}": v for n, v in run.lam.items()}
    found |= {f"aux.{k}": v for k, v in run.auxiliary.items()}
    for name, w in run.network.weights.items():
        found[f"w.{name}"] = w if isinstance(w, np.ndarray) else w.toarray()
    found |= {f"b.{n}": b for n, b in run.network.biases.items()}
    for name, b in run.network.feedback.items():
        found[f"feedback.{name}"] = b if isinstance(b, np.ndarray) else b.toarray()
    if run.traces is not None:
        found |= {f"traces.{n}": run.traces[n].values for n in run.traces.data_vars}
    return found


def keep(folder: Path, name: str, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(folder / f"expected_{name}.npz", **arrays)


def write_runs(folder: Path) -> None:
    X, Y = problem()
    flow = ns.Flow.augmented(rho=1.0)

    net = ns.Network.mlp([5, 4, 3], seed=1)
    run = ns.Simulation(net, flow, dt=2 * MS, backend="numpy").relax(
        X, Y, duration=60 * MS, record=("x", "lam", "g", "w"), every=10 * MS
    )
    ns.save(run, folder / "run_dense.nc")
    keep(folder, "run_dense", arrays_of(run))

    sim = ns.Simulation(
        ns.Network.mlp([5, 4, 3], seed=1),
        flow,
        dt=2 * MS,
        backend="numpy",
        transport=ns.Events("adaptive", delay=4 * MS),
    )
    run = sim.relax(
        X, Y, duration=60 * MS, record=("x", "spoken_x", "sent_delta", "heard_x"), every=10 * MS
    )
    ns.save(run, folder / "run_events.nc")
    keep(folder, "run_events", arrays_of(run))
    again = sim.relax(X, Y, duration=40 * MS, start=run)
    keep(folder, "run_events_continued", arrays_of(again))

    # every imperfection that draws nothing, so that what comes after does not depend on a generator
    circuit = [ns.Delay(steps=2), ns.Quantised(0.01), ns.TimeConstants(0.2), ns.LowPass(20 * MS)]
    sim = ns.Simulation(
        ns.Network.mlp([5, 4, 3], seed=1),
        flow,
        dt=2 * MS,
        backend="numpy",
        imperfections=circuit,
        prospective=5 * MS,
    )
    run = sim.relax(
        X, Y, duration=60 * MS, record=("x", "heard_x", "said_delta", "slow_x"), every=10 * MS
    )
    ns.save(run, folder / "run_imperfections.nc")
    keep(folder, "run_imperfections", arrays_of(run))
    again = sim.relax(X, Y, duration=40 * MS, start=run)
    keep(folder, "run_imperfections_continued", arrays_of(again))

    sim = ns.Simulation(sparse_net(), flow, dt=1 * MS, backend="numpy")
    run = sim.relax(X, Y, duration=60 * MS, record=("x", "lam"), every=10 * MS)
    ns.save(run, folder / "run_sparse.nc")
    keep(folder, "run_sparse", arrays_of(run))

    run = ns.Simulation(net, flow, dt=2 * MS, backend="numpy").relax(
        X,
        Y,
        duration=60 * MS,
        record=("x", "lam", "w"),
        every=10 * MS,
        stream=folder / "recording.zarr",
    )
    keep(folder, "recording", arrays_of(run))
    sim.save_weights(folder / "weights.npz")
    keep(folder, "weights", arrays_of(sim.relax(X, Y, duration=1 * MS)))


def write_trainings(folder: Path) -> None:
    X, Y = problem()
    schedules: dict[str, Any] = {
        "simultaneous": ns.Simultaneous(duration=200 * MS, reports=4),
        "presentations": ns.Presentations(batch=2, present=20 * MS, plastic_from=0.5, epochs=4),
    }
    for name, schedule in schedules.items():
        path = folder / f"checkpoint_{name}.npz"
        rows = 0

        def visit(_: ns.Run, path: Path = path) -> None:
            nonlocal rows
            rows += 1
            if rows == 3:  # the checkpoint that is there is the one of the row before
                shutil.copy(path, folder / f"half_{path.name}")

        net = ns.Network.mlp([5, 4, 3], seed=1)
        sim = ns.Simulation(
            net, ns.Flow.augmented(rho=1.0, tau_w=50 * MS), dt=2 * MS, backend="numpy"
        )
        log = sim.train(
            X,
            Y,
            schedule,
            validation=(X, Y),
            checkpoint=path,
            visit=visit,
            record=("x", "w"),
            every=20 * MS,
        )
        ns.save(log, folder / f"log_{name}.nc")
        history = {f"history.{n}": log.history[n].values for n in log.history.data_vars}
        keep(folder, f"log_{name}", arrays_of(log.run) | history)
        path.unlink()


def write_sweep(folder: Path) -> None:
    grid = {"flow.rho": [0.5, 2.0], "network.seed": [0, 1]}
    shared = {"measure": ["settle_time", "alignment"], "duration": 0.5, "settle": 1e-3}
    data = ns.sweep("xor", grid, out=folder / "sweep.zarr", **shared)
    keep(folder, "sweep", {n: np.asarray(data[n].values) for n in data.data_vars})
    shutil.copytree(folder / "sweep.zarr", folder / "half_sweep.zarr")
    chunk = folder / "half_sweep.zarr" / "outcome" / "0.0"
    outcomes = np.fromfile(chunk, "<U8")
    outcomes[3] = ""  # one point is not done yet
    outcomes.tofile(chunk)


def write_study(folder: Path) -> None:
    study = studies.load("skips", ["study.seeds=1", "study.depths=[4]", "study.speeds=[0.1]"])
    data, missing = studies.run(study, folder / "study")
    assert not missing
    keep(folder, "study", {"cosine": data.cosine.values})


def write_models(folder: Path) -> None:
    """The built-in model files as they were, and the networks and flows that they describe."""
    shutil.copytree(modelfile.folder(), folder / "models")
    found = {}
    for name in modelfile.built_in():
        spec = modelfile.load(name)
        net = spec.network()
        weights = {n: float(w.sum()) for n, w in net.weights.items()}
        found[name] = {"network": net.describe(), "flow": spec.flow().as_dict(), "weights": weights}
    (folder / "models.json").write_text(json.dumps(found, indent=1, sort_keys=True))


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_runs(folder)
    write_trainings(folder)
    write_sweep(folder)
    write_study(folder)
    write_models(folder)
    (folder / "names.json").write_text(json.dumps({"all": sorted(ns.__all__)}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
