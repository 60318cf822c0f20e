"""
A branch and its Hopf points
============================

Decay of the slowest modes along a parameter.
"""

import neurosim as ns

import numpy as np

rng = np.random.default_rng(2)
net = ns.Network.mlp([4, 4, 4, 4, 3], loss="mse", gain=1.2, seed=2)
X, Y = rng.normal(size=(1, 4)), rng.normal(size=(1, 3))
branch = ns.continuation(
    net, ns.Flow.adjoint(), X, Y, over="flow.theta", start=1.5, stop=0.3, points=8
)
ns.plot.branch(branch)
