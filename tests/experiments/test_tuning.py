import importlib.util
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from tests.experiments.test_sweep import Bar

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="needs the extra 'tune'"
)

ADJOINT = (
    "flow.preset=adjoint",
    "simulation.dt='1 ms'",
    "simulation.record=[]",
    "flow.tau_lam='1 ms'",
)
TAUS = {"flow.tau_x": [0.6e-3, 4e-3]}


def test_the_fastest_flow_is_found() -> None:
    """`adjoint` settles in the fewest steps where dt = tau: an Euler step then is a layer of the
    forward pass.
    """
    found = ns.tune(
        "xor", objective="simulated_time", over=TAUS, trials=24, overrides=ADJOINT, duration=0.2
    )
    assert found.best["flow.tau_x"] == pytest.approx(1e-3, rel=0.15)
    assert found.value <= 0.02
    assert found.model.flow().tau_x == found.best["flow.tau_x"]
    assert found.trials.sizes["point"] == 24


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "objective": "simulated_time",
        "over": TAUS,
        "overrides": ADJOINT,
        "duration": 0.1,
    }
    first = ns.tune("xor", trials=8, storage=tmp_path / "study.db", **options)
    more = ns.tune("xor", trials=10, storage=tmp_path / "study.db", **options)
    assert (more.trials["flow.tau_x"][:8] == first.trials["flow.tau_x"]).all()
    assert more.trials.sizes["point"] == 10
    assert more.value <= first.value


def test_another_search_is_not_gone_on_with(tmp_path: Path) -> None:
    tune = partial(ns.tune, "xor", trials=2, storage=tmp_path / "s.db", duration=0.01)
    tune = partial(tune, objective="residual", over=TAUS, overrides=ADJOINT)
    tune()
    for options, words in (
        ({"over": {"flow.tau_x": ["1 ms", "2 ms"]}}, "over: flow.tau_x = .*4.* there, .*2.* here"),
        ({"duration": 0.02}, "settings: duration = 0.01 there, 0.02 here"),
        ({"overrides": (*ADJOINT, "network.seed=3")}, "model: network.seed = 0 there, 3 here"),
        ({"direction": "maximize"}, "direction = minimize there, maximize here"),
    ):
        with pytest.raises(ns.FileError, match=f"s.db holds another search: {words}"):
            tune(**options)


def test_a_search_shows_a_bar_and_what_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half(case: Any) -> float:
        if case.flow.tau_x > 3e-3:
            raise ZeroDivisionError("slow")
        return float(case.flow.tau_x)

    shown = Bar()
    monkeypatch.setattr("neurosim.experiments.tuning.bar", shown)
    with pytest.warns(ns.MeasureWarning) as warned:
        found = ns.tune(
            "xor",
            objective=half,
            over={"flow.tau_x": ["2 ms", "4 ms"], "network.seed": [0, 5], "network.depth": [2, 4]},
            trials=12,
            overrides=(*ADJOINT, "network.sizes=[2, 4, 1]"),
            duration=0.01,
            progress=True,
        )
    texts = " ".join(str(one.message) for one in warned)
    assert re.search(r"'half' is NaN at flow.tau_x = .*ZeroDivisionError: slow", texts)
    assert shown.total == 12
    assert sum(shown.steps) == pytest.approx(12)
    failed = np.isnan(found.trials.half)
    assert (found.trials.reason[failed] == "half: ZeroDivisionError: slow").all()
    tau = found.trials["flow.tau_x"]
    assert tau.attrs["units"] == "s"
    assert (tau.dtype, len(np.unique(tau))) == (float, 12)
    assert 3 in found.trials["network.depth"]
    assert set(found.trials["network.seed"].values) <= {0, 5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": "setle_time"}, "did you mean 'settle_time'"),
        ({"trials": 0}, "trials = 0"),
        ({"direction": "up"}, "direction = 'up'; allowed: minimize, maximize"),
        ({"over": {"flow.roh": [1.0, 2.0]}}, "flow.roh: unknown key"),
        (
            {"trials": 2, "over": {"flow.rho": [60.0, 80.0]}, "duration": 0.05},
            "settle_time is not a number at any of 2",
        ),
    ],
)
def test_slips(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        ns.tune(
            "xor",
            **{"over": {"flow.rho": [1.0, 2.0]}, "overrides": ("simulation.record=[]",), **options},
        )
