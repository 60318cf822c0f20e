"""Runs, logs and weights on disk: netCDF and back, and how every file of the package is written.

Above `results`, below `training`: a file is built under a temporary name and renamed, and nothing
that is read is ever evaluated. Start at `save` and `load`; `replacing` is the one way to write.
"""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import FileError, ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.weights import like, turned
from neurosim.results.runs import (
    FEEDBACK,
    Log,
    Run,
    model_json,
    parameter_name,
    parameter_variables,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
AnyPath = str | os.PathLike[str]

FORMAT = 1  # of the files; a reader refuses what is newer
HDF5 = b"\x89HDF\r\n\x1a\n"  # how a netCDF-4 file begins


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """A temporary file in the folder of `path` that takes its place when the block ends well.

    However the block ends, the temporary file is gone and `path` is either the old file or the
    whole new one. Parameters: `path`, str or Path. Yields the Path to write to; it keeps the
    suffix.

    Raises
    ------
    FileError
        A missing or unwritable folder, a full disk; says what to try. The file that was there is as
        it was.

    Examples
    --------
    >>> with replacing("table.csv") as temporary:
    ...     temporary.write_text("rho,steps\\n")
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}")
    try:
        with writing(path):
            if target.is_dir():
                raise FileError(
                    f"{path} cannot be written: it is a folder; try {Path(path) / 'run.nc'}"
                )
            temporary.touch(
                exist_ok=False
            )  # an unwritable folder is told before the work, not after it
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: AnyPath) -> Iterator[None]:
    """What the system refuses in this block is a `FileError` in words."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise _not_written(path, error) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Damage that is met in this block is a `FileError`; HDF5 and zarr report it in many ways."""
    try:
        yield
    except (ImportError, FileError):
        raise
    except MemoryError as error:
        raise FileError(
            f"{path} does not fit into memory ({path.stat().st_size} bytes on disk); "
            f"try a larger machine or xarray.open_dataset, which reads piece by piece"
        ) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _not_written(path: AnyPath, error: OSError) -> FileError:
    folder = Path(path).parent
    hints = {
        errno.ENOSPC: "the disk is full; free some space or write to another one",
        errno.EDQUOT: "the quota is used up; free some space or write to another disk",
        errno.ENOENT: f"try to make the folder {folder} first",
        errno.ENOTDIR: f"{folder} is not a folder",
        errno.ENAMETOOLONG: "try a shorter name",
    }
    hint = hints.get(
        error.errno or 0, f"try a folder that you may write to (now: {folder.absolute()})"
    )
    reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
    return FileError(f"{path} cannot be written: {reason}; {hint}")


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


def file_attributes(kind: str) -> dict[str, Any]:
    """What every file and store of ours says of itself."""
    from neurosim.version import __version__

    return {"neurosim_format": FORMAT, "neurosim_kind": kind, "neurosim_version": __version__}


def _check_file(path: Path) -> str:
    """ "run" or "log" of a file of ours; a `FileError` that names the trouble for any other."""
    import h5netcdf

    _check_readable(path)
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


def check_format(path: Path, attributes: Mapping[str, Any]) -> None:
    """A `FileError` for what a newer neurosim wrote."""
    version = attributes.get("neurosim_format")
    if not isinstance(version, int | np.integer) or version > FORMAT:
        raise FileError(
            f"{path} has format {version}, written by neurosim "
            f"{attributes.get('neurosim_version')}; "
            f"allowed: up to {FORMAT}; try a newer neurosim"
        )


def missing(path: Path) -> FileError:
    """The one form in which a path that is not there is refused, with the nearest name that is."""
    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    hint = (
        f"did you mean {str(folder / near[0])!r}?"
        if near
        else f"try another path than {str(path.absolute())!r}"
    )
    return FileError(f"{path} does not exist; {hint}")


def _check_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder; allowed: a file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError as error:
        raise missing(path) from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{path} cannot be read: {error.strerror}; try to change its permissions"
        ) from error
    if empty:
        raise FileError(f"{path} is empty (0 bytes); try to save it again")


def _damaged(path: Path, error: Exception) -> FileError:
    reason = (str(error).splitlines() or [""])[0]
    return FileError(
        f"{path} is cut short or damaged ({type(error).__name__}: {reason}); try to "
        "copy it or to run it again"
    )


def run_to_dataset(run: Run) -> xr.Dataset:
    """Everything of a run but its traces: ``X.population``, ``lam.population``, parameters,
    auxiliary arrays.
    """
    import xarray as xr

    variables: dict[str, Any] = {
        f"{field}.{name}": (("pattern", f"unit.{name}"), array)
        for field in ("X", "Y", "x", "lam")
        for name, array in getattr(run, field).items()
    }
    variables |= {
        parameter_name(key): value for key, value in parameter_variables(run.network).items()
    }
    for i, (key, array) in enumerate(run.auxiliary.items()):
        axes = [f"auxiliary.{i}.{axis}" for axis in range(np.ndim(array))]
        variables[f"auxiliary.{i}"] = (axes, np.asarray(array), {"key": key})
    attributes = {
        "model": model_json(run.network, run.flow, run.settings),
        "time": float(run.time),
        "steps": int(run.steps),
        "interrupted": int(run.interrupted),
        "has_traces": int(run.traces is not None),
    }
    return xr.Dataset(variables, attrs=attributes)


def run_from_dataset(stored: xr.Dataset, traces: xr.Dataset | None) -> Run:
    """The run that `run_to_dataset` took apart, with its traces."""
    model = json.loads(stored.attrs["model"])
    arrays = {
        str(name): np.ascontiguousarray(variable.values)
        for name, variable in stored.data_vars.items()
    }
    keys = {key: arrays[parameter_name(key)] for key in _parameter_keys(model["network"])}
    net = Network.from_description(model["network"], *_parameters_from(model["network"], keys))
    fields = {
        field: {n: arrays[f"{field}.{n}"] for n in net.populations if f"{field}.{n}" in arrays}
        for field in ("X", "Y", "x", "lam")
    }
    n_auxiliary = sum(name.startswith("auxiliary.") for name in arrays)
    return Run(
        network=net,
        flow=Flow(**model["flow"]),
        settings=model["settings"],
        **fields,
        traces=traces,
        time=float(stored.attrs["time"]),
        steps=int(stored.attrs["steps"]),
        interrupted=bool(stored.attrs["interrupted"]),
        auxiliary={
            str(stored[f"auxiliary.{i}"].attrs["key"]): np.asarray(stored[f"auxiliary.{i}"].values)
            for i in range(n_auxiliary)
        },
    )


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
    _check_readable(path)
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


def _parameter_keys(description: Mapping[str, Any]) -> list[str]:
    keys = []
    for q in description["projections"]:
        name = f"{q['pre']}->{q['post']}"
        keys += [f"{name}.data", f"{name}.indices", f"{name}.indptr"] if q["sparse"] else [name]
        keys += [f"{FEEDBACK}{name}"] if Projection(**_plain_feedback(q)).draws_feedback else []
    return keys + [p["name"] for p in description["populations"] if not p["clamped"]]


def _plain_feedback(described: Mapping[str, Any]) -> dict[str, Any]:
    """Of a described projection, what says whether its feedback is a parameter."""
    return {key: described[key] for key in ("pre", "post", "feedback") if key in described}


def _parameters_from(
    description: Mapping[str, Any], arrays: Mapping[str, Array]
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Any]]:
    """Weights by projection, biases by population and feedback weights, from `parameter_variables`
    by key.
    """
    from scipy.sparse import csr_array

    sizes = {p["name"]: p["size"] for p in description["populations"]}
    weights: dict[str, Any] = {}
    feedback: dict[str, Any] = {}
    for q in description["projections"]:
        name = f"{q['pre']}->{q['post']}"
        if q["sparse"]:
            parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
            weights[name] = csr_array(parts, shape=(sizes[q["post"]], sizes[q["pre"]]))
            weights[name].check_format(
                full_check=True
            )  # an index outside would be read outside by SciPy
        else:
            weights[name] = arrays[name]
        if (own := f"{FEEDBACK}{name}") in arrays:
            feedback[name] = (
                turned(like(weights[name], arrays[own])) if q["sparse"] else arrays[own]
            )
    biases = {p["name"]: arrays[p["name"]] for p in description["populations"] if not p["clamped"]}
    return weights, biases, feedback
