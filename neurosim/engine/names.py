"""Names and constants that plans, equations and backends share."""

from __future__ import annotations

from itertools import product

GUARD_EVERY = 10  # steps between two checks whether the state has left its bound, or rests
MOVING = -1  # step at which a pattern settled, before it has; see `Plan.settles_each`
LENGTH, MOMENT = "step_length", "stage_time"  # length of a step; time of a stage within it; s
FIRST = -1_000_000  # order in a slot of what comes before all else
MOMENTS = ("first", "second")  # running means of a force and of its square
# Array of a projection in which a compiled program leaves what it keeps beside the weights
MEMORY = "memory"
# Of shared weights: the tables of `Mixing` that a compiled program reads, as compressed rows
TABLES = ("ahead", "back_again", "outer")
TABLE_ARRAYS = tuple(f"{table}_{part}" for table, part in product(TABLES, ("row", "col", "value")))
# Of a population: its state proper, and data
OWN = ("x", "lam", "y")
SAMPLE_WEIGHT = "sample_weight"  # of a population: the weight of each pattern in plasticity, data
# beta_1^n and beta_2^n: Adam divides the running means, which start at 0, by 1 minus these
DECAYS = ("first_lacks", "second_lacks")


def projection_group(name: str) -> str:
    """Return the name of a projection's Brian2 group; ``"pre->post"`` is not an identifier.

    Examples
    --------
    >>> projection_group("input->hidden1")
    'input_to_hidden1'
    """
    return name.replace("->", "_to_")


def bias_group(population: str) -> str:
    """Return the name of the Brian2 group that holds a population's biases."""
    return f"{population}_bias"
