"""
Model growing
=============

A network that grows from 4 to about 28 neurons: those with the largest multipliers are split. The file is ``models/growing.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("growing")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
