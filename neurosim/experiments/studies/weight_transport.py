"""Weight transport: what is lost when messages do not return through the weights that carried them
forward.

A cell is one training: a network, a kind of feedback weights, a flow, a time constant of the
weights, a seed of split, weights and order. A fifth of the training part is held out, and of every
network, feedback and flow that time constant is shown that did best on it, mean over the seeds; the
test patterns choose nothing. Start at `measure`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import radians
from typing import TYPE_CHECKING, Any

from neurosim import reference
from neurosim.data import datasets
from neurosim.errors import ModelError, StabilityWarning, out_of_range, unknown
from neurosim.experiments.studies import mean_and_spread
from neurosim.model import feedback
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.schedules import Presentations
from neurosim.results.metrics import angle

if TYPE_CHECKING:
    import xarray as xr

QUESTION = "Does learning need symmetric weights, and which flow can do without?"
VARIED = ("networks", "feedback", "flows", "tau_w")
TAU = 10e-3  # s, of outputs
HELD_OUT = 0.2  # of the training part, for the choice of tau_w
QUICK = {
    "networks": ["64-32-10"],
    "flows": ["adjoint", "damped"],
    "tau_w": [20.0],
    "seeds": 2,
    "epochs": 2,
}

# a flow with tau_x = TAU, its step and how long a batch is shown, in tau_x
FLOWS: dict[str, tuple[Callable[..., Flow], float, float]] = {
    "adjoint": (Flow.adjoint, 0.2, 6.0),
    "damped": (Flow.damped, 0.1, 6.0),
    "rotated(75°)": (lambda **times: Flow.rotated(radians(75), **times), 0.2, 6.0),
    "augmented(1)": (lambda **times: Flow.augmented(1, **times), 0.1, 12.0),
    "augmented(2)": (lambda **times: Flow.augmented(2, **times), 0.1, 6.0),
}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every training.

    Raises
    ------
    ModelError
        An unknown flow or feedback, or sizes or times that cannot be.
    """
    _check(settings["study"])
    own = {**settings["study"], **(QUICK if quick else {})}
    return [
        {"network": network, "feedback": kind, "flow": flow, "tau_w": float(tau_w), "seed": seed}
        for network in own["networks"]
        for kind in own["feedback"]
        for flow in own["flows"]
        for tau_w in own["tau_w"]
        for seed in range(own["seeds"])
    ]


def _check(own: Mapping[str, Any]) -> None:
    for key, allowed in (("flows", tuple(FLOWS)), ("feedback", feedback.KINDS)):
        for name in own[key]:
            if name not in allowed:
                raise unknown(f"study.{key}", name, allowed)
    for network in own["networks"]:
        sizes_of(network)
    for tau_w in own["tau_w"]:
        if isinstance(tau_w, bool) or not isinstance(tau_w, int | float) or not tau_w > 0:
            raise out_of_range("study.tau_w", tau_w, "numbers > 0, in units of tau_x", "[10, 20]")


def sizes_of(network: str) -> list[int]:
    """Layers of ``"64-32-10"``."""
    try:
        sizes = [int(n) for n in str(network).split("-")]
    except ValueError:
        sizes = []
    if len(sizes) < 3 or min(sizes) < 1:
        raise out_of_range(
            "study.networks", network, "sizes of at least three layers", "'64-32-10'"
        )
    return sizes


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Accuracy on held-out and on test patterns; angles at the end, the largest over the layers, in
    degrees.

    Of lam at rest, with the final weights, to backpropagation's (on the held-out patterns), and of
    B to Wᵀ.
    """
    from neurosim.simulation.simulation import Simulation

    own = {**settings["study"], **(QUICK if quick else {})}
    seed = int(cell["seed"])
    X, Y, held, test = split(settings.get("data", {"name": "digits"}), seed)
    make, dt, present = FLOWS[cell["flow"]]
    decay = own["feedback_decay"] if cell["feedback"] == "kolen_pollack" else None
    net = Network.mlp(
        sizes_of(cell["network"]), seed=seed, feedback=cell["feedback"], feedback_decay=decay
    )
    sim = Simulation(net, make(tau_x=TAU, tau_w=cell["tau_w"] * TAU), dt=dt * TAU, seed=seed)
    schedule = Presentations(
        batch=32, present=present * TAU, plastic_from=0.5, epochs=own["epochs"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", StabilityWarning
        )  # where a step does not hold, the accuracy says so
        sim.train(X, Y, schedule)
    return {
        "validation": float((sim.predict(held[0]).argmax(axis=1) == held[1]).mean()),
        "test": float((sim.predict(test[0]).argmax(axis=1) == test[1]).mean()),
        **angles(net, *held),
    }


def split(data: Mapping[str, Any], seed: int) -> tuple[Any, Any, tuple[Any, Any], tuple[Any, Any]]:
    """X and Y to learn, and what is held out of the training part and for the test, each (X, Y)."""
    from sklearn.model_selection import train_test_split

    found = datasets.load(**{"test": 0.2, **data, "seed": seed})
    if found.validation is None or not found.classes:
        raise ModelError(
            "data of the study have no classes or no test patterns; try name = 'digits', test = 0.2"
        )
    X, held, Y, held_Y = train_test_split(
        found.X, found.Y, test_size=HELD_OUT, stratify=found.Y, random_state=seed
    )
    return X, Y, (held, held_Y), found.validation


def angles(net: Network, X: Any, Y: Any) -> dict[str, float]:
    """Of lam at rest to backpropagation's and of B to Wᵀ, degrees; the largest over hidden layers,
    and projections.
    """
    ways = [reference.multipliers(net, X, Y, through=way) for way in ("feedback", "weights")]
    hidden = [n for n in net.neurons if net.outgoing(n)]
    own = [angle(net.returning(n), net.weights[n]) for n in net.feedback]
    return {
        "angle": max(angle(*(lam[n] for lam in ways)) for n in hidden),
        "feedback_angle": max(own, default=0.0),
    }


def chosen(data: xr.Dataset) -> xr.Dataset:
    """What belongs to the tau_w that did best on the held-out patterns, of every network, feedback
    and flow.
    """
    score = data.validation.fillna(0.0).mean("seed")  # what diverged is no candidate
    return data[["test", "angle", "feedback_angle"]].isel(tau_w=score.argmax("tau_w"))


def table(data: xr.Dataset) -> Any:
    """Test accuracy (%) and final angle of lam to backpropagation's, mean ± spread over the seeds
    that end.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    best = chosen(data)
    flows = [str(f) for f in best.flow.values]
    shown = Table(
        "network", "feedback", *flows, box=SIMPLE_HEAD, title="test accuracy (%), angle of λ (°)"
    )
    for network in best.network.values:
        for kind in best.feedback.values:
            row = [best.sel(network=network, feedback=kind, flow=flow) for flow in flows]
            shown.add_row(str(network), str(kind), *map(_entry, row))
    return shown


def _entry(seeds: xr.Dataset) -> str:
    """Of one network, feedback and flow, with how many seeds did not diverge where some did."""
    ended, count = int(seeds.test.count()), seeds.seed.size
    if not ended:
        return "diverges"
    told = f"{mean_and_spread(seeds.test, 1, 100)}, {mean_and_spread(seeds.angle, 0)}"
    return told if ended == count else f"{told} ({ended} of {count})"


def figure(data: xr.Dataset) -> Any:
    """Test accuracy and angle of lam to backpropagation's by flow, a colour a kind of feedback, a
    row a network.

    A cross at the foot: no seed ends, all diverge.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from neurosim.plot import style

    best = chosen(data)
    networks = [str(n) for n in best.network.values]
    with style():
        figure = Figure(figsize=(8.4, 0.7 + 2.5 * len(networks)), layout="constrained")
        panels = figure.subplots(len(networks), 2, squeeze=False)
        for row, network in zip(panels, networks, strict=True):
            own = best.sel(network=network)
            _by_flow(row[0], 100 * own.test, "test accuracy (%)")
            _by_flow(row[1], own.angle, "angle of λ to BP's (°)")
            for ax in row:
                ax.set_title(network)
        handles, names = panels[0, 0].get_legend_handles_labels()
        if bool((best.test.count("seed") == 0).any()):
            handles, names = (
                [*handles, Line2D([], [], marker="x", color="0.3", linestyle="none")],
                [*names, "diverges"],
            )
        figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _by_flow(ax: Any, values: Any, label: str) -> None:
    """Mean and spread over the seeds, kinds of feedback side by side."""
    from neurosim.plot.drawing import PALETTE

    kinds: Sequence[Any] = values.feedback.values
    flows = [str(f) for f in values.flow.values]
    for i, (kind, color) in enumerate(zip(kinds, PALETTE, strict=False)):
        own = values.sel(feedback=kind)
        place = [x + 0.13 * (i - (len(kinds) - 1) / 2) for x in range(len(flows))]
        ax.errorbar(
            place,
            own.mean("seed"),
            own.std("seed"),
            fmt="osD^v"[i % 5],
            color=color,
            markersize=4,
            capsize=2,
            linewidth=1,
            label=str(kind).replace("_", "-"),
        )
        gone = [
            x
            for x, n in zip(place, own.count("seed").values, strict=True)
            if n == 0 and values.name == "test"
        ]
        ax.plot(
            gone,
            [0.03] * len(gone),
            "x",
            color=color,
            markersize=5,
            transform=ax.get_xaxis_transform(),
        )
    ax.set_xticks(range(len(flows)), flows, rotation=20, ha="right")
    ax.set(ylabel=label, xlim=(-0.6, len(flows) - 0.4))
