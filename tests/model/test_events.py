"""Events and spikes against a plain loop over held messages, dense messages and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import neurosim as ns
from neurosim.data.patterns import patterns, targets
from neurosim.reference import backprop
from neurosim.reference.functions import dsigma, sigma
from neurosim.reference.losses import loss_slope
from tests.evidence.learning import by_events
from tests.helpers import problems
from tests.helpers.examples import some

BACKENDS = ("numpy", "standalone")
TAU = 10e-3


def held_messages(net, flow, X, Y, steps, dt, send, plastic=False, delay=0):
    """x, lam, weights and biases after Euler steps with messages that were sent `delay` steps ago.

    `send(direction, now, sent)` returns the value that receivers hold from then on.
    """
    X = patterns(net, X)
    K = len(next(iter(X.values())))
    Y = targets(net, Y, K)
    zero = {n: np.zeros((K, p.size)) for n, p in net.populations.items()}
    x, lam = {**zero, **X}, {n: zero[n] for n in net.neurons}
    sent_x, sent_delta = dict(zero), dict(zero)
    line_x, line_delta = [zero] * delay, [zero] * delay
    W = {n: problems.dense(w).copy() for n, w in net.weights.items()}
    b = {n: v.copy() for n, v in net.biases.items()}
    for _ in range(steps):
        sent_x = {n: send("forward", x[n], sent_x[n]) for n in x}
        line_x.append(sent_x)
        received_x = line_x.pop(0)
        g, mu, delta = {}, {}, {}
        for n in net.neurons:
            a = b[n] + sum(received_x[q.pre] @ W[q.name].T for q in net.incoming(n))
            g[n] = x[n] - sigma(net.populations[n].activation, a)
            mu[n] = lam[n] + flow.rho * g[n]
            delta[n] = dsigma(net.populations[n].activation, a) * mu[n]
        sent_delta = {n: send("backward", delta[n], sent_delta[n]) for n in net.neurons}
        line_delta.append(sent_delta)
        received_delta = line_delta.pop(0)
        new_x, new_lam = {}, {}
        for n in net.neurons:
            slope = mu[n] - sum(received_delta[q.post] @ W[q.name] for q in net.outgoing(n))
            if n in net.losses:
                slope = slope + loss_slope(net.losses[n], x[n], Y[n])
            x_move = -flow.kappa * slope - flow.gamma * g[n]
            lam_move = flow.kappa * g[n] - flow.gamma * slope
            new_x[n] = x[n] + dt / flow.time("tau_x", n) * x_move
            new_lam[n] = lam[n] + dt / flow.time("tau_lam", n) * lam_move
        if plastic:
            for name, q in net.projections.items():
                rate = dt / flow.time("tau_w", q.post)
                W[name] += rate * received_delta[q.post].T @ received_x[q.pre] / K
            for n in net.neurons:
                rate = dt / flow.time("tau_w", n) * net.populations[n].plastic_bias
                b[n] += rate * received_delta[n].mean(axis=0)
        x, lam = x | new_x, new_lam
    return x, lam, W, b


def graded(theta, backward=None):
    """Send-on-delta."""

    def send(direction, now, sent):
        own = theta if direction == "forward" or backward is None else backward
        return np.where(np.abs(now - sent) > own, now, sent)

    return send


def spiking(quantum):
    """One signed quantum per step."""

    def send(direction, now, sent):
        spiked = sent + np.copysign(quantum, now - sent)
        return np.where(np.abs(now - sent) >= quantum, spiked, sent)

    return send


def apart(ours, theirs):
    """Largest difference."""
    return max(float(np.abs(np.asarray(ours[n]) - theirs[n]).max()) for n in ours)


RULES = {
    "events": (ns.Events(0.03), graded(0.03)),
    "two thresholds": (ns.Events(0.05, backward=0.01), graded(0.05, 0.01)),
    "spikes": (ns.Spikes(0.02), spiking(0.02)),
}


# some of them grow; so they must, in both
@pytest.mark.filterwarnings("ignore::neurosim.StabilityWarning")
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=some(8), deadline=None)
@given(problem=problems.dags(), flow=st.sampled_from([ns.Flow.augmented(), ns.Flow.adjoint()]))
def test_random_graphs_relax_as_a_plain_loop(rule, problem, flow):
    net, X, Y = problem
    transport, send = RULES[rule]
    run = ns.Simulation(net, flow, transport=transport, dt=1e-3, backend="numpy").relax(
        X, Y, duration=60e-3
    )
    x, lam, _, _ = held_messages(net, flow, X, Y, 60, 1e-3, send)
    assert apart(run.x, x) < 1e-9
    assert apart(run.lam, lam) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("count", [1, 3])
def test_all_three_flows_are_those_of_a_plain_loop(backend, rule, count):
    """One pattern of the compiled program learns by integrals, folded in twice here."""
    net, X, Y = problems.random_problem([5, 6, 4, 3], 1, patterns=count)
    flow = ns.Flow.augmented(tau_w=0.5)
    transport, send = RULES[rule]
    steps = 2300 if backend == "standalone" and count == 1 else 300
    _, lam, W, b = held_messages(net, flow, X, Y, steps, 1e-3, send, plastic=True)
    sim = ns.Simulation(net, flow, transport=transport, dt=1e-3, backend=backend)
    log = sim.train(X, Y, ns.Simultaneous(duration=steps * 1e-3, reports=2))
    assert apart(log.run.lam, lam) < 1e-9
    assert apart(net.weights, W) < 1e-9
    assert apart(net.biases, b) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["events", "spikes"])
def test_messages_arrive_after_their_delay(backend, count, kind):
    """In a plain loop with a queue of sent messages; weights move by those that have arrived."""
    net, X, Y = problems.random_problem([5, 6, 4, 3], 1, patterns=count)
    flow = ns.Flow.adjoint(tau_w=0.5)
    own, send = {"events": (ns.Events, graded(0.02)), "spikes": (ns.Spikes, spiking(0.02))}[kind]
    steps = 1200 if backend == "standalone" and count == 1 else 300  # longer, as above
    _, lam, W, b = held_messages(net, flow, X, Y, steps, 1e-3, send, plastic=True, delay=7)
    sim = ns.Simulation(net, flow, transport=own(0.02, delay=7e-3), dt=1e-3, backend=backend)
    log = sim.train(X, Y, ns.Simultaneous(duration=steps * 1e-3, reports=3))
    assert apart(log.run.lam, lam) < 1e-9
    assert apart(net.weights, W) < 1e-9
    assert apart(net.biases, b) < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_on_their_way_are_carried_over(backend, tmp_path):
    """A run in two halves, the first through a file, is the run in one."""
    net, X, Y = problems.random_problem([5, 6, 4, 3], 4, patterns=2)
    rules = dict.fromkeys(net.projections, ns.Events(0.01)) | {
        "hidden1->hidden2": ns.Spikes(0.02, delay="5 ms")
    }
    sim = ns.Simulation(net, ns.Flow.adjoint(), transport=rules, dt=1e-3, backend=backend)
    whole = sim.relax(X, Y, duration=40e-3)
    ns.save(sim.relax(X, Y, duration=18e-3), tmp_path / "half.nc")
    rest = sim.relax(X, Y, duration=22e-3, start=ns.load(tmp_path / "half.nc"))
    assert apart(rest.x, whole.x) < 1e-12
    assert apart(rest.lam, whole.lam) < 1e-12


def test_one_projection_is_late():
    """By its own delay, to the step; the other is not."""
    net, X, Y = problems.random_problem([3, 4, 2], 5, patterns=1)
    late = next(iter(net.projections))
    sim = ns.Simulation(
        net, ns.Flow.adjoint(), transport={late: ns.Events(0.0, delay=4e-3)}, dt=1e-3
    )
    run = sim.relax(X, Y, duration=10e-3, record=["a"])
    a = run.traces["a"].sel(population="hidden1").values[:, 0]
    silent = np.abs(a - net.biases["hidden1"]).max(axis=-1) < 1e-12
    assert list(silent) == [True] * 4 + [False] * (len(silent) - 4)


def test_a_negative_delay_is_refused():
    with pytest.raises(ns.ModelError, match="delay"):
        ns.Events(0.01, delay=-1e-3)


@pytest.mark.parametrize("count", [1, 4])
def test_presentations_agree_between_backends(count):
    """Adaptive thresholds, gates of plasticity, several segments."""
    found = {}
    for backend in BACKENDS:
        net, X, Y = problems.random_problem([6, 5, 3], 2, patterns=8)
        sim = ns.Simulation(
            net,
            ns.Flow.adjoint(tau_w=0.4),
            transport=ns.Events("adaptive"),
            dt=2e-3,
            backend=backend,
            seed=3,
        )
        log = sim.train(X, Y, ns.Presentations(present=80e-3, batch=count, epochs=3))
        found[backend] = {**net.weights, **log.run.lam}, ns.synaptic_operations(log.run)
    (ours, cost), (theirs, other) = found.values()
    assert apart(ours, theirs) < 1e-9
    assert cost == other
    assert cost.plasticity > 0


def test_weights_with_a_penalty_learn_by_whole_products():
    """Penalties move every weight at every step: no integrals there."""
    made = {}
    for backend in BACKENDS:
        net, X, Y = problems.random_problem([5, 4, 3], 3, patterns=1)
        net.projections = {
            n: type(q)(q.pre, q.post, row_l1=1e-3, l2=1e-2) for n, q in net.projections.items()
        }
        sim = ns.Simulation(
            net, ns.Flow.augmented(tau_w=0.3), transport=ns.Events(0.02), dt=1e-3, backend=backend
        )
        sim.train(X, Y, ns.Simultaneous(duration=0.2, reports=1))
        made[backend] = net.weights
    assert apart(*made.values()) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_projection_of_its_own_and_sparse_ones(backend):
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    net, X, Y = problems.random_problem([6, 5, 3], 4, patterns=2)
    first, second = net.projections
    dense = net.weights[first] * (rng.random(net.weights[first].shape) < 0.5)
    net.weights[first] = csr_array(dense)
    every = graded(0.02)
    mixed = ns.Simulation(
        net, ns.Flow.augmented(), transport={first: ns.Events(0.02)}, dt=1e-3, backend=backend
    )
    run = mixed.relax(X, Y, duration=50e-3)
    whole = ns.Simulation(
        net, ns.Flow.augmented(), transport=ns.Events(0.02), dt=1e-3, backend=backend
    )
    net.weights[first], kept = dense, net.weights[first]
    _, lam, _, _ = held_messages(net, ns.Flow.augmented(), X, Y, 50, 1e-3, every)
    net.weights[first] = kept
    assert apart(whole.relax(X, Y, duration=50e-3).lam, lam) < 1e-9
    only_inputs = {"hidden1": 0.0, "output": 0.0}
    same = ns.Events({"input": 0.02} | only_inputs, backward=only_inputs)
    run_same = ns.Simulation(net, ns.Flow.augmented(), transport=same, dt=1e-3, backend=backend)
    assert apart(run.lam, run_same.relax(X, Y, duration=50e-3).lam) < 1e-12
    assert set(ns.synaptic_operations(run).events) == {"input"}
    assert second in net.projections


def digits(loss, seed):
    """64-32-10 with random weights and 64 digits."""
    X, Y = load_digits(return_X_y=True)
    return ns.Network.mlp([64, 32, 10], loss=loss, seed=seed), X[:64] / 16 - 0.3, Y[:64]


def cosine(ours, theirs):
    """Of all patterns and units of one population."""
    return float((ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum()))


# flow, and the least factor of operations saved
FLOWS = {"augmented": (ns.Flow.augmented(), 35), "adjoint": (ns.Flow.adjoint(), 70)}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("seed", range(5))
def test_digits_relax_to_backpropagation_by_events(flow, loss, seed):
    """300 steps of 0.2 tau: a fixed threshold comes close, an adaptive one to 1e-5.

    `tests.evidence events_at_rest` measures fresh seeds, one of which has an error of 1e-4.
    """
    net, X, Y = digits(loss, seed)
    truth, (flow, saving) = backprop(net, X, Y), FLOWS[flow]
    run = ns.Simulation(net, flow, transport=ns.Events(0.01), dt=2e-3, backend="numpy").relax(
        X, Y, duration=0.6
    )
    assert min(cosine(run.lam[n], truth.lam[n]) for n in net.neurons) >= 0.999
    assert ns.synaptic_operations(run).saving >= saving
    run = ns.Simulation(net, flow, transport=ns.Events("adaptive"), dt=2e-3, backend="numpy").relax(
        X, Y, duration=0.6
    )
    assert apart(run.lam, truth.lam) <= 1e-5
    assert ns.synaptic_operations(run).saving >= 30


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("epochs", [0, 3, 20])
@pytest.mark.parametrize("seed", range(2))
def test_the_same_accuracy_costs_dense_messages_ten_times_more(flow, epochs, seed):
    """Adaptive thresholds over 300 steps, against dense messages that stop once as good."""
    net, X, Y = digits("mse", seed)
    everything = load_digits(return_X_y=True)
    net = ns.reference.sgd(
        net, everything[0] / 16 - 0.3, everything[1], epochs=epochs, batch=32, rate=0.2, seed=seed
    )
    truth, flow = backprop(net, X, Y), FLOWS[flow][0]
    sparse = ns.Simulation(
        net, flow, transport=ns.Events("adaptive"), dt=2e-3, backend="numpy"
    ).relax(X, Y, duration=0.6)
    reached, saving = apart(sparse.lam, truth.lam), ns.synaptic_operations(sparse).saving
    assert reached <= 1e-5
    assert saving >= 30
    traces = (
        ns.Simulation(net, flow, dt=2e-3, backend="numpy")
        .relax(X, Y, duration=0.6, record="lam")
        .traces
    )
    population = traces["population"].values
    errors = [
        np.abs(traces.lam.values[..., population == n] - truth.lam[n]).max(axis=(1, 2))
        for n in net.neurons
    ]
    # the first at which dense messages are as good
    steps = int(np.argmax(np.max(errors, axis=0) <= reached))
    assert 0 < steps < 300
    assert saving * steps / 300 >= 10


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_trajectory_tends_to_the_dense_one(flow, loss):
    """First order in theta."""
    net, X, Y = digits(loss, 0)
    thetas, errors = [0.03, 0.01, 0.003, 0.001, 0.0003], []

    def traces(transport):
        sim = ns.Simulation(net, FLOWS[flow][0], transport=transport, dt=2e-3, backend="numpy")
        return sim.relax(X, Y, duration=0.6, record=("x", "lam")).traces

    truth = traces("dense")
    for theta in thetas:
        found = traces(ns.Events(theta))
        errors.append(max(float(abs(found[v] - truth[v]).max()) for v in ("x", "lam")))
    slope = np.polyfit(np.log(thetas), np.log(errors), 1)[0]
    assert 0.9 <= slope <= 1.15
    assert (np.array(errors) <= 8 * np.array(thetas)).all()


def test_adaptive_thresholds_are_those_of_the_formula():
    """`Adaptive` states it: a remembered speed, between a floor and a roof that falls."""
    net, X, Y = problems.random_problem([6, 5, 3], 0, patterns=2)
    flow = ns.Flow.augmented(tau_x=10e-3, tau_lam=20e-3)
    rule = ns.Events(ns.Adaptive(top=0.2, floor=1e-3, fall=3.0, fade=0.7))
    sim = ns.Simulation(net, flow, transport=rule, dt=1e-3, backend="numpy")
    run = sim.relax(X, Y, duration=60e-3, record=("x", "lam", "activity", "theta"))
    here = run.traces.population == "hidden1"
    found = {v: run.traces[v].sel(unit=here).values for v in ("x", "lam", "activity", "theta")}
    speed = np.hypot(10 * np.diff(found["x"], axis=0), 20 * np.diff(found["lam"], axis=0))
    r = np.full_like(speed[0], 0.2)
    kept = 0
    for step, now in enumerate(speed):
        roof = max(0.2 * np.exp(-step * 1e-3 / 30e-3), 1e-3)
        assert np.abs(found["activity"][step] - r).max() < 1e-12
        assert np.abs(found["theta"][step] - np.clip(r, 1e-3, roof)).max() < 1e-12
        faded = 0.7 ** (1e-3 / 2e-3) * r
        kept += int((faded > now).sum())
        r = np.maximum(now, faded)
    assert 10 < kept < 0.9 * speed.size  # both terms of the maximum count


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_goes_on_where_another_stopped(backend):
    net, X, Y = problems.random_problem([6, 5, 3], 5, patterns=3)
    sim = ns.Simulation(
        net, ns.Flow.augmented(), transport=ns.Events(0.02), dt=1e-3, backend=backend
    )
    whole = sim.relax(X, Y, duration=80e-3)
    half = sim.relax(X, Y, duration=40e-3)
    assert apart(sim.relax(X, Y, duration=40e-3, start=half).lam, whole.lam) < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_silence_after_a_spike(backend):
    net, X, Y = problems.random_problem([6, 5, 3], 6, patterns=2)
    rule = ns.Spikes(1e-3, refractory=5e-3)
    sim = ns.Simulation(net, ns.Flow.augmented(), transport=rule, dt=1e-3, backend=backend)
    traces = sim.relax(X, Y, duration=80e-3, record="events_x").traces
    spikes = np.diff(traces.events_x.sel(unit=traces.population == "hidden1").values, axis=0)
    assert set(np.unique(spikes)) == {0.0, 1.0}
    for train in spikes.reshape(len(spikes), -1).T:
        assert (np.diff(np.flatnonzero(train)) >= 5).all()
    assert (np.diff(np.flatnonzero(spikes[:, 0].any(axis=1))) >= 1).all()
    rule = ns.Spikes(1e-3, max_rate=100)
    sim = ns.Simulation(net, ns.Flow.augmented(), transport=rule, dt=1e-3, backend=backend)
    limited = sim.relax(X, Y, duration=80e-3, record="events_x")  # as above: the same program
    assert limited.auxiliary["hidden1.events_x"].max() == 8  # at 0, 10, ... 70 ms


def test_operations_by_hand():
    """An event costs the synapses behind it; nothing goes back into clamped inputs."""
    net, X, Y = problems.random_problem([4, 3, 2], 7, patterns=2)
    net.weights["hidden1->output"][0, 0] = 0.0
    flow = ns.Flow.augmented()
    dense = ns.synaptic_operations(
        ns.Simulation(net, flow, dt=1e-3, backend="numpy").relax(X, Y, duration=10e-3)
    )
    assert dense.dense == 10 * (12 + 2 * 6)
    assert dense.macs == 10 * (12 + 2 * 5)
    assert dense.acs == dense.plasticity == 0
    assert dense.events == {}
    assert dense.connection_sparsity == pytest.approx(1 / 18)
    assert dense.footprint == 8 * (12 + 6 + 3 + 2 + 2 * (2 * 5 + 4))
    run = ns.Simulation(net, flow, transport=ns.Events(0.01), dt=1e-3, backend="numpy").relax(
        X, Y, duration=10e-3, record=("events_x", "events_delta"), patterns=[0, 1]
    )
    cost = ns.synaptic_operations(run)
    sent = {n: run.auxiliary[f"{n}.events_x"].sum() / 2 for n in ("input", "hidden1")}
    back = run.auxiliary["output.events_delta"].sum() / 2
    assert "hidden1.events_delta" not in run.auxiliary  # no projection receives it
    assert cost.macs == 3 * sent["input"] + 2 * sent["hidden1"] + 3 * back
    assert cost.events == {
        "input": {"forward": sent["input"]},
        "hidden1": {"forward": sent["hidden1"]},
        "output": {"backward": back},
    }
    assert cost.activation_sparsity == pytest.approx(1 - (sum(sent.values()) + back) / (10 * 9))
    assert run.settings["synaptic_operations"]["macs"] == cost.macs
    spiking_run = ns.Simulation(net, flow, transport="spikes", dt=1e-3, backend="numpy").relax(
        X, Y, duration=10e-3
    )
    spikes = ns.synaptic_operations(spiking_run)
    assert spikes.macs == 0
    assert spikes.acs > 0


def test_plasticity_is_counted_while_it_lasts():
    net, X, Y = problems.random_problem([4, 3, 2], 8, patterns=4)
    schedule = ns.Presentations(present=10e-3, plastic_from=0.6, batch=1, epochs=1)
    log = ns.Simulation(net, ns.Flow.adjoint(tau_w=1.0), dt=1e-3, backend="numpy").train(
        X, Y, schedule
    )
    cost = ns.synaptic_operations(log.run)
    assert log.run.steps == 40
    assert cost.dense_plasticity == cost.plasticity == 4 * 4 * 18


def test_a_saved_run_can_still_be_counted(tmp_path):
    net, X, Y = problems.random_problem([4, 3, 2], 9, patterns=2)
    rule = ns.Events({"input": 0.02, "hidden1": "adaptive"}, backward=0.01)
    run = ns.Simulation(net, ns.Flow.augmented(), transport=rule, dt=1e-3, backend="numpy").relax(
        X, Y, duration=10e-3
    )
    ns.save(run, tmp_path / "run.nc")
    assert ns.synaptic_operations(ns.load(tmp_path / "run.nc")) == ns.synaptic_operations(run)


@pytest.mark.parametrize(
    ("transport", "words"),
    [
        ("event", "'events'"),
        ({"input->hiden1": "events"}, "input->hidden1"),
        ({"kind": "events", "thta": 0.1}, "theta"),
        ({"kind": "events", "theta": {"top": 0.1, "flor": 0.1}}, "floor"),
        (3, "Events"),
    ],
)
def test_other_than_a_transport_is_refused(transport, words):
    net, _, _ = problems.random_problem([4, 3, 2], 0)
    with pytest.raises(ns.ModelError, match=words):
        ns.Simulation(net, ns.Flow.augmented(), transport=transport)


def test_unknown_populations_and_methods_are_refused():
    net, _, _ = problems.random_problem([4, 3, 2], 0)
    with pytest.raises(ns.ModelError, match="hidden1"):
        ns.Simulation(net, ns.Flow.augmented(), transport=ns.Events({"hiden1": 0.1}))
    with pytest.raises(ns.ModelError, match="euler"):
        ns.Simulation(net, ns.Flow.augmented(), transport="events", method="rk4")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ns.Events(-0.1),
        lambda: ns.Events(float("nan")),
        lambda: ns.Events("adaptiv"),
        lambda: ns.Spikes(0.0),
        lambda: ns.Spikes("adaptive"),
        lambda: ns.Spikes(max_rate=0),
        lambda: ns.Spikes(refractory=-1.0),
        lambda: ns.Adaptive(fade=1.5),
        lambda: ns.Adaptive(floor=1.0, top=0.1),
    ],
)
def test_wrong_thresholds_are_refused(wrong):
    with pytest.raises(ns.ModelError, match="allowed"):
        wrong()


def test_models_by_events_run_and_are_checked(tmp_path):
    """The table counts operations; a proof of the equations is one of dense messages."""
    from typer.testing import CliRunner

    from neurosim.cli import app

    wide = {"COLUMNS": "200"}
    options = ["--out", str(tmp_path), "--set", "output.formats=['svg']"]
    result = CliRunner().invoke(app, ["run", "spikes", *options], env=wide)
    assert result.exit_code == 0
    assert "events of hidden1" in result.output
    assert "AC" in result.output
    assert ns.load(tmp_path / "run.nc").settings["synaptic_operations"]["acs"] > 0
    checked = CliRunner().invoke(app, ["check", "events", "--patterns", "2"], env=wide)
    assert checked.exit_code == 0
    assert "dense messages" in checked.output


def lines(ax):
    """Drawn points by label."""
    return {line.get_label(): line.get_xydata() for line in ax.lines}


def test_pictures_of_events():
    """Marks are events, the last point of each line is what the run counted."""
    from matplotlib.figure import Figure

    net, X, Y = problems.random_problem([6, 5, 3], 0, patterns=2)
    sim = ns.Simulation(
        net, ns.Flow.augmented(), transport=ns.Events(0.02), dt=1e-3, backend="numpy"
    )
    run = sim.relax(X, Y, duration=80e-3, record=("x", "lam", "events_x", "events_delta"))
    raster = ns.plot.events(run, ax=Figure().add_subplot())
    marks = sum(len(line.get_xydata()) for line in raster.lines)
    counted = 0.0
    for v, names in (("events_x", ("input", "hidden1")), ("events_delta", ("output",))):
        for n in names:
            counted += float(run.traces[v][-1, 0].sel(unit=run.traces.population == n).sum())
    assert marks == counted > 20
    above, *below = ns.plot.events_over_traces(run, pattern=1).axes
    assert [ax.get_ylabel() for ax in below] == ["output x (1)", "multiplier λ (1)"]
    assert all(ax.get_xlim() == above.get_xlim() for ax in below)
    second = run.traces["x"].sel(unit=run.traces.population == "output")[:, 1].values
    assert any(np.array_equal(line.get_ydata(), second[:, 0]) for line in below[0].lines)
    drawn = lines(ns.plot.operations(run, ax=Figure().add_subplot()))
    cost = ns.synaptic_operations(run)
    assert drawn["dense"][-1, 1] == pytest.approx(cost.dense)
    recorded = (
        run.traces["events_x"]
        .sel(unit=run.traces.population == "input")[-1]
        .values.sum(axis=1)
        .mean()
        * 5
    )
    assert drawn["input"][-1, 1] == pytest.approx(recorded)
    curve = ns.plot.cost([run, sim.relax(X, Y, duration=40e-3)], ax=Figure().add_subplot())
    assert "θ = 0.02" in [text.get_text() for text in curve.texts]
    assert len(ns.plot.summary(run).axes) >= 5
    with pytest.raises(ns.DataError, match="events_x"):
        ns.plot.events(sim.relax(X, Y, duration=10e-3, record="x"))
    with pytest.raises(ns.DataError, match="events_x was not recorded"):
        ns.plot.events_over_traces(sim.relax(X, Y, duration=10e-3, record=("x", "lam")))
    with pytest.raises(ns.DataError, match="events_delta"):
        ns.plot.operations(sim.relax(X, Y, duration=10e-3, record="events_x"))
    stream = sim.stream(X, Y, per_frame=10e-3, record=("x", "lam"))
    with pytest.raises(ns.DataError, match="stream"):
        ns.plot.agreement(stream)


@pytest.mark.slow
def test_digits_are_learnt_by_events_and_by_spikes():
    """One pattern at a time, 60 steps: within a point of dense messages, mean of three seeds."""
    rules = {
        "dense": ns.Dense(),
        "0.01": ns.Events(0.01),
        "0.03": ns.Events(0.03),
        "spikes": ns.Spikes(0.1, backward=0.03),
    }
    mean = {}
    for name, rule in rules.items():
        mean[name] = np.mean([by_events(seed, rule, "standalone")[0] for seed in range(3)])
    assert mean["dense"] > 0.92
    assert min(mean.values()) >= mean["dense"] - 0.01


@pytest.mark.parametrize(
    "rule", [ns.Events(theta=0.01), ns.Events("adaptive"), ns.Spikes(quantum=0.01)]
)
def test_adaptive_steps_are_refused(rule) -> None:
    """An event is sent once per step; stages and repeated steps would send it again."""
    net, X, Y = problems.random_problem([4, 3, 2], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), transport=rule)
    with pytest.raises(
        ns.ModelError, match="events need method='euler' or 'exponential_euler': adaptive"
    ):
        sim.relax(X, Y, duration=20e-3, adaptive=True)
