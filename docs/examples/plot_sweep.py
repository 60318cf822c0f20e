"""
Phase diagram and heat map of a sweep
=====================================

Outcomes, the boundary that the spectrum predicts, and a measure.
"""

import neurosim as ns

data = ns.sweep(
    "xor",
    {
        "flow.rho": [0.25, 0.5, 1, 2, 4],
        "network.gain": [0.5, 1.0, 2.0, 3.0],
        "network.seed": range(2),
    },
    measure=["settle_time", "growth"],
)
ns.plot.phase_diagram(data)
ns.plot.heat_map(data, "settle_time")
