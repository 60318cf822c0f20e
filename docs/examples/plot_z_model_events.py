"""
Model events
============

Digits by events: a unit sends only changes, and its threshold shrinks as it settles. The file is ``models/events.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("events")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
