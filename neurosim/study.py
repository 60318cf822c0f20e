"""Local Propagation's tables: every constraint function over folds and grid, beside the published figures.

A cell (model, constraint, fold, grid point) is one training, kept in a file of its own once it is done, so that a table
of hours can be stopped, gone on with, and shared among processes. Start at `run` and `table`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from neurosim import modelfile, reference
from neurosim.datasets import STANDARDISED
from neurosim.errors import FileError, out_of_range, unknown
from neurosim.files import replacing
from neurosim.schedules import LocalPropagation

if TYPE_CHECKING:
    from neurosim.estimators import SaddleClassifier

KINDS = ("abs", "abs_eps", "lin", "lin_eps")
BACKPROP = "backprop"
FOLDS = 4
HELD_OUT = 0.25  # of the training part, for the best weights and the choice of the grid point
REPORTS = 50  # looks at the held-out patterns
GRID = {"rho": (0.01, 10.0), "rate": (1e-3, 1e-2), "ratio": (10.0,), "epsilon": (1e-3, 1e-2)}
PUBLISHED_GRID = {
    "rho": (0.01, 10.0), "rate": (1e-4, 1e-3, 1e-2), "ratio": (0.1, 10.0), "epsilon": (0.0, 1e-4, 1e-3, 1e-2),
    "l2": (0.0, 2e-3), "activity_l1": (0.0, 1e-8, 1e-5, 1e-4, 1e-3, 1e-1),
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """Test accuracy, %, of arXiv 2002.07720: mean and spread over folds, and the mean of each constraint function."""

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


@dataclass(frozen=True)
class Cell:
    """One training: a model file, a constraint function (or "backprop"), a fold, and a point of the grid."""

    model: str
    kind: str
    fold: int
    point: tuple[tuple[str, float], ...]
    epochs: int
    mean: bool = False

    @property
    def path(self) -> Path:
        """Where its result is kept, below the study's folder."""
        loss = (
            [] if self.mean or self.kind == BACKPROP else ["sum"]
        )  # Adam's backpropagation does not know a difference
        name = hashlib.sha256(json.dumps([self.point, self.epochs, *loss]).encode()).hexdigest()[:16]
        return Path(self.model.replace("/", "-"), self.kind, f"{name}-{self.fold}.json")


def grid(base: Mapping[str, Sequence[float]], changes: Iterable[str]) -> dict[str, Sequence[float]]:
    """A grid with the values of some keys as ``"rate=0.001,0.01"`` gives them.

    Raises
    ------
    ModelError
        An unknown key, or values that are no numbers.
    """
    changed = dict(base)
    for text in changes:
        key, _, values = text.partition("=")
        if key not in PUBLISHED_GRID:
            raise unknown("a key of the grid", key, tuple(PUBLISHED_GRID))
        try:
            changed[key] = [float(value) for value in values.split(",")]
        except ValueError as error:
            raise out_of_range(f"grid {key}", values, "numbers, separated by commas", "0.001,0.01") from error
    return changed


def cells(
    models: Sequence[str],
    kinds: Sequence[str],
    grid: Mapping[str, Sequence[float]],
    folds: Iterable[int],
    epochs: int = 0,
    mean: bool = False,
) -> list[Cell]:
    """Every training of a table; `epochs` 0 means the model file's own.

    Raises
    ------
    ModelError
        An unknown model or constraint function.
    """
    for kind in kinds:
        if kind not in (*KINDS, BACKPROP):
            raise unknown("constraint", kind, (*KINDS, BACKPROP))
    found = []
    for model in models:
        schedule = modelfile.load(model).schedule()
        if not isinstance(schedule, LocalPropagation):
            raise unknown("model of the study", model, tuple(PUBLISHED))
        for kind in kinds:
            for point in _points(kind, grid):
                found += [Cell(model, kind, fold, point, epochs or schedule.epochs, mean) for fold in folds]
    return found


def _points(kind: str, grid: Mapping[str, Sequence[float]]) -> Iterator[tuple[tuple[str, float], ...]]:
    """The grid without what this constraint function, or backpropagation, does not read."""
    from sklearn.model_selection import ParameterGrid

    own = {k: v for k, v in grid.items() if k == "rate" or kind != BACKPROP}
    if kind.endswith("_eps"):
        own["epsilon"] = [e for e in grid["epsilon"] if e > 0]
    else:
        own.pop("epsilon", None)
    for point in ParameterGrid(own):
        yield tuple(sorted((k, float(v)) for k, v in point.items()))


def estimator(
    model: str, kind: str, point: Mapping[str, float], epochs: int, seed: int, mean: bool = False
) -> SaddleClassifier:
    """A model file as scikit-learn's estimator, with one constraint function and one point of the grid."""
    from neurosim.estimators import SaddleClassifier

    spec = modelfile.load(model)
    network, flow = spec.tables.network.given(), spec.tables.flow.given()
    sizes = network.pop("sizes")
    keys = {k: v for k, v in network.items() if k not in ("output", "seed", "epsilon")}
    made = SaddleClassifier(
        tuple(sizes[1:-1]), **keys, flow=flow.pop("preset"), **flow,
        **spec.tables.simulation.given("precision", "backend"),
        schedule=LocalPropagation(epochs=epochs, reports=REPORTS, mean=mean), validation=HELD_OUT, random_state=seed,
        standardise=spec.tables.data.name in STANDARDISED,
    )  # fmt: skip
    made.set_params(constraint=kind, **point)
    return made


def measure(cell: Cell) -> dict[str, float]:
    """Accuracies of one training: on the held-out patterns, by which it is chosen, and on the fold's test patterns."""
    from sklearn.model_selection import StratifiedKFold

    data = modelfile.load(cell.model, ["data.test=0", "data.standardise=false"]).data()
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(data.X, data.Y)
    train, test = list(splits)[cell.fold]
    started = time.perf_counter()
    if cell.kind == BACKPROP:
        found = _backprop(cell, data.X[train], data.Y[train], data.X[test], data.Y[test])
    else:
        model = estimator(cell.model, cell.kind, dict(cell.point), cell.epochs, cell.fold, cell.mean)
        model.fit(data.X[train], data.Y[train])
        rows = model.log_.history
        row = rows.sel(time=model.log_.run.settings["best_time"], method="nearest")
        found = {
            "validation": float(row.validation_accuracy), "validation_loss": float(row.validation_loss),
            "test": float(model.score(data.X[test], data.Y[test])),
        }  # fmt: skip
    return found | {"seconds": time.perf_counter() - started}


def _backprop(cell: Cell, X: Any, y: Any, X_test: Any, y_test: Any) -> dict[str, float]:
    """The same network, split and initial weights, descended by backpropagation with Adam on all patterns."""
    from neurosim.data import accuracy

    start = estimator(cell.model, "lin", {}, cell.epochs, cell.fold)
    net, (X, held, y, held_y) = start.prepared(X, y)

    def score(trained: Any) -> tuple[float, float]:
        outputs = reference.forward(trained, held)
        return accuracy(outputs["output"], held_y), -reference.loss(trained, outputs, held_y)

    net = reference.adam(
        net, X, y, epochs=cell.epochs, rate=dict(cell.point)["rate"], score=score, every=max(cell.epochs // REPORTS, 1)
    )
    found, loss = score(net)
    test = reference.forward(net, (X_test - start.mean_) / start.scale_)["output"]
    return {"validation": found, "validation_loss": -loss, "test": accuracy(test, y_test)}


def run(wanted: Sequence[Cell], folder: Path, jobs: int = 1, progress: bool = True) -> None:
    """Train whatever has no result yet; a cell at a time a process."""
    from joblib import Parallel, delayed

    missing = [cell for cell in wanted if not (folder / cell.path).exists()]
    if progress:
        print(f"{len(wanted) - len(missing)} of {len(wanted)} trainings are there; {len(missing)} to do", flush=True)
    Parallel(n_jobs=jobs, batch_size=1)(delayed(_keep)(cell, folder) for cell in missing)


def _keep(cell: Cell, folder: Path) -> None:
    path = folder / cell.path
    if path.exists():  # another process was faster
        return
    found = measure(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(found | {"point": dict(cell.point), "epochs": cell.epochs}), encoding="utf-8")


def results(wanted: Sequence[Cell], folder: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By model and constraint function, of every fold the grid point that did best on its held-out patterns."""
    best: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cell in wanted:
        found = _read(folder / cell.path)
        if found is None:
            continue
        chosen = best.setdefault((cell.model, cell.kind), {})
        if cell.fold not in chosen or _rank(found) > _rank(chosen[cell.fold]):
            chosen[cell.fold] = found
    return {key: [folds[f] for f in sorted(folds)] for key, folds in best.items()}


def _rank(found: Mapping[str, float]) -> tuple[float, float]:
    return found["validation"], -found["validation_loss"]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileError(f"{path} is no result of the study ({error}); try to remove it") from error


def table(wanted: Sequence[Cell], folder: Path) -> Any:
    """The study's table: what was measured, mean ± spread over the folds, beside what was published; %."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found, shown = results(wanted, folder), Table("model", "G", "here", "published", "trainings", box=SIMPLE_HEAD)
    for model in dict.fromkeys(cell.model for cell in wanted):
        kinds, known = dict.fromkeys(cell.kind for cell in wanted if cell.model == model), PUBLISHED.get(model)
        for kind in kinds:
            own = [cell for cell in wanted if (cell.model, cell.kind) == (model, kind)]
            done = sum((folder / cell.path).exists() for cell in own)
            there = "" if known is None else known.backprop if kind == BACKPROP else f"{known.each.get(kind, '')}"
            shown.add_row(model, kind, _percent(found.get((model, kind), [])), there, f"{done} of {len(own)}")
        tried = [found.get((model, kind), []) for kind in kinds if kind != BACKPROP]
        if len(tried) > 1 and any(tried):  # taken by its test patterns, as the published one was
            shown.add_row(model, "best of them", _percent(max(tried, key=_mean_test)), known.best if known else "", "")
    return shown


def _mean_test(folds: Sequence[Mapping[str, float]]) -> float:
    return fmean(fold["test"] for fold in folds) if folds else 0.0


def _percent(folds: Sequence[Mapping[str, float]]) -> str:
    values = [100 * fold["test"] for fold in folds]
    if not values:
        return "-"
    return f"{fmean(values):.2f} ± {pstdev(values):.2f}" + ("" if len(values) == FOLDS else f" ({len(values)} folds)")
