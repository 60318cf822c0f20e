"""Streams: how frames are made, and how they pass through one set of neurons, one by one."""

from __future__ import annotations

import numpy as np
import pytest

import neurosim as ns
from neurosim.data.streams import dvs, moving_digits
from neurosim.reference import backprop
from tests.evidence.learning import followed
from tests.helpers import problems

BACKENDS = ("numpy", "standalone")


def test_slow_digits_move_little_and_stay_on_the_canvas():
    slow, fast = (moving_digits(300, speed=v, dwell=100, seed=1) for v in (0.05, 1.0))
    assert slow.X.shape == (300, 256)
    assert 0 <= slow.X.min() <= slow.X.max() <= 1
    change = [np.abs(np.diff(s.X[:100], axis=0)).sum(axis=1).mean() for s in (slow, fast)]
    assert 0 < change[0] < change[1] / 5
    assert len(set(slow.Y[:100])) == 1
    mass = slow.X[:100].sum(axis=1)  # nothing leaves the canvas, linear interpolation keeps the sum
    assert np.allclose(mass, mass[0])
    assert np.array_equal(slow.X, moving_digits(300, speed=0.05, dwell=100, seed=1).X)


@pytest.mark.parametrize(
    ("key", "value"), [("frames", 0), ("speed", -1.0), ("speed", np.nan), ("side", 7), ("dwell", 0)]
)
def test_impossible_streams_are_refused(key, value):
    with pytest.raises(ns.ModelError, match=key):
        moving_digits(**{"frames": 10, key: value})


def test_sensor_events_follow_the_image():
    """Their sum, each by the change it stands for, is never further than theta from the image."""
    frames = np.cumsum(np.random.default_rng(0).normal(scale=0.05, size=(200, 6)), axis=0)
    events = dvs(frames, 0.1)
    assert set(np.unique(events)) == {-1.0, 0.0, 1.0}
    level = np.zeros(6)
    for frame, sent in zip(frames, events, strict=True):
        changed = sent != 0
        assert (np.sign(frame - level)[changed] == sent[changed]).all()
        level = np.where(changed, frame, level)
        assert (np.abs(frame - level) <= 0.1).all()
    with pytest.raises(ns.ModelError, match="theta"):
        dvs(frames, 0.0)
    with pytest.raises(ns.DataError, match="shape"):
        dvs(frames[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transport", ["dense", "events"])
def test_a_stream_is_its_frames_one_after_the_other(backend, transport):
    """The same as relaxing each frame from where the last one ended."""
    net, X, Y = problems.random_problem([5, 4, 3], 0, patterns=4)
    sim = ns.Simulation(net, ns.Flow.augmented(), transport=transport, dt=1e-3, backend=backend)
    run = sim.stream(X, Y, per_frame=7e-3, record=("x", "lam"))
    state = "zero"
    for k in range(4):
        state = sim.relax(
            X[k : k + 1], {n: y[k : k + 1] for n, y in Y.items()}, duration=7e-3, start=state
        )
        if k < 3:  # sample k + 1 is taken at the end of frame k
            recorded = run.traces.lam.sel(unit=run.traces.population == "hidden1")[k + 1, 0]
            assert np.abs(recorded - state.lam["hidden1"][0]).max() < 1e-12
    assert np.abs(run.lam["output"] - state.lam["output"]).max() < 1e-12
    assert run.steps == 28


def test_a_still_stream_comes_to_rest_at_backpropagation():
    net, X, Y = problems.random_problem([5, 4, 3], 1, patterns=1)
    sim = ns.Simulation(
        net, ns.Flow.adjoint(), transport=ns.Events("adaptive"), dt=2e-3, backend="numpy"
    )
    still = np.repeat(X, 60, axis=0)
    run = sim.stream(still, {n: np.repeat(y, 60, axis=0) for n, y in Y.items()}, per_frame=0.5)
    truth = backprop(net, X, Y)
    assert max(np.abs(run.lam[n] - truth.lam[n]).max() for n in net.neurons) < 1e-5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "flow", [ns.Flow.adjoint(), ns.Flow.augmented()], ids=["adjoint", "augmented"]
)
def test_slow_digits_are_followed_for_few_operations(flow, seed):
    """Received messages point where backpropagation's gradient does; less so for faster digits."""
    angle, saving = followed(flow, 0.05, seed)
    assert angle <= 10
    assert saving >= 10
    assert followed(flow, 1.0, seed)[0] > angle


@pytest.mark.slow
def test_nothing_drifts_in_a_million_steps():
    """Net inputs, summed event by event while weights move, stay W times what was sent."""
    frames, steps = 20_000, 50
    net = ns.Network.mlp([64, 16, 10], loss="mse", seed=0)
    stream = moving_digits(frames, speed=0.5, side=8, dwell=5, seed=2)
    flow, dt = ns.Flow.adjoint(tau_w=5.0), 2e-3
    sim = ns.Simulation(net, flow, transport=ns.Events(0.01), dt=dt, backend="standalone")
    every = (frames * steps - 1) * dt
    start = {n: w.copy() for n, w in net.weights.items()}
    run = sim.stream(
        stream.X,
        stream.Y,
        per_frame=steps * dt,
        plastic=True,
        record=("a", "sent_x", "w"),
        every=every,
    )
    assert run.steps == 1_000_000
    assert max(np.abs(net.weights[n] - start[n]).max() for n in start) > 0.01
    last = run.traces.isel(time=-1)
    sent = {"input": run.auxiliary["input.sent_x"][0]}
    sent["hidden1"] = last.sent_x.sel(unit=last.population == "hidden1").values[0]
    for name, q in net.projections.items():
        w = last.w.sel(synapse=last.projection == name).values.reshape(net.weights[name].shape)
        step = dt / flow.time("tau_w", q.post)
        b = net.biases[q.post] - step * run.auxiliary[f"{q.post}.sent_delta"][0]
        a = last.a.sel(unit=last.population == q.post).values[0]
        assert np.abs(a - b - w @ sent[q.pre]).max() <= 1e-9


def test_the_model_of_a_stream(tmp_path):
    """`[stream]` in a model file, with the cost in the table; not together with `[train]`."""
    from typer.testing import CliRunner

    from neurosim.cli import app
    from neurosim.experiments import modelfile

    given = ("data.patterns=30", "stream.plastic=true", "data.dwell=10", "output.formats=['svg']")
    keys = [f"--set={key}" for key in given]
    printed = CliRunner().invoke(
        app, ["run", "stream", *keys, "--out", str(tmp_path)], env={"COLUMNS": "200"}
    )
    assert printed.exit_code == 0, printed.output
    run = ns.load(tmp_path / "run.nc")
    assert run.steps == 150
    assert run.traces.sizes["time"] == 30
    assert run.settings["synaptic_operations"]["plasticity"] > 0
    spec = modelfile.load("stream", ["train.schedule='presentations'"])
    with pytest.raises(ns.ModelError, match=r"\[train\] and \[stream\]"):
        spec.run(spec.simulation(), spec.data())
