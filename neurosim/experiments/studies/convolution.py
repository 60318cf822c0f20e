"""Convolution: what learning loses without shared weights, or without symmetric ones.

A cell is one training of a convolutional net. Start at `ConvolutionStudy`.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data import datasets
from neurosim.errors import ModelError
from neurosim.experiments.studies.shared import bars_note, mean_and_spread, new_table
from neurosim.experiments.studies.structured import (
    EXACT,
    WAYS,
    Activation,
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
    NotNegative,
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

SHARED, OWN = "shared", "own"  # weights of all sites, or of each
QUICK = {"flows": [EXACT], "patterns": 300, "epochs": 2, "seeds": 1}
MOST_JUDGED = 200  # patterns whose multipliers are compared with backpropagation's


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ConvolutionSettings(StudySettings):
    """Settings of the study; `shape` is that of an image, `rate` is dt/tau_w."""

    shape: Annotated[list[Count], filled]
    channels: Annotated[list[Count], filled]
    kernel: Annotated[list[Count], filled]
    stride: Annotated[list[Count], filled]
    padding: str | int
    activation: Activation
    gain: Positive
    l2: NotNegative
    rule: Rule
    weights: Annotated[list[str], one_of((SHARED, OWN))]
    feedback: Annotated[list[str], one_of(feedback.KINDS)]
    flows: Annotated[list[str], one_of(WAYS)]
    rate: Positive
    patterns: Count
    batch: Count
    epochs: Count
    seeds: Count


class ConvolutionStudy(Study[ConvolutionSettings]):
    """Accuracy and angle of lam by weights, kind of feedback weights and flow."""

    question = "What does a convolutional net lose without shared weights, or symmetric feedback?"
    settings_type = ConvolutionSettings
    reads = ("data",)
    varied = ("weights", "feedback", "flows")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every training; the seed is that of split, weights and order of the patterns."""
        own = self.settings
        cells: list[Cell] = []
        for weights, kind, flow, seed in product(
            own.weights, own.feedback, own.flows, range(own.seeds)
        ):
            cells.append({"weights": weights, "feedback": kind, "flow": flow, "seed": seed})
        return cells

    def check(self) -> None:
        """Load the patterns and build the networks, before any of them learns."""
        super().check()
        own = self.settings
        check_rule(own.rule, own.flows)
        learnt, _ = self._patterns(0)
        for weights, kind in product(own.weights, own.feedback):
            self.network(weights, kind, 0, int(learnt[1].max()) + 1)

    def network(self, weights: str, kind: str, seed: int, classes: int) -> Network:
        """Return the initial network of a cell."""
        own = self.settings
        return Network.convolutional(
            own.shape,
            own.channels,
            own.kernel,
            own.stride,
            classes,
            padding=own.padding,
            activation=own.activation,
            gain=own.gain,
            l2=own.l2,
            shared=weights == SHARED,
            feedback=kind,
            plasticity=own.rule,
            bias_plasticity=own.rule,
            seed=seed,
        )

    def measure(self, cell: Cell) -> Numbers:
        """Return test accuracy, final angle, and the numbers of weights and of connections."""
        own = self.settings
        seed = int(cell["seed"])
        learnt, tested = self._patterns(seed)
        classes = int(learnt[1].max()) + 1
        net = self.network(cell["weights"], cell["feedback"], seed, classes)
        path = len(own.channels) + 1
        course = Course(cell["flow"], path, own.rate, own.batch, own.epochs, seed, own.rule)
        X, Y = learnt
        X_test, Y_test = tested
        trained(net, X, Y, course)
        first = slice(MOST_JUDGED)
        return {
            "test": accuracy(net, X_test, Y_test),
            "angle": angle_to_backpropagation(net, X_test[first], Y_test[first]),
            "parameters": net.n_parameters,
            "connections": sum(net.connections(name) for name in net.projections),
        }

    def _patterns(self, seed: int) -> tuple[Any, Any]:
        """Return the patterns to learn, and those to test.

        Raises
        ------
        ModelError
            Data without classes or test patterns, or images of another shape.
        """
        given = self.tables.get("data", {"name": "digits"})
        found = datasets.load(**{**given, "seed": seed})
        if found.validation is None or not found.classes:
            raise ModelError(
                f"data = {given} of the study have no classes or no test patterns; try name = "
                "'digits'"
            )
        size = int(np.prod(self.settings.shape))
        features = int(np.prod(np.shape(found.X)[1:]))
        if features != size:
            raise ModelError(
                f"study.shape = {self.settings.shape} of {size} values beside data of {features}; "
                "allowed: the shape of an image"
            )
        count = self.settings.patterns
        return (found.X[:count], found.Y[:count]), found.validation

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%), angle (°) and numbers of weights, mean ± spread over seeds."""
        title = "convolutional net: by weights and feedback"
        shown = new_table(
            "flow",
            "weights",
            "feedback",
            "test accuracy (%)",
            "angle of λ (°)",
            "parameters",
            "connections",
            title=title,
        )
        labels = (data.flow.values, data.weights.values, data.feedback.values)
        for flow, weights, kind in product(*labels):
            own = data.sel(flow=flow, weights=weights, feedback=kind)
            counts = [f"{float(own[name].mean()):.0f}" for name in ("parameters", "connections")]
            scores = [mean_and_spread(own.test, 1, 100), mean_and_spread(own.angle, 1)]
            shown.add_row(str(flow), str(weights), str(kind), *scores, *counts)
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy and angle by feedback, a colour per weights, a row per flow."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        flows = list(data.flow.values)
        with style():
            figure = Figure(figsize=(8.4, 0.7 + 2.4 * len(flows)), layout="constrained")
            panels = figure.subplots(len(flows), 2, squeeze=False)
            for row, flow in zip(panels, flows, strict=True):
                own = data.sel(flow=flow)
                draw_groups(row[0], 100 * own.test, "weights", "feedback")
                draw_groups(row[1], own.angle, "weights", "feedback")
                row[0].set(title=str(flow), ylabel="test accuracy (%)")
                row[1].set(title=str(flow), ylabel="angle of λ to BP's (°)")
            handles, names = panels[0, 0].get_legend_handles_labels()
            title = f"weights; {bars_note(data)}"
            figure.legend(handles, names, loc="outside upper center", ncols=len(names), title=title)
        return figure
