"""Rivals in the same frame: gradients at the start by depth, steps to the adjoint, training in
equally many steps.

A cell is one network before training ("start": the cosine of every layer's gradient to
backpropagation's) or one training ("train": accuracy on test patterns). On digits the step of SGD
is that of `rates` which did best on a fifth of the training part, held out, mean over the seeds;
the residual net has Adam's 1e-3 throughout. What the flows of `WAYS` are set to was chosen by their
cosines at the start and in 200 updates on training patterns, with seeds 10 and up. Start at
`measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from math import radians
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.data import datasets
from neurosim.errors import DivergenceError, unknown
from neurosim.experiments.studies import mean_and_spread
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import synapses
from neurosim.reference import rivals
from neurosim.reference.functions import plastic
from neurosim.results.metrics import cosine

if TYPE_CHECKING:
    import xarray as xr

QUESTION = "How near do other local rules come to backpropagation's gradient, in how many steps, and what do they need?"
VARIED = ("parts", "methods", "nets", "trained", "rates")
PARTS = ("start", "train")
HELD_OUT = 0.2  # of the training part of digits, for the choice of the rate
NEAR = 0.01  # of the error of lam that `steps` counts to
MOST = 3000  # steps, for that
LOOK = 31  # updates between two looks at the cosine during training
DT = 1e-3  # s
QUICK = {
    "seeds": 1,
    "epochs": 1,
    "rates": [0.3],
    "residual_epochs": 1,
    "nets": ["64-32-10", "64-32-32-32-10", "residual 8"],
    "trained": ["64-32-10", "residual 8"],
}

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Way:
    """A method with its options, on layers and on residual nets; None where it is not tried.

    Attributes
    ----------
    method : str
        Of `rivals.METHODS`.
    layers, residual : dict or None
        Options; `steps` of residual nets are 2 a layer of weights for all.
    blocks : bool
        On residual nets a block is one constraint, as in the methods' papers: branches and output
        are functions.
    """

    method: str
    layers: Options | None = field(default_factory=dict)
    residual: Options | None = field(default_factory=dict)
    blocks: bool = False


def _flow(
    make: Callable[..., Flow], down: float, up: float, method: str = "euler", **more: Any
) -> Options:
    """Options of `relax`: steps of dt = `down` tau_x = `up` tau_lam."""
    return {"flow": make(tau_x=DT / down, tau_lam=DT / up), "dt": DT, "method": method, **more}


ROTATED = partial(Flow.rotated, radians(75))
AUGMENTED = _flow(partial(Flow.augmented, 2), 0.1, 0.2)
NUDGED: Options = {"steps": 100, "nudged_steps": 60}
WAYS: dict[str, Way] = {
    "backprop": Way("backprop"),
    "adjoint": Way("relax", _flow(Flow.adjoint, 1, 1), _flow(Flow.adjoint, 1, 1)),
    "rotated(75°)": Way("relax", _flow(ROTATED, 0.4, 0.4), _flow(ROTATED, 0.6, 0.6)),
    "damped": Way("relax", _flow(Flow.damped, 0.2, 0.2), _flow(Flow.damped, 0.4, 0.4)),
    "augmented(2)": Way("relax", AUGMENTED, AUGMENTED, blocks=True),
    "fast multipliers": Way(
        "relax",
        None,
        _flow(partial(Flow.augmented, 0.03), 0.2, 3.3, "semi_implicit"),
        blocks=True,
    ),
    "PC-ALM": Way("pc_alm", {}, {"rate": 0.25}, blocks=True),
    "growing penalty": Way("growing_penalty", {}, {"rate": 0.25}, blocks=True),
    "predictive coding": Way("predictive_coding", {}, {"rate": 0.25}, blocks=True),
    "dual propagation": Way("dual_propagation", {}, {}),
    "equilibrium propagation": Way("equilibrium_propagation", NUDGED, NUDGED),
}
SWEEPS = (
    "dual_propagation",
    "equilibrium_propagation",
    "backprop",
)  # have numbers of steps of their own


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every network at its start, and every training.

    Raises
    ------
    ModelError
        An unknown method, part or network.
    """
    own = _own(settings, quick)
    for key, allowed in (("methods", tuple(WAYS)), ("parts", PARTS)):
        for name in own[key]:
            if name not in allowed:
                raise unknown(f"study.{key}", name, allowed)
    found = []
    for part in own["parts"]:
        for net in own["nets" if part == "start" else "trained"]:
            network(net, 0)
            ways = [m for m in own["methods"] if _options(m, net) is not None]
            rates = own["rates"] if part == "train" and not residual(net) else [0.001]
            both = part == "train" and net == own["trained"][0] and not residual(net)
            backs = ["symmetric", "random"] if both else ["symmetric"]
            found += [
                {
                    "part": part,
                    "net": net,
                    "method": way,
                    "feedback": back,
                    "rate": float(rate),
                    "seed": seed,
                }
                for way in ways
                for back in (
                    backs if way != "backprop" else backs[:1]
                )  # which is through Wᵀ by its name
                for rate in rates
                for seed in range(own["seeds"])
            ]
    return found


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Cosines of a network's start, or accuracies of a training.

    `cosine` is of the whole gradient, `lowest` of the worst layer, ``layer1``, ... of each; `steps`
    that lam of every population needs to come within 1 % of the adjoint; in training, cosines are
    means over looks on the way.
    """
    own = _own(settings, quick)
    return (_start if cell["part"] == "start" else _train)(cell, own)


def residual(net: str) -> int:
    """Layers of weights of ``"residual 32"``; 0 for ``"64-32-10"``."""
    return int(net.removeprefix("residual ")) if net.startswith("residual ") else 0


def network(net: str, seed: int, feedback: str = "symmetric", **more: Any) -> Network:
    """The network of that name."""
    try:
        if residual(net):
            return Network.residual([784, 32, 10], residual(net), seed=seed, **more)
        return Network.mlp([int(n) for n in net.split("-")], seed=seed, feedback=feedback, **more)
    except ValueError as error:
        raise unknown(
            "study.nets", net, ("64-32-10 or other sizes", "residual 32 or another depth")
        ) from error


@cache
def _data(name: str, seed: int) -> datasets.Data:
    return datasets.load(name, test=0.2, seed=seed)


def _own(settings: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    return {**settings["study"], **(QUICK if quick else {})}


def _options(method: str, net: str) -> Options | None:
    """What a method is given on that network."""
    way = WAYS[method]
    if not residual(net):
        return way.layers
    if way.residual is None or way.method in SWEEPS:
        return way.residual
    blocks = {"functions": _functions(residual(net))} if way.blocks else {}
    return {"steps": 2 * residual(net), **blocks, **way.residual}


def _functions(depth: int) -> list[str]:
    """Branches and output: a block is one constraint."""
    return ["output", *(f"branch{i}" for i in range(2, depth))]


def _task(
    method: str, net: str, seed: int, feedback: str = "symmetric"
) -> tuple[Network, datasets.Data]:
    """Network and data; equilibrium propagation has a bounded output, mse and weights that let it
    settle.
    """
    bounded = (
        {"output": "tanh", "loss": "mse", "gain": 0.4}
        if WAYS[method].method == "equilibrium_propagation"
        else {}
    )
    found = network(net, seed, feedback, **bounded)
    return found, _data("mnist_5k" if residual(net) else "digits", 0 if residual(net) else seed)


def _infer(method: str, net: str, **more: Any) -> Callable[..., Any]:
    return partial(rivals.METHODS[WAYS[method].method], **{**(_options(method, net) or {}), **more})


def _start(cell: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, float]:
    method, name = cell["method"], cell["net"]
    net, data = _task(method, name, cell["seed"])
    X, Y = data.X[: own["batch"]], data.Y[: own["batch"]]
    many = {} if residual(name) or WAYS[method].method in SWEEPS else {"steps": own["steps"]}
    found = _infer(method, name, **many)(
        net, X, Y
    )  # first: what finds no rest is refused later only after minutes
    exact = (
        rivals.equilibrium_adjoint
        if WAYS[method].method == "equilibrium_propagation"
        else reference.backprop
    )
    ref = exact(net, X, Y)
    layers = _layers(net, found.grad_w, ref.grad_w)
    numbers = {"cosine": _whole(net, found.grad_w, ref.grad_w), "lowest": min(layers)}
    numbers |= {f"layer{i}": value for i, value in enumerate(layers, 1)}
    if method != "backprop":
        numbers |= {
            "phases": float(found.phases),
            "states": float(found.states),
            "taken": float(found.steps),
        }
    if not residual(name) and WAYS[method].method not in SWEEPS:
        numbers["steps"] = _steps(partial(_infer(method, name, steps=MOST), net, X, Y), ref)
    return numbers


def _steps(infer: Callable[..., Any], ref: reference.Adjoint) -> float:
    """Steps until lam of every population is within `NEAR` of the adjoint, NaN if it never is."""
    sizes = {n: np.linalg.norm(lam) for n, lam in ref.lam.items()}
    reached = [np.nan]

    def watch(number: int, credit: Mapping[str, Any]) -> bool:
        error = max(float(np.linalg.norm(lam - ref.lam[n]) / sizes[n]) for n, lam in credit.items())
        if error <= NEAR:
            reached[0] = float(number)
        return not NEAR < error < 1e6  # reached, or lost

    try:
        with np.errstate(all="ignore"):
            infer(watch=watch)
    except DivergenceError:
        pass
    return reached[0]


def _train(cell: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, float]:
    from sklearn.model_selection import train_test_split

    method, name = cell["method"], cell["net"]
    net, data = _task(method, name, cell["seed"], cell["feedback"])
    X, Y, held, numbers = data.X, data.Y, None, {}
    if not residual(name):
        X, held_X, Y, held_Y = train_test_split(
            X, Y, test_size=HELD_OUT, stratify=Y, random_state=cell["seed"]
        )
        held = held_X, held_Y
    looks: list[float] = []

    def visit(update: int, at: Network, found: Any) -> None:
        if update % LOOK == 0 and residual(name) and method != "backprop":
            looks.append(_whole(at, found.grad_w, reference.backprop(at, found.X, found.Y).grad_w))

    single, steps = {"precision": "float32"}, {"steps": own["training_steps"]}
    more = {} if WAYS[method].method in SWEEPS else single if residual(name) else steps
    with np.errstate(all="ignore"):
        learnt = rivals.train(
            net,
            X,
            Y,
            _infer(method, name, **more),
            batch=own["batch"],
            rate=cell["rate"],
            seed=cell["seed"],
            epochs=own["residual_epochs" if residual(name) else "epochs"],
            optimiser="adam" if residual(name) else "sgd",
            visit=visit,
        )
    if held is not None:
        numbers["validation"] = _accuracy(method, learnt, *held)
    if looks:
        numbers |= {"cosine": float(np.mean(looks)), "lowest": float(np.min(looks))}
    return {**numbers, "test": _accuracy(method, learnt, data.X_test, data.Y_test)}


def _accuracy(method: str, net: Network, X: Any, Y: Any) -> float:
    """Of the forward pass; equilibrium propagation answers by its free equilibrium."""
    if WAYS[method].method == "equilibrium_propagation":
        outputs = rivals.equilibrium_propagation(net, X, Y, nudged_steps=1).x
    else:
        outputs = reference.forward(net, X)
    return float((outputs["output"].argmax(axis=1) == Y).mean())


def _layers(net: Network, own: Mapping[str, Any], ref: Mapping[str, Any]) -> list[float]:
    """Cosine of the gradient of every projection that learns, in the order of the layers."""
    return [cosine(synapses(own[name]), synapses(ref[name])) for name in plastic(net, net.weights)]


def _whole(net: Network, own: Mapping[str, Any], ref: Mapping[str, Any]) -> float:
    both = [
        np.concatenate([synapses(g[n]).ravel() for n in plastic(net, net.weights)])
        for g in (own, ref)
    ]
    return cosine(*both)


def chosen(data: xr.Dataset) -> xr.Dataset:
    """Of every training on digits that of the rate which did best on the held-out patterns, mean
    over the seeds.
    """
    trained = data.sel(part="train")
    if "validation" not in trained:
        return trained.max("rate")
    best = trained.validation.fillna(0.0).mean("seed").argmax("rate")
    by_choice = trained.isel(rate=best)
    return by_choice.where(trained.validation.notnull().any(("rate", "seed")), trained.max("rate"))


def table(data: xr.Dataset) -> Any:
    """Cosines at the start, steps to 1 % and accuracies, mean ± spread over the seeds; a section a
    network.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(
        "method",
        "dW by layer",
        "all of dW",
        "to 1 %",
        "phases",
        "state",
        "in training",
        "test (%)",
        "by B (%)",
        box=SIMPLE_HEAD,
        caption="cosines of dW at the start and in training; steps of λ to 1 % of the adjoint; "
        "settlings; numbers a unit; accuracy; the same with messages through a fixed random B",
    )
    trained = chosen(data) if "train" in data.part.values else None
    for net in (str(n) for n in data.net.values):
        shown.add_row(net, style="bold")
        for method in (m for m in WAYS if m in data.method.values):
            place = {"net": net, "method": method}
            start = None
            if "start" in data.part.values:
                start = data.sel({"part": "start", "feedback": "symmetric", **place}).max("rate")
            row = [
                *_of_start(start, net),
                *_of_training(None if trained is None else trained.sel(place)),
            ]
            if restless(data, net, method):
                row[0] = "does not settle"
            if any(entry != "-" for entry in row):
                shown.add_row(method, *row)
        shown.add_section()
    return shown


def restless(data: xr.Dataset, net: str, method: str) -> bool:
    """Whether a method was tried on a network at its start, and found no rest for any seed."""
    if "start" not in data.part.values:
        return False
    own = data.sel({"part": "start", "net": net, "method": method, "feedback": "symmetric"})
    tried = own.reason.astype(str) != ""
    return bool(tried.any() and not own.cosine.notnull().any())


def _of_start(start: xr.Dataset | None, net: str) -> list[str]:
    if start is None or not bool(start.cosine.notnull().any()):
        return ["-"] * 5
    if residual(net):
        layers = f"lowest {_mean(start.lowest)}"
    else:
        layers = " ".join(_mean(start[f"layer{i}"], 2) for i in range(1, 1 + net.count("-")))
    counts = [_mean(start[n], 0) if n in start else "-" for n in ("phases", "states")]
    return [
        layers,
        mean_and_spread(start.cosine, 3),
        _mean(start.steps, 0) if "steps" in start else "-",
        *counts,
    ]


def _of_training(end: xr.Dataset | None) -> list[str]:
    if end is None:
        return ["-"] * 3
    plain = end.sel(feedback="symmetric")
    looks = _mean(plain.cosine) if "cosine" in plain else "-"
    through = (
        end.test.sel(feedback="random") if "random" in end.feedback.values else end.test * np.nan
    )
    return [looks, mean_and_spread(plain.test, 1, 100), mean_and_spread(through, 1, 100)]


def _mean(values: Any, digits: int = 3) -> str:
    return mean_and_spread(values, digits).split(" ")[0]


def figure(data: xr.Dataset) -> Any:
    """Cosine of every layer's gradient at the start by depth, a panel a residual net; accuracy
    against cosine.
    """
    from matplotlib.figure import Figure

    from neurosim.plot import style

    nets = [str(n) for n in data.net.values]
    deep = [n for n in nets if residual(n) and f"layer{residual(n)}" in data] or nets
    trained = [n for n in deep if "test" in data and bool(data.test.sel(net=n).notnull().any())]
    deep = deep if "start" in data.part.values else []
    with style():
        figure = Figure(figsize=(3.1 * (len(deep) + len(trained)), 3.4), layout="constrained")
        panels = figure.subplots(1, len(deep) + len(trained), squeeze=False)[0]
        for ax, net in zip(panels, deep, strict=False):
            depth = residual(net) or net.count("-")
            _by_depth(ax, data.sel(part="start", net=net, feedback="symmetric").max("rate"), depth)
            ax.set_title(f"{net}, at its start")
            if lost := [m for m in WAYS if m in data.method.values and restless(data, net, m)]:
                ax.text(
                    0.03,
                    0.03,
                    f"no rest: {', '.join(lost)}",
                    transform=ax.transAxes,
                    fontsize="small",
                )
        for ax, net in zip(panels[len(deep) :], trained, strict=True):
            _by_cosine(ax, chosen(data).sel(net=net, feedback="symmetric"))
            ax.set_title(f"{net}, trained")
        handles, names = panels[0].get_legend_handles_labels()
        columns = 1 + 3 * len(panels) // 2  # as many as fit above the panels
        figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), columns))
    return figure


def _looks(method: str) -> dict[str, Any]:
    """Colour and marker of a method."""
    from neurosim.plot.drawing import PALETTE

    i = list(WAYS).index(method)
    return {"color": PALETTE[i % len(PALETTE)], "marker": "osD^vPX*<>h"[i % 11]}


def _by_depth(ax: Any, start: xr.Dataset, depth: int) -> None:
    """Mean over the seeds, a line a method; the band is the spread."""
    from neurosim.plot.drawing import PALETTE

    layers = np.arange(1, depth + 1)
    for method in (m for m in WAYS if m in start.method.values and m != "backprop"):
        own = np.stack(
            [start[f"layer{i}"].sel({"method": method}).values for i in layers]
        )  # (layers, seeds)
        if np.isfinite(own).any():
            middle, spread = np.nanmean(own, axis=1), np.nanstd(own, axis=1)
            dash = "--" if list(WAYS).index(method) >= len(PALETTE) else "-"
            ax.plot(
                layers,
                middle,
                dash,
                markevery=max(depth // 8, 1),
                ms=4,
                label=method,
                **_looks(method),
            )
            ax.fill_between(
                layers,
                middle - spread,
                middle + spread,
                color=_looks(method)["color"],
                alpha=0.15,
                lw=0,
            )
    ax.set(xlabel="layer of weights", ylabel="cosine of dW to BP (1)", ylim=(-0.25, 1.05))


def _by_cosine(ax: Any, trained: xr.Dataset) -> None:
    """Test accuracy against the mean cosine of the whole gradient over training, a point a seed."""
    for method in (m for m in WAYS if m in trained.method.values):
        own = trained.sel({"method": method})
        exact = method == "backprop" or "cosine" not in own
        at = np.ones(own.test.size) if exact else own.cosine.values
        if np.isfinite(own.test.values).any():
            ax.plot(at, 100 * own.test.values, ls="", ms=4, **_looks(method))
    ax.set(
        xlabel="cosine of dW to BP in training (1)", ylabel="test accuracy (%)", xlim=(-0.05, 1.05)
    )
