"""Pictures of studies say what their bars and dots are, and of how many; nothing is cut off."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from neurosim.experiments import studies
from neurosim.experiments.studies import runner
from neurosim.plot import style

BARS, DOTS = "mean ± standard deviation over n = {}", "n = {}, a dot each"
STUDIES = {
    "conv": BARS,
    "exits": DOTS,
    "fashion": BARS,
    "graphs": BARS,
    "hebb": f"lines: means; {DOTS}",
    "hebb_conv": BARS,
    "imperfections": "means over n = {}",
    "lp": DOTS,
    "mnist1d": BARS,
    "pc_alm": DOTS,
    "policy": DOTS,
    "prospective": DOTS,
    "rivals": f"bands: {BARS}",
    "skips": BARS,
    "time": BARS,
    "transport": "mean, and range over n = {}",
    "video": BARS,
}
# drawn by functions that draw one of the others too, or of many panels
SLOW = {"conv", "fashion", "graphs", "imperfections", "lp", "mnist1d", "rivals", "skips", "time"}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in STUDIES]
MARGIN = 0.02  # inches
# names of numbers that some study measures
SHARES = ("test", "accuracy", "held_out", "validation", "best", "solved", "chance", "cosine")
OTHERS = ("angle", "feedback_angle", "time", "episodes", "validation_loss", "weights", "agreeing")
LAYERS = tuple(f"layer{number}" for number in range(1, 33))


def invented(study: studies.Study[Any], seed: int) -> Any:
    """Return results of every cell, with numbers that nothing has measured."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in study.cells:
        numbers = {"diverged": 0.0, "tau_w": 10.0}
        numbers |= {name: float(rng.uniform(0.5, 1)) for name in (*SHARES, *LAYERS)}
        numbers |= {name: float(rng.uniform(5, 80)) for name in OTHERS}
        rows.append({**numbers, **cell, "reason": ""})
    return runner.as_dataset(study, rows)


def test_every_study_is_drawn_here() -> None:
    assert set(STUDIES) == set(studies.built_in())


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_of_a_study_names_its_spread_and_n(name: str) -> None:
    study = studies.load(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of what no cell has
        figure = study.figure(invented(study, seed=0))
    with style():
        figure.draw_without_rendering()  # but laid out
        box = figure.get_tightbbox()
    titles = [legend.get_title().get_text() for legend in figure.legends]
    titles.append(figure.get_suptitle())
    repeat = "fold" if "fold" in study.cells[0] else "seed"
    number = len({cell[repeat] for cell in study.cells})
    words = STUDIES[name].format(f"{number} {repeat}{'s' * (number > 1)}")
    assert any(words in title for title in titles), titles
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -MARGIN
