"""Generate data sets: xor, moons, random patterns, moving digits and MNIST-1D.

Below `datasets`. Start at `xor`, the simplest.
"""

from __future__ import annotations

import importlib.util
import random as python_random
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np

from neurosim.data.content import MAX_NUMBERS
from neurosim.data.parts import Parts
from neurosim.data.streams import moving_digits
from neurosim.errors import FileError, number, out_of_range, unknown, whole

Array = np.ndarray
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
CODINGS = ("signs", "bits", "labels")
GLOBAL_RANDOM = Lock()  # held while the process's random states are others


def xor(coding: str = "signs") -> tuple[Array, Array]:
    """Return the four patterns of the exclusive or."""
    if coding not in CODINGS:
        raise unknown("data.coding", coding, CODINGS)
    first, second = XOR.T
    labels = first ^ second
    column = labels[:, None]
    if coding == "bits":
        return XOR.astype(float), column.astype(float)
    X = 2.0 * XOR - 1
    if coding == "labels":
        return X, labels
    return X, 2.0 * column - 1


def moons(patterns: int = 400, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Return two interleaved half circles, by scikit-learn's `make_moons`."""
    from sklearn.datasets import make_moons

    number("data.noise", noise, least=0)
    X, Y = make_moons(patterns, noise=noise, random_state=seed)
    return X, Y


def random(
    patterns: int = 64,
    features: int = 10,
    outputs: int = 1,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Return unrelated patterns and targets, all numbers drawn from N(0, 1)."""
    whole_up_to_most("data.features", features, 1)
    whole_up_to_most("data.outputs", outputs, 1)
    size = f"{patterns} x ({features} + {outputs})"
    _check_size(size, patterns * (features + outputs))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(patterns, features))
    Y = rng.normal(size=(patterns, outputs))
    return X, Y


def moving(
    patterns: int = 400,
    seed: int = 0,
    speed: float = 0.05,
    side: int = 16,
    dwell: int = 200,
) -> tuple[Array, Array]:
    """Return the frames and labels of `streams.moving_digits`, in temporal order."""
    whole_up_to_most("data.side", side, 1)
    whole_up_to_most("data.dwell", dwell, 1)
    _check_size(f"{patterns} x {side} x {side}", patterns * side**2)
    stream = moving_digits(patterns, speed=speed, side=side, dwell=dwell, seed=seed)
    return stream.X, stream.Y


def generate_mnist1d(seed: int = 0) -> Parts:
    """Return MNIST-1D, 4,000 series for training and 1,000 for test, by the package mnist1d.

    X is (patterns, 40, 1), with mean 0 and spread 1 over all series. The process's own random
    states are left as they were.

    Raises
    ------
    FileError
        The package is not installed.

    References
    ----------
    Greydanus & Kobak 2024, arXiv 2011.14439.
    """
    if importlib.util.find_spec("mnist1d") is None:
        raise FileError(
            "data 'mnist1d' needs the package mnist1d, which is not installed; "
            "try: pip install 'neurosim[mnist1d]'"
        )
    from mnist1d.data import get_dataset_args, make_dataset

    chosen = get_dataset_args()
    chosen.seed = seed
    with _random_states_kept():
        found: dict[str, Any] = make_dataset(chosen)
    return Parts(
        found["x"][..., None],
        found["y"],
        found["x_test"][..., None],
        found["y_test"],
        classes=10,
    )


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """Restore the random states of NumPy and Python after the block."""
    with GLOBAL_RANDOM:
        kept, kept_of_python = np.random.get_state(), python_random.getstate()
        try:
            yield
        finally:
            np.random.set_state(kept)
            python_random.setstate(kept_of_python)


# Checks


def whole_up_to_most(name: str, value: Any, least: int, most: int = MAX_NUMBERS) -> None:
    """Check that a value is a whole number within closed bounds."""
    if whole(name, value, least) > most:
        raise out_of_range(name, value, f"a whole number from {least} to {most}")


def _check_size(size: str, numbers: int) -> None:
    """Check that data have at most `MAX_NUMBERS` numbers; `size` is for the message."""
    if numbers > MAX_NUMBERS:
        raise out_of_range("size of data", size, f"at most {MAX_NUMBERS} numbers")
