"""Arrays of a recording that are read from disk at each use, wherever its folder is then.

Imported where a recording is read, as xarray takes its time. Above `folders`. Start at `stored`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from xarray import Variable
from xarray.backends import BackendArray
from xarray.core import indexing

from neurosim.results.folders import Place

Array = np.ndarray


def stored(variable: Variable, place: Place, name: str) -> Variable:
    """Return a variable whose values are read from the folder of a recording when they are used."""
    lazy = indexing.LazilyIndexedArray(StoredArray(place, name, variable.shape, variable.dtype))
    return Variable(variable.dims, lazy, variable.attrs)


class StoredArray(BackendArray):
    """An array of a recording on disk, as xarray's backends have them."""

    def __init__(self, place: Place, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.place, self.name, self.shape, self.dtype = place, name, shape, np.dtype(dtype)

    def __getitem__(self, key: Any) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: Any) -> Array:
        import zarr

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zarr, about an array that is being written
            array: Any = zarr.open_array(str(self.place.find() / self.name), mode="r")
            return np.asarray(array.oindex[key])
