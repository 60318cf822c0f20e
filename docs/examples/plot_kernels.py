"""
Kernels
=======

Learnt weights of a convolution.
"""

import neurosim as ns

data = ns.datasets.load("digits", test=0.2)
net = ns.Network.convolutional((8, 8, 1), [6], outputs=10, seed=0)
flow = ns.Flow.adjoint(tau_x="10 ms", tau_w="100 ms")
sim = ns.Simulation(net, flow, dt="10 ms", backend="numpy")
schedule = ns.Presentations(batch=32, present="50 ms", plastic_from=0.79, epochs=2)
log = sim.train(data.X[:320], data.Y[:320], schedule)
ns.plot.kernels(log.run.network, "input->hidden1")
