"""Rows of benchmarks: what is kept, what is compared, and what the page shows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks import kept
from tests.benchmarks.timing import Row

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import generated  # the generator of the reference

ROW = Row("net\nshortcuts", (1.0, 2.0, 3.0, 4.0, 5.0), "a loop", (10.0,) * 5)
ORDER = ("online", "batches")


def test_rows_are_kept_with_those_of_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.json"
    where = {"date": "", "commit": "", "machine": "", "python": ""}
    for version, factor in (("0.2", 1.0), ("0.2", 2.0), ("0.3", 3.0), ("0.3", 4.0)):
        monkeypatch.setattr(kept, "about", lambda own=version: {**where, "version": own})
        own = replace(ROW, ours=tuple(factor * value for value in ROW.ours))
        assert "is kept" in kept.keep(path, "online", [own], 0.05, ORDER)
    entry = kept.read(path)["online"]
    assert entry["version"] == "0.3"
    assert entry["rows"][0]["ratio"] == pytest.approx(1.2)
    assert entry["released"]["version"] == "0.2"
    assert entry["released"]["rows"][0]["ratio"] == pytest.approx(0.6)  # the last of that version
    page = generated.benchmarks(path)
    assert "| net shortcuts | a loop | 1.2 | 0.8 | 1.6 | 5 | 0.6 |" in page
    assert "others used 0.05 cores" in page


@pytest.mark.parametrize("others", [0.2, float("nan")])
def test_rows_of_a_busy_machine_are_not_kept(tmp_path: Path, others: float) -> None:
    path = tmp_path / "kept.json"
    assert "allowed: 0.1" in kept.keep(path, "online", [ROW], others, ORDER)
    assert not path.exists()
    assert "Nothing is kept yet." in generated.benchmarks(path)


def test_ratios_that_leave_the_quartiles_are_named() -> None:
    slower = replace(ROW, ours=tuple(3 * value for value in ROW.ours))
    near = replace(ROW, ours=tuple(1.2 * value for value in ROW.ours))
    other = replace(ROW, what="other")
    as_kept = [json.loads(json.dumps(row.as_dict())) for row in (ROW, slower, near, other)]
    assert kept.differences(as_kept[:1], as_kept[2:3]) == []
    assert kept.differences(as_kept[:1], as_kept[1:2]) == [
        "changed: net, shortcuts, a loop: 0.3 -> 0.9"
    ]
    assert kept.differences(as_kept[:1], as_kept[3:]) == [
        "new: other, a loop",
        "gone: net, shortcuts, a loop",
    ]


def test_own_work_is_not_that_of_others() -> None:
    watch = kept.Watch()
    sum(i * i for i in range(300_000))
    assert watch.others() >= -0.5  # a tick of 10 ms, over some 20 ms


def test_the_command_keeps_and_compares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "kept.json"
    monkeypatch.setattr("os.sched_setaffinity", lambda process, cores: None)
    monkeypatch.setattr(kept.Watch, "others", lambda _: 0.0)
    for factor in (1.0, 3.0):
        own = replace(ROW, ours=tuple(factor * value for value in ROW.ours))
        monkeypatch.setattr("tests.benchmarks.rest.measure", lambda setting, own=own: [own])
        monkeypatch.setattr(sys, "argv", ["benchmarks", "rest", "--json", str(path)])
        assert command.main() == 0
    said = capsys.readouterr().out
    assert "new: net, shortcuts, a loop" in said
    assert "changed: net, shortcuts, a loop: 0.3 -> 0.9" in said
    assert kept.read(path)["rest"]["rows"][0]["ratio"] == pytest.approx(0.9)
