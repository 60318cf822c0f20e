"""
Model oscillator
================

A linear network under the paper's plain saddle flow: undamped, it rings for ever. The file is ``models/oscillator.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("oscillator")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
