"""
Model conv
==========

A convolutional net on digits: every site shares its weights. The file is ``models/conv.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("conv")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
