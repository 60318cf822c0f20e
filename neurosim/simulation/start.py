"""Find the outputs and multipliers that a run begins with, and the steps that led to them.

Below `opening` and `surgery`. Start at `initial_state`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim import reference
from neurosim.data.states import checked_state
from neurosim.errors import unknown
from neurosim.model.network import Network
from neurosim.model.state import State

Array = np.ndarray
Arrays = Mapping[str, Array]
ZERO, FORWARD = "zero", "forward"


def initial_state(net: Network, start: Any, clamped: Arrays) -> State:
    """Return the outputs and multipliers that a run begins with.

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
        `start` is another word, or neither a Run nor a State.
    DataError
        A state of another shape, or one with NaN or infinity.
    ConvergenceError
        A cyclic graph that does not contract.
    """
    count = len(next(iter(clamped.values())))
    zero = {}
    for n in net.neurons:
        shape = count, net.populations[n].size
        zero[n] = np.broadcast_to(0.0, shape)  # takes no memory
    forward: Arrays = {}
    at_forward = isinstance(start, str) and start == FORWARD
    if at_forward or net.cyclic:
        # A cyclic graph has its forward pass computed for any start: if the graph does not
        # contract, this raises ConvergenceError before anything runs.
        forward = reference.forward(net, clamped)
    if at_forward:
        return State({n: forward[n] for n in net.neurons}, zero)
    if not isinstance(start, str):
        return checked_state(net, "start", start, count, "'zero', 'forward', ")
    if start != ZERO:
        raise unknown("start", start, (ZERO, FORWARD, "a Run or State"))
    return State(zero, zero)


def steps_before(start: Any) -> int:
    """Return the number of steps that led to a start: those of a Run or State, else 0."""
    state = getattr(start, "state", start)
    return int(getattr(state, "steps_before", 0))
