"""
Model wine
==========

Wine: small batches, one after another; synapses learn in the second half of each presentation. The file is ``models/wine.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("wine")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
