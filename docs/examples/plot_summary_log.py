"""
Summary of a training
=====================

What `neurosim run` writes beside its results.
"""

import neurosim as ns

data = ns.datasets.load("iris", test=0.3)
net = ns.Network.mlp([4, 8, 3], seed=0)
sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="50 ms"), dt="2 ms", backend="numpy")
log = sim.train(
    data.X,
    data.Y,
    ns.Simultaneous(duration="400 ms"),
    validation=data.validation,
    record=("x", "w"),
    every="20 ms",
)
ns.plot.summary(log)
