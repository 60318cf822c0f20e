"""The one entry of arrays that users hand in: whatever a conversion would drop is refused.

`numpy.asarray(value, dtype=float)` drops a mask, an imaginary part and a unit, and reads text and
dates as numbers, all without a word. Above `errors` only, so that every room may use it. Start at
`real_array`; `refuse_lossy` is for values that another library converts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from neurosim.errors import DataError, NeurosimError, out_of_range

Array = np.ndarray
PLAIN = frozenset({int, float, bool, np.bool_, np.float64, np.float32, np.int64, np.int32})
# kind of a dtype: its name for messages, and what to try instead
LOSSY_KINDS = {
    "c": ("real but complex", "their real parts"),
    "m": ("numbers but time spans", "seconds"),
    "M": ("numbers but dates", "seconds since the first"),
    "S": ("numbers but text", "sklearn.preprocessing to encode names"),
    "U": ("numbers but text", "sklearn.preprocessing to encode names"),
    "T": ("numbers but text", "sklearn.preprocessing to encode names"),
    "V": ("numbers but records of several fields", "one field"),
}
UNITS = ("dim", "unit", "units")  # attributes of quantities: Brian2; Astropy; Pint and xarray
UNIT_ONE = ("", "1", "1.0", "dimensionless")
TEXT = ("S", "U", "T")


def real_array(
    name: str,
    value: Any,
    *,
    error: type[NeurosimError] = DataError,
    allowed: str = "numbers, rows of equal length",
    booleans: bool = True,
    copied: bool = True,
) -> Array:
    """Return an array of finite floats, C-contiguous, with nothing dropped or guessed.

    Parameters
    ----------
    name : str
        Name of the array, for messages.
    value : array-like or SciPy sparse array
    error : type
        Class of the error to raise.
    allowed : str
        Allowed values, for messages.
    booleans : bool
        Whether True and False are accepted, as 1 and 0.
    copied : bool
        Whether to copy; if False, the array may share memory with the value and must not change.

    Raises
    ------
    NeurosimError
        Masked values, imaginary parts, units, text, dates, values that are not numbers, NaN or
        infinity.

    Examples
    --------
    >>> real_array("X", [[0, 1]])
    array([[0., 1.]])
    >>> real_array("X", np.ma.array([1.0, 2.0], mask=[False, True]))
    Traceback (most recent call last):
        ...
    neurosim.errors.DataError: X: 1 masked value; allowed: no mask; try X.filled(0)
    """
    refuse_lossy(name, value, error=error, booleans=booleans)
    convert = np.array if copied else np.asarray
    try:
        if hasattr(value, "toarray"):
            value = value.toarray()
        array: Array = convert(value, dtype=float, order="C")
    except (TypeError, ValueError) as wrong:
        raise error(f"{name} is not an array of numbers ({wrong}); allowed: {allowed}") from wrong
    check_finite(name, array, error=error)
    return array


def check_finite(name: str, array: Array, *, error: type[NeurosimError] = DataError) -> None:
    """Check that all numbers of an array are finite.

    Parameters
    ----------
    name : str
        Name of the array, for the message.
    array : array of numbers
    error : type
        Class of the error to raise.

    Raises
    ------
    NeurosimError
        NaN or infinity; the message has the first such value, its index and their number.
    """
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise error(
            f"{name} holds {array[index]} at index {index} ({len(bad)} in all); "
            "allowed: finite numbers; try sklearn.impute"
        )


def refuse_lossy(
    name: str,
    value: Any,
    *,
    error: type[NeurosimError] = DataError,
    booleans: bool = True,
    text: bool = False,
) -> None:
    """Refuse a value of which a conversion to numbers would drop or guess a part.

    Parameters
    ----------
    name : str
        Name of the value, for messages.
    value : object
        Array, sparse array, table, number, or nested lists and tuples of these.
    error : type
        Class of the error to raise.
    booleans, text : bool
        Whether True and False, and text, are accepted.

    Raises
    ------
    NeurosimError
        Masked values, imaginary parts, units, dates, records; booleans and text where not accepted.
    """
    for part in _parts(value):
        _refuse_mask_and_unit(name, part, error)
        kind = _kind(part)
        if kind == "b" and not booleans:
            raise error(f"{name} are not numbers but True and False; allowed: numbers")
        if kind in LOSSY_KINDS and not (text and kind in TEXT):
            what, instead = LOSSY_KINDS[kind]
            # scikit-learn's own checks look for the words in brackets
            more = " (Complex data not supported)" if kind == "c" else ""
            raise error(f"{name} are not {what}{more}; allowed: numbers; try {instead}")


def validated(estimator: Any, X: Any, *y: Any, text: bool = False, **checks: Any) -> Any:
    """Return X, and y if it is given, as scikit-learn's `validate_data` does.

    Parameters
    ----------
    estimator : sklearn.base.BaseEstimator
    X, y : array-like
    text : bool
        Whether y may hold text.
    **checks
        Arguments of `validate_data`.

    Raises
    ------
    DataError
        As in `refuse_lossy`.
    """
    from sklearn.utils.validation import validate_data

    refuse_lossy("X", X)
    refuse_lossy("y", y, text=text)
    return validate_data(estimator, X, *y, dtype=float, **checks)


def own(value: Any, name: str = "value") -> Any:
    """Return a copy that nobody can write to, or the value itself if it is one already.

    Parameters
    ----------
    value : array-like, SciPy sparse array or None
        A sparse array becomes a csr_array.
    name : str
        Name of the value, for the message.

    Raises
    ------
    ModelError
        A value that cannot be copied, such as an iterator or an open file.
    """
    if isinstance(value, np.ndarray):
        if value.base is None and not value.flags.writeable:
            return value
        value = np.array(value, subok=True)
        value.setflags(write=False)
        return value
    if hasattr(value, "toarray"):
        from scipy.sparse import csr_array

        if isinstance(value, csr_array) and not value.data.flags.writeable:
            return value
        value = csr_array(value, copy=True)
        value.data.setflags(write=False)
        return value
    try:
        return copy.deepcopy(value)
    except Exception as error:  # of the value's own class
        allowed = "an array, or nested lists of numbers"
        raise out_of_range(name, value, allowed, "np.array(list(...)) of an iterator") from error


def _parts(value: Any) -> Iterator[Any]:
    """Yield the arrays and numbers in lists, tuples and arrays of objects; one of a plain type."""
    if hasattr(value, "iloc"):  # a pandas table, whose columns may be of several types
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.ravel().tolist()
    if not isinstance(value, list | tuple):
        yield value
        return
    plain = {type(item): item for item in value}
    if PLAIN.issuperset(plain):
        yield from plain.values()
        return
    for item in value:
        yield from _parts(item)


def _refuse_mask_and_unit(name: str, part: Any, error: type[NeurosimError]) -> None:
    hidden = int(np.sum(part.mask)) if isinstance(part, np.ma.MaskedArray) else 0
    if hidden:
        values = "value" if hidden == 1 else "values"
        raise error(f"{name}: {hidden} masked {values}; allowed: no mask; try {name}.filled(0)")
    unit = _unit(part)
    if unit not in UNIT_ONE:
        raise error(f"{name}: in units of {unit}; allowed: unit 1; try dividing by the unit")


def _unit(part: Any) -> str:
    """Return the unit of a quantity, "" if it has none."""
    is_labelled = hasattr(part, "dims")  # of an xarray, an attribute may be a coordinate
    for attribute in UNITS:
        found = getattr(part, attribute, None)
        if found is None or callable(found) or (is_labelled and hasattr(found, "dims")):
            continue
        return str(found)
    return ""


def _kind(part: Any) -> str:
    """Return the kind of the numbers of an array or a number, as NumPy names it."""
    dtype = getattr(part, "dtype", None)
    if not isinstance(dtype, np.dtype):
        try:
            dtype = np.asarray(part).dtype
        except (TypeError, ValueError):  # the conversion that follows says what is wrong
            return ""
    return str(dtype.kind)
