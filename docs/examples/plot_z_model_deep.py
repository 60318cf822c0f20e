"""
Model deep
==========

Six layers deep: strong augmentation brings a network to rest that would end in a limit cycle. The file is ``models/deep.toml``.
"""

import neurosim as ns
from neurosim.experiments import modelfile

spec = modelfile.load("deep")
result = spec.run(spec.simulation(), spec.data())
ns.plot.summary(result)
