"""The cache folder is the user's alone, and what is kept in it is sealed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neurosim import keeping
from neurosim.data import datasets
from neurosim.engine import cache
from neurosim.keeping import cache_directory, read_sealed, write_sealed

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes of POSIX")

KEY, OTHER = "0123456789abcdef01234567", "a" * 24


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "way" / "cache"))
    monkeypatch.delenv("NEUROSIM_CACHE_SIZE", raising=False)
    before = os.umask(0)
    keeping._private.cache_clear()
    yield tmp_path / "way" / "cache"
    keeping._private.cache_clear()
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files belong to another user than the one that runs this process."""
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)


# The folder


def test_the_folder_is_private_whatever_the_umask(folder: Path) -> None:
    assert cache_directory() == folder
    assert mode(folder) == mode(folder.parent) == 0o700


def test_the_default_folder_is_made_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEUROSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "neurosim").mkdir(mode=0o775)
    assert cache_directory() == tmp_path / "neurosim"
    assert mode(tmp_path / "neurosim") == 0o700


@pytest.mark.parametrize("open_to", [0o777, 0o770, 0o720, 0o702, 0o1777, 0o2775])
def test_a_folder_that_others_may_write_to_is_refused(
    open_to: int, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_directory().chmod(open_to)
    instead = cache_directory()
    assert instead != folder
    assert mode(instead) == 0o700
    assert caplog.messages == [
        f"compiled programs cannot be kept in {folder}: it is writable by others, so what is there "
        f"may be theirs and is not run; try chmod go-w {folder}, or another folder in "
        "$NEUROSIM_CACHE"
    ]


@pytest.mark.parametrize(("open_to", "trusted"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_a_folder_in_one_that_others_may_write_to(
    open_to: int, trusted: bool, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache_directory()
    folder.parent.chmod(open_to)
    assert (cache_directory() == folder) is trusted
    expected = f"{folder.parent} is writable by others, so what is there may be theirs"
    assert (expected in caplog.text) is not trusted


def test_a_folder_of_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = cache_directory().stat().st_uid
    stranger(monkeypatch)
    assert cache_directory() != folder
    assert f"belongs to another user ({owner}), so what is there may be theirs" in caplog.text


def test_links_to_the_folder_are_followed_and_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_directory()
    (tmp_path / "link").symlink_to("way/../way")
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "link" / "cache"))
    assert cache_directory() == tmp_path / "link" / "cache"
    folder.chmod(0o777)
    assert cache_directory() != tmp_path / "link" / "cache"
    folder.chmod(0o700)
    (tmp_path / "way").chmod(0o777)  # only the target of the link lies in it
    assert cache_directory() != tmp_path / "link" / "cache"
    (tmp_path / "round").symlink_to("round")
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "round"))
    assert cache_directory() != tmp_path / "round"


# Sealed files


def test_any_change_of_a_sealed_file_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "note"
    write_sealed(path, b"content")
    assert mode(path) == 0o600
    assert read_sealed(path) == b"content"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            path.write_bytes(changed)
            assert read_sealed(path) is None, (place, bit)
        path.write_bytes(whole[:place])
        assert read_sealed(path) is None
    path.write_bytes(whole + b"\n")
    assert read_sealed(path) is None


def _linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change",
    [
        _linked,
        _piped,
        lambda path: path.chmod(0o620),
        lambda path: path.chmod(0o602),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: write_sealed(path, b"content", "another name"),
    ],
)
def test_a_sealed_file_is_a_plain_file_of_the_user(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "note"
    write_sealed(path, b"content")
    change(path)
    assert read_sealed(path) is None


def test_a_sealed_file_of_another_user_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sealed(tmp_path / "note", b"content")
    stranger(monkeypatch)
    assert read_sealed(tmp_path / "note") is None


# Entries


def build(text: str) -> Callable[[Path], None]:
    def compiler(path: Path) -> None:
        path.write_text(f"#!/bin/sh\necho {text}\n")
        path.chmod(0o777)

    return compiler


def test_programs_and_notes_that_changed_places_are_not_used(tmp_path: Path) -> None:
    for key in (KEY, OTHER):
        cache.program(key, build(key), target=tmp_path / key)
        cache.remember(key, key, "layout")
        for ending in ("program", "note"):
            (cache_directory() / f"{key}.{ending}").rename(tmp_path / f"{key}.{ending}")
    for key, other in ((KEY, OTHER), (OTHER, KEY)):
        for ending in ("program", "note"):
            (tmp_path / f"{key}.{ending}").rename(cache_directory() / f"{other}.{ending}")
    assert cache.recall(KEY) is cache.recall(OTHER) is None
    assert not cache.take(KEY, tmp_path / "program")
    assert not cache.program(KEY, build("new"), target=tmp_path / "program")
    assert cache.take(KEY, tmp_path / "program")


@pytest.mark.parametrize("part", ["", "program", keeping.SEAL])
def test_nobody_else_may_write_to_a_program(part: str, tmp_path: Path) -> None:
    cache.program(KEY, build("good"), target=tmp_path / "program")
    (tmp_path / "program").unlink()
    entry = cache_directory() / f"{KEY}.program"
    for path in (entry, *entry.iterdir()):
        assert not mode(path) & 0o077, path
    (entry / part).chmod(0o777)
    assert not cache.take(KEY, tmp_path / "program")


def test_a_program_of_another_user_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.program(KEY, build("good"), target=tmp_path / "program")
    assert cache.take(KEY, tmp_path / "program")
    root = cache_directory()
    monkeypatch.setattr(cache, "cache_directory", lambda: root)
    stranger(monkeypatch)
    assert not cache.take(KEY, tmp_path / "program")


def test_a_lock_behind_a_link_is_not_written(tmp_path: Path) -> None:
    (cache_directory() / f"{KEY}.program.lock").symlink_to(tmp_path / "outside")
    cache.program(KEY, build("good"), target=tmp_path / "program")
    assert not (tmp_path / "outside").exists()


# Data sets


def _data_file() -> Path:
    (path,) = cache_directory().glob("iris-*.npz")
    return path


def test_a_damaged_data_set_is_made_anew() -> None:
    first = datasets.load("iris")
    whole = _data_file().read_bytes()
    assert mode(_data_file()) == 0o600
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        _data_file().write_bytes(changed)
        assert np.array_equal(datasets.load("iris").X, first.X)
        assert _data_file().read_bytes() == whole
    _data_file().write_bytes(whole[:-1])
    assert np.array_equal(datasets.load("iris").X, first.X)
    write_sealed(_data_file(), b"not an archive")
    assert np.array_equal(datasets.load("iris").X, first.X)
    assert _data_file().read_bytes() == whole


def test_data_sets_are_listed_limited_and_cleared(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.load("iris")
    (folder / "thesis.npz").write_text("ten years of work")
    (entry,) = keeping.entries()
    assert (entry.about, entry.path) == ("data set iris", _data_file())
    os.utime(entry.path, (0, 0))
    datasets.load("iris")
    assert keeping.entries()[0].used > 1e9  # it was used again
    os.utime(entry.path, (0, 0))
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "1 kB")
    cache.program(KEY, build("good"), target=tmp_path / "program")
    assert [entry.key for entry in keeping.entries()] == [KEY]
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "0")
    datasets.load("iris")
    assert [entry.path for entry in keeping.entries()] == [_data_file()]
    assert keeping.clear() > 0
    assert [path.name for path in folder.iterdir()] == ["thesis.npz"]


# Modules of Cython


def test_a_module_is_loaded_only_as_it_was_sealed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from brian2 import prefs
    from brian2.codegen.runtime.cython_rt import extension_manager

    from neurosim.engine.cython_modules import PREFERENCE, kept_modules

    built = []

    def load(self: object, module_path: str) -> None:
        path = Path(module_path)
        if not path.is_file():
            built.append(path)
            path.write_bytes(b"module")

    monkeypatch.setattr(extension_manager.CythonExtensionManager, "_load_module", load)
    before = prefs[PREFERENCE], extension_manager.Cython_Build
    damages = [
        lambda path: path.write_bytes(b"modulf"),
        lambda path: path.write_bytes(b""),
        lambda path: path.chmod(0o777),
        lambda path: keeping.seal_of(path).unlink(),
        lambda path: write_sealed(keeping.seal_of(path), b"0" * 64),
        _linked,
        lambda path: path.parent.chmod(0o777),
        lambda path: (path.parent.rename(tmp_path / "away"), path.parent.symlink_to("../../away")),
    ]
    for number, damage in enumerate([*damages, lambda path: None], start=1):
        with kept_modules():
            folder = Path(prefs[PREFERENCE])
            assert mode(folder) == 0o700
            path = folder / f"_cython_magic_{'0' * 32}.so"
            for _ in range(2):  # the second time it is intact
                extension_manager.CythonExtensionManager()._load_module(str(path))
                assert path.read_bytes() == b"module"
        assert len(built) == number
        damage(path)
    assert (prefs[PREFERENCE], extension_manager.Cython_Build) == before
    assert [entry.about for entry in keeping.entries()] == ["Cython module"]
    keeping.clear()
    assert list(cache_directory().iterdir()) == []


@pytest.mark.slow
@pytest.mark.compiler
def test_cython_takes_no_declarations_from_the_working_folder(tmp_path: Path) -> None:
    for name in ("numpy/__init__", "libc/math", "libc/stdlib"):
        path = tmp_path / f"{name}.pxd"
        path.parent.mkdir(exist_ok=True)
        path.write_text("this is not Cython\n")
    code = """
import sys
import numpy as np, neurosim as ns
sys.path.insert(0, "")
net = ns.Network.mlp([2, 3, 1], loss="mse")
sim = ns.Simulation(net, ns.Flow.augmented(), backend="cython")
sim.relax(np.ones((2, 2)), np.ones((2, 1)), duration=0.01)
"""
    package = str(Path(keeping.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
        check=True,
    )
