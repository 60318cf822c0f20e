"""
Model xor
=========

Exclusive or: neurons, multiplier units and synapses move at once until the loss has vanished. The file is ``models/xor.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("xor")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
