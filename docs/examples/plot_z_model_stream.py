"""
Model stream
============

A stream: a handwritten digit moves over a canvas, and errors follow it, sent as events. The file is ``models/stream.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("stream")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
