"""Keep recorded variables on disk while a run goes on: a zarr store whose chunks are raw numbers.

Above `traces` and `zarr`, below `simulation`. The store is zarr's format 2, written without the
zarr library, so that a compiled program can write the same chunks; zarr and xarray read it. Start
at `Store` and `read_traces`.
"""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import AnyPath, missing, reading, writing
from neurosim.errors import FileError, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results import folders, traces
from neurosim.results.checksums import SEALED, Checksums, check_store
from neurosim.results.format import check_format, file_attributes
from neurosim.results.runs import Run
from neurosim.results.stored_model import model_json, parameter_name, parameter_variables
from neurosim.results.stored_runs import run_from_dataset, run_to_dataset
from neurosim.results.traces import (
    Chosen,
    Populations,
    Synapses,
    chosen_units,
    places_of_synapses,
    recorded_synapses,
    synapse_coordinates,
    time_coordinate,
    unit_coordinates,
)
from neurosim.results.zarr import (
    GROUP,
    array_files,
    as_json,
    check_arrays,
    chunk_name,
    cut,
    description_files,
    extent,
    put,
    put_all,
    rows_per_chunk,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Shape = tuple[int, ...]

DTYPES = ("float64", "float32")
NOTHING: Mapping[str, Any] = {}
UNITS, SYNAPSES = ("pattern", "unit"), ("synapse",)  # dimensions after time
# Names of the coordinates of variables that have these dimensions.
BESIDE = {UNITS: "population index", SYNAPSES: "projection post pre"}


# Layout of a row


@dataclass(frozen=True)
class Part:
    """The numbers of one population or projection in a row: ``row[position] = array[source]``.

    `name` is that of the population or projection. `source` indexes its flattened array, which is
    (patterns of the batch, units) for a population, and `position` indexes the row.
    """

    name: str
    source: Array
    position: Array


def layout(
    net: Network,
    variables: Populations,
    pattern: Sequence[int] | Array,
    units: Chosen | None = None,
    synaptic: Mapping[str, Collection[str]] = NOTHING,
    synapses: Mapping[str, Synapses] = NOTHING,
) -> tuple[dict[str, int], dict[str, list[Part]]]:
    """Return the length of a row, and the parts that make it up, by variable.

    Parameters and errors are those of `Store`.
    """
    pattern = np.asarray(pattern, dtype=int)
    index = chosen_units(net, variables, units or {})
    row_parts = _unit_parts(net, pattern, index)
    row_size = len(pattern) * _number_of_units(index)
    sizes: dict[str, int] = {}
    parts: dict[str, list[Part]] = {}
    for variable, populations in variables.items():
        sizes[variable] = row_size
        parts[variable] = [part for part in row_parts if part.name in populations]
    synapse_parts = _synapse_parts(net, traces.projections_of(synaptic), synapses)
    for variable, projections in synaptic.items():
        parts[variable] = [part for part in synapse_parts if part.name in projections]
        sizes[variable] = sum(len(part.source) for part in synapse_parts)
    return sizes, parts


def _unit_parts(net: Network, pattern: Array, index: Mapping[str, Array]) -> list[Part]:
    """Return the parts of a row (pattern, unit), the units of all populations side by side."""
    width = _number_of_units(index)
    row = np.arange(len(pattern))[:, None]
    parts: list[Part] = []
    start = 0
    for name, chosen in index.items():
        size = net.populations[name].size
        source = pattern[:, None] * size + chosen
        position = row * width + start + np.arange(len(chosen))
        parts.append(Part(name, source.ravel(), position.ravel()))
        start += len(chosen)
    return parts


def _synapse_parts(
    net: Network, projections: Collection[str], chosen: Mapping[str, Synapses]
) -> list[Part]:
    """Return the parts of a row of synapses, one projection after the other."""
    parts: list[Part] = []
    start = 0
    for name, (post, pre) in recorded_synapses(net, projections, chosen).items():
        source = np.arange(len(post))
        if name in chosen:
            source = places_of_synapses(name, net.weights[name], post, pre)
        parts.append(Part(name, source, start + np.arange(len(post))))
        start += len(post)
    return parts


def _number_of_units(index: Mapping[str, Array]) -> int:
    """Return the length of the axis `unit`."""
    return sum(len(chosen) for chosen in index.values())


# Writing


class Store:
    """A recording that is being written; `read_traces` and `xarray.open_zarr` read it meanwhile.

    Chunk c of a variable is the file ``folders[variable] / "c.0.0"`` (of w: ``"c.0"``): `rows` rows
    of ``sizes[variable]`` little-endian numbers, the last chunk filled up with NaN. A chunk is
    written under a temporary name and renamed once it is whole. A variable of size 0 has no chunks.

    Parameters
    ----------
    path : str or Path
        A folder; an older recording there gets another name (`folders.claim`).
    net, flow, settings
        As in `build_traces`.
    times : (samples,), s
        Times of all samples of a run that does not end early.
    variables : {variable: populations that have it}
        Units of the other populations are NaN in every row: the writer fills them.
    pattern : (pattern,) of int
        Which patterns of the batch are recorded.
    units : {population: (units,) of int}, optional
        Index of the recorded units; by default all of the population.
    synaptic : {variable: projections that have it}
        Variables of synapses.
    synapses : {projection: (post, pre)}, optional
        Units that the recorded synapses connect; by default all synapses of the projection.
    dtype : "float64" or "float32"

    Attributes
    ----------
    folders : {variable: Path}
    rows : int
        Samples per chunk, the same for all variables.
    sizes, layout : {variable: int}, {variable: list of Part}
        Length of a row, and where its numbers come from; a row is flat, (pattern, unit) or the
        synapses.

    Raises
    ------
    DataError
        Populations, units or projections that the network does not have.
    FileError
        The path holds something other than a recording, another run writes it, its folder is
        missing or unwritable, or the disk is full.
    ModelError
        A dtype that is not allowed.
    """

    def __init__(
        self,
        path: AnyPath,
        net: Network,
        flow: Flow,
        settings: Mapping[str, Any],
        times: Array,
        variables: Populations,
        *,
        pattern: Sequence[int] | Array,
        units: Chosen | None = None,
        synaptic: Mapping[str, Collection[str]] = NOTHING,
        synapses: Mapping[str, Synapses] = NOTHING,
        dtype: str = "float64",
    ) -> None:
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        self.path = Path(path)
        self.dtype = np.dtype(dtype).newbyteorder("<")
        times = np.asarray(times, dtype=float)
        pattern = np.asarray(pattern, dtype=int)
        self.sizes, self.layout = layout(net, variables, pattern, units, synaptic, synapses)
        self.synaptic = tuple(synaptic)
        coordinates = time_coordinate(times)
        shapes: dict[str, Shape] = {}
        if variables:
            index = chosen_units(net, variables, units or {})
            coordinates |= unit_coordinates(pattern, index)
            shapes = dict.fromkeys(variables, (len(pattern), _number_of_units(index)))
        if synaptic:
            names = traces.projections_of(synaptic)
            coordinates |= synapse_coordinates(recorded_synapses(net, names, synapses))
            for variable in synaptic:
                shapes[variable] = (self.sizes[variable],)
        self.folders = {variable: self.path / variable for variable in shapes}
        longest_row = max(self.sizes.values(), default=0)
        self.rows = rows_per_chunk((len(times), longest_row), self.dtype)
        # Lets another run write the folder, which `finish` does, too.
        self.release: Callable[[], Any] = lambda: None
        # By variable: number and rows of the chunk that is not full yet.
        self._blocks: dict[str, tuple[int, Array]] = {}
        self._arrays = list(coordinates)
        self._about = {
            "complete": 0,
            "identity": folders.new_identity(),
            "model": model_json(net, flow, settings),
            "recorded": list(shapes),
            "arrays": self._arrays,
            **file_attributes(folders.KIND),
        }
        with writing(self.path):
            self._begin(coordinates, shapes, len(times))

    def _begin(
        self, coordinates: Mapping[str, Any], shapes: Mapping[str, Shape], samples: int
    ) -> None:
        """Write the coordinates and declare the variables; ``.zgroup`` is written last."""
        lock = folders.claim(self.path)
        if lock is not None:
            self.release = weakref.finalize(self, os.close, lock)
        put(self.path / ".zattrs", as_json(self._about))
        for name, coordinate in coordinates.items():
            put_all(self.path, _coordinate_files(name, coordinate))
        for variable, shape in shapes.items():
            dimensions = SYNAPSES if variable in self.synaptic else UNITS
            described = description_files(
                variable,
                ("time", *dimensions),
                (samples, *shape),
                self.dtype,
                self.rows,
                traces.attributes(variable) | {"coordinates": BESIDE[dimensions]},
                "NaN",
            )
            put_all(self.path, described)
        put(self.path / ".zgroup", as_json(GROUP))

    def write(self, variable: str, first_row: int, rows: Array) -> None:
        """Write the next rows of a variable.

        Full chunks are written to disk; the rest stays in memory until `flush` or `finish`.

        Parameters
        ----------
        variable : str
        first_row : int
            Number of the sample in the first of these rows.
        rows : (any number, length of a row), unit 1

        Raises
        ------
        FileError
            The disk is full.
        """
        rows = np.reshape(rows, (len(rows), self.sizes[variable]))
        while rows.size:
            number, offset = divmod(first_row, self.rows)
            part = rows[: self.rows - offset]
            self._fill(variable, number, offset, part)
            rows = rows[len(part) :]
            first_row += len(part)

    def flush(self) -> None:
        """Write the chunks that are not full yet, filled up with NaN; `write` can go on with them.

        Raises
        ------
        FileError
            The disk is full.
        """
        for variable in self._blocks:
            self._put(variable)

    def finish(self, run: Run, samples: int) -> None:
        """Cut the traces, add the final state and parameters, and mark the store as complete.

        Parameters
        ----------
        run : Run
        samples : int
            Number of samples that every variable has, and to which it is cut.

        Raises
        ------
        FileError
            The disk is full; what was recorded can still be read.
        """
        self.flush()
        final = run_to_dataset(run)
        added: dict[str, Any] = {}
        for key, array in parameter_variables(run.network).items():
            added[parameter_name(key)] = array
        for name, v in final.variables.items():
            added[f"run/{name}"] = (v.dims, v.values, v.attrs)
        over = {
            "complete": 1,
            SEALED: 1,
            "model": final.attrs["model"],
            "arrays": [*self._arrays, *added],
        }
        with writing(self.path):
            for name in ("time", *self.folders):
                cut(self.path / name, samples)
            described = {
                "run/.zattrs": as_json(final.attrs | {"has_traces": 1}),
                "run/.zgroup": as_json(GROUP),
            }
            put_all(self.path, described)
            for name, array in added.items():
                put_all(self.path, array_files(name, *array))
            checksums = Checksums(self.path, "time")
            checksums.adopt()
            checksums.put({".zattrs": as_json(self._about | over)})
        self.release()

    def _fill(self, variable: str, number: int, offset: int, part: Array) -> None:
        """Copy rows into the chunk in memory; once it is full, write and release it."""
        if variable not in self._blocks:
            shape = (self.rows, self.sizes[variable])
            self._blocks[variable] = (number, np.full(shape, np.nan, self.dtype))
        _, block = self._blocks[variable]
        end = offset + len(part)
        block[offset:end] = part
        if end == self.rows:
            self._put(variable)
            del self._blocks[variable]

    def _put(self, variable: str) -> None:
        """Write the chunk in memory of a variable."""
        number, block = self._blocks[variable]
        dimensions = 2 if variable in self.synaptic else 3
        with writing(self.path):
            put(self.folders[variable] / chunk_name(number, dimensions), block)


def _coordinate_files(name: str, coordinate: tuple[Any, ...]) -> dict[str, bytes]:
    """Return the files of a coordinate, given as xarray takes it."""
    dimension, values, *attributes = coordinate
    return array_files(name, (dimension,), values, *attributes)


# Reading


def read_traces(path: AnyPath) -> xr.Dataset:
    """Return the traces of a recording as far as they are written, during its run or after it.

    The recorded variables stay on disk and are read again at each use. To read only a part, select
    it first, as in ``traces.x.isel(time=slice(0, 1000)).values``.

    Returns
    -------
    xarray.Dataset
        As from `build_traces`. The attribute `complete` is 1 once the run is over, before that 0;
        only then are there final parameters.

    Raises
    ------
    FileError
        The path is missing, not a recording, damaged, or of a newer format.
    """
    from neurosim.results.stored_arrays import stored
    from neurosim.results.table import as_traces

    path = Path(path)
    about = _about(path)
    with reading(path):
        check_arrays(path)
        check_store(path, "time", bool(about.get(SEALED)))
        complete = about["complete"]
        recorded = about["recorded"]
        written = [extent(path / name, complete) for name in recorded]
        arrays = about["arrays"]
        lengths = {name: extent(path / name) for name in arrays}
        traces = as_traces(_open(path))
        parameters = [name for name in lengths if name in traces.data_vars]
        traces = traces[[*recorded, *parameters]]  # in this order, whatever the folder's
        place = folders.Place.of(path)
        for name, variable in traces.variables.items():
            variable.attrs.pop("_FillValue", None)
            variable.encoding = {}  # drop_encoding loads it in xarray before 2025.12
            if name not in recorded:
                variable.load()
        for name in recorded:
            traces[name] = stored(traces[name].variable, place, name)
        traces.attrs = {"model": about["model"], "complete": complete}
        traces.encoding = {}
        samples = min(written, default=lengths["time"])
        return traces.isel(time=slice(0, samples))


def load_run(path: AnyPath) -> Run:
    """Return the run of a complete recording, with traces that stay on disk until they are used.

    Raises
    ------
    FileError
        As in `read_traces`; also if the run still goes on, or was killed.
    """
    path = Path(path)
    if not _about(path).get("complete"):
        raise FileError(
            f"{path} is a recording whose run still goes on or was killed; "
            f"try neurosim.recording.read_traces({str(path)!r}) "
            f"or xarray.open_zarr({str(path)!r}, consolidated=False)"
        )
    traces = read_traces(path)
    del traces.attrs["complete"]
    with reading(path):
        stored = _open(path, "run").load().drop_encoding()
        return run_from_dataset(stored, traces)


def _open(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a zarr group without decoding its numbers."""
    import xarray as xr

    exact: dict[str, Any] = {"mask_and_scale": False, "decode_times": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about an array that is being created
        return xr.open_dataset(
            path, group=group, engine="zarr", consolidated=False, cache=False, **exact
        )


def _about(path: Path) -> dict[str, Any]:
    """Return the description of a recording, and refuse anything else.

    Raises
    ------
    FileError
        The path is missing, not a recording, damaged, or of a newer format.
    """
    if not path.exists():
        raise missing(path)
    if not path.is_dir():
        raise FileError(f"{path} is a file; allowed: the folder of a recording; try neurosim.load")
    with reading(path):
        found = folders.description(path)
    if not folders.is_recording(found):
        raise FileError(
            f"{path} is a folder, but not a recording; "
            "allowed: a recording, or a file of neurosim.save"
        )
    check_format(path, found)
    return found
