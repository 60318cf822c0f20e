"""A recording on disk equals the same arrays in memory, at any time; foreign files are unharmed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neurosim as ns
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import synapse_indices
from neurosim.results import recording
from neurosim.results.format import FORMAT
from neurosim.results.recording import Store, read_traces
from neurosim.results.runs import Run
from neurosim.results.traces import build_traces
from tests.helpers.examples import some
from tests.helpers.limits import limit_of_files
from tests.helpers.problems import Problem, dags, random_targets, rings
from tests.results.test_runs import bits, made_run

Array = np.ndarray
AT_ONCE = 4  # patterns
FLOW, CHOSEN = Flow.adjoint(), {"dt": 1e-3, "transport": {"a": [1, None]}}


class Choice(NamedTuple):
    """The choice of what is recorded, and the arrays of a simulation at every sample."""

    net: Network
    times: Array
    variables: dict[str, list[str]]
    pattern: list[int]
    units: dict[str, list[int]]
    weights: list[str]
    # (variable, population): (samples, patterns of the batch * units); of w: synapses
    arrays: dict[tuple[str, str], Array]

    def open(self, path: Path, dtype: str = "float64") -> Store:
        return Store(
            path,
            self.net,
            FLOW,
            CHOSEN,
            self.times,
            self.variables,
            pattern=self.pattern,
            units=self.units,
            synaptic={"w": self.weights} if self.weights else {},
            dtype=dtype,
        )

    def rows(self, store: Store) -> dict[str, Array]:
        """Return the rows that a writer makes of the arrays, by the layout."""
        found = {}
        for variable, parts in store.layout.items():
            found[variable] = np.full((len(self.times), store.sizes[variable]), np.nan)
            for part in parts:
                found[variable][:, part.position] = self.arrays[variable, part.name][:, part.source]
        return found

    def traces(self, samples: int | None = None, dtype: str = "float64") -> xr.Dataset:
        """Return the same traces in memory, by slices."""
        n = len(self.times) if samples is None else samples
        recorded = {}
        for v, names in self.variables.items():
            recorded[v] = {}
            for p in names:
                whole = self.arrays[v, p].reshape(
                    len(self.times), AT_ONCE, self.net.populations[p].size
                )
                chosen = self.units.get(p, list(range(whole.shape[2])))
                recorded[v][p] = whole[:n][:, self.pattern][:, :, chosen].astype(dtype)
        weights = {q: self.arrays["w", q][:n].astype(dtype) for q in self.weights}
        traces = build_traces(
            self.net,
            FLOW,
            CHOSEN,
            self.times[:n],
            recorded,
            pattern=self.pattern,
            units=self.units,
            synaptic={"w": weights} if weights else {},
        )
        names = list(self.variables)
        if weights:
            names.append("w")
        return traces.assign({v: traces[v].astype(dtype) for v in names})


def choice(
    net: Network,
    samples: int,
    variables: dict[str, list[str]],
    pattern: list[int],
    units: dict[str, list[int]],
    weights: list[str],
) -> Choice:
    rng = np.random.default_rng(samples)
    sizes = {}
    for v, names in variables.items():
        for p in names:
            sizes[v, p] = AT_ONCE * net.populations[p].size
    for q in weights:
        post, _ = synapse_indices(net.weights[q])
        sizes["w", q] = len(post)
    arrays = {key: rng.normal(size=(samples, n)) for key, n in sizes.items()}
    return Choice(net, np.arange(samples) * 1e-3, variables, pattern, units, weights, arrays)


def small(samples: int = 10) -> Choice:
    """Two patterns, some units, a population without lam, and weights."""
    net = Network.mlp([4, 3, 2], loss="mse", seed=1)
    variables = {"x": ["hidden1", "output"], "lam": ["output"]}
    return choice(net, samples, variables, [2, 0], {"hidden1": [2, 0]}, ["hidden1->output"])


def final(chosen: Choice) -> Run:
    """A run of arbitrary numbers of this network, with the settings of `CHOSEN`."""
    net = chosen.net
    Y = random_targets(net, np.random.default_rng(0), 2)
    X = np.ones((2, sum(net.populations[n].size for n in net.inputs)))
    return replace(made_run((net, X, Y), FLOW, 0, recorded=False), settings=CHOSEN)


def write(store: Store, rows: dict[str, Array], start: int = 0, stop: int | None = None) -> None:
    for variable, values in rows.items():
        store.write(variable, start, values[start:stop])


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete recording of `small()`, three samples a chunk."""
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", 200)
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    assert store.rows == 3
    write(store, chosen.rows(store))
    store.finish(final(chosen), 10)
    return store.path


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    problem: Problem = draw(st.one_of(dags(), rings()))
    net = problem[0]
    some = st.lists(st.sampled_from(list(net.populations)), unique=True, min_size=1)
    variables = draw(st.dictionaries(st.sampled_from(["x", "lam", "own"]), some, min_size=1))
    index = {
        p: st.lists(st.integers(0, q.size - 1), max_size=4) for p, q in net.populations.items()
    }
    units = {p: draw(index[p]) for p in draw(some)}
    pattern = draw(st.lists(st.integers(0, AT_ONCE - 1), max_size=3))
    weights = draw(st.lists(st.sampled_from(list(net.projections)), unique=True))
    return choice(net, draw(st.integers(0, 9)), variables, pattern, units, weights)


# What is read equals what was written


@given(
    chosen=choices(),
    pieces=st.lists(st.integers(1, 5)),
    flushed=st.sets(st.integers(0, 9)),
    chunk=st.integers(1, 600),
    dtype=st.sampled_from(["float64", "float32"]),
)
@settings(max_examples=some(30), deadline=None)
def test_a_recording_is_the_traces_of_the_same_arrays(
    tmp_path_factory: pytest.TempPathFactory,
    chosen: Choice,
    pieces: list[int],
    flushed: set[int],
    chunk: int,
    dtype: str,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurosim.results.zarr.CHUNK", chunk)
        store = chosen.open(tmp_path_factory.mktemp("run") / "run.zarr", dtype)
        rows, start = chosen.rows(store), 0
        for number, piece in enumerate([*pieces, len(chosen.times)]):
            write(store, rows, start, start + piece)
            start += piece
            if number in flushed:
                store.flush()
        run = final(chosen)
        store.finish(run, len(chosen.times))
    assert 1 <= store.rows <= max(1, len(chosen.times))
    found = ns.load(store.path)
    assert isinstance(found, Run)
    assert not any(found.traces.variables[v]._in_memory for v in store.folders)
    assert bits(found) == bits(replace(run, traces=chosen.traces(dtype=dtype)))


def test_chunks_are_raw_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write as the C++ program does: no header, whole chunks under another name, then renamed."""
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", 200)
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr", "float32")
    assert store.rows == 6
    rows = chosen.rows(store)
    for c in range(2):
        for variable, suffix in {"x": ".0.0", "lam": ".0.0", "w": ".0"}.items():
            block = np.full((6, store.sizes[variable]), np.nan, "<f4")
            part = rows[variable][6 * c : 6 * c + 6]
            block[: len(part)] = part
            block.tofile(store.folders[variable] / "half")
            os.rename(store.folders[variable] / "half", store.folders[variable] / f"{c}{suffix}")
    store.finish(final(chosen), 10)
    xr.testing.assert_identical(ns.load(store.path).traces, chosen.traces(dtype="float32"))


def test_zarr_and_xarray_can_read_it(recorded: Path) -> None:
    """Without neurosim, and on into netCDF."""
    expected = small().traces()
    with xr.open_zarr(recorded, consolidated=False) as found:
        for name, variable in expected.variables.items():
            np.testing.assert_array_equal(found[name], variable)
            assert found[name].dims == variable.dims
            assert found[name].attrs == variable.attrs
        assert set(found.coords) == set(expected.coords)
        assert found.attrs["model"] == expected.attrs["model"]
        found.to_netcdf(recorded.parent / "run.nc", engine="h5netcdf")


def test_a_chunk_holds_about_a_megabyte(tmp_path: Path) -> None:
    chosen = small(10**6)._replace(arrays={})
    store = chosen.open(tmp_path / "run.zarr")
    assert store.rows == 2**20 // (8 * max(store.sizes.values()))
    assert sorted(p.name for p in (store.path / "time").iterdir()) == [
        ".zarray",
        ".zattrs",
        *"01234567",
    ]
    np.testing.assert_array_equal(xr.open_zarr(store.path, consolidated=False).time, chosen.times)


def test_a_recorded_run_can_be_saved(recorded: Path) -> None:
    run = ns.load(recorded)
    ns.save(run, recorded.parent / "run.nc")
    assert bits(ns.load(recorded.parent / "run.nc")) == bits(run)
    assert bits(run.traces) == bits(small().traces())


def test_a_part_of_it_is_read_as_a_part(recorded: Path) -> None:
    """Chunks that the part does not touch may be gone."""
    traces, expected = read_traces(recorded), small().traces()
    for name in ("1.0.0", "2.0.0"):
        (recorded / "x" / name).unlink()
    np.testing.assert_array_equal(traces.x.isel(time=slice(0, 3)), expected.x[:3])
    hidden = traces.x.isel(unit=traces.population.values == "hidden1").isel(time=[9, 9])
    np.testing.assert_array_equal(hidden, expected.x[[9, 9]][:, :, :2])
    np.testing.assert_array_equal(traces.w.values, expected.w)
    assert not any(traces.variables[v]._in_memory for v in ("x", "lam", "w"))  # nor is it kept
    assert all(v.encoding == {} for v in traces.variables.values())
    assert list(traces.data_vars) == list(expected.data_vars)


# While the run goes on


@pytest.mark.parametrize("flushing", [True, False])
def test_it_can_be_read_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushing: bool
) -> None:
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", 200)
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    rows, expected = chosen.rows(store), chosen.traces()
    for step in range(11):
        if flushing:
            store.flush()
        there = step if flushing else step // 3 * 3
        found = read_traces(store.path)
        assert found.attrs == {"model": expected.attrs["model"], "complete": 0}
        xr.testing.assert_equal(found, expected.isel(time=slice(0, there))[["x", "lam", "w"]])
        with xr.open_zarr(store.path, consolidated=False) as whole:
            assert whole.sizes["time"] == 10
            assert np.isnan(whole.x[there:]).all()
            np.testing.assert_array_equal(whole.w[:there], expected.w[:there])
        write(store, rows, step, step + 1)
    store.finish(final(chosen), 10)
    assert read_traces(store.path).attrs["complete"] == 1


def test_a_reader_never_sees_half_a_chunk(tmp_path: Path) -> None:
    """An opened chunk stays as it was, since a new one is another file that takes its name."""
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    write(store, chosen.rows(store), 0, 4)
    store.flush()
    with (store.folders["x"] / "0.0.0").open("rb") as opened:
        before = (store.folders["x"] / "0.0.0").read_bytes()
        write(store, chosen.rows(store), 4, 8)
        store.flush()
        assert opened.read() == before != (store.folders["x"] / "0.0.0").read_bytes()


def test_samples_are_those_that_every_variable_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", 200)
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    rows = chosen.rows(store)
    store.write("x", 0, rows["x"])
    store.write("w", 0, rows["w"][:7])
    store.write("lam", 0, rows["lam"][:5])
    assert read_traces(store.path).sizes["time"] == 3
    store.flush()
    xr.testing.assert_equal(read_traces(store.path), chosen.traces(5)[["x", "lam", "w"]])
    os.truncate(store.folders["w"] / "1.0", 5)  # a copy that was cut short
    assert read_traces(store.path).sizes["time"] == 3


def test_a_run_that_is_not_over_cannot_be_loaded(tmp_path: Path) -> None:
    store = small().open(tmp_path / "run.zarr")
    with pytest.raises(
        ns.FileError, match=r"still goes on or was killed; try .*read_traces\(.*xarray\.open_zarr\("
    ):
        ns.load(store.path)


@pytest.mark.parametrize("samples", [0, 2, 3, 7, 10])
def test_a_run_that_ends_early_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int
) -> None:
    monkeypatch.setattr("neurosim.results.zarr.CHUNK", 200)
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    write(store, chosen.rows(store))  # a program that wrote more than it counted
    store.finish(replace(final(chosen), interrupted=True), samples)
    found = ns.load(store.path)
    assert found.interrupted
    xr.testing.assert_identical(found.traces, chosen.traces(samples))
    chunks = {p.name for p in store.folders["x"].glob("*.0.0")}
    assert chunks == {f"{c}.0.0" for c in range(-(-samples // 3))}
    with xr.open_zarr(store.path, consolidated=False) as plain:
        assert plain.sizes["time"] == samples


def test_the_final_model_is_that_of_the_run(tmp_path: Path) -> None:
    chosen = small()
    store = chosen.open(tmp_path / "run.zarr")
    write(store, chosen.rows(store))
    run = replace(
        final(chosen),
        settings={"duration": 0.5},
        network=Network.mlp([4, 3, 2], loss="mse", seed=2),
    )
    store.finish(run, 10)
    found = ns.load(store.path)
    assert (
        json.loads(found.traces.attrs["model"])["settings"] == found.settings == {"duration": 0.5}
    )
    for name, w in run.network.weights.items():
        np.testing.assert_array_equal(found.traces[f"weights.{name}"], w)


# What is there already


def test_an_older_recording_gets_another_name(recorded: Path) -> None:
    """Results that were read before stay as they were, also in another process."""
    older = ns.load(recorded)
    pickled, kept = pickle.dumps(older), older.traces.load().copy(deep=True)
    older, half = pickle.loads(pickled), None
    chosen = small(4)
    for number in (1, 2):  # a complete one, then one that was killed
        version = recorded.with_name(f"{recorded.stem}-{number}{recorded.suffix}")
        with pytest.warns(UserWarning, match=f"held another recording, which is {version} now"):
            store = chosen.open(recorded)
        assert not list(recorded.glob("*/*.0.0"))
        assert read_traces(recorded).sizes["time"] == 0
        write(store, chosen.rows(store))
        if number == 1:
            store.flush()
            half = read_traces(recorded)
            del store
    store.finish(final(chosen), 4)
    xr.testing.assert_identical(ns.load(recorded).traces, chosen.traces())
    xr.testing.assert_identical(older.traces, kept)
    xr.testing.assert_identical(pickle.loads(pickled).traces, kept)
    assert half.x.size
    np.testing.assert_array_equal(half.x, chosen.traces().x)
    xr.testing.assert_identical(
        ns.load(recorded.with_name(f"{recorded.stem}-1{recorded.suffix}")).traces, kept
    )


def test_a_recording_that_is_gone_is_not_read_from_another(recorded: Path) -> None:
    older = ns.load(recorded)
    shutil.rmtree(recorded)
    small().open(recorded)
    with pytest.raises(ns.FileError, match="is not the recording that was opened any more"):
        older.traces.x.values  # noqa: B018


def test_two_runs_do_not_write_one_path(tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    chosen = small(4)
    store = chosen.open(path)
    with pytest.raises(ns.FileError, match="is being written by another run; try another path"):
        small().open(path)
    write(store, chosen.rows(store))
    store.finish(final(chosen), 4)
    xr.testing.assert_identical(ns.load(path).traces, chosen.traces())
    with pytest.warns(UserWarning, match=r"run-1\.zarr now"):
        small().open(path)


def test_a_run_that_is_killed_as_it_begins_leaves_the_older_recording(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    kept = ns.load(recorded).traces.load()
    monkeypatch.setattr(recording, "put", killed)
    version = recorded.with_name(f"{recorded.stem}-1{recorded.suffix}")
    with pytest.warns(UserWarning, match=str(version)), pytest.raises(KeyboardInterrupt):
        small().open(recorded)
    monkeypatch.undo()
    xr.testing.assert_identical(ns.load(version).traces, kept)
    small().open(recorded)
    assert read_traces(recorded).sizes["time"] == 0


@pytest.mark.parametrize("content", ["a file", "notes", "other zarr", "no json", "list"])
def test_what_is_not_ours_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.zarr"
    if content == "a file":
        path.write_text("mine")
    else:
        path.mkdir()
        name = "notes.txt" if content == "notes" else ".zattrs"
        texts = {
            "notes": "mine",
            "other zarr": '{"neurosim_kind": "sweep"}',
            "no json": "{",
            "list": "[1]",
        }
        (path / name).write_text(texts[content])
    before = {p: p.read_bytes() for p in [path, *path.glob("*")] if p.is_file()}
    with pytest.raises(
        ns.FileError, match=r"run\.zarr exists and is not a recording; try another path"
    ):
        small().open(path)
    assert {p: p.read_bytes() for p in [path, *path.glob("*")] if p.is_file()} == before
    words = "is a file; allowed" if content == "a file" else "not a recording"
    with pytest.raises(ns.FileError, match=words):
        read_traces(path)
    with pytest.raises(ns.FileError, match=r"not a netCDF-4 file|is a folder, but not a recording"):
        ns.load(path)


def test_an_empty_folder_and_a_link_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    small().open(tmp_path / "link")
    small().open(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read_traces(tmp_path / "real").sizes["time"] == 0


def test_links_in_an_older_recording_are_not_followed(recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    (recorded / "link").symlink_to(tmp_path / "mine")
    small().open(recorded)
    assert (tmp_path / "mine" / "notes").exists()


def test_a_missing_recording_has_a_nearest_name(recorded: Path) -> None:
    with pytest.raises(ns.FileError, match=r"does not exist; did you mean .*run\.zarr"):
        read_traces(recorded.parent / "run1.zarr")


# What cannot be written or read


def test_folders_that_cannot_take_it_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in {
        tmp_path / "nowhere" / "run.zarr": "create the folder .*nowhere first",
        tmp_path / "file" / "run.zarr": "is not a folder",
        tmp_path / ("n" * 300): "File name too long; try a shorter name",
    }.items():
        with pytest.raises(ns.FileError, match=words):
            small().open(path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(
            ns.FileError, match="Permission denied; try a folder that you may write to"
        ):
            small().open(tmp_path / "run.zarr")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_leaves_what_was_recorded(tmp_path: Path) -> None:
    chosen = small(2000)
    path = tmp_path / "run.zarr"
    with (
        limit_of_files(100),
        pytest.raises(ns.FileError, match=r"run\.zarr cannot be written: File too large"),
    ):
        chosen.open(path)
    store = chosen.open(path)  # what was begun counts as a recording
    store.rows = 500  # any number will do for the writer
    rows = chosen.rows(store)
    with limit_of_files(10_000):
        with pytest.raises(ns.FileError, match=r"run\.zarr cannot be written: File too large"):
            write(store, rows)
        with pytest.raises(ns.FileError, match="cannot be written"):
            store.finish(final(chosen), 2000)
    assert not list(path.glob("**/.*.new"))
    assert read_traces(path).attrs["complete"] == 0


def test_a_disk_that_fills_up_at_the_end_costs_nothing(tmp_path: Path) -> None:
    chosen = small(200)
    store = chosen.open(tmp_path / "run.zarr")
    write(store, chosen.rows(store))
    store.flush()
    with limit_of_files(100), pytest.raises(ns.FileError, match="cannot be written"):
        store.finish(final(chosen), 200)
    np.testing.assert_array_equal(read_traces(store.path).x, chosen.traces().x)
    store.finish(final(chosen), 200)  # room again
    xr.testing.assert_identical(ns.load(store.path).traces, chosen.traces())


SPOILERS: dict[str, Callable[[Path], None]] = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "noise": lambda path: path.write_bytes(b"\x80\xff{" + path.read_bytes()[3:]),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_a_damaged_recording_is_refused(recorded: Path, how: str) -> None:
    for path in [p for p in sorted(recorded.rglob("*")) if p.is_file()]:
        if how == "noise" and not path.name.startswith(".z"):
            continue  # other numbers are still numbers
        content = path.read_bytes()
        SPOILERS[how](path)
        with pytest.raises(ns.FileError, match=r"damaged|not a recording"):
            ns.load(recorded)
        path.write_bytes(content)
    assert bits(ns.load(recorded).traces) == bits(small().traces())


def test_a_newer_format_is_refused(recorded: Path) -> None:
    about = json.loads((recorded / ".zattrs").read_text())
    (recorded / ".zattrs").write_text(json.dumps(about | {"neurosim_format": FORMAT + 1}))
    for read in (ns.load, read_traces):
        with pytest.raises(ns.FileError, match=f"format {FORMAT + 1}.*newer neurosim"):
            read(recorded)


# What cannot be recorded


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"variables": {"x": ["hiden1"]}}, "did you mean 'hidden1'"),
        ({"variables": {"run": ["hidden1"]}}, "trace of 'run'; allowed: any name but time, "),
        ({"units": {"hiden1": [0]}}, "population of the recorded units = 'hiden1'"),
        (
            {"units": {"hidden1": [0, 3]}},
            r"units of hidden1 = \[0, 3\]; allowed: whole numbers, 0 to 2",
        ),
        ({"units": {"hidden1": [-1]}}, "0 to 2"),
        ({"units": {"hidden1": [True, False, True]}}, "whole numbers"),
        ({"units": {"hidden1": [0.5]}}, "whole numbers"),
        ({"weights": ["input->output"]}, "allowed: input->hidden1"),
    ],
)
def test_what_the_network_does_not_have_is_refused(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(ns.DataError, match=words):
        small()._replace(**changed).open(tmp_path / "run.zarr")
    assert not (tmp_path / "run.zarr").exists()


def test_numbers_are_doubles_or_floats(tmp_path: Path) -> None:
    with pytest.raises(ns.ModelError, match="dtype = 'int32'; allowed: float64, float32"):
        small().open(tmp_path / "run.zarr", "int32")


def test_traces_in_memory_can_be_of_chosen_units() -> None:
    net = Network.mlp([4, 3, 2], loss="mse")
    x = {"hidden1": np.arange(4.0).reshape(2, 1, 2), "output": -np.arange(4.0).reshape(2, 1, 2)}
    traces = build_traces(
        net, FLOW, {}, np.zeros(2), {"x": x}, pattern=[0], units={"hidden1": [2, 0]}
    )
    assert traces.population.values.tolist() == ["hidden1"] * 2 + ["output"] * 2
    assert traces["index"].values.tolist() == [2, 0, 0, 1]
    np.testing.assert_array_equal(traces.x, np.concatenate(list(x.values()), axis=2))
    with pytest.raises(ns.DataError, match=r"shape \(2, 1, 2\).*\(2, 1, 1\)"):
        build_traces(net, FLOW, {}, np.zeros(2), {"x": x}, pattern=[0], units={"hidden1": [2]})


# Memory


def peak_of(path: Path, samples: int) -> int:
    """Return the peak memory in bytes of a recording of this many samples of 100 units."""
    net = Network(
        [ns.Population("a", 1, clamped=True), ns.Population("b", 100)], [ns.Projection("a", "b")]
    )
    times, rows = np.arange(samples) * 1e-3, np.ones((100, 100))
    tracemalloc.start()
    try:
        store = Store(path, net, FLOW, {}, times, {"x": ["b"]}, pattern=[0])
        for first in range(0, samples, len(rows)):
            store.write("x", first, rows)
        store.finish(Run(net, FLOW, {}, {}, {}, {}, {}), samples)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_duration(tmp_path: Path) -> None:
    peak_of(tmp_path / "run.zarr", 100)  # imports
    few, many = (peak_of(tmp_path / "run.zarr", samples) for samples in (10**3, 10**5))
    assert many < 2 * few
    with xr.open_zarr(tmp_path / "run.zarr", consolidated=False) as found:
        assert found.x.shape == (10**5, 1, 100)
        assert found.x[-1].min() == 1


def test_importing_recording_is_quick() -> None:
    slow = ("xarray", "zarr", "scipy", "h5netcdf", "pandas", "brian2")
    code = f"import sys, neurosim.recording; print([m for m in {slow} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
