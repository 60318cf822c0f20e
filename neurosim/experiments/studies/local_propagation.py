"""Local Propagation's tables: every constraint function over folds and grid, beside the published
figures.

A cell (model, constraint, fold, grid point) is one training. Of every fold the grid point is taken
that did best on the patterns held out of its training part; where none are, on the fold's test
patterns, which then measure how well the best can do that was tried. Start at `measure`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neurosim import reference
from neurosim.data.datasets import STANDARDISED
from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.experiments import modelfile
from neurosim.experiments.studies import mean_and_spread
from neurosim.model.schedules import LocalPropagation

if TYPE_CHECKING:
    import xarray as xr

    from neurosim.estimators import SaddleClassifier

QUESTION = "Does Local Propagation learn what its paper says, with every constraint function, beside backpropagation?"
VARIED = ("models", "constraints", "folds", "grid")
KINDS = ("abs", "abs_eps", "lin", "lin_eps")
BACKPROP = "backprop"
FOLDS = 4
GRID = ("rho", "rate", "ratio", "epsilon", "l2", "activity_l1")
QUICK = {"models": ["lp/wine-1"], "constraints": [BACKPROP, "abs_eps"], "folds": 2, "epochs": 100}


@dataclass(frozen=True)
class Published:
    """Test accuracy, %, of arXiv 2002.07720: mean and spread over folds, and the mean of each
    constraint function.
    """

    backprop: str
    best: str
    each: Mapping[str, float]


def _of(backprop: str, best: str, *each: float) -> Published:
    return Published(backprop, best, dict(zip(KINDS, each, strict=False)))


PUBLISHED = {
    "lp/ionosphere-1": _of("91.48 ± 0.57", "91.48 ± 2.95", 91.48, 91.19, 90.34, 91.19),
    "lp/ionosphere-3": _of("92.61 ± 0.57", "94.60 ± 1.86", 94.60, 94.32, 92.61, 91.19),
    "lp/letter-1": _of("94.20 ± 0.31", "94.94 ± 0.05", 94.94, 94.85, 93.71, 94.00),
    "lp/letter-3": _of("92.27 ± 0.19", "90.42 ± 0.78", 87.60, 87.54, 90.42, 90.39),
    "lp/pima-1": _of("76.17 ± 1.62", "77.21 ± 2.79", 75.39, 77.21, 75.00, 75.78),
    "lp/pima-3": _of("76.56 ± 2.42", "75.91 ± 1.54", 75.52, 75.91, 74.48, 75.91),
    "lp/wine-1": _of("97.16 ± 1.88", "98.86 ± 1.14", 97.73, 98.86, 98.30, 98.30),
    "lp/wine-3": _of("97.73 ± 2.78", "98.86 ± 1.97", 97.73, 97.73, 98.86, 97.73),
    "lp/mnist-1": Published("94.8", "95.0", {"abs_eps": 95.0, "lin_eps": 92.5}),
    "lp/mnist-5": Published("93.3", "92.9", {"abs_eps": 92.9, "lin_eps": 91.3}),
    "lp/mnist-10": Published("91.0", "91.9", {"abs_eps": 91.9, "lin_eps": 86.6}),
}


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every training of the tables.

    Raises
    ------
    ModelError
        An unknown model, constraint function or key of the grid, or values that are no numbers.
    """
    own = {**settings["study"], **(QUICK if quick else {})}
    _check(own)
    found: list[dict[str, Any]] = []
    for model in own["models"]:
        for kind in own["constraints"]:
            for point in _points(kind, own["grid"]):
                found += [
                    {"model": model, "constraint": kind, "fold": f, **point}
                    for f in range(own["folds"])
                ]
    return found


def _check(own: Mapping[str, Any]) -> None:
    for kind in own["constraints"]:
        if kind not in (*KINDS, BACKPROP):
            raise unknown("study.constraints", kind, (*KINDS, BACKPROP))
    for model in own["models"]:
        if model not in PUBLISHED:
            raise unknown("study.models", model, tuple(PUBLISHED))
    whole("study.folds", own["folds"], 1)
    whole("study.looks", own["looks"], 1)
    if not isinstance(own["held_out"], int | float) or not 0 <= own["held_out"] < 1:
        raise out_of_range("study.held_out", own["held_out"], "a share in [0, 1)", "0.25")
    for key, values in own["grid"].items():
        if key not in GRID:
            raise unknown("study.grid key", key, GRID)
        if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
            raise out_of_range(f"study.grid.{key}", values, "a list of numbers", "[0.001, 0.01]")


def _points(kind: str, grid: Mapping[str, Sequence[float]]) -> Iterator[dict[str, float]]:
    """The grid with 0 for what this constraint function, or backpropagation, does not read."""
    from sklearn.model_selection import ParameterGrid

    own = {k: v if k == "rate" or kind != BACKPROP else [0.0] for k, v in grid.items()}
    if "epsilon" in own:
        own["epsilon"] = [e for e in own["epsilon"] if e > 0] if kind.endswith("_eps") else [0.0]
    for point in ParameterGrid(own):
        yield {k: float(point[k]) for k in grid}


def estimator(
    model: str,
    kind: str,
    point: Mapping[str, float],
    schedule: LocalPropagation,
    seed: int,
    held_out: float = 0.25,
) -> SaddleClassifier:
    """A model file as scikit-learn's estimator, with one constraint function and one point of the
    grid.
    """
    from neurosim.estimators import SaddleClassifier

    spec = modelfile.load(model)
    network, flow = spec.tables.network.given(), spec.tables.flow.given()
    sizes = network.pop("sizes")
    keys = {k: v for k, v in network.items() if k not in ("output", "seed", "epsilon")}
    made = SaddleClassifier(
        tuple(sizes[1:-1]),
        **keys,
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


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Accuracies of one training: on the held-out patterns, by which it is chosen, and on the
    fold's test patterns.
    """
    own = {**settings["study"], **(QUICK if quick else {})}
    data = modelfile.load(cell["model"], ["data.test=0", "data.standardise=false"]).data()
    train, test = split(data.Y, cell["fold"])
    point = {
        k: cell[k]
        for k in GRID
        if k in cell and (k != "epsilon" or cell["constraint"].endswith("_eps"))
    }
    schedule = _schedule(cell["model"], own)
    tested = data.X[test], data.Y[test]
    held = None if own["held_out"] else tested
    if cell["constraint"] == BACKPROP:
        model = estimator(cell["model"], "lin", {}, schedule, cell["fold"], own["held_out"])
        return _backprop(
            model,
            cell["rate"],
            schedule,
            model.prepared(data.X[train], data.Y[train], held),
            *tested,
        )
    model = estimator(
        cell["model"], cell["constraint"], point, schedule, cell["fold"], own["held_out"]
    )
    model.fit(data.X[train], data.Y[train], held)
    rows = model.log_.history
    row = rows.sel(time=model.log_.run.settings["best_time"], method="nearest")
    return {
        "validation": float(row.validation_accuracy),
        "validation_loss": float(row.validation_loss),
        "test": float(model.score(*tested)),
    }


def split(classes: Any, fold: int) -> tuple[Any, Any]:
    """Rows to train on and to test on; beyond the first four folds, those of further partitions."""
    from sklearn.model_selection import StratifiedKFold

    partition, fold = divmod(fold, FOLDS)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=partition)
    train, test = list(folds.split(classes, classes))[fold]
    return train, test


def _schedule(model: str, own: Mapping[str, Any]) -> LocalPropagation:
    """The model's own, with what the study says of it."""
    schedule = modelfile.load(model).schedule()
    if not isinstance(schedule, LocalPropagation):
        raise ModelError(
            f"model {model!r} trains by another schedule; allowed in this study: local_propagation"
        )
    return replace(
        schedule,
        epochs=own["epochs"] or schedule.epochs,
        reports=own["looks"],
        mean=own["mean_loss"],
    )


def _backprop(
    start: SaddleClassifier,
    rate: float,
    schedule: LocalPropagation,
    prepared: Any,
    X_test: Any,
    y_test: Any,
) -> dict[str, float]:
    """The same network, split and initial weights, descended by backpropagation with Adam on all
    patterns.
    """
    from neurosim.results.metrics import accuracy

    net, (X, held, y, held_y) = prepared

    def score(trained: Any) -> tuple[float, float]:
        outputs = reference.forward(trained, held)
        return accuracy(outputs["output"], held_y), -reference.loss(trained, outputs, held_y)

    every = max(schedule.epochs // schedule.reports, 1)
    net = reference.adam(net, X, y, epochs=schedule.epochs, rate=rate, score=score, every=every)
    found, loss = score(net)
    test = reference.forward(net, (X_test - start.mean_) / start.scale_)["output"]
    return {"validation": found, "validation_loss": -loss, "test": accuracy(test, y_test)}


def chosen(data: xr.Dataset) -> xr.DataArray:
    """Test accuracy of every (model, constraint, fold): of the grid point that did best on its
    held-out patterns.

    Among equals it is the one with the lowest loss there.
    """
    grid = [d for d in data.dims if d in GRID]
    flat = data[["validation", "validation_loss", "test"]].stack(point=grid)
    best = flat.where(flat.validation == flat.validation.max("point"))
    lowest = best.validation_loss == best.validation_loss.min("point")
    found: xr.DataArray = best.test.where(lowest).max("point")
    return found


def table(data: xr.Dataset) -> Any:
    """What was measured, mean ± spread over the folds, beside what was published; %."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    test, shown = chosen(data), Table("model", "G", "here", "published", "folds", box=SIMPLE_HEAD)
    for model in test.model.values:
        known, own = PUBLISHED[str(model)], test.sel(model=model)
        for kind in own.constraint.values:
            folds = own.sel(constraint=kind)
            there = known.backprop if kind == BACKPROP else f"{known.each.get(str(kind), '')}"
            shown.add_row(
                str(model),
                str(kind),
                mean_and_spread(folds, 2, 100),
                there,
                f"{int(folds.count())}",
            )
        tried = own.sel(constraint=[k for k in own.constraint.values if k != BACKPROP]).dropna(
            "constraint", how="all"
        )
        if tried.constraint.size > 1:  # taken by its test patterns, as the published one was
            best = tried.sel(constraint=tried.mean("fold").idxmax("constraint"))
            shown.add_row(str(model), "best of them", mean_and_spread(best, 2, 100), known.best, "")
    return shown


def figure(data: xr.Dataset) -> Any:
    """Every constraint function's test accuracy, fold by fold, beside the published mean; a panel a
    model.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from neurosim.plot import style
    from neurosim.plot.drawing import PALETTE

    test = chosen(data) * 100
    models = [str(m) for m in test.model.values]
    columns = min(3, len(models))
    with style():
        figure = Figure(
            figsize=(2.6 * columns + 0.6, 2.3 * -(-len(models) // columns)), layout="constrained"
        )
        panels = figure.subplots(-(-len(models) // columns), columns, squeeze=False)
        for ax, model in zip(panels.flat, models, strict=False):
            known = PUBLISHED[model]
            there = [float(known.backprop.split()[0]), *[known.each.get(k, np.nan) for k in KINDS]]
            own = test.sel(model=model).reindex(constraint=[BACKPROP, *KINDS])
            for i, (folds, published) in enumerate(
                zip(own.transpose("constraint", "fold").values, there, strict=True)
            ):
                ax.plot(
                    [i] * len(folds),
                    folds,
                    "o",
                    color=PALETTE[0],
                    ms=3.5,
                    alpha=0.7,
                    label="a fold, here",
                )
                ax.plot(i, published, "_", color=PALETTE[1], ms=16, mew=2, label="published mean")
            ax.set_xticks(range(5), ["backprop", *KINDS], rotation=35, ha="right")
            ax.set_xlim(-0.6, 4.6)
            ax.set_title(model)
        for ax in panels.flat[len(models) :]:
            ax.set_visible(False)
        for ax in panels[:, 0]:
            ax.set_ylabel("test accuracy (%)")
        handles, names = panels.flat[0].get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        figure.legend(list(unique.values()), list(unique), loc="outside upper center", ncols=2)
    return figure
