"""
Model rows
==========

A recurrent net reads digits row by row: λ is backpropagation through time. The file is ``models/rows.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("rows")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
