"""At rest lam is backpropagation's adjoint; the way there is SciPy's trajectory."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

import neurosim as ns
from tests.helpers.examples import some
from tests.helpers.problems import Problem, dags, kink_distance, random_problem, random_state, rings
from tests.helpers.stepping import dense

TAU = 10e-3  # s
# every example builds a simulation; reproducible, so that CI does not search
PROOF = settings(
    max_examples=some(20), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def assert_rest(run: ns.Run, truth, tolerance: float) -> None:
    for n in run.lam:
        assert_allclose(run.x[n], truth.x[n], rtol=0, atol=tolerance, err_msg=f"x of {n}")
        assert_allclose(run.lam[n], truth.lam[n], rtol=0, atol=tolerance, err_msg=f"lam of {n}")


def away_from_kinks(net: ns.Network, X, Y) -> bool:
    return kink_distance(net, ns.reference.forward(net, X), Y) > 1e-6


def longest_path(net: ns.Network) -> int:
    return nx.dag_longest_path_length(net.to_networkx())


@PROOF
@given(problem=dags())
def test_on_acyclic_graphs_the_multipliers_are_the_adjoint(problem: Problem) -> None:
    """`adjoint` with dt = tau: up and down the longest path."""
    net, X, Y = problem
    assume(away_from_kinks(net, X, Y))
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=TAU).relax(
        X, Y, duration=2 * longest_path(net) * TAU + TAU
    )
    assert_rest(run, ns.reference.backprop(net, X, Y), 1e-10)


@PROOF
@given(problem=rings())
def test_on_contractive_cycles_the_multipliers_are_the_implicit_adjoint(problem: Problem) -> None:
    net, X, Y = problem
    assume(away_from_kinks(net, X, Y))
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=0.8 * TAU).relax(X, Y, duration=300 * TAU)
    assert_rest(run, ns.reference.backprop(net, X, Y), 1e-6)


@settings(PROOF, max_examples=some(10))
@given(
    problem=st.one_of(dags(), rings()),
    preset=st.sampled_from([ns.Flow.damped, lambda: ns.Flow.rotated(1.3, 0.5)]),
)
def test_mixed_flows_settle_on_the_same_point(problem: Problem, preset) -> None:
    """A saddle flow that settles does so there; nothing is claimed of one that does not."""
    net, X, Y = problem
    assume(away_from_kinks(net, X, Y))
    flow = preset()
    try:
        run = ns.Simulation(net, flow, dt=0.1 * TAU).relax(X, Y, duration=150 * TAU)
    except (ns.DivergenceError, ns.StabilityWarning):
        assume(False)
    rates = ns.reference.right_hand_side(net, flow, run.x, run.lam, X, Y)
    for rate in (*rates.x.values(), *rates.lam.values()):
        assume(np.abs(rate).max() * TAU < 1e-9)
    assert_rest(run, ns.reference.backprop(net, X, Y), 1e-6)


@pytest.mark.parametrize("layers", [*range(2, 8), 12, 20])
def test_adjoint_at_dt_tau_is_backpropagation_in_2l_steps(layers: int) -> None:
    net, X, Y = random_problem([5, *[6] * (layers - 1), 3], seed=layers)
    run = ns.Simulation(net, ns.Flow.adjoint(), dt=TAU).relax(X, Y, duration=2 * layers * TAU)
    assert run.steps == 2 * layers
    assert_rest(run, ns.reference.backprop(net, X, Y), 1e-12)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("flow", [ns.Flow.augmented(1), ns.Flow.damped(), ns.Flow.adjoint()])
@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_digits_settle_to_a_millionth_in_600_steps(flow: ns.Flow, backend: str, loss: str) -> None:
    X, Y = (part[:64] for part in load_digits(return_X_y=True))
    net = ns.Network.mlp([64, 32, 10], loss=loss)
    run = ns.Simulation(net, flow, dt=0.2 * TAU, backend=backend).relax(
        X / 16, Y, duration=120 * TAU
    )
    assert run.steps == 600
    assert_rest(run, ns.reference.backprop(net, X / 16, Y), 1e-6)


PRESETS = [
    ns.Flow.arrow_hurwicz,
    ns.Flow.augmented,
    ns.Flow.damped,
    ns.Flow.rotated,
    ns.Flow.adjoint,
]


# arrow_hurwicz: no Euler step is stable for ever
@pytest.mark.filterwarnings("ignore::neurosim.errors.StabilityWarning")
@pytest.mark.parametrize("method", ["euler", "semi_implicit"])
@pytest.mark.parametrize("plastic", [False, True])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_trajectory_is_scipys_to_first_order(preset, plastic: bool, method: str) -> None:
    """The error halves with dt, also while weights move."""
    net, X, Y = random_problem([5, 4, 3], seed=3)
    flow = preset(tau_w=3 * TAU)
    x, lam = random_state(net, 7, len(X))
    start = ns.State({n: 0.3 * v for n, v in x.items()}, {n: 0.3 * v for n, v in lam.items()})
    end = 2 * TAU
    truth = ns.reference.solve_ivp(net, flow, X, Y, duration=end, plastic=plastic, start=start)
    errors = []
    for steps in (80, 160, 320):
        own = net.copy()
        sim = ns.Simulation(own, flow, dt=end / steps, method=method)
        if plastic:
            run = sim.train(X, Y, ns.Simultaneous(duration=end, reports=1), start=start).run
        else:
            run = sim.relax(X, Y, duration=end, start=start)
        gaps = [np.abs(run.x[n] - truth.x[n]).max() for n in run.x]
        gaps += [np.abs(run.lam[n] - truth.lam[n]).max() for n in run.lam]
        if plastic:
            gaps += [np.abs(own.weights[n] - truth.weights[n]).max() for n in own.weights]
            gaps += [np.abs(own.biases[n] - truth.biases[n]).max() for n in own.biases]
        errors.append(max(gaps))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert errors[-1] > 1e-8  # far from SciPy's own tolerance: the ratios measure the step
    assert_allclose(ratios, 2, rtol=0.05)


def test_batches_do_not_touch_each_other() -> None:
    """A pattern's trajectory depends on no other of its batch, at several offsets and scales."""
    X, Y = (part[:64] for part in load_digits(return_X_y=True))
    net = ns.Network.mlp([64, 16, 10], loss="mse", seed=4)
    for offset, scale in ((0.0, 1 / 16), (-0.3, 1 / 16), (0.5, 1 / 4)):
        sim = ns.Simulation(net, ns.Flow.augmented(2), dt=0.1 * TAU)
        chosen = [0, 17, 63]
        together = sim.relax(
            X * scale + offset,
            Y,
            duration=10 * TAU,
            record=("x", "lam"),
            every=TAU,
            patterns=chosen,
        )
        for k, pattern in enumerate(chosen):
            one = slice(pattern, pattern + 1)
            alone = sim.relax(
                X[one] * scale + offset, Y[one], duration=10 * TAU, record=("x", "lam"), every=TAU
            )
            for v in ("x", "lam"):
                assert_allclose(together.traces[v][:, k], alone.traces[v][:, 0], rtol=0, atol=1e-12)


def test_sparse_weights_are_dense_ones_with_zeros() -> None:
    from scipy.sparse import csr_array

    net, X, Y = random_problem([6, 5, 3], seed=8)
    rng = np.random.default_rng(0)
    masks = {n: rng.random(w.shape) < 0.5 for n, w in net.weights.items()}
    for n, w in net.weights.items():
        w *= masks[n]
    thin = ns.Network(
        list(net.populations.values()),
        [
            ns.Projection(q.pre, q.post, csr_array(net.weights[n]))
            for n, q in net.projections.items()
        ],
        list(net.losses.values()),
    )
    thin.biases = {n: b.copy() for n, b in net.biases.items()}
    flow = ns.Flow.damped()
    runs = [ns.Simulation(each, flow).relax(X, Y, duration=5 * TAU) for each in (net, thin)]
    for n in net.neurons:
        assert_allclose(runs[1].lam[n], runs[0].lam[n], rtol=0, atol=1e-13)
    ns.Simulation(thin, flow).train(X, Y, ns.Simultaneous(duration=20 * TAU))
    for n, w in thin.weights.items():
        assert np.array_equal(dense(w) != 0, masks[n] & (dense(w) != 0))
        assert w.nnz == masks[n].sum()
