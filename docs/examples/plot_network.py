"""
A network with skips and exits
==============================

Populations by depth; names of side branches stand below.
"""

import neurosim as ns

net = ns.Network.mlp([12, 8, 8, 8, 4], loss="mse", exits=0.3, skips=2)
ns.plot.network(net)
