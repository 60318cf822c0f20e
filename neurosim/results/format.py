"""The marks that every file and store of neurosim carries: kind, format and version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import FileError

if TYPE_CHECKING:
    pass

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
