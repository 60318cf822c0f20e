"""
Model spikes
============

Digits by signed spikes of 0.02, at most one per step: 64 patterns relax with fixed weights. The file is ``models/spikes.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("spikes")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
