"""Random numbers of a step: which statements read them, and their place in a row of numbers.

The numbers of one step are a row, which is a function of the seed and of the number of the step.
So a run that goes on draws what it would have drawn without a pause, however it is divided into
segments. A row is made from the words of a counter-based generator, Philox4x64-10, in the same way
by NumPy (`runtime/noise.py`) and in C++ (`standalone/include/ns_noise.h`). Below `statements` and
`plan`; importable without Brian2. Start at `named`.

References
----------
Salmon, Moraes, Dror & Shaw, SC 2011; Box & Muller, Ann. Math. Stat. 29, 610 (1958).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neurosim.errors import ModelError

Statement = tuple[str, str]  # target and expression
NORMAL, UNIFORM = "randn", "rand"  # functions of Brian2, and prefixes of the arrays of draws
CALL = re.compile(r"\b(randn?)\s*\(\s*\)")
OTHER = re.compile(r"\bpoisson\s*\(")
BLOCK = 4  # words that the generator makes at once


@dataclass(frozen=True)
class Draw:
    """One number per unit and step, which statements read from an array.

    Attributes
    ----------
    array : str
        Name of the array.
    normal : bool
        Whether the numbers are normal, of mean 0 and standard deviation 1; else uniform from 0
        to 1.
    """

    array: str
    normal: bool


def named(target: str, expression: str) -> tuple[str, list[Draw]]:
    """Replace the calls of ``randn()`` and ``rand()`` in an expression by names of arrays.

    Parameters
    ----------
    target : str
        The variable that the expression is assigned to; it makes the names unique.
    expression : str

    Raises
    ------
    ModelError
        A random function that has no numbers of a step.

    Examples
    --------
    >>> named("I", "0.1*randn()")
    ('0.1*randn_1_of_I', [Draw(array='randn_1_of_I', normal=True)])
    """
    if OTHER.search(expression):
        raise ModelError(
            f"{target} = {expression} in an extension calls poisson(); allowed: rand(), randn() "
            "and xi, which are functions of the seed and of the number of the step"
        )
    draws: list[Draw] = []

    def name(call: re.Match[str]) -> str:
        draw = Draw(f"{call[1]}_{len(draws) + 1}_of_{target}", call[1] == NORMAL)
        draws.append(draw)
        return draw.array

    return CALL.sub(name, expression), draws


def all_named(statements: Iterable[Statement]) -> tuple[list[Statement], list[Draw]]:
    """Replace the random calls in all statements, as `named` does."""
    found: list[Statement] = []
    draws: list[Draw] = []
    for target, expression in statements:
        text, own = named(target, expression)
        found.append((target, text))
        draws += own
    return found, draws


@dataclass(frozen=True)
class Place:
    """The place of one draw in a row.

    Attributes
    ----------
    group, array : str
        The Brian2 group, and its variable.
    first : int
        Place of its first number.
    size : int
        Number of its numbers, one per pattern and unit, or one per synapse.
    """

    group: str
    array: str
    first: int
    size: int


@dataclass(frozen=True)
class Row:
    """Layout of the random numbers of one step.

    A row is made of `words`. The first `pairs` give two normal numbers each: number i and number
    i + `pairs`. The next `uniforms` give one uniform number each.

    Attributes
    ----------
    pairs : int
        Pairs of normal numbers; they come first.
    uniforms : int
        Uniform numbers; they follow.
    places : tuple of Place
    """

    pairs: int
    uniforms: int
    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """Number of random numbers."""
        return 2 * self.pairs + self.uniforms

    @property
    def blocks(self) -> int:
        """Blocks of words of the generator; a step always takes as many."""
        return -(-(self.pairs + self.uniforms) // BLOCK)


def row_of(draws: Iterable[tuple[str, Draw, int]]) -> Row:
    """Return the layout of the random numbers of one step.

    Parameters
    ----------
    draws : iterable of (group, Draw, number of its numbers)
    """
    given = list(draws)
    normals = sum(size for _, draw, size in given if draw.normal)
    pairs = -(-normals // 2)
    uniforms = sum(size for _, draw, size in given if not draw.normal)
    following = {True: 0, False: 2 * pairs}  # next place, of normal and of uniform numbers
    places: list[Place] = []
    for group, draw, size in given:
        first = following[draw.normal]
        places.append(Place(group, draw.array, first, size))
        following[draw.normal] = first + size
    return Row(pairs, uniforms, tuple(places))


def step_seed(key: int, step: int) -> int:
    """Return the seed of the random numbers that user-supplied objects draw in a step; 31 bit.

    Parameters
    ----------
    key : int
        See `noise_key`.
    step : int
        Steps since the beginning, those of earlier runs included.

    References
    ----------
    SplitMix64: Steele, Lea & Flood, OOPSLA 2014; the template ``seed.cpp`` computes the same.
    """
    mask = 2**64 - 1
    z = (key + (step + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 33


def noise_key(seed: int) -> int:
    """Return the part of the generator's key that follows from the seed of a simulation, 63 bit."""
    word = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return int(word >> np.uint64(1))
