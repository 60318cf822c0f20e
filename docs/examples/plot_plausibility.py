"""
Scorecard
=========

What a flow needs and tolerates.
"""

import neurosim as ns

data = ns.datasets.load("iris", test=0.3)
net = ns.Network.mlp([4, 8, 3], seed=0)
schedule = ns.Presentations(batch=16, present="60 ms", plastic_from=0.5, epochs=1)
cards = {}
for name, flow in {"adjoint": ns.Flow.adjoint(), "damped": ns.Flow.damped()}.items():
    cards[name] = ns.plausibility(
        net,
        flow,
        data.X,
        data.Y,
        test=data.validation,
        schedule=schedule,
        levels={"message noise (sd)": [0.1, 1.0], "delay (steps)": [1]},
        backend="numpy",
    )
ns.plot.plausibility(cards)
