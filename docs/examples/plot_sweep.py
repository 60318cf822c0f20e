"""
Phase diagram and heat map of a sweep
=====================================

Outcomes, the boundary that the spectrum predicts, and a measure.
"""

import neurosim as ns

from neurosim.experiments import modelfile

model = modelfile.load("phase_diagram", ["simulation.duration='1 s'"])
data = ns.sweep(
    model,
    {
        "flow.theta": [0.3, 0.6, 0.9, 1.2, 1.5],
        "network.gain": [0.75, 1.0, 1.25, 1.5],
        "network.seed": range(2),
    },
    measure=["settle_time", "growth"],
)
ns.plot.phase_diagram(data)
ns.plot.heat_map(data, "settle_time")
