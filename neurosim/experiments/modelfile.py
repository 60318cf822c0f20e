"""Model files: a whole experiment as TOML, read, checked, changed by ``--set`` and written back.

What it may hold is in `tables`. A model file is untrusted: nothing in it is run, and its size is
limited. Start at `load`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from neurosim.errors import FileError, ModelError, out_of_range, unknown
from neurosim.experiments.schema import OF_RELAX, OF_SIMULATION, OF_TRAIN, TABLES, Tables
from neurosim.model.flow import Flow

if TYPE_CHECKING:
    from neurosim.data.datasets import Data
    from neurosim.model.network import Network
    from neurosim.model.schedules import Schedule
    from neurosim.model.state import State
    from neurosim.results.runs import Log, Run
    from neurosim.simulation.simulation import Simulation

Array = np.ndarray

MAX_BYTES = 1_000_000
STUDIES = "studies"  # the folder of built-in files that are read by `neurosim.studies`


@dataclass(frozen=True)
class ModelFile:
    """One experiment: a network, a flow, data, and what to do with them.

    Attributes
    ----------
    name : str
        The file's, without ``.toml``.
    tables : Tables
        What the file and the overrides set.
    folder : Path
        Where a relative path of a data file starts from.
    comment : str
        The first line of the file's opening comment: what it shows.
    """

    name: str
    tables: Tables = field(repr=False)
    folder: Path = field(default=Path(), compare=False)
    comment: str = field(default="", compare=False)

    def network(self) -> Network:
        """A new network with its initial weights."""
        return self.tables.network.build()

    def flow(self) -> Flow:
        """The flow, with derived times."""
        return self.tables.flow.build()

    def data(self) -> Data:
        """Patterns and targets, split."""
        from neurosim.data import datasets

        return datasets.load(**{**self.tables.data.given(), "name": self._data_name()})

    def simulation(self, net: Network | None = None) -> Simulation:
        """A simulation of `net`, or of a new network."""
        from neurosim.simulation.simulation import Simulation

        keys = self.tables.simulation.given(*OF_SIMULATION)
        return Simulation(self.network() if net is None else net, self.flow(), **keys)

    def schedule(self) -> Schedule | None:
        """How the weights learn; None where the file has no ``[train]``."""
        return None if self.tables.train is None else self.tables.train.build()

    def relax(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Relax the training patterns with fixed weights, for ``simulation.duration``."""
        if self.tables.simulation.duration is None:
            raise ModelError(
                "simulation.duration is missing; allowed: a time, e.g. '400 ms', or a [train] table"
            )
        keys = self.tables.simulation.given(*OF_RELAX)
        if (start := self.start(simulation.net, data)) is not None:
            keys["start"] = start
        return simulation.relax(data.X, data.Y, progress=progress, **keys)

    def start(self, net: Network, data: Data) -> State | None:
        """Where ``[start]`` lets a relaxation start; None where the file has none.

        Raises
        ------
        ModelError
            ``simulation.start`` beside it.
        """
        if self.tables.start is None:
            return None
        if self.tables.simulation.start is not None:
            raise ModelError("simulation.start beside [start]; allowed: one of them")
        return self.tables.start.build(net, data.X, data.Y)

    def changed(self, values: Mapping[str, Any]) -> ModelFile:
        """The model with other values of some dotted keys, such as ``{"flow.rho": 2.0}``.

        Raises
        ------
        ModelError
            An unknown key, with the nearest valid one, or a value of the wrong type.
        """
        raw = self.tables.model_dump(exclude_none=True)
        for key, value in values.items():
            _set(raw, key.split("."), value)
        return replace(self, tables=_validated(raw))

    def train(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Log:
        """Train on the training patterns by the file's schedule."""
        schedule = self.schedule()
        if schedule is None:
            raise ModelError(
                "train is missing; allowed: a table, e.g. schedule = 'simultaneous', "
                "duration = '4 s'"
            )
        keys = self.tables.simulation.given(*OF_TRAIN)
        return simulation.train(
            data.X, data.Y, schedule, validation=data.validation, progress=progress, **keys
        )

    def stream(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Let the training patterns flow by as frames, in their order."""
        if self.tables.stream is None:
            raise ModelError("stream is missing; allowed: a table, e.g. per_frame = '10 ms'")
        keys = {k: v for k, v in self.tables.simulation.given(*OF_TRAIN).items() if k != "patterns"}
        return simulation.stream(
            data.X, data.Y, progress=progress, **keys, **self.tables.stream.given()
        )

    def run(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run | Log:
        """Whatever the file asks for: a stream, training, else relaxation."""
        if self.tables.stream is not None and self.tables.train is not None:
            raise ModelError(
                "the file has both [train] and [stream]; allowed: one of them; try "
                "stream.plastic = true"
            )
        if self.tables.stream is not None:
            return self.stream(simulation, data, progress=progress)
        go = self.relax if self.tables.train is None else self.train
        return go(simulation, data, progress=progress)

    def effective(self) -> Tables:
        """The tables with the data file's path made absolute: what is written beside results."""
        return self.tables.model_copy(
            update={"data": self.tables.data.model_copy(update={"name": self._data_name()})}
        )

    def _data_name(self) -> str:
        from neurosim.data import datasets

        name = self.tables.data.name
        return (
            name
            if name in datasets.BUILT_IN or not datasets.is_path(name)
            else str((self.folder / name).resolve())
        )


def load(source: str | Path, overrides: Iterable[str] = ()) -> ModelFile:
    """A model file by path, or a built-in one by name, with overrides.

    Parameters
    ----------
    source : str or Path
        ``"experiment.toml"``, or ``"xor"``; ``"models/xor.toml"`` means the built-in one where no
        such file exists.
    overrides : iterable of str
        ``"flow.rho=2"``, ``"network.populations.1.size=4"``: a value as TOML writes it; what is no
        TOML is text.

    Raises
    ------
    FileError
        No such file, not readable, not TOML, too large.
    ModelError
        An unknown key, with the nearest valid one, or a value of the wrong type.
    """
    path = find(source)
    return loads(text_of(path), name=path.stem, folder=path.parent, overrides=overrides)


def text_of(path: Path) -> str:
    """The text of a model file, or of a study's.

    Raises
    ------
    FileError
        Not readable, not UTF-8, too large.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(
                f"model file {str(path)!r} has {path.stat().st_size} bytes; allowed: at "
                f"most {MAX_BYTES}"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"model file {str(path)!r} is not text in UTF-8: {error}") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read model file {str(path)!r}: {error.strerror}") from error


def loads(
    text: str, *, name: str = "model", folder: Path = Path(), overrides: Iterable[str] = ()
) -> ModelFile:
    """A model file's text; see `load`."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"model file {name!r} is not TOML: {error}") from error
    for given in overrides:
        override(raw, given)
    return ModelFile(name, _validated(raw), folder, headline(text))


def _validated(raw: Mapping[str, Any]) -> Tables:
    try:
        return Tables.model_validate(raw)
    except ValidationError as error:
        raise _explained(error) from None


def check_tables(raw: Mapping[str, Any]) -> None:
    """Refuse tables that no model has, or with keys or values that cannot be; none of them need be
    there.

    Raises
    ------
    ModelError
        The first slip.
    """
    for name, table in raw.items():
        if (name,) not in TABLES:
            raise unknown("table", name, Tables.model_fields)
        try:
            TABLES[name,].model_validate(table)
        except ValidationError as error:
            raise _explained(error, (name,)) from None


def headline(text: str) -> str:
    """The first line of the opening comment."""
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def folder() -> Path:
    """Where the built-in files are."""
    package = Path(__file__).parents[1]
    return (
        package / "models" if (package / "models").is_dir() else package.parent / "models"
    )  # wheel, else checkout


def built_in() -> dict[str, Path]:
    """Built-in model files by name; those of a folder with its name: "lp/wine-1"."""
    paths = {
        path.relative_to(folder()).with_suffix("").as_posix(): path
        for path in sorted(folder().rglob("*.toml"))
    }
    return {name: path for name, path in paths.items() if not name.startswith(f"{STUDIES}/")}


def find(source: str | Path) -> Path:
    """The file that a path or a built-in name means.

    Raises
    ------
    FileError
        Neither, with the nearest built-in name.
    """
    path = Path(source)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError) as error:  # too long, or a zero byte
        raise FileError(f"model {str(source)[:80]!r} is no path: {error}") from error
    name, models = path.as_posix().removeprefix("models/").removesuffix(".toml"), built_in()
    if name in models:
        return models[name]
    raise FileError(str(unknown("model", str(source), (*models, "the path of a .toml file"))))


def dump(model: ModelFile | Tables) -> str:
    """The model as TOML; `loads` reads the same tables back."""
    tables = model.tables if isinstance(model, ModelFile) else model
    return "\n".join(_lines(tables.model_dump(exclude_none=True), ())).strip() + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    """Plain keys first, then tables: TOML's own order."""
    lists = {
        k: v
        for k, v in table.items()
        if isinstance(v, list) and v and all(isinstance(e, Mapping) for e in v)
    }
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) and not path}
    lines = [
        f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in lists and k not in inner
    ]
    for key, value in inner.items():
        if value or Tables.model_fields[key].is_required():
            lines += ["", f"[{_key(key)}]", *_lines(value, (*path, key))]
    for key, entries in lists.items():
        for entry in entries:
            lines += ["", f"[[{'.'.join(map(_key, (*path, key)))}]]", *_lines(entry, (*path, key))]
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def override(raw: dict[str, Any], text: str) -> None:
    """Set one dotted key of a raw model, as ``--set`` has it."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or "" in parts:
        raise ModelError(f"--set {text!r}; allowed: TABLE.KEY=VALUE, e.g. flow.rho=2")
    _set(raw, parts, parsed(value), "--set ")


def _set(raw: dict[str, Any], parts: list[str], value: Any, option: str = "") -> None:
    """Set one dotted key; `option` is how the user named it."""
    _check_dotted(parts, option)
    place: Any = raw
    for i, part in enumerate(parts[:-1]):
        place = (
            place[_index(place, part, parts, option)]
            if isinstance(place, list)
            else place.setdefault(part, {})
        )
        if not isinstance(place, dict | list):
            at = ".".join(parts[: i + 1])
            raise ModelError(
                f"{option}{'.'.join(parts)}: {at} is {place!r}, which has no key {parts[i + 1]!r}"
            )
    place[_index(place, parts[-1], parts, option) if isinstance(place, list) else parts[-1]] = value


def _index(entries: list[Any], part: str, parts: list[str], option: str) -> int:
    if not part.isdecimal() or int(part) >= len(entries):
        raise ModelError(
            f"{option}{'.'.join(parts)}: entry {part!r}; allowed: 0 to {len(entries) - 1}"
        )
    return int(part)


def _check_dotted(parts: list[str], option: str) -> None:
    names: tuple[str, ...] = ()
    for part in parts:
        if names in TABLES and not part.isdecimal() and part not in TABLES[names].model_fields:
            every = [
                ".".join((*path, k))
                for path, table in TABLES.items()
                if path
                for k in table.model_fields
            ]
            near = get_close_matches(".".join(parts), every, n=1) or [
                e for e in every if e.endswith("." + parts[-1])
            ]
            hint = f"; did you mean {near[0]!r}?" if near else ""
            allowed = ", ".join(".".join((*names, k)) for k in TABLES[names].model_fields)
            raise ModelError(f"{option}{'.'.join(parts)}: unknown key; allowed: {allowed}{hint}")
        if not part.isdecimal():
            names = (*names, part)


def parsed(value: str) -> Any:
    """A value as TOML writes it; anything else is text."""
    text = value.strip()
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if len(found) == 1 else text


def _explained(error: ValidationError, path: tuple[str, ...] = ()) -> ModelError:
    """The first slip that pydantic found, in neurosim's words; a misspelt key before the one that
    it leaves missing.
    """
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place, value, kind = (*path, *first["loc"]), first["input"], first["type"]
    table = TABLES.get(tuple(str(p) for p in place[:-1] if not isinstance(p, int)), Tables)
    owner, dotted = _dotted(place[:-1]), _dotted(place)
    if kind == "extra_forbidden":
        return unknown(f"a key of {owner or 'the model'}", place[-1], tuple(table.model_fields))
    if kind == "missing":
        return ModelError(f"{dotted} is missing; allowed: {', '.join(table.model_fields)}")
    if kind == "literal_error":
        return unknown(dotted, value, re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    if kind == "value_error":
        return ModelError(str(first["ctx"]["error"]))
    shown = value if len(repr(value)) <= 200 else repr(value)[:200] + "..."
    return out_of_range(dotted, shown, ALLOWED.get(kind, first["msg"]))


ALLOWED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a table",
}


def _dotted(place: Iterable[str | int]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
