"""Program: learn digits by presentations, `adjoint`, ``python digits_neurosim.py DATA.npz``."""

from time import perf_counter

begin = perf_counter()

import json  # noqa: E402
import sys  # noqa: E402

import numpy as np  # noqa: E402

import neurosim as ns  # noqa: E402

given = np.load(sys.argv[1])
net = ns.Network.mlp([64, 32, 10], loss="cross_entropy", seed=0)
sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="20 ms"), dt="10 ms", backend="standalone")
imported = perf_counter()
# 2 steps per layer, and one to learn
schedule = ns.Presentations(batch=16, present="50 ms", plastic_from=0.8, epochs=3)
log = sim.train(given["X"], given["Y"], schedule)
trained = perf_counter()
labels = given["Y_test"]
if labels.ndim > 1:
    labels = labels.argmax(1)
accuracy = float((sim.predict(given["X_test"]).argmax(1) == labels).mean())
parts = {"imports": imported - begin, "train": trained - imported, "loop": sim.loop_time}
print(json.dumps({"accuracy": accuracy, **parts}))
