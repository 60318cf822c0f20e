"""Program: record every step of a small net, ``python record_once.py BACKEND STEPS``."""

import sys
import tempfile

import numpy as np

import neurosim as ns

if __name__ == "__main__":
    backend, steps = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    net = ns.Network.mlp([4, 3, 2], loss="mse", seed=0)
    sim = ns.Simulation(net, ns.Flow.augmented(1), dt="1 ms", backend=backend)
    with tempfile.TemporaryDirectory() as folder:
        X, Y = rng.random((2, 4)), rng.random((2, 2))
        run = sim.relax(
            X, Y, duration=steps * 1e-3, record=("x", "lam"), stream=f"{folder}/run.zarr"
        )
        print(", ".join(f"{name} {traces.shape}" for name, traces in run.traces.data_vars.items()))
