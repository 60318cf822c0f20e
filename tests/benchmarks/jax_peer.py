"""Peer program: the flow with fixed weights as a jitted JAX Euler loop, and by diffrax.

It does not import neurosim. ``python jax_peer.py PROBLEM.npz`` answers requests such as
``["euler", {"steps": 100}]``, one per line. As the input is clamped, sigma in the hidden layer is
constant, and is computed once, outside of the loops.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
State = tuple[jax.Array, jax.Array, jax.Array, jax.Array]  # x1, lam1, x2, lam2
GIVEN = dict(np.load(sys.argv[1]))
H, RHO, ADJOINT = float(GIVEN["h"]), float(GIVEN["rho"]), bool(GIVEN["adjoint"])
REST = tuple(jnp.zeros(GIVEN[n].shape) for n in ("x1", "lam1", "x2", "lam2"))
LONGEST, CHECK_EVERY = 5_000, 10  # steps
LEAST = 0.03  # s for which calls are repeated, as the caches are cold for a single one


def constants() -> dict[str, jax.Array]:
    """Return the arrays that the loops read."""
    s = jnp.tanh(GIVEN["X"] @ GIVEN["W1"].T + GIVEN["b1"])
    return {
        "s": s,
        "W2": jnp.asarray(GIVEN["W2"]),
        "b2": jnp.asarray(GIVEN["b2"]),
        "y": jnp.asarray(GIVEN["Y"]),
    }


def field(z: State, c: dict[str, jax.Array]) -> State:
    """Return tau dz/dt."""
    x1, lam1, x2, lam2 = z
    g1, g2 = x1 - c["s"], x2 - (x1 @ c["W2"].T + c["b2"])
    mu1, mu2 = lam1 + RHO * g1, lam2 + RHO * g2
    L1, L2 = mu1 - mu2 @ c["W2"], mu2 + x2 - c["y"]
    return (-g1, -L1, -g2, -L2) if ADJOINT else (-L1, g1, -L2, g2)


def moving(dz: State) -> jax.Array:
    """Return the largest absolute rate of all units."""
    return jnp.max(jnp.array([jnp.abs(d).max() for d in dz]))


def ahead(z: State, dz: State) -> State:
    """Take an Euler step."""
    return jax.tree.map(lambda v, d: v + H * d, z, dz)


TERM = diffrax.ODETerm(lambda t, z, c: field(z, c))


@jax.jit
def fixed(z: State, c: dict[str, jax.Array], steps: int) -> State:
    """Take a number of steps."""
    return jax.lax.fori_loop(0, steps, lambda _, z: ahead(z, field(z, c)), z)


@jax.jit
def settling(z: State, c: dict[str, jax.Array], settle: float) -> tuple[State, int]:
    """Step until nothing moves faster than `settle`.

    The rates are checked only every `CHECK_EVERY` steps, as a check costs as much as some steps.
    """

    def goes_on(carry: tuple[State, int]) -> jax.Array:
        return (moving(field(carry[0], c)) > settle) & (carry[1] < LONGEST)

    return jax.lax.while_loop(
        goes_on, lambda carry: (fixed(carry[0], c, CHECK_EVERY), carry[1] + CHECK_EVERY), (z, 0)
    )


@jax.jit
def by_diffrax(z: State, c: dict[str, jax.Array], steps: int) -> State:
    """Take a number of steps of diffrax's Euler."""
    return diffrax.diffeqsolve(
        TERM,
        diffrax.Euler(),
        0.0,
        steps * H,
        H,
        z,
        c,
        max_steps=None,
        throw=False,
        adjoint=diffrax.ForwardMode(),
    ).ys


@jax.jit
def tsit5(
    z: State,
    c: dict[str, jax.Array],
    tolerance: float,
    settle: float | None = None,
    horizon: float = LONGEST * H,
) -> tuple[State, int]:
    """Run diffrax's Tsit5 with step control, to a horizon in tau or until rates are <= `settle`."""
    event = None
    if settle is not None:
        event = diffrax.Event(lambda t, z, c, **_: moving(field(z, c)) <= settle)
    found = diffrax.diffeqsolve(
        TERM,
        diffrax.Tsit5(),
        0.0,
        horizon,
        H,
        z,
        c,
        max_steps=None,
        throw=False,
        adjoint=diffrax.ForwardMode(),
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        event=event,
    )
    return found.ys, 6 * found.stats["num_steps"]  # of 7 stages, the last is the next one's first


CONSTANTS = constants()
RUNS: dict[str, Callable[..., Any]] = {
    "euler": fixed,
    "settling": settling,
    "diffrax": by_diffrax,
    "tsit5": tsit5,
}


@cache
def warm(name: str, **arguments: Any) -> None:
    """Compile a run by calling it once."""
    jax.block_until_ready(RUNS[name](REST, CONSTANTS, **arguments))


def run(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the mean seconds of a call, those of one with its data copied, and the final state."""
    warm(name, **arguments)
    begin, calls = perf_counter(), 0
    while perf_counter() < begin + LEAST:
        found = jax.block_until_ready(RUNS[name](REST, CONSTANTS, **arguments))
        calls += 1
    seconds = (perf_counter() - begin) / calls
    begin = perf_counter()
    again = RUNS[name](REST, constants(), **arguments)
    jax.tree.map(np.asarray, again)
    whole = perf_counter() - begin
    z, evaluations = found if name in ("settling", "tsit5") else (found, arguments["steps"])
    state = {
        n: np.reshape(v, GIVEN[n].shape).tolist()
        for n, v in zip(("x1", "lam1", "x2", "lam2"), z, strict=True)
    }
    return {"seconds": seconds, "whole": whole, "state": state, "evaluations": int(evaluations)}


for line in sys.stdin:
    print(json.dumps(run(*json.loads(line))), flush=True)
