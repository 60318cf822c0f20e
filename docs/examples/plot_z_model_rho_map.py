"""
Model rho_map
=============

The settling time over ρ and the multipliers' time constant, in nets of six weight layers. The file is ``models/rho_map.toml``,
whose comment has the command of the whole map; here are fewer points, of one gain, and 1 s of each run.
"""

import neurosim as ns
from neurosim.experiments import modelfile

model = modelfile.load("rho_map", ["network.gain=1.0", "simulation.duration='1 s'"])
data = ns.sweep(
    model,
    {"flow.rho": [1, 2, 4, 8, 16], "flow.tau_lam": [0.000625, 0.00125, 0.0025, 0.005]},
    measure=["settle_time", "growth"],
)
ns.plot.heat_map(data, "settle_time")
