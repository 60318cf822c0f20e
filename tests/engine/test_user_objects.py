"""Brian2 objects of a user's own: each is honoured, or refused by name."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import brian2
import numpy as np
import pytest
from brian2 import ms

import neurosim as ns
from tests.helpers.problems import random_problem

NET, X, Y = random_problem([4, 3, 2], seed=0)
DT, STEPS = 2.0, 10  # ms


def relaxed(factory: Callable[[Any], Any], backend: str) -> ns.Simulation:
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend=backend)
    sim.add(factory)
    sim.relax(X, Y, duration=STEPS * DT * ms)
    return sim


def watch(network: Any, **clock: Any) -> Any:
    return brian2.StateMonitor(network["hidden1"], "x", record=[0], name="watch", **clock)


class Counted:
    """A factory of a network operation that counts its calls."""

    def __init__(self, dt: float = DT) -> None:
        self.dt, self.calls = dt, 0

    def __call__(self, network: Any) -> Any:
        @brian2.network_operation(dt=self.dt * ms)
        def mine() -> None:
            self.calls += 1

        return mine


class Own(brian2.BrianObject):
    """An object whose `run` is Python code."""

    calls = 0

    def run(self) -> None:
        Own.calls += 1


@pytest.mark.parametrize("backend", ["numpy", "auto"])
@pytest.mark.parametrize("dt", [DT, DT / 2, 2.5 * DT])
def test_a_network_operation_is_called(backend: str, dt: float) -> None:
    """Also where the amount of work would be worth a compiler."""
    counted = Counted(dt)
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend=backend)
    sim.add(counted)
    sim.train(X, Y, ns.Simultaneous(duration=STEPS * DT * ms, reports=1))
    assert counted.calls == STEPS * DT / dt
    chosen = sim.setting(10**9, len(X))
    assert chosen.backend == "numpy"


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Counted(), r"NetworkOperation '\S*' runs Python code.*try backend='numpy'"),
        (lambda network: Own(clock=network["hidden1"].clock, name="own"), "Own 'own' runs Python"),
    ],
)
def test_what_a_compiled_program_cannot_run_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        relaxed(factory, "standalone")


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_objects_of_many_kinds_are_honoured(backend: str) -> None:
    """One program with all of them: a kick, neurons, spikes, rates, and monitors of two clocks."""

    def several(network: Any) -> Any:
        clock = network["hidden1"].clock
        network["hidden1"].run_regularly("x = 0.25", dt=STEPS * DT / 2 * ms)
        group = brian2.NeuronGroup(
            2,
            "dv/dt = 100*Hz : 1",
            threshold="v > 0.7",
            reset="v = 0",
            name="mine",
            clock=clock,
            method="euler",
        )
        monitors = {
            "spikes": brian2.SpikeMonitor(group, name="spikes"),
            "rate": brian2.PopulationRateMonitor(group, name="rate"),
        }
        return [group, [monitors], (watch(network, dt=2 * DT * ms),)]

    sim = relaxed(several, backend)
    network = sim.network
    assert len(network["rate"].t) == STEPS
    np.testing.assert_allclose(np.asarray(network["spikes"].t), [6e-3] * 2 + [14e-3] * 2)
    assert network["watch"].x.shape == (1, STEPS / 2)
    plain = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms).relax(X, Y, duration=8 * DT * ms)
    assert not np.allclose(network["watch"].x[0, 4], plain.x["hidden1"][0, 0])


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda network: "text", "returned 'text'; allowed: a Brian2 object"),
        (lambda network: [watch(network), 3], "returned 3; allowed: a Brian2 object"),
        (lambda network: None, "returned no object and added none; .*try returning it"),
        (lambda network: [], "returned no object"),
    ],
)
def test_what_is_not_an_object_is_refused(factory: Any, message: str) -> None:
    with pytest.raises(ns.ModelError, match=message):
        relaxed(factory, "numpy")


@pytest.mark.parametrize(
    "factory",
    [
        lambda network: {"a": watch(network)},
        lambda network: (one for one in [watch(network)]),
        lambda network: brian2.Network(watch(network)),
        lambda network: network.add(watch(network)),
    ],
)
def test_every_collection_of_objects_is_added(factory: Any) -> None:
    assert relaxed(factory, "numpy").network["watch"].x.shape == (1, STEPS)


ALL = ["numpy", *(pytest.param(b, marks=pytest.mark.compiler) for b in ("cython", "standalone"))]


@pytest.mark.parametrize("backend", ALL)
def test_objects_run_at_the_step_of_the_simulation(backend: str) -> None:
    """A leak solved exactly, a spike at a time, and monitors, of which none names a dt."""

    def several(network: Any) -> Any:
        group = brian2.NeuronGroup(2, "dv/dt = (1 - v)/(20*ms) : 1", method="exact", name="mine")
        group.v = [0.5, 0.0]
        spike = brian2.SpikeGeneratorGroup(1, [0], [2 * DT * ms], name="spike")
        kick = brian2.Synapses(spike, group, on_pre="v_post += 1", name="kick")
        kick.connect()
        monitor = brian2.StateMonitor(group, "v", record=True, name="values")
        fast = brian2.StateMonitor(group, "v", record=[0], dt=DT / 2 * ms, name="fast")
        return [group, spike, kick, monitor, fast]

    network = relaxed(several, backend).network
    times = DT * np.arange(STEPS)
    np.testing.assert_allclose(network["values"].t / ms, times)
    left = np.exp(-times / 20)
    expected = (
        1 - np.array([[0.5], [1.0]]) * left + np.where(times > 2 * DT, left / left[3], 0)
    )  # after the step
    np.testing.assert_allclose(network["values"].v, expected, rtol=1e-12)
    assert len(network["fast"].t) == 2 * STEPS


def made_outside() -> Any:
    return brian2.NeuronGroup(1, "v : 1", name="outside")


def sets_default_clock(network: Any) -> Any:
    brian2.defaultclock.dt = 0.05 * ms
    return watch(network)


def assigning(group: str, variable: str, value: Any) -> Callable[[Any], Any]:
    def assign(network: Any) -> Any:
        setattr(network[group], variable, value)
        return watch(network)

    return assign


ASSIGNED = [
    ("hidden1", "x", 5.0),
    ("hidden1", "lam", "0.5 + i"),
    ("input_to_hidden1", "w", 0.5),
    ("hidden1_bias", "w", np.arange(1, 4)),
    ("hidden1", "tau_x", 3 * ms),
]


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
@pytest.mark.parametrize(("group", "variable", "value"), ASSIGNED)
def test_values_of_the_simulation_s_own_groups_are_refused(
    backend: str, group: str, variable: str, value: Any
) -> None:
    """NumPy overwrote them, and a program kept them."""
    words = rf"assign of sim.add assigns ({variable}|a variable) of '{group}', which a run loads"
    with pytest.raises(ns.ModelError, match=words):
        relaxed(assigning(group, variable, value), backend)


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_a_step_that_is_not_the_simulation_s_is_refused(backend: str) -> None:
    before = brian2.defaultclock.dt
    with pytest.raises(
        ns.ModelError, match=r"defaultclock.dt = 5e-05 s .*try dt=... of the object"
    ):
        relaxed(sets_default_clock, backend)
    assert brian2.defaultclock.dt == before
    outside = made_outside()
    words = "'outside' of <lambda> of sim.add was made outside of that function"
    with pytest.raises(ns.ModelError, match=words):
        relaxed(lambda network: outside, backend)


class Hooked(brian2.NeuronGroup):
    """A group that runs Python code at both ends of a run."""

    def after_run(self) -> None:
        super().after_run()


@pytest.mark.compiler
def test_python_at_the_ends_of_a_run_is_refused_on_a_program() -> None:
    def hooked(network: Any) -> Any:
        return Hooked(1, "v : 1", name="hooked")

    assert relaxed(hooked, "numpy").network["hooked"].N == 1
    with pytest.raises(ns.ModelError, match="Hooked 'hooked' runs Python code"):
        relaxed(hooked, "standalone")


def test_auto_says_why_it_stays_on_numpy() -> None:
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms)
    sim.add(Counted())
    assert sim.setting(10**9, len(X)).backend == "numpy"
    assert sim.backend_reason == "user-supplied objects may need Python at every step"


@pytest.mark.parametrize("backend", ALL)
def test_groups_are_as_documented(backend: str) -> None:
    """`Simulation.add` names groups, variables, the order of their entries, and slots of a step."""
    rng = np.random.default_rng(1)
    mask = rng.random((3, 4)) < 0.6
    net = ns.Network(
        [
            ns.Population("input", 4, clamped=True),
            ns.Population("hidden1", 3),
            ns.Population("output", 2, "linear"),
        ],
        [
            ns.Projection("input", "hidden1", mask=mask),
            ns.Projection("hidden1", "output", feedback="random"),
        ],
        [ns.Loss("output", "mse")],
    )
    net.biases["hidden1"][:] = rng.normal(size=3)
    patterns = rng.normal(size=(5, 4))
    kept = {
        "hidden1": ("x", "lam", "a", "delta", "feedback"),
        "output": ("x", "delta"),
        "input": ("x",),
        "input_to_hidden1": ("w",),
        "hidden1_to_output": ("w", "back"),
        "hidden1_bias": ("w",),
        "run": ("plastic",),
    }

    def monitors(network: Any) -> Any:
        made = []
        for name, variables in kept.items():
            made.append(
                brian2.StateMonitor(
                    network[name],
                    variables,
                    record=True,
                    name=f"of_{name}",
                    clock=network["hidden1"].clock,
                )
            )
        return made

    sim = ns.Simulation(net, ns.Flow.damped(tau_w=0.05), dt=DT * ms, backend=backend)
    sim.add(monitors)
    run = sim.train(
        patterns, rng.normal(size=(5, 2)), ns.Simultaneous(duration=STEPS * DT * ms, reports=1)
    ).run
    network = sim.network

    def at(group: str, variable: str, step: int) -> Any:
        return np.asarray(getattr(network[f"of_{group}"], variable))[:, step]

    for name, n in (("input", 4), ("hidden1", 3), ("output", 2)):
        assert len(network[name]) == 5 * n
    rows = np.asarray(network["input_to_hidden1"].variables["row"].get_value())
    columns = np.asarray(network["input_to_hidden1"].variables["col"].get_value())
    for step in (3, STEPS - 1):
        x_in = at("input", "x", step).reshape(5, 4)
        np.testing.assert_array_equal(x_in, patterns)
        W = np.zeros((3, 4))
        w = at("input_to_hidden1", "w", step)
        for i in range(3):
            for place in range(rows[i], rows[i + 1]):
                W[i, columns[place]] = w[place]
        assert ((W != 0) == mask).all()
        b = at("hidden1_bias", "w", step)
        a = at("hidden1", "a", step).reshape(5, 3)
        np.testing.assert_allclose(a, x_in @ W.T + b, atol=1e-14)
        B = at("hidden1_to_output", "back", step).reshape(2, 3)
        feedback = at("hidden1", "feedback", step).reshape(5, 3)
        np.testing.assert_allclose(
            feedback, at("output", "delta", step).reshape(5, 2) @ B, atol=1e-14
        )
        assert at("run", "plastic", step) == 1
    np.testing.assert_array_equal(B.T, run.network.feedback["hidden1->output"])
    moved = at("hidden1_to_output", "w", STEPS - 1).reshape(2, 3)
    assert abs(moved - run.network.weights["hidden1->output"]).max() < 0.1
    x_last = np.asarray(network["hidden1"].variables["x"].get_value()).reshape(5, 3)
    np.testing.assert_array_equal(x_last, run.x["hidden1"])


# Going on


DRAWING = """
dv/dt = (1 - v)/(20*ms) + 0.5*xi/sqrt(20*ms) : 1 (unless refractory)
current : 1
"""


def moving_objects(network: Any) -> Any:
    """Neurons that draw noise and are refractory, a slower clock, Poisson spikes."""
    neurons = brian2.NeuronGroup(
        3,
        DRAWING,
        threshold="v > 0.4",
        reset="v = 0",
        refractory=5 * ms,
        method="euler",
    )
    neurons.v, neurons.current = [0.1, 0.2, 0.3], 2
    neurons.run_regularly("current = current + rand()", dt=6 * ms)
    network["hidden1"].run_regularly("x += 0.01*rand()", dt=4 * ms)
    watch = brian2.StateMonitor(neurons, "v", record=True, name="own")
    return [neurons, brian2.PoissonGroup(3, 100 * brian2.Hz), watch]


def learning_synapses(network: Any) -> Any:
    """Synapses whose weights move, with the objects above."""
    neurons, poisson, watch = moving_objects(network)
    learning = brian2.Synapses(
        neurons, network["hidden1"], "w : 1", on_pre="x_post += 0.01*w\nw += 0.1"
    )
    learning.connect(i=[0, 1, 2], j=[0, 1, 2])
    learning.w = 1
    driven = brian2.Synapses(poisson, neurons, on_pre="v_post += 0.1")
    driven.connect(j="i")
    return [neurons, poisson, watch, learning, driven]


def with_objects(factory: Callable[[Any], Any], backend: str = "numpy") -> ns.Simulation:
    sim = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend=backend)
    sim.add(factory)
    return sim


def assert_same_end(one: ns.Run, other: ns.Run) -> None:
    assert one.auxiliary.keys() == other.auxiliary.keys()
    for name, values in one.auxiliary.items():
        np.testing.assert_array_equal(values, other.auxiliary[name], err_msg=name)
    for name, values in one.x.items():
        np.testing.assert_array_equal(values, other.x[name], err_msg=name)


@pytest.mark.parametrize(
    ("backend", "factory"),
    [
        ("numpy", learning_synapses),
        pytest.param("standalone", moving_objects, marks=pytest.mark.compiler),
    ],
)
def test_two_halves_equal_the_whole(backend: str, factory: Any, tmp_path: Any) -> None:
    """To the last bit, in memory and through a file, also between two ticks of a slower clock."""
    whole = with_objects(factory, backend).relax(X, Y, duration=80 * ms)
    sim = with_objects(factory, backend)
    half = sim.relax(X, Y, duration=50 * ms)
    ns.save(half, tmp_path / "half.nc")
    later = sim.relax(X, Y, duration=30 * ms, start=half)
    assert_same_end(later, whole)
    stored = ns.load(tmp_path / "half.nc")
    later = with_objects(factory, backend).relax(X, Y, duration=30 * ms, start=stored)
    assert_same_end(later, whole)
    assert len(sim.network["own"].t) == 15  # monitors record anew
    assert not np.array_equal(half.auxiliary["#0 NeuronGroup.v"], [[0.1, 0.2, 0.3]])


def test_a_checkpoint_keeps_the_state_of_objects(tmp_path: Any) -> None:
    path = tmp_path / "checkpoint.npz"
    schedule = ns.Simultaneous(duration=40 * ms, reports=4)
    net = NET.copy()

    def trained(**keys: Any) -> ns.Run:
        sim = ns.Simulation(net.copy(), ns.Flow.damped(), dt=DT * ms, backend="numpy")
        sim.add(learning_synapses)
        return sim.train(X, Y, schedule, **keys).run

    whole = trained()

    interrupted = ns.Simulation(net.copy(), ns.Flow.damped(), dt=DT * ms, backend="numpy")
    interrupted.add(learning_synapses)
    calls = []

    @interrupted.add
    def interrupting(network: Any) -> Any:
        @brian2.network_operation(when="end")
        def count() -> None:
            calls.append(None)
            if len(calls) == 13:
                signal.raise_signal(signal.SIGINT)

        return count

    interrupted.train(X, Y, schedule, checkpoint=path)
    resumed = trained(resume=path)
    assert_same_end(resumed, whole)


def delayed(network: Any) -> Any:
    neurons = brian2.NeuronGroup(2, "v : 1", threshold="v > 1", name="slow_neurons")
    synapses = brian2.Synapses(neurons, neurons, on_pre="v += 1", delay=5 * ms, name="slow")
    synapses.connect()
    return [neurons, synapses]


def test_what_is_not_kept_is_refused_by_name() -> None:
    sim = with_objects(delayed)
    half = sim.relax(X, Y, duration=20 * ms)
    with pytest.raises(
        ns.ModelError, match=r"SynapticPathway 'slow_pre', whose state is lost.*way"
    ):
        sim.relax(X, Y, duration=20 * ms, start=half)
    anew = sim.relax(X, Y, duration=20 * ms, start=ns.State(half.x, half.lam))
    assert anew.steps == 10


@pytest.mark.compiler
@pytest.mark.slow
def test_synapses_of_a_compiled_program_are_refused_by_name() -> None:
    def synapses(network: Any) -> Any:
        neurons = brian2.NeuronGroup(2, "v : 1", threshold="v > 1", reset="v = 0")
        own = brian2.Synapses(neurons, neurons, "w : 1", on_pre="w += 1", name="own_synapses")
        own.connect()
        return [neurons, own]

    sim = with_objects(synapses, "standalone")
    half = sim.relax(X, Y, duration=20 * ms)
    with pytest.raises(ns.ModelError, match=r"Synapses 'own_synapses'.*w.*try backend='numpy'"):
        sim.relax(X, Y, duration=20 * ms, start=half)


def test_other_objects_than_before_are_refused() -> None:
    def counted(size: int, j: int = 0) -> Callable[[Any], Any]:
        def factory(network: Any) -> Any:
            neurons = brian2.NeuronGroup(
                size, "dv/dt = 1/second : 1", threshold="v > 1", method="euler"
            )
            synapses = brian2.Synapses(neurons, neurons, "w : 1", on_pre="w += 1")
            synapses.connect(i=0, j=j)
            return [neurons, synapses]

        return factory

    half = with_objects(counted(2)).relax(X, Y, duration=20 * ms)
    with pytest.raises(ns.ModelError, match=r"v of NeuronGroup .* has 3 entries, and had 2 in"):
        with_objects(counted(3)).relax(X, Y, duration=20 * ms, start=half)
    with pytest.raises(ns.ModelError, match="has other synapses than in the earlier run"):
        with_objects(counted(2, 1)).relax(X, Y, duration=20 * ms, start=half)
    without = ns.Simulation(NET, ns.Flow.damped(), dt=DT * ms, backend="numpy")
    assert without.relax(X, Y, duration=20 * ms, start=half).steps == 10


@pytest.mark.parametrize(
    "backend", ["numpy", pytest.param("standalone", marks=pytest.mark.compiler)]
)
def test_a_run_goes_on_with_another_parameter(backend: str) -> None:
    """What nothing moved is as the function of `add` sets it; what moved goes on."""

    def factory(rate: float) -> Callable[[Any], Any]:
        def objects(network: Any) -> Any:
            neurons = brian2.NeuronGroup(
                1, "dv/dt = r/second : 1\nr : 1", method="euler", name="rising"
            )
            neurons.r = rate
            return neurons

        return objects

    half = with_objects(factory(1.0), backend).relax(X, Y, duration=20 * ms)
    sim = with_objects(factory(2.0), backend)
    sim.relax(X, Y, duration=20 * ms, start=half)
    assert sim.network["rising"].v[0] == pytest.approx(0.06)


def test_a_name_of_the_simulations_own_is_refused() -> None:
    def same_name(network: Any) -> Any:
        return brian2.NeuronGroup(2, "v : 1", name="hidden1")

    with pytest.raises(ns.ModelError, match=r"NeuronGroup 'hidden1' .*try name='my_hidden1'"):
        relaxed(same_name, "numpy")
