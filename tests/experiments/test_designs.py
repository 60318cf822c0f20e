from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.experiments import designs

BOX = {"flow.rho": np.geomspace(0.5, 8, 5), "flow.gamma": [0.0, 1.0], "network.seed": range(4)}


def test_a_grid_has_every_combination_the_last_parameter_fastest() -> None:
    grid = designs.make(
        "grid", {"a": [1, 2], "b": "x", "c": np.linspace(0, 1, 3)}, points=None, rounds=1, seed=0
    )
    points = grid.assignments()
    assert len(points) == 6
    assert points[1] == {"a": 1, "b": "x", "c": 0.5}
    for point in points:
        assert {type(value) for value in point.values()} == {int, str, float}


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
def test_draws_stay_in_the_box_and_are_the_same_for_a_seed(kind: str) -> None:
    made = [designs.make(kind, BOX, points=64, rounds=1, seed=s).assignments() for s in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    rho = np.array([point["flow.rho"] for point in made[0]])
    gamma = [point["flow.gamma"] for point in made[0]]
    seed = [point["network.seed"] for point in made[0]]
    assert rho.min() >= 0.5
    assert rho.max() <= 8
    assert set(seed) == {0, 1, 2, 3}
    assert len(set(gamma)) == 64


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
def test_whole_numbers_are_drawn_between_whole_numbers(kind: str) -> None:
    """With equal shares, or equal shares of the logarithm; of seeds, one is chosen."""
    box = {"network.depth": [2, 5], "data.patterns": [10, 100, 1000], "network.seed": [3, 9]}
    points = designs.make(kind, box, points=512, rounds=1, seed=0).assignments()
    depth = [point["network.depth"] for point in points]
    counts = np.bincount(depth, minlength=6)[2:]
    assert set(depth) == {2, 3, 4, 5}
    assert abs(counts - 128).max() < 40
    patterns = np.array([point["data.patterns"] for point in points])
    assert patterns.dtype.kind == "i"
    assert patterns.min() >= 10
    assert patterns.max() <= 1000
    assert abs(np.median(patterns) - 100) < 25
    assert {point["network.seed"] for point in points} == {3, 9}


@pytest.mark.parametrize(("kind", "each"), [("lhs", 1), ("sobol", 1)])
def test_stratified_draws_have_one_point_a_stratum(kind: str, each: int) -> None:
    """Of 64 equal parts of a parameter's scale, logarithmic for rho."""
    points = designs.make(kind, BOX, points=64, rounds=1, seed=3).assignments()
    parts = (
        np.log(np.array([p["flow.rho"] for p in points]) / 0.5) / np.log(16),
        [p["flow.gamma"] for p in points],
    )
    for part in parts:
        assert (np.bincount((64 * np.asarray(part)).astype(int), minlength=64) == each).all()


def test_a_boundary_is_closed_in_on_by_half_a_round() -> None:
    """One Euler step of `adjoint` multiplies a deviation by 1 - dt/tau: stable from tau = dt/2 =
    0.5 ms on.
    """
    found = ns.sweep(
        "xor",
        {"flow.tau_x": [0.1e-3, 0.4e-3, 0.7e-3, 1e-3], "network.seed": [0, 1]},
        design="refine",
        rounds=4,
        overrides=(
            "flow.preset=adjoint",
            "simulation.dt='1 ms'",
            "simulation.record=[]",
            "flow.tau_lam='1 ms'",
        ),
        duration=2.0,
    )
    for seed in (0, 1):
        own = found.where(found["network.seed"] == seed, drop=True)
        tau, settled = own["flow.tau_x"].values, own.outcome.values == "settled"
        low, high = tau[~settled].max(), tau[settled].min()
        assert_allclose(high - low, 0.3e-3 / 2**4, rtol=1e-9)
        assert low <= 0.5e-3 <= high


def test_what_ends_alike_is_not_refined() -> None:
    design = designs.make(
        "refine", {"a": [0.0, 1.0, 2.0], "b": [0.0, 1.0]}, points=None, rounds=2, seed=0
    )
    assert isinstance(design, designs.Refined)
    points = design.grid().assignments()
    assert design.next_round(points, [True] * 6, 1) == []
    new = design.next_round(points, [p["a"] > 1.5 for p in points], 1)
    assert {(p["a"], p["b"]) for p in new} == {
        (1.0, 0.5),
        (1.5, 0.0),
        (1.5, 0.5),
        (1.5, 1.0),
        (2.0, 0.5),
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1,2,5", [1, 2, 5]),
        ("a.b=0.5:2:4", [0.5, 1.0, 1.5, 2.0]),
        ("a.b=2:20:19", list(range(2, 21))),
        ("a.b=1:8:4:log", [1, 2, 4, 8]),
        ("a.b=0.5:8:5:log", [0.5, 1, 2, 4, 8]),
        ("a.b=tanh,relu", ["tanh", "relu"]),
        ("a.b=10 ms,20 ms", ["10 ms", "20 ms"]),
        ('a.b="x","y"', ["x", "y"]),
        ("a.b=[2,4,1],[2,8,1]", [[2, 4, 1], [2, 8, 1]]),
        ("a.b=true,false", [True, False]),
    ],
)
def test_values_on_the_command_line(text: str, values: list[object]) -> None:
    key, found = designs.parse(text)
    assert key == "a.b"
    assert found == pytest.approx(values) if isinstance(values[0], float) else found == values
    assert all(type(a) is type(b) for a, b in pairwise(found))


@pytest.mark.parametrize(
    "text", ["a.b", "a.b=", "a.b=1:x:3", "a.b=0:8:3:log", "a.b=1:2:0", "a.b=1:2:3:lin"]
)
def test_values_that_cannot_be(text: str) -> None:
    with pytest.raises(ns.ModelError, match=r"--grid .*allowed: "):
        designs.parse(text)
