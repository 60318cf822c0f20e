"""Write and read checkpoints from which an interrupted training can go on.

Above `session`, below `running`. A checkpoint is an npz file: the arrays of `Session.snapshot`, the
rows of the log, and a fingerprint of the model, the data and the schedule. Start at
`write_checkpoint`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.archives import read_arrays, write_arrays
from neurosim.errors import FileError
from neurosim.model import imperfections as circuit
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.extension import Extension
from neurosim.model.schedules import Presentations, Schedule, Simultaneous
from neurosim.simulation.log import Row
from neurosim.simulation.options import Recording
from neurosim.simulation.session import Session

DONE, ROWS, MODEL = "_done", "_rows", "_model"  # entries beside the arrays of the session
UNREADABLE = (FileError, ValueError, TypeError, KeyError, RecursionError)

# Objects in the fingerprint, as text: the name and the fields that each had in 0.1.0, in order.
# This is the file format. A class that is renamed keeps its text. A field that is added must stay
# out of the text unless it is set, or checkpoints of earlier versions would be refused.
TEXTS: dict[type, tuple[str, tuple[str, ...]]] = {
    Simultaneous: ("Simultaneous", ("duration", "reports", "begin")),
    Presentations: (
        "Presentations",
        ("batch", "present", "plastic_from", "epochs", "shuffle", "begin"),
    ),
    Recording: ("Recording", ("variables", "every", "patterns", "units", "stream")),
    Extension: ("Extension", ("population", "x", "lam", "equations", "parameters")),
    Imperfections: ("Imperfections", ("given", "prospective", "seed")),
    circuit.StateNoise: ("StateNoise", ("sd", "correlation")),
    circuit.MessageNoise: ("MessageNoise", ("sd",)),
    circuit.LostMessages: ("LostMessages", ("share", "read")),
    circuit.Quantised: ("Quantised", ("quantum", "how")),
    circuit.Delay: ("Delay", ("steps", "time")),
    circuit.TimeConstants: ("TimeConstants", ("spread",)),
    circuit.Derivative: ("Derivative", ("expression", "half_width")),
    circuit.Dale: ("Dale", ("inhibitory",)),
    circuit.LowPass: ("LowPass", ("time",)),
    circuit.Prospective: ("Prospective", ("time",)),
}


def write_checkpoint(
    path: str | Path,
    session: Session,
    schedule: Schedule,
    done: int,
    rows: Sequence[Mapping[str, float]],
) -> None:
    """Write all that training needs to go on from here.

    An earlier checkpoint at `path` stays until this one is complete.

    Parameters
    ----------
    path : str or Path
    session : Session
    schedule : Simultaneous or Presentations
    done : int
        Number of segments that are done.
    rows : sequence of rows
        The log so far.

    Raises
    ------
    FileError
        The folder is missing or unwritable, or the disk is full.
    """
    about = {
        DONE: np.array(done),
        ROWS: np.array(json.dumps(list(rows))),
        MODEL: np.array(_fingerprint(session, schedule)),
    }
    write_arrays(path, {**session.snapshot(), **about})


def read_checkpoint(
    path: str | Path, session: Session, schedule: Schedule
) -> tuple[int, list[Row]]:
    """Restore a session and its network from a checkpoint.

    Returns
    -------
    int, list of rows
        Number of segments that are done, and the log until then.

    Raises
    ------
    FileError
        The file is not a checkpoint, or belongs to another model, data set or schedule.
    """
    try:
        found = read_arrays(path)
        done = int(found.pop(DONE))
        rows = json.loads(str(found.pop(ROWS)))
        written = str(found.pop(MODEL))
    except UNREADABLE as error:
        raise FileError(
            f"{path} is not a checkpoint that can be read ({error}); "
            "allowed: a file of train(checkpoint=...)"
        ) from error
    if written != _fingerprint(session, schedule):
        raise FileError(
            f"{path} is a checkpoint of another model, data set or schedule; "
            "try it with those that it was written with"
        )
    session.restore(found)
    session.read_weights()
    return done, rows


def _fingerprint(session: Session, schedule: Schedule) -> str:
    """Return text that is equal for two trainings if one can go on from the other's checkpoint."""
    import hashlib

    digest = hashlib.sha256()
    for arrays in (session.clamped, session.targets):
        for name, values in arrays.items():
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    fixed = session.setting
    model = [
        fixed.net.describe(),
        fixed.flow.as_dict(),
        as_text(schedule),
        as_text(session.work.recording),
        fixed.dt,
        fixed.method,
        fixed.precision,
        fixed.seed,
        fixed.described["transport"],
        as_text(fixed.extensions),
    ]
    if fixed.imperfections:
        model.append(as_text(fixed.imperfections))
    return digest.hexdigest() + json.dumps(model, default=str)


def as_text(thing: Any) -> str:
    """Return an object as 0.1.0 wrote it into a fingerprint, by `TEXTS`.

    Examples
    --------
    >>> from neurosim.model.schedules import Simultaneous
    >>> as_text((Simultaneous(duration=0.2, reports=4),))
    '(Simultaneous(duration=0.2, reports=4, begin=0),)'
    """
    if isinstance(thing, tuple):
        inner = ", ".join(as_text(item) for item in thing)
        return f"({inner},)" if len(thing) == 1 else f"({inner})"
    if type(thing) not in TEXTS:
        return repr(thing)
    name, fields = TEXTS[type(thing)]
    stated = ", ".join(f"{field}={as_text(getattr(thing, field))}" for field in fields)
    return f"{name}({stated})"
