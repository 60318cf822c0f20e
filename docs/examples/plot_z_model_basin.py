"""
Model basin
===========

Basin of attraction: which starts in (x, lam) reach the saddle point, and which ring for ever. The file is ``models/basin.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("basin")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
