"""
Model digits
============

Handwritten digits: neurons, multipliers and synapses move at once; 96 % of unseen digits correct. The file is ``models/digits.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("digits")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
