"""Write and read checkpoints from which an interrupted training can go on.

Above `session`, below `running`. A checkpoint is an npz file: the arrays of `Session.snapshot`, the
best weights so far, the rows of the log, and a fingerprint of the model, the data and the schedule.
Start at `write_checkpoint`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.archives import read_arrays, write_arrays
from neurosim.engine.names import SAMPLE_WEIGHT
from neurosim.errors import FileError
from neurosim.model import imperfections as circuit
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.extension import Extension
from neurosim.model.schedules import Presentations, Schedule, Simultaneous
from neurosim.simulation.best_weights import BestWeights
from neurosim.simulation.log import Row
from neurosim.simulation.options import Recording
from neurosim.simulation.session import RECORD, Session

Array = np.ndarray

# Entries beside the arrays of the session; `BEST` is a prefix. 0.1.0 wrote no `FORMAT`.
DONE, ROWS, MODEL, FORMAT, BEST = "_done", "_rows", "_model", "_format", "_best."
PRESENT_FORMAT = 2
UNREADABLE = (FileError, ValueError, TypeError, KeyError, RecursionError)

# Objects in a fingerprint of 0.1.0, as text: the name and the fields that each had then, in order.
# It is needed to read checkpoints of that version alone, so it never changes.
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
    best: BestWeights,
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
    best : BestWeights

    Raises
    ------
    FileError
        The folder is missing or unwritable, or the disk is full.
    """
    about = {
        DONE: np.array(done),
        ROWS: np.array(json.dumps(list(rows))),
        MODEL: np.array(_fingerprint(session, schedule)),
        FORMAT: np.array(PRESENT_FORMAT),
    }
    about |= {BEST + name: values for name, values in best.snapshot().items()}
    write_arrays(path, {**session.snapshot(), **about})


def read_checkpoint(
    path: str | Path, session: Session, schedule: Schedule, best: BestWeights
) -> tuple[int, list[Row]]:
    """Restore a session, its network and the best weights so far from a checkpoint.

    Returns
    -------
    int, list of rows
        Number of segments that are done, and the log until then.

    Raises
    ------
    FileError
        The file is not a checkpoint, or belongs to another model, data set or schedule, or holds
        numbers that are not finite.
    """
    try:
        found = read_arrays(path)
        done = int(found.pop(DONE))
        rows = json.loads(str(found.pop(ROWS)))
        written = str(found.pop(MODEL))
        version = int(found.pop(FORMAT, 1))
    except UNREADABLE as error:
        raise FileError(
            f"{path} is not a checkpoint that can be read ({error}); "
            "allowed: a file of train(checkpoint=...)"
        ) from error
    if version > PRESENT_FORMAT:
        raise FileError(
            f"{path} has format {version}; allowed: up to {PRESENT_FORMAT}; try a newer neurosim"
        )
    fingerprint = _fingerprint if version == PRESENT_FORMAT else _first_fingerprint
    if written != fingerprint(session, schedule):
        raise FileError(
            f"{path} is a checkpoint of another model, data set or schedule; "
            "try it with those that it was written with"
        )
    kept = {name: found.pop(name) for name in list(found) if name.startswith(BEST)}
    _check_finite(path, found)
    if done < 1 or done != len(rows):
        raise FileError(
            f"{path} has {len(rows)} rows of a log after {done} segments; allowed: as many; "
            "try an earlier checkpoint"
        )
    session.restore(found, complete=version == PRESENT_FORMAT)
    session.read_weights()
    best.recall({name.removeprefix(BEST): values for name, values in kept.items()})
    return done, rows


def _check_finite(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Check that the state and the parameters of a checkpoint are finite, as those of a model are.

    Recorded rows may have NaN, where a variable is not defined yet.
    """
    for name, values in arrays.items():
        if name.startswith(RECORD) or values.dtype.kind != "f":
            continue
        wrong = values[~np.isfinite(values)]
        if wrong.size:
            raise FileError(
                f"{path} has {wrong.size} of {values.size} values of {name} that are not finite, "
                f"such as {wrong[0]}; allowed: finite numbers; try an earlier checkpoint"
            )


def _fingerprint(session: Session, schedule: Schedule) -> str:
    """Return text that is equal for two trainings if one can go on from the other's checkpoint.

    It is made of all fields of all choices, so that a new one cannot be forgotten.
    """
    fixed = session.setting
    chosen = {key: value for key, value in fixed.described.items() if key != "backend_reason"}
    model = [
        fixed.net.describe(),
        fixed.flow.as_dict(),
        chosen,
        schedule,
        session.work.recording,
        fixed.extensions,
        fixed.imperfections,
        session.work.descent,
    ]
    return _digest(session) + json.dumps(_plain(model))


def _plain(thing: Any) -> Any:
    """Return an object in a form that JSON can store, arrays as digests.

    A field at its default is left out. So a field that a later version adds does not make earlier
    checkpoints those of another model.
    """
    if isinstance(thing, np.ndarray):
        return [str(thing.dtype), thing.shape, hashlib.sha256(thing.tobytes()).hexdigest()]
    if is_dataclass(thing) and not isinstance(thing, type):
        return [type(thing).__name__, _stated(thing)]
    if isinstance(thing, Mapping):
        return [[str(key), _plain(value)] for key, value in thing.items()]
    if isinstance(thing, list | tuple):
        return [_plain(item) for item in thing]
    return thing if thing is None or isinstance(thing, str | int | float) else str(thing)


def _stated(thing: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their defaults."""
    stated = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        if isinstance(value, np.ndarray) or value != default:
            stated[field.name] = _plain(value)
    return stated


def _digest(session: Session) -> str:
    """Return a digest of the data of a training, and of the weights of its patterns, if any."""
    digest = hashlib.sha256()
    for arrays in (session.clamped, session.targets):
        for name, values in arrays.items():
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    if session.work.sample_weight is not None:
        digest.update(SAMPLE_WEIGHT.encode() + session.work.sample_weight.tobytes())
    return digest.hexdigest()


def _first_fingerprint(session: Session, schedule: Schedule) -> str:
    """Return the fingerprint that 0.1.0 wrote."""
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
    return _digest(session) + json.dumps(model, default=str)


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
