"""The table ``[network]`` of a model file: its keys, and the network that is built from them.

Below `schema`, which has the other tables. Start at `NetworkTable`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict

from neurosim.errors import ModelError, out_of_range
from neurosim.experiments.keys import takes
from neurosim.model.network import Network
from neurosim.model.overs import over_of
from neurosim.model.populations import Loss, Population, Projection

MAX_UNITS = 100_000
MAX_LAYERS = 1000
MAX_SYNAPSES = 50_000_000  # 0.4 GB of weights


class Table(BaseModel):
    """Base of the tables of a model file.

    Keys that a file does not set are None and are not passed on. So defaults stand in one place, in
    the constructors.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the keys that the file sets, all or the named ones, as keyword arguments."""
        keys = self.model_dump(exclude_none=True)
        if not names:
            return keys
        return {key: value for key, value in keys.items() if key in names}


MATRIX = list[list[float]]  # rows of numbers


SIZE = int | list[int]  # units, or sites and features


@takes(Population, omit=("shape",), written={"size": SIZE})
class PopulationTable(Table):
    """``[[network.populations]]``: the arguments of `Population`; a size may be a list."""


@takes(
    Projection,
    written={"weights": MATRIX, "mask": list[list[int]], "feedback_weights": MATRIX},
)
class ProjectionTable(Table):
    """``[[network.projections]]``: the arguments of `Projection`; a mask is rows of 0 and 1."""


@takes(Loss)
class LossTable(Table):
    """``[[network.losses]]``: the arguments of `Loss`."""


@takes(Network.convolutional, omit=("seed",), written={"shape": list[int], "channels": list[int]})
class ConvolutionalTable(Table):
    """``[network.convolutional]``: the arguments of `Network.convolutional`."""


@takes(Network.recurrent, omit=("seed",))
class RecurrentTable(Table):
    """``[network.recurrent]``: the arguments of `Network.recurrent`."""


@takes(Network.graph, omit=("seed",), written={"adjacency": MATRIX})
class GraphTable(Table):
    """``[network.graph]``: the arguments of `Network.graph`; the matrix is rows of numbers."""


GRAPH = ("populations", "projections", "losses")  # keys of a network that is built as a graph
BUILDERS = ("convolutional", "recurrent", "graph")  # tables of the builders with sites
Graph = tuple[dict[str, int], list[tuple[str, str]]]  # sizes by name, and (pre, post)


@takes(Network.mlp, optional=("sizes",))
class NetworkTable(Table):
    """``[network]``: layers by the arguments of `Network.mlp`, or the lists of `Network`."""

    model_config = ConfigDict(title="network")

    populations: list[PopulationTable] | None = None
    projections: list[ProjectionTable] | None = None
    losses: list[LossTable] | None = None
    convolutional: ConvolutionalTable | None = None
    recurrent: RecurrentTable | None = None
    graph: GraphTable | None = None

    def build(self) -> Network:
        """Return the network, with its initial weights.

        Raises
        ------
        ModelError
            Keys of both ways to build, or of neither; too many units or synapses.
        """
        keys = self.given()
        built = [name for name in BUILDERS if name in keys]
        if built:
            return self._build_with_sites(built[0], keys)
        if "sizes" not in keys and self.populations is None:
            raise ModelError(
                f"network.sizes is missing beside {', '.join(keys) or 'no other key'}; "
                "allowed: sizes = [64, 32, 10], [[network.populations]], "
                f"{', '.join(f'[network.{name}]' for name in BUILDERS)}"
            )
        if "sizes" in keys:
            _check_size(*_layers(keys["sizes"], keys.get("depth")))
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

    def _build_with_sites(self, name: str, keys: Mapping[str, Any]) -> Network:
        """Return the network of one of `BUILDERS`, by the arguments in its table."""
        mixed = set(keys) - {name, "seed"}
        if mixed:
            raise ModelError(
                f"network.{min(mixed)} beside [network.{name}]; allowed there: seed, and all other "
                f"keys in [network.{name}]"
            )
        given = dict(keys[name])
        _check_sites(name, given)
        build: Any = getattr(Network, name)
        network: Network = build(**given, **self.given("seed"))
        return network

    def _build_graph(self) -> Network:
        populations = [Population(**table.given()) for table in self.populations or ()]
        projections = [Projection(**table.given()) for table in self.projections or ()]
        losses = [Loss(**table.given()) for table in self.losses or ()]
        return Network(populations, projections, losses, **self.given("seed"))

    def _graph(self) -> Graph:
        """Return the sizes of the populations by name, and which of them are connected."""
        populations = [table.given() for table in self.populations or ()]
        projections = [table.given() for table in self.projections or ()]
        sizes = {population["name"]: _units(population["size"]) for population in populations}
        pairs = []
        for projection in projections:
            name = f"{projection['pre']}->{projection['post']}"
            over = over_of(f"over of {name}", projection.get("over"))
            if over is None:  # dense
                pairs.append((projection["pre"], projection["post"]))
        return sizes, pairs


def _units(size: Any) -> int:
    """Return the number of units of a size, which may be a list of sites and features."""
    return math.prod(size) if isinstance(size, list) else size


def _check_sites(name: str, given: Mapping[str, Any]) -> None:
    """Refuse a network with sites that is larger than a model file may make it."""
    units = 0
    match name:
        case "convolutional":
            shape = given["shape"]
            sites = math.prod(max(axis, 1) for axis in shape[:-1])
            units = sites * (sum(map(abs, given["channels"])) + abs(shape[-1] if shape else 1))
            if len(given["channels"]) > MAX_LAYERS:
                allowed = f"at most {MAX_LAYERS} in a model file"
                raise out_of_range("channels of network", len(given["channels"]), allowed)
        case "recurrent":
            features = (given[key] for key in ("features", "hidden", "outputs"))
            units = abs(given["steps"]) * sum(map(abs, features))
        case "graph":
            features = (given.get(key, 15) for key in ("features", "state", "outputs", "edge"))
            units = len(given["adjacency"]) * sum(map(abs, features))
    if units > MAX_UNITS:
        allowed = f"at most {MAX_UNITS} in a model file"
        raise out_of_range("units of network", units, allowed, f"Network.{name}(...) in Python")


def _layers(sizes: list[int], depth: int | None) -> Graph:
    """Return the sizes of the layers by number, and which of them are connected."""
    hidden = sizes[1:-1]
    count = len(sizes) if depth is None else depth + 1
    if count > MAX_LAYERS:
        allowed = f"at most {MAX_LAYERS} in a model file"
        raise out_of_range("layers of network", count, allowed, "Network.mlp(...) in Python")
    if depth is not None:
        hidden = sizes[1:2] * (max(depth, 1) - 1)
    layers = [*sizes[:1], *hidden, *sizes[-1:]]
    named = {str(number): size for number, size in enumerate(layers)}
    return named, list(pairwise(named))


def _check_size(sizes: Mapping[str, int], pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse a network that is larger than a model file may make it."""
    if len(sizes) > MAX_LAYERS:
        allowed = f"at most {MAX_LAYERS} in a model file"
        raise out_of_range("populations of network", len(sizes), allowed, "Network(...) in Python")
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
