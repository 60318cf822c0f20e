"""Hand-written loops: NumPy, and C++ with and without OpenBLAS.

Start at `numpy_euler` and `cpp_euler`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import numpy as np

from tests.benchmarks.problems import Problem, State

HERE = Path(__file__).parent
FLAGS = ("-std=c++14", "-O3", "-ffast-math", "-march=native")


def numpy_loop(
    problem: Problem, *, plastic: bool
) -> tuple[Callable[[], None], State, Callable[[], float]]:
    """Return an Euler step as a careful NumPy user would write it: BLAS products, all in place.

    With the weights fixed, the messages of the clamped input are constant and computed once.

    Returns
    -------
    step : callable
    state : dict
        The arrays that `step` changes, and the inputs X and targets y.
    moving : callable
        Returns the largest of |g| and |dL/dx| in the last step.
    """
    z = problem.start() | {"X": problem.X.copy(), "y": problem.Y.copy()}
    x1, lam1, x2, lam2, W1, b1, W2, b2, X, y = z.values()
    s1, g1, mu1, L1, slope, delta, f = (np.empty_like(x1) for _ in range(7))
    s2, g2, mu2, L2 = (np.empty_like(x2) for _ in range(4))
    h, rate, rho = problem.h, problem.rate / problem.patterns, problem.rho
    matmul, add, subtract, multiply, tanh = np.matmul, np.add, np.subtract, np.multiply, np.tanh
    layers = ((x1, lam1, s1, g1, mu1), (x2, lam2, s2, g2, mu2))
    synapses = ((W1, b1, np.empty_like(W1), delta, X), (W2, b2, np.empty_like(W2), mu2, x1))
    saddle = ((x1, L1, lam1, g1), (x2, L2, lam2, g2))  # x' = -dL/dx, lam' = g
    adjoint = ((x1, g1, lam1, L1), (x2, g2, lam2, L2))  # x' = -g, lam' = -dL/dx
    flows, upwards = (adjoint, subtract) if problem.adjoint else (saddle, add)

    def drive() -> None:
        matmul(X, W1.T, out=s1)
        add(s1, b1, out=s1)
        tanh(s1, out=s1)
        multiply(s1, s1, out=slope)
        subtract(1, slope, out=slope)

    def learn() -> None:
        multiply(slope, mu1, out=delta)
        for W, b, moved, d, x in synapses:
            matmul(d.T, x, out=moved)
            multiply(moved, rate, out=moved)
            add(W, moved, out=W)
            add(b, rate * d.sum(0), out=b)

    def step() -> None:
        if plastic:
            drive()
        matmul(x1, W2.T, out=s2)
        add(s2, b2, out=s2)
        for x, lam, s, g, mu in layers:
            subtract(x, s, out=g)
            multiply(g, rho, out=mu)
            add(mu, lam, out=mu)
        matmul(mu2, W2, out=f)
        if plastic:
            learn()
        subtract(mu1, f, out=L1)
        add(mu2, x2, out=L2)
        subtract(L2, y, out=L2)
        for x, u, lam, v in flows:
            multiply(u, h, out=u)
            subtract(x, u, out=x)
            multiply(v, h, out=v)
            upwards(lam, v, out=lam)

    def moving() -> float:
        return max(float(np.abs(v).max()) for v in (g1, L1, g2, L2)) / h

    drive()
    return step, z, moving


def numpy_euler(problem: Problem, steps: int, *, plastic: bool = True) -> tuple[float, State]:
    """Return seconds per step of the NumPy loop, and the final state."""
    step, state, _ = numpy_loop(problem, plastic=plastic)
    begin = perf_counter()
    for _ in range(steps):
        step()
    return (perf_counter() - begin) / steps, state


def cpp_euler(kind: str, problem: Problem, steps: int) -> tuple[float, State]:
    """Return seconds per step of the C++ loop, and the final state.

    `kind` is "hand" or "blas". The flow is `Flow.augmented(1)`, with weights that move.
    """
    start = problem.start()
    names = ("W1", "b1", "W2", "b2", "x1", "lam1", "x2", "lam2")
    arrays = [problem.X, problem.Y, *(start[n] for n in names)]
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        np.concatenate([a.ravel() for a in arrays]).tofile(file.name)
        numbers = (*problem.sizes, problem.patterns, steps, problem.h, problem.rate)
        command = [compiled("euler.cpp"), kind, *map(repr, numbers), file.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        left = np.split(np.fromfile(file.name), np.cumsum([a.size for a in arrays])[:-1])[2:]
    state = {n: v.reshape(start[n].shape) for n, v in zip(names, left, strict=True)}
    return float(done.stdout) / steps, state


@lru_cache
def compiled(source: str) -> str:
    """Compile one of this folder's C++ files, linked with OpenBLAS; return the program's path."""
    import scipy_openblas32 as blas

    program = os.path.join(folder().name, Path(source).stem)
    library = blas.get_lib_dir()
    link = [f"-L{library}", f"-l{blas.get_library()}", f"-Wl,-rpath,{library}"]
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, *FLAGS, str(HERE / source), "-o", program, *link], check=True)
    return program


@lru_cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for programs and problems, which is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="benchmarks_")
