"""Extensions that make no equations are refused with Brian2's reason, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neurosim as ns

WRONG: dict[str, dict[str, Any]] = {
    "state of the model": {"x": "x/tau_x", "equations": "dx/dt = -x/(20*ms) : 1"},
    "subexpression of the model": {"equations": "a : 1"},
    "no expression": {"x": "I/tau_x +", "equations": "dI/dt = -I/(20*ms) : 1"},
    "open bracket": {"lam": "sin(lam"},
    "two statements": {"x": "x; lam"},
    "comment": {"x": "x # half"},
    "keyword of Python": {"x": "lambda/tau_x", "equations": "dlambda/dt = -lambda/(20*ms) : 1"},
    "name of Brian2": {"equations": "N = 3 : 1"},
    "no equation": {"equations": "nonsense"},
    "unknown unit": {"equations": "I : furlong"},
    "twice": {"equations": "I : 1\nI : 1"},
    "circle": {"equations": "I = J : 1\nJ = I : 1"},
    "attribute": {"x": "x.y/tau_x"},
    "text": {"x": "'a'"},
    "unknown name": {"x": "foo/tau_x"},
    "unknown function": {"x": "foo(x)/tau_x"},
    "wrong unit": {"x": "1*volt/second"},
    "text as a value": {"equations": "I : 1", "parameters": {"I": "a"}},
    "object as a value": {"equations": "I : 1", "parameters": {"I": object()}},
    "no parameters": {"equations": "I : 1", "parameters": 3},
    "number as a name": {"equations": "I : 1", "parameters": {3: 1}},
}


def relax(backend: str, **given: Any) -> ns.Run:
    extension = ns.Extension("hidden1", **given)
    net = ns.Network.mlp([5, 4, 3], seed=0)
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend=backend, extensions=extension)
    X = np.random.default_rng(0).normal(size=(2, 5))
    return sim.relax(X, [0, 2], duration=2e-3, record="x")


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_an_extension_that_makes_no_equations_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(
        ns.ModelError,
        match=r"the extension of hidden1|does not fit its population|parameters = |I of",
    ):
        relax("numpy", **given)


@pytest.mark.compiler
@pytest.mark.parametrize("backend", ["cython", "standalone"])
def test_it_is_refused_before_anything_is_compiled(backend: str) -> None:
    given = WRONG["no expression"]
    with pytest.raises(ns.ModelError, match="the extension of hidden1 makes no equations: invalid"):
        relax(backend, **given)
