"""Peer program: the flow in plain Brian2, by summed variables, with synapses for each pattern.

It does not import neurosim. ``python plain_network.py PROBLEM.npz STEPS`` prints, as JSON, the
seconds of Brian2's default build and of the run, and the final state.
"""

from __future__ import annotations

import json
import sys
import tempfile
from time import perf_counter

import brian2 as b2
import numpy as np

LAST = """delta = lam + x - a : 1 (constant over dt)
          dx/dt = (y - x - lam - (x - a)) / tau : 1
          dlam/dt = (x - a) / tau : 1
          dbias/dt = delta / tau_w : 1
          a = bias + drive : 1
          drive : 1
          y : 1"""
HIDDEN = """delta = (1 - s * s) * (lam + x - s) : 1 (constant over dt)
            dx/dt = (f - lam - (x - s)) / tau : 1
            dlam/dt = (x - s) / tau : 1
            dbias/dt = delta / tau_w : 1
            s = tanh(bias + drive) : 1 (constant over dt)
            drive : 1
            f : 1"""
SYNAPSES = """dw/dt = delta_post * x_pre / tau_w : 1 (clock-driven)
              drive_post = w * x_pre : 1 (summed)"""
FEEDBACK = "f_pre = w * delta_post : 1 (summed)"


def synapses(
    pre: b2.NeuronGroup, post: b2.NeuronGroup, text: str, W: np.ndarray, patterns: int
) -> b2.Synapses:
    """Return synapses with one copy of the weights per pattern."""
    n_post, n_pre = W.shape
    made = b2.Synapses(pre, post, text, method="euler")
    k, j, i = np.meshgrid(np.arange(patterns), np.arange(n_post), np.arange(n_pre), indexing="ij")
    made.connect(i=(k * n_pre + i).ravel(), j=(k * n_post + j).ravel())
    made.w = np.tile(W.ravel(), patterns)
    return in_order(made)


def in_order(made: b2.Synapses) -> b2.Synapses:
    """Order the updates: net inputs, then s and delta, then f, then weights and states.

    Brian2 evaluates s and delta in "before_start".
    """
    for variable, updater in made.summed_updaters.items():
        updater.when, updater.order = "groups", -2
        if variable == "drive_post":
            updater.when, updater.order = "before_start", -1
    made.state_updater.order = -1
    return made


def main(path: str, steps: int) -> None:
    """Build as Brian2 does by default, run once, and print times and state."""
    given = np.load(path)
    patterns, tau = len(given["X"]), 10 * b2.ms
    dt = float(given["h"]) * tau
    names = {"tau": tau, "tau_w": dt / float(given["rate"])}
    b2.set_device("cpp_standalone", build_on_run=False)
    b2.defaultclock.dt = dt
    sizes = (given["X"].shape[1], *(given[n].shape[0] for n in ("b1", "b2")))
    inputs = b2.NeuronGroup(sizes[0] * patterns, "x : 1", name="input")
    hidden = b2.NeuronGroup(
        sizes[1] * patterns, HIDDEN, method="euler", namespace=names, name="hidden"
    )
    output = b2.NeuronGroup(
        sizes[2] * patterns, LAST, method="euler", namespace=names, name="output"
    )
    inputs.x, output.y = given["X"].ravel(), given["Y"].ravel()
    first = synapses(inputs, hidden, SYNAPSES, given["W1"], patterns)
    second = synapses(hidden, output, f"{SYNAPSES}\n{FEEDBACK}", given["W2"], patterns)
    for each in (first, second):
        each.namespace.update(names)
    b2.Network(inputs, hidden, output, first, second).run(steps * dt)
    device = b2.get_device()
    with tempfile.TemporaryDirectory() as folder:
        begin = perf_counter()
        device.build(directory=folder, run=False, with_output=False)
        built = perf_counter() - begin
        device.run(with_output=False)
        state = {"x1": hidden.x[:], "lam1": hidden.lam[:], "x2": output.x[:], "lam2": output.lam[:]}
        shown = {n: np.asarray(v).tolist() for n, v in state.items()}
        print(json.dumps({"build": built, "loop": device._last_run_time, "state": shown}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
