"""
Model ring
==========

A ring of three populations: on a cycle the multipliers reach the implicit adjoint. The file is ``models/ring.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("ring")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
