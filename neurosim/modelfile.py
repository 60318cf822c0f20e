"""Model files: a whole experiment as TOML, read, checked, changed by ``--set`` and written back.

Keys are the constructors' arguments; what is left out has the constructor's default. A model file is
untrusted: nothing in it is run, and its size is limited. Start at `load`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from neurosim.errors import FileError, ModelError, out_of_range, unknown
from neurosim.flow import Flow, seconds

if TYPE_CHECKING:
    from neurosim.datasets import Data
    from neurosim.network import Network
    from neurosim.results import Log, Run, State
    from neurosim.schedules import Schedule
    from neurosim.simulation import Simulation

Array = np.ndarray

MAX_BYTES = 1_000_000
STUDIES = "studies"  # the folder of built-in files that are read by `neurosim.studies`
MAX_UNITS = 100_000
MAX_SYNAPSES = 50_000_000  # 0.4 GB of weights


def _time(value: Any, info: ValidationInfo) -> Any:
    """Refuse what is no time, keep it as it was written."""
    table = (info.config or {}).get("title", "")
    seconds(value, f"{table}.{info.field_name}")
    return value


def _time_or_times(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, Mapping):
        return _time(value, info)
    for population, time in value.items():
        seconds(time, f"flow.{info.field_name}[{population!r}]")
    return value


Time = Annotated[Any, BeforeValidator(_time)]
Times = Annotated[Any, BeforeValidator(_time_or_times)]


class _Table(BaseModel):
    """Unset keys are None and not passed on: defaults are written once, in the constructors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """The keys that the file sets, or those of them that are named, as keyword arguments."""
        return {k: v for k, v in self.model_dump(exclude_none=True).items() if not names or k in names}


class PopulationTable(_Table):
    """``[[network.populations]]``: `Population`."""

    name: str
    size: int
    activation: str | None = None
    constraint: str | None = None
    epsilon: float | None = None
    clamped: bool | None = None
    activity_l1: float | None = None


class ProjectionTable(_Table):
    """``[[network.projections]]``: `Projection`; a mask may be rows of 0 and 1."""

    pre: str
    post: str
    weights: list[list[float]] | None = None
    mask: list[list[int]] | None = None
    gain: float | None = None
    l1: float | None = None
    l2: float | None = None
    row_l1: float | None = None
    column_l1: float | None = None
    plastic: bool | None = None
    feedback: str | None = None
    feedback_weights: list[list[float]] | None = None
    feedback_size: float | None = None
    feedback_decay: float | None = None


class LossTable(_Table):
    """``[[network.losses]]``: `Loss`."""

    population: str
    kind: str | None = None
    weight: float | None = None
    epsilon: float | None = None


class NetworkTable(_Table):
    """``[network]``: layers by the arguments of `Network.mlp`, or the lists of `Network`."""

    model_config = ConfigDict(title="network")

    sizes: list[int] | None = None
    depth: int | None = None
    activation: str | None = None
    output: str | None = None
    loss: str | None = None
    gain: float | None = None
    seed: int | None = None
    constraint: str | dict[str, str] | None = None
    epsilon: float | dict[str, float] | None = None
    free_output: bool | None = None
    loss_epsilon: float | None = None
    l1: float | None = None
    l2: float | None = None
    group_l1: float | None = None
    activity_l1: float | None = None
    feedback: str | dict[str, str] | None = None
    feedback_decay: float | None = None
    exits: float | dict[str, float] | None = None
    skips: int | None = None
    populations: list[PopulationTable] | None = None
    projections: list[ProjectionTable] | None = None
    losses: list[LossTable] | None = None

    def build(self) -> Network:
        """The network, weights drawn."""
        from neurosim.network import Loss, Network, Population, Projection

        graph = {"populations", "projections", "losses"}
        keys = self.given()
        if self.sizes is None and self.populations is None:
            raise ModelError("network.sizes is missing; allowed: sizes = [64, 32, 10], or [[network.populations]]")
        _limit(self._layers(), self._pairs())
        if self.sizes is not None:
            if mixed := graph & set(keys):
                raise ModelError(f"network.{min(mixed)} beside network.sizes; allowed: one of the two ways to build")
            return Network.mlp(**keys)
        if mixed := set(keys) - graph - {"seed"}:
            raise ModelError(
                f"network.{min(mixed)} beside [[network.populations]]; allowed there: seed, and {min(mixed)!r} only in "
                "the population, projection or loss it is about"
            )
        return Network(
            [Population(**p.given()) for p in self.populations or ()],
            [Projection(**q.given()) for q in self.projections or ()],
            [Loss(**v.given()) for v in self.losses or ()],
            seed=keys.get("seed", 0),
        )

    def _layers(self) -> dict[str, int]:
        if self.sizes is not None:
            repeated = self.sizes[1:2] * (max(self.depth, 1) - 1) if self.depth is not None else self.sizes[1:-1]
            return {str(i): n for i, n in enumerate([*self.sizes[:1], *repeated, *self.sizes[-1:]])}
        return {p.name: p.size for p in self.populations or ()}

    def _pairs(self) -> list[tuple[str, str]]:
        if self.sizes is not None:
            return [(str(i), str(i + 1)) for i in range(len(self._layers()) - 1)]
        return [(q.pre, q.post) for q in self.projections or ()]


def _limit(sizes: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> None:
    units = sum(max(n, 0) for n in sizes.values())
    if units > MAX_UNITS:
        raise out_of_range("units of network", units, f"at most {MAX_UNITS} in a model file", "Network(...) in Python")
    synapses = sum(sizes.get(pre, 0) * sizes.get(post, 0) for pre, post in pairs)
    if synapses > MAX_SYNAPSES:
        allowed = f"at most {MAX_SYNAPSES} in a model file"
        raise out_of_range("synapses of network", synapses, allowed, "Network(...) in Python")


class FlowTable(_Table):
    """``[flow]``: `Flow`'s arguments, or a preset and its overrides."""

    model_config = ConfigDict(title="flow")

    preset: str | None = None
    kappa: float | None = None
    gamma: float | None = None
    rho: float | None = None
    theta: float | None = None
    rate: float | None = None
    ratio: float | None = None
    tau_x: Times = None
    tau_lam: Times = None
    tau_w: Times = None

    def build(self) -> Flow:
        """The flow; what a preset derives is derived after the other keys are read."""
        keys = self.given()
        if self.preset is not None:
            return Flow.from_preset(**keys)
        for key, preset in {"theta": "rotated", "rate": "local_propagation", "ratio": "local_propagation"}.items():
            if key in keys:
                raise ModelError(f"flow.{key} belongs to preset = {preset!r}; allowed: that preset, or kappa and gamma")
        return Flow(**keys)


class SimulationTable(_Table):
    """``[simulation]``: `Simulation`'s arguments, and those of `relax`."""

    model_config = ConfigDict(title="simulation")

    transport: str | dict[str, Any] | None = None
    imperfections: list[dict[str, Any]] | None = None
    prospective: bool | float | str | None = None
    dt: Time = None
    method: str | None = None
    backend: str | None = None
    seed: int | None = None
    duration: Time = None
    record: list[str] | None = None
    every: Time = None
    start: Literal["zero", "forward"] | None = None
    patterns: list[int] | None = None
    units: dict[str, list[int]] | None = None
    stream: str | None = None
    threads: int | None = None
    precision: str | None = None
    shortcuts: bool | None = None
    adaptive: bool | None = None
    tolerance: float | None = None
    settle: float | None = None


class DataTable(_Table):
    """``[data]``: `datasets.load`'s arguments."""

    model_config = ConfigDict(title="data")

    name: str
    test: float | None = None
    seed: int | None = None
    patterns: int | None = None
    scale: float | None = None
    offset: float | None = None
    standardise: bool | None = None
    coding: str | None = None
    noise: float | None = None
    features: int | None = None
    outputs: int | None = None
    speed: float | None = None
    side: int | None = None
    dwell: int | None = None


class PruningTable(_Table):
    """``[train.pruning]``: `Pruning`'s arguments, of the schedule in ``[train]``."""

    model_config = ConfigDict(title="train.pruning")

    every: int | None = None
    finish: int | None = None
    dead: float | None = None
    support: float | None = None
    rest: Time = None
    within: float | None = None
    freeze: bool | None = None


class GrowingTable(_Table):
    """``[train.growing]``: `Growing`'s arguments, of the schedule in ``[train]``."""

    model_config = ConfigDict(title="train.growing")

    every: int | None = None
    split: int | None = None
    spread: float | None = None
    enough: float | None = None
    most: int | None = None
    patience: int | None = None
    drop: float | None = None


class TrainTable(_Table):
    """``[train]``: a schedule and its arguments."""

    model_config = ConfigDict(title="train")

    schedule: Literal["simultaneous", "presentations", "local_propagation"]
    duration: Time = None
    reports: int | None = None
    batch: int | None = None
    present: Time = None
    plastic_from: float | None = None
    epochs: int | None = None
    shuffle: bool | None = None
    mean: bool | None = None
    best: bool | None = None
    pruning: PruningTable | None = None
    growing: GrowingTable | None = None

    def build(self) -> Any:
        """The schedule."""
        from neurosim.schedules import Growing, Pruning

        if self.pruning is not None and self.growing is not None:
            raise ModelError("train has both pruning and growing; allowed: one of them")
        if self.pruning is not None:
            return Pruning(schedule=self._plain(), **self.pruning.given())
        if self.growing is not None:
            return Growing(schedule=self._plain(), **self.growing.given())
        return self._plain()

    def _plain(self) -> Any:
        """The schedule of a network that stays as large as it is."""
        from neurosim import schedules

        keys = {k: v for k, v in self.given().items() if k not in ("schedule", "pruning", "growing")}
        kind, own = OF_SCHEDULES[self.schedule]
        for key in keys:
            if key not in own:
                raise unknown(f"a key of train ({self.schedule})", key, ("schedule", *own, "pruning", "growing"))
        if self.schedule == "simultaneous" and self.duration is None:
            raise ModelError("train.duration is missing; allowed: a time, e.g. '4 s'")
        return getattr(schedules, kind)(**keys)


OF_SCHEDULES = {
    "simultaneous": ("Simultaneous", ("duration", "reports")),
    "presentations": ("Presentations", ("batch", "present", "plastic_from", "epochs", "shuffle")),
    "local_propagation": ("LocalPropagation", ("epochs", "reports", "mean", "best")),
}


def _inside(folder: str) -> str:
    """A model file may come from anyone: what it writes stays below the current folder."""
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise out_of_range("output.folder", folder, "a relative path without '..'", "--out for any other")
    return folder


class StartTable(_Table):
    """``[start]``: outputs and multipliers start this far from the saddle point, N(0, 1) a unit times `x` and `lam`."""

    model_config = ConfigDict(title="start")

    x: float = 0.0
    lam: float = 0.0
    seed: int = 0

    def build(self, net: Network, X: Array, Y: Array) -> State:
        """x and lam of every population, (patterns, units).

        Raises
        ------
        ConvergenceError
            A cyclic graph that does not contract has no saddle point to start from.
        """
        from neurosim import reference
        from neurosim.results import State

        if self.seed < 0:
            raise out_of_range("start.seed", self.seed, "a whole number >= 0")
        saddle, rng = reference.backprop(net, X, Y, through="feedback"), np.random.default_rng(self.seed)
        away = {v: {n: rng.normal(size=saddle.lam[n].shape) for n in net.neurons} for v in ("x", "lam")}
        return State(
            {n: saddle.x[n] + self.x * away["x"][n] for n in net.neurons},
            {n: saddle.lam[n] + self.lam * away["lam"][n] for n in net.neurons},
        )


class StreamTable(_Table):
    """``[stream]``: the patterns are frames, shown one after the other to one set of neurons."""

    model_config = ConfigDict(title="stream")

    per_frame: Time
    plastic: bool | None = None


class OutputTable(_Table):
    """``[output]``: where and in which formats `neurosim run` writes."""

    model_config = ConfigDict(title="output")

    folder: Annotated[str, AfterValidator(_inside)] | None = None
    formats: list[Literal["png", "pdf", "svg"]] | None = None


class Tables(_Table):
    """A model file, table by table."""

    network: NetworkTable
    flow: FlowTable
    data: DataTable
    simulation: SimulationTable = SimulationTable()
    train: TrainTable | None = None
    stream: StreamTable | None = None
    start: StartTable | None = None
    output: OutputTable = OutputTable()


TABLES: dict[tuple[str, ...], type[_Table]] = {
    (): Tables,
    ("network",): NetworkTable,
    ("network", "populations"): PopulationTable,
    ("network", "projections"): ProjectionTable,
    ("network", "losses"): LossTable,
    ("flow",): FlowTable,
    ("simulation",): SimulationTable,
    ("data",): DataTable,
    ("train",): TrainTable,
    ("train", "pruning"): PruningTable,
    ("train", "growing"): GrowingTable,
    ("stream",): StreamTable,
    ("start",): StartTable,
    ("output",): OutputTable,
}
OF_SIMULATION = (
    "transport",
    "dt",
    "method",
    "backend",
    "seed",
    "threads",
    "precision",
    "shortcuts",
    "imperfections",
    "prospective",
)  # of [simulation]; the other keys are of its runs
OF_TRAIN = ("record", "every", "start", "patterns", "units", "stream")
OF_RELAX = (*OF_TRAIN, "duration", "adaptive", "tolerance", "settle")


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
        from neurosim import datasets

        return datasets.load(**{**self.tables.data.given(), "name": self._data_name()})

    def simulation(self, net: Network | None = None) -> Simulation:
        """A simulation of `net`, or of a new network."""
        from neurosim.simulation import Simulation

        keys = self.tables.simulation.given(*OF_SIMULATION)
        return Simulation(self.network() if net is None else net, self.flow(), **keys)

    def schedule(self) -> Schedule | None:
        """How the weights learn; None where the file has no ``[train]``."""
        return None if self.tables.train is None else self.tables.train.build()

    def relax(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Relax the training patterns with fixed weights, for ``simulation.duration``."""
        if self.tables.simulation.duration is None:
            raise ModelError("simulation.duration is missing; allowed: a time, e.g. '400 ms', or a [train] table")
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
            raise ModelError("train is missing; allowed: a table, e.g. schedule = 'simultaneous', duration = '4 s'")
        keys = self.tables.simulation.given(*OF_TRAIN)
        return simulation.train(data.X, data.Y, schedule, validation=data.validation, progress=progress, **keys)

    def stream(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run:
        """Let the training patterns flow by as frames, in their order."""
        if self.tables.stream is None:
            raise ModelError("stream is missing; allowed: a table, e.g. per_frame = '10 ms'")
        keys = {k: v for k, v in self.tables.simulation.given(*OF_TRAIN).items() if k != "patterns"}
        return simulation.stream(data.X, data.Y, progress=progress, **keys, **self.tables.stream.given())

    def run(self, simulation: Simulation, data: Data, *, progress: bool = False) -> Run | Log:
        """Whatever the file asks for: a stream, training, else relaxation."""
        if self.tables.stream is not None and self.tables.train is not None:
            raise ModelError("the file has both [train] and [stream]; allowed: one of them; try stream.plastic = true")
        if self.tables.stream is not None:
            return self.stream(simulation, data, progress=progress)
        go = self.relax if self.tables.train is None else self.train
        return go(simulation, data, progress=progress)

    def effective(self) -> Tables:
        """The tables with the data file's path made absolute: what is written beside results."""
        return self.tables.model_copy(update={"data": self.tables.data.model_copy(update={"name": self._data_name()})})

    def _data_name(self) -> str:
        from neurosim import datasets

        name = self.tables.data.name
        return name if name in datasets.BUILT_IN or not datasets.is_path(name) else str((self.folder / name).resolve())


def load(source: str | Path, overrides: Iterable[str] = ()) -> ModelFile:
    """A model file by path, or a built-in one by name, with overrides.

    Parameters
    ----------
    source : str or Path
        ``"experiment.toml"``, or ``"xor"``; ``"models/xor.toml"`` means the built-in one where no such file exists.
    overrides : iterable of str
        ``"flow.rho=2"``, ``"network.populations.1.size=4"``: a value as TOML writes it; what is no TOML is text.

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
            raise FileError(f"model file {str(path)!r} has {path.stat().st_size} bytes; allowed: at most {MAX_BYTES}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"model file {str(path)!r} is not text in UTF-8: {error}") from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot read model file {str(path)!r}: {error.strerror}") from error


def loads(text: str, *, name: str = "model", folder: Path = Path(), overrides: Iterable[str] = ()) -> ModelFile:
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
    """Refuse tables that no model has, or with keys or values that cannot be; none of them need be there.

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
    package = Path(__file__).parent
    return package / "models" if (package / "models").is_dir() else package.parent / "models"  # wheel, else checkout


def built_in() -> dict[str, Path]:
    """Built-in model files by name; those of a folder with its name: "lp/wine-1"."""
    paths = {path.relative_to(folder()).with_suffix("").as_posix(): path for path in sorted(folder().rglob("*.toml"))}
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
    lists = {k: v for k, v in table.items() if isinstance(v, list) and v and all(isinstance(e, Mapping) for e in v)}
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) and not path}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in table.items() if k not in lists and k not in inner]
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
        place = place[_index(place, part, parts, option)] if isinstance(place, list) else place.setdefault(part, {})
        if not isinstance(place, dict | list):
            at = ".".join(parts[: i + 1])
            raise ModelError(f"{option}{'.'.join(parts)}: {at} is {place!r}, which has no key {parts[i + 1]!r}")
    place[_index(place, parts[-1], parts, option) if isinstance(place, list) else parts[-1]] = value


def _index(entries: list[Any], part: str, parts: list[str], option: str) -> int:
    if not part.isdecimal() or int(part) >= len(entries):
        raise ModelError(f"{option}{'.'.join(parts)}: entry {part!r}; allowed: 0 to {len(entries) - 1}")
    return int(part)


def _check_dotted(parts: list[str], option: str) -> None:
    names: tuple[str, ...] = ()
    for part in parts:
        if names in TABLES and not part.isdecimal() and part not in TABLES[names].model_fields:
            every = [".".join((*path, k)) for path, table in TABLES.items() if path for k in table.model_fields]
            near = get_close_matches(".".join(parts), every, n=1) or [e for e in every if e.endswith("." + parts[-1])]
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
    """The first slip that pydantic found, in neurosim's words; a misspelt key before the one that it leaves missing."""
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
