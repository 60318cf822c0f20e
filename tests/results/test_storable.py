"""What a file cannot hold is refused by name before anything is written; the rest comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import neurosim as ns
from tests.helpers.odd_arguments import ODD, Mute, things

OTHERS: dict[str, Any] = {
    "np.bool": np.bool_(True),
    "booleans": [True, False],
    "array of bool": np.array([True]),
    "surrogate": "\ud800",
    "number and text": [1, "a"],
    "one text in a list": ["a"],
    "datetime64": np.datetime64("2020"),
    "float32": np.float32(1.5),
    "int8": np.arange(3, dtype="i1"),
    "unicode": "é→λ",
    "long text": "x" * 70_000,
    "2**63 + 1": 2**63 + 1,
    "complex": 1 + 2j,
    "texts": ["a", "bb"],
    "rows": np.ones((2, 2)),
    "no numbers": [],
}
ATTRIBUTES = {name: make for name, make in ODD.items() if name != "generator"}
ATTRIBUTES |= {name: (lambda value=value: value) for name, value in OTHERS.items()}
NAMES = ["", "a\0b", 3, None, ("a",), "CLASS", "coordinates", "neurosim_kind", "_NCProperties"]


def error_of(call: Callable[[], Any]) -> str:
    """Return the words of the FileError that a call ends in, or ""."""
    try:
        call()
    except ns.FileError as error:
        return str(error)
    return ""


def traced(traces: xr.Dataset) -> ns.Run:
    return replace(things().run, traces=traces)


@pytest.fixture(scope="module")
def traces() -> xr.Dataset:
    return things().run.traces.isel(time=slice(2))


@pytest.mark.parametrize("make", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_an_attribute_comes_back_or_is_refused_by_name(
    make: Any, traces: xr.Dataset, tmp_path: Path
) -> None:
    value = make()
    path = tmp_path / "run.nc"
    error = error_of(lambda: ns.save(traced(traces.assign_attrs(note=value)), path))
    if error:
        assert re.search(r"^traces.attrs\['note'\] = .*; try str\(\.\.\.\)", error)
        assert not list(tmp_path.iterdir())
        return
    found = ns.load(path).traces.attrs["note"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(value))
    if isinstance(value, str):
        assert found == value


@pytest.mark.parametrize("name", NAMES, ids=map(repr, NAMES))
def test_a_name_that_files_use_or_cannot_hold_is_refused(
    name: Any, traces: xr.Dataset, tmp_path: Path
) -> None:
    noted = traces.copy()
    noted.attrs[name] = "x"
    with pytest.raises(ns.FileError, match=r"traces.attrs has the name .*; allowed: text"):
        ns.save(traced(noted), tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_attributes_of_variables_and_of_histories_are_checked(
    traces: xr.Dataset, tmp_path: Path
) -> None:
    noted = traces.copy(deep=True)
    noted["x"].attrs["note"] = None
    with pytest.raises(ns.FileError, match=r"traces\['x'\].attrs\['note'\] = None"):
        ns.save(traced(noted), tmp_path / "run.nc")
    log = things().log
    with pytest.raises(ns.FileError, match=r"history.attrs\['note'\] = True"):
        ns.save(ns.Log(log.history.assign_attrs(note=True), log.run), tmp_path / "log.nc")
    with pytest.raises(ns.FileError, match=r"traces.attrs\['note'\] = True"):
        ns.save(ns.Log(log.history, traced(traces.assign_attrs(note=True))), tmp_path / "log.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "values",
    [np.array([object()] * 2), np.array(["2020"] * 2, dtype="M8[ns]"), np.ones(2, "m8[ns]")],
    ids=["objects", "dates", "times"],
)
def test_a_variable_of_another_type_is_refused(
    values: Any, traces: xr.Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ns.FileError, match=r"traces\['own'\] is of type .*; allowed: numbers"):
        ns.save(traced(traces.assign(own=("time", values))), tmp_path / "run.nc")


@pytest.mark.parametrize("name", ["a/b", "", "a\0", 3, ("a", 1)], ids=repr)
def test_a_variable_with_another_name_is_refused(
    name: Any, traces: xr.Dataset, tmp_path: Path
) -> None:
    named = traces.assign({name: ("time", np.ones(2))})
    with pytest.raises(ns.FileError, match="traces has a variable"):
        ns.save(traced(named), tmp_path / "run.nc")


def test_settings_with_names_that_are_not_text_are_refused(tmp_path: Path) -> None:
    run = replace(things().run, settings={"own": {(1, 2): 3}})
    with pytest.raises(ns.FileError, match="settings cannot be stored: keys must be str"):
        ns.save(run, tmp_path / "run.nc")


def test_a_result_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ns.ModelError, match=r"result = 3; allowed: a Run.* or a Log"):
        ns.save(3, tmp_path / "run.nc")  # type: ignore[arg-type]
    with pytest.raises(ns.ModelError, match="result = <Mute>"):
        ns.save(Mute(), tmp_path / "run.nc")  # type: ignore[arg-type]
