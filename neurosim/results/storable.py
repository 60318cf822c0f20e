"""Check that a dataset can be stored: its names, types and attributes, before anything is written.

netCDF holds text and numbers; other values are refused by libraries in the middle of a file, or
come back as something else. Start at `check_storable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import FileError, shown
from neurosim.results.format import file_attributes

if TYPE_CHECKING:
    import xarray as xr

# names that HDF5, netCDF, xarray or neurosim itself give to attributes of files
RESERVED = (
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "coordinates",
    "_FillValue",
    "_NCProperties",
    "_Netcdf4Coordinates",
    "_Netcdf4Dimid",
    "_nc3_strict",
    *file_attributes("run"),
)
TYPES = "biufcUS"  # of variables, as NumPy's kinds of dtypes
ALLOWED = "text, a number, a 1-d array or list of numbers, or a list of two or more texts"


def check_storable(name: str, dataset: xr.Dataset) -> None:
    """Refuse a dataset with a variable or an attribute that a netCDF file cannot hold.

    Parameters
    ----------
    name : str
        Name of the dataset, for the message.
    dataset : xarray.Dataset
        Its own attributes and those of its variables are checked.

    Raises
    ------
    FileError
        The message has the name of the variable or attribute, and the value.
    """
    _check(name, dataset.attrs)
    for variable, values in dataset.variables.items():
        if not _is_text(variable) or not variable or "/" in str(variable):
            raise FileError(
                f"{name} has a variable {shown(variable)}; "
                "allowed: text that is not empty, without /"
            )
        kind = values.dtype.kind
        if kind not in TYPES and not (kind == "O" and all(map(_is_text, values.values.flat))):
            raise FileError(
                f"{name}[{variable!r}] is of type {values.dtype}; allowed: numbers, bool or text; "
                "try astype(float), with the unit as an attribute"
            )
        _check(f"{name}[{variable!r}]", values.attrs)


def _check(name: str, attributes: Mapping[Any, Any]) -> None:
    for key, value in attributes.items():
        if not _is_text(key) or not key or key in RESERVED:
            raise FileError(
                f"{name}.attrs has the name {shown(key)}; "
                f"allowed: text that is not empty, other than {', '.join(RESERVED)}"
            )
        if not _can_be_stored(value):
            raise FileError(
                f"{name}.attrs[{key!r}] = {shown(value)}; allowed: {ALLOWED}; "
                "try str(...) or json.dumps(...)"
            )


def _can_be_stored(value: Any) -> bool:
    """Return whether a value comes back from a file as the same number, text or array."""
    if isinstance(value, str):
        return _is_text(value)
    if not isinstance(value, int | float | complex | np.number | np.ndarray | list | tuple):
        return False
    if isinstance(value, list | tuple) and any(isinstance(item, str) for item in value):
        return len(value) > 1 and all(map(_is_text, value))
    try:
        array = np.asarray(value)  # whose second dimension an attribute would lose
        return array.dtype.kind in "iufc" and array.ndim < 2
    except ValueError:  # rows of unequal length
        return False


def _is_text(value: Any) -> bool:
    """Return whether a value is text that HDF5 can hold: it ends text at the character NUL."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return "\0" not in value
