"""Write and read checkpoints, from which an interrupted training goes on."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.disk import replacing
from neurosim.errors import (
    FileError,
)
from neurosim.model.schedules import Schedule
from neurosim.simulation.session import Session


def write_checkpoint(
    path: str | Path,
    session: Session,
    schedule: Schedule,
    done: int,
    rows: Sequence[Mapping[str, float]],
) -> None:
    """Everything from which training goes on, in place of an earlier checkpoint once it is
    complete.
    """
    with replacing(path) as temporary, open(temporary, "wb") as file:
        about = {
            "_done": np.array(done),
            "_rows": np.array(json.dumps(list(rows))),
            "_model": np.array(_fingerprint(session, schedule)),
        }
        arrays: Any = {**session.snapshot(), **about}  # Any: a name could be savez's own keyword
        np.savez(file, **arrays)


def read_checkpoint(
    path: str | Path, session: Session, schedule: Schedule
) -> tuple[int, list[dict[str, float]]]:
    """Put a session where a checkpoint left it; segments done, and the log until then."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {k: stored[k] for k in stored.files}
        done, rows, written = (
            int(found.pop("_done")),
            json.loads(str(found.pop("_rows"))),
            str(found.pop("_model")),
        )
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise FileError(
            f"{path} is not a checkpoint that can be read ({error}); allowed: a file of "
            "train(checkpoint=...)"
        ) from error
    if written != _fingerprint(session, schedule):
        raise FileError(
            f"{path} is a checkpoint of another model, data set or schedule; try it "
            "with the same ones"
        )
    session.restore(found)
    session.read_weights()
    return done, rows


def _fingerprint(session: Session, schedule: Schedule) -> str:
    """What must be the same for a checkpoint to go on."""
    import hashlib

    digest = hashlib.sha256()
    for arrays in (session.clamped, session.targets):
        for name, values in arrays.items():
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    fixed = session.setting
    model = [
        fixed.net.describe(),
        fixed.flow.as_dict(),
        repr(schedule),
        repr(session.recording),
        fixed.dt,
        fixed.method,
        fixed.precision,
        fixed.seed,
        fixed.described["transport"],
        repr(fixed.extensions),
        *([repr(fixed.imperfections)] if fixed.imperfections else []),
    ]
    return digest.hexdigest() + json.dumps(model, default=str)
