"""Every error survives pickle, copy and a process pool, with its message and its attributes."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest

import neurosim as ns
from neurosim import errors

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ns.NeurosimError | Warning)
]


def made(kind: type[Exception]) -> Any:
    """An error of a kind with everything that it can hold."""
    if kind is ns.DivergenceError:
        return kind("left", time=1.5, population="hidden1", run={"x": np.arange(3)})
    return kind("dt = -1; allowed: a time > 0")


def fail(kind: type[Exception]) -> None:
    """Raise an error of a kind, in a process of a pool."""
    raise made(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("again", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_error_is_the_same_after_a_copy(kind: type[Exception], again: Any) -> None:
    error = made(kind)
    error.log = "rows"
    error.add_note("point 3")
    found = again(error)
    if isinstance(found, bytes):
        found = pickle.loads(found)
    assert type(found) is kind
    assert str(found) == str(error)
    assert found.args == error.args
    assert found.__notes__ == ["point 3"]
    assert set(vars(found)) == set(vars(error))
    for name in ("log", "time", "population"):
        assert getattr(found, name, None) == getattr(error, name, None)


def test_every_error_comes_out_of_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in KINDS:
            with pytest.raises(kind, match=str(made(kind))) as caught:
                pool.submit(fail, kind).result()
            for name in ("time", "population"):
                assert getattr(caught.value, name, None) == getattr(made(kind), name, None)


@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
def test_a_divergence_keeps_its_run_and_a_training_its_log() -> None:
    sim = ns.Simulation(ns.Network.mlp([2, 2], seed=0), ns.Flow.adjoint(), dt=0.1, backend="numpy")
    with pytest.raises(ns.DivergenceError) as caught:
        sim.train([[1.0, 2.0]], [0], ns.Simultaneous(duration=500, reports=50), record="x")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.run.traces.identical(caught.value.run.traces)
    assert again.log.history.identical(caught.value.log.history)
