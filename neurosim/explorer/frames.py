"""Pack a frame: a header in JSON, then the times and values of samples as plain numbers.

The page reads it without parsing numbers. Start at `packed`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray
ALIGNMENT = 8  # bytes: a typed array of the page must begin at a multiple of it


def packed(header: Mapping[str, Any], times: Array, values: Mapping[str, Array]) -> bytes:
    """Return a frame as bytes.

    Parameters
    ----------
    header : dict
        Plain values; "samples", "width" and "variables" are added.
    times : (samples,), s
    values : dict of str to (samples, width) array
        By variable.

    Returns
    -------
    bytes
        The length of the header (4 bytes, little-endian), the header, times in float64, and the
        variables one after the other in float32; the header is padded with spaces.

    Examples
    --------
    >>> frame = packed({"t": 0.5}, np.array([0.5]), {"x": np.ones((1, 2))})
    >>> len(frame) % 8
    0
    """
    width = 0
    for rows in values.values():
        width = rows.shape[1]
    whole = {**header, "samples": len(times), "width": width, "variables": list(values)}
    text = as_json(whole).encode()
    padding = -(4 + len(text)) % ALIGNMENT
    text += b" " * padding
    parts = [len(text).to_bytes(4, "little"), text, np.asarray(times, "<f8").tobytes()]
    parts += [np.asarray(rows, "<f4").tobytes() for rows in values.values()]
    return b"".join(parts)


def as_json(value: Any) -> str:
    """Return plain values as JSON; a number that is not finite becomes null."""
    return json.dumps(_finite(value), allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(own) for own in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
