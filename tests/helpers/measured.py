"""Measure rates, frequencies and steps in simulations, for comparison with predictions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import brentq

import neurosim as ns
from neurosim.data.patterns import targets
from neurosim.errors import DivergenceError, StabilityWarning

Array = np.ndarray

PUSHES = 4  # perturbations of one pattern that are simulated at once


def near_rest(net: ns.Network, X: Any, Y: Any, size: float, seed: int = 0) -> ns.State:
    """Return the saddle point with Gaussian noise of sd `size` added to each x and lam."""
    ref = ns.reference.backprop(net, X, Y, through="feedback")
    rng = np.random.default_rng(seed)
    x = {n: ref.x[n] + size * rng.normal(size=ref.x[n].shape) for n in net.neurons}
    lam = {n: ref.lam[n] + size * rng.normal(size=ref.lam[n].shape) for n in net.neurons}
    return ns.State(x, lam)


def deviation(run: ns.Run, X: Any, Y: Any) -> Array:
    """Return recorded x and lam minus their saddle point, (samples, patterns, 2 * units)."""
    ref = ns.reference.backprop(run.network, X, Y, through="feedback")
    parts = []
    for name, rest in (("x", ref.x), ("lam", ref.lam)):
        parts.append(run.traces[name].values - np.hstack([rest[n] for n in run.network.neurons]))
    return np.concatenate(parts, axis=-1)


def slowest_mode(
    net: ns.Network, flow: ns.Flow, X: Any, Y: Any, duration: float, dt: float
) -> complex:
    """Measure the eigenvalue of the slowest mode of one pattern, 1/s, by the engine's rk4.

    A single perturbation may have almost no share in the slowest mode, so there are several. Their
    samples of the last three quarters are sums of a few exponentials, which dynamic mode
    decomposition finds. The result is the exponent that decays slowest among those whose share is
    still visible at the end.

    Parameters
    ----------
    X, Y
        One pattern.
    duration, dt : float, s
    """
    X = np.repeat(X, PUSHES, axis=0)
    Y = {n: np.repeat(y, PUSHES, axis=0) for n, y in targets(net, Y, 1).items()}
    sim = ns.Simulation(net, flow, dt=dt, method="rk4", backend="numpy")
    steps = round(duration / dt)
    every = max(1, steps // 400)
    run = sim.relax(
        X,
        Y,
        duration=steps * dt,
        record=("x", "lam"),
        every=every * dt,
        start=near_rest(net, X, Y, 1e-4),
    )
    samples = deviation(run, X, Y)
    late = samples[len(samples) // 4 :]
    before, after = (part.reshape(-1, samples.shape[-1]).T for part in (late[:-1], late[1:]))
    U, sizes, Vt = np.linalg.svd(before, full_matrices=False)
    kept = sizes > 1e-9 * sizes[0]
    propagator = (U[:, kept].T @ after) @ Vt[kept].T / sizes[kept]
    growths, vectors = np.linalg.eig(propagator)
    left = np.abs(np.linalg.solve(vectors, U[:, kept].T @ late[-1].T)).max(axis=1)
    modes = np.log(growths.astype(complex)) / (every * dt)
    seen = left > 1e-3 * np.linalg.norm(late[-1], axis=1).max()  # vectors have length 1
    return complex(max(modes[seen], key=lambda s: (s.real, s.imag)))


def growth(
    net: ns.Network, flow: ns.Flow, X: Any, Y: Any, dt: float, method: str, steps: int = 2000
) -> float:
    """Measure the final growth rate of a tiny perturbation, 1/step, by the engine.

    It is the slope of the logarithm of the deviation's norm, over the second half of the steps in
    which the flow is linear; it is negative where the perturbation decays.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)
        sim = ns.Simulation(net, flow, dt=dt, method=method, backend="numpy")
        try:
            run = sim.relax(
                X, Y, duration=steps * dt, record=("x", "lam"), start=near_rest(net, X, Y, 1e-8)
            )
        except DivergenceError as error:
            run = error.run
    sizes = np.linalg.norm(deviation(run, X, Y), axis=(1, 2))
    leaves = ~((sizes > 1e-13) & (sizes < 1e-3))  # rounding, or no longer linear
    linear = int(np.argmax(leaves)) if leaves.any() else len(sizes)
    last = np.arange(linear // 2, linear)
    return float(np.polyfit(last, np.log(sizes[last]), 1)[0])


def largest_step(net: ns.Network, flow: ns.Flow, X: Any, Y: Any, method: str, near: float) -> float:
    """Find the step dt at which `growth` changes sign, s, between 0.8 and 1.25 times `near`."""

    def rate(h: float) -> float:
        return growth(net, flow, X, Y, h, method)

    return float(brentq(rate, 0.8 * near, 1.25 * near, xtol=2e-3 * near))
