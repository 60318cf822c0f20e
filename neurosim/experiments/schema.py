"""The tables of a model file: their keys, the types of values, and what is built from them.

Keys are the arguments of constructors; a key that is left out has the constructor's default.
`neurosim.experiments.modelfile` reads and writes the tables. Start at `Tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from neurosim.data import datasets, files
from neurosim.disk import is_within
from neurosim.errors import ModelError, number, out_of_range, shown, unknown, whole
from neurosim.experiments.extensions import checked_extension
from neurosim.experiments.keys import arguments, takes
from neurosim.experiments.kinds import checked_imperfections, checked_transport
from neurosim.experiments.network_tables import (
    ConvolutionalTable,
    GraphTable,
    LossTable,
    NetworkTable,
    PopulationTable,
    ProjectionTable,
    RecurrentTable,
    Table,
)
from neurosim.model import schedules
from neurosim.model.extension import Extension, check_replaced
from neurosim.model.flow import Flow, seconds
from neurosim.model.network import Network
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    from neurosim.model.state import State

Array = np.ndarray


def _time(value: Any, info: ValidationInfo) -> Any:
    """Check a time, and keep it as it was written."""
    table = (info.config or {}).get("title", "")
    seconds(value, f"{table}.{info.field_name}")
    return value


def _time_or_times(value: Any, info: ValidationInfo) -> Any:
    """Check a time, or one time per population."""
    if not isinstance(value, Mapping):
        return _time(value, info)
    for population, time in value.items():
        seconds(time, f"flow.{info.field_name}[{population!r}]")
    return value


def _inside(path: str, info: ValidationInfo) -> str:
    """Check that a path to write to is below the current folder: a file may come from anyone.

    Symbolic links are followed.
    """
    table = (info.config or {}).get("title", "")
    named = all(len(part) <= LONGEST_NAME for part in path.split("/"))
    lexical = path and named and not Path(path).is_absolute() and ".." not in Path(path).parts
    if not lexical or not is_within(path, Path()):
        allowed = "a relative path without '..' that stays in the current folder, links followed"
        raise out_of_range(f"{table}.{info.field_name}", path, allowed, WAYS_OUT[table])
    return path


def _transport(value: Any) -> Any:
    return checked_transport(value, ("simulation", "transport"))


def _imperfections(value: Any) -> Any:
    return checked_imperfections(value, ("simulation", "imperfections"))


def _modulators(value: Any) -> Any:
    """Check the modulators of learning rules: for each name a number, or a list of numbers."""
    key = "simulation.modulators"
    if not isinstance(value, Mapping):
        allowed = "a table with a number, or a list of one per presentation, for each name"
        raise out_of_range(key, value, allowed, "{reward = 1.0}")
    for name, given in value.items():
        if given == []:
            raise out_of_range(f"{key}.{name}", given, "a number, or one number per presentation")
        several = isinstance(given, list)
        for place, one in enumerate(given if several else [given]):
            number(f"{key}.{name}[{place}]" if several else f"{key}.{name}", one)
    return value


def _switch_or_time(value: Any, info: ValidationInfo) -> Any:
    """Check true, false or a time."""
    return value if isinstance(value, bool) else _time(value, info)


LONGEST_NAME = 200  # characters of a file's name
WAYS_OUT = {
    "output": "--out for any other folder",
    "simulation": "Simulation.relax(stream=...) in Python for any other folder",
}
WrittenPath = Annotated[str, AfterValidator(_inside)]
IN_SECONDS = "in seconds"  # marks the type of a key that is a time
Time = Annotated[Any, BeforeValidator(_time), IN_SECONDS]
Times = Annotated[Any, BeforeValidator(_time_or_times), IN_SECONDS]


TAUS = {"tau_x": Times, "tau_lam": Times, "tau_w": Times}


@takes(Flow, Flow.rotated, Flow.local_propagation, omit=("times", "step"), written=TAUS)
class FlowTable(Table):
    """``[flow]``: the arguments of `Flow`, or a preset and its arguments."""

    model_config = ConfigDict(title="flow")

    preset: str | None = None

    def build(self) -> Flow:
        """Return the flow; the times that a preset derives follow from all keys of the table."""
        keys = self.given()
        if self.preset is not None:
            return Flow.from_preset(**keys)
        for key, preset in OF_PRESETS.items():
            if key in keys:
                raise ModelError(
                    f"flow.{key} = {keys[key]!r} belongs to preset = {preset!r}; "
                    "allowed: that preset, or kappa and gamma"
                )
        return Flow(**keys)


# keys that only one preset takes
OF_PRESETS = {"theta": "rotated", "rate": "local_propagation", "ratio": "local_propagation"}


@takes(
    Simulation,
    Simulation.relax,
    omit=("net", "flow", "extensions", "X", "Y", "progress"),
    written={
        "transport": Annotated[Any, BeforeValidator(_transport)],
        "imperfections": Annotated[Any, BeforeValidator(_imperfections)],
        "prospective": Annotated[Any, BeforeValidator(_switch_or_time)],
        "dt": Time,
        "every": Time,
        "record": list[str],
        "patterns": list[int],
        "stream": WrittenPath,
    },
)
class SimulationTable(Table):
    """``[simulation]``: the arguments of `Simulation` and of `relax`."""

    model_config = ConfigDict(title="simulation")

    duration: Time = None
    start: Literal["zero", "forward"] | None = None
    modulators: Annotated[dict[str, float | list[float]] | None, BeforeValidator(_modulators)] = (
        Field(
            default=None,
            description="Values of the modulators that learning rules read, beside [train] or "
            "[stream]: a number, or a list of one per presentation or frame.",
        )
    )


@takes(Extension, written={"parameters": dict[str, Any]})
class ExtensionTable(Table):
    """``[[extension]]``: the arguments of `Extension`, whose texts are plain formulas."""

    model_config = ConfigDict(title="extension")


def _extensions(tables: list[ExtensionTable]) -> list[ExtensionTable]:
    """Check the texts of all extensions."""
    extensions_of_tables(tables)
    return tables


def extensions_of_tables(tables: Iterable[ExtensionTable]) -> tuple[Extension, ...]:
    """Return the extensions of a model file.

    Raises
    ------
    ModelError
        A text that is not a plain formula, or two that do not go together.
    """
    found = []
    for place, table in enumerate(tables):
        found.append(checked_extension(table.given(), f"extension[{place}]"))
    check_replaced(found)
    return tuple(found)


@takes(
    datasets.load,
    *datasets.BUILT_IN.values(),
    *files.READERS.values(),
    omit=("name", "path"),
)
class DataTable(Table):
    """``[data]``: the arguments of `datasets.load`, of built-in data sets and of data files."""

    model_config = ConfigDict(title="data")

    name: str


@takes(schedules.Pruning, omit=("schedule",), written={"rest": Time})
class PruningTable(Table):
    """``[train.pruning]``: the arguments of `Pruning`; its schedule is that of ``[train]``."""

    model_config = ConfigDict(title="train.pruning")


@takes(schedules.Growing, omit=("schedule",))
class GrowingTable(Table):
    """``[train.growing]``: the arguments of `Growing`; its schedule is that of ``[train]``."""

    model_config = ConfigDict(title="train.growing")


OF_SCHEDULES: dict[str, Any] = {
    "simultaneous": schedules.Simultaneous,
    "presentations": schedules.Presentations,
    "local_propagation": schedules.LocalPropagation,
}


@takes(
    *OF_SCHEDULES.values(),
    omit=("begin",),
    optional=("duration",),
    written={"duration": Time, "present": Time},
)
class TrainTable(Table):
    """``[train]``: a schedule and its arguments."""

    model_config = ConfigDict(title="train")

    schedule: Literal["simultaneous", "presentations", "local_propagation"]
    pruning: PruningTable | None = None
    growing: GrowingTable | None = None

    def build(self) -> Any:
        """Return the schedule.

        Raises
        ------
        ModelError
            A key of another schedule, a missing duration, both pruning and growing, or one of them
            beside local_propagation.
        """
        if self.pruning is not None and self.growing is not None:
            raise ModelError(
                f"train has both pruning and growing beside schedule = {self.schedule!r}; "
                "allowed: one of them"
            )
        for name in RESIZING:
            if getattr(self, name) is not None and self.schedule == "local_propagation":
                raise ModelError(
                    f"train.{name} beside train.schedule = {self.schedule!r}, whose network keeps "
                    "its size; allowed: simultaneous, presentations"
                )
        if self.pruning is not None:
            return schedules.Pruning(schedule=self._fixed_size(), **self.pruning.given())
        if self.growing is not None:
            return schedules.Growing(schedule=self._fixed_size(), **self.growing.given())
        return self._fixed_size()

    def _fixed_size(self) -> Any:
        """Return the schedule of a network that keeps its size."""
        schedule = OF_SCHEDULES[self.schedule]
        allowed = [argument.name for argument in arguments(schedule) if argument.name != "begin"]
        keys = self.given()
        for resizing in ("schedule", *RESIZING):
            keys.pop(resizing, None)
        for key in keys:
            if key not in allowed:
                known = ("schedule", *allowed, *RESIZING)
                raise unknown(f"a key of train ({self.schedule})", key, known)
        if self.schedule == "simultaneous" and "duration" not in keys:
            raise ModelError(
                f"train.duration is missing beside schedule = {self.schedule!r}; "
                "allowed: a time, e.g. '4 s'"
            )
        return schedule(**keys)


RESIZING = ("pruning", "growing")


class StartTable(Table):
    """``[start]``: how far from the saddle point outputs and multipliers start.

    Each output starts away from its value there by `x` times a draw from N(0, 1), each multiplier
    by `lam` times one. `seed` is that of the draws.
    """

    model_config = ConfigDict(title="start")

    x: float = 0.0
    lam: float = 0.0
    seed: int = 0

    def build(self, net: Network, X: Array, Y: Array) -> State:
        """Return x and lam of every population, (patterns, units).

        Raises
        ------
        ConvergenceError
            A cyclic graph that does not contract has no saddle point to start from.
        """
        from neurosim import reference
        from neurosim.model.state import State

        rng = np.random.default_rng(whole("start.seed", self.seed, 0))
        saddle = reference.backprop(net, X, Y, through="feedback")
        # the order of the draws: all of x, then all of lam
        x, lam = {}, {}
        for name in net.neurons:
            x[name] = saddle.x[name] + self.x * rng.normal(size=saddle.x[name].shape)
        for name in net.neurons:
            lam[name] = saddle.lam[name] + self.lam * rng.normal(size=saddle.lam[name].shape)
        return State(x, lam)


class StreamTable(Table):
    """``[stream]``: the patterns are frames, shown one after the other to one set of neurons."""

    model_config = ConfigDict(title="stream")

    per_frame: Time
    plastic: bool | None = None


class OutputTable(Table):
    """``[output]``: folder of the results, and formats of the pictures, of `neurosim run`.

    With no format in the list no picture is drawn.
    """

    model_config = ConfigDict(title="output")

    folder: WrittenPath | None = None
    formats: list[Literal["png", "pdf", "svg"]] | None = None


class Tables(Table):
    """All tables of a model file."""

    network: NetworkTable
    flow: FlowTable
    data: DataTable
    simulation: SimulationTable = SimulationTable()
    extension: Annotated[list[ExtensionTable], AfterValidator(_extensions)] | None = None
    train: TrainTable | None = None
    stream: StreamTable | None = None
    start: StartTable | None = None
    output: OutputTable = OutputTable()

    @model_validator(mode="after")
    def _modulators_are_read(self) -> Self:
        """Refuse modulators where nothing learns."""
        given = self.simulation.modulators
        if given is not None and self.train is None and self.stream is None:
            raise ModelError(
                f"simulation.modulators = {shown(given)} without [train] or [stream], which read "
                "it; allowed: beside one of them; try to remove it"
            )
        return self


TABLES: dict[tuple[str, ...], type[Table]] = {
    (): Tables,
    ("network",): NetworkTable,
    ("network", "populations"): PopulationTable,
    ("network", "projections"): ProjectionTable,
    ("network", "losses"): LossTable,
    ("network", "convolutional"): ConvolutionalTable,
    ("network", "recurrent"): RecurrentTable,
    ("network", "graph"): GraphTable,
    ("flow",): FlowTable,
    ("simulation",): SimulationTable,
    ("extension",): ExtensionTable,
    ("data",): DataTable,
    ("train",): TrainTable,
    ("train", "pruning"): PruningTable,
    ("train", "growing"): GrowingTable,
    ("stream",): StreamTable,
    ("start",): StartTable,
    ("output",): OutputTable,
}
# keys of [simulation] that the constructor takes, and those that `train` and `relax` take
OF_SIMULATION = tuple(argument.name for argument in arguments(Simulation))
OF_TRAIN = ("record", "every", "start", "patterns", "units", "stream", "modulators")
OF_SETTLING = ("settle", "accelerate", "settle_each")
OF_RELAX = (*OF_TRAIN[:-1], "duration", "adaptive", "tolerance", *OF_SETTLING)
