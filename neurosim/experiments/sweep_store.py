"""The table of a sweep: an array a measure, in memory and as a zarr store that a killed sweep goes
on from.

Above `recording`, whose format it shares. A chunk is written under another name and renamed; the
outcome of a point comes after its numbers, and from then on the point is done. Start at `Table`;
`read` opens a store.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import AnyPath, missing, reading, writing
from neurosim.errors import FileError
from neurosim.results.format import check_format, file_attributes
from neurosim.results.zarr import GROUP, chunk_name, declare, put, put_json, write_array

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

KIND = "sweep"
ROWS = 2**13  # points a chunk, about
LONGEST_REASON = 240  # letters
OUTCOME, REASON = "outcome", "reason"
TEXTS = {OUTCOME: np.dtype("<U8"), REASON: np.dtype(f"<U{LONGEST_REASON}")}
ABOUT = {
    OUTCOME: {"long_name": "how the relaxation ended"},
    REASON: {"long_name": "why it failed or diverged"},
}
SAME = (
    "model",
    "parameters",
    "design",
    "measures",
    "settings",
)  # what a sweep must share with the one it goes on from


class Table:
    """Numbers, outcome and reason of every point of a sweep.

    Parameters
    ----------
    shape : tuple of int
        Values of each dimension; points are counted with the last one fastest.
    dims : sequence of str
    coordinates : {name: (dims, values, attributes)}
    measures : {name: attributes}
    about : dict
        What the sweep is, plain values.
    path : Path, optional
        A folder. What an earlier sweep of the same kind has left there is taken over.

    Raises
    ------
    FileError
        Something else at `path`, a sweep that is not this one, or one that is being written.
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
        self.dims, self.shape, self.coordinates = tuple(dims), shape, dict(coordinates)
        self.measures, self.about, self.path = dict(measures), dict(about), path
        self.values = {name: np.full(shape, np.nan) for name in measures}
        self.values |= {name: np.zeros(shape, dtype) for name, dtype in TEXTS.items()}
        self._dirty: dict[str, set[int]] = {name: set() for name in self.values}
        self._lock: int | None = None
        if path is not None:
            self._claim(path)

    @property
    def done(self) -> Array:
        """Which points have an outcome, flat."""
        return np.ravel(self.values[OUTCOME] != "")

    @property
    def outcomes(self) -> list[str]:
        """Of all points, flat."""
        return [str(o) for o in np.ravel(self.values[OUTCOME])]

    def put(self, point: int, outcome: str, reason: str, numbers: Mapping[str, float]) -> None:
        """What was found of a point; on disk after `flush`."""
        for name, value in (
            *numbers.items(),
            (REASON, reason[:LONGEST_REASON]),
            (OUTCOME, outcome),
        ):
            if name == REASON and not reason:
                continue
            np.ravel(self.values[name])[point] = value  # a view: the arrays are contiguous
            self._dirty[name].add(self._row(point) // self._rows)

    def extend(self, coordinates: Mapping[str, Any]) -> None:
        """More points of a table with one dimension; coordinates as at the start, of all points."""
        self.coordinates = dict(coordinates)
        more = len(next(iter(self.coordinates.values()))[1]) - self.shape[0]
        self.shape = (self.shape[0] + more,)
        for name, values in self.values.items():
            empty = np.nan if values.dtype.kind == "f" else ""
            self.values[name] = np.concatenate([values, np.full(more, empty, values.dtype)])
            self._dirty[name] = set(range(-(-self.shape[0] // self._rows)))
        if self.path is not None:
            with writing(self.path):
                self._declare(self.path)
            self.flush()

    def flush(self) -> None:
        """Write what is new, outcomes last."""
        if self.path is None:
            return
        with writing(self.path):
            for name, chunks in self._dirty.items():  # OUTCOME is the last key
                for chunk in sorted(chunks):
                    put(
                        self.path / name / chunk_name(chunk, len(self.shape)),
                        self._block(name, chunk),
                    )
                chunks.clear()

    def close(self, complete: bool) -> None:
        """Write all and let go of the folder."""
        self.flush()
        if self.path is not None:
            with writing(self.path):
                put_json(self.path / ".zattrs", self._attributes | {"complete": int(complete)})
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def dataset(self) -> xr.Dataset:
        """The table as it stands."""
        import xarray as xr

        variables = {
            n: (self.dims, v.copy(), self.measures.get(n) or ABOUT[n])
            for n, v in self.values.items()
        }
        attributes = {k: v for k, v in self._attributes.items() if k != "arrays"}
        return xr.Dataset(
            variables, self.coordinates, attributes | {"complete": int(bool(self.done.all()))}
        )

    @property
    def _attributes(self) -> dict[str, Any]:
        described = {k: v if isinstance(v, str) else json.dumps(v) for k, v in self.about.items()}
        return file_attributes(KIND) | described | {"complete": 0}

    @property
    def _rows(self) -> int:
        return max(1, ROWS // max(1, int(np.prod(self.shape[1:]))))

    def _row(self, point: int) -> int:
        return point // max(1, int(np.prod(self.shape[1:])))

    def _block(self, name: str, chunk: int) -> Array:
        values = self.values[name]
        block = np.zeros((self._rows, *values.shape[1:]), values.dtype)
        part = values[chunk * self._rows : (chunk + 1) * self._rows]
        block[: len(part)] = part
        return block

    def _claim(self, path: Path) -> None:
        """Make the folder and describe it, or take over what is there."""
        there = path / ".zattrs"
        if path.exists() and not path.is_dir():
            raise FileError(
                f"{path} is a file; allowed: the folder of a sweep, or a path where nothing is yet"
            )
        if path.exists() and any(path.iterdir()) and not there.exists():
            raise FileError(f"{path} exists and is not a sweep; try another path, or remove it")
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
            self._lock_folder(path)
            if there.exists():
                try:
                    self._take_over(path)
                except BaseException:
                    self._unlock()
                    raise
            else:
                self._declare(path)
                put_json(path / ".zgroup", GROUP)
                put_json(there, self._attributes)

    def _lock_folder(self, path: Path) -> None:
        import fcntl

        self._lock = os.open(path, os.O_RDONLY)  # whoever is killed lets go of it
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            raise FileError(
                f"{path} is being written by another sweep; try another path, or wait for it"
            ) from None

    def _take_over(self, path: Path) -> None:
        found = _description(path)
        for key in SAME:
            own = self._attributes[key]
            if found.get(key) != own:
                raise FileError(
                    f"{path} holds another sweep: its {key} differ, there "
                    f"{_short(found.get(key))}, "
                    f"here {_short(own)}; try another path, or remove it"
                )
        stored = read(path)
        for name, values in self.values.items():
            kept = stored[name].values.astype(values.dtype)
            if values.shape != kept.shape and len(self.shape) > 1:
                raise FileError(
                    f"{path} holds another sweep: shape {kept.shape}; try another path, "
                    "or remove it"
                )
            size = min(len(values), len(kept))
            values[:size] = kept[:size]
            if len(kept) > len(values):  # rounds of a refinement that are not asked for yet
                self.values[name] = np.concatenate([values, kept[size:]])
        if len(self.shape) == 1 and len(stored[OUTCOME]) > self.shape[0]:
            self.coordinates = {
                str(n): (v.dims, v.values, v.attrs) for n, v in stored.coords.items()
            }
            self.shape = stored[OUTCOME].shape

    def _declare(self, path: Path) -> None:
        for name, (dims, values, attributes) in self.coordinates.items():
            write_array(path / name, (dims,) if isinstance(dims, str) else dims, values, attributes)
        coordinates = " ".join(n for n in self.coordinates if n not in self.dims)
        for name, values in self.values.items():
            attributes = dict(self.measures.get(name) or ABOUT[name]) | (
                {"coordinates": coordinates} if coordinates else {}
            )
            fill = "NaN" if values.dtype.kind == "f" else ""
            declare(
                path / name, self.dims, values.shape, values.dtype, self._rows, attributes, fill
            )


def is_sweep(path: AnyPath) -> bool:
    """Whether a folder is the store of a sweep."""
    try:
        return bool(_description(Path(path)).get("neurosim_kind") == KIND)
    except FileError:
        return False


def read(path: AnyPath) -> xr.Dataset:
    """A sweep from its store, finished or not; points that are not done have the outcome "".

    Raises
    ------
    FileError
        A path that is missing, or is not a sweep's.
    """
    import xarray as xr

    path = Path(path)
    about = _description(path)
    if about.get("neurosim_kind") != KIND:
        raise FileError(
            f"{path} is not a sweep; allowed: the folder that neurosim sweep --out wrote"
        )
    check_format(path, about)
    exact: dict[str, Any] = {"mask_and_scale": False, "decode_times": False}
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = xr.open_dataset(path, engine="zarr", consolidated=False, cache=False, **exact).load()
    for name, variable in data.variables.items():
        variable.encoding = {}
        variable.attrs.pop("_FillValue", None)
        if variable.dtype.kind == "O":
            data[name] = variable.astype(TEXTS.get(str(name), str))
    return data[[*json.loads(about["measures"]), *TEXTS]]


def _description(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise missing(path)
    try:
        found = json.loads((path / ".zattrs").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
