"""
A film of a run
===============

The network, its traces and the plane of one unit.
"""

import neurosim as ns

data = ns.datasets.load("xor")
net = ns.Network.mlp([2, 4, 1], loss="mse", seed=1)
sim = ns.Simulation(net, ns.Flow.augmented(rho=1.0), dt="1 ms", backend="numpy")
run = sim.relax(data.X, data.Y, duration="400 ms", record=("x", "lam"), every="80 ms")
moving = ns.plot.animate(run)
page = moving.to_jshtml()  # animate(run, "run.gif") writes a file
