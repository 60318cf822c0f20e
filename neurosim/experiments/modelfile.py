"""Model files: a whole experiment as TOML, read, checked, changed by ``--set`` and written back.

`neurosim.experiments.schema` has the tables and their keys. A model file is untrusted: nothing in
it is run, and its size is limited. Start at `load`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from neurosim.errors import FileError, ModelError, shown, unknown
from neurosim.experiments import refusals, toml_writer
from neurosim.experiments.dotted_keys import override, set_key
from neurosim.experiments.schema import (
    OF_RELAX,
    OF_SIMULATION,
    OF_TRAIN,
    TABLES,
    Tables,
    extensions_of_tables,
)
from neurosim.model.flow import Flow

if TYPE_CHECKING:
    from neurosim.data.datasets import Data
    from neurosim.model.extension import Extension
    from neurosim.model.network import Network
    from neurosim.model.schedules import Schedule
    from neurosim.model.state import State
    from neurosim.results.runs import Log, Run
    from neurosim.simulation.simulation import Simulation

MAX_BYTES = 1_000_000
BYTE_ORDER_MARK = "\ufeff"  # which some editors put before a text in UTF-8
STUDIES = "studies"  # the folder of built-in files that `neurosim.studies` reads
LISTS = ("extension",)  # tables of which a file may have several
TOML_PATH = "the path of a .toml file"


@dataclass(frozen=True)
class ModelFile:
    """One experiment: a network, a flow, data, and what to do with them.

    Attributes
    ----------
    name : str
        The name of the file, without ``.toml``.
    tables : Tables
        The keys that the file and the overrides set.
    folder : Path
        The folder that a relative path of a data file starts from.
    comment : str
        The first line of the file's opening comment.

    Examples
    --------
    >>> spec = load("xor", ["flow.rho=2"])
    >>> spec.flow().rho, spec.network().neurons
    (2.0, ('hidden1', 'output'))
    """

    name: str
    tables: Tables = field(repr=False)
    folder: Path = field(default=Path(), compare=False)
    comment: str = field(default="", compare=False)

    def network(self) -> Network:
        """Return a new network with its initial weights."""
        return self.tables.network.build()

    def flow(self) -> Flow:
        """Return the flow, with derived times."""
        return self.tables.flow.build()

    def data(self) -> Data:
        """Return patterns and targets, split into training and test."""
        from neurosim.data import datasets

        keys = self.tables.data.given() | {"name": self._data_name()}
        return datasets.load(**keys)

    def simulation(self, net: Network | None = None) -> Simulation:
        """Return a simulation of `net`, or of a new network."""
        from neurosim.simulation.simulation import Simulation

        keys = self.tables.simulation.given(*OF_SIMULATION)
        keys["extensions"] = self.extensions()
        return Simulation(self.network() if net is None else net, self.flow(), **keys)

    def extensions(self) -> tuple[Extension, ...]:
        """Return the extensions of ``[[extension]]``."""
        return extensions_of_tables(self.tables.extension or ())

    def schedule(self) -> Schedule | None:
        """Return the schedule of training; None if the file has no ``[train]``."""
        if self.tables.train is None:
            return None
        schedule: Schedule = self.tables.train.build()
        return schedule

    def relax(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Relax the training patterns with fixed weights, for ``simulation.duration``."""
        if self.tables.simulation.duration is None:
            raise ModelError(
                f"simulation.duration is missing in model {self.name!r}; "
                "allowed: a time, e.g. '400 ms', or a [train] table"
            )
        keys = _applicable(self.tables.simulation.given(*OF_RELAX))
        start = self.start(simulation.net, data)
        if start is not None:
            keys["start"] = start
        return simulation.relax(data.X, data.Y, progress=progress, **keys)

    def start(self, net: Network, data: Data) -> State | None:
        """Return the state of ``[start]``; None if the file does not have that table.

        Raises
        ------
        ModelError
            The file has ``simulation.start`` too.
        """
        self.check_start()
        if self.tables.start is None:
            return None
        return self.tables.start.build(net, data.X, data.Y)

    def check_start(self) -> None:
        """Refuse ``simulation.start`` beside ``[start]``.

        Raises
        ------
        ModelError
            The file has both.
        """
        start = self.tables.simulation.start
        if self.tables.start is not None and start is not None:
            raise ModelError(f"simulation.start = {start!r} beside [start]; allowed: one of them")

    def changed(self, values: Mapping[str, Any]) -> ModelFile:
        """Return the model with other values of some dotted keys, such as ``{"flow.rho": 2.0}``.

        The path of a data file among them starts from the current folder.

        Raises
        ------
        ModelError
            An unknown key, with the nearest valid one, or a value of the wrong type.
        """
        raw = self.tables.model_dump(exclude_none=True)
        resolve_data(raw, self.folder)
        for key, value in values.items():
            set_key(raw, key.split("."), value)
        resolve_data(raw, Path())
        return replace(self, tables=_validated(raw))

    def train(
        self,
        simulation: Simulation,
        data: Data,
        *,
        progress: bool = False,
        checkpoint: Path | None = None,
        resume: Path | None = None,
    ) -> Log:
        """Train on the training patterns by the file's schedule, as `Simulation.train` does."""
        schedule = self.schedule()
        if schedule is None:
            raise ModelError(
                f"train is missing in model {self.name!r}; "
                "allowed: a table, e.g. schedule = 'simultaneous', duration = '4 s'"
            )
        self._refuse_unread("train")
        keys = _applicable(self.tables.simulation.given(*OF_TRAIN))
        return simulation.train(
            data.X,
            data.Y,
            schedule,
            validation=data.validation,
            progress=progress,
            checkpoint=checkpoint,
            resume=resume,
            **keys,
        )

    def stream(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Show the training patterns as the frames of a stream, in their order."""
        if self.tables.stream is None:
            raise ModelError(
                f"stream is missing in model {self.name!r}; "
                "allowed: a table, e.g. per_frame = '10 ms'"
            )
        self._refuse_unread("stream")
        keys = _applicable(self.tables.simulation.given(*OF_TRAIN)) | self.tables.stream.given()
        return simulation.stream(data.X, data.Y, progress=progress, **keys)

    def run(
        self,
        simulation: Simulation,
        data: Data,
        *,
        progress: bool = False,
        checkpoint: Path | None = None,
        resume: Path | None = None,
    ) -> Run | Log:
        """Stream if the file has ``[stream]``, train if it has ``[train]``, else relax.

        Raises
        ------
        ModelError
            The file has both tables, or neither and no ``simulation.duration``; a checkpoint where
            nothing is trained.
        """
        if self.tables.stream is not None and self.tables.train is not None:
            raise ModelError(
                f"model {self.name!r} has both [train] and [stream]; allowed: one of them; "
                "try stream.plastic = true"
            )
        if self.tables.train is not None:
            return self.train(
                simulation, data, progress=progress, checkpoint=checkpoint, resume=resume
            )
        for name, path in {"checkpoint": checkpoint, "resume": resume}.items():
            if path is not None:
                raise ModelError(
                    f"{name} = {str(path)!r}, but model {self.name!r} has no [train] table; "
                    f"allowed: a model that is trained; try it without --{name}"
                )
        if self.tables.stream is not None:
            return self.stream(simulation, data, progress=progress)
        return self.relax(simulation, data, progress=progress)

    def _refuse_unread(self, table: str) -> None:
        """Refuse what only a relaxation reads, beside ``[train]`` or ``[stream]``.

        Raises
        ------
        ModelError
            The message has the key.
        """
        if self.tables.start is not None:
            raise ModelError(
                f"[start] beside [{table}], which does not read it; allowed: one of them; "
                "try simulation.start"
            )
        unread = set(OF_RELAX) - set(OF_TRAIN)
        if table == "stream":
            unread.add("patterns")
        for key, value in self.tables.simulation.given(*sorted(unread)).items():
            if value is not False:  # adaptive = false switches off
                raise ModelError(
                    f"simulation.{key} = {shown(value)} beside [{table}], which does not read it; "
                    f"allowed: one of them; try to remove either"
                )

    def effective(self) -> Tables:
        """Return the tables as written beside results, with the absolute path of a data file."""
        data = self.tables.data.model_copy(update={"name": self._data_name()})
        return self.tables.model_copy(update={"data": data})

    def _data_name(self) -> str:
        from neurosim.data import datasets

        name = self.tables.data.name
        if name in datasets.BUILT_IN or not datasets.is_path(name):
            return name
        return os.path.abspath(self.folder / name)


def load(source: str | Path, overrides: Iterable[str] = ()) -> ModelFile:
    """Load a model file by path, or a built-in one by name, with overrides.

    Parameters
    ----------
    source : str or Path
        ``"experiment.toml"``, or ``"xor"``; ``"models/xor.toml"`` means the built-in one if that
        file does not exist.
    overrides : iterable of str
        ``"flow.rho=2"``, ``"network.populations.1.size=4"``: values are written as in TOML;
        anything else is text. The path of a data file starts from the current folder; in the model
        file it starts from that file's folder.

    Raises
    ------
    FileError
        A file that does not exist, is not readable, is not TOML or is too large.
    ModelError
        An unknown key, with the nearest valid one, or a value of the wrong type.
    """
    path = find(source)
    return loads(text_of(path), name=path.stem, folder=path.parent, overrides=overrides)


def loads(
    text: str, *, name: str = "model", folder: Path = Path(), overrides: Iterable[str] = ()
) -> ModelFile:
    """Load the text of a model file; see `load`."""
    raw = parse_toml(text, f"model file {name!r}")
    resolve_data(raw, folder)
    for given in overrides:
        override(raw, given)
    resolve_data(raw, Path())
    return ModelFile(name, _validated(raw), folder, headline(text))


def resolve_data(raw: dict[str, Any], folder: Path) -> None:
    """Make the path of a data file in ``data.name`` absolute, if it is relative to `folder`.

    Call it before overrides with the folder of a file, and after them with the current one.
    """
    from neurosim.data import datasets

    data = raw.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    if isinstance(name, str) and name not in datasets.BUILT_IN and datasets.is_path(name):
        raw["data"] = {**raw["data"], "name": os.path.abspath(folder / name)}


def text_of(path: Path) -> str:
    """Return the text of a model file, or of the file of a study.

    Raises
    ------
    FileError
        A file that is not readable, not UTF-8 or too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(
                f"model file {str(path)!r} has {size} bytes; allowed: at most {MAX_BYTES}"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"model file {str(path)!r} is not text in UTF-8: {error}") from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read model file {str(path)!r}: {error.strerror}") from error


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """Return the tables of a text in TOML; messages begin with `name`.

    Raises
    ------
    FileError
        The text is not TOML.
    """
    try:
        return tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{name} is not TOML: {error}") from error


def headline(text: str) -> str:
    """Return the first line of a file's opening comment."""
    first = text.lstrip().partition("\n")[0]
    if not first.startswith("#"):
        return ""
    return first.lstrip("# ").strip()


def folder() -> Path:
    """Return the folder of the built-in files: within the package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    if (package / "models").is_dir():
        return package / "models"
    return package.parent / "models"


def built_in() -> dict[str, Path]:
    """Return the built-in model files by name, such as "xor", or "lp/wine-1" in a folder."""
    found = {}
    for path in sorted(folder().rglob("*.toml")):
        name = path.relative_to(folder()).with_suffix("").as_posix()
        if not name.startswith(f"{STUDIES}/"):
            found[name] = path
    return found


def find(source: str | Path) -> Path:
    """Return the file of a model, given its path or its built-in name.

    Raises
    ------
    FileError
        The source is neither; the message has the nearest built-in name.
    """
    return find_among("model", source, built_in())


def find_among(kind: str, source: str | Path, known: Mapping[str, Path]) -> Path:
    """Return the file at a path, or the one with a name among the `known` ones.

    Raises
    ------
    FileError
        The source is neither; the message begins with `kind` and has the nearest name.
    """
    path = Path(source)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # too long, or a zero byte
        raise FileError(f"{kind} {str(source)[:80]!r} is not a path: {error}") from error
    name = path.as_posix().removeprefix("models/").removesuffix(".toml")
    if name not in known:
        refusal = unknown(kind, str(source), (*known, TOML_PATH))
        raise FileError(f"{refusal}")
    return known[name]


def dump(model: ModelFile | Tables) -> str:
    """Return the model as TOML; `loads` reads the same tables back."""
    return toml_writer.write(model.tables if isinstance(model, ModelFile) else model)


def tables_of(raw: Mapping[str, Any]) -> Tables:
    """Return raw tables as checked ones, or raise `ModelError`."""
    return _validated(dict(raw))


def check_tables(raw: Mapping[str, Any]) -> None:
    """Check the tables that are present; none is required.

    Raises
    ------
    ModelError
        The first unknown table, unknown key or invalid value.
    """
    for name, table in raw.items():
        if (name,) not in TABLES:
            raise unknown("table", name, Tables.model_fields)
        entries = table if name in LISTS and isinstance(table, list) else [table]
        try:
            for entry in entries:
                TABLES[name,].model_validate(entry)
        except ValidationError as error:
            raise refusals.explained(error, (name,), TABLES) from None


def _validated(raw: Mapping[str, Any]) -> Tables:
    try:
        return Tables.model_validate(raw)
    except ValidationError as error:
        raise refusals.explained(error, (), TABLES) from None


def _applicable(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a run without those of a recording, or of adaptive steps, switched off."""
    switched_off: tuple[str, ...] = ()
    if "record" in keys and not keys["record"]:
        switched_off += ("every", "patterns", "units", "stream")
    if keys.get("adaptive") is False:
        switched_off += ("tolerance",)
    return {name: value for name, value in keys.items() if name not in switched_off}
