"""Damaged files and stores are refused: flipped bits, lost, swapped and cut files, strange text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from brian2 import ms

import neurosim as ns
from neurosim.data import archives
from neurosim.errors import FileError
from neurosim.experiments import sweep_store
from neurosim.results import checksums, recording, zarr
from neurosim.results.checksums import CHECKSUMS, SEALED

FLIPS = 24  # single bits per kind of file


def small_run(**recorded: Any) -> ns.Run:
    net = ns.Network.mlp([2, 3, 1], loss="mse", seed=1)
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy")
    return sim.relax(np.eye(2), np.ones((2, 1)), duration=6 * ms, record=["x"], **recorded)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one of each thing that neurosim writes and reads."""
    folder = tmp_path_factory.mktemp("written")
    run = small_run()
    ns.save(run, folder / "run.nc")
    small_run(stream=folder / "recording.zarr")
    sim = ns.Simulation(run.network, run.flow, backend="numpy")
    sim.save_weights(folder / "weights.npz")
    ns.save(trained(checkpoint=folder / "checkpoint.npz"), folder / "log.nc")
    grid = {"flow.rho": [1.0, 2.0], "network.seed": [3, 4]}
    ns.sweep("xor", grid, measure=["settle_time"], out=folder / "sweep.zarr", duration=0.02)
    return folder


def trained(**given: Any) -> ns.Log:
    net = ns.Network.mlp([2, 3, 1], loss="mse", seed=1)
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy")
    schedule = ns.Simultaneous(duration=6 * ms, reports=2)
    return sim.train(np.eye(2), np.ones((2, 1)), schedule, **given)


def read_weights(path: Path) -> Any:
    return archives.read_arrays(path)


READERS: dict[str, Callable[[Path], Any]] = {
    "run.nc": ns.load,
    "recording.zarr": lambda path: ns.load(path).traces.load(),
    "log.nc": ns.load,
    "weights.npz": read_weights,
    "checkpoint.npz": lambda path: trained(resume=path),
    "sweep.zarr": sweep_store.read,
}


def content(found: Any) -> Any:
    """Return something that is equal for equal results."""
    if isinstance(found, ns.Run):
        arrays = {**found.x, **found.lam, **found.network.weights, **found.network.biases}
        listed = {name: np.asarray(array).tobytes() for name, array in arrays.items()}
        assert found.traces is not None
        return listed, content(found.traces), found.time, found.steps, found.flow
    if isinstance(found, ns.Log):
        return content(found.history), content(replace(found.run, traces=xr.Dataset()))
    if isinstance(found, xr.Dataset):
        variables = {name: repr(v.values.tolist()) for name, v in found.variables.items()}
        return variables, {key: str(value) for key, value in found.attrs.items()}
    return {name: (array.dtype, array.tobytes()) for name, array in found.items()}


def parts(path: Path) -> list[Path]:
    """Return the files of which a file or store consists."""
    return sorted(part for part in path.rglob("*") if part.is_file()) or [path]


@pytest.mark.parametrize("name", READERS)
def test_a_flipped_bit_never_gives_other_data(written: Path, tmp_path: Path, name: str) -> None:
    """Either the file is refused, or the bit was of no account and the data are the same."""
    read, rng = READERS[name], np.random.default_rng(7)
    original = content(read(written / name))
    copy = tmp_path / name
    if (written / name).is_dir():
        shutil.copytree(written / name, copy)
    else:
        shutil.copy(written / name, copy)
    assert content(read(copy)) == original
    files = parts(copy)
    sizes = np.array([file.stat().st_size for file in files], float)
    refused = 0
    for _ in range(FLIPS):
        file = files[rng.choice(len(files), p=sizes / sizes.sum())]
        data = bytearray(file.read_bytes())
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        intact = file.read_bytes()
        file.write_bytes(data)
        try:
            assert content(read(copy)) == original
        except FileError:
            refused += 1
        file.write_bytes(intact)
    assert refused > FLIPS / 2


@pytest.mark.parametrize("name", ["recording.zarr", "sweep.zarr"])
def test_lost_swapped_and_cut_files_are_refused(written: Path, tmp_path: Path, name: str) -> None:
    read = READERS[name]
    for number, file in enumerate(parts(written / name)):
        copy = tmp_path / f"lost{number}"
        shutil.copytree(written / name, copy)
        lost = copy / file.relative_to(written / name)
        lost.unlink()
        with pytest.raises(FileError):
            read(copy)
        lost.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(FileError):
            read(copy)
    copy = tmp_path / "swapped"
    shutil.copytree(written / name, copy)
    names = [part for part in parts(copy) if part.name == "0"][:2]
    one, other = (part.read_bytes() for part in names)
    assert one != other
    names[0].write_bytes(other)
    names[1].write_bytes(one)
    with pytest.raises(FileError, match="is damaged"):
        read(copy)


def test_a_run_that_lost_its_seal_is_refused(written: Path, tmp_path: Path) -> None:
    """HDF5 and xarray read the file with its last line, neurosim not without it."""
    whole = (written / "run.nc").read_bytes()
    assert xr.open_dataset(written / "run.nc", engine="h5netcdf").attrs[SEALED] == 1
    path = tmp_path / "run.nc"
    path.write_bytes(whole[: -checksums.ENDING])
    with pytest.raises(FileError, match="its checksum is missing"):
        ns.load(path)


def test_a_store_that_was_killed_while_it_grew_is_read(tmp_path: Path) -> None:
    """The list holds the old and the new checksum of a file until the file is written."""
    store = checksums.Checksums(tmp_path, "a")
    store.put({"a/0": b"old"})
    store.note({"a/0": b"new", "a/1": b"more"})
    for old, new in ((b"old", None), (b"new", None), (b"new", b"more")):
        (tmp_path / "a" / "0").write_bytes(old)
        if new:
            (tmp_path / "a" / "1").write_bytes(new)
        checksums.check_store(tmp_path, "a", is_sealed=True)
    (tmp_path / "a" / "0").write_bytes(b"odd")
    with pytest.raises(ValueError, match="a/0 is damaged"):
        checksums.check_store(tmp_path, "a", is_sealed=True)
    os.unlink(tmp_path / "a" / CHECKSUMS)
    with pytest.raises(ValueError, match="is missing"):
        checksums.check_store(tmp_path, "a", is_sealed=True)


def rewrite(path: Path, **changes: Any) -> None:
    """Change a description, and remove what would reveal that."""
    described = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(described))


STRANGE = [
    ({"compressor": {"id": "pickle"}}, "compressor = "),
    ({"compressor": {"id": "zlib", "level": 1}}, "compressor = "),
    ({"filters": [{"id": "pickle"}]}, "filters = "),
    ({"filters": []}, "filters = "),
    ({"dtype": "|O"}, r"dtype = '\|O'"),
    ({"dtype": [["a", "<f8"]]}, "dtype = "),
    ({"dtype": "<M8[ns]"}, "dtype = "),
    ({"order": "F"}, "order = "),
    ({"zarr_format": 3}, "zarr_format = 3"),
    ({"shape": [10**12]}, "bytes are missing"),
    ({"shape": [-1]}, r"shape = \[-1\]"),
    ({"shape": "2"}, "shape = '2'"),
    ({"shape": [True]}, r"shape = \[True\]"),
    ({"chunks": [0]}, r"chunks = \[0\]"),
    ({"chunks": [1, 1]}, r"chunks = \[1, 1\]"),
]


@pytest.mark.parametrize(("changes", "words"), STRANGE)
@pytest.mark.parametrize("name", ["recording.zarr", "sweep.zarr"])
def test_the_text_of_a_store_chooses_nothing(
    written: Path, tmp_path: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    """Even if its checksums are made anew."""
    copy = tmp_path / name
    shutil.copytree(written / name, copy)
    coordinate = "time" if name == "recording.zarr" else "flow.rho"
    rewrite(copy / coordinate / ".zarray", **changes)
    store = checksums.Checksums(copy, "time" if name == "recording.zarr" else "outcome")
    store.adopt()
    store.note({})
    with pytest.raises(FileError, match=words):
        READERS[name](copy)


def test_links_and_other_formats_are_refused(written: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    copy = tmp_path / "linked"
    shutil.copytree(written / "sweep.zarr", copy)
    (copy / "flow.rho" / "0").unlink()
    (copy / "flow.rho" / "0").symlink_to(secret)
    with pytest.raises(FileError, match=r"flow\.rho/0 is a link"):
        sweep_store.read(copy)
    copy = tmp_path / "third"
    shutil.copytree(written / "sweep.zarr", copy)
    (copy / "zarr.json").write_text("{}")
    with pytest.raises(FileError, match=r"zarr\.json is of zarr's format 3"):
        sweep_store.read(copy)


def _external(file: h5py.File) -> None:
    file.create_dataset("x.odd", (4,), "f8", external=[("/etc/hostname", 0, 32)])


def _linked(file: h5py.File) -> None:
    file["x.odd"] = h5py.ExternalLink("other.nc", "/x")


def _packed(file: h5py.File) -> None:
    file.create_dataset("x.odd", data=np.zeros(1000), compression="gzip")


def _absent(file: h5py.File) -> None:
    file.create_dataset("x.odd", (10**10,), "f8", chunks=(10**6,))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_external, "has its data in another file"),
        (_linked, r"x\.odd in / is a link"),
        (_packed, "is filtered"),
        (_absent, "has 0 of 80000000000 bytes"),
    ],
)
def test_a_run_holds_its_own_numbers(
    written: Path, tmp_path: Path, change: Callable[[h5py.File], None], words: str
) -> None:
    """Links and external data would read other files; filters and gaps unpack to any size."""
    path = tmp_path / "run.nc"
    shutil.copy(written / "run.nc", path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileError, match=words):
        ns.load(path)


def test_archives_hold_any_name_and_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    arrays = {"file": np.eye(2), "allow_pickle": np.array("text"), "../x": np.zeros((0, 3))}
    arrays["fortran"] = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    archives.write_arrays(path, arrays)
    found = archives.read_arrays(path)
    with np.load(path, allow_pickle=False) as numpy_reads:
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)
            assert np.array_equal(numpy_reads[name], array)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        archives.write_arrays(path, {"x": np.array([None])})
    assert set(archives.read_arrays(path)) == set(arrays)
    np.savez(path, x=np.array([None]))
    with pytest.raises(FileError, match="dtype object"):
        archives.read_arrays(path)
    np.savez_compressed(path, x=np.zeros(10**6))
    with pytest.raises(FileError, match="compressed"):
        archives.read_arrays(path)
    with pytest.raises(FileError, match="8000128 bytes once unpacked; allowed: at most 1000"):
        archives.read_arrays(path, most=1000)
    assert archives.read_arrays(path, most=10**7)["x"].size == 10**6


def test_a_recording_that_goes_on_is_read_without_checksums(tmp_path: Path) -> None:
    net, flow = ns.Network.mlp([2, 3, 1], loss="mse"), ns.Flow.adjoint()
    times = np.arange(4) * 1e-3
    variables = {"x": ["hidden1"]}
    store = recording.Store(tmp_path / "r", net, flow, {}, times, variables, pattern=[0])
    store.write("x", 0, np.ones((2, 3)))
    store.flush()
    assert recording.read_traces(tmp_path / "r").sizes["time"] == 2
    assert zarr.extent(tmp_path / "r" / "time") == 4
