"""
Lines and parallel coordinates
==============================

A measure over one parameter, and over all.
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
ns.plot.lines(data, "growth")
ns.plot.parallel_coordinates(data)
ns.plot.sensitivity(data, "growth")
