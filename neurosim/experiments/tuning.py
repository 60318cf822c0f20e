"""Search for the fastest-settling flow of a network, or the best by any measure, with Optuna.

A search measures its points by the tasks of a sweep (`neurosim.experiments.sweep`). Start at
`tune`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import FileError, ModelError, shown, unknown, whole
from neurosim.experiments import designs, measures, modelfile
from neurosim.experiments.designs import Assignment
from neurosim.experiments.differences import differences
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.parameters import in_base_units
from neurosim.experiments.pool import Here
from neurosim.experiments.sweep import NumberedPoint, Sweep, plan
from neurosim.experiments.sweep_task import PointResult, structure
from neurosim.model.values import ByValue
from neurosim.simulation.progress import Advance, bar, unlabelled

if TYPE_CHECKING:
    import xarray as xr

MINIMIZE, MAXIMIZE = "minimize", "maximize"
DIRECTIONS = (MINIMIZE, MAXIMIZE)
BIGGER_IS_BETTER = ("alignment", "gradient_alignment", "accuracy", "slowest_rate", "max_step")
ABOUT = "neurosim"  # attribute of a stored search that describes it
BATCH = 8  # points that Optuna proposes before any of them is measured


@dataclass(frozen=True, eq=False)
class Tuned(ByValue):
    """The outcome of a search.

    Attributes
    ----------
    best : dict
        The values of the best point, for `ModelFile.changed` or ``--set``.
    value : float
        The objective there.
    model : ModelFile
        The model with these values.
    trials : xarray.Dataset
        Every point, with its value, outcome and reason; the value is NaN where the objective is not
        a number.
    """

    best: dict[str, Any]
    value: float
    model: ModelFile
    trials: xr.Dataset = field(repr=False)


@checked
def tune(
    model: str | Path | ModelFile,
    *,
    objective: Any = "settle_time",
    over: Mapping[str, Sequence[Any]],
    trials: int = 100,
    direction: str | None = None,
    storage: str | Path | None = None,
    seed: int = 0,
    duration: Any = None,
    settle: float | None = None,
    overrides: Sequence[str] = (),
    progress: bool = False,
) -> Tuned:
    """Search for the point that settles fastest, or is best by another measure.

    The search is Optuna's TPE (``pip install 'neurosim[tune]'``).

    Parameters
    ----------
    model, duration, settle, overrides
        As in `neurosim.sweep`.
    objective : name or callable
        A measure; a point where it is not a number counts as a pruned trial.
    over : {dotted key: values}
        Numbers span a range from the smallest to the largest, on a logarithmic scale if they are
        spaced geometrically; of seeds, and of values of other types, one is chosen. Times may be
        texts or Brian2 quantities; `Tuned` has them in seconds.
    trials : int
        Number of points in all, those of an earlier search in `storage` included.
    direction : "minimize" or "maximize", optional
        By default "maximize" for a measure of `BIGGER_IS_BETTER`, else "minimize".
    storage : path, optional
        A file (SQLite); a search that was killed resumes from it.
    seed : int
        Seed of the search.
    progress : bool
        Show a bar with the time left and the best value, on standard error.

    Returns
    -------
    Tuned

    Raises
    ------
    ModelError
        Invalid input; Optuna is not installed; the objective is not a number at any point.
    FileError
        The file `storage` holds another search.
    """
    optuna = _optuna()
    chosen = measures.select(objective)
    if len(chosen) != 1:
        raise ModelError(f"objective = {shown(objective)}; allowed: one measure")
    trials = whole("trials", trials, 1)
    name = next(iter(chosen))
    if direction is None:
        direction = MAXIMIZE if name in BIGGER_IS_BETTER else MINIMIZE
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    spec = model if isinstance(model, ModelFile) else modelfile.load(model, overrides)
    grid = designs.make(designs.GRID, in_base_units(over), points=None, rounds=0, seed=0)
    planned = plan(spec, grid, chosen, duration=duration, settle=settle)
    study = optuna.create_study(
        storage=None if storage is None else f"sqlite:///{Path(storage).absolute()}",
        study_name=f"{spec.name}: {name} over {', '.join(grid.values)}",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        direction=direction,
        load_if_exists=True,
    )
    _claim(study, planned, direction, storage)
    _give_up_running(optuna, study)
    failures = measures.Failures()
    done = len(_finished(optuna, study))
    with bar(progress and done < trials, "tuning", trials, done) as advance:
        while done < trials:
            batch = min(trials - done, BATCH)
            _try_batch(optuna, study, planned, name, batch, failures, advance)
            done = len(_finished(optuna, study))
    failures.close(trials)
    return _tuned(optuna, study, planned, name)


def _claim(study: Any, planned: Sweep, direction: str, storage: str | Path | None) -> None:
    """Describe a new search, or refuse to go on with another one of the same name.

    A search of 0.1.0 has no description; it is taken as the same.
    """
    about = {
        "model": modelfile.dump(planned.model.effective()),
        "over": json.dumps({key: list(values) for key, values in planned.design.values.items()}),
        "settings": json.dumps({"duration": planned.duration, "settle": planned.settle}),
        "direction": direction,
    }
    found = study.user_attrs.get(ABOUT)
    if found is None:
        study.set_user_attr(ABOUT, about)
        return
    differs = differences(found, about)
    if differs:
        raise FileError(f"{storage} holds another search: {differs}; try another path")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ModelError(
            f"tune needs Optuna ({error}); try pip install 'neurosim[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _give_up_running(optuna: Any, study: Any) -> None:
    """Mark as failed the trials that were running when a search was killed."""
    states = optuna.trial.TrialState
    for stale in study.get_trials(states=[states.RUNNING]):
        study.tell(stale.number, state=states.FAIL, skip_if_finished=True)


def _finished(optuna: Any, study: Any) -> list[Any]:
    states = optuna.trial.TrialState
    found: list[Any] = study.get_trials(states=[states.COMPLETE, states.PRUNED])
    return found


def _try_batch(
    optuna: Any,
    study: Any,
    planned: Sweep,
    name: str,
    count: int,
    failures: measures.Failures,
    advance: Advance,
) -> None:
    """Measure `count` points that Optuna proposes, and report their values to it."""
    values = planned.design.values
    spread = {key: _distribution(optuna, key, v) for key, v in values.items()}
    try:
        proposed = [study.ask(spread) for _ in range(count)]
    except ValueError as error:  # kept by 0.1.0, which chose among whole numbers
        raise FileError(
            f"the storage holds a search over other values ({error}); try another path"
        ) from error
    points = [(number, _point(values, trial)) for number, trial in enumerate(proposed)]
    for result in _results(planned, points, advance):
        trial = proposed[result.index]
        trial.set_user_attr("outcome", result.outcome)
        trial.set_user_attr("reason", result.reason)
        failures.note(points[result.index][1], result.unmeasured)
        value = result.numbers.get(name, float("nan"))
        if np.isfinite(value):
            study.tell(trial, values=value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    best = [trial.value for trial in _finished(optuna, study) if trial.value is not None]
    if best:
        advance(0, f"best {study.best_value:.4g}")


def _results(
    planned: Sweep, points: Sequence[NumberedPoint], advance: Advance
) -> Iterator[PointResult]:
    """Measure points, those of one structure as one task."""
    groups: dict[str, list[NumberedPoint]] = {}
    for index, point in points:
        kind = structure(planned.model.changed(point))
        groups.setdefault(kind, []).append((index, point))
    tasks = [planned.task(alike) for alike in groups.values()]
    for results in Here().run(tasks, unlabelled(advance)):
        advance(len(results), None)
        yield from results


def _distribution(optuna: Any, key: str, values: Sequence[Any]) -> Any:
    """Return a range of numbers, or a choice by index, since Optuna has no lists as categories."""
    distributions = optuna.distributions
    if designs.is_whole_range(key, values):
        log = designs.geometric(values)
        return distributions.IntDistribution(min(values), max(values), log=log)
    if designs.is_range(values):
        log = designs.geometric(values)
        return distributions.FloatDistribution(min(values), max(values), log=log)
    return distributions.CategoricalDistribution(range(len(values)))


def _point(values: Mapping[str, Sequence[Any]], trial: Any) -> Assignment:
    """Return the point of a trial: drawn floats, and values at drawn indices."""
    point: Assignment = {}
    for key, allowed in values.items():
        drawn = trial.params[key]
        is_value = designs.is_range(allowed) or designs.is_whole_range(key, allowed)
        point[key] = drawn if is_value else allowed[drawn]
    return point


def _tuned(optuna: Any, study: Any, planned: Sweep, name: str) -> Tuned:
    import xarray as xr

    values = planned.design.values
    done = _finished(optuna, study)
    outcomes = [trial.user_attrs.get("outcome", "") for trial in done]
    numbers = [np.nan if trial.value is None else trial.value for trial in done]
    reasons = [trial.user_attrs.get("reason", "") for trial in done]
    if np.isnan(numbers).all():
        because = next((f"; the first reason: {reason}" for reason in reasons if reason), "")
        raise ModelError(
            f"{name} is not a number at any of {len(done)} points "
            f"({', '.join(sorted(set(outcomes)))}{because}); try another range"
        )
    points = [_point(values, trial) for trial in done]
    coordinates = {}
    for key in values:
        coordinates[key] = planned.coordinate(key, "point", [point[key] for point in points])
    measure = planned.measures[name]
    described = {"units": measure.unit, "long_name": measure.about or name}
    variables: dict[str, Any] = {name: ("point", np.array(numbers), described)}
    for text, found in (("outcome", outcomes), ("reason", reasons)):
        variables[text] = ("point", np.array(found, dtype=str))
    best = _point(values, study.best_trial)
    data = xr.Dataset(variables, coordinates)
    return Tuned(best, float(study.best_value), planned.model.changed(best), data)
