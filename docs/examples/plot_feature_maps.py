"""
Feature maps
============

Multipliers of a convolutional layer, an image per feature.
"""

import neurosim as ns

data = ns.datasets.load("digits", test=0.2)
net = ns.Network.convolutional((8, 8, 1), [6], outputs=10, seed=0)
sim = ns.Simulation(net, ns.Flow.adjoint(tau_x="10 ms"), dt="10 ms", backend="numpy")
run = sim.relax(data.X[:4], data.Y[:4], duration="100 ms")
ns.plot.feature_maps(run, "hidden1", "lam")
