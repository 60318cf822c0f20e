"""Find the outputs and multipliers that a run begins with.

Below `opening`. Start at `initial_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.errors import DataError, ModelError, unknown
from neurosim.model.network import Network
from neurosim.model.state import State

Array = np.ndarray
Arrays = Mapping[str, Array]
ZERO, FORWARD = "zero", "forward"


def initial_state(net: Network, start: Any, clamped: Arrays) -> State:
    """Return the state to begin with.

    Parameters
    ----------
    net : Network
    start : "zero", "forward", Run or State
        x = lam = 0; x of the forward pass and lam = 0; the end of an earlier run.
    clamped : dict of str to array, (patterns, units)
        Inputs of the patterns that are simulated at once.

    Raises
    ------
    ModelError
        Another word, or neither a Run nor a State.
    DataError
        A state of another shape, NaN or infinity.
    ConvergenceError
        A cyclic graph that does not contract.
    """
    count = len(next(iter(clamped.values())))
    zero = {}
    for n in net.neurons:
        shape = count, net.populations[n].size
        zero[n] = np.broadcast_to(0.0, shape)  # takes no memory
    forward: Arrays = {}
    wants_forward = isinstance(start, str) and start == FORWARD
    if wants_forward or net.order() is None:
        # of a cycle also where x starts elsewhere: one that does not contract is refused here
        forward = reference.forward(net, clamped)
    if wants_forward:
        return State({n: forward[n] for n in net.neurons}, zero)
    if not isinstance(start, str):
        return _state_of(start, zero)
    if start != ZERO:
        raise unknown("start", start, (ZERO, FORWARD, "a Run or State"))
    return State(zero, zero)


def _state_of(start: Any, zero: Arrays) -> State:
    """Return the state that a Run or a State holds, of the shapes of `zero`."""
    if not hasattr(start, "x") or not hasattr(start, "lam"):
        raise ModelError(
            f"start is a {type(start).__name__}; allowed: 'zero', 'forward', a Run or a State"
        )
    for part in ("x", "lam"):
        for n, expected in zero.items():
            name = f"start.{part}[{n!r}]"
            given = getattr(start, part).get(n)
            shape = np.shape(given)
            if shape != expected.shape:
                raise DataError(
                    f"{name} has shape {shape}; allowed: (patterns, units) = {expected.shape}"
                )
            values = np.asarray(given)
            wrong = values[~np.isfinite(values)]
            if wrong.size:
                raise DataError(f"{name} holds {wrong[0]}; allowed: finite numbers")
    x = {n: start.x[n] for n in zero}
    lam = {n: start.lam[n] for n in zero}
    return State(x, lam)
