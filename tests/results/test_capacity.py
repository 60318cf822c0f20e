"""Results that would fill memory or disk are refused before the first step, with a way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim.results import capacity
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
ROOM = 1e5  # bytes that are free


@pytest.fixture
def full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave ROOM bytes in "memory" or on the "disk"."""
    name = {"memory": "free_memory", "disk": "free_disk"}[request.param]
    monkeypatch.setattr(capacity, name, lambda *_: ROOM)


def runs(path: Path | None, backend: str) -> dict[str, Any]:
    """Return functions of `every` that record for 10 s in steps of 1 ms."""

    def sim() -> ns.Simulation:
        return ns.Simulation(NET.copy(), ns.Flow.damped(), backend=backend)

    def with_weights(every: Any) -> None:
        sim().train(X, Y, ns.Simultaneous(duration=10), record=("w", "x"), every=every, stream=path)

    def with_frames(every: Any) -> None:
        sim().stream(X, Y, per_frame=2, record=("x", "lam"), every=every or "1 ms", stream=path)

    return {
        "relax": lambda every: sim().relax(
            X, Y, duration=10, record="x", every=every, stream=path, patterns=[0, 1, 2]
        ),
        "train": with_weights,
        "stream": with_frames,
    }


@pytest.mark.parametrize("kind", ["relax", "train", "stream"])
@pytest.mark.parametrize("full", ["memory", "disk"], indirect=True)
def test_a_recording_that_would_fill_its_place_is_refused(
    full: None, request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    on_disk = "disk" in request.node.callspec.id
    path = tmp_path / "run.zarr" if on_disk else None
    run = runs(path, "numpy")[kind]
    with pytest.raises(ns.ModelError, match=r"samples of .* try every=") as caught:
        run(None)
    assert ("on the disk of" in str(caught.value)) == on_disk
    assert not on_disk or not path.exists()  # type: ignore[union-attr]
    every = re.search(r"every=(\S+) \(s\)", str(caught.value))
    run(float(every[1]))  # type: ignore[index]


@pytest.mark.parametrize("full", ["disk"], indirect=True)
def test_a_programs_recording_in_memory_needs_room_on_disk(full: None) -> None:
    with pytest.raises(ns.ModelError, match=r"in the temporary folder .* try every="):
        runs(None, "standalone")["relax"](None)


@pytest.mark.parametrize("full", ["memory"], indirect=True)
def test_a_sample_that_does_not_fit_has_no_every(full: None) -> None:
    sim = ns.Simulation(ns.Network.mlp([3000, 5, 1], loss="mse"), ns.Flow.damped())
    with pytest.raises(ns.ModelError, match=r"takes .* try fewer of record, patterns or units"):
        sim.relax(np.zeros((1, 3000)), [[0]], duration=0.01, record="w")


def test_a_run_without_end_is_refused_at_once() -> None:
    """Its times alone would fill the memory."""
    with pytest.raises(ns.ModelError, match=r"[0-9] TB .* samples"):
        ns.Simulation(NET, ns.Flow.damped()).relax(X, Y, duration=9e8, record="x")


@pytest.mark.parametrize("full", ["memory", "disk"], indirect=True)
@pytest.mark.parametrize("design", [{}, {"design": "sobol", "points": 10**6}])
def test_a_sweep_that_would_fill_its_place_is_refused(
    full: None, design: dict[str, Any], tmp_path: Path
) -> None:
    parameters = {"flow.rho": np.linspace(1, 2, 1000), "flow.gamma": np.linspace(0, 1, 1000)}
    with pytest.raises(ns.ModelError, match=r"points of 2.01 kB.* at most [0-9]+ points"):
        ns.sweep("xor", parameters, out=tmp_path / "sweep.zarr", **design)
    assert not (tmp_path / "sweep.zarr").exists()


def test_what_is_free_is_a_finite_number(tmp_path: Path) -> None:
    assert 1e6 < capacity.free_memory() < 1e15
    there = capacity.free_disk(tmp_path)
    assert 1e6 < there < 1e18
    assert capacity.free_disk(tmp_path / "not" / "there") == pytest.approx(there, rel=0.1)


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "GROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 500000\n")
    assert capacity.free_memory() == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert capacity.free_memory() > 1_500_000
