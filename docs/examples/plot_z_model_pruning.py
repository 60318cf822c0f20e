"""
Model pruning
=============

A network that prunes itself: a penalty removes most of its hidden neurons. The file is ``models/pruning.toml``. To draw in
seconds, it has here 32 hidden neurons in place of 128, a larger penalty, fewer patterns, and learns for 2 s in place of 6 s.
"""

import neurosim as ns
from neurosim.experiments import modelfile

smaller = [
    "network.sizes=[64, 32, 10]",
    "network.group_l1=0.04",
    "data.test=0.6",
    "train.duration='2 s'",
    "train.reports=20",
    "train.pruning.every=2",
]
spec = modelfile.load("pruning", smaller)
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
