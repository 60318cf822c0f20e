"""Arguments and data of a simulation, and the errors where they do not fit."""

import copy
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brian2 import ms, mV, second

import neurosim as ns
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
LABELS = np.array([0, 1, 0, 1, 1])


def sim(**arguments) -> ns.Simulation:
    return ns.Simulation(NET, ns.Flow.damped(), **arguments)


def broken(array: np.ndarray, value: float) -> np.ndarray:
    wrong = array.copy()
    wrong[1, 0] = value
    return wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt": 0}, r"dt = 0; allowed: a finite time > 0"),
        ({"dt": -1 * ms}, r"dt = .*; allowed: a finite time > 0"),
        ({"dt": 3 * mV}, r"dt = .*; allowed: a time"),
        ({"dt": "3 mm"}, r"dt = '3 mm'; allowed: a number and one of s"),
        ({"dt": float("nan")}, r"dt = nan; allowed: a finite time > 0"),
        (
            {"method": "eular"},
            r"method = 'eular'; allowed: euler, semi_implicit, .*; did you mean 'euler'\?",
        ),
        (
            {"backend": "numba"},
            r"backend = 'numba'; allowed: auto, numpy, cython, standalone; did you mean 'numpy'\?",
        ),
        ({"transport": "dence"}, r"did you mean 'dense'\?"),
        ({"seed": -1}, r"seed = -1; allowed: a whole number >= 0"),
        ({"extensions": ns.Extension("hiden1", x="1/tau_x")}, r"did you mean 'hidden1'\?"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        sim(**arguments)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (X[:, :3], Y, r"X has shape \(5, 3\); allowed: \(patterns, 4\)"),
        (X[0], Y, r"X has shape \(4,\); .* one pattern is X\[None, :\]"),
        (X[:0], Y, r"at least one pattern"),
        (
            broken(X, np.nan),
            Y,
            r"X holds nan at index \(1, 0\) \(1 in all\); allowed: finite numbers",
        ),
        (broken(X, np.inf), Y, r"X holds inf at index"),
        ([["a", "b"]], Y, r"X are not numbers but text"),
        (X, Y["output"][:4], r"Y for output has shape \(4, 2\); allowed: 5 patterns"),
        (X, np.array([0, 1, 2, 0, 1]), r"holds label 2; allowed: whole numbers 0 to 1"),
        (X, np.array([0, 1, -1, 0, 1]), r"holds label -1"),
        (X, broken(Y["output"], np.nan), r"Y for output holds nan"),
        (X, None, r"Y is missing; the network has a loss on output"),
        (X, {"outptu": Y["output"]}, r"did you mean 'output'\?"),
    ],
)
def test_data_that_does_not_fit_is_refused(X, Y, message: str) -> None:
    with pytest.raises(ns.DataError, match=message):
        sim().relax(X, Y, duration=10 * ms)
    with pytest.raises(ns.DataError, match=message):
        sim().train(X, Y, ns.Simultaneous(duration=10 * ms))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"duration": 0.1 * ms}, r"duration = .*; allowed: at least one step"),
        ({"duration": "ten"}, r"duration = 'ten'"),
        ({"record": "lamb"}, r"record = 'lamb'; allowed: .*; did you mean 'lam'\?"),
        ({"record": "w:input->hiden1"}, r"did you mean 'w:input->hidden1'\?"),
        ({"record": "x", "patterns": []}, r"patterns = \[\]; allowed: at least one pattern"),
        ({"record": "x", "every": 1.5 * ms}, r"every = .*; allowed: a multiple of dt"),
        ({"record": "x", "patterns": [5]}, r"patterns = 5; allowed: 0 to 4"),
        ({"start": "forwrad"}, r"did you mean 'forward'\?"),
        ({"start": 3}, r"start is a int; allowed: 'zero', 'forward', a Run or a State"),
    ],
)
def test_a_relaxation_that_cannot_be_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        sim().relax(X, Y, **{"duration": 10 * ms, **arguments})


def test_recorded_patterns_may_be_an_array() -> None:
    run = (
        sim()
        .train(X, Y, ns.Simultaneous(duration=4 * ms), record="x", patterns=np.array([1, 3]))
        .run
    )
    assert list(run.traces.pattern.values) == [1, 3]


def test_a_start_of_another_shape_is_refused() -> None:
    run = sim().relax(X, Y, duration=10 * ms)
    with pytest.raises(
        ns.DataError, match=r"start.x\['hidden1'\] has shape \(5, 3\); allowed: .* \(2, 3\)"
    ):
        sim().relax(X[:2], Y["output"][:2], duration=10 * ms, start=run)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ns.Simultaneous(duration=-1), r"duration = -1"),
        (lambda: ns.Presentations(batch=0), r"batch = 0; allowed: a whole number >= 1"),
        (lambda: ns.Presentations(plastic_from=1.5), r"plastic_from = 1.5; allowed: a finite"),
        (lambda: ns.Presentations(epochs=2.5), r"epochs = 2.5"),
        (lambda: sim().train(X, Y, ns.Presentations(batch=6)), r"batch = 6; allowed: 1 to 5"),
        (
            lambda: sim().train(X, Y, "simultaneous"),
            r"schedule = 'simultaneous'; allowed: Simultaneous",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(make, message: str) -> None:
    with pytest.raises(ns.NeurosimError, match=message):
        make()


def two_branches(loss: str = "mse") -> ns.Network:
    """Return a network of two populations that do not affect each other."""
    populations = [
        ns.Population("input", 2, clamped=True),
        ns.Population("calm", 2, "linear"),
        ns.Population("wild", 2, "linear"),
    ]
    projections = [ns.Projection("input", n, 0.1 * np.eye(2)) for n in ("calm", "wild")]
    return ns.Network(populations, projections, [ns.Loss("calm"), ns.Loss("wild", loss)])


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_adaptive_steps_name_the_population_that_diverges(backend: str) -> None:
    net = two_branches("exp(x)")
    zero = {n: np.zeros((1, 2)) for n in net.neurons}
    start = ns.State({**zero, "wild": np.full((1, 2), 800.0)}, zero)  # exp(800) is infinite
    sim = ns.Simulation(net, ns.Flow.damped(), backend=backend)
    targets = {"calm": np.zeros((1, 2))}  # the other loss reads none
    with pytest.raises(ns.DivergenceError) as caught:
        sim.relax([[1.0, 1.0]], targets, duration=0.1, adaptive=True, start=start)
    assert caught.value.population == "wild"


def test_of_several_populations_beyond_the_bound_the_first_in_the_network_is_named() -> None:
    net = two_branches()
    far = {n: np.full((1, 2), 1e9) for n in net.neurons}
    targets = {n: np.zeros((1, 2)) for n in net.neurons}
    sim = ns.Simulation(net, ns.Flow.adjoint(), backend="numpy")
    with pytest.raises(ns.DivergenceError) as caught:
        sim.relax([[1.0, 1.0]], targets, duration=0.1, start=ns.State(far, far))
    assert caught.value.population == "calm"


def test_a_diverging_run_names_time_place_and_remedy() -> None:
    net, X, Y = random_problem([6, 8, 3], seed=1, gain=1.0)
    flow = ns.Flow.augmented(4, tau_lam=10 * ms)
    with (
        pytest.warns(
            ns.StabilityWarning, match=r"dt = 9 ms is beyond the stable step .* try dt = "
        ),
        pytest.raises(
            ns.DivergenceError,
            match=r"diverged at t = .* in population '(hidden1|output)', with dt = 9 ms; ",
        ) as caught,
    ):
        ns.Simulation(net, flow, dt=9 * ms).relax(
            X, Y, duration=10 * second, record="x", every=9 * ms
        )
    error = caught.value
    assert 0 < error.time < 10
    assert error.population in net.neurons
    assert error.run.interrupted
    # nothing that was recorded is lost
    assert error.run.traces.sizes["time"] >= error.run.steps - 1
    advised = re.search(r"try dt = ([\d.e-]+ ms)", str(error))
    assert advised is not None
    run = ns.Simulation(net, flow, dt=advised[1]).relax(X, Y, duration=1 * second)
    assert not run.interrupted


def test_a_cycle_that_does_not_contract_is_refused() -> None:
    net = ns.Network(
        [
            ns.Population("in", 2, clamped=True),
            ns.Population("a", 2, "linear"),
            ns.Population("b", 2),
        ],
        [
            ns.Projection("in", "a"),
            ns.Projection("a", "b", 3 * np.eye(2)),
            ns.Projection("b", "a", 3 * np.eye(2)),
        ],
        [ns.Loss("b")],
    )
    with pytest.raises(ns.ConvergenceError, match="a"):
        ns.Simulation(net, ns.Flow.adjoint()).relax(
            np.ones((1, 2)), np.ones((1, 2)), duration=10 * ms
        )


def test_starts() -> None:
    forward = ns.reference.forward(NET, X)
    run = sim().relax(X, Y, duration=1 * ms, record=("x", "lam"), start="forward")
    assert np.allclose(run.traces.x.values[0, :, :3], forward["hidden1"], atol=1e-15)
    assert not run.traces.lam.values[0].any()
    half = sim().relax(X, Y, duration=20 * ms)
    on = sim().relax(X, Y, duration=20 * ms, start=half)
    whole = sim().relax(X, Y, duration=40 * ms)
    for n in NET.neurons:
        assert np.array_equal(on.lam[n], whole.lam[n])


def test_labels_one_hot_and_mappings_are_the_same() -> None:
    runs = [
        sim().relax(X, y, duration=20 * ms) for y in (LABELS, np.eye(2)[LABELS], {"output": LABELS})
    ]
    for run in runs[1:]:
        assert np.array_equal(run.lam["output"], runs[0].lam["output"])
    assert np.array_equal(runs[0].Y["output"], np.eye(2)[LABELS])


def test_squared_hinge_maps_labels_to_signs() -> None:
    net = ns.Network.mlp([4, 3, 2], loss="squared_hinge")
    run = ns.Simulation(net, ns.Flow.adjoint()).relax(X, LABELS, duration=20 * ms)
    assert np.array_equal(run.Y["output"], 2 * np.eye(2)[LABELS] - 1)


def test_predict_is_the_forward_pass() -> None:
    assert np.allclose(sim().predict(X), ns.reference.forward(NET, X)["output"])
    with pytest.raises(ns.DataError, match="allowed: \\(patterns, 4\\)"):
        sim().predict(X[:, :2])


def test_weights_that_were_broken_by_hand_are_refused() -> None:
    net = NET.copy()
    net.weights["input->hidden1"] = net.weights["input->hidden1"].T
    with pytest.raises(
        ns.ModelError, match=r"weights of input->hidden1 have shape \(4, 3\); .* try the transpose"
    ):
        ns.Simulation(net, ns.Flow.adjoint()).relax(X, Y, duration=10 * ms)


def test_an_extension_that_brian2_cannot_read_is_refused() -> None:
    wrong = ns.Extension("hidden1", x="unheard_of/tau_x")
    with pytest.raises(
        ns.ModelError, match=r"an extension does not fit its population: .*unheard_of"
    ):
        sim(extensions=wrong).relax(X, Y, duration=10 * ms)


def test_the_network_is_there_after_a_run() -> None:
    mine = sim()
    with pytest.raises(ns.ModelError, match=r"sim.network is built by relax or train"):
        _ = mine.network
    run = mine.relax(X, Y, duration=10 * ms)
    assert np.array_equal(np.asarray(mine.network["output"].lam), run.lam["output"].ravel())


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_a_simulation_is_copied_and_pickled_after_a_run(backend: str, tmp_path: Path) -> None:
    original = ns.Simulation(NET.copy(), ns.Flow.damped(), backend=backend)
    log = original.train(X, Y, ns.Simultaneous(duration=0.02, reports=2))
    streamed = original.relax(X, Y, duration=0.02, record="x", stream=tmp_path / "run.zarr")
    for made in (pickle.loads(pickle.dumps(original)), copy.deepcopy(original)):
        with pytest.raises(ns.ModelError, match="has not been run yet"):
            made.network  # noqa: B018
        again = made.relax(X, Y, duration=0.02)
        np.testing.assert_array_equal(again.x["output"], streamed.x["output"])
    for result in (log.run, streamed, pickle.loads(pickle.dumps(log)).run):
        back = pickle.loads(pickle.dumps(result))
        np.testing.assert_array_equal(back.x["output"], result.x["output"])
    back = pickle.loads(pickle.dumps(streamed))
    np.testing.assert_array_equal(back.traces.x.values, streamed.traces.x.values)


def test_runs_of_one_simulation_wait_for_each_other() -> None:
    """A second run would exchange the session of the first, and train its weights."""
    net = NET.copy()
    shared = ns.Simulation(net, ns.Flow.damped(), backend="numpy")
    reached, go_on = threading.Event(), threading.Event()

    def visit(run: ns.Run) -> None:
        shared.predict(X)
        reached.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(2) as threads:
        first: Any = threads.submit(
            shared.train, X, Y, ns.Simultaneous(duration=0.02, reports=1), visit=visit
        )
        assert reached.wait(30)
        second: Any = threads.submit(shared.relax, X, Y, duration=0.02)
        threading.Event().wait(0.2)
        assert not second.done()
        go_on.set()
        first.result(), second.result()
    twin = NET.copy()
    alone = ns.Simulation(twin, ns.Flow.damped(), backend="numpy")
    alone.train(X, Y, ns.Simultaneous(duration=0.02, reports=1))
    expected = alone.relax(X, Y, duration=0.02)
    np.testing.assert_array_equal(second.result().x["output"], expected.x["output"])


def test_a_callback_may_run_the_simulation_that_calls_it() -> None:
    net = NET.copy()
    shared, found = ns.Simulation(net, ns.Flow.damped(), backend="numpy"), list[ns.Run]()

    def visit(run: ns.Run) -> None:
        found.append(shared.relax(X, Y, duration=0.02))

    shared.train(X, Y, ns.Simultaneous(duration=0.02, reports=1), visit=visit)
    assert len(found) == 1


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=[pytest.mark.compiler, pytest.mark.slow])]
)
def test_a_result_never_changes_because_its_path_is_written_again(
    backend: str, tmp_path: Path
) -> None:
    made = ns.Simulation(NET.copy(), ns.Flow.damped(), backend=backend)
    path = tmp_path / "run.zarr"
    runs = {
        "relax": lambda: made.relax(X, Y, duration=0.02, record="x", stream=path),
        "train": lambda: (
            made.train(X, Y, ns.Simultaneous(duration=0.02, reports=2), record="x", stream=path).run
        ),
        "stream": lambda: made.stream(X, Y, per_frame=0.01, record="x", stream=path),
        "again": lambda: made.relax(2 * X, Y, duration=0.02, record="x", stream=str(path)),
    }
    found, kept = {}, {}
    for name, run in runs.items():
        if found:
            with pytest.warns(UserWarning, match=rf"run-{len(found)}\.zarr now"):
                found[name] = run()
        else:
            found[name] = run()
        kept[name] = found[name].traces.x.values.copy()
    for name, run in found.items():
        np.testing.assert_array_equal(run.traces.x.values, kept[name], err_msg=name)
    for number, name in enumerate(["relax", "train", "stream"], start=1):
        loaded = ns.load(tmp_path / f"run-{number}.zarr")
        np.testing.assert_array_equal(loaded.traces.x.values, kept[name], err_msg=name)
    ns.save(found["relax"], tmp_path / "run.nc")
    file = ns.load(tmp_path / "run.nc")
    ns.save(found["again"], tmp_path / "run.nc")
    np.testing.assert_array_equal(file.traces.x.values, kept["relax"])


def test_a_run_that_fails_frees_the_path_of_its_stream(tmp_path: Path) -> None:
    path, broken = tmp_path / "run.zarr", sim(backend="numpy")
    broken.add(lambda network: 1 / 0)
    with pytest.raises(ZeroDivisionError) as kept:  # as in a notebook, whose last error stays
        broken.relax(X, Y, duration=0.02, record="x", stream=path)
    with pytest.warns(UserWarning, match=r"run-1\.zarr now"):
        sim(backend="numpy").relax(X, Y, duration=0.02, record="x", stream=path)
    assert kept
