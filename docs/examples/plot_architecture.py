"""
A network that prunes itself
============================

Size, accuracy and operations over a training.
"""

import neurosim as ns

data = ns.datasets.load("iris")
net = ns.Network.mlp([4, 12, 3], loss="squared_hinge", group_l1=0.02, seed=0)
before = net.copy()
sim = ns.Simulation(net, ns.Flow.augmented(tau_w="10 ms"), dt="2 ms", backend="numpy")
log = sim.train(
    data.X, data.Y, ns.Pruning(schedule=ns.Simultaneous(duration="500 ms", reports=10), every=2)
)
ns.plot.architecture(log)
ns.plot.neurons(log)
ns.plot.operations_done(log)
ns.plot.before_and_after(before, log.run.network)
