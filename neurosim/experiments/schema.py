"""What a model file may hold, table by table: keys, kinds of values, and the constructors that they
are arguments of.

Above what is built; `modelfile` reads and writes them. Keys are the constructors' arguments; what
is left out has the constructor's default. Start at `Tables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.model.flow import Flow, seconds

if TYPE_CHECKING:
    from neurosim.model.network import Network
    from neurosim.model.state import State

Array = np.ndarray

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
        return {
            k: v for k, v in self.model_dump(exclude_none=True).items() if not names or k in names
        }


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
        """The network, weights drawn."""
        from neurosim.model.network import Network
        from neurosim.model.populations import Loss, Population, Projection

        graph = {"populations", "projections", "losses"}
        keys = self.given()
        if self.sizes is None and self.populations is None:
            raise ModelError(
                "network.sizes is missing; allowed: sizes = [64, 32, 10], or "
                "[[network.populations]]"
            )
        _limit(self._layers(), self._pairs())
        if self.sizes is not None:
            if mixed := graph & set(keys):
                raise ModelError(
                    f"network.{min(mixed)} beside network.sizes; allowed: one of the "
                    "two ways to build"
                )
            return Network.mlp(**keys)
        if mixed := set(keys) - graph - {"seed"}:
            raise ModelError(
                f"network.{min(mixed)} beside [[network.populations]]; allowed there: "
                f"seed, and {min(mixed)!r} only in "
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
            repeated = (
                self.sizes[1:2] * (max(self.depth, 1) - 1)
                if self.depth is not None
                else self.sizes[1:-1]
            )
            return {str(i): n for i, n in enumerate([*self.sizes[:1], *repeated, *self.sizes[-1:]])}
        return {p.name: p.size for p in self.populations or ()}

    def _pairs(self) -> list[tuple[str, str]]:
        if self.sizes is not None:
            return [(str(i), str(i + 1)) for i in range(len(self._layers()) - 1)]
        return [(q.pre, q.post) for q in self.projections or ()]


def _limit(sizes: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> None:
    units = sum(max(n, 0) for n in sizes.values())
    if units > MAX_UNITS:
        raise out_of_range(
            "units of network",
            units,
            f"at most {MAX_UNITS} in a model file",
            "Network(...) in Python",
        )
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
        for key, preset in {
            "theta": "rotated",
            "rate": "local_propagation",
            "ratio": "local_propagation",
        }.items():
            if key in keys:
                raise ModelError(
                    f"flow.{key} belongs to preset = {preset!r}; allowed: that preset, "
                    "or kappa and gamma"
                )
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
        from neurosim.model.schedules import Growing, Pruning

        if self.pruning is not None and self.growing is not None:
            raise ModelError("train has both pruning and growing; allowed: one of them")
        if self.pruning is not None:
            return Pruning(schedule=self._plain(), **self.pruning.given())
        if self.growing is not None:
            return Growing(schedule=self._plain(), **self.growing.given())
        return self._plain()

    def _plain(self) -> Any:
        """The schedule of a network that stays as large as it is."""
        from neurosim.model import schedules

        keys = {
            k: v for k, v in self.given().items() if k not in ("schedule", "pruning", "growing")
        }
        kind, own = OF_SCHEDULES[self.schedule]
        for key in keys:
            if key not in own:
                raise unknown(
                    f"a key of train ({self.schedule})",
                    key,
                    ("schedule", *own, "pruning", "growing"),
                )
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
        raise out_of_range(
            "output.folder", folder, "a relative path without '..'", "--out for any other"
        )
    return folder


class StartTable(_Table):
    """``[start]``: outputs and multipliers start this far from the saddle point, N(0, 1) a unit
    times `x` and `lam`.
    """

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
        from neurosim.model.state import State

        if self.seed < 0:
            raise out_of_range("start.seed", self.seed, "a whole number >= 0")
        saddle, rng = (
            reference.backprop(net, X, Y, through="feedback"),
            np.random.default_rng(self.seed),
        )
        away = {
            v: {n: rng.normal(size=saddle.lam[n].shape) for n in net.neurons} for v in ("x", "lam")
        }
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
