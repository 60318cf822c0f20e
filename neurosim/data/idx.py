"""Read the idx format of MNIST, Fashion-MNIST and EMNIST, also gzip-compressed.

A file has two zero bytes, a code of the type, the number of dimensions, their sizes and the values,
all big-endian (LeCun, Cortes and Burges, "The MNIST database"). Images and labels stand in
two files. Above `content`. Start at `read_idx`.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

import numpy as np

from neurosim.data.content import (
    check_bytes,
    check_end,
    named,
    opened,
    read_exactly,
)
from neurosim.data.labels import Labels, numbered
from neurosim.data.parts import Parts
from neurosim.disk import missing
from neurosim.errors import DataError, FileError

Array = np.ndarray

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
NAME = re.compile(r"[-.]idx\d?(-ubyte)?(\.gz)?$", re.IGNORECASE)
MOST_DIMENSIONS = 8
BYTE_SCALE = 255.0
TEST_NAMES = ("t10k", "test")  # of MNIST; of EMNIST


def is_idx(path: Path) -> bool:
    """Return whether a file has the name of an idx file.

    Examples
    --------
    >>> is_idx(Path("train-images-idx3-ubyte.gz")), is_idx(Path("t10k-images.idx3-ubyte"))
    (True, True)
    """
    return NAME.search(path.name) is not None


def read_array(path: Path) -> Array:
    """Return the array of one idx file, in the byte order of this machine.

    Parameters
    ----------
    path : Path
        It is unpacked if it ends in ``.gz``.

    Raises
    ------
    FileError
        The file is missing, a pipe or a device, cut short, damaged, too large, or another format.
    """
    with opened(path) as stream:
        zeros, code, dimensions = _magic(path, read_exactly(path, stream, 4, "its header"))
        if zeros or code not in TYPES or not 1 <= dimensions <= MOST_DIMENSIONS:
            codes = ", ".join(f"{known:#04x}" for known in TYPES)
            raise FileError(
                f"{named(path)} does not begin as an idx file (type {code:#04x}, {dimensions} "
                f"dimensions); allowed: two zero bytes, a type of {codes}, and 1 to "
                f"{MOST_DIMENSIONS} dimensions"
            )
        sizes = read_exactly(path, stream, 4 * dimensions, "its sizes")
        shape = tuple(np.frombuffer(sizes, ">u4").tolist())
        dtype = np.dtype(TYPES[code])
        size = prod(shape) * dtype.itemsize
        check_bytes(path, size)
        check_bytes(path, prod(shape) * 8)  # once they are floats
        values = read_exactly(path, stream, size, f"an array of {shape}")
        check_end(path, stream, f"array of {shape}")
    array = np.frombuffer(values, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _magic(path: Path, header: bytes) -> tuple[bool, int, int]:
    """Return whether the two zeros are missing, the code of the type, and the dimensions."""
    return header[:2] != b"\0\0", header[2], header[3]


def read_idx(path: Path, labels: Labels = None) -> Parts:
    """Read the images of an idx file, and their labels from the file beside it.

    The labels of ``train-images-idx3-ubyte`` are in ``train-labels-idx1-ubyte``; the test patterns
    in ``t10k-images-idx3-ubyte`` or ``test-images-idx3-ubyte``, if it is there. Each may end in
    ``.gz``. Images become (patterns, height, width, 1); bytes in three or more dimensions are grey
    values, whose scale is 255.

    Parameters
    ----------
    path : Path
        The file of the images.
    labels : bool or list, optional
        Whether the labels are classes 0, 1, ..., as is the default, or a list of the classes.

    Raises
    ------
    FileError
        A file that is missing, damaged or another format.
    DataError
        Numbers of images and labels that differ.
    """
    stated: Labels = True
    if labels is not None:
        stated = labels
    X, Y = _pair(path)
    X_test, Y_test = None, None
    found = _test_images(path)
    if found is not None:
        X_test, Y_test = _pair(found)
        if X_test.shape[1:] != X.shape[1:]:
            raise DataError(
                f"{named(found)} has patterns of shape {X_test.shape[1:]}; "
                f"allowed: {X.shape[1:]}, as {path.name} has"
            )
        both = numbered(named(path), np.concatenate([Y, Y_test]), stated)
        Y, Y_test = both[: len(Y)], both[len(Y) :]
    else:
        Y = numbered(named(path), Y, stated)
    are_images = X.dtype == np.uint8 and X.ndim > 2
    return Parts(X, Y, X_test, Y_test, scale=BYTE_SCALE if are_images else 1.0)


def _pair(path: Path) -> tuple[Array, Array]:
    """Return the images of a file, with their channel, and the labels beside it."""
    if "images" not in path.name:
        raise FileError(
            f"{named(path)} has a name without 'images', from which that of its labels follows; "
            "allowed: a file of images, such as train-images-idx3-ubyte.gz"
        )
    X = read_array(path)
    if X.ndim < 2 or X.size == 0:
        raise DataError(
            f"{named(path)} has an array of shape {X.shape}; allowed: (patterns, height, width), "
            "at least one pattern"
        )
    if X.ndim == 3:
        X = X[..., None]
    name = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"))
    place = _present(path.with_name(name))
    if place is None:
        raise missing(path.with_name(name))
    Y = read_array(place)
    if Y.shape != (len(X),):
        raise DataError(
            f"{named(place)} has labels of shape {Y.shape}; allowed: ({len(X)},), as many as "
            f"{path.name} has images"
        )
    return X, Y


def _test_images(path: Path) -> Path | None:
    """Return the file of the test images beside that of the training images, if it is there."""
    if "train" not in path.name:
        return None
    for name in TEST_NAMES:
        place = _present(path.with_name(path.name.replace("train", name)))
        if place is not None:
            return place
    return None


def _present(path: Path) -> Path | None:
    """Return a file that is there, compressed or not; None if neither is."""
    twin = Path(f"{path}.gz")
    if path.suffix == ".gz":
        twin = path.with_suffix("")
    for place in (path, twin):
        if place.exists():
            return place
    return None
