"""
A graph in the colours of its multipliers
=========================================

Two of twelve nodes have a target; λ spreads from them.
"""

import numpy as np

import neurosim as ns

A = np.zeros((12, 12))
for node in range(12):
    A[node, (node + 1) % 12] = A[(node + 1) % 12, node] = 1
net = ns.Network.graph(A, features=2, state=4, outputs=2, edge=6, gain=0.5, seed=0)
labels = np.full((1, 12), -1)
labels[0, [2, 8]] = [0, 1]
sim = ns.Simulation(net, ns.Flow.damped(), dt="2 ms", backend="numpy")
run = sim.relax(np.ones((1, 12, 2)), labels, duration="1 s")
ns.plot.graph_nodes(run)
