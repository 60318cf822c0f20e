"""
Whatever suits
==============

``quick`` chooses the kind of picture by the result.
"""

import neurosim as ns

data = ns.datasets.load("xor")
net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
sim = ns.Simulation(net, ns.Flow.augmented(rho=1.0), dt="1 ms", backend="numpy")
run = sim.relax(data.X, data.Y, duration="400 ms", record=("x", "lam"))
ns.plot.quick(run)
