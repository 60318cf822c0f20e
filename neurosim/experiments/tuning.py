"""The fastest-settling flow of a network, or the best by any measure, found by Optuna.

Beside `sweeps`, on the same points and measures. Start at `tune`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown
from neurosim.experiments import designs, measures, modelfile
from neurosim.experiments import sweep_task as crowd
from neurosim.experiments.modelfile import ModelFile
from neurosim.experiments.sweep import checked

if TYPE_CHECKING:
    import xarray as xr

DIRECTIONS = ("minimize", "maximize")
BIGGER_IS_BETTER = ("alignment", "gradient_alignment", "accuracy", "slowest_rate", "max_step")
AT_ONCE = 8  # points that are asked for and simulated together


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    best : dict
        The values of the best point, for `ModelFile.changed` or ``--set``.
    value : float
        Of the objective there.
    model : ModelFile
        The model with these values.
    trials : xarray.Dataset
        Every point, with its value and outcome; a point that did not settle has none.
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
    """Search the point that settles fastest, or is best by another measure (Optuna's TPE;
    ``neurosim[tune]``).

    Parameters
    ----------
    model, duration, settle, overrides
        As in `neurosim.sweep`.
    objective : name or callable
        A measure; a point where it is not a number is a failed trial.
    over : {dotted key: values}
        Floats: a range from the smallest to the largest, on a logarithmic scale where they are
        spaced so; other values are chosen among.
    trials : int
        In all, those of an earlier search in `storage` included.
    direction : "minimize" or "maximize", optional
        By default what is better of the measure.
    storage : path, optional
        A file (SQLite); a search that was killed goes on from it.
    seed : int
        Of the search.

    Returns
    -------
    Tuned

    Raises
    ------
    ModelError
        Input that cannot be; Optuna is missing; no point has a value.
    """
    optuna = _optuna()
    chosen = measures.chosen(objective)
    if len(chosen) != 1:
        raise ModelError(f"objective = {objective!r}; allowed: one measure")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise out_of_range("trials", trials, "a whole number >= 1", "100")
    name = next(iter(chosen))
    direction = direction or ("maximize" if name in BIGGER_IS_BETTER else "minimize")
    if direction not in DIRECTIONS:
        raise unknown("direction", direction, DIRECTIONS)
    spec = model if isinstance(model, ModelFile) else modelfile.load(model, overrides)
    plan = checked(spec, over, chosen, duration=duration, settle=settle)
    values = plan.design.values
    study = optuna.create_study(
        storage=None if storage is None else f"sqlite:///{Path(storage).absolute()}",
        study_name=f"{spec.name}: {name} over {', '.join(values)}",
        sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        direction=direction,
        load_if_exists=True,
    )
    spread = {key: _distribution(optuna, v) for key, v in values.items()}
    for stale in study.get_trials(
        states=[optuna.trial.TrialState.RUNNING]
    ):  # of a search that was killed
        study.tell(stale.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
    while (left := trials - len(_finished(optuna, study))) > 0:
        asked = [study.ask(spread) for _ in range(min(left, AT_ONCE))]
        points = tuple(
            (i, {k: _value(values[k], trial.params[k]) for k in values})
            for i, trial in enumerate(asked)
        )
        for found in _tried(plan, points):
            value = found.numbers.get(name, float("nan"))
            asked[found.index].set_user_attr("outcome", found.outcome)
            told = (
                {"values": value}
                if np.isfinite(value)
                else {"state": optuna.trial.TrialState.PRUNED}
            )
            study.tell(asked[found.index], **told)
    return _tuned(optuna, study, spec, values, name)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ModelError("tune needs Optuna: try pip install 'neurosim[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, values: Sequence[Any]) -> Any:
    if len(values) > 1 and all(isinstance(v, float) for v in values):
        log = designs.geometric(values)
        return optuna.distributions.FloatDistribution(min(values), max(values), log=log)
    return optuna.distributions.CategoricalDistribution(
        range(len(values))
    )  # by number: a list is no category


def _value(values: Sequence[Any], drawn: Any) -> Any:
    return drawn if isinstance(drawn, float) else values[drawn]


def _tried(plan: Any, points: tuple[tuple[int, dict[str, Any]], ...]) -> list[crowd.Found]:
    """Those of one structure together."""
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for point in points:
        groups.setdefault(crowd.structure(plan.model.changed(point[1])), []).append(point)
    return [found for own in groups.values() for found in crowd.work(plan.task(own))]


def _finished(optuna: Any, study: Any) -> list[Any]:
    states = optuna.trial.TrialState
    found: list[Any] = study.get_trials(states=[states.COMPLETE, states.PRUNED])
    return found


def _tuned(
    optuna: Any, study: Any, spec: ModelFile, values: Mapping[str, Sequence[Any]], name: str
) -> Tuned:
    import xarray as xr

    done = _finished(optuna, study)
    if all(t.value is None for t in done):
        ends = ", ".join(sorted({t.user_attrs.get("outcome", "") for t in done}))
        raise ModelError(
            f"{name} is a number at none of {len(done)} points ({ends}); try another range"
        )
    points = [{k: _value(values[k], t.params[k]) for k in values} for t in done]
    best = {k: _value(values[k], study.best_trial.params[k]) for k in values}
    columns = {k: ("point", np.array([designs.label(p[k]) for p in points])) for k in values}
    numbers = np.array([np.nan if t.value is None else t.value for t in done])
    outcomes = np.array([t.user_attrs.get("outcome", "") for t in done])
    data = xr.Dataset({name: ("point", numbers), "outcome": ("point", outcomes)}, columns)
    return Tuned(best, float(study.best_value), spec.changed(best), data)
