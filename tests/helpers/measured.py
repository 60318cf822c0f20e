"""Measure rates, frequencies and steps in simulations, for comparison with predictions."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

import neurosim as ns
from neurosim.data.patterns import targets
from neurosim.errors import DivergenceError, StabilityWarning

Array = np.ndarray

NUDGE = 1e-6  # of x and lam, from which the matrix of a step is measured
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


def radii(net: ns.Network, flow: ns.Flow, X: Any, Y: Any, dt: float, method: str) -> Array:
    """Measure the spectral radius of one step of the engine at the saddle, by pattern.

    The engine takes one step from the saddle of each pattern, moved a little along every x and lam
    both ways; the differences are the columns of the matrix of the step.
    """
    ref = ns.reference.backprop(net, X, Y, through="feedback")
    rest = np.hstack([part[n] for part in (ref.x, ref.lam) for n in net.neurons])
    count, size = rest.shape
    moves = NUDGE * np.vstack([np.eye(size), -np.eye(size)])
    starts = (rest[:, None] + moves).reshape(-1, size)
    sizes = [net.populations[n].size for n in net.neurons]
    pieces = np.split(starts, np.cumsum([*sizes, *sizes])[:-1], axis=1)
    units = len(sizes)
    state = ns.State(
        dict(zip(net.neurons, pieces[:units], strict=True)),
        dict(zip(net.neurons, pieces[units:], strict=True)),
    )
    rows = np.repeat(np.arange(count), 2 * size)
    clamped = np.asarray(X)[rows]
    given = {n: y[rows] for n, y in targets(net, Y, count).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)
        sim = ns.Simulation(net, flow, dt=dt, method=method, backend="numpy")
        run = sim.relax(clamped, given, duration=dt, start=state)
    ends = np.hstack([part[n] for part in (run.x, run.lam) for n in net.neurons])
    above, below = np.split(ends.reshape(count, 2 * size, size), 2, axis=1)
    steps = (above - below) / (2 * NUDGE)
    return np.array([_radius(step) for step in steps])


def _radius(step: Array) -> float:
    """Return the spectral radius of a measured matrix, part by part.

    Rounding would couple parts that drive each other in one direction, and split the multiple
    eigenvalues of a chain.
    """
    kept = np.where(np.abs(step) < 1e-8 * np.abs(step).max(), 0.0, step)
    count, label = connected_components(csr_array(kept != 0), connection="strong")
    blocks = [kept[np.ix_(label == k, label == k)] for k in range(count)]
    return max(float(np.abs(np.linalg.eigvals(block)).max()) for block in blocks)


def unstable_step(net: ns.Network, flow: ns.Flow, X: Any, Y: Any, method: str, near: float) -> Any:
    """Find the step at which the engine's step becomes unstable for some pattern, s, by bisection.

    It is sought between 0.5 and 1.5 times `near`, or less where longer steps are stable again (of
    exponential Euler they may be). NaN where a quarter or half of `near` is unstable already, or
    where no longer step is.
    """

    def excess(h: float) -> float:
        return float(radii(net, flow, X, Y, h, method).max()) - 1 - 1e-7

    low = 0.5 * near
    if excess(low / 2) > 0 or excess(low) > 0:
        return np.nan
    for factor in (1.5, 1.25, 1.1, 1.02):
        if excess(factor * near) > 0:
            return brentq(excess, low, factor * near, xtol=1e-3 * near)
    return np.nan
