import importlib.util
from pathlib import Path
from typing import Any

import pytest

import neurosim as ns

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
