"""
Feedback weights that learn
===========================

Angles of λ to the adjoint and of B to Wᵀ.
"""

import neurosim as ns

data = ns.datasets.load("iris", test=0.3)
net = ns.Network.mlp([4, 8, 3], feedback="kolen_pollack", seed=0)
sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="50 ms"), dt="2 ms", backend="numpy")
log = sim.train(
    data.X,
    data.Y,
    ns.Simultaneous(duration="400 ms"),
    validation=data.validation,
    record=("x", "w"),
    every="20 ms",
)
ns.plot.feedback_angles(log)
