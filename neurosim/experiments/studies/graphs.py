"""Graphs: states of nodes, multipliers and weights that move at once, as in LP-GNN.

A cell is one training on one set of graphs. The states settle while the weights learn: a step of
Adam follows three steps of `adjoint` with dt = tau, or 15 of `rotated(75°)` with 0.2 tau where the
states have a tolerance. Start at `GraphsStudy`.

References
----------
Tiezzi, Marra, Melacci & Maggini, IEEE TPAMI 44, 727 (2022), arXiv 2005.02392.
"""

from __future__ import annotations

import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data import datasets
from neurosim.data.graph_data import NO_TARGET, GraphData
from neurosim.errors import StabilityWarning
from neurosim.experiments.studies.shared import FLOWS, TAU, bars_note, mean_and_spread, new_table
from neurosim.experiments.studies.structured import draw_groups
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    NotNegative,
    Numbers,
    Positive,
    Study,
    StudySettings,
    filled,
    one_of,
)
from neurosim.model import rules
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
RANDOM = "random"  # the set that is generated here
SADDLE = ("rotated(75°)", 15, 0.2)
# of LP-GNN, on the states of nodes: flow, its steps for each one of the weights, and dt/tau; on
# which side of a tolerance a multiplier lies is determined only with kappa > 0
FLOW_OF = {"lin": ("adjoint", 3, 1.0), "lin_eps": SADDLE, "abs_eps": SADDLE}
QUICK = {"sets": [RANDOM], "constraints": ["lin"], "steps": 200, "checks": 4, "seeds": 1}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class GraphsSettings(StudySettings):
    """Settings of the study; `sets` are files of `folder` without ``.mat``, or "random".

    `constraints` are constraint functions of the states, with the tolerance `epsilon`.
    """

    folder: str
    sets: Annotated[list[str], filled]
    constraints: Annotated[list[str], filled, one_of(FLOW_OF)]
    epsilon: NotNegative
    state: Count
    edge: Count
    gain: Positive
    rate: Positive
    steps: Count
    checks: Count
    seeds: Count


class GraphsStudy(Study[GraphsSettings]):
    """Accuracy on the nodes of unseen graphs, by set and constraint function."""

    question = "Can states of a graph, multipliers and weights move at once, and learn?"
    settings_type = GraphsSettings
    varied = ("sets", "constraints")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training; the seed is that of the weights, and of a generated set."""
        own = self.settings
        cells: list[Cell] = []
        for name, constraint, seed in product(own.sets, own.constraints, range(own.seeds)):
            cells.append({"set": name, "constraint": constraint, "seed": seed})
        return cells

    def measure(self, cell: Cell) -> Numbers:
        """Return the test accuracy at the check with the best validation accuracy.

        Graphs to learn, to validate and to test are blocks of one graph, in which only the first
        have targets. So predictions are states of the run itself, at any time.
        """
        own = self.settings
        seed = int(cell["seed"])
        parts = self._parts(cell["set"], seed)
        joined, part = _joined(parts)
        net = self._network(joined, cell["constraint"], seed)
        name, turn, pace = FLOW_OF[cell["constraint"]]
        dt = pace * TAU
        flow = FLOWS[name](tau_x=TAU, tau_w=dt / own.rate)
        sim = Simulation(net, flow, dt=dt, seed=seed)
        X, Y = joined.patterns
        assert Y is not None
        learnt = np.where(part == 0, Y, NO_TARGET)
        every = max(1, own.steps // own.checks) * turn
        none: dict[str, list[int]] = {n: [] for n in net.populations if n != "output"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StabilityWarning)
            # as one long frame: a log would solve for the fixed point of the whole graph
            run = sim.stream(
                X,
                learnt,
                per_frame=turn * own.steps * dt,
                plastic=True,
                record="x",
                every=every * dt,
                units=none,
            )
        traces = run.traces
        assert traces is not None
        x = traces["x"].values.reshape(-1, len(part), 2)
        right = x.argmax(axis=-1) == Y
        shares = [right[:, (part == number) & (Y[0] >= 0)].mean(axis=1) for number in (1, 2)]
        best = int(shares[0].argmax())
        tested = Y[0][(part == 2) & (Y[0] >= 0)]
        larger = max(tested.mean(), 1 - tested.mean())
        numbers = {"validation": shares[0][best], "test": shares[1][best], "chance": larger}
        return {key: float(value) for key, value in numbers.items()}

    def _parts(self, name: str, seed: int) -> dict[str, GraphData]:
        if name == RANDOM:
            return {
                part: subgraphs(20, 8, 4, seed=3 * seed + number)
                for number, part in enumerate(("train", "validation", "test"))
            }
        return datasets.lpgnn(Path(self.settings.folder) / f"{name}.mat")

    def _network(self, data: GraphData, constraint: str, seed: int) -> Network:
        """Return the initial network; its weights do not depend on the graphs."""
        own = self.settings
        rule = in_turns(FLOW_OF[constraint][1])
        epsilon = 0.0 if constraint == "lin" else own.epsilon
        return Network.graph(
            data.normalised("mean"),
            data.X.shape[1],
            own.state,
            2,
            edge=own.edge,
            gain=own.gain,
            constraint={"state": constraint},
            epsilon={"state": epsilon},
            plasticity=rule,
            bias_plasticity=rule,
            seed=seed,
        )

    def table(self, data: xr.Dataset) -> Any:
        """Return accuracies (%), mean ± spread over seeds, beside the larger class."""
        shown = new_table(
            "set", "constraint", "validation (%)", "test (%)", "larger class (%)", title="graphs"
        )
        for name, constraint in product(data.set.values, data.constraint.values):
            own = data.sel(set=name, constraint=constraint)
            scores = [mean_and_spread(own[key], 1, 100) for key in ("validation", "test")]
            larger = f"{100 * float(own.chance.mean()):.1f}"
            shown.add_row(str(name), str(constraint), *scores, larger)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy by set, a colour per constraint, and the share of the larger class."""
        import xarray as xr
        from matplotlib.figure import Figure

        from neurosim.plot import style

        larger = data.chance.isel(constraint=[0]).assign_coords(constraint=["larger class"])
        shown = xr.concat([data.test, larger], "constraint")
        with style():
            figure = Figure(figsize=(1.8 + 1.4 * data.sizes["set"], 3.0), layout="constrained")
            ax = figure.subplots()
            draw_groups(ax, 100 * shown, "constraint", "set")
            ax.set(ylabel="accuracy (%)", xlabel="set of graphs")
            figure.legend(loc="outside upper center", ncols=2, title=bars_note(data))
        return figure


def in_turns(steps: int) -> Plasticity:
    """Return Adam that steps at the last of so many steps, while the state moves at all of them."""
    adam = rules.adam()
    # half a step later than the step's number, so that no rounding passes a multiple of `steps`
    number = "(floor(t/dt + 0.5) + 0.5)"
    turn = f"floor(({number} - {steps}*floor({number}/{steps}))/{steps - 0.75})"
    lines = []
    for equation in adam.equations:
        left, _, right = equation.partition(" = ")
        rate, _, unit = right.rpartition(" : ")
        for lack in ("lack1", "lack2"):  # both are 1 until the first turn
            rate = rate.replace(f"(1 - {lack})", f"max(1 - {lack}, 1e-9)")
        lines.append(f"{left} = {turn}*({rate}) : {unit}")
    return Plasticity(*lines, parameters=adam.parameters, gated=adam.gated)


def subgraphs(count: int, nodes: int, size: int, seed: int) -> GraphData:
    """Return random graphs that each contain one small graph, whose nodes are class 1.

    Parameters
    ----------
    count, nodes : int
        Graphs, and nodes of each.
    size : int
        Nodes of the small graph, the same in all of them.
    seed : int
        Seed of the graphs; the small one has a seed of its own.

    Returns
    -------
    GraphData
        With one noisy label per node.

    References
    ----------
    Subgraph matching: Scarselli et al., IEEE Trans. Neural Networks 20, 61 (2009).
    """
    template = np.random.default_rng(0)
    small = np.triu(template.random((size, size)) < 0.7, 1)
    marks = template.integers(0, 11, size=size).astype(float)
    rng = np.random.default_rng(seed)
    arcs = np.zeros((count * nodes, count * nodes))
    X = np.zeros((count * nodes, 1))
    Y = np.zeros(count * nodes, dtype=int)
    for graph in range(count):
        own = np.triu(rng.random((nodes, nodes)) < 0.2, 1)
        labels = rng.integers(0, 11, size=nodes).astype(float)
        chosen = rng.choice(nodes, size, replace=False)
        own[np.ix_(chosen, chosen)] = small
        labels[chosen] = marks
        rows = slice(graph * nodes, (graph + 1) * nodes)
        arcs[rows, rows] = (own | own.T).astype(float)
        X[rows, 0] = labels + rng.normal(scale=0.25, size=nodes)
        Y[rows][chosen] = 1
    numbers = np.repeat(np.arange(count), nodes)
    return datasets.graph_from_scipy(arcs, X, Y, graph=numbers)


def _joined(parts: dict[str, GraphData]) -> tuple[GraphData, Array]:
    """Return all graphs as one, features scaled by those to learn; and the part of every node."""
    from scipy.sparse import block_diag

    own = [parts[name] for name in ("train", "validation", "test")]
    mean, spread = own[0].X.mean(axis=0), own[0].X.std(axis=0)
    X = (np.vstack([data.X for data in own]) - mean) / np.where(spread > 0, spread, 1.0)
    adjacency = block_diag([data.adjacency for data in own], format="csr")
    Y = np.concatenate([data.Y for data in own if data.Y is not None])
    numbers, first = [], 0
    for data in own:
        numbers.append(data.graph + first)
        first += int(data.graph.max()) + 1
    part = np.repeat([0, 1, 2], [len(data.X) for data in own])
    joined = datasets.graph_from_scipy(adjacency, X, Y, graph=np.concatenate(numbers))
    return joined, part
