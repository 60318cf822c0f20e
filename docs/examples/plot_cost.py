"""
Cost of accuracy
================

Error over operations, by threshold.
"""

import neurosim as ns

data = ns.datasets.load("xor")
net = ns.Network.mlp([2, 8, 1], loss="mse", seed=1)
transport = ns.Events(theta=0.01)
sim = ns.Simulation(net, ns.Flow.adjoint(), transport=transport, dt="1 ms", backend="numpy")
_ = sim.relax(data.X, data.Y, duration="200 ms", record=("x", "lam", "events_x", "events_delta"))
runs = []
for theta in (0.003, 0.01, 0.03, 0.1):
    sim = ns.Simulation(
        net, ns.Flow.adjoint(), transport=ns.Events(theta), dt="1 ms", backend="numpy"
    )
    runs.append(sim.relax(data.X, data.Y, duration="200 ms", record=("events_x", "events_delta")))
ns.plot.cost(runs)
