"""Weight transport: what learning loses if errors return through weights other than Wᵀ.

A cell is one training. A fifth of the training part is held out. Table and figure show, for every
network, kind of feedback weights and flow, the rate tau_w with the best mean accuracy there over
the seeds; the test patterns choose nothing. Start at `WeightTransportStudy`.
"""

from __future__ import annotations

import warnings
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import AfterValidator, ValidationInfo
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.data import datasets
from neurosim.errors import ModelError, StabilityWarning, out_of_range
from neurosim.experiments.studies.shared import FLOWS as ALL_FLOWS
from neurosim.experiments.studies.shared import (
    HELD_OUT,
    TAU,
    check_data,
    mean_and_spread,
    new_table,
    repeats,
)
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    NotNegative,
    Numbers,
    Positive,
    Study,
    StudySettings,
    one_of,
)
from neurosim.model import feedback
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import angle
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Patterns = tuple[Array, Array]  # X and Y


class Pace(NamedTuple):
    """The step of a flow, and how long a batch is shown, in tau."""

    dt: float
    present: float


FLOWS = {
    "adjoint": Pace(0.2, 6.0),
    "damped": Pace(0.1, 6.0),
    "rotated(75°)": Pace(0.2, 6.0),
    "augmented(1)": Pace(0.1, 12.0),
    "augmented(2)": Pace(0.1, 6.0),
}
QUICK = {
    "networks": ["64-32-10"],
    "flows": ["adjoint", "damped"],
    "tau_w": [20.0],
    "seeds": 2,
    "epochs": 2,
}


def sizes_of(network: str) -> list[int]:
    """Return the layers of ``"64-32-10"``.

    Raises
    ------
    ModelError
        Text of another form, or fewer than three layers.
    """
    try:
        sizes = [int(size) for size in network.split("-")]
    except ValueError:
        sizes = []
    if len(sizes) < 3 or min(sizes) < 1:
        allowed = "sizes of at least three layers"
        raise out_of_range("study.networks", network, allowed, "'64-32-10'")
    return sizes


def _with_layers(networks: list[str], info: ValidationInfo) -> list[str]:
    for network in networks:
        sizes_of(network)
    return networks


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WeightTransportSettings(StudySettings):
    """Settings of the study; `tau_w` is in tau, `feedback_decay` is that of Kolen and Pollack."""

    networks: Annotated[list[str], AfterValidator(_with_layers)]
    feedback: Annotated[list[str], one_of(feedback.KINDS)]
    flows: Annotated[list[str], one_of(FLOWS)]
    tau_w: list[Positive]
    feedback_decay: NotNegative
    epochs: Count
    seeds: Count


class WeightTransportStudy(Study[WeightTransportSettings]):
    """Accuracy and angle of lam by network, kind of feedback weights and flow."""

    question = "Does learning need symmetric weights, and which flow can do without them?"
    settings_type = WeightTransportSettings
    reads = ("data",)
    varied = ("networks", "feedback", "flows", "tau_w")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training; the seed is that of split, weights and order of the patterns."""
        own = self.settings
        cells = product(own.networks, own.feedback, own.flows, own.tau_w, range(own.seeds))
        return [
            {"network": network, "feedback": kind, "flow": flow, "tau_w": tau_w, "seed": seed}
            for network, kind, flow, tau_w, seed in cells
        ]

    def check(self) -> None:
        """Load the data, and build every network with every kind of feedback and every flow."""
        super().check()
        own = self.settings
        learnt, _, _ = split(self.tables.get("data", {"name": "digits"}), 0)
        for network, kind in product(own.networks, own.feedback):
            net = self._network(network, kind, 0)
            check_data(net, *learnt)
            for flow, tau_w in product(own.flows, own.tau_w):
                self._simulation(net, flow, tau_w, 0)

    def _network(self, network: str, kind: str, seed: int) -> Network:
        own = self.settings
        decay = own.feedback_decay if kind == feedback.KOLEN_POLLACK else None
        sizes = sizes_of(network)
        return Network.mlp(sizes, seed=seed, feedback=kind, feedback_decay=decay)

    def _simulation(self, net: Network, name: str, tau_w: float, seed: int) -> Simulation:
        flow = ALL_FLOWS[name](tau_x=TAU, tau_w=tau_w * TAU)
        return Simulation(net, flow, dt=FLOWS[name].dt * TAU, seed=seed)

    def measure(self, cell: Cell) -> Numbers:
        """Return accuracies (`validation`, `test`) and final angles (see `angles`)."""
        own = self.settings
        seed = int(cell["seed"])
        data = self.tables.get("data", {"name": "digits"})
        learnt, held, tested = split(data, seed)
        net = self._network(cell["network"], cell["feedback"], seed)
        sim = self._simulation(net, cell["flow"], cell["tau_w"], seed)
        pace = FLOWS[cell["flow"]]
        schedule = Presentations(
            batch=32, present=pace.present * TAU, plastic_from=0.5, epochs=own.epochs
        )
        with warnings.catch_warnings():
            # the accuracy shows whether the step is stable
            warnings.simplefilter("ignore", StabilityWarning)
            sim.train(*learnt, schedule)
        return {
            "validation": _accuracy(sim, *held),
            "test": _accuracy(sim, *tested),
            **angles(net, *held),
        }

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%) and final angle of lam, mean ± spread over seeds."""
        best = chosen(data)
        flows = [str(flow) for flow in best.flow.values]
        title = "test accuracy (%), angle of λ (°)"
        shown = new_table("network", "feedback", *flows, title=title)
        for network, kind in product(best.network.values, best.feedback.values):
            own = best.sel(network=network, feedback=kind)
            entries = [_entry(own.sel(flow=flow)) for flow in flows]
            shown.add_row(str(network), str(kind), *entries)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy and angle of lam by flow, a colour per kind, a row per network.

        A cross at the bottom means that every seed diverged.
        """
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D

        from neurosim.plot import style

        best = chosen(data)
        networks = [str(network) for network in best.network.values]
        with style():
            figure = Figure(figsize=(8.4, 0.7 + 2.5 * len(networks)), layout="constrained")
            panels = figure.subplots(len(networks), 2, squeeze=False)
            for row, network in zip(panels, networks, strict=True):
                own = best.sel(network=network)
                _draw_by_flow(row[0], 100 * own.test, "test accuracy (%)")
                _draw_by_flow(row[1], own.angle, "angle of λ to BP's (°)")
                for ax in row:
                    ax.set_title(network)
            handles, names = panels[0, 0].get_legend_handles_labels()
            if bool((best.test.count("seed") == 0).any()):
                handles.append(Line2D([], [], marker="x", color="0.3", linestyle="none"))
                names.append("diverges")
            title = f"mean, and range over n = {repeats(data)}"
            figure.legend(handles, names, loc="outside upper center", ncols=len(names), title=title)
        return figure


def split(data: dict[str, Any], seed: int) -> tuple[Patterns, Patterns, Patterns]:
    """Return the patterns to learn, those held out of the training part, and those to test."""
    from sklearn.model_selection import train_test_split

    found = datasets.load(**{"test": 0.2, **data, "seed": seed})
    if found.validation is None or not found.classes:
        raise ModelError(
            f"data = {data} of the study have no classes or no test patterns; "
            "try name = 'digits', test = 0.2"
        )
    X, X_held, Y, Y_held = train_test_split(
        found.X, found.Y, test_size=HELD_OUT, stratify=found.Y, random_state=seed
    )
    return (X, Y), (X_held, Y_held), found.validation


def _accuracy(sim: Simulation, X: Array, Y: Array) -> float:
    classes = sim.predict(X).argmax(axis=1)
    return float((classes == Y).mean())


def angles(net: Network, X: Array, Y: Array) -> Numbers:
    """Return how far a network's multipliers and feedback weights are from backpropagation's.

    Returns
    -------
    dict
        Angles in degrees. `angle`: of lam at rest to backpropagation's, the largest over hidden
        layers; `feedback_angle`: of B to Wᵀ, the largest over projections.
    """
    flowing = reference.multipliers(net, X, Y, through="feedback")
    exact = reference.multipliers(net, X, Y, through="weights")
    of_layers = []
    for name in net.neurons:
        if net.outgoing(name):
            of_layers.append(angle(flowing[name], exact[name]))
    of_feedback = [0.0]
    for name in net.feedback:
        of_feedback.append(angle(net.returning(name), net.weights[name]))
    return {"angle": max(of_layers), "feedback_angle": max(of_feedback)}


def chosen(data: xr.Dataset) -> xr.Dataset:
    """Return the results at the tau_w that did best on held-out patterns.

    It is chosen for every network, feedback and flow. Runs that diverged count with accuracy 0.
    """
    score = data.validation.fillna(0.0).mean("seed")
    return data[["test", "angle", "feedback_angle"]].isel(tau_w=score.argmax("tau_w"))


def _entry(seeds: xr.Dataset) -> str:
    """Return an entry of the table."""
    if not int(seeds.test.count()):
        return "diverges"
    return f"{mean_and_spread(seeds.test, 1, 100)}, {mean_and_spread(seeds.angle, 0)}"


def _draw_by_flow(ax: Any, values: xr.DataArray, label: str) -> None:
    """Draw mean and range over the seeds, kinds of feedback side by side."""
    from neurosim.plot.page import PALETTE

    kinds = values.feedback.values
    flows = [str(flow) for flow in values.flow.values]
    for i, (kind, colour) in enumerate(zip(kinds, PALETTE, strict=False)):
        own = values.sel(feedback=kind)
        offset = 0.13 * (i - (len(kinds) - 1) / 2)
        places = np.arange(len(flows)) + offset
        middle = own.mean("seed")
        ax.errorbar(
            places,
            middle,
            np.stack([middle - own.min("seed"), own.max("seed") - middle]),
            fmt="osD^v"[i % 5],
            color=colour,
            markersize=4,
            capsize=2,
            linewidth=1,
            label=str(kind).replace("_", "-"),
        )
        if values.name == "test":
            gone = places[own.count("seed").values == 0]
            foot = ax.get_xaxis_transform()
            ax.plot(gone, [0.03] * len(gone), "x", color=colour, markersize=5, transform=foot)
    ax.set_xticks(range(len(flows)), flows, rotation=20, ha="right")
    ax.set(ylabel=label, xlim=(-0.6, len(flows) - 0.4))
