"""Rivals in the same frame: gradients at the start, steps to the adjoint, and training.

A cell is one network before training ("start": the cosine of every layer's gradient to
backpropagation's) or one training ("train": accuracy on test patterns). All methods infer with
equally many steps, except those of `OWN_STEPS`. On digits the rate of SGD is the one of `rates`
with the best mean accuracy over the seeds on a fifth of the training part, held out; the residual
network has Adam's 1e-3 throughout. The options of `WAYS` were chosen by their cosines at the start
and in 200 updates on training patterns, with seeds 10 and up.
`neurosim.experiments.studies.rivals_display` draws table and figure. Start at `RivalsStudy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.data import datasets
from neurosim.errors import DivergenceError, unknown
from neurosim.experiments.studies import rivals_display
from neurosim.experiments.studies.rivals_display import START, TRAIN, residual
from neurosim.experiments.studies.shared import BACKPROP, HELD_OUT, check_data
from neurosim.experiments.studies.shared import FLOWS as ALL_FLOWS
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Numbers,
    Positive,
    Study,
    StudySettings,
    one_of,
)
from neurosim.model import feedback, methods
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import synapses
from neurosim.reference import rivals
from neurosim.reference.functions import plastic
from neurosim.results.metrics import cosine

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Options = Mapping[str, Any]

PARTS = (START, TRAIN)
EQUILIBRIUM = "equilibrium_propagation"
ADAM_RATE = 0.001  # of residual networks
NEAR = 0.01  # relative error of lam at which `steps` stops counting
LOST = 1e6  # relative error of lam at which counting is given up
MOST = 3000  # steps that are counted at most
LOOK = 31  # updates between two readings of the cosine during training
DT = 1e-3  # s
QUICK = {
    "seeds": 1,
    "epochs": 1,
    "rates": [0.3],
    "residual_epochs": 1,
    "nets": ["64-32-10", "64-32-32-32-10", "residual 8"],
    "trained": ["64-32-10", "residual 8"],
}


@plain_dataclass(frozen=True)
class Way:
    """A method with its options on layers and on residual networks; None where it is not tried.

    Attributes
    ----------
    method : str
        A name of `rivals.METHODS`.
    layers, residual : dict or None
        Options. On residual networks, methods that are not in `OWN_STEPS` also have `steps`, two
        per layer of weights.
    blocks : bool
        Whether a block of a residual network is one constraint, as in the papers of these methods:
        branches and output are functions.
    """

    method: str
    layers: Options | None = field(default_factory=dict)
    residual: Options | None = field(default_factory=dict)
    blocks: bool = False


def _flow(
    make: Callable[..., Flow], down: float, up: float, method: str = methods.EULER
) -> Options:
    """Return options of `relax`: steps of dt = `down` tau_x = `up` tau_lam."""
    return {"flow": make(tau_x=DT / down, tau_lam=DT / up), "dt": DT, "method": method}


ADJOINT, ROTATED, DAMPED = (ALL_FLOWS[name] for name in ("adjoint", "rotated(75°)", "damped"))
AUGMENTED = _flow(ALL_FLOWS["augmented(2)"], 0.1, 0.2)
FAST = _flow(partial(Flow.augmented, 0.03), 0.2, 3.3, methods.SEMI_IMPLICIT)
NUDGED: Options = {"steps": 100, "nudged_steps": 60}
SLOW: Options = {"rate": 0.25}
WAYS: dict[str, Way] = {
    BACKPROP: Way("backprop"),
    "adjoint": Way("relax", _flow(ADJOINT, 1, 1), _flow(ADJOINT, 1, 1)),
    "rotated(75°)": Way("relax", _flow(ROTATED, 0.4, 0.4), _flow(ROTATED, 0.6, 0.6)),
    "damped": Way("relax", _flow(DAMPED, 0.2, 0.2), _flow(DAMPED, 0.4, 0.4)),
    "augmented(2)": Way("relax", AUGMENTED, AUGMENTED, blocks=True),
    "fast multipliers": Way("relax", None, FAST, blocks=True),
    "PC-ALM": Way("pc_alm", {}, SLOW, blocks=True),
    "growing penalty": Way("growing_penalty", {}, SLOW, blocks=True),
    "predictive coding": Way("predictive_coding", {}, SLOW, blocks=True),
    "dual propagation": Way("dual_propagation", {}, {}),
    "equilibrium propagation": Way(EQUILIBRIUM, NUDGED, NUDGED),
}
OWN_STEPS = ("dual_propagation", EQUILIBRIUM, "backprop")  # methods with their own number of steps


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RivalsSettings(StudySettings):
    """Settings of the study.

    The networks `nets` are compared at their start; the networks `trained` are trained. `steps` (at
    the start) and `training_steps` are those of inference on layers; `rates` are those of SGD on
    digits. Residual networks learn `images`, the name of a data set of 784 inputs and ten classes;
    `activation` is that of their branches.
    """

    seeds: Count
    parts: Annotated[list[str], one_of(PARTS)]
    nets: list[str]
    trained: list[str]
    methods: Annotated[list[str], one_of(WAYS)]
    rates: list[Positive]
    batch: Count
    steps: Count
    training_steps: Count
    epochs: Count
    residual_epochs: Count
    images: str = "mnist_5k"
    activation: str = "tanh"


class RivalsStudy(Study[RivalsSettings]):
    """Cosines and accuracies by network and method."""

    question = (
        "How near do other local rules come to backpropagation's gradient, in how many steps, "
        "and what do they need?"
    )
    settings_type = RivalsSettings
    varied = ("parts", "methods", "nets", "trained", "rates")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every network at its start, and every training.

        Raises
        ------
        ModelError
            An unknown network.
        """
        own = self.settings
        cells: list[Cell] = []
        for part in own.parts:
            for net in own.nets if part == START else own.trained:
                cells += self._cells_of(part, net)
        return cells

    def _cells_of(self, part: str, net: str) -> list[Cell]:
        own = self.settings
        network(net, 0)  # refuses an unknown name
        rates = [ADAM_RATE]
        if part == TRAIN and not residual(net):
            rates = own.rates
        # the first of `trained`, if it has layers, is also trained through fixed random feedback
        both = part == TRAIN and not residual(net) and net == own.trained[0]
        cells: list[Cell] = []
        for way in own.methods:
            if _options(way, net) is None:
                continue
            backs = [feedback.SYMMETRIC]
            if both and way != BACKPROP:  # which is through Wᵀ by definition
                backs = [feedback.SYMMETRIC, feedback.RANDOM]
            labels = {"part": part, "net": net, "method": way}
            for back, rate, seed in product(backs, rates, range(own.seeds)):
                cells.append({**labels, "feedback": back, "rate": rate, "seed": seed})
        return cells

    def check(self) -> None:
        """Build every network, and load its data."""
        super().check()
        own = self.settings
        names: list[str] = []
        for part in own.parts:
            names += own.nets if part == START else own.trained
        for net in dict.fromkeys(names):
            for way in own.methods:
                if _options(way, net) is not None:
                    found, data = self._problem(way, net, 0)
                    check_data(found, data.X, data.Y)

    def measure(self, cell: Cell) -> Numbers:
        """Return the cosines of a network's start, or the accuracies of a training.

        Returns
        -------
        dict
            At the start: `cosine` of the whole gradient, ``layer1``, ... of each layer, and
            `lowest` of these; `phases`, `states` (numbers per unit) and steps `taken` by inference;
            and the `steps` until lam of every population is within 1 % of the adjoint. In training:
            `validation` (on digits) and `test` accuracy; on residual networks `cosine` of the whole
            gradient, mean over readings on the way, and `lowest` of these.
        """
        if cell["part"] == START:
            return self._start(cell["method"], cell["net"], cell["seed"])
        return self._train(cell)

    def _start(self, way: str, name: str, seed: int) -> Numbers:
        net, data = self._problem(way, name, seed)
        batch = slice(self.settings.batch)
        X = data.X[batch]
        Y = data.Y[batch]
        method = WAYS[way].method
        on_layers = not residual(name) and method not in OWN_STEPS
        more = {"steps": self.settings.steps} if on_layers else {}
        # inference first: it fails at once if it does not settle, its adjoint only after minutes
        found = _infer(way, name, **more)(net, X, Y)
        if method == EQUILIBRIUM:
            ref = rivals.equilibrium_adjoint(net, X, Y)
        else:
            ref = reference.backprop(net, X, Y)
        layers = _layer_cosines(net, found.grad_w, ref.grad_w)
        numbers = {"cosine": _whole_cosine(net, found.grad_w, ref.grad_w), "lowest": min(layers)}
        for i, value in enumerate(layers, 1):
            numbers[f"layer{i}"] = value
        if way != BACKPROP:
            numbers["phases"] = float(found.phases)
            numbers["states"] = float(found.states)
            numbers["taken"] = float(found.steps)
        if on_layers:
            infer = partial(_infer(way, name, steps=MOST), net, X, Y)
            numbers["steps"] = _steps_to_adjoint(infer, ref)
        return numbers

    def _train(self, cell: Cell) -> Numbers:
        own = self.settings
        way = cell["method"]
        name = cell["net"]
        net, data = self._problem(way, name, cell["seed"], cell["feedback"])
        X = data.X
        Y = data.Y
        held = None
        if not residual(name):
            X, Y, *held = _held_out(X, Y, cell["seed"])
        looks: list[float] = []

        def visit(update: int, at: Network, found: Any) -> None:
            if update % LOOK == 0 and residual(name) and way != BACKPROP:
                exact = reference.backprop(at, found.X, found.Y)
                looks.append(_whole_cosine(at, found.grad_w, exact.grad_w))

        with np.errstate(all="ignore"):
            learnt = rivals.train(
                net,
                X,
                Y,
                _infer(way, name, **self._inference_options(way, name)),
                batch=own.batch,
                rate=cell["rate"],
                seed=cell["seed"],
                epochs=own.residual_epochs if residual(name) else own.epochs,
                optimiser="adam" if residual(name) else "sgd",
                visit=visit,
            )
        numbers = {}
        if held is not None:
            numbers["validation"] = _accuracy(way, learnt, *held)
        if looks:
            numbers |= {"cosine": float(np.mean(looks)), "lowest": float(np.min(looks))}
        numbers["test"] = _accuracy(way, learnt, data.X_test, data.Y_test)
        return numbers

    def _problem(
        self, way: str, net: str, seed: int, back: str = feedback.SYMMETRIC
    ) -> tuple[Network, datasets.Data]:
        """Return network and data of a cell.

        For equilibrium propagation the output is bounded, the loss is mse, and the weights are
        small enough for it to settle.
        """
        more: dict[str, Any] = {}
        if residual(net):
            more = {"activation": self.settings.activation}
        if WAYS[way].method == EQUILIBRIUM:
            more |= {"output": "tanh", "loss": "mse", "gain": 0.4}
        found = network(net, seed, back, **more)
        if residual(net):
            return found, _data(self.settings.images, 0)
        return found, _data("digits", seed)

    def _inference_options(self, way: str, name: str) -> dict[str, Any]:
        """Return the options of inference during training, beside those of the method."""
        if WAYS[way].method in OWN_STEPS:
            return {}
        if residual(name):
            return {"precision": "float32"}
        return {"steps": self.settings.training_steps}

    def table(self, data: xr.Dataset) -> Any:
        """Return cosines, steps and accuracies, a section per network."""
        return rivals_display.table(data, list(WAYS))

    def figure(self, data: xr.Dataset) -> Any:
        """Draw cosines by depth, a panel per residual network, and accuracy against cosine."""
        return rivals_display.figure(data, list(WAYS))


def network(net: str, seed: int, back: str = feedback.SYMMETRIC, **more: Any) -> Network:
    """Return the network of a name, ``"64-32-10"`` or ``"residual 32"``.

    Raises
    ------
    ModelError
        A name of another form.
    """
    try:
        if residual(net):
            return Network.residual([784, 32, 10], residual(net), seed=seed, **more)
        sizes = [int(size) for size in net.split("-")]
        return Network.mlp(sizes, seed=seed, feedback=back, **more)
    except ValueError as error:
        allowed = ("64-32-10 or other sizes", "residual 32 or another depth")
        raise unknown("study.nets", net, allowed) from error


@cache
def _data(name: str, seed: int) -> datasets.Data:
    """Return a data set with its published test patterns, or with a fifth of all for test."""
    return datasets.load(name, seed=seed, flat=True)


def _options(way: str, net: str) -> Options | None:
    """Return the options of a method on a network; None if it is not tried there."""
    chosen_way = WAYS[way]
    if not residual(net):
        return chosen_way.layers
    if chosen_way.residual is None or chosen_way.method in OWN_STEPS:
        return chosen_way.residual
    options: dict[str, Any] = {"steps": 2 * residual(net)}
    if chosen_way.blocks:
        options["functions"] = _functions(residual(net))
    return {**options, **chosen_way.residual}


def _functions(depth: int) -> list[str]:
    """Return the populations that are functions if a block is one constraint."""
    return ["output", *(f"branch{i}" for i in range(2, depth))]


def _infer(way: str, net: str, **more: Any) -> Callable[..., Any]:
    """Return the inference of a method with its options on a network."""
    options = {**(_options(way, net) or {}), **more}
    return partial(rivals.METHODS[WAYS[way].method], **options)


def _steps_to_adjoint(infer: Callable[..., Any], ref: reference.Adjoint) -> float:
    """Return the steps until lam of every population is within `NEAR`; NaN if it never is."""
    sizes = {name: np.linalg.norm(lam) for name, lam in ref.lam.items()}
    reached = [np.nan]

    def watch(number: int, credit: Mapping[str, Array]) -> bool:
        errors = []
        for name, lam in credit.items():
            distance = np.linalg.norm(lam - ref.lam[name])
            errors.append(float(distance / sizes[name]))
        error = max(errors)
        if error <= NEAR:
            reached[0] = float(number)
        return not NEAR < error < LOST

    try:
        with np.errstate(all="ignore"):
            infer(watch=watch)
    except DivergenceError:
        pass
    return reached[0]


def _held_out(X: Array, Y: Array, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return X and Y to learn, and X and Y that are held out."""
    from sklearn.model_selection import train_test_split

    X, held_X, Y, held_Y = train_test_split(X, Y, test_size=HELD_OUT, stratify=Y, random_state=seed)
    return X, Y, held_X, held_Y


def _accuracy(way: str, net: Network, X: Any, Y: Any) -> float:
    """Return the accuracy of the forward pass, or of the free equilibrium of that method."""
    if WAYS[way].method == EQUILIBRIUM:
        outputs = rivals.equilibrium_propagation(net, X, Y, nudged_steps=1).x
    else:
        outputs = reference.forward(net, X)
    return float((outputs["output"].argmax(axis=1) == Y).mean())


def _layer_cosines(net: Network, own: Mapping[str, Any], ref: Mapping[str, Any]) -> list[float]:
    """Return the cosine of the gradient of every projection that learns, in the layers' order."""
    cosines = []
    for name in plastic(net, net.weights):
        cosines.append(cosine(synapses(own[name]), synapses(ref[name])))
    return cosines


def _whole_cosine(net: Network, own: Mapping[str, Any], ref: Mapping[str, Any]) -> float:
    """Return the cosine of the gradient of all projections that learn, as one vector."""
    names = list(plastic(net, net.weights))
    ours = np.concatenate([synapses(own[name]).ravel() for name in names])
    truth = np.concatenate([synapses(ref[name]).ravel() for name in names])
    return cosine(ours, truth)
