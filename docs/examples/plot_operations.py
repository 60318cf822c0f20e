"""
Synaptic operations
===================

Events against dense messages.
"""

import neurosim as ns

data = ns.datasets.load("xor")
net = ns.Network.mlp([2, 8, 1], loss="mse", seed=1)
transport = ns.Events(theta=0.01)
sim = ns.Simulation(net, ns.Flow.adjoint(), transport=transport, dt="1 ms", backend="numpy")
run = sim.relax(data.X, data.Y, duration="200 ms", record=("x", "lam", "events_x", "events_delta"))
ns.plot.operations(run)
