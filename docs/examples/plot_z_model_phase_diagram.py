"""
Model phase_diagram
===================

Which rotated flows settle, by angle and gain, in nets of four weight layers. The file is ``models/phase_diagram.toml``,
whose comment has the command of the whole diagram; here are fewer points, of one depth, and 1 s of each run.
"""

import neurosim as ns
from neurosim.experiments import modelfile

few = ["network.depth=4", "simulation.duration='1 s'"]
model = modelfile.load("phase_diagram", few)
angles = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
data = ns.sweep(
    model,
    {"flow.theta": angles, "network.gain": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]},
    measure=["growth", "settle_time"],
)
ns.plot.phase_diagram(data)
