"""The cache of compiled programs.

What is damaged is never run, foreign files are never touched, and one of many processes builds.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim import keeping
from neurosim.engine import cache
from neurosim.errors import BackendError, ModelError
from neurosim.keeping import _private, cache_directory

KEY = "0123456789abcdef01234567"
GOOD = b"#!/bin/sh\necho good\n"
BAD = b"#!/bin/sh\necho bad!\n"  # of the same length


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROSIM_CACHE_SIZE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "program"


def compiler(content: bytes = GOOD) -> Callable[[Path], None]:
    def build(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(0o755)

    return build


def never(path: Path) -> None:
    pytest.fail(f"{path} was built")


def output(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip()


def kept(key: str = KEY) -> Path:
    return cache_directory() / f"{key}.program"


def keep(number: int, size: int, used: float, target: Path) -> str:
    """An entry that was last used `used` seconds ago."""
    key = f"{number:024x}"
    cache.program(key, compiler(GOOD.ljust(size, b"#")), target=target)
    os.utime(kept(key) / cache.SEAL, (time.time() - used,) * 2)
    return key


def keys() -> list[str]:
    return [entry.key for entry in keeping.entries()]


def names(path: Path) -> set[str]:
    return {p.name for p in path.iterdir()}


# --- found and built --------------------------------------------------------------------------


def test_built_once_then_found(target: Path, folder: Path) -> None:
    assert not cache.program(KEY, compiler(), target=target, about="xor, 2-3-1")
    assert cache.program(KEY, never, target=target.with_name("second"))
    assert cache.program(KEY, never, target=target)  # over what is there
    assert output(target) == output(target.with_name("second")) == "good"
    (entry,) = keeping.entries()
    assert (entry.key, entry.about, entry.path) == (KEY, "xor, 2-3-1", kept())
    assert entry.size == len(GOOD) + (kept() / cache.SEAL).stat().st_size
    assert entry.used == pytest.approx(time.time(), abs=60)
    assert names(folder) == {kept().name}
    assert names(target.parent) == {"program", "second"}


def test_a_path_is_not_a_key(target: Path, folder: Path) -> None:
    for key in ("../../../../etc/passwd", "", "0" * 23, "0" * 25, "G" * 24, KEY + "\n"):
        with pytest.raises(ValueError, match="allowed: 24 hex digits"):
            cache.program(key, never, target=target)


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("NEUROSIM_CACHE", "~/mine")
    assert cache_directory() == tmp_path / "home" / "mine"
    monkeypatch.setenv("NEUROSIM_CACHE", "")
    assert cache_directory() == tmp_path / "xdg" / "neurosim"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == tmp_path / "home" / ".cache" / "neurosim"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROSIM_CACHE", "relative")
    assert cache_directory() == tmp_path / "relative"


def test_across_devices_it_is_a_copy(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def apart(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", apart)
    assert not cache.program(KEY, compiler(), target=target)
    assert cache.program(KEY, never, target=target)
    assert output(target) == "good"
    assert not target.samefile(kept() / cache.PROGRAM)


# --- damaged and foreign entries --------------------------------------------------------------


def _replace(path: Path, content: bytes, mode: int = 0o755) -> None:
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("foreign")


def _link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    _replace(path, BAD)
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _sealed(entry: Path, **changes: Any) -> None:
    seal = keeping.read_seal(entry)
    keeping.write_sealed(entry / cache.SEAL, json.dumps(seal | changes).encode(), entry.name)


def _instead(entry: Path, content: bytes) -> None:
    shutil.rmtree(entry)
    entry.write_bytes(content)
    entry.chmod(0o755)


def _empty(entry: Path) -> None:
    shutil.rmtree(entry)
    entry.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda e: _replace(e / "program", GOOD[:-5]),
    "longer": lambda e: _replace(e / "program", GOOD + b"echo bad"),
    "empty": lambda e: _replace(e / "program", b""),
    "same size": lambda e: _replace(e / "program", BAD),
    "written into": lambda e: (e / "program").write_bytes(BAD),
    "not executable": lambda e: (e / "program").chmod(0o644),
    "a folder": lambda e: _folder(e / "program"),
    "a link": lambda e: _link(e / "program"),
    "a pipe": lambda e: ((e / "program").unlink(), os.mkfifo(e / "program")),
    "gone": lambda e: (e / "program").unlink(),
    "no seal": lambda e: (e / cache.SEAL).unlink(),
    "half a seal": lambda e: (e / cache.SEAL).write_text((e / cache.SEAL).read_text()[:40]),
    "seal of bytes": lambda e: (e / cache.SEAL).write_bytes(b"\xff\xfe\x00"),
    "seal of another kind": lambda e: (e / cache.SEAL).write_text("[1, 2]"),
    "seal of another version": lambda e: _sealed(e, format=2),
    "deep seal": lambda e: (e / cache.SEAL).write_text("[" * 100_000),
    "unsealed contents": lambda e: _sealed(e, contents={}),
    "text instead": lambda e: _instead(e, b"a letter"),
    "program instead": lambda e: _instead(e, BAD),
    "an empty folder instead": _empty,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_detected_and_built_anew(
    damage: Callable[[Path], object], target: Path, folder: Path
) -> None:
    cache.program(KEY, compiler(), target=target)
    target.unlink()  # else the two are one file, and damage to the entry is damage to it
    damage(kept())
    assert not cache.program(KEY, compiler(), target=target)
    assert output(target) == "good"
    assert cache.program(KEY, never, target=target)
    assert output(target) == "good"
    assert names(folder) - {"elsewhere"} == {kept().name}


@settings(max_examples=50, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), change=st.integers(1, 255))
def test_any_flipped_byte_is_detected(place: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as own, patch.dict(os.environ, NEUROSIM_CACHE=own):
        target = Path(own, "target")
        cache.program(KEY, compiler(), target=target)
        content = bytearray(GOOD)
        content[place] ^= change
        _replace(kept() / "program", bytes(content))
        assert not cache.program(KEY, compiler(), target=target)
        assert target.read_bytes() == (kept() / "program").read_bytes() == GOOD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.just("program"), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(contents=JSON, about=JSON, version=st.just(keeping.FORMAT) | JSON)
def test_a_seal_from_elsewhere_is_not_trusted(contents: Any, about: Any, version: Any) -> None:
    with tempfile.TemporaryDirectory() as own, patch.dict(os.environ, NEUROSIM_CACHE=own):
        cache.program(KEY, compiler(), target=Path(own, "target"))
        _sealed(kept(), format=version, about=about, contents=contents)
        assert len(keeping.entries()) == 1
        assert not cache.program(KEY, compiler(), target=Path(own, "target"))


def test_what_is_checked_is_what_is_run(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program takes the entry's place after the link was made: the old one is run."""
    cache.program(KEY, compiler(), target=target)
    seal = cache.read_seal

    def swapped(entry: Path) -> dict[str, Any]:
        _replace(entry / "program", BAD)
        return seal(entry)

    monkeypatch.setattr(cache, "read_seal", swapped)
    assert cache.program(KEY, never, target=target)
    assert output(target) == "good"


def test_an_entry_of_an_earlier_neurosim_is_not_run(target: Path, folder: Path) -> None:
    compiler(BAD)(cache_directory() / KEY)
    assert [(e.key, e.size) for e in keeping.entries()] == [(KEY, len(BAD))]
    assert not cache.program(KEY, compiler(), target=target)
    assert output(target) == "good"
    assert names(folder) == {KEY, kept().name}
    keeping.clear()
    assert names(folder) == set()


def _bystanders(folder: Path) -> None:
    for name in (
        KEY,
        "thesis.tex",
        f"{KEY}.program.tex",
        f"{KEY}.PROGRAM",
        f"{KEY}0.program",
        f"{KEY}.program.lock.old",
    ):
        (folder / name).write_text("ten years of work")
    compiler()(folder / KEY[:-1])
    compiler()(folder / "d41d8cd98f00b204e9800998ecf8427e")
    for name in (f"{9:024x}", "thesis", f"{KEY}.program.0123456"):
        (folder / name).mkdir()
        (folder / name / "chapter").write_text("ten years of work")
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))


def test_what_is_not_ours_is_not_touched(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_directory()
    _bystanders(folder)
    before = {p: p.lstat() for p in folder.rglob("*")}
    cache.program(f"{1:024x}", compiler(), target=target)
    assert keys() == [f"{1:024x}"]
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "0")
    assert keeping.trim() > len(GOOD)
    cache.program(f"{1:024x}", compiler(), target=target)
    assert keeping.clear() > len(GOOD)
    after = {p: p.lstat() for p in folder.rglob("*")}
    assert after.keys() == before.keys()
    assert all(after[p].st_mtime == before[p].st_mtime for p in before)


def test_nothing_behind_a_link_is_removed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("ten years of work")
    for _ in range(2):
        kept().symlink_to(tmp_path / "thesis")
        assert keeping.clear() == len(str(tmp_path / "thesis"))  # the link's own bytes
        assert not kept().is_symlink()
    kept().symlink_to(tmp_path / "thesis")
    assert not cache.program(KEY, compiler(), target=target)
    assert cache.program(KEY, never, target=target)
    assert names(tmp_path / "thesis") == {"chapter"}


# --- builds and disks that fail ---------------------------------------------------------------


def test_a_build_that_fails_leaves_nothing(target: Path, folder: Path) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half a pro")
        raise BackendError("the C++ build failed")

    with pytest.raises(BackendError, match="build failed"):
        cache.program(KEY, fails, target=target)
    assert names(folder) == names(target.parent) == set()


@pytest.mark.parametrize(
    "build",
    [
        lambda path: None,
        lambda path: path.touch(0o755),
        lambda path: path.write_bytes(GOOD),
        lambda path: path.mkdir(),
    ],
)
def test_a_build_has_to_leave_a_program(
    build: Callable[[Path], None], target: Path, folder: Path
) -> None:
    with pytest.raises(BackendError, match="left no program; allowed: an executable file at"):
        cache.program(KEY, build, target=target)
    assert names(folder) == names(target.parent) == set()


def test_a_full_disk_only_costs_the_entry(
    target: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as now:
        now.setattr(cache, "write_sealed", full)
        assert not cache.program(KEY, compiler(), target=target)
    assert output(target) == "good"
    assert names(folder) == set()
    (record,) = (r for r in caplog.records if r.levelno == logging.WARNING)
    assert (
        record.getMessage()
        == f"the compiled program could not be kept in {folder}: [Errno 28] No space left on device"
    )
    assert not cache.program(KEY, compiler(), target=target)
    assert cache.program(KEY, never, target=target)


@contextmanager
def _warned_of_private(place: str, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    _private.cache_clear()
    try:
        yield
        (record,) = caplog.records  # once, however often it is looked up
        assert record.getMessage() == (
            f"compiled programs cannot be kept in {place}; try another folder in $NEUROSIM_CACHE"
        )
    finally:
        _private.cache_clear()


def test_without_a_folder_it_is_a_private_one(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "file" / "below"))
    with _warned_of_private(str(tmp_path / "file" / "below"), caplog):
        assert not cache.program(KEY, compiler(), target=target)
        assert cache.program(KEY, never, target=target)
        assert output(target) == "good"
        assert cache_directory().stat().st_mode & 0o077 == 0
    assert (tmp_path / "file").read_text() == "mine"


def test_without_a_home_it_is_a_private_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("NEUROSIM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with _warned_of_private("~/.cache/neurosim", caplog):
        assert cache_directory() == cache_directory()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_became_read_only(
    target: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.program(KEY, compiler(), target=target)
    folder.chmod(0o555)
    try:
        with _warned_of_private(str(folder), caplog):
            assert not cache.program(KEY, compiler(), target=target)
            assert output(target) == "good"
    finally:
        folder.chmod(0o755)
    assert cache.program(KEY, never, target=target)


# --- many processes ---------------------------------------------------------------------------

# Loads the module by its path: eight imports of Brian2 would be most of the test.
BUILDER = """
import importlib.util, os, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = sys.modules["cache"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
if sys.argv[5] == "unlocked":
    cache.fcntl = None

def build(path):
    with open(sys.argv[4], "a") as log:
        log.write("built\\n")
    with open(path, "wb") as file:
        file.write(b"#!/bin/sh\\n")
        file.flush()
        time.sleep(float(sys.argv[3]))
        file.write(b"echo good\\n")
    path.chmod(0o755)

print(cache.program(sys.argv[6], build, target=Path(sys.argv[2])))
"""


def start(
    target: Path, log: Path, seconds: float = 0.5, lock: str = "locked", key: str = KEY
) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-c",
        BUILDER,
        cache.__file__,
        str(target),
        str(seconds),
        str(log),
        lock,
        key,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(cache.fcntl is None, reason="needs flock")
def test_of_eight_processes_one_builds(tmp_path: Path, folder: Path) -> None:
    log, targets = tmp_path / "log", [tmp_path / f"program{i}" for i in range(8)]
    started = [start(t, log) for t in targets]
    assert sorted(p.communicate(timeout=60)[0].strip() for p in started) == ["False"] + 7 * ["True"]
    assert log.read_text().count("built") == 1
    assert [output(t) for t in targets] == 8 * ["good"]
    assert names(folder) == {kept().name}


def test_without_locks_all_build_and_all_are_served(tmp_path: Path, folder: Path) -> None:
    """As on a network drive."""
    log, targets = tmp_path / "log", [tmp_path / f"program{i}" for i in range(4)]
    started = [start(t, log, 2, "unlocked") for t in targets]
    assert [p.communicate(timeout=60)[0].strip() for p in started] == 4 * ["False"]
    assert log.read_text().count("built") == 4
    assert [output(t) for t in targets] == 4 * ["good"]
    assert names(folder) == {kept().name}
    assert cache.program(KEY, never, target=targets[0])


def test_programs_of_different_keys_do_not_wait_for_each_other(
    tmp_path: Path, target: Path
) -> None:
    with start(tmp_path / "program", tmp_path / "log", 60) as other:
        until((tmp_path / "log").exists)
        assert not cache.program(f"{1:024x}", compiler(), target=target)
        assert other.poll() is None
        other.kill()


def test_a_killed_builder_blocks_nobody(tmp_path: Path, target: Path, folder: Path) -> None:
    started = start(tmp_path / "program", tmp_path / "log", 60)
    until((tmp_path / "log").exists)
    waiting = start(target, tmp_path / "log", 0)
    time.sleep(0.2)
    started.kill()
    started.communicate()
    assert waiting.communicate(timeout=60)[0].strip() == "False"
    assert output(target) == "good"
    assert not (tmp_path / "program").exists()
    assert cache.program(KEY, never, target=target)
    assert names(folder) == {kept().name}


@pytest.mark.skipif(cache.fcntl is None, reason="needs flock")
def test_a_stopped_builder_is_not_waited_for_for_ever(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PATIENCE", 0.2)
    with start(tmp_path / "program", tmp_path / "log", 0.5) as stopped:
        until((tmp_path / "log").exists)
        stopped.send_signal(signal.SIGSTOP)
        assert not cache.program(KEY, compiler(), target=target)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.communicate(timeout=60)[0].strip() == "False"
    assert output(target) == output(tmp_path / "program") == "good"
    assert cache.program(KEY, never, target=target)


def test_clearing_while_others_build_harms_nobody(tmp_path: Path) -> None:
    """Three processes for each of four keys, while the folder is emptied over and over."""
    started = [
        start(tmp_path / f"p{i}", tmp_path / "log", 0.05, key=f"{i % 4:024x}") for i in range(12)
    ]
    while any(p.poll() is None for p in started):
        keeping.clear()
    assert [p.returncode for p in started] == 12 * [0]
    assert [output(tmp_path / f"p{i}") for i in range(12)] == 12 * ["good"]


# --- notes ------------------------------------------------------------------------------------


def test_notes_find_their_program_and_go_with_it(
    target: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, other = "a" * 24, "b" * 24
    assert cache.recall(note) is None
    cache.program(KEY, compiler(), target=target)
    cache.remember(note, KEY, "what it holds")
    assert cache.recall(note) == (KEY, "what it holds")
    assert cache.take(KEY, target)
    assert output(target) == "good"
    assert not cache.take(other, target)
    for damage in ("", "[]", "{", '{"format": 1}', '{"format": 0, "program": "x", "about": ""}'):
        (folder / f"{note}.note").write_text(damage)
        assert cache.recall(note) is None
    monkeypatch.setattr(cache, "NOTES", 4)
    for i in range(5):
        cache.remember(f"{i:024x}", KEY, "")
    assert len(list(folder.glob("*.note"))) == 4
    assert keeping.clear() > 0
    assert list(folder.iterdir()) == []


# --- the limit --------------------------------------------------------------------------------


def test_trimming_removes_what_was_used_longest_ago(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (keep(i, 10_000, 100 * (3 - i), target) for i in range(3))
    assert keys() == [c, b, a]
    assert keeping.trim() == 0
    assert cache.program(a, never, target=target)  # the oldest is the newest now
    assert keys() == [a, c, b]
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "25 kB")
    freed = keeping.trim()
    assert 10_000 < freed < 11_000
    assert keys() == [a, c]
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "10 kB")  # less than one and its seal
    keeping.trim()
    assert keys() == []


def test_what_was_just_made_stays_and_older_ones_make_room(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "25 kB")
    made = [keep(i, 10_000, 10 - i, target) for i in range(4)]
    assert keys() == made[:1:-1]
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "0")
    big = keep(9, 50_000, 1000, target)
    assert keys() == [big]


def test_trimming_and_clearing_leave_a_run_its_program(target: Path) -> None:
    cache.program(KEY, compiler(), target=target)
    cache.program(KEY, never, target=target)
    assert keeping.clear() > len(GOOD)
    assert keeping.entries() == []
    assert output(target) == "good"
    assert keeping.clear() == 0


def test_what_killed_builders_left_goes_when_it_is_old(folder: Path) -> None:
    folder.mkdir()
    for age in ("a", "b"):
        path = folder / f"{age * 24}.program.0123abcd"
        path.mkdir()
        (path / "half").write_bytes(b"x" * 100)
        (folder / f"{age * 24}.program.lock").touch()
    for path in folder.glob("a*"):
        os.utime(path, (time.time() - keeping.OLD - 10,) * 2)
    assert keeping.entries() == []
    assert keeping.trim() == 100
    assert {name[0] for name in names(folder)} == {"b"}
    assert keeping.clear() == 0
    assert len(names(folder)) == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 10**9),
        ("  ", 10**9),
        ("0", 0),
        ("123456789", 123456789),
        ("10 B", 10),
        ("500 MB", 500 * 10**6),
        ("2 GB", 2 * 10**9),
        ("2gb", 2 * 10**9),
        ("1.5 kB", 1500),
        (" 3 MiB ", 3 * 2**20),
        ("1T", 10**12),
        ("7k", 7000),
    ],
)
def test_sizes(text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", text)
    assert keeping.limit() == size


UNITS = {"": 1, "B": 1}
for power, prefix in enumerate("kMGT", start=1):
    UNITS |= {f"{prefix}B": 1000**power, f"{prefix}iB": 1024**power}


@given(
    whole=st.integers(0, 10**6),
    tenths=st.integers(0, 9),
    unit=st.sampled_from(sorted(UNITS)),
    gap=st.booleans(),
)
def test_any_size(whole: int, tenths: int, unit: str, gap: bool) -> None:
    """Equal to exact fractions, to the byte below 2**53 bytes."""
    with patch.dict(os.environ, NEUROSIM_CACHE_SIZE=f"{whole}.{tenths}{' ' * gap}{unit}"):
        exact = Fraction(10 * whole + tenths, 10) * UNITS[unit]
        assert abs(keeping.limit() - exact) <= max(Fraction(1, 2), exact / 2**52)


@pytest.mark.parametrize(
    "text",
    ["lots", "-1", "1,5 GB", "5 XB", "1e9", "nan", "inf", "5 iB", "٣ GB", "1 GB 2", "9" * 99],
)
def test_nonsense_is_refused_before_the_compiler_runs(
    text: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", text)
    with pytest.raises(
        ModelError,
        match=r"NEUROSIM_CACHE_SIZE = '.*'; allowed: bytes, or a number of .*; try '500 MB'",
    ):
        cache.program(KEY, never, target=target)


TEXT = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=12)


@given(TEXT | st.from_regex(keeping.SIZE, fullmatch=True))
def test_a_limit_is_a_size_or_refused(text: str) -> None:
    with patch.dict(os.environ, NEUROSIM_CACHE_SIZE=text), suppress(ModelError):
        assert keeping.limit() >= 0
