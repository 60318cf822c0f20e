"""The table of a sweep's results, in memory and as a zarr store from which a killed sweep resumes.

It shares the array format of recordings (`neurosim.results.zarr`). A chunk is written under another
name and renamed. The outcome of a point is written after its numbers; from then on the point is
done. Start at `ResultTable`; `read` opens a store.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import AnyPath, missing, reading, writing
from neurosim.errors import FileError
from neurosim.experiments.differences import differences
from neurosim.results.checksums import SEALED, Checksums, check_store
from neurosim.results.format import check_format, file_attributes
from neurosim.results.zarr import (
    GROUP,
    array_files,
    as_json,
    check_arrays,
    chunk_name,
    description_files,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

KIND = "sweep"
POINTS_PER_CHUNK = 2**13  # approximate
LONGEST_REASON = 240  # characters
OUTCOME, REASON = "outcome", "reason"
TEXTS = {OUTCOME: np.dtype("<U8"), REASON: np.dtype(f"<U{LONGEST_REASON}")}
ABOUT = {
    OUTCOME: {"long_name": "how the relaxation ended"},
    REASON: {"long_name": "why it failed or diverged"},
}
# attributes that a sweep must share with the one that it resumes
SAME = ("model", "parameters", "design", "measures", "settings")


class ResultTable:
    """Numbers, outcome and reason of every point of a sweep.

    Parameters
    ----------
    dims : sequence of str
    shape : tuple of int
        Number of values of each dimension; points are counted with the last one fastest.
    coordinates : {name: (dims, values, attributes)}
    measures : {name: attributes}
    about : dict
        The description of the sweep, as plain values.
    path : Path, optional
        A folder. Results that an earlier run of the same sweep left there are taken over.

    Raises
    ------
    FileError
        The path holds something else or another sweep, or another process writes it.
    """

    def __init__(
        self,
        dims: Sequence[str],
        shape: tuple[int, ...],
        coordinates: Mapping[str, Any],
        measures: Mapping[str, Mapping[str, Any]],
        about: Mapping[str, Any],
        path: Path | None = None,
    ) -> None:
        self.dims = tuple(dims)
        self.shape = shape
        self.coordinates = dict(coordinates)
        self.measures = dict(measures)
        self.about = dict(about)
        self.path = path
        self.values = {name: np.full(shape, np.nan) for name in measures}
        self.values |= {name: np.zeros(shape, dtype) for name, dtype in TEXTS.items()}
        self._dirty: dict[str, set[int]] = {name: set() for name in self.values}
        self._lock: int | None = None
        self._checksums: Checksums | None = None  # of the store at `path`
        if path is not None:
            self._claim(path)

    @property
    def done(self) -> Array:
        """Whether each point has an outcome, (points,)."""
        return np.ravel(self.values[OUTCOME] != "")

    @property
    def outcomes(self) -> list[str]:
        """Outcomes of all points; "" for a point that is not done."""
        return [str(outcome) for outcome in np.ravel(self.values[OUTCOME])]

    def put(self, point: int, outcome: str, reason: str, numbers: Mapping[str, float]) -> None:
        """Enter the result of a point; `flush` writes it."""
        for name, value in numbers.items():
            self._enter(name, point, value)
        if reason:
            self._enter(REASON, point, reason[:LONGEST_REASON])
        self._enter(OUTCOME, point, outcome)

    def _enter(self, name: str, point: int, value: Any) -> None:
        np.ravel(self.values[name])[point] = value  # a view: the arrays are contiguous
        row = point // max(1, self._points_per_row)
        self._dirty[name].add(row // self._rows_per_chunk)

    def extend(self, coordinates: Mapping[str, Any]) -> None:
        """Add points to a table with one dimension; `coordinates` are those of all points."""
        self.coordinates = dict(coordinates)
        _, values, _ = next(iter(self.coordinates.values()))
        more = len(values) - self.shape[0]
        self.shape = (len(values),)
        for name, array in self.values.items():
            empty = np.full(more, _empty(array), array.dtype)
            self.values[name] = np.concatenate([array, empty])
            chunks = math.ceil(self.shape[0] / self._rows_per_chunk)
            self._dirty[name] = set(range(chunks))
        if self.path is not None and self._checksums is not None:
            with writing(self.path):
                self._checksums.put(self._declared())
            self.flush()

    def flush(self) -> None:
        """Write the chunks that have changed, outcomes last."""
        if self.path is None or self._checksums is None:
            return
        names = [name for name in self._dirty if name != OUTCOME]
        files = {}
        for name in (*names, OUTCOME):
            for chunk in sorted(self._dirty[name]):
                file = f"{name}/{chunk_name(chunk, len(self.shape))}"
                files[file] = self._block(name, chunk).tobytes()
        if files:
            with writing(self.path):
                self._checksums.put(files)
        for dirty in self._dirty.values():
            dirty.clear()

    def close(self, complete: bool) -> None:
        """Write everything and release the folder."""
        self.flush()
        if self.path is not None and self._checksums is not None:
            about = self._attributes | {"complete": int(complete), SEALED: 1}
            with writing(self.path):
                self._checksums.put({".zattrs": as_json(about)})
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def dataset(self) -> xr.Dataset:
        """Return the table with the results so far."""
        import xarray as xr

        variables = {}
        for name, values in self.values.items():
            variables[name] = (self.dims, values.copy(), self._described(name))
        attributes = {key: v for key, v in self._attributes.items() if key != "arrays"}
        attributes["complete"] = int(bool(self.done.all()))
        return xr.Dataset(variables, self.coordinates, attributes)

    def _described(self, name: str) -> dict[str, Any]:
        """Return the attributes of a variable."""
        return dict(self.measures.get(name) or ABOUT[name])

    @property
    def _attributes(self) -> dict[str, Any]:
        attributes = file_attributes(KIND)
        for key, value in self.about.items():
            attributes[key] = value if isinstance(value, str) else json.dumps(value)
        return attributes | {"complete": 0}

    @property
    def _points_per_row(self) -> int:
        """Number of points that share a value of the first dimension."""
        return int(np.prod(self.shape[1:]))

    @property
    def _rows_per_chunk(self) -> int:
        return max(1, POINTS_PER_CHUNK // max(1, self._points_per_row))

    def _block(self, name: str, chunk: int) -> Array:
        """Return one chunk of a variable, padded to its full size."""
        values = self.values[name]
        rows = self._rows_per_chunk
        block = np.zeros((rows, *values.shape[1:]), values.dtype)
        part = values[chunk * rows : (chunk + 1) * rows]
        block[: len(part)] = part
        return block

    def _claim(self, path: Path) -> None:
        """Make the folder and describe it, or take over the results in it."""
        there = path / ".zattrs"
        if path.exists() and not path.is_dir():
            raise FileError(
                f"{path} is a file; allowed: the folder of a sweep, or a path that does not exist"
            )
        if path.exists() and any(path.iterdir()) and not there.exists():
            raise FileError(f"{path} exists and is not a sweep; try another path, or remove it")
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock_folder(path)
            self._checksums = Checksums(path, OUTCOME)
            if there.exists():
                try:
                    self._take_over(path)
                except BaseException:
                    self._unlock()
                    raise
            else:
                about = self._attributes | {SEALED: 1}
                described = {".zgroup": as_json(GROUP), ".zattrs": as_json(about)}
                self._checksums.put(self._declared() | described)

    def _lock_folder(self, path: Path) -> None:
        import fcntl

        self._lock = os.open(path, os.O_RDONLY)  # a killed process releases it
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise FileError(
                f"{path} is being written by another sweep; try another path, or wait for it"
            ) from None

    def _take_over(self, path: Path) -> None:
        """Read the results that an earlier run of this sweep left."""
        found = _description(path)
        differs = differences(
            {key: found.get(key) for key in SAME}, {key: self._attributes[key] for key in SAME}
        )
        if differs:
            raise FileError(
                f"{path} holds another sweep: {differs}; try another path, or remove it"
            )
        stored = read(path)
        if self._checksums is not None:
            self._checksums.adopt()
        for name, values in self.values.items():
            kept = stored[name].values.astype(values.dtype)
            if values.shape != kept.shape and len(self.shape) > 1:
                raise FileError(
                    f"{path} holds another sweep: shape {kept.shape} there, {values.shape} here; "
                    "try another path, or remove it"
                )
            size = min(len(values), len(kept))
            values[:size] = kept[:size]
            if len(kept) > len(values):  # points of later rounds of a refinement
                self.values[name] = np.concatenate([values, kept[size:]])
        if len(self.shape) == 1 and len(stored[OUTCOME]) > self.shape[0]:
            self._adopt_coordinates(stored)
            self.shape = stored[OUTCOME].shape

    def _adopt_coordinates(self, stored: xr.Dataset) -> None:
        """Take the coordinates of a store with more points; keep the table's attributes."""
        for name, coordinate in stored.coords.items():
            _, _, attributes = self.coordinates[str(name)]
            self.coordinates[str(name)] = (coordinate.dims, coordinate.values, attributes)

    def _declared(self) -> dict[str, bytes]:
        """Return the files of the coordinates, and those that describe the variables."""
        files: dict[str, bytes] = {}
        for name, (dims, values, attributes) in self.coordinates.items():
            names = (dims,) if isinstance(dims, str) else dims
            files |= array_files(name, names, values, attributes)
        others = " ".join(name for name in self.coordinates if name not in self.dims)
        for name, values in self.values.items():
            attributes = self._described(name)
            if others:
                attributes["coordinates"] = others
            fill = "NaN" if values.dtype.kind == "f" else ""
            files |= description_files(
                name, self.dims, values.shape, values.dtype, self._rows_per_chunk, attributes, fill
            )
        return files


def _empty(values: Array) -> Any:
    """Return the entry of an array at a point that is not done."""
    if values.dtype.kind == "f":
        return np.nan
    return ""


def is_sweep(path: AnyPath) -> bool:
    """Return whether a folder is the store of a sweep."""
    try:
        return bool(_description(Path(path)).get("neurosim_kind") == KIND)
    except FileError:
        return False


def read(path: AnyPath) -> xr.Dataset:
    """Read a sweep from its store, finished or not; points that are not done have outcome "".

    Raises
    ------
    FileError
        The path is missing, or is not the store of a sweep.
    """
    import xarray as xr

    path = Path(path)
    about = _description(path)
    if about.get("neurosim_kind") != KIND:
        raise FileError(
            f"{path} is not a sweep; allowed: the folder that neurosim sweep --out wrote"
        )
    check_format(path, about)
    undecoded: dict[str, Any] = {"mask_and_scale": False, "decode_times": False}
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_arrays(path)
        check_store(path, OUTCOME, bool(about.get(SEALED)))
        store = xr.open_dataset(path, engine="zarr", consolidated=False, cache=False, **undecoded)
        data = store.load()
    data.attrs.pop(SEALED, None)
    for name, variable in data.variables.items():
        variable.encoding = {}
        variable.attrs.pop("_FillValue", None)
        if variable.dtype.kind == "O":
            data[name] = variable.astype(TEXTS.get(str(name), str))
    return data[[*json.loads(about["measures"]), *TEXTS]]


def _description(path: Path) -> dict[str, Any]:
    """Return the attributes of a store; empty if the folder does not have any."""
    if not path.exists():
        raise missing(path)
    try:
        found = json.loads((path / ".zattrs").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
