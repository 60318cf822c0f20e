"""Runs, logs and weights on disk: netCDF and back, and how every file of the package is written.

Above `results`, below `training`: a file is built under a temporary name and renamed, and nothing
that is read is ever evaluated. Start at `save` and `load`; `replacing` is the one way to write.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import AnyPath, check_readable, reading, replacing
from neurosim.errors import FileError, ModelError
from neurosim.model.network import Network
from neurosim.results.format import check_format, file_attributes
from neurosim.results.runs import Log, Run
from neurosim.results.traces import (
    _parameter_keys,
    _parameters_from,
    parameter_variables,
    run_from_dataset,
    run_to_dataset,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

HDF5 = b"\x89HDF\r\n\x1a\n"  # how a netCDF-4 file begins


def save(result: Run | Log, path: AnyPath) -> None:
    """Write a run or a log to a netCDF-4 file that `load` gives back exactly.

    At the root of the file are the run's traces or the log's history, so that
    ``xarray.open_dataset(path)`` shows them to anybody; the group ``run`` holds the rest of the
    run, parameters included. `settings` must be plain values: tuples come back as lists, and what
    JSON does not know as its text.

    Raises
    ------
    FileError
        A missing or unwritable folder, a full disk; the file that was there is as it was.
    """
    import xarray as xr

    if not isinstance(result, Run | Log):
        raise TypeError(f"result is a {type(result).__name__}; allowed: Run, Log")
    run = result.run if isinstance(result, Log) else result
    root = result.history if isinstance(result, Log) else run.traces
    attributes = file_attributes("log" if isinstance(result, Log) else "run")
    groups: dict[str | None, xr.Dataset] = {
        None: (xr.Dataset() if root is None else root).assign_attrs(attributes),
        "run": run_to_dataset(run),
    }
    if isinstance(result, Log) and run.traces is not None:
        groups["traces"] = run.traces
    image = _netcdf(groups)
    with replacing(path) as temporary:
        temporary.write_bytes(image)


def load(path: AnyPath) -> Run | Log:
    """The run or the log that `save` wrote; the same numbers, bit by bit.

    The folder of a recording is a run too, with traces that stay on disk until they are used.

    Raises
    ------
    FileError
        A file that is missing, unreadable, cut short, not neurosim's, or of a newer format; a
        recording whose run is not over. Says which and what to try. Nothing in a file is ever
        executed.
    """
    path = Path(path)
    if path.is_dir():
        from neurosim.results.recording import load_run

        return load_run(path)
    kind = _check_file(path)
    with reading(path):
        root = _read(path, None)
        for key in file_attributes(kind):
            del root.attrs[key]
        stored = _read(path, "run")
        has_traces = bool(stored.attrs["has_traces"])
        if kind == "log":
            run = run_from_dataset(stored, _read(path, "traces") if has_traces else None)
            return Log(root, run)
        return run_from_dataset(stored, root if has_traces else None)


def _netcdf(groups: Mapping[str | None, xr.Dataset]) -> bytes:
    """A netCDF-4 file with one dataset a group, in memory: HDF5 crashes the process when a disk
    runs full.
    """
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for group, dataset in groups.items():
            exact = {name: {"_FillValue": None} for name in dataset.variables}
            store = H5NetCDFStore(file.create_group(group) if group else file)
            dataset.drop_encoding().dump_to_store(store, encoding=exact)
    return (
        buffer.getvalue()
    )  # a view would outlive the buffer in a traceback, and crash the collector of Python 3.12


def _read(path: Path, group: str | None) -> xr.Dataset:
    import xarray as xr

    dataset = xr.load_dataset(
        path, group=group, engine="h5netcdf", mask_and_scale=False, decode_times=False
    )
    return dataset.drop_encoding()


def _check_file(path: Path) -> str:
    """ "run" or "log" of a file of ours; a `FileError` that names the trouble for any other."""
    import h5netcdf

    check_readable(path)
    with path.open("rb") as file:
        start = file.read(len(HDF5))
    if start.startswith(b"PK"):
        raise FileError(f"{path} is a zip archive, not a run; for weights try load_weights")
    if start != HDF5:
        found = (
            "a classic netCDF file"
            if start.startswith(b"CDF")
            else f"no netCDF-4 file (it begins {start!r})"
        )
        raise FileError(f"{path} is {found}; allowed: a file that neurosim.save wrote")
    with reading(path), h5netcdf.File(path, "r") as file:
        attributes = {key: file.attrs[key] for key in file.attrs if key.startswith("neurosim_")}
    kind = attributes.get("neurosim_kind")
    if attributes.get("neurosim_format") is None or kind not in ("run", "log"):
        raise FileError(
            f"{path} is an HDF5 or netCDF file, but not one that neurosim.save wrote; "
            f"try xarray.open_dataset({str(path)!r})"
        )
    check_format(path, attributes)
    return str(kind)


def save_weights(net: Network, path: AnyPath) -> None:
    """Write weights and biases as an ``.npz`` archive that NumPy alone can read.

    Keys are the names of projections, (n_post, n_pre), and of populations, (n,); a sparse matrix is
    its CSR parts, ``pre->post.data``, ``.indices`` and ``.indptr``. The file has the name that is
    given, as it is.

    Raises
    ------
    FileError
        A missing or unwritable folder, a full disk; the file that was there is as it was.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {
            key: variable[1] for key, variable in parameter_variables(net).items()
        }
        np.savez(file, **arrays)


def load_weights(net: Network, path: AnyPath) -> None:
    """Put the weights and biases that `save_weights` wrote into a network of the same shape, in
    place.

    Raises
    ------
    FileError
        A file that is missing, unreadable, no such archive, or does not fit the network, which is
        then as it was. Nothing in a file is ever executed.
    """
    path = Path(path)
    check_readable(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise FileError(
            f"{path} is damaged or not an .npz archive; allowed: a file of save_weights"
        ) from error
    description = net.describe()
    expected = _parameter_keys(description)
    if set(arrays) != set(expected):
        missing, surplus = sorted(set(expected) - set(arrays)), sorted(set(arrays) - set(expected))
        raise FileError(
            f"{path} does not fit the network: missing {missing}, surplus {surplus}; "
            f"allowed: {', '.join(expected)}"
        )
    twin = net.copy()
    try:
        twin.weights, twin.biases, twin.feedback = _parameters_from(description, arrays)
        twin.check_parameters()
    except (ModelError, ValueError, TypeError) as error:
        raise FileError(f"{path} does not fit the network: {error}") from error
    net.weights.update(twin.weights)
    net.biases.update(twin.biases)
    net.feedback.update(twin.feedback)
