"""The marks that every file and store of neurosim carries: kind, format and version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.errors import FileError

FORMAT = 1  # of the files; a reader refuses what is newer


def file_attributes(kind: str) -> dict[str, Any]:
    """What every file and store of ours says of itself."""
    from neurosim.version import __version__

    return {"neurosim_format": FORMAT, "neurosim_kind": kind, "neurosim_version": __version__}


def check_format(path: Path, attributes: Mapping[str, Any]) -> None:
    """A `FileError` for what a newer neurosim wrote."""
    version = attributes.get("neurosim_format")
    if not isinstance(version, int | np.integer) or version > FORMAT:
        raise FileError(
            f"{path} has format {version}, written by neurosim "
            f"{attributes.get('neurosim_version')}; "
            f"allowed: up to {FORMAT}; try a newer neurosim"
        )


# Prefixes of variables that had another name in 0.1.0, as runs, checkpoints and recordings know it.
RENAMED = {
    "spoken": "events",
    "taught": "plastic_events",
    "heard": "received",
    "said": "sent",
}


def current_name(variable: str) -> str:
    """Return today's name of a variable, or of ``"population.variable"``, that may be from 0.1.0."""
    population, dot, own = variable.rpartition(".")
    if dot:
        return f"{population}.{current_name(own)}"
    prefix, underscore, rest = variable.partition("_")
    if underscore and prefix in RENAMED:
        return f"{RENAMED[prefix]}_{rest}"
    return variable
