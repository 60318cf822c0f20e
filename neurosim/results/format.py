"""Marks of neurosim's files and stores: kind, format and version; renamed variables.

Below every module that reads or writes one. Start at `file_attributes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.errors import FileError

FORMAT = 1  # of files and stores; a reader refuses a newer one

# Old and new prefixes of variables, such as spoken_x, in runs, checkpoints and recordings of 0.1.0.
RENAMED = {
    "spoken": "events",
    "taught": "plastic_events",
    "heard": "received",
    "said": "sent",
}


def file_attributes(kind: str) -> dict[str, Any]:
    """Return the attributes that mark the root of a file or store of this kind."""
    from neurosim.version import __version__

    return {"neurosim_format": FORMAT, "neurosim_kind": kind, "neurosim_version": __version__}


def check_format(path: Path, attributes: Mapping[str, Any]) -> None:
    """Check that this version can read a file or store, from the attributes of its root.

    Raises
    ------
    FileError
        A newer neurosim wrote it, or it has no format number.
    """
    found = attributes.get("neurosim_format")
    if not isinstance(found, int | np.integer) or found > FORMAT:
        version = attributes.get("neurosim_version")
        raise FileError(
            f"{path} has format {found}, written by neurosim {version}; "
            f"allowed: up to {FORMAT}; try a newer neurosim"
        )


def current_name(variable: str) -> str:
    """Return the present name of a variable that may have its name of 0.1.0.

    A prefix ``"population."`` is kept.

    Examples
    --------
    >>> current_name("hidden1.spoken_x")
    'hidden1.events_x'
    >>> current_name("lam")
    'lam'
    """
    population, dot, own = variable.rpartition(".")
    if dot:
        return f"{population}.{current_name(own)}"
    prefix, underscore, rest = variable.partition("_")
    if underscore and prefix in RENAMED:
        return f"{RENAMED[prefix]}_{rest}"
    return variable
