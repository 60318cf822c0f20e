"""Files of neurosim 0.1.0 load, go on and give the same numbers; its names and model files still
mean the same.

`write_files` made them with that version.
"""

from __future__ import annotations

import json
import shutil
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.experiments import modelfile, studies
from neurosim.results.format import current_name
from tests.compatibility.write_files import MS, arrays_of, problem, sparse_net

FILES = Path(__file__).parent / "version_0_1_0"
RUNS = ("run_dense", "run_events", "run_imperfections", "run_sparse")
OLD_NAMES = json.loads((FILES / "names.json").read_text())["all"]
MODELS = json.loads((FILES / "models.json").read_text())


def expected(name: str) -> dict[str, np.ndarray]:
    with np.load(FILES / f"expected_{name}.npz") as stored:
        return {key: stored[key] for key in stored.files}


def renamed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Auxiliary arrays under the names that variables have today."""
    return {current_name(k) if k.startswith("aux.") else k: v for k, v in arrays.items()}


def same(found: dict[str, np.ndarray], name: str) -> None:
    wanted = renamed(expected(name))
    assert wanted.keys() <= found.keys()
    for key, values in wanted.items():
        assert_array_equal(found[key], values, err_msg=key)


def close(found: dict[str, np.ndarray], name: str) -> None:
    """The same numbers; another machine's vector units may round the last bits differently."""
    wanted = renamed(expected(name))
    assert wanted.keys() <= found.keys()
    for key, values in wanted.items():
        assert_allclose(found[key], values, rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", RUNS)
def test_a_saved_run_loads_with_the_same_numbers(name: str) -> None:
    same(arrays_of(ns.load(FILES / f"{name}.nc")), name)


@pytest.mark.parametrize("name", ["log_simultaneous", "log_presentations"])
def test_a_saved_log_loads_with_the_same_numbers(name: str) -> None:
    log = ns.load(FILES / f"{name}.nc")
    history = {f"history.{n}": log.history[n].values for n in log.history.data_vars}
    same(arrays_of(log.run) | history, name)


def test_a_recording_loads_with_the_same_numbers() -> None:
    from neurosim.results.recording import read_traces

    same(arrays_of(ns.load(FILES / "recording.zarr")), "recording")
    traces = read_traces(FILES / "recording.zarr")
    assert_array_equal(traces.x.values, expected("recording")["traces.x"])


def test_weights_load_with_the_same_numbers() -> None:
    from neurosim.results.files import load_weights

    net = sparse_net()
    for w in net.weights.values():
        w.data[:] = 0
    load_weights(net, FILES / "weights.npz")
    wanted = expected("weights")
    for name, w in net.weights.items():
        assert_array_equal(w.toarray(), wanted[f"w.{name}"])


CIRCUIT = {
    "imperfections": (
        ns.Delay(steps=2),
        ns.Quantised(0.01),
        ns.TimeConstants(0.2),
        ns.LowPass(20 * MS),
    )
}
KINDS: dict[str, dict[str, Any]] = {
    "run_events": {"transport": ns.Events("adaptive", delay=4 * MS)},
    "run_imperfections": CIRCUIT | {"prospective": 5 * MS},
}


@pytest.mark.parametrize("name", KINDS)
def test_a_run_goes_on_from_a_file(name: str) -> None:
    """Sent messages, messages in flight and slow averages are in the file, and are taken up from
    it.
    """
    X, Y = problem()
    net = ns.Network.mlp([5, 4, 3], seed=1)
    sim = ns.Simulation(net, ns.Flow.augmented(rho=1.0), dt=2 * MS, backend="numpy", **KINDS[name])
    run = sim.relax(X, Y, duration=40 * MS, start=ns.load(FILES / f"{name}.nc"))
    close(arrays_of(run), f"{name}_continued")


@pytest.mark.parametrize("backend", ["numpy", "standalone"])
def test_variables_are_recorded_under_their_old_names(backend: str, tmp_path: Path) -> None:
    """With a warning, and the same numbers as under the new ones, in memory and on disk."""
    X, Y = problem()
    pairs = {"spoken_x": "events_x", "taught_x": "plastic_events_x", "heard_x": "received_x"}
    transport = ns.Events(0.01, delay=4 * MS)
    found = {}
    for names in (tuple(pairs), tuple(pairs.values())):
        for stream in (None, tmp_path / names[0]):
            net = ns.Network.mlp([5, 4, 3], seed=1)
            sim = ns.Simulation(
                net, ns.Flow.augmented(), dt=2 * MS, backend=backend, transport=transport
            )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                run = sim.relax(X, Y, duration=40 * MS, record=names, stream=stream)
            warned = [str(w.message) for w in caught if w.category is DeprecationWarning]
            assert len([w for w in warned if "since 0.2" in w]) == 3 * (names[0] in pairs)
            found[names, stream is None] = [run.traces[name].values for name in names]
    first, *others = found.values()
    assert np.nanmax(first[0]) > 0
    for other in others:
        for one, two in zip(first, other, strict=True):
            assert_array_equal(one, two)


def test_the_operations_of_an_old_run_are_counted() -> None:
    run = ns.load(FILES / "run_events.nc")
    assert "spoken_x" in run.traces
    assert ns.synaptic_operations(run).effective > 0


SCHEDULES = {
    "simultaneous": ns.Simultaneous(duration=200 * MS, reports=4),
    "presentations": ns.Presentations(batch=2, present=20 * MS, plastic_from=0.5, epochs=4),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_training_resumes_from_a_checkpoint(name: str) -> None:
    X, Y = problem()
    net = ns.Network.mlp([5, 4, 3], seed=1)
    sim = ns.Simulation(net, ns.Flow.augmented(rho=1.0, tau_w=50 * MS), dt=2 * MS, backend="numpy")
    log = sim.train(
        X,
        Y,
        SCHEDULES[name],
        validation=(X, Y),
        resume=FILES / f"half_checkpoint_{name}.npz",
        record=("x", "w"),
        every=20 * MS,
    )
    history = {f"history.{n}": log.history[n].values for n in log.history.data_vars}
    close(arrays_of(log.run) | history, f"log_{name}")


GRID = {"flow.rho": [0.5, 2.0], "network.seed": [0, 1]}
SHARED: dict[str, Any] = {"measure": ["settle_time", "alignment"], "duration": 0.5, "settle": 1e-3}


@pytest.mark.parametrize("name", ["sweep", "half_sweep"])
def test_a_sweep_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    """What is done is not measured again: a number that was changed on disk stays."""
    store = tmp_path / "sweep.zarr"
    shutil.copytree(FILES / f"{name}.zarr", store)
    chunk = store / "settle_time" / "0.0"
    numbers = np.fromfile(chunk, "<f8")
    numbers[0] += 1
    numbers.tofile(chunk)
    data = ns.sweep("xor", GRID, out=store, **SHARED)
    wanted = expected("sweep")
    wanted["settle_time"][0, 0] += 1
    for key, values in wanted.items():
        if values.dtype.kind == "f":
            assert_allclose(data[key].values, values, rtol=1e-9, err_msg=key)
        else:
            assert_array_equal(data[key].values, values, err_msg=key)


def test_a_study_finds_the_cells_that_it_kept() -> None:
    study = studies.load("skips", ["study.seeds=1", "study.depths=[4]", "study.speeds=[0.1]"])
    data, missing = studies.gather(study, FILES / "study")
    assert missing == 0
    assert_array_equal(data.cosine.values, expected("study")["cosine"])


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_means_the_same(name: str) -> None:
    wanted = MODELS[name]
    spec = modelfile.load(FILES / "models" / f"{name}.toml")
    net = spec.network()
    assert json.loads(json.dumps(net.describe())) == wanted["network"]
    assert json.loads(json.dumps(spec.flow().as_dict())) == wanted["flow"]
    for projection, total in wanted["weights"].items():
        assert float(net.weights[projection].sum()) == pytest.approx(total, rel=1e-12, abs=1e-12)


def test_every_name_is_still_there() -> None:
    for name in OLD_NAMES:
        assert getattr(ns, name) is not None
        assert name in ns.__all__


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("datasets", "data.datasets"),
        ("files", "results.files"),
        ("measures", "experiments.measures"),
        ("modelfile", "experiments.modelfile"),
        ("recording", "results.recording"),
        ("rivals", "reference.rivals"),
        ("rivals.energy", "reference.rivals.energy"),
        ("streams", "data.streams"),
        ("studies", "experiments.studies"),
        ("studies.transport", "experiments.studies.weight_transport"),
        ("tasks", "data.tasks"),
        ("hebb", "hebb"),
    ],
)
def test_a_module_is_reached_by_its_old_name(name: str, home: str) -> None:
    """One module, not a copy: whoever imports it by either name sees the same classes."""
    module = import_module(f"neurosim.{name}")
    assert module is import_module(f"neurosim.{home}")
    assert module.__spec__ is not None
    assert module.__spec__.name == module.__name__ == f"neurosim.{home}"
    if "." not in name:
        assert getattr(ns, name) is module
