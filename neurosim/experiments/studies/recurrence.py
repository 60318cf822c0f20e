"""Time: recurrent nets that learn by a flow on all time steps at once.

A cell is one training. Start at `TimeStudy`.

References
----------
Delayed recall: the first symbol of a sequence is to be named at its end, after distracting ones, as
in Hochreiter & Schmidhuber, Neural Computation 9, 1735 (1997).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data import datasets
from neurosim.experiments.studies.shared import bars_note, mean_and_spread, new_table
from neurosim.experiments.studies.structured import (
    EXACT,
    WAYS,
    Course,
    Rule,
    accuracy,
    angle_to_backpropagation,
    check_rule,
    draw_groups,
    trained,
)
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    Numbers,
    Positive,
    Study,
    StudySettings,
    filled,
    one_of,
)
from neurosim.model import feedback
from neurosim.model.network import Network

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Split = tuple[Array, Array, Array, Array]  # X and Y to learn, X and Y to test
ROWS, RECALL = "rows", "recall"
SYMBOLS = 4  # of delayed recall
TESTED = 500  # sequences of delayed recall
QUICK = {
    "tasks": [ROWS],
    "feedback": ["symmetric"],
    "flows": [EXACT],
    "patterns": 300,
    "epochs": 3,
    "seeds": 1,
}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TimeSettings(StudySettings):
    """Settings of the study; `steps` is the length of sequences to recall, `rate` is dt/tau_w."""

    tasks: Annotated[list[str], one_of((ROWS, RECALL))]
    steps: Annotated[list[Count], filled]
    hidden: Count
    rule: Rule
    feedback: Annotated[list[str], one_of(feedback.KINDS)]
    flows: Annotated[list[str], one_of(WAYS)]
    rate: Positive
    patterns: Count
    batch: Count
    epochs: Count
    seeds: Count


class TimeStudy(Study[TimeSettings]):
    """Accuracy by task, kind of feedback weights and flow."""

    question = "Does a recurrent net learn over time, by states of all time steps at once?"
    settings_type = TimeSettings
    varied = ("tasks", "steps", "feedback", "flows")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training; digits are read row by row, so they have eight steps."""
        own = self.settings
        tasks = []
        for task in own.tasks:
            lengths = [8] if task == ROWS else own.steps
            tasks += [f"{task} {steps}" for steps in lengths]
        cells: list[Cell] = []
        for task, kind, flow, seed in product(tasks, own.feedback, own.flows, range(own.seeds)):
            cells.append({"task": task, "feedback": kind, "flow": flow, "seed": seed})
        return cells

    def check(self) -> None:
        """Refuse a rule that backpropagation does not have."""
        super().check()
        check_rule(self.settings.rule, self.settings.flows)

    def measure(self, cell: Cell) -> Numbers:
        """Return the accuracy at the last step, and the final angle of lam."""
        own = self.settings
        seed = int(cell["seed"])
        task, _, length = cell["task"].partition(" ")
        steps = int(length)
        X, Y, X_test, Y_test = self._patterns(task, steps, seed)
        net = Network.recurrent(
            steps,
            X.shape[-1],
            own.hidden,
            int(Y.max()) + 1,
            feedback=cell["feedback"],
            plasticity=own.rule,
            bias_plasticity=own.rule,
            seed=seed,
        )
        course = Course(cell["flow"], steps + 1, own.rate, own.batch, own.epochs, seed, own.rule)
        trained(net, X, Y, course)
        return {
            "test": accuracy(net, X_test, Y_test),
            "angle": angle_to_backpropagation(net, X_test, Y_test),
        }

    def _patterns(self, task: str, steps: int, seed: int) -> Split:
        if task == ROWS:
            found = datasets.load("digits", test=0.2, seed=seed)
            assert found.validation is not None
            X_test, Y_test = found.validation
            count = self.settings.patterns
            shape = (-1, 8, 8)
            return found.X[:count].reshape(shape), found.Y[:count], X_test.reshape(shape), Y_test
        X, Y = recall(min(self.settings.patterns, 2000), steps, seed)
        return X, Y, *recall(TESTED, steps, seed + 10_000)

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%) and angle (°), mean ± spread over seeds."""
        title = "recurrent net: task and number of steps"
        shown = new_table(
            "task", "feedback", "flow", "test accuracy (%)", "angle of λ (°)", title=title
        )
        labels = (data.task.values, data.feedback.values, data.flow.values)
        for task, kind, flow in product(*labels):
            own = data.sel(task=task, feedback=kind, flow=flow)
            scores = [mean_and_spread(own.test, 1, 100), mean_and_spread(own.angle, 1)]
            shown.add_row(str(task), str(kind), str(flow), *scores)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy by task, a colour per flow, a panel per kind of feedback."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        kinds = list(data.feedback.values)
        with style():
            figure = Figure(figsize=(0.8 + 3.6 * len(kinds), 3.2), layout="constrained")
            panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)
            for ax, kind in zip(panels[0], kinds, strict=True):
                draw_groups(ax, 100 * data.test.sel(feedback=kind), "flow", "task")
                ax.set(title=str(kind).replace("_", "-"), xlabel="task and number of steps")
            panels[0, 0].set_ylabel("test accuracy (%)")
            handles, names = panels[0, 0].get_legend_handles_labels()
            title = bars_note(data)
            figure.legend(handles, names, loc="outside upper center", ncols=len(names), title=title)
        return figure


def recall(count: int, steps: int, seed: int) -> tuple[Array, Array]:
    """Return sequences of symbols, the first of which is to be named at the end.

    Returns
    -------
    X : (patterns, steps, SYMBOLS + 1)
        A symbol at the first step; then distracting numbers in the last feature.
    Y : (patterns,) of int
        The symbol.

    Examples
    --------
    >>> X, Y = recall(2, 5, seed=0)
    >>> X.shape
    (2, 5, 5)
    """
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, SYMBOLS, size=count)
    X = np.zeros((count, steps, SYMBOLS + 1))
    X[np.arange(count), 0, Y] = 1.0
    X[:, 1:, SYMBOLS] = rng.normal(scale=0.5, size=(count, steps - 1))
    return X, Y
