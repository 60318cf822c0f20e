"""The critical angle of the findings is where `ns.stability` sees the saddle point change sides."""

from __future__ import annotations

import json

import numpy as np
import pytest

import neurosim as ns
from tests.evidence.boundary import FINDINGS, critical_theta, problem, table


@pytest.mark.parametrize(("depth", "width", "gain", "seed"), [(3, 4, 1.25, 0), (4, 4, 1.5, 3)])
def test_the_saddle_point_is_stable_above_the_critical_angle_only(
    depth: int, width: int, gain: float, seed: int
) -> None:
    net, X, Y = problem(depth, width, gain, seed)
    found = critical_theta(net, X, Y)
    assert 1 < found < 89
    rates = []
    for theta in (found - 0.5, found + 0.5):
        spec = ns.stability(net, ns.Flow.rotated(float(np.radians(theta))), X, Y)
        rates.append(spec.slowest_rate)
    assert rates[0] < 0 < rates[1]


def test_the_kept_figures_are_those_that_are_measured() -> None:
    kept = json.loads((FINDINGS / "boundary.json").read_text(encoding="utf-8"))
    assert kept["about"]["seeds"] == 10
    net, X, Y = problem(3, 4, 1.25, 0)
    assert critical_theta(net, X, Y) == pytest.approx(kept["critical_theta"]["3 4 1.25"][0])
    text = (FINDINGS / "boundary-table.txt").read_text(encoding="utf-8")
    assert table(kept["critical_theta"]) == text
