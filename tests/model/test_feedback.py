"""Feedback weights: where a flow through B rests, how B moves, and that files keep it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from brian2 import ms
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

import neurosim as ns
from neurosim.analysis.check import check
from neurosim.errors import ModelError
from neurosim.experiments import modelfile, studies
from neurosim.experiments.studies import weight_transport as transport
from neurosim.model import feedback
from neurosim.model.weights import transposed
from neurosim.reference.jacobian import Linearised
from neurosim.results.metrics import angle
from neurosim.simulation import batch as together
from neurosim.simulation.weight_mirror import mirror
from tests.helpers import measured
from tests.helpers.examples import some
from tests.helpers.problems import SEEDS, dags, dense, random_state, rings

KINDS = tuple(kind for kind in feedback.KINDS if kind != feedback.SYMMETRIC)
LEARNT = {"feedback": "kolen_pollack", "feedback_decay": 0.3}


def with_feedback(net: ns.Network, kind: str, seed: int) -> ns.Network:
    """The same network with messages that return through B wherever that can be."""
    own = {
        n: kind if not net.populations[q.pre].clamped and net.weights[n].size else "symmetric"
        for n, q in net.projections.items()
    }
    projections = [
        replace(q, weights=net.weights[n], mask=None, feedback=own[n])
        for n, q in net.projections.items()
    ]
    twin = ns.Network(
        list(net.populations.values()), projections, list(net.losses.values()), seed=seed
    )
    twin.biases = net.biases
    return twin


def layers(seed: int = 3, **keys) -> ns.Network:
    return ns.Network.mlp([6, 5, 4, 3], loss="mse", seed=seed, **keys)


def data(patterns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(patterns, 6)), rng.normal(size=(patterns, 3))


def adjoint_by_hand(net: ns.Network, X, Y) -> dict[str, np.ndarray]:
    """lam of tanh layers with a linear output and mse, a loop over layers in plain NumPy."""
    names = ["input", "hidden1", "hidden2", "output"]
    x, slopes = {"input": X}, {}
    for pre, post in pairwise(names):
        a = x[pre] @ net.weights[f"{pre}->{post}"].T + net.biases[post]
        x[post], slopes[post] = (
            (a, np.ones_like(a)) if post == "output" else (np.tanh(a), 1 - np.tanh(a) ** 2)
        )
    lam = {"output": Y - x["output"]}
    for pre, post in (("hidden2", "output"), ("hidden1", "hidden2")):
        lam[pre] = (slopes[post] * lam[post]) @ net.feedback[f"{pre}->{post}"].T
    return lam


# --- where a flow rests


def test_the_adjoint_through_B_is_that_of_a_loop_over_layers() -> None:
    net, (X, Y) = layers(feedback="random"), data()
    truth = adjoint_by_hand(net, X, Y)
    found = ns.reference.backprop(net, X, Y, through="feedback")
    for n, lam in truth.items():
        assert_allclose(found.lam[n], lam, rtol=0, atol=1e-13, err_msg=n)
    backpropagation = ns.reference.backprop(net, X, Y)
    assert angle(backpropagation.lam["hidden1"], found.lam["hidden1"]) > 10


@settings(max_examples=some(8), deadline=None)
@given(problem=st.one_of(dags(), rings()), kind=st.sampled_from(["random", "sign"]), seed=SEEDS)
def test_at_rest_lam_is_the_adjoint_through_B(problem, kind: str, seed: int) -> None:
    """Skips, cycles, sparse projections; on a cycle B is so small that messages die out."""
    net, X, Y = problem
    assume(kind == "random" or net.order() is not None)
    net = with_feedback(net, kind, seed)
    if kind == "random" and net.order() is None:
        for n, B in net.feedback.items():
            norm = max(np.linalg.norm(dense(B)), 1e-12)
            net.feedback[n] = B * min(1.0, 0.5 / norm / len(net.feedback))
    truth = ns.reference.backprop(net, X, Y, through="feedback")
    tau = 10 * ms
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_x=tau, tau_lam=tau), dt=tau / 2, backend="numpy")
    run = sim.relax(X, Y, duration=4)
    for n, lam in truth.lam.items():
        assert_allclose(run.lam[n], lam, rtol=0, atol=1e-6 * (1 + np.abs(lam).max()), err_msg=n)


@pytest.mark.parametrize("flow", [ns.Flow.damped(), ns.Flow.rotated(np.radians(75))])
def test_saddle_flows_that_settle_rest_there_too(flow: ns.Flow) -> None:
    net, (X, Y) = layers(feedback="random"), data()
    run = ns.Simulation(net, flow, dt=2 * ms, backend="numpy").relax(X, Y, duration=3)
    found = ns.alignment(run, ns.reference.backprop(net, X, Y, through="feedback"))
    assert found.max_error < 1e-6
    assert max(found.grad_error.values()) < 1e-6


# --- how B moves


@pytest.mark.parametrize("keys", [LEARNT, {"feedback": "random"}])
def test_moving_weights_follow_scipy(keys) -> None:
    """B too, where it learns; rk4, so that the order does not hide it."""
    net, (X, Y), flow = layers(**keys), data(), ns.Flow.damped(tau_w=30 * ms)
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=40 * ms, plastic=True)
    begin = {n: B.copy() for n, B in net.feedback.items()}
    sim = ns.Simulation(net, flow, dt=0.5 * ms, method="rk4", backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=40 * ms, reports=2))
    for n in net.weights:
        assert_allclose(net.weights[n], truth.weights[n], rtol=0, atol=1e-7, err_msg=n)
    for n, B in net.feedback.items():
        assert_allclose(B, truth.feedback[n], rtol=0, atol=1e-7, err_msg=n)
        assert (np.abs(B - begin[n]).max() > 1e-2) == (keys == LEARNT)


def test_kolen_and_pollack_forget_the_difference_to_W() -> None:
    """tau_w d(B - W^T)/dt = -c (B - W^T); by Euler's steps it decays as (1 - c dt/tau_w)^n."""
    net, (X, Y) = layers(**LEARNT), data()
    before = {n: B - net.weights[n].T for n, B in net.feedback.items()}
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w=50 * ms), dt=1 * ms, backend="numpy")
    sim.train(X, Y, ns.Simultaneous(duration=100 * ms, reports=2))
    for n, B in net.feedback.items():
        assert_allclose(B - net.weights[n].T, before[n] * (1 - 0.3 / 50) ** 100, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["euler", "rk4"])
def test_signs_are_those_of_the_weights_at_every_moment(method: str) -> None:
    net, (X, Y) = layers(feedback="sign"), data()
    size = net.projections["hidden2->output"].feedback_size
    first = net.weights["hidden2->output"].copy()
    assert size == pytest.approx(np.sqrt(np.mean(first**2)))
    sim = ns.Simulation(
        net, ns.Flow.adjoint(tau_w=10 * ms), dt=1 * ms, method=method, backend="numpy"
    )
    run = sim.train(X, Y, ns.Simultaneous(duration=150 * ms, reports=1)).run
    w = run.network.weights["hidden2->output"]
    assert (np.sign(w) != np.sign(first)).any()
    assert_allclose(run.network.feedback["hidden2->output"], size * np.sign(w.T), rtol=0, atol=0)


@pytest.mark.compiler
@pytest.mark.slow
def test_the_program_computes_the_same() -> None:
    """All kinds that move step by step, and one that rests, in one network."""
    kinds = {
        "hidden1->hidden2": "sign",
        "hidden2->hidden3": "kolen_pollack",
        "hidden3->output": "random",
    }
    X, Y = data(1)
    found = []
    for backend in ("numpy", "standalone"):
        net = ns.Network.mlp(
            [6, 4, 3, 4, 3], loss="mse", seed=5, feedback=kinds, feedback_decay=0.2
        )
        sim = ns.Simulation(net, ns.Flow.damped(tau_w=30 * ms), dt=1 * ms, backend=backend)
        found.append(sim.train(X, Y, ns.Simultaneous(duration=60 * ms, reports=1)).run)
    ours, theirs = (run.network for run in found)
    for n in kinds:
        assert_allclose(ours.feedback[n], theirs.feedback[n], rtol=0, atol=1e-12)
        assert_allclose(ours.weights[n], theirs.weights[n], rtol=0, atol=1e-12)


def test_events_rest_at_the_adjoint_through_B() -> None:
    net, (X, Y) = layers(feedback="random"), data()
    sim = ns.Simulation(
        net, ns.Flow.damped(), dt=2 * ms, transport=ns.Events("adaptive"), backend="numpy"
    )
    run = sim.relax(X, Y, duration=1.5)
    assert ns.alignment(run, ns.reference.backprop(net, X, Y, through="feedback")).max_error < 1e-5


def test_points_with_feedback_of_their_own_relax_together() -> None:
    nets = [layers(seed, feedback="random") for seed in (1, 2)]
    X, Y = data(2)
    sim = ns.Simulation(nets[0], ns.Flow.damped(), dt=2 * ms, backend="numpy")
    points = [together.Point(net, ns.Flow.damped()) for net in nets]
    ends = together.relax(
        points, {"input": X}, {"output": Y}, sim.setting(100, 4), steps=1500, settle=1e-9
    )
    for net, end in zip(nets, ends, strict=True):
        truth = ns.reference.backprop(net, X, Y, through="feedback")
        assert ns.alignment(end.run, truth).max_error < 1e-6


def test_a_mirror_comes_near_the_weights_times_the_mean_slope() -> None:
    """By Stein's lemma and Gauss-Hermite quadrature, within five standard errors."""
    net = ns.Network.mlp([3, 6, 5, 2], loss="mse", seed=1, feedback="mirror")
    nights = 60
    name = "hidden1->hidden2"
    w, seen = net.weights[name], np.zeros_like(net.feedback[name])
    for night in range(nights):
        mirror(net, [0, night])
        seen += net.feedback[name] / nights
    nodes, share = np.polynomial.hermite_e.hermegauss(40)
    share = share / share.sum()
    slopes = np.array([share @ (1 / np.cosh(0.5 * np.linalg.norm(row) * nodes) ** 2) for row in w])
    # of an average of answers times noise
    error = np.linalg.norm(w, axis=1).max() / np.sqrt(64 * 30 * nights)
    assert np.abs(seen - (slopes[:, None] * w).T).max() < 5 * error * np.sqrt(19 / 30 + 1)
    assert angle(net.feedback[name], w.T) < 15


def test_mirrors_learn_by_day_and_night_from_the_seed() -> None:
    X, Y = data()
    ends = []
    for seed in (0, 0, 1):
        net = layers(feedback="mirror")
        sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1 * ms, backend="numpy", seed=seed)
        log = sim.train(X, Y, ns.Simultaneous(duration=20 * ms, reports=2))
        ends.append((net, log))
    first, same, other = (net.feedback["hidden1->hidden2"].tobytes() for net, _ in ends)
    assert first == same
    assert first != other
    assert float(ends[0][1].history["angle.hidden1->hidden2"][-1]) < 20


# --- stability


@pytest.mark.parametrize("plastic", [False, True])
def test_the_jacobian_has_B_in_it(plastic: bool) -> None:
    """Formulas against central differences of the reference's right-hand side, away from rest."""
    net, (X, Y) = layers(feedback={"hidden1->hidden2": "random"}), data(2)
    x, lam = random_state(net, 4, 2)
    linear = Linearised(
        net,
        ns.Flow(kappa=0.7, gamma=0.4, rho=0.5),
        x,
        lam,
        {"input": X},
        {"output": Y},
        plastic=plastic,
    )
    directions = np.random.default_rng(1).normal(size=(3, linear.size))
    assert linear.exact
    assert_allclose(linear.apply(directions), linear._differences(directions), rtol=0, atol=1e-5)
    if not plastic:
        assert_allclose(linear.apply(linear.solve(directions)), directions, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("flow", "grows"), [(ns.Flow.augmented(1), True), (ns.Flow.damped(), False)]
)
def test_the_spectrum_gives_how_a_push_grows_or_dies_out(flow: ns.Flow, grows: bool) -> None:
    """B at a right angle to W^T, five layers; the rate against that of the engine's rk4."""
    net = ns.Network.mlp([6, 6, 3], depth=5, loss="mse", seed=1, feedback="random")
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(1, 6)), rng.normal(size=(1, 3))
    spec = ns.stability(net, flow, X, Y)
    assert spec.growing == grows
    step = 0.2 / float(np.abs(spec.eigenvalues).max())
    steps = int(25 / (step * abs(spec.slowest_rate)))
    found = measured.growth(net, flow, X, Y, step, "rk4", steps=min(steps, 3000))
    assert found / step == pytest.approx(-spec.slowest_rate, rel=0.1)


def test_a_check_of_a_model_with_feedback_passes() -> None:
    net, (X, Y) = layers(feedback="sign"), data(2)
    assert check(net, ns.Flow.adjoint(), X, Y, backend="numpy").passed


# --- logs, files, refusals


def test_the_log_has_angles_in_degrees() -> None:
    net, (X, Y) = layers(feedback="random"), data()
    log = ns.Simulation(net, ns.Flow.adjoint(), dt=1 * ms, backend="numpy").train(
        X, Y, ns.Simultaneous(duration=50 * ms, reports=2)
    )
    B, w = net.feedback["hidden2->output"].T, net.weights["hidden2->output"]
    cosine = np.vdot(B, w) / np.linalg.norm(B) / np.linalg.norm(w)
    assert float(log.history["angle.hidden2->output"][-1]) == pytest.approx(
        np.degrees(np.arccos(cosine))
    )
    for n in ("hidden1", "hidden2"):
        u, v = (
            ns.reference.backprop(net, X, Y, through=way).lam[n].ravel()
            for way in ("feedback", "weights")
        )
        turned = np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
        assert float(log.history[f"angle.{n}"][-1]) == pytest.approx(turned)
    assert {k for k in log.history if "angle" in k} == {
        "angle.hidden1",
        "angle.hidden2",
        "angle.hidden1->hidden2",
        "angle.hidden2->output",
    }
    assert log.history["angle.hidden1"].attrs["units"] == "degree"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [None, True])
def test_files_keep_B(kind: str, mask, tmp_path) -> None:
    net = _masked(layers(), kind) if mask else layers(feedback=kind)
    X, Y = data(1)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1 * ms, backend="numpy")
    run = sim.relax(X, Y, duration=5 * ms)
    ns.save(run, tmp_path / "run.nc")
    other = net.copy()
    for n in other.weights:
        other.weights[n] = other.weights[n] * -1
        if kind != "sign" and n in other.feedback:
            other.feedback[n] = other.feedback[n] * 2
    sim.save_weights(tmp_path / "w.npz")
    ns.Simulation(other, ns.Flow.adjoint()).load_weights(tmp_path / "w.npz")
    for again in (
        ns.load(tmp_path / "run.nc").network,
        other,
        ns.Network.from_networkx(net.to_networkx()),
    ):
        assert again.describe() == net.describe()
        for n, B in net.feedback.items():
            assert_allclose(dense(again.feedback[n]), dense(B), rtol=0, atol=0)


def test_a_checkpoint_keeps_B(tmp_path) -> None:
    X, Y = data()
    schedule, ends = ns.Simultaneous(duration=40 * ms, reports=4), []

    def train(**keys):
        net = ns.Network.mlp(
            [6, 5, 4, 3],
            loss="mse",
            feedback={"hidden1->hidden2": "kolen_pollack", "hidden2->output": "mirror"},
        )
        ns.Simulation(net, ns.Flow.adjoint(), dt=1 * ms, backend="numpy").train(
            X, Y, schedule, **keys
        )
        return net

    def stop(run: ns.Run) -> None:
        if run.time > 15e-3:
            raise KeyboardInterrupt

    ends.append(train())
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=tmp_path / "c.npz", visit=stop)
    ends.append(train(resume=tmp_path / "c.npz"))
    for n, B in ends[0].feedback.items():
        assert_allclose(ends[1].feedback[n], B, rtol=0, atol=0)


def test_pruning_and_growing_keep_B() -> None:
    """Entries that stay are the same; both halves of a split neuron add up to its message."""
    net, (X, Y) = layers(feedback="random"), data()
    large = ns.grow(net, {"hidden1": [2]}, spread=0)
    before, after = (ns.reference.backprop(n, X, Y, through="feedback") for n in (net, large))
    assert_allclose(after.lam["hidden2"], before.lam["hidden2"], atol=1e-13)
    assert_allclose(
        after.lam["hidden1"][:, 2] + after.lam["hidden1"][:, 5],
        before.lam["hidden1"][:, 2],
        atol=1e-13,
    )
    net.weights["hidden1->hidden2"][:, 1] = 0  # nothing reads it
    small = ns.prune(net, X=X)
    assert small.populations["hidden1"].size == 4
    assert_allclose(
        small.feedback["hidden1->hidden2"], np.delete(net.feedback["hidden1->hidden2"], 1, axis=0)
    )


def test_the_weights_are_the_same_with_and_without() -> None:
    for kind in KINDS:
        net, plain = layers(feedback=kind), layers()
        for n, w in plain.weights.items():
            assert_allclose(net.weights[n], w, rtol=0, atol=0)
    sizes = ns.Network.mlp([4, 200, 100], feedback="random", seed=2)
    B, w = sizes.feedback["hidden1->output"], sizes.weights["hidden1->output"]
    assert B.shape == w.shape[::-1]
    assert B.std() == pytest.approx(w.std(), rel=0.05)
    assert abs(angle(B, w.T) - 90) < 3
    first = sizes.weights["input->hidden1"].ravel()
    # nor is it the same draws as any W
    assert abs(np.corrcoef(first, B.T.ravel()[: first.size])[0, 1]) < 0.15


def test_a_model_file_sets_it() -> None:
    text = """
[network]
sizes = [4, 3, 3, 2]
feedback = {"hidden1->hidden2" = "sign", "hidden2->output" = "kolen_pollack"}
feedback_decay = 0.05
[flow]
preset = "adjoint"
[data]
name = "random"
"""
    spec = modelfile.loads(text)
    net = modelfile.loads(modelfile.dump(spec)).network()
    assert {n: q.feedback for n, q in net.projections.items()} == {
        "input->hidden1": "symmetric",
        "hidden1->hidden2": "sign",
        "hidden2->output": "kolen_pollack",
    }
    assert net.projections["hidden2->output"].feedback_decay == 0.05


def test_the_study_measures_and_shows(tmp_path) -> None:
    wanted = [
        'study.networks=["64-6-10"]',
        'study.flows=["adjoint"]',
        'study.feedback=["symmetric","random"]',
        "study.tau_w=[5.0, 1e5]",
        "study.epochs=2",
        "study.seeds=1",
        "data.patterns=300",
    ]
    study = studies.load("transport", wanted)
    found, missing = studies.run(study, tmp_path)
    assert missing == 0
    assert float(found.angle.sel(feedback="symmetric").max()) == 0
    best = transport.chosen(found)
    assert (best.test == found.test.sel(tau_w=5.0)).all()  # with 1e5 nothing is learnt
    assert 5 < float(best.angle.sel(feedback="random")[0, 0, 0]) < 90
    assert len(study.figure(found).axes) == 2
    assert [c.header for c in study.table(found).columns] == ["network", "feedback", "adjoint"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: layers(feedback="kolen-pollack"), "did you mean 'kolen_pollack'"),
        (
            lambda: layers(feedback={"input->hidden1": "random"}),
            "projection of feedback = 'input->hidden1'",
        ),
        (lambda: layers(feedback="random", feedback_decay=0.1), "feedback_decay = 0.1"),
        (
            lambda: layers(feedback="kolen_pollack", feedback_decay=-1),
            "feedback_decay of hidden1->hidden2 = -1",
        ),
        (lambda: ns.Projection("a", "b", feedback_size=1.0), "does not read it"),
        (
            lambda: ns.reference.backprop(layers(), *data(), through="B"),
            "through = 'B'; allowed: weights, feedback",
        ),
    ],
)
def test_impossible_feedback_is_refused(wrong, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        wrong()


def test_feedback_is_refused_where_it_cannot_be() -> None:
    X, Y = data()
    net = layers(feedback="kolen_pollack")
    with pytest.raises(ModelError, match="while plastic"):
        ns.stability(net, ns.Flow.adjoint(), X, Y, plastic=True)
    sim = ns.Simulation(net, ns.Flow.local_propagation())
    with pytest.raises(ModelError, match="LocalPropagation"):
        sim.train(X, Y, ns.LocalPropagation(epochs=5))
    net.feedback["hidden2->output"] = net.feedback["hidden2->output"].T
    with pytest.raises(
        ModelError, match=r"feedback\['hidden2->output'\] has shape \(3, 4\).*try the transpose"
    ):
        ns.Simulation(net, ns.Flow.adjoint()).relax(X, Y, duration=1 * ms)
    sparse = _masked(layers(), "random")
    sparse.feedback["hidden2->output"] = np.ones((4, 3))
    with pytest.raises(ModelError, match="synapses that the weights do not have"):
        sparse.check_parameters()


def _masked(net: ns.Network, kind: str) -> ns.Network:
    """The same layers with half of the synapses, and feedback."""
    rng = np.random.default_rng(0)
    projections = [
        ns.Projection(
            q.pre,
            q.post,
            mask=rng.random(net.weights[n].shape) < 0.5,
            feedback="symmetric" if q.pre == "input" else kind,
        )
        for n, q in net.projections.items()
    ]
    return ns.Network(list(net.populations.values()), projections, list(net.losses.values()))


@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), seed=st.integers(0, 1000))
def test_turning_a_matrix_is_its_transpose(shape: tuple[int, int], seed: int) -> None:
    """Engine and reference both read B through it, so neither could see it wrong."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=shape) * (rng.random(shape) < 0.6)
    np.testing.assert_array_equal(transposed(matrix), matrix.T)
    np.testing.assert_array_equal(transposed(csr_array(matrix)).toarray(), matrix.T)
