"""An example of each public name, run from top to bottom by ``tests/test_docs.py``."""

# %% setup
import numpy as np

import neurosim as ns

X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
Y = np.array([[-1.0], [1.0], [1.0], [-1.0]])
net = ns.Network.mlp([2, 4, 1], loss="mse", seed=0)
flow = ns.Flow.augmented(rho=1.0, tau_w="10 ms")
sim = ns.Simulation(net, flow, dt="1 ms", backend="numpy")
run = sim.relax(X, Y, duration="600 ms", record=("x", "lam"), every="10 ms")
ref = ns.reference.backprop(net, X, Y)

# %% Network
net = ns.Network.mlp([2, 4, 1], activation="tanh", loss="mse", gain=1.0, seed=0)
net.weights["input->hidden1"]  # (n_post, n_pre) = (4, 2)

# %% Population
hidden = ns.Population("hidden", 8, activation="a/(1+abs(a))", constraint="tube", epsilon=0.05)

# %% Projection
sparse = ns.Projection("input", "hidden", mask=np.eye(8, 2, dtype=bool))

# %% Loss
graph = ns.Network(
    [ns.Population("input", 2, clamped=True), hidden, ns.Population("output", 1, "linear")],
    [sparse, ns.Projection("hidden", "output"), ns.Projection("input", "output")],
    [ns.Loss("output", "mse", weight=1.0)],
)

# %% Plasticity
rule = ns.Plasticity("dw/dt = (delta_post*x_pre - decay*w)/tau_w : 1", parameters={"decay": 1e-3})
decaying = ns.Network.mlp([2, 4, 1], loss="mse", plasticity=rule)

# %% Extension
adaptation = ns.Extension(
    "hidden1",
    x="-c/tau_x",
    equations="""
    dc/dt = (strength*x - c)/tau_c : 1
    strength : 1 (shared)
    tau_c : second (shared)
    """,
    parameters={"strength": 0.2, "tau_c": 0.1},
)
adapting = ns.Simulation(net, flow, extensions=[adaptation], backend="numpy")
adapted = adapting.relax(X, Y, duration="10 ms", record=("x", "c"))

# %% to_nir
graph_of_nodes = ns.to_nir(net)

# %% from_nir
same = ns.from_nir(graph_of_nodes)

# %% prune
idle = ns.Network.mlp([2, 6, 1], loss="mse", seed=0)
idle.weights["hidden1->output"][:, :2] = 0  # two neurons that nobody hears
small = ns.prune(idle)

# %% grow
larger = ns.grow(net, {"hidden1": [0, 3]})  # splits neurons 0 and 3 in two

# %% Flow
flow = ns.Flow.rotated(theta=1.3, rho=1.0, tau_x="10 ms", tau_w="200 ms")

# %% Simulation
sim = ns.Simulation(net, ns.Flow.augmented(), dt="1 ms", backend="numpy")
run = sim.relax(X, Y, duration="600 ms", record=("x", "lam"), every="10 ms")

# %% State
again = sim.relax(X, Y, duration="10 ms", start=ns.State(run.x, run.lam))

# %% Dense
dense = ns.Simulation(net, flow, transport=ns.Dense(), backend="numpy")

# %% Events
by_events = ns.Simulation(net, ns.Flow.adjoint(), transport=ns.Events(theta=0.01), backend="numpy")
spiked = by_events.relax(X, Y, duration="300 ms", record=("events_x", "events_delta"))

# %% Spikes
by_spikes = ns.Simulation(
    net, ns.Flow.adjoint(), transport=ns.Spikes(quantum=0.01), backend="numpy"
)

# %% Adaptive
adaptive = ns.Simulation(
    net, ns.Flow.adjoint(), transport=ns.Events(ns.Adaptive()), backend="numpy"
)

# %% Simultaneous
learner = ns.Network.mlp([2, 4, 1], loss="mse", seed=0)
trainer = ns.Simulation(learner, ns.Flow.augmented(tau_w="10 ms"), dt="1 ms", backend="numpy")
log = trainer.train(X, Y, ns.Simultaneous(duration="400 ms", reports=4))

# %% Presentations
schedule = ns.Presentations(batch=2, present="60 ms", plastic_from=0.5, epochs=2)
log = trainer.train(X, Y, schedule)

# %% LocalPropagation
constrained = ns.Network.mlp(
    [2, 4, 2], "sigmoid", constraint="abs_eps", epsilon=0.01, free_output=True
)
lp = ns.Simulation(constrained, ns.Flow.local_propagation(rho=10, rate=1e-3), backend="numpy")
lp_log = lp.train(X, [0, 1, 1, 0], ns.LocalPropagation(epochs=20))

# %% Pruning
pruned = ns.Simulation(
    ns.Network.mlp([2, 8, 2], loss="squared_hinge", group_l1=0.01),
    ns.Flow.augmented(),
    backend="numpy",
)
pruning = ns.Pruning(schedule=ns.Simultaneous(duration="100 ms"), every=5)
pruning_log = pruned.train(X, [0, 1, 1, 0], pruning)

# %% Growing
grown = ns.Simulation(
    ns.Network.mlp([2, 2, 2], loss="squared_hinge"), ns.Flow.augmented(), backend="numpy"
)
growing = ns.Growing(schedule=ns.Simultaneous(duration="100 ms", reports=4), split=1, most=4)
growing_log = grown.train(X, [0, 1, 1, 0], growing)

# %% MessageNoise
noisy = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.MessageNoise(0.1)], backend="numpy")

# %% StateNoise
restless = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.StateNoise(0.1)], backend="numpy")

# %% Delay
late = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.Delay(steps=2)], backend="numpy")

# %% TimeConstants
uneven = ns.Simulation(
    net, ns.Flow.damped(), imperfections=[ns.TimeConstants(0.5)], backend="numpy"
)

# %% LostMessages
lossy = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.LostMessages(0.3)], backend="numpy")

# %% Quantised
coarse = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.Quantised(0.05)], backend="numpy")

# %% Derivative
shallow = ns.Simulation(
    net, ns.Flow.damped(), imperfections=[ns.Derivative("box")], backend="numpy"
)

# %% Dale
signed = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.Dale(0.8)], backend="numpy")

# %% LowPass
smooth = ns.Simulation(net, ns.Flow.damped(), imperfections=[ns.LowPass("50 ms")], backend="numpy")

# %% Prospective
ahead = ns.Simulation(net, ns.Flow.adjoint(), prospective=ns.Prospective(), backend="numpy")

# %% Run
run.x["output"], run.lam["hidden1"]  # final states, (patterns, units)
table = run.traces.to_dataframe()  # for pandas

# %% Log
log.history["loss"].values  # (rows,)
log.run.network.weights["input->hidden1"]

# %% save
import tempfile

folder = tempfile.mkdtemp()
ns.save(run, f"{folder}/run.nc")

# %% load
loaded = ns.load(f"{folder}/run.nc")

# %% synaptic_operations
cost = ns.synaptic_operations(spiked)

# %% SynapticOperations
cost.dense, cost.effective  # per pattern over the run

# %% alignment
found = ns.alignment(run, ref)

# %% Alignment
found.cosine["hidden1"], found.max_error

# %% at_rest
rested = ns.at_rest(trainer, log)

# %% kkt
residual = ns.kkt(run).residual

# %% Kkt
conditions = ns.kkt(run)
conditions.residual

# %% support_neurons
tube = ns.Network.mlp([2, 4, 1], loss="mse", constraint="tube", epsilon=0.05, seed=0)
tube_sim = ns.Simulation(tube, ns.Flow.augmented(), backend="numpy")
support = ns.support_neurons(tube_sim.relax(X, Y, duration="4 s", settle=1e-6))

# %% Support
support["hidden1"], support.shares()  # bool (patterns, units), shares by population

# %% SupportOverTraining
watched = ns.SupportOverTraining(trainer)

# %% stability
spec = ns.stability(net, ns.Flow.augmented(), X, Y)

# %% Stability
spec.slowest_rate, spec.max_step["euler"]  # 1/s, s

# %% critical_rho
rho = ns.critical_rho(net, ns.Flow.augmented(), X, Y)

# %% continuation
deep = ns.Network.mlp([4, 4, 4, 4, 3], loss="mse", gain=1.2, seed=2)
x1, y1 = np.ones((1, 4)), np.ones((1, 3))
branch = ns.continuation(
    deep, ns.Flow.adjoint(), x1, y1, over="flow.theta", start=1.5, stop=0.3, points=8
)

# %% Branch
branch.slowest_rate, branch.hopf  # (points,) in 1/s, Hopf points

# %% Bifurcation
at = [point.parameter for point in branch.bifurcations]

# %% limit_cycle
cycle = ns.limit_cycle(branch, 1.4)

# %% attractors
cycles = ns.attractors(branch, [1.45, 1.4])

# %% Cycle
cycle.kind, cycle.amplitude, cycle.period

# %% plausibility
card = ns.plausibility(
    ns.Network.mlp([2, 4, 2], seed=0),
    ns.Flow.adjoint(),
    X,
    [0, 1, 1, 0],
    test=(X, [0, 1, 1, 0]),
    schedule=ns.Presentations(batch=4, present="60 ms", plastic_from=0.5, epochs=1),
    levels={"message noise (sd)": [0.1]},
    backend="numpy",
)

# %% Plausibility
card.rows()["states per neuron"]

# %% sweep
data = ns.sweep("xor", {"flow.rho": [1, 2], "network.seed": range(2)}, measure=["settle_time"])

# %% tune
best = ns.tune("xor", objective="settle_time", over={"flow.rho": [1.0, 4.0]}, trials=2)

# %% Tuned
best

# %% SaddleClassifier
classifier = ns.SaddleClassifier(hidden=(4,), flow="augmented", rho=2).fit(X, [0, 1, 1, 0])

# %% SaddleRegressor
regressor = ns.SaddleRegressor(hidden=(4,)).fit(X, Y.ravel())

# %% NeurosimError
try:
    ns.Network.mlp([2, 1], activation="tahn")
except ns.NeurosimError as error:
    print(error)  # every error of neurosim names the value, what is allowed and what to try

# %% ModelError
try:
    ns.Flow(kappa=-1.0)
except ns.ModelError as error:
    print(error)

# %% DataError
try:
    sim.relax(X[:, :1], Y, duration="1 ms")
except ns.DataError as error:
    print(error)

# %% FileError
try:
    ns.load(f"{folder}/nothing.nc")
except ns.FileError as error:
    print(error)

# %% BackendError
try:
    ns.Simulation(net, flow, backend="fortran")
except (ns.BackendError, ns.ModelError) as error:
    print(error)

# %% ConvergenceError
loop = ns.Network(
    [ns.Population("input", 1, clamped=True), ns.Population("a", 1, "linear")],
    [ns.Projection("input", "a"), ns.Projection("a", "a", np.array([[2.0]]))],
    [ns.Loss("a", "mse")],
)
try:
    ns.reference.forward(loop, [[1.0]])
except ns.ConvergenceError as error:
    print(error)

# %% DivergenceError
import warnings

unstable = ns.Simulation(net, ns.Flow.arrow_hurwicz(), dt="50 ms", backend="numpy")
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.StabilityWarning)
        unstable.relax(X, Y, duration="100 s")
except ns.DivergenceError as error:
    print(error)

# %% StabilityWarning
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ns.Simulation(net, ns.Flow.augmented(), dt="9 ms", backend="numpy").relax(
        X, Y, duration="90 ms"
    )

# %% UnsettledWarning
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ns.UnsettledWarning)  # the run was too short to rest
    ns.support_neurons(tube_sim.relax(X, Y, duration="20 ms"))

# %% MeasureWarning
warnings.simplefilter("ignore", ns.MeasureWarning)  # of a measure that failed at points

# %% plot
ax = ns.plot.quick(run)  # the kind that suits; ns.plot.traces(run, "lam", "hidden1") to choose
images = ns.Network.convolutional((4, 4, 1), [3], outputs=2)
ax = ns.plot.kernels(images, "input->hidden1")  # feature_maps and graph_nodes take a run

# %% reference
truth = ns.reference.backprop(net, X, Y)  # .x .lam by population, .grad_w by projection, .loss
path = ns.reference.solve_ivp(net, ns.Flow.adjoint(), X, Y, duration=0.05)

# %% rivals
inferred = ns.rivals.relax(net, X, Y, flow=ns.Flow.adjoint(), steps=3)

# %% rules
oja = ns.rules.oja()

# %% streams
moving = ns.streams.moving_digits(30, speed=0.05)

# %% tasks
bandit = ns.tasks.Bandit.drawn(contexts=3)

# %% datasets
iris = ns.datasets.load("iris")

# %% hebb
from neurosim.hebb import HebbianLayer

layer = HebbianLayer(10)

# %% sites
over = ns.sites.Conv(3, stride=2)
image = ns.Population("image", (8, 8, 1), clamped=True)
maps = ns.Population("maps", (4, 4, 6))
convolution = ns.Network([image, maps], [ns.Projection("image", "maps", over=over)])

# %% explore
page = ns.explore(net, flow, X, Y, browser=False, block=False)
page.stop()

# %% to_script
live = ns.Simulation(net, flow, dt="1 ms").live(X, Y)
live.run("5 ms")
live.set("flow.rho", 2.0)
script = ns.to_script(live)

# %% to_model
model_file = ns.to_model(live, data="own.csv")
