"""
Model moons
===========

Two moons: a curved boundary between two classes, learnt with all three flows running at once. The file is ``models/moons.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("moons")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
