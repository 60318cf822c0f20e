"""Hebbian convolutions, which no error reaches, under a readout that the `adjoint` flow learns.

Beside random convolutions of the same shape, and the same shape learnt as a whole by `adjoint`,
which in its last step is backpropagation. Start at `HebbConvolutionStudy`.

References
----------
Nimmo & Mondragon, arXiv 2501.17266: winner-take-all with BCM, 75.2 % on CIFAR-10.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim.data import datasets
from neurosim.errors import ModelError, out_of_range
from neurosim.experiments.studies.shared import HELD_OUT, bars_note, mean_and_spread, new_table
from neurosim.experiments.studies.structured import (
    ADAM,
    EXACT,
    Course,
    accuracy,
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
from neurosim.hebb import RULES, HebbianConvolution, HebbianLayer
from neurosim.model.network import Network

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
WHOLE = "whole"  # the same shape, all layers learnt
PLAIN, WHITE = "plain", "white"  # patches as they are, or decorrelated
RATES = {"oja": 0.02, "bcm": 1.0, "random": 0.0}
READOUT_RATES = (10.0, 30.0, 100.0)  # dt/tau_w of a readout, for inputs of size 1
BATCH = 32
QUICK = {
    "rules": ["oja", "random"],
    "patches": [PLAIN],
    "patterns": 300,
    "tested": 200,
    "epochs": 1,
    "readout_epochs": 2,
    "whole_epochs": 1,
    "seeds": 1,
}


class Images(NamedTuple):
    """Images and classes to learn, and those on which the result is scored."""

    X: Array
    Y: Array
    X_score: Array
    Y_score: Array


@dataclass(frozen=True, kw_only=True, config=STRICT)
class HebbConvolutionSettings(StudySettings):
    """Settings of the study; lists but `rules` and `patches` have a number per layer.

    `patterns` are those to learn and `tested` those of the test; `rate` is that of Adam, by which
    all layers learn.
    """

    rules: Annotated[list[str], filled, one_of((*RULES, WHOLE))]
    patches: Annotated[list[str], filled, one_of((PLAIN, WHITE))]
    units: Annotated[list[Count], filled]
    kernel: Annotated[list[Count], filled]
    pool: Annotated[list[Count], filled]
    active: Annotated[list[Count], filled]
    patterns: Count
    tested: Count
    epochs: Count
    readout_epochs: Count
    whole_epochs: Count
    rate: Positive
    seeds: Count


class HebbConvolutionStudy(Study[HebbConvolutionSettings]):
    """Test accuracy by rule of the convolutions, and by what they read."""

    question = "Does a readout learn more from Hebbian convolutions than from random ones?"
    settings_type = HebbConvolutionSettings
    reads = ("data",)
    varied = ("rules", "patches")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every rule and kind of patches; what learns as a whole reads plain ones."""
        own = self.settings
        cells: list[Cell] = []
        for rule, patches, seed in product(own.rules, own.patches, range(own.seeds)):
            if rule != WHOLE or patches == own.patches[0]:
                cells.append({"rule": rule, "patches": patches, "seed": seed})
        return cells

    def check(self) -> None:
        """Compare the lists, load the images, and build the network."""
        super().check()
        own = self.settings
        for name in ("kernel", "pool", "active"):
            given = getattr(own, name)
            if len(given) != len(own.units):
                allowed = f"a list of {len(own.units)}, one number per layer, as study.units"
                raise out_of_range(f"study.{name}", given, allowed)
        self._network(self._images(0), 0)

    def measure(self, cell: Cell) -> Numbers:
        """Return the test accuracy; that of a readout is at the rate chosen on held-out images."""
        own = self.settings
        seed = int(cell["seed"])
        images = self._images(seed)
        if cell["rule"] == WHOLE:
            net = self._network(images, seed)
            path = len([n for n in net.populations if n != "input"])
            course = Course(EXACT, path, own.rate, BATCH, own.whole_epochs, seed, ADAM)
            trained(net, images.X, images.Y, course)
            return {"test": accuracy(net, images.X_score, images.Y_score), "rate": own.rate}
        X, X_score = self._features(cell, images)
        order = np.random.default_rng([seed, 2]).permutation(len(X))
        count = round(HELD_OUT * len(X))
        held, kept = order[:count], order[count:]
        part = Images(X[kept], images.Y[kept], X[held], images.Y[held])
        found = {rate: self._learnt(rate, part, seed) for rate in READOUT_RATES}
        best = max(found, key=found.__getitem__)
        whole = Images(X, images.Y, X_score, images.Y_score)
        return {"test": self._learnt(best, whole, seed), "rate": best}

    def _images(self, seed: int) -> Images:
        """Return the images of a seed: those to learn are drawn anew, the tested ones are not.

        Raises
        ------
        ModelError
            Data that are not images with classes and test patterns.
        """
        own = self.settings
        given = self.tables.get("data", {"name": "fashion_mnist"})
        found = datasets.load(**{**given, "seed": seed})
        if found.validation is None or not found.classes or found.X.ndim != 4:
            raise ModelError(
                f"data = {given} of the study are not images with classes and test patterns; "
                "allowed: e.g. name = 'fashion_mnist'"
            )
        X_test, Y_test = found.validation
        chosen = np.random.default_rng([seed, 1]).permutation(len(found.X))[: own.patterns]
        return Images(found.X[chosen], found.Y[chosen], X_test[: own.tested], Y_test[: own.tested])

    def _network(self, images: Images, seed: int) -> Network:
        """Return a network of the same shape, all layers of which learn."""
        own = self.settings
        return Network.convolutional(
            images.X.shape[1:],
            own.units,
            own.kernel,
            outputs=int(images.Y.max()) + 1,
            padding="valid",
            pool=own.pool,
            activation="relu",
            plasticity=ADAM,
            bias_plasticity=ADAM,
            seed=seed,
        )

    def _features(self, cell: Cell, images: Images) -> tuple[Array, Array]:
        """Return the outputs of the convolutions, scaled to a mean squared norm of 1."""
        own = self.settings
        rule, seed = cell["rule"], int(cell["seed"])
        X, X_score = images.X, images.X_score
        shapes = zip(own.units, own.kernel, own.pool, own.active, strict=True)
        for units, kernel, pool, active in shapes:
            layer = HebbianLayer(
                units,
                rule,
                active=active,
                epochs=own.epochs,
                rate=RATES[rule],
                random_state=seed,
            )
            conv = HebbianConvolution(layer, kernel, pool, whiten=cell["patches"] == WHITE)
            conv.fit(X)
            X, X_score = conv.transform(X), conv.transform(X_score)
        rows, rows_score = X.reshape(len(X), -1), X_score.reshape(len(X_score), -1)
        size = np.sqrt((rows**2).sum(axis=1).mean())
        return rows / size, rows_score / size

    def _learnt(self, rate: float, part: Images, seed: int) -> float:
        """Return the accuracy of a readout that `adjoint` has trained."""
        net = Network.mlp([part.X.shape[1], int(part.Y.max()) + 1], seed=seed)
        epochs = self.settings.readout_epochs
        trained(net, part.X, part.Y, Course(EXACT, 1, rate, BATCH, epochs, seed, "gradient"))
        return accuracy(net, part.X_score, part.Y_score)

    def table(self, data: xr.Dataset) -> Any:
        """Return test accuracy (%) by rule and patches, mean ± spread over seeds, and the worst."""
        title = "readout of convolutions, by how these learn"
        shown = new_table("convolutions", "patches", "test accuracy (%)", "worst seed", title=title)
        for rule, patches in product(data.rule.values, data.patches.values):
            own = data.test.sel(rule=rule, patches=patches)
            if own.count():
                score = mean_and_spread(own, 1, 100)
                shown.add_row(str(rule), str(patches), score, f"{100 * float(own.min()):.1f}")
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw test accuracy by rule, a colour per kind of patches."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        with style():
            figure = Figure(figsize=(4.4, 3.0), layout="constrained")
            ax = figure.subplots()
            draw_groups(ax, 100 * data.test, "patches", "rule")
            ax.set(xlabel="how convolutions learn", ylabel="test accuracy (%)")
            figure.legend(loc="outside upper center", ncols=2, title=f"patches; {bars_note(data)}")
        return figure
