"""Names and constants that plans, equations and backends share."""

from __future__ import annotations

GUARD_EVERY = 10  # steps between two checks of the bound, and of rest
DIFFERENTIAL, PARAMETER = "differential", "parameter"  # kinds of variables of an equation
LENGTH, MOMENT = "step_length", "stage_time"  # of a step, and of a stage within it, s
MOMENTS = ("first", "second")  # running means of a force and of its square
DECAYS = ("first_lacks", "second_lacks")  # by how much the running means, from 0, fall short of 1


def projection_group(name: str) -> str:
    """Return Brian2's name for a projection, as ``"pre->post"`` is not an identifier.

    Examples
    --------
    >>> projection_group("input->hidden1")
    'input_to_hidden1'
    """
    return name.replace("->", "_to_")


def bias_group(population: str) -> str:
    """Return Brian2's name for the biases of a population."""
    return f"{population}_bias"
