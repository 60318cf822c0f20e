"""Networks with constraint functions, and two independent solutions to compare with.

These are SciPy's constrained minimum (`scipy_minimum`) and the adjoint at given outputs
(`adjoint_at`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from brian2 import ms

import neurosim as ns
from neurosim.data.patterns import patterns
from neurosim.model.expressions import constraint
from neurosim.reference.functions import dsigma, net_input, received, violation
from neurosim.reference.losses import loss_slope
from tests.helpers.problems import Problem, random_problem

EPSILON = 0.3


def constrained(net: ns.Network, kinds: Any, epsilon: float = EPSILON) -> ns.Network:
    """Return a copy of a network with other constraint functions.

    Parameters
    ----------
    net : Network
    kinds : str or sequence of str
        Constraint functions, which the populations take in turn.
    epsilon : float
        For the functions that have one; 0 elsewhere.
    """
    twin = net.copy()
    if isinstance(kinds, str):
        kinds = [kinds]
    for i, n in enumerate(net.neurons):
        kind = kinds[i % len(kinds)]
        width = epsilon if constraint(kind).reads_epsilon else 0.0
        twin.populations[n] = replace(net.populations[n], constraint=kind, epsilon=width)
    return twin


def distance(net: ns.Network, flow: ns.Flow, outputs: dict, lam: dict) -> float:
    """Return the smallest distance of a unit from a kink of its G; inf without kinks.

    It is that of |g| from epsilon; for a tube, that of |lam + rho g| from rho epsilon, or of lam
    from 0 where rho is 0. The epsilon of a tube is `EPSILON`.
    """
    found = [np.inf]
    for n in net.neurons:
        g, kind = violation(net, n, outputs), net.populations[n].constraint
        if kind in ("lin_eps", "abs_eps", "abs"):
            found.append(np.abs(np.abs(g) - net.populations[n].epsilon).min())
        elif kind == "tube" and flow.rho > 0:
            found.append(np.abs(np.abs(lam[n] + flow.rho * g) - flow.rho * EPSILON).min())
        elif kind == "tube":
            found.append(np.abs(lam[n]).min())
    return float(min(found))


def scipy_minimum(net: ns.Network, X: Any, Y: Any, start: dict | None = None) -> tuple[dict, float]:
    """Minimise V subject to |g| <= epsilon by SLSQP, pattern by pattern.

    No multiplier of neurosim is used.

    Parameters
    ----------
    start : {population: (patterns, units)}, optional
        Outputs from which the search starts; those of the forward pass if None.

    Returns
    -------
    x : {population: (patterns, units)}
        Outputs at the minimum.
    V : float
        Mean over the patterns.
    """
    from scipy.optimize import minimize

    names = net.neurons
    populations = [net.populations[n] for n in names]
    cuts = np.cumsum([population.size for population in populations])[:-1]
    widths = np.concatenate([np.full(p.size, p.epsilon) for p in populations])
    clamped = patterns(net, X)
    forward = ns.reference.forward(net, X) if start is None else start
    rows, total = [], 0.0
    for k in range(len(X)):
        X1 = {n: v[k : k + 1] for n, v in clamped.items()}
        Y1 = {n: v[k : k + 1] for n, v in Y.items()}

        def outputs(z: np.ndarray, X1: dict = X1) -> dict:
            parts = np.split(z, cuts)
            return X1 | {n: part[None] for n, part in zip(names, parts, strict=True)}

        def g(z: np.ndarray, outputs: Any = outputs) -> np.ndarray:
            return np.concatenate([violation(net, n, outputs(z))[0] for n in names])

        def V(z: np.ndarray, outputs: Any = outputs, Y1: dict = Y1) -> float:
            return ns.reference.loss(net, outputs(z), Y1)

        bounds = [{"type": "ineq", "fun": lambda z, g=g, s=s: widths - s * g(z)} for s in (1, -1)]
        given_ = [{"type": "eq", "fun": g}] if not widths.any() else bounds
        z0 = np.concatenate([forward[n][k] for n in names])
        best = minimize(
            V, z0, constraints=given_, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500}
        )
        rows.append(np.split(best.x, cuts))
        total += best.fun / len(X)
    return {n: np.array([row[i] for row in rows]) for i, n in enumerate(names)}, total


def sliding_error(kind: str, step: float, seed: int, wait: float = 200, over: float = 100) -> float:
    """Return the largest error of the time average of mu, relative to the largest multiplier.

    Compared is the adjoint at the time average of x. After a relaxation for `wait`, averages are
    taken `over` the next steps; `step` is dt; all three are in tau.
    """
    tau = 10e-3
    net, X, Y = random_problem([5, 6, 3], seed, patterns=4)
    net = constrained(net, kind, 0.05)
    sim = ns.Simulation(net, ns.Flow.augmented(), dt=step * tau)
    start = sim.relax(X, Y, duration=wait * tau)
    run = sim.relax(X, Y, duration=over * tau, start=start, record=("x", "mu"), every=step * tau)
    names = run.traces.population.values
    x, mu = run.traces.x.values.mean(axis=0), run.traces.mu.values.mean(axis=0)
    exact = adjoint_at(net, {n: x[:, names == n] for n in net.neurons}, X, Y)
    size = max(np.abs(v).max() for v in exact.values())
    errors = [np.abs(mu[:, names == n] - exact[n]).max() for n in net.neurons]
    return float(max(errors)) / size


def adjoint_at(net: ns.Network, x: dict, X: Any, Y: Any) -> dict:
    """Return the multipliers that make dL/dx = 0 at given outputs x, by backpropagation."""
    outputs = {**patterns(net, X), **x}
    lam: dict = {}
    delta = {n: np.zeros_like(v) for n, v in x.items()}
    for n in reversed(net.neurons):
        pull = -loss_slope(net.losses[n], outputs[n], Y[n]) if n in net.losses else 0.0
        lam[n] = pull + received(net, n, delta)
        delta[n] = dsigma(net.populations[n].activation, net_input(net, n, outputs)) * lam[n]
    return lam


def relaxed_in_stages(net: ns.Network, X: Any, Y: Any, backend: str = "numpy") -> ns.Run:
    """Relax from the forward pass with rho = 1, 4 and 16 in turn, and tau_lam = tau_x / rho."""
    run: Any = "forward"
    for rho, dt in ((1, 1.0), (4, 0.5), (16, 0.1)):
        sim = ns.Simulation(net, ns.Flow.augmented(rho), dt=dt * ms, backend=backend)
        run = sim.relax(X, Y, duration=3, start=run, settle=1e-9)
    return run


def side_by_side(problems: Sequence[Problem]) -> Problem:
    """Join networks of the same structure into one, without synapses between them.

    One simulation then relaxes them all. Units, X and Y are concatenated in the order of the
    problems; `taken_apart` reverses this for a run.
    """
    from scipy.sparse import block_diag, csr_array

    nets = [net for net, _, _ in problems]
    populations = []
    for n, population in nets[0].populations.items():
        sizes = [net.populations[n].size for net in nets]
        populations.append(replace(population, size=sum(sizes)))
    projections = []
    for name, q in nets[0].projections.items():
        blocks = block_diag([net.weights[name] for net in nets])
        projections.append(ns.Projection(q.pre, q.post, csr_array(blocks)))
    whole = ns.Network(populations, projections, list(nets[0].losses.values()))
    for n in whole.neurons:
        whole.biases[n] = np.concatenate([net.biases[n] for net in nets])
    Y = {n: np.hstack([targets[n] for _, _, targets in problems]) for n in whole.losses}
    return whole, np.hstack([X for _, X, _ in problems]), Y


def taken_apart(run: ns.Run, problems: Sequence[Problem]) -> list[ns.Run]:
    """Split the run of a network from `side_by_side` into one run per problem."""
    x_parts, lam_parts = {}, {}
    for n in run.x:
        ends = np.cumsum([net.populations[n].size for net, _, _ in problems])
        x_parts[n] = np.split(run.x[n], ends[:-1], axis=1)
        lam_parts[n] = np.split(run.lam[n], ends[:-1], axis=1)
    found = []
    for i, (net, X, Y) in enumerate(problems):
        x = {n: parts[i] for n, parts in x_parts.items()}
        lam = {n: parts[i] for n, parts in lam_parts.items()}
        found.append(replace(run, network=net, X=patterns(net, X), Y=Y, x=x, lam=lam))
    return found
