"""
Support neurons
===============

Who is support for which pattern, and with which multiplier.
"""

import neurosim as ns

data = ns.datasets.load("iris")
net = ns.Network.mlp([4, 8, 3], loss="squared_hinge", constraint="tube", epsilon=0.05, seed=0)
sim = ns.Simulation(net, ns.Flow.augmented(rho=2.0), dt="0.5 ms", backend="numpy")
run = sim.relax(data.X[::5], data.Y[::5], duration="2 s", settle=1e-6)
ns.plot.support_summary(run)
found = ns.support_neurons(run)
ns.plot.support_map(found, "hidden1")
ns.plot.multipliers(found)
ns.plot.conditions(run, "hidden1")
