"""Save and load runs, logs and weights.

Above `stored_runs` and `recording`. Every file is written by `neurosim.disk.replacing`, and nothing
that is read is ever evaluated. Start at `save` and `load`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.archives import read_arrays, write_arrays
from neurosim.disk import AnyPath, check_readable, reading, replacing
from neurosim.errors import FileError, ModelError
from neurosim.model.network import Network
from neurosim.results.checksums import SEALED, check_seal, sealed
from neurosim.results.format import check_format, file_attributes
from neurosim.results.runs import Log, Run
from neurosim.results.storable import check_storable
from neurosim.results.stored_model import parameter_keys, parameter_variables, parameters_from
from neurosim.results.stored_runs import run_from_dataset, run_to_dataset

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

KINDS = ("run", "log")
HDF5 = b"\x89HDF\r\n\x1a\n"  # how a netCDF-4 file begins
# how HDF5 describes an axis that has no coordinate
NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"
CLASSIC_NETCDF, ZIP = b"CDF", b"PK"  # how files begin that are often mistaken for netCDF-4


# Runs and logs


@checked
def save(result: Run | Log, path: AnyPath) -> None:
    """Write a run or a log to a netCDF-4 file, from which `load` restores it bit for bit.

    At the root of the file are the run's traces or the log's history, so that
    ``xarray.open_dataset(path)`` shows them without neurosim; the group ``run`` holds the rest of
    the run, parameters included. `settings` are stored as JSON: tuples come back as lists, and
    values that JSON cannot represent come back as text.

    Parameters
    ----------
    result : Run or Log
    path : str or Path
        Used unchanged; ``.nc`` is the usual suffix.

    Raises
    ------
    FileError
        The folder is missing or unwritable, the disk is full, or an attribute of the traces or of
        the history cannot be stored. An older file is unchanged.

    Examples
    --------
    >>> neurosim.save(run, "run.nc")  # doctest: +SKIP
    >>> neurosim.load("run.nc").x["output"]  # doctest: +SKIP
    """
    groups = _log_groups(result) if isinstance(result, Log) else _run_groups(result)
    image = _netcdf(groups)
    with replacing(path) as temporary:
        temporary.write_bytes(sealed(image))


def _run_groups(run: Run) -> dict[str | None, xr.Dataset]:
    """Return the datasets of a run's file by group; the key of the root is None."""
    import xarray as xr

    from neurosim.results.table import without_parameters

    traces = xr.Dataset() if run.traces is None else without_parameters(run.traces)
    check_storable("traces", traces)
    rest = run_to_dataset(run)
    check_storable("run", rest)
    return {None: traces.assign_attrs(_root_attributes("run")), "run": rest}


def _log_groups(log: Log) -> dict[str | None, xr.Dataset]:
    """Return the datasets of a log's file by group; the key of the root is None."""
    from neurosim.results.table import without_parameters

    check_storable("history", log.history)
    groups: dict[str | None, xr.Dataset] = {
        None: log.history.assign_attrs(_root_attributes("log")),
        "run": run_to_dataset(log.run),
    }
    check_storable("run", groups["run"])
    if log.run.traces is not None:
        groups["traces"] = without_parameters(log.run.traces)
        check_storable("traces", groups["traces"])
    return groups


def _root_attributes(kind: str) -> dict[str, Any]:
    """Return the attributes that mark the root of a file of this kind, with a checksum."""
    return file_attributes(kind) | {SEALED: 1}


@checked
def load(path: AnyPath) -> Run | Log:
    """Return the run or the log that `save` wrote, bit for bit.

    The path may also be the folder of a recording: then the result is its run, whose traces stay on
    disk until they are used. Nothing in a file is ever executed.

    Raises
    ------
    FileError
        The file is missing, unreadable, cut short, not neurosim's or of a newer format, or it is a
        recording whose run is not over.
    """
    path = Path(path)
    if path.is_dir():
        from neurosim.results.recording import load_run

        return load_run(path)
    from neurosim.results.table import as_traces

    kind = _kind_of(path)
    with reading(path):
        root = _read(path, None)
        for key in _root_attributes(kind):
            root.attrs.pop(key, None)
        stored = _read(path, "run")
        has_traces = bool(stored.attrs["has_traces"])
        if kind == "log":
            traces = as_traces(_read(path, "traces"), stored) if has_traces else None
            return Log(root, run_from_dataset(stored, traces))
        return run_from_dataset(stored, as_traces(root, stored) if has_traces else None)


def _netcdf(groups: Mapping[str | None, xr.Dataset]) -> bytes:
    """Return the content of a netCDF-4 file with these datasets.

    The content is built in memory, since HDF5 crashes the process when a disk is full.
    """
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for group, dataset in groups.items():
            exact = {name: {"_FillValue": None} for name in dataset.variables}
            store = H5NetCDFStore(file.create_group(group) if group else file)
            dataset.drop_encoding().dump_to_store(store, encoding=exact)
    # A copy, since a view that outlives the buffer in a traceback crashes Python 3.12's collector.
    return buffer.getvalue()


def _read(path: Path, group: str | None) -> xr.Dataset:
    """Read a group of a netCDF-4 file, without decoding its numbers."""
    import xarray as xr

    dataset = xr.load_dataset(
        path, group=group, engine="h5netcdf", mask_and_scale=False, decode_times=False
    )
    return dataset.drop_encoding()


def _kind_of(path: Path) -> str:
    """Return "run" or "log" for a file that `save` wrote, and refuse any other.

    Raises
    ------
    FileError
        The file is missing, unreadable, damaged, not neurosim's, or of a newer format.
    """
    import h5netcdf
    import h5py

    check_readable(path)
    with path.open("rb") as file:
        start = file.read(len(HDF5))
    if start != HDF5:
        raise _foreign(path, start)
    with reading(path):
        has_seal = check_seal(path)
    with reading(path), h5py.File(path, "r") as plain:
        _check_plain(plain)
    with reading(path), h5netcdf.File(path, "r") as file:
        ours = [key for key in file.attrs if key.startswith("neurosim_")]
        attributes = {key: file.attrs[key] for key in ours}
    kind = attributes.get("neurosim_kind")
    if attributes.get("neurosim_format") is None or kind not in KINDS:
        raise FileError(
            f"{path} is an HDF5 or netCDF file, but not one that neurosim.save wrote; "
            f"try xarray.open_dataset({str(path)!r})"
        )
    check_format(path, attributes)
    if attributes.get(SEALED) and not has_seal:
        with reading(path):
            raise ValueError("its checksum is missing")
    return str(kind)


def _check_plain(group: Any) -> None:
    """Check that an HDF5 group, of h5py, holds all of its data itself, as raw numbers and text.

    Raises
    ------
    ValueError
        A link, external or virtual data, a filter, or values that are not stored.
    """
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} in {group.name} is a link; allowed: data")
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_plain(item)
        elif isinstance(item, h5py.Dataset):
            _check_dataset(item)


def _check_dataset(item: Any) -> None:
    """Check one dataset of h5py; see `_check_plain`."""
    if item.external or item.is_virtual:
        raise ValueError(f"{item.name} has its data in another file")
    if item.compression or item.shuffle or item.fletcher32 or item.scaleoffset is not None:
        raise ValueError(f"{item.name} is filtered; allowed: raw numbers")
    title = item.attrs.get("NAME", b"")
    if isinstance(title, bytes) and title.startswith(NO_VARIABLE):
        return  # the length of an axis, without data
    stored = item.id.get_storage_size()
    if stored < item.nbytes:
        raise ValueError(f"{item.name} has {stored} of {item.nbytes} bytes")


def _foreign(path: Path, start: bytes) -> FileError:
    """Return the error for a file that is not netCDF-4, from its first bytes."""
    if start.startswith(ZIP):
        return FileError(f"{path} is a zip archive, not a run; for weights try load_weights")
    found = f"not a netCDF-4 file (it begins {start!r})"
    if start.startswith(CLASSIC_NETCDF):
        found = "a classic netCDF file"
    return FileError(f"{path} is {found}; allowed: a file that neurosim.save wrote")


# Weights


@checked
def save_weights(net: Network, path: AnyPath) -> None:
    """Write weights and biases to an ``.npz`` archive that NumPy alone can read.

    Weights, (n_post, n_pre), have the name of their projection as key; biases, (units,), that of
    their population. A sparse matrix is stored as its CSR parts, ``pre->post.data``, ``.indices``
    and ``.indptr``; feedback weights that are parameters as ``feedback.pre->post``.

    Parameters
    ----------
    net : Network
    path : str or Path
        Used unchanged: no suffix is added.

    Raises
    ------
    FileError
        The folder is missing or unwritable, or the disk is full. An older file is unchanged.
    """
    arrays: dict[str, Any] = {}
    for key, (_, values) in parameter_variables(net).items():
        arrays[key] = values
    write_arrays(path, arrays)


@checked
def load_weights(net: Network, path: AnyPath) -> None:
    """Load the weights and biases that `save_weights` wrote into a network of the same shape.

    The network is changed in place. Nothing in a file is ever executed.

    Raises
    ------
    FileError
        The file is missing, unreadable, not such an archive, or does not fit the network, which is
        then unchanged.
    """
    path = Path(path)
    arrays = read_arrays(path)
    description = net.describe()
    expected = parameter_keys(description)
    if set(arrays) != set(expected):
        missing = sorted(set(expected) - set(arrays))
        surplus = sorted(set(arrays) - set(expected))
        raise FileError(
            f"{path} does not fit the network: missing {missing}, surplus {surplus}; "
            f"allowed: {', '.join(expected)}"
        )
    twin = net.copy()
    try:
        twin.weights, twin.biases, twin.feedback = parameters_from(description, arrays)
        twin.check_parameters()
    except (ModelError, ValueError, TypeError) as error:
        raise FileError(f"{path} does not fit the network: {error}") from error
    net.replace_with(twin)
