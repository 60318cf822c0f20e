"""
Model tube
==========

Digits within a tolerance: a tube ``|g| <= 0.05`` around every constraint, and its support neurons. The file is ``models/tube.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("tube")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
