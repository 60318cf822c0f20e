"""Recorded variables on disk while a run goes on: a zarr store whose chunks are raw numbers.

Above `results`, below `session`. The store is zarr's format 2, written without the zarr library, so
that a compiled program can write the same chunks; zarr and xarray read it. Start at `Store` and
`read_traces`.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import AnyPath, missing, reading, writing
from neurosim.errors import FileError, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results import traces
from neurosim.results.format import check_format, file_attributes
from neurosim.results.runs import Run
from neurosim.results.traces import (
    chosen_units,
    model_json,
    parameter_name,
    parameter_variables,
    recorded_synapses,
    run_from_dataset,
    run_to_dataset,
    synapse_coordinates,
    time_coordinate,
    unit_coordinates,
)
from neurosim.results.zarr import (
    GROUP,
    chunk_name,
    cut,
    declare,
    extent,
    put,
    put_json,
    rows_a_chunk,
    write_array,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Dtype = np.dtype[Any]

KIND = "recording"  # what the root of a store of ours says of itself
UNITS, SYNAPSES = ("pattern", "unit"), ("synapse",)  # dimensions after time
BESIDE = {
    UNITS: "population index",
    SYNAPSES: "projection post pre",
}  # coordinates of what has them


@dataclass(frozen=True)
class Part:
    """What one population or projection gives to a row: ``row[position] = array[source]``.

    `name` is that of the population or projection; `source` indexes its flat array, for a
    population (patterns at once, units), pattern by pattern.
    """

    name: str
    source: Array
    position: Array


def layout(
    net: Network,
    variables: Mapping[str, Collection[str]],
    pattern: Sequence[int] | Array,
    units: Mapping[str, Sequence[int] | Array] | None = None,
    weights: Collection[str] = (),
) -> tuple[dict[str, int], dict[str, list[Part]]]:
    """Length of a row of each variable, and what it is made of; parameters and errors as those of
    `Store`.
    """
    sizes, parts = {}, {}
    pattern, row = np.asarray(pattern, dtype=int)[:, None], np.arange(len(pattern))[:, None]
    index = chosen_units(net, variables, units or {})
    starts = np.cumsum([0, *map(len, index.values())])
    for v, populations in variables.items():
        sizes[v] = len(pattern) * int(starts[-1])
        parts[v] = [
            Part(
                n,
                (pattern * net.populations[n].size + chosen).ravel(),
                (row * starts[-1] + np.arange(start, start + len(chosen))).ravel(),
            )
            for (n, chosen), start in zip(index.items(), starts[:-1], strict=True)
            if n in populations
        ]
    if weights:
        counts = {n: len(post) for n, (post, _) in recorded_synapses(net, weights, {}).items()}
        ends = np.cumsum([*counts.values()])
        sizes["w"] = int(ends[-1])
        parts["w"] = [
            Part(n, np.arange(count), np.arange(end - count, end))
            for (n, count), end in zip(counts.items(), ends, strict=True)
        ]
    return sizes, parts


class Store:
    """A recording that is being written; `read_traces` and `xarray.open_zarr` read it meanwhile.

    Chunk c of a variable is the file ``folders[variable] / "c.0.0"`` (of w: ``"c.0"``): `rows` rows
    of ``sizes[variable]`` little-endian numbers, the last chunk filled up with NaN. Whoever writes
    it gives it another name first and renames it. A variable of size 0 has no chunks.

    Parameters
    ----------
    path : str or Path
        A folder; an older recording there is replaced.
    net, flow, settings
        As in `build_traces`.
    times : (samples,), s
        Of all samples that there will be if nothing ends the run.
    variables : {variable: populations that have it}
        Units of the other populations are NaN in every row: the writer fills them.
    pattern : (pattern,) of int
        Which patterns of those simulated at once are recorded.
    units : {population: (units,) of int}, optional
        Index of the recorded units; by default all of the population.
    weights : projections that are recorded, all of their synapses
    dtype : "float64" or "float32"

    Attributes
    ----------
    folders : {variable: Path}
    rows : int
        Samples a chunk, the same for all variables.
    sizes, layout : {variable: int}, {variable: list of Part}
        Length of a row, and where its numbers come from; a row is flat, (pattern, unit) or the
        synapses.

    Raises
    ------
    DataError
        Populations, units or projections that the network does not have.
    FileError
        Something at `path` that is no recording; a missing or unwritable folder, a full disk.
    """

    def __init__(
        self,
        path: AnyPath,
        net: Network,
        flow: Flow,
        settings: Mapping[str, Any],
        times: Array,
        variables: Mapping[str, Collection[str]],
        *,
        pattern: Sequence[int] | Array,
        units: Mapping[str, Sequence[int] | Array] | None = None,
        weights: Collection[str] = (),
        dtype: str = "float64",
    ) -> None:
        if dtype not in ("float64", "float32"):
            raise unknown("dtype", dtype, ("float64", "float32"))
        self.path, self.dtype = Path(path), np.dtype(dtype).newbyteorder("<")
        times, pattern = np.asarray(times, dtype=float), np.asarray(pattern, dtype=int)
        self.sizes, self.layout = layout(net, variables, pattern, units, weights)
        coordinates = time_coordinate(times)
        shapes: dict[str, tuple[int, ...]] = {}
        if variables:
            index = chosen_units(net, variables, units or {})
            coordinates |= unit_coordinates(pattern, index)
            shapes = {v: (len(pattern), sum(map(len, index.values()))) for v in variables}
        if weights:
            coordinates |= synapse_coordinates(recorded_synapses(net, weights, {}))
            shapes["w"] = (self.sizes["w"],)
        self.folders = {v: self.path / v for v in shapes}
        self.rows = rows_a_chunk((len(times), max(self.sizes.values(), default=0)), self.dtype)
        self._blocks: dict[
            str, tuple[int, Array]
        ] = {}  # number and rows of each variable's chunk that is not full
        self._arrays = list(coordinates)
        about = {
            "complete": 0,
            "model": model_json(net, flow, settings),
            "recorded": list(shapes),
        }
        self._about = about | {"arrays": self._arrays} | file_attributes(KIND)
        with writing(self.path):
            _claim(self.path)
            put_json(self.path / ".zattrs", self._about)
            for name, (dim, values, *attrs) in coordinates.items():
                write_array(self.path / name, (dim,), values, *attrs)
            for v, shape in shapes.items():
                dims = SYNAPSES if v == "w" else UNITS
                attributes = traces.attributes(v) | {"coordinates": BESIDE[dims]}
                whole = (len(times), *shape)
                declare(
                    self.folders[v],
                    ("time", *dims),
                    whole,
                    self.dtype,
                    self.rows,
                    attributes,
                    "NaN",
                )
            put_json(self.path / ".zgroup", GROUP)

    def write(self, variable: str, first_row: int, rows: Array) -> None:
        """The next rows of a variable, (any number, length of a row), from row `first_row` on.

        Raises
        ------
        FileError
            A full disk.
        """
        rows = np.reshape(rows, (len(rows), self.sizes[variable]))
        while rows.size:
            number, offset = divmod(first_row, self.rows)
            if variable not in self._blocks:
                self._blocks[variable] = (
                    number,
                    np.full((self.rows, rows.shape[1]), np.nan, self.dtype),
                )
            part = rows[: self.rows - offset]
            self._blocks[variable][1][offset : offset + len(part)] = part
            if offset + len(part) == self.rows:
                self._put(variable)
                del self._blocks[variable]
            rows, first_row = rows[len(part) :], first_row + len(part)

    def flush(self) -> None:
        """Chunks that are not full yet, filled up with NaN; `write` may go on with them.

        Raises
        ------
        FileError
            A full disk.
        """
        for variable in self._blocks:
            self._put(variable)

    def finish(self, run: Run, samples: int) -> None:
        """Cut to the samples that every variable has, add the final state and parameters, call it
        complete.

        Raises
        ------
        FileError
            A full disk; what was recorded can still be read.
        """
        self.flush()
        final = run_to_dataset(run)
        parameters = parameter_variables(run.network)
        added: dict[str, Any] = {parameter_name(key): array for key, array in parameters.items()}
        added |= {f"run/{name}": (v.dims, v.values, v.attrs) for name, v in final.variables.items()}
        with writing(self.path):
            for name in ("time", *self.folders):
                cut(self.path / name, samples)
            (self.path / "run").mkdir(exist_ok=True)
            put_json(self.path / "run" / ".zattrs", final.attrs | {"has_traces": 1})
            put_json(self.path / "run" / ".zgroup", GROUP)
            for name, array in added.items():
                write_array(self.path / name, *array)
            over = {"complete": 1, "model": final.attrs["model"], "arrays": [*self._arrays, *added]}
            put_json(self.path / ".zattrs", self._about | over)

    def _put(self, variable: str) -> None:
        number, block = self._blocks[variable]
        with writing(self.path):
            put(self.folders[variable] / chunk_name(number, 2 if variable == "w" else 3), block)


def read_traces(path: AnyPath) -> xr.Dataset:
    """The traces of a recording as far as they are written, while its run goes on or after it.

    What was recorded stays on disk until it is used, and is read again whenever it is: take a part
    of it, as in ``traces.x.isel(time=slice(0, 1000)).values``.

    Returns
    -------
    xarray.Dataset
        As `build_traces` makes it. The attribute `complete` is 1 when the run is over, else 0; the
        final parameters are there when it is over.

    Raises
    ------
    FileError
        A path that is missing, no recording, damaged, or of a newer format.
    """
    path = Path(path)
    about = _about(path)
    with reading(path):
        complete, recorded = about["complete"], about["recorded"]
        written = [extent(path / name, complete) for name in recorded]
        lengths = {name: extent(path / name) for name in about["arrays"]}
        traces = _open(path)
        own = [name for name in lengths if name in traces.data_vars]
        traces = traces[[*recorded, *own]]  # in this order, whatever that of the folder
        for name, variable in traces.variables.items():
            variable.attrs.pop("_FillValue", None)
            variable.encoding = {}  # drop_encoding loads it in xarray before 2025.12
            if name not in recorded:
                variable.load()
        traces.attrs, traces.encoding = {"model": about["model"], "complete": complete}, {}
        return traces.isel(time=slice(0, min(written, default=lengths["time"])))


def load_run(path: AnyPath) -> Run:
    """The run of a complete recording, with traces that stay on disk until they are used.

    Raises
    ------
    FileError
        As in `read_traces`; and a run that is still going on, or was killed.
    """
    path = Path(path)
    if not _about(path).get("complete"):
        raise FileError(
            f"{path} is a recording whose run still goes on or was killed; try "
            f"neurosim.recording.read_traces({str(path)!r}) or "
            f"xarray.open_zarr({str(path)!r}, consolidated=False)"
        )
    traces = read_traces(path)
    del traces.attrs["complete"]
    with reading(path):
        return run_from_dataset(_open(path, "run").load().drop_encoding(), traces)


def _claim(path: Path) -> None:
    """Make the folder; of an older recording in it everything goes but its description, which is
    overwritten.
    """
    if path.exists() and not (
        path.is_dir() and (_is_ours(_description(path)) or not any(path.iterdir()))
    ):
        raise FileError(f"{path} exists and is not a recording; try another path, or remove it")
    path.mkdir(exist_ok=True)
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child.name != ".zattrs":
            child.unlink()


def _description(path: Path) -> dict[str, Any]:
    """What the root of a store says of itself; nothing where there is none."""
    try:
        found = json.loads((path / ".zattrs").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_ours(description: Mapping[str, Any]) -> bool:
    return description.get("neurosim_kind") == KIND


def _about(path: Path) -> dict[str, Any]:
    """The description of a recording; a `FileError` that names the trouble for anything else."""
    if not path.exists():
        raise missing(path)
    if not path.is_dir():
        raise FileError(f"{path} is a file; allowed: the folder of a recording; try neurosim.load")
    with reading(path):
        found = _description(path)
    if not _is_ours(found):
        raise FileError(
            f"{path} is a folder, but no recording; allowed: a recording, or a file of "
            "neurosim.save"
        )
    check_format(path, found)
    return found


# Arrays of the format


def _open(path: Path, group: str | None = None) -> xr.Dataset:
    import xarray as xr

    exact: dict[str, Any] = {"mask_and_scale": False, "decode_times": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, of an array that is being made just now
        return xr.open_dataset(
            path, group=group, engine="zarr", consolidated=False, cache=False, **exact
        )
