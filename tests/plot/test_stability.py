"""Pictures of modes and branches show the given numbers, with units."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.analysis.stability import Stability
from neurosim.errors import ModelError
from neurosim.model.state import State
from tests.helpers.problems import random_problem


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def spec() -> Stability:
    net, X, Y = random_problem([4, 5, 4, 3], 0)
    return ns.stability(net, ns.Flow.augmented(), X, Y)


def labels(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_mode_is_drawn_inside_the_region_of_the_largest_step(spec):
    ax = ns.plot.spectrum(spec)
    modes = ax.get_lines()[:-1]
    drawn = np.concatenate([line.get_xdata() + 1j * line.get_ydata() for line in modes])
    assert_allclose(np.sort_complex(drawn), np.sort_complex(spec.eigenvalues))
    assert ax.get_xlabel() == "growth Re s (1/s)"
    assert f"euler, dt = {1e3 * spec.max_step['euler']:.3g} ms" in labels(ax)
    edge = np.abs(1 + spec.max_step["euler"] * drawn)
    assert edge.max() == pytest.approx(1)


def test_rows_of_participation_are_modes(spec):
    ax = ns.plot.participation(spec, modes=3)
    (image,) = ax.get_images()
    assert_allclose(image.get_array().sum(axis=1), 1)
    slowest = f"decays {spec.slowest_rate:.3g}/s, {spec.frequency[0]:.3g} Hz"
    assert ax.get_yticklabels()[0].get_text() == slowest
    assert [t.get_text() for t in ax.get_xticklabels()] == list(spec.participation)


def test_a_branch_and_the_cycles_past_its_hopf_point():
    net, X, Y = random_problem([4, 4, 4, 4, 3], 2, patterns=1, gain=1.2)
    found = ns.continuation(
        net, ns.Flow.adjoint(), X, Y, over="flow.theta", start=1.5, stop=0.05, points=12
    )
    (hopf, *_) = found.hopf
    ax = ns.plot.branch(found, modes=3)
    assert_allclose(ax.get_lines()[0].get_ydata(), found.slowest_rate)
    assert ax.get_xlabel() == "θ (rad)"
    assert "Hopf point" in labels(ax)
    state = State(found.x, found.lam)
    cycles = [
        ns.Cycle(0.9 * hopf.parameter, "cycle", 0.3, 0.1, "output", state),
        ns.Cycle(1.1 * hopf.parameter, "rest", 0.0, np.nan, "output", state),
        ns.Cycle(0.2 * hopf.parameter, "diverged", np.inf, np.nan, "output", None),
    ]
    ax = ns.plot.bifurcation(found, cycles)
    wanted = {"cycle, simulated", "rest, simulated", "saddle, stable", "cycle, predicted"}
    assert wanted <= set(labels(ax))
    assert ax.get_ylabel() == "amplitude of the outputs (1)"
    ax.figure.canvas.draw()
    # on both sides of such a point the saddle is unstable, and so is its small cycle
    crowded = replace(found, bifurcations=(replace(hopf, growing=2),))
    assert "cycle, predicted" not in labels(ns.plot.bifurcation(crowded, cycles))


def test_a_given_step_and_another_method(spec):
    ax = ns.plot.spectrum(spec, dt=8e-3, method="rk4")
    assert "rk4, dt = 8 ms" in labels(ax)


def test_what_cannot_be_drawn(spec):
    with pytest.raises(ModelError, match="method = 'semi_implicit'; allowed: euler, heun, rk4"):
        ns.plot.spectrum(spec, method="semi_implicit")
    with pytest.raises(ModelError, match=r"dt = -1; allowed: a finite time > 0, in s"):
        ns.plot.spectrum(spec, dt=-1)
    with pytest.raises(ModelError, match="modes = 0; allowed: a whole number >= 1"):
        ns.plot.participation(spec, modes=0)
