"""Local Propagation's tables: every constraint function over folds and grid, beside what was
published.

A cell (model, constraint, fold, grid point) is one training. Table and figure show, for every fold,
the grid point that did best on the patterns held out of its training part. If none are held out,
the grid point is the one with the best test accuracy, which is then optimistic. Start at
`LocalPropagationStudy`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.data.datasets import STANDARDISED
from neurosim.errors import ModelError, number, out_of_range
from neurosim.experiments import modelfile
from neurosim.experiments.studies.shared import (
    BACKPROP,
    dots_note,
    grid_of_panels,
    mean_and_spread,
    new_table,
)
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    NotNegative,
    Numbers,
    Study,
    StudySettings,
    Whole,
    filled,
    one_of,
)
from neurosim.model.network import Network
from neurosim.model.schedules import LocalPropagation
from neurosim.results.metrics import accuracy

if TYPE_CHECKING:
    import xarray as xr

    from neurosim.estimators import SaddleClassifier

Array = np.ndarray
Patterns = tuple[Array, Array]  # X and Y

KINDS = ("abs", "abs_eps", "lin", "lin_eps")
WITH_TUBE = "_eps"  # ending of the names of constraint functions with epsilon
FOLDS = 4  # per partition of the patterns
GRID = ("rho", "rate", "ratio", "epsilon", "l2", "activity_l1")
QUICK = {"models": ["lp/wine-1"], "constraints": [BACKPROP, "abs_eps"], "folds": 2, "epochs": 100}


@plain_dataclass(frozen=True)
class Published:
    """Test accuracy, %, of arXiv 2002.07720.

    Attributes
    ----------
    backprop, best : str
        Mean and spread over folds, of backpropagation and of the best constraint function.
    each : {constraint function: mean}
    """

    backprop: str
    best: str
    each: Mapping[str, float]


def _published(backprop: str, best: str, *each: float) -> Published:
    return Published(backprop, best, dict(zip(KINDS, each, strict=True)))


PUBLISHED = {
    "lp/ionosphere-1": _published("91.48 ± 0.57", "91.48 ± 2.95", 91.48, 91.19, 90.34, 91.19),
    "lp/ionosphere-3": _published("92.61 ± 0.57", "94.60 ± 1.86", 94.60, 94.32, 92.61, 91.19),
    "lp/letter-1": _published("94.20 ± 0.31", "94.94 ± 0.05", 94.94, 94.85, 93.71, 94.00),
    "lp/letter-3": _published("92.27 ± 0.19", "90.42 ± 0.78", 87.60, 87.54, 90.42, 90.39),
    "lp/pima-1": _published("76.17 ± 1.62", "77.21 ± 2.79", 75.39, 77.21, 75.00, 75.78),
    "lp/pima-3": _published("76.56 ± 2.42", "75.91 ± 1.54", 75.52, 75.91, 74.48, 75.91),
    "lp/wine-1": _published("97.16 ± 1.88", "98.86 ± 1.14", 97.73, 98.86, 98.30, 98.30),
    "lp/wine-3": _published("97.73 ± 2.78", "98.86 ± 1.97", 97.73, 97.73, 98.86, 97.73),
    "lp/mnist-1": Published("94.8", "95.0", {"abs_eps": 95.0, "lin_eps": 92.5}),
    "lp/mnist-5": Published("93.3", "92.9", {"abs_eps": 92.9, "lin_eps": 91.3}),
    "lp/mnist-10": Published("91.0", "91.9", {"abs_eps": 91.9, "lin_eps": 86.6}),
}


def _share(value: float) -> float:
    return number("study.held_out", value, least=0, below=1, try_="0.25")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LocalPropagationSettings(StudySettings):
    """Settings of the study.

    `held_out` is a share of the training part; with 0 the fold's test patterns choose weights and
    grid point. With `epochs` = 0 a model has those of its file. `looks` is how often the weights of
    a training are scored, so that the best are kept. With `mean_loss` the loss is the mean over the
    patterns, not their sum.
    """

    models: Annotated[list[str], one_of(PUBLISHED)]
    constraints: Annotated[list[str], one_of((*KINDS, BACKPROP))]
    folds: Count
    held_out: Annotated[float, AfterValidator(_share)]
    epochs: Whole
    looks: Count
    mean_loss: bool
    grid: Annotated[dict[str, Annotated[list[NotNegative], filled]], one_of(GRID)]

    def __post_init__(self) -> None:
        if BACKPROP in self.constraints and "rate" not in self.grid:
            raise ModelError(
                f"study.grid.rate is missing beside constraint {BACKPROP!r}, which reads it; "
                "allowed: a list of rates; try [0.001]"
            )
        for key in ("rate", "ratio"):
            for value in self.grid.get(key, ()):
                number(f"study.grid.{key}", value, above=0)


class LocalPropagationStudy(Study[LocalPropagationSettings]):
    """Test accuracy by model and constraint function."""

    question = (
        "Does Local Propagation reach the accuracies of its paper, with every constraint function, "
        "beside backpropagation?"
    )
    settings_type = LocalPropagationSettings
    varied = ("models", "constraints", "folds", "grid")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every model, constraint function and grid point, with every fold."""
        own = self.settings
        cells: list[Cell] = []
        for model in own.models:
            for kind in own.constraints:
                for point in _points(kind, own.grid):
                    labels = {"model": model, "constraint": kind}
                    cells += [{**labels, "fold": fold, **point} for fold in range(own.folds)]
        return cells

    def check(self) -> None:
        """Load every model, its data and its schedule, and build its estimators."""
        super().check()
        own = self.settings
        for model in own.models:
            schedule = self._schedule(model)
            data = modelfile.load(model, ["data.test=0", "data.standardise=false"]).data()
            train, test = split(data.Y, 0)
            held = None if own.held_out else (data.X[test], data.Y[test])
            made = estimator(model, "lin", {}, schedule, 0, own.held_out)
            made.prepared(data.X[train], data.Y[train], held)

    def measure(self, cell: Cell) -> Numbers:
        """Return the accuracies of one training.

        Returns
        -------
        dict
            `validation` and `validation_loss` on held-out patterns, which choose the grid point;
            `test` on the fold's test patterns.
        """
        model = cell["model"]
        kind = cell["constraint"]
        held_out = self.settings.held_out
        data = modelfile.load(model, ["data.test=0", "data.standardise=false"]).data()
        train, test = split(data.Y, cell["fold"])
        learnt = data.X[train], data.Y[train]
        tested = data.X[test], data.Y[test]
        held = None if held_out else tested
        schedule = self._schedule(model)
        if kind == BACKPROP:
            start = estimator(model, "lin", {}, schedule, cell["fold"], held_out)
            return _backprop(start, cell["rate"], schedule, learnt, held, tested)
        point = {key: cell[key] for key in GRID if key in cell}
        if not kind.endswith(WITH_TUBE):
            point.pop("epsilon", None)
        made = estimator(model, kind, point, schedule, cell["fold"], held_out)
        made.fit(*learnt, held)
        rows = made.log_.history
        row = rows.sel(time=made.log_.run.settings["best_time"], method="nearest")
        return {
            "validation": float(row.validation_accuracy),
            "validation_loss": float(row.validation_loss),
            "test": float(made.score(*tested)),
        }

    def _schedule(self, model: str) -> LocalPropagation:
        """Return the model's schedule, with the settings of the study."""
        schedule = modelfile.load(model).schedule()
        if not isinstance(schedule, LocalPropagation):
            raise ModelError(
                f"model {model!r} trains by {type(schedule).__name__}; "
                "allowed in this study: local_propagation"
            )
        own = self.settings
        epochs = own.epochs or schedule.epochs
        return replace(schedule, epochs=epochs, reports=own.looks, mean=own.mean_loss)

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracies (%), mean ± spread over folds, beside the published ones.

        The heading says whether held-out patterns chose weights and grid point, or the test ones.
        """
        test = chosen(data)
        chosen_by = "held-out patterns" if self.settings.held_out else "the test patterns"
        shown = new_table("model", "G", f"chosen by {chosen_by}", "published", "folds")
        for model in test.model.values:
            published = PUBLISHED[str(model)]
            own = test.sel(model=model)
            for kind in own.constraint.values:
                known = f"{published.each.get(str(kind), '')}"
                if kind == BACKPROP:
                    known = published.backprop
                folds = own.sel(constraint=kind)
                here = mean_and_spread(folds, 2, 100)
                count = int(folds.count())
                shown.add_row(str(model), str(kind), here, known, f"{count}")
            best = _best(own)
            if best is not None:
                here = mean_and_spread(best, 2, 100)
                shown.add_row(str(model), "best by test accuracy", here, published.best, "")
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw every constraint function's test accuracy, a dot per fold, a panel per model."""
        from neurosim.plot import style

        test = chosen(data) * 100
        models = [str(model) for model in test.model.values]
        with style():
            figure, panels = grid_of_panels(len(models), 3, size=(2.6, 2.3), margin=(0.6, 0.0))
            for ax, model in zip(panels.flat, models, strict=False):
                own = test.sel(model=model).reindex(constraint=[BACKPROP, *KINDS])
                _draw_folds(ax, own, PUBLISHED[model])
                ax.set_title(model)
            for ax in panels[:, 0]:
                ax.set_ylabel("test accuracy (%)")
            handles, names = panels.flat[0].get_legend_handles_labels()
            unique = dict(zip(names, handles, strict=True))
            look = {"loc": "outside upper center", "ncols": 2, "title": dots_note(data)}
            figure.legend(list(unique.values()), list(unique), **look)
        return figure


def _points(kind: str, grid: Mapping[str, Sequence[float]]) -> Iterator[dict[str, float]]:
    """Yield the points of the grid, with 0 for keys that the constraint function does not use.

    Backpropagation uses the rate only.
    """
    from sklearn.model_selection import ParameterGrid

    own: dict[str, Sequence[float]] = dict(grid)
    if "epsilon" in own:
        own["epsilon"] = [0.0]
        if kind.endswith(WITH_TUBE):
            own["epsilon"] = [epsilon for epsilon in grid["epsilon"] if epsilon > 0]
            if not own["epsilon"]:
                allowed = f"at least one > 0, for constraint {kind!r}"
                raise out_of_range("study.grid.epsilon", list(grid["epsilon"]), allowed, "[0.01]")
    if kind == BACKPROP:
        own = {key: values if key == "rate" else [0.0] for key, values in own.items()}
    for point in ParameterGrid(own):
        yield {key: float(point[key]) for key in grid}


def estimator(
    model: str,
    kind: str,
    point: Mapping[str, float],
    schedule: LocalPropagation,
    seed: int,
    held_out: float = 0.25,
) -> SaddleClassifier:
    """Return a model file as scikit-learn's estimator.

    Parameters
    ----------
    model : str
        Name of the model file.
    kind : str
        Constraint function.
    point : {key: value}
        Point of the grid.
    schedule : LocalPropagation
    seed : int
    held_out : float
        Share of the patterns by which the weights are chosen.
    """
    from neurosim.estimators import SaddleClassifier

    spec = modelfile.load(model)
    network = spec.tables.network.given()
    flow = spec.tables.flow.given()
    sizes = network.pop("sizes")
    for key in ("output", "seed", "epsilon"):
        network.pop(key, None)
    made = SaddleClassifier(
        tuple(sizes[1:-1]),
        **network,
        flow=flow.pop("preset"),
        **flow,
        **spec.tables.simulation.given("precision", "backend"),
        schedule=schedule,
        validation=held_out,
        random_state=seed,
        standardise=spec.tables.data.name in STANDARDISED,
    )
    made.set_params(constraint=kind, **point)
    return made


def split(classes: Array, fold: int) -> tuple[Array, Array]:
    """Return the rows to train on and to test on in a fold.

    Every `FOLDS` folds are a partition of the patterns; further folds are of further partitions.
    """
    from sklearn.model_selection import StratifiedKFold

    partition, fold = divmod(fold, FOLDS)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=partition)
    train, test = list(folds.split(classes, classes))[fold]
    return train, test


def _backprop(
    start: SaddleClassifier,
    rate: float,
    schedule: LocalPropagation,
    learnt: Patterns,
    held: Patterns | None,
    tested: Patterns,
) -> Numbers:
    """Return the accuracies of the same network, trained by backpropagation with Adam.

    Split and initial weights are the same too; every step is on all patterns.
    """
    net, (X, X_held, Y, Y_held) = start.prepared(*learnt, held)
    assert Y_held is not None  # a share is held out

    def score(trained: Network) -> tuple[float, float]:
        outputs = reference.forward(trained, X_held)
        loss = reference.loss(trained, outputs, Y_held)
        return accuracy(outputs["output"], Y_held), -loss

    every = max(schedule.epochs // schedule.reports, 1)
    net = reference.adam(net, X, Y, epochs=schedule.epochs, rate=rate, score=score, every=every)
    validation, negative_loss = score(net)
    X_test = (tested[0] - start.mean_) / start.scale_
    outputs = reference.forward(net, X_test)["output"]
    return {
        "validation": validation,
        "validation_loss": -negative_loss,
        "test": accuracy(outputs, tested[1]),
    }


def chosen(data: xr.Dataset) -> xr.DataArray:
    """Return the test accuracy of every model, constraint function and fold.

    The grid point is the one that did best on held-out patterns; among equals, the one with the
    lowest loss there.
    """
    grid = [dim for dim in data.dims if dim in GRID]
    flat = data[["validation", "validation_loss", "test"]].stack(point=grid)
    best = flat.where(flat.validation == flat.validation.max("point"))
    lowest = best.validation_loss == best.validation_loss.min("point")
    found: xr.DataArray = best.test.where(lowest).max("point")
    return found


def _best(own: xr.DataArray) -> xr.DataArray | None:
    """Return the folds of the best constraint function of a model; None if only one was tried.

    It is chosen by its mean test accuracy, as the published one was.
    """
    kinds = [kind for kind in own.constraint.values if kind != BACKPROP]
    tried = own.sel(constraint=kinds).dropna("constraint", how="all")
    if tried.constraint.size < 2:
        return None
    best: xr.DataArray = tried.sel(constraint=tried.mean("fold").idxmax("constraint"))
    return best


def _draw_folds(ax: Any, own: xr.DataArray, published: Published) -> None:
    """Draw a dot per fold of every constraint function, and a dash at the published mean."""
    from neurosim.plot.page import PALETTE

    names = [BACKPROP, *KINDS]
    known = [float(published.backprop.split()[0])]
    known += [published.each.get(kind, np.nan) for kind in KINDS]
    dots = {"color": PALETTE[0], "ms": 3.5, "alpha": 0.7, "label": "a fold, here"}
    dash = {"color": PALETTE[1], "ms": 16, "mew": 2, "label": "published mean"}
    accuracies = own.transpose("constraint", "fold").values
    for i, (folds, mean) in enumerate(zip(accuracies, known, strict=True)):
        ax.plot([i] * len(folds), folds, "o", **dots)
        ax.plot(i, mean, "_", **dash)
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
    ax.set_xlim(-0.6, len(names) - 0.4)
