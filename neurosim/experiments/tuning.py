"""Search for the fastest-settling flow of a network, or the best by any measure, with Optuna.

A search measures its points by the tasks of a sweep (`neurosim.experiments.sweep`). Start at
`tune`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, unknown, whole
from neurosim.experiments import designs, measures, modelfile
from neurosim.experiments.designs import Assignment
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.sweep import NumberedPoint, Sweep, plan
from neurosim.experiments.sweep_task import PointResult, structure

if TYPE_CHECKING:
    import xarray as xr

MINIMIZE, MAXIMIZE = "minimize", "maximize"
DIRECTIONS = (MINIMIZE, MAXIMIZE)
BIGGER_IS_BETTER = ("alignment", "gradient_alignment", "accuracy", "slowest_rate", "max_step")
BATCH = 8  # points that Optuna proposes before any of them is measured


@dataclass(frozen=True)
class Tuned:
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
        Every point, with its value and outcome; the value is NaN where the objective is not a
        number.
    """

    best: dict[str, Any]
    value: float
    model: ModelFile
    trials: xr.Dataset = field(repr=False)


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
        Floats span a range from the smallest to the largest, on a logarithmic scale if they are
        spaced geometrically. From values of other types, one is chosen.
    trials : int
        Number of points in all, those of an earlier search in `storage` included.
    direction : "minimize" or "maximize", optional
        By default "maximize" for a measure of `BIGGER_IS_BETTER`, else "minimize".
    storage : path, optional
        A file (SQLite); a search that was killed resumes from it.
    seed : int
        Seed of the search.

    Returns
    -------
    Tuned

    Raises
    ------
    ModelError
        Invalid input; Optuna is not installed; the objective is not a number at any point.
    """
    optuna = _optuna()
    chosen = measures.select(objective)
    if len(chosen) != 1:
        raise ModelError(f"objective = {objective!r}; allowed: one measure")
    trials = whole("trials", trials, 1)
    name = next(iter(chosen))
    if direction is None:
        direction = MAXIMIZE if name in BIGGER_IS_BETTER else MINIMIZE
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    spec = model if isinstance(model, ModelFile) else modelfile.load(model, overrides)
    grid = designs.make(designs.GRID, over, points=None, rounds=0, seed=0)
    planned = plan(spec, grid, chosen, duration=duration, settle=settle)
    study = optuna.create_study(
        storage=None if storage is None else f"sqlite:///{Path(storage).absolute()}",
        study_name=f"{spec.name}: {name} over {', '.join(grid.values)}",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        direction=direction,
        load_if_exists=True,
    )
    _give_up_running(optuna, study)
    left = trials - len(_finished(optuna, study))
    while left > 0:
        _try_batch(optuna, study, planned, name, min(left, BATCH))
        left = trials - len(_finished(optuna, study))
    return _tuned(optuna, study, planned, name)


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


def _try_batch(optuna: Any, study: Any, planned: Sweep, name: str, count: int) -> None:
    """Measure `count` points that Optuna proposes, and report their values to it."""
    values = planned.design.values
    spread = {key: _distribution(optuna, v) for key, v in values.items()}
    proposed = [study.ask(spread) for _ in range(count)]
    points = [(number, _point(values, trial)) for number, trial in enumerate(proposed)]
    for result in _results(planned, points):
        trial = proposed[result.index]
        trial.set_user_attr("outcome", result.outcome)
        value = result.numbers.get(name, float("nan"))
        if np.isfinite(value):
            study.tell(trial, values=value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def _results(planned: Sweep, points: Sequence[NumberedPoint]) -> list[PointResult]:
    """Measure points, those of one structure as one task."""
    groups: dict[str, list[NumberedPoint]] = {}
    for index, point in points:
        kind = structure(planned.model.changed(point))
        groups.setdefault(kind, []).append((index, point))
    results = []
    for alike in groups.values():
        results += planned.task(alike).work()
    return results


def _distribution(optuna: Any, values: Sequence[Any]) -> Any:
    """Return a range of floats, or a choice by index, since Optuna has no lists as categories."""
    distributions = optuna.distributions
    if designs.is_range(values):
        log = designs.geometric(values)
        return distributions.FloatDistribution(min(values), max(values), log=log)
    return distributions.CategoricalDistribution(range(len(values)))


def _point(values: Mapping[str, Sequence[Any]], trial: Any) -> Assignment:
    """Return the point of a trial: drawn floats, and values at drawn indices."""
    point: Assignment = {}
    for key, allowed in values.items():
        drawn = trial.params[key]
        point[key] = drawn if isinstance(drawn, float) else allowed[drawn]
    return point


def _tuned(optuna: Any, study: Any, planned: Sweep, name: str) -> Tuned:
    import xarray as xr

    values = planned.design.values
    done = _finished(optuna, study)
    outcomes = [trial.user_attrs.get("outcome", "") for trial in done]
    numbers = [np.nan if trial.value is None else trial.value for trial in done]
    if np.isnan(numbers).all():
        raise ModelError(
            f"{name} is not a number at any of {len(done)} points "
            f"({', '.join(sorted(set(outcomes)))}); try another range"
        )
    points = [_point(values, trial) for trial in done]
    coordinates = {}
    for key in values:
        labels = [designs.label(point[key]) for point in points]
        coordinates[key] = ("point", np.array(labels))
    variables = {name: ("point", np.array(numbers)), "outcome": ("point", np.array(outcomes))}
    best = _point(values, study.best_trial)
    data = xr.Dataset(variables, coordinates)
    return Tuned(best, float(study.best_value), planned.model.changed(best), data)
