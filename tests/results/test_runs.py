"""Traces carry the model; files come back bit by bit, or are refused with a reason."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import io
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import sparse

import neurosim as ns
from neurosim.data.patterns import patterns, targets
from neurosim.disk import reading, replacing
from neurosim.experiments.output import save_figure
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Population, Projection
from neurosim.model.weights import synapse_indices
from neurosim.results.files import load_weights, save_weights
from neurosim.results.format import FORMAT
from neurosim.results.runs import Log, Run
from neurosim.results.traces import build_traces
from tests.helpers.examples import some
from tests.helpers.limits import limit_of_files
from tests.helpers.problems import SEEDS, Problem, dags, fitted, flows, random_problem, rings

Array = np.ndarray
# Numbers whose bits text or a fill value would lose.
ODD = np.array([-0.0, np.nan, np.inf, 5e-324, np.nextafter(1, 2)])


def made_run(problem: Problem, flow: Flow, seed: int, *, recorded: bool = True) -> Run:
    """A run of arbitrary numbers, odd ones among them."""
    net, X, Y = problem
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        are_odd = rng.random(shape) < 0.1
        return np.where(are_odd, rng.choice(ODD, size=shape), rng.normal(size=shape))

    def draw_all(*shape: int) -> dict[str, Array]:
        return {n: draw(*shape, net.populations[n].size) for n in net.neurons}

    clamped = patterns(net, X)
    state = {"x": draw_all(len(X)), "lam": draw_all(len(X))}
    chosen = {
        "dt": 0.1 + 0.2,
        "method": "euler",
        "seed": seed,
        "transport": {"a": [1, None]},
        "plastic": True,
    }
    traces = build_traces(
        net,
        fitted(flow, net),
        chosen,
        np.arange(3) * chosen["dt"],
        {"x": draw_all(3, len(X)), "lam": draw_all(3, len(X))},
        pattern=np.arange(len(X)),
        weights={p: draw(3, len(synapse_indices(w)[0])) for p, w in net.weights.items()},
    )
    return Run(
        network=net,
        flow=fitted(flow, net),
        settings=chosen,
        X=clamped,
        Y=targets(net, Y, len(X)),
        **state,
        traces=traces if recorded else None,
        time=float(draw(1)[0] ** 2),
        steps=3,
        interrupted=bool(seed % 2),
        auxiliary={
            "n0.v": draw(2, 3),
            "a/b": np.arange(4, dtype="int32"),
            "on": np.array(True),
            "0": np.zeros((0, 2)),
        },
    )


def bits(value: Any) -> Any:
    """Return a value as plain Python, arrays as type, shape and bytes."""
    match value:
        case np.ndarray():
            found: Any = str(value.dtype), value.shape, value.tobytes()
        case xr.Dataset():
            columns = {
                n: (v.dims, bits(v.values), dict(v.attrs))
                for n, v in sorted(value.variables.items())
            }
            found = columns, sorted(map(str, value.coords)), dict(value.attrs)
        case Network():
            found = bits([value.describe(), value.weights, value.biases])
        case Log():
            found = bits(value.history), bits(value.run)
        case Run():
            found = {f.name: bits(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case Mapping():
            found = {key: bits(v) for key, v in value.items()}
        case list() | tuple():
            found = [bits(v) for v in value]
        case _ if hasattr(value, "indptr"):
            found = bits([value.data, value.indices, value.indptr, value.shape])
        case _:
            found = repr(value)
    return found


def small_run(recorded: bool = True, seed: int = 0) -> Run:
    return made_run(random_problem([3, 2, 2], seed), Flow.augmented(), seed, recorded=recorded)


def small_log() -> Log:
    rows = {"loss": ("time", [1.0, 0.5]), "validation_loss": ("time", [np.nan, 0.6])}
    return Log(xr.Dataset(rows, {"time": ("time", [0.0, 0.3], {"units": "s"})}), small_run())


# Traces


def test_units_of_all_populations_lie_on_one_dimension() -> None:
    net = Network.mlp([4, 3, 2], loss="mse")
    x = {"hidden1": np.arange(24.0).reshape(4, 2, 3), "output": -np.arange(16.0).reshape(4, 2, 2)}
    lam = {"output": np.ones((4, 2, 2))}
    traces = build_traces(
        net, Flow.adjoint(), {}, np.arange(4) * 1e-3, {"x": x, "lam": lam}, pattern=[5, 7]
    )
    assert traces.x.dims == traces.lam.dims == ("time", "pattern", "unit")
    assert traces.population.values.tolist() == ["hidden1"] * 3 + ["output"] * 2
    assert traces["index"].values.tolist() == [0, 1, 2, 0, 1]
    assert traces.pattern.values.tolist() == [5, 7]
    assert traces.time.values.tolist() == [0.0, 1e-3, 2e-3, 3e-3]
    for name, values in x.items():
        np.testing.assert_array_equal(
            traces.x.values[..., traces.population.values == name], values
        )
    assert np.isnan(traces.lam.values[..., :3]).all()
    np.testing.assert_array_equal(traces.lam.values[..., 3:], 1.0)
    assert (traces.time.units, traces.x.units, traces.lam.long_name) == (
        "s",
        "1",
        "Lagrange multiplier",
    )


@given(problem=st.one_of(dags(), rings()))
@settings(max_examples=25, deadline=None)
def test_every_synapse_of_a_weight_trace_names_its_units(problem: Problem) -> None:
    net = problem[0]
    values = {
        name: w.reshape(-1) if isinstance(w, np.ndarray) else w.data
        for name, w in net.weights.items()
    }
    weights = {name: np.stack([v, np.zeros_like(v)]) for name, v in values.items()}
    traces = build_traces(net, Flow.adjoint(), {}, np.array([0.0, 1.0]), {}, weights=weights)
    for name, w in net.weights.items():
        here = traces.projection.values == name
        dense = np.zeros(w.shape)
        dense[traces.post.values[here], traces.pre.values[here]] = traces.w.values[0, here]
        np.testing.assert_array_equal(dense, w if isinstance(w, np.ndarray) else w.toarray())
        assert here.sum() == (w.size if isinstance(w, np.ndarray) else w.nnz)


def test_some_synapses_can_be_recorded() -> None:
    net = Network.mlp([4, 3, 2])
    some = {"hidden1->output": (np.array([1]), np.array([2]))}
    traces = build_traces(
        net,
        Flow.adjoint(),
        {},
        np.zeros(1),
        {},
        weights={"hidden1->output": np.ones((1, 1))},
        synapses=some,
    )
    assert (traces.post.item(), traces.pre.item(), traces.projection.item()) == (
        1,
        2,
        "hidden1->output",
    )


def test_traces_carry_the_model() -> None:
    run = small_run()
    model = json.loads(run.traces.attrs["model"])
    assert model["network"] == run.network.describe()
    assert Flow(**model["flow"]) == run.flow
    assert model["settings"] == run.settings
    assert model["neurosim"] == ns.__version__
    np.testing.assert_array_equal(
        run.traces["weights.input->hidden1"], run.network.weights["input->hidden1"]
    )
    np.testing.assert_array_equal(run.traces["bias.output"], run.network.biases["output"])


def test_settings_that_json_does_not_know_are_kept_as_text() -> None:
    chosen = {"n": np.int64(3), "a": np.array([1.0]), "path": Path("here"), "of": np.float64(0.1)}
    traces = build_traces(Network.mlp([2, 1], loss="mse"), Flow.adjoint(), chosen, np.zeros(1), {})
    assert json.loads(traces.attrs["model"])["settings"] == {
        "n": 3,
        "a": [1.0],
        "path": "here",
        "of": 0.1,
    }


@pytest.mark.parametrize(
    ("recorded", "weights", "words"),
    [
        ({"x": {"hidden1": np.zeros((2, 1, 4))}}, None, r"shape \(2, 1, 4\).*\(2, 1, 3\)"),
        ({"x": {"hiden1": np.zeros((2, 1, 3))}}, None, "did you mean 'hidden1'"),
        ({}, {"input->hidden1": np.zeros((2, 5))}, r"shape \(2, 5\).*\(2, 12\)"),
        ({}, {"input->output": np.zeros((2, 8))}, "allowed: input->hidden1"),
    ],
)
def test_traces_that_do_not_fit_are_refused(recorded: Any, weights: Any, words: str) -> None:
    with pytest.raises(ns.DataError, match=words):
        build_traces(
            Network.mlp([4, 3, 2]),
            Flow.adjoint(),
            {},
            np.zeros(2),
            recorded,
            pattern=[0],
            weights=weights,
        )


# There and back


def test_the_longest_name_need_not_have_synapses(tmp_path: Path) -> None:
    """Files keep text as wide as its longest entry."""
    projections = [
        Projection("in0", "n0", weights=np.ones((1, 1))),
        Projection("n0", "long_name", weights=sparse.csr_array((1, 1))),
    ]
    units = [Population("in0", 1, clamped=True), Population("n0", 1), Population("long_name", 1)]
    net = Network(units, projections, losses=[ns.Loss("long_name", "mse")])
    run = made_run((net, np.ones((1, 1)), {"long_name": np.ones((1, 1))}), Flow.adjoint(), 0)
    ns.save(run, tmp_path / "run.nc")
    assert bits(ns.load(tmp_path / "run.nc")) == bits(run)


@given(
    problem=st.one_of(dags(l1=True), rings(l1=True)),
    flow=flows(),
    seed=SEEDS,
    recorded=st.booleans(),
)
@settings(max_examples=some(10), deadline=None)
def test_a_run_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory,
    problem: Problem,
    flow: Flow,
    seed: int,
    recorded: bool,
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.nc"
    run = made_run(problem, flow, seed, recorded=recorded)
    ns.save(run, path)
    found = ns.load(path)
    assert bits(found) == bits(run)
    assert found.flow == run.flow
    ns.save(found, path)  # what was read can be written
    assert bits(ns.load(path)) == bits(run)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_log_comes_back_bit_by_bit(tmp_path: Path, recorded: bool) -> None:
    log = Log(small_log().history, small_run(recorded))
    ns.save(log, str(tmp_path / "log.nc"))
    found = ns.load(str(tmp_path / "log.nc"))
    assert isinstance(found, Log)
    assert bits(found) == bits(log)


def test_loaded_arrays_can_be_worked_with(tmp_path: Path) -> None:
    ns.save(small_run(), tmp_path / "run.nc")
    run = ns.load(tmp_path / "run.nc")
    (tmp_path / "run.nc").unlink()  # nothing is read later
    for array in (run.x["hidden1"], run.network.weights["input->hidden1"], run.traces.x.values):
        assert array.flags.writeable
        assert array.flags.c_contiguous
    assert list(run.x) == ["hidden1", "output"]


def test_traces_can_be_read_without_neurosim(tmp_path: Path) -> None:
    run = small_run()
    ns.save(run, tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc") as found:
        np.testing.assert_array_equal(found.time, run.traces.time)
        assert found.time.dtype == float
        np.testing.assert_array_equal(found.x, run.traces.x)
        assert json.loads(found.attrs["model"])["network"] == run.network.describe()


def test_only_results_are_saved(tmp_path: Path) -> None:
    with pytest.raises(ns.ModelError, match=r"result = \{\}; allowed: a Run"):
        ns.save({}, tmp_path / "run.nc")
    assert list(tmp_path.iterdir()) == []


# Foreign files


def spoilt(path: Path, **attributes: Any) -> None:
    """Write a run with attributes of the root changed, or taken away where None."""
    import h5netcdf

    ns.save(small_run(), path)
    with h5netcdf.File(path, "a") as file:
        for key, value in attributes.items():
            if value is None:
                del file.attrs[key]
            else:
                file.attrs[key] = value


def classic(path: Path) -> None:
    from scipy.io import netcdf_file

    with netcdf_file(path, "w") as file:
        file.createDimension("time", 2)


FOREIGN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "text": (
        lambda path: path.write_text("rho,steps\n1,96\n"),
        "not a netCDF-4 file.*rho,step.*neurosim.save",
    ),
    "empty": (lambda path: path.touch(), "is empty"),
    "weights": (lambda path: save_weights(Network.mlp([2, 2]), path), "zip archive.*load_weights"),
    "netCDF-3": (classic, "classic netCDF file"),
    "other netCDF": (
        lambda path: xr.Dataset({"t": ("x", [1.0])}).to_netcdf(path, engine="h5netcdf"),
        "not one that",
    ),
    "newer": (
        lambda path: spoilt(path, neurosim_format=FORMAT + 1),
        f"format {FORMAT + 1}.*newer neurosim",
    ),
    "no format": (
        lambda path: spoilt(path, neurosim_format=None),
        "not one that neurosim.save wrote",
    ),
    "odd format": (lambda path: spoilt(path, neurosim_format="two"), "format two"),
    "other kind": (
        lambda path: spoilt(path, neurosim_kind="sweep"),
        "not one that neurosim.save wrote",
    ),
    "folder": (lambda path: path.mkdir(), "is a folder"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_named(tmp_path: Path, kind: str) -> None:
    write, words = FOREIGN[kind]
    write(tmp_path / "run.nc")
    with pytest.raises(ns.FileError, match=words) as refusal:
        ns.load(tmp_path / "run.nc")
    assert str(tmp_path / "run.nc") in str(refusal.value)


def test_a_missing_file_has_a_nearest_name(tmp_path: Path) -> None:
    ns.save(small_run(), tmp_path / "run1.nc")
    with pytest.raises(ns.FileError, match=r"does not exist; did you mean .*run1\.nc"):
        ns.load(tmp_path / "run.nc")
    with pytest.raises(ns.FileError, match="does not exist; try another path"):
        ns.load(tmp_path / "nowhere" / "run.nc")


@pytest.mark.parametrize("result", [small_run(), small_log()], ids=["run", "log"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, result: Run | Log) -> None:
    path = tmp_path / "run.nc"
    ns.save(result, path)
    whole = path.read_bytes()
    for length in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(ns.FileError, match=r"cut short or damaged|not a netCDF-4 file"):
            ns.load(path)


def test_a_parameter_that_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    import h5netcdf

    path = tmp_path / "run.nc"
    net = Network(
        [ns.Population("a", 3, clamped=True), ns.Population("b", 3)],
        [ns.Projection("a", "b", mask=np.eye(3))],
        [ns.Loss("b")],
    )
    ns.save(made_run((net, np.zeros((2, 3)), {"b": np.zeros((2, 3))}), Flow.adjoint(), 0), path)
    with h5netcdf.File(path, "a") as file:
        file["run"]["weights.a->b.indices"][...] = np.array([0, 1, 10**6])
    with pytest.raises(ns.FileError, match="damaged"):
        ns.load(path)


# Writing harms nothing


WRITERS: dict[str, Callable[[Path], None]] = {
    "run": lambda path: ns.save(small_run(seed=1), path),
    "log": lambda path: ns.save(small_log(), path),
    "weights": lambda path: save_weights(Network.mlp([30, 30], seed=1), path),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_full_disk_leaves_the_older_file(
    tmp_path: Path, write: Callable[[Path], None], size: int
) -> None:
    path = tmp_path / "result"
    path.write_bytes(b"older")
    with (
        limit_of_files(size),
        pytest.raises(ns.FileError, match=r"result cannot be written: File too large"),
    ):
        write(path)
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
    write(path)  # and the process is unharmed
    assert path.read_bytes() != b"older"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ENOSPC", "the disk is full; free some space"),
        ("EACCES", "try a folder that you may write"),
    ],
)
def test_the_last_step_can_fail_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    import errno

    def refuse(*_: Any) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    path = tmp_path / "run.nc"
    ns.save(small_run(), path)
    older = path.read_bytes()
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ns.FileError, match=words):
        ns.save(small_run(seed=1), path)
    assert path.read_bytes() == older
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "table.csv") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_file_is_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(str(tmp_path / "figure.svg")) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".svg")
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["figure.svg"]
    assert (tmp_path / "figure.svg").read_text() == "new"


def test_links_and_permissions_survive(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("older")
    real.chmod(0o640)
    link.symlink_to(real)
    with replacing(link) as temporary:
        temporary.write_text("newer")
    assert link.is_symlink()
    assert real.read_text() == "newer"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_only_regular_files_that_may_be_written_are_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    protected, sock = tmp_path / "protected", tmp_path / "socket"
    protected.write_text("older")
    protected.chmod(0o444)
    net, run = ns.Network.mlp([2, 1]), small_run()
    write: tuple[Callable[[Path], object], ...] = (
        lambda path: ns.save(run, path),
        lambda path: save_weights(net, path),
        lambda path: save_figure(Figure(), [path.with_suffix(".png")]),
    )
    with contextlib.chdir(tmp_path), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sock.name)  # paths of sockets are short
        for path, words in {
            pipe: "it is a pipe",
            link: "it is a pipe",
            sock: "it is a socket",
            protected: "it is write-protected; try another path, or chmod u",
        }.items():
            path.with_suffix(".png").symlink_to(path)
            for writes in write:
                with pytest.raises(ns.FileError, match=f"cannot be written: {words}"):
                    writes(path)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert stat.S_ISSOCK(sock.stat().st_mode)
        assert protected.read_text() == "older"
        for read in (ns.load, lambda path: load_weights(net, path)):
            with pytest.raises(ns.FileError, match="is a pipe; allowed: a file"):
                read(pipe)  # instead of waiting for a writer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, ""), "cannot be read: Permission denied; try to change"),
        (OSError(errno.EMFILE, ""), "cannot be read: Too many open files; try to close"),
        (OSError("truncated"), r"is cut short or damaged \(OSError: truncated\)"),
        (KeyError("x"), "is cut short or damaged"),
    ],
)
def test_what_the_system_refuses_is_not_called_damaged(error: Exception, words: str) -> None:
    with pytest.raises(ns.FileError, match=words), reading(Path("run.nc")):
        raise error


def test_folders_that_cannot_take_a_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in {
        tmp_path / "nowhere" / "run.nc": "create the folder .*nowhere first",
        tmp_path / "file" / "run.nc": "is not a folder",
        tmp_path: "it is a folder",
        tmp_path / ("n" * 300): "File name too long; try a shorter name",
    }.items():
        with pytest.raises(ns.FileError, match=words):
            ns.save(small_run(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(
            ns.FileError, match="Permission denied; try a folder that you may write to"
        ):
            ns.save(small_run(), tmp_path / "run.nc")
    finally:
        tmp_path.chmod(0o700)


# Weights


@given(problem=st.one_of(dags(), rings()))
@settings(max_examples=25, deadline=None)
def test_weights_come_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, problem: Problem
) -> None:
    path = tmp_path_factory.mktemp("weights") / "w"  # the name as it is given
    net = problem[0]
    save_weights(net, path)
    other = net.copy()
    for w in other.weights.values():
        (w if isinstance(w, np.ndarray) else w.data)[...] = 7.0
    for b in other.biases.values():
        b[...] = 7.0
    load_weights(other, path)
    assert bits(other) == bits(net)
    with np.load(path) as archive:
        for name, w in net.weights.items():
            if isinstance(w, np.ndarray):
                np.testing.assert_array_equal(archive[name], w)
            else:
                np.testing.assert_array_equal(archive[f"{name}.data"], w.data)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Network.mlp([3, 4, 2]), r"\(n_post, n_pre\) = \(4, 3\)"),
        (Network.mlp([3, 2]), r"surplus \['hidden1', 'hidden1->output', 'input->hidden1'\]"),
        (
            Network(
                [
                    ns.Population("input", 3, clamped=True),
                    ns.Population("hidden1", 2),
                    ns.Population("output", 2),
                ],
                [
                    ns.Projection("input", "hidden1", mask=np.ones((2, 3))),
                    ns.Projection("hidden1", "output"),
                ],
            ),
            r"missing \['input->hidden1.data'",
        ),
    ],
)
def test_weights_of_another_network_change_nothing(
    tmp_path: Path, other: Network, words: str
) -> None:
    save_weights(Network.mlp([3, 2, 2]), tmp_path / "w.npz")
    before = bits(other)
    with pytest.raises(ns.FileError, match=words):
        load_weights(other, tmp_path / "w.npz")
    assert bits(other) == before


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def archive_of(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_other_files_than_weights_are_refused(tmp_path: Path) -> None:
    net = Network.mlp([2, 1], loss="mse")
    trap = np.array([Trap(str(tmp_path / "sprung"))], dtype=object)
    whole = archive_of(**{"input->output": np.ones((1, 2)), "output": np.zeros(1)})
    for content, words in {
        b"": "is empty",
        b"not an archive": "not an .npz archive",
        whole[:-30]: "damaged",
        archive_of(**{"input->output": trap, "output": np.zeros(1)}): "damaged or not",
        archive_of(**{"input->output": np.full((1, 2), np.nan), "output": np.zeros(1)}): "NaN",
        archive_of(**{"input->output": np.ones((1, 2)), "output": np.array(["a"])}): "does not fit",
    }.items():
        (tmp_path / "w.npz").write_bytes(content)
        before = bits(net)
        with pytest.raises(ns.FileError, match=words):
            load_weights(net, tmp_path / "w.npz")
        assert bits(net) == before
    assert not (tmp_path / "sprung").exists()


def test_importing_results_is_quick() -> None:
    slow = ("xarray", "scipy", "h5netcdf", "matplotlib", "networkx", "sympy", "pandas", "brian2")
    code = f"import sys, neurosim.results.runs; print([m for m in {slow} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
