"""The tables of a model file: their keys, the types of values, and what is built from them.

Keys are the arguments of constructors; a key that is left out has the constructor's default.
`neurosim.experiments.modelfile` reads and writes the tables. Start at `Tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.model import schedules
from neurosim.model.flow import Flow, seconds

if TYPE_CHECKING:
    from neurosim.model.network import Network
    from neurosim.model.state import State

Array = np.ndarray

MAX_UNITS = 100_000
MAX_SYNAPSES = 50_000_000  # 0.4 GB of weights


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


Time = Annotated[Any, BeforeValidator(_time)]
Times = Annotated[Any, BeforeValidator(_time_or_times)]


class _Table(BaseModel):
    """A table of the file.

    Keys that are not set are None and are not passed on. So defaults stand in one place, in the
    constructors.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the keys that the file sets, or the named ones of them, as keyword arguments."""
        keys = self.model_dump(exclude_none=True)
        if not names:
            return keys
        return {key: value for key, value in keys.items() if key in names}


class PopulationTable(_Table):
    """``[[network.populations]]``: `Population`."""

    name: str
    size: int
    activation: str | None = None
    constraint: str | None = None
    epsilon: float | None = None
    clamped: bool | None = None
    activity_l1: float | None = None
    plastic_bias: bool | None = None


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


GRAPH = ("populations", "projections", "losses")  # keys of a network that is built as a graph
Graph = tuple[dict[str, int], list[tuple[str, str]]]  # sizes by name, and (pre, post)


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
    plastic_bias: bool | None = None
    feedback: str | dict[str, str] | None = None
    feedback_decay: float | None = None
    exits: float | dict[str, float] | None = None
    skips: int | None = None
    populations: list[PopulationTable] | None = None
    projections: list[ProjectionTable] | None = None
    losses: list[LossTable] | None = None

    def build(self) -> Network:
        """Return the network, with its initial weights.

        Raises
        ------
        ModelError
            Keys of both ways to build, or of neither; too many units or synapses.
        """
        from neurosim.model.network import Network

        keys = self.given()
        if self.sizes is None and self.populations is None:
            raise ModelError(
                f"network.sizes is missing beside {', '.join(keys) or 'no other key'}; "
                "allowed: sizes = [64, 32, 10], or [[network.populations]]"
            )
        if self.sizes is not None:
            _check_size(*self._layers(self.sizes))
            mixed = set(GRAPH) & set(keys)
            if mixed:
                raise ModelError(
                    f"network.{min(mixed)} beside network.sizes; "
                    "allowed: one of the two ways to build"
                )
            return Network.mlp(**keys)
        _check_size(*self._graph())
        mixed = set(keys) - {*GRAPH, "seed"}
        if mixed:
            raise ModelError(
                f"network.{min(mixed)} beside [[network.populations]]; allowed there: seed, "
                f"and {min(mixed)!r} only in the population, projection or loss it is about"
            )
        return self._build_graph()

    def _build_graph(self) -> Network:
        from neurosim.model.network import Network
        from neurosim.model.populations import Loss, Population, Projection

        populations = [Population(**table.given()) for table in self.populations or ()]
        projections = [Projection(**table.given()) for table in self.projections or ()]
        losses = [Loss(**table.given()) for table in self.losses or ()]
        return Network(populations, projections, losses, seed=self.seed or 0)

    def _layers(self, sizes: list[int]) -> Graph:
        """Return the sizes of the layers by number, and which of them are connected."""
        hidden = sizes[1:-1]
        if self.depth is not None:
            hidden = sizes[1:2] * (max(self.depth, 1) - 1)
        layers = [*sizes[:1], *hidden, *sizes[-1:]]
        named = {str(number): size for number, size in enumerate(layers)}
        return named, list(pairwise(named))

    def _graph(self) -> Graph:
        """Return the sizes of the populations by name, and which of them are connected."""
        sizes = {population.name: population.size for population in self.populations or ()}
        pairs = [(projection.pre, projection.post) for projection in self.projections or ()]
        return sizes, pairs


def _check_size(sizes: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse a network that is larger than a model file may make it."""
    units = sum(max(size, 0) for size in sizes.values())
    if units > MAX_UNITS:
        allowed = f"at most {MAX_UNITS} in a model file"
        raise out_of_range("units of network", units, allowed, "Network(...) in Python")
    synapses = 0
    for pre, post in pairs:
        synapses += sizes.get(pre, 0) * sizes.get(post, 0)
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
        """Return the flow; what a preset derives is derived from all keys of the table."""
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
        """Return the schedule.

        Raises
        ------
        ModelError
            A key of another schedule, a missing duration, or both pruning and growing.
        """
        if self.pruning is not None and self.growing is not None:
            raise ModelError(
                f"train has both pruning and growing beside schedule = {self.schedule!r}; "
                "allowed: one of them"
            )
        if self.pruning is not None:
            return schedules.Pruning(schedule=self._fixed_size(), **self.pruning.given())
        if self.growing is not None:
            return schedules.Growing(schedule=self._fixed_size(), **self.growing.given())
        return self._fixed_size()

    def _fixed_size(self) -> Any:
        """Return the schedule of a network that keeps its size."""
        schedule, allowed = OF_SCHEDULES[self.schedule]
        keys = self.given()
        for resizing in ("schedule", *RESIZING):
            keys.pop(resizing, None)
        for key in keys:
            if key not in allowed:
                known = ("schedule", *allowed, *RESIZING)
                raise unknown(f"a key of train ({self.schedule})", key, known)
        if self.schedule == "simultaneous" and self.duration is None:
            raise ModelError(
                f"train.duration is missing beside schedule = {self.schedule!r}; "
                "allowed: a time, e.g. '4 s'"
            )
        return schedule(**keys)


RESIZING = ("pruning", "growing")
OF_SCHEDULES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "simultaneous": (schedules.Simultaneous, ("duration", "reports")),
    "presentations": (
        schedules.Presentations,
        ("batch", "present", "plastic_from", "epochs", "shuffle"),
    ),
    "local_propagation": (schedules.LocalPropagation, ("epochs", "reports", "mean", "best")),
}


def _inside(folder: str) -> str:
    """Check that a folder is below the current one: a model file may come from anyone."""
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        allowed = "a relative path without '..'"
        raise out_of_range("output.folder", folder, allowed, "--out for any other")
    return folder


class StartTable(_Table):
    """``[start]``: the distance from the saddle point at which outputs and multipliers start.

    Each unit starts N(0, 1) times `x`, or `lam`, away.
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
        # drawn for all of x, then for all of lam
        x, lam = {}, {}
        for name in net.neurons:
            x[name] = saddle.x[name] + self.x * rng.normal(size=saddle.x[name].shape)
        for name in net.neurons:
            lam[name] = saddle.lam[name] + self.lam * rng.normal(size=saddle.lam[name].shape)
        return State(x, lam)


class StreamTable(_Table):
    """``[stream]``: the patterns are frames, which one set of neurons sees one after the other."""

    model_config = ConfigDict(title="stream")

    per_frame: Time
    plastic: bool | None = None


class OutputTable(_Table):
    """``[output]``: folder and formats of what `neurosim run` writes."""

    model_config = ConfigDict(title="output")

    folder: Annotated[str, AfterValidator(_inside)] | None = None
    formats: list[Literal["png", "pdf", "svg"]] | None = None


class Tables(_Table):
    """A model file."""

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
# keys of [simulation] that its constructor takes, and those of its runs
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
)
OF_TRAIN = ("record", "every", "start", "patterns", "units", "stream")
OF_RELAX = (*OF_TRAIN, "duration", "adaptive", "tolerance", "settle")
