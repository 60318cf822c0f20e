"""Tables of traces for pandas: one row per recorded number, from memory, a file and a recording."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import neurosim as ns
from neurosim.results.table import without_parameters

X = np.zeros((4, 64))
Y = [0, 1, 2, 3]


def recorded(record: tuple[str, ...], **options: object) -> ns.Run:
    """Relax a net whose parameters have dimensions of their own."""
    net = ns.Network.mlp([64, 32, 24, 10], seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(), dt=1e-3, backend="numpy")
    return sim.relax(X, Y, duration=20e-3, record=record, **options)


def ways(run: ns.Run, folder: Path) -> dict[str, xr.Dataset]:
    """Return the traces of a run in memory, of a file, and of that file without neurosim."""
    ns.save(run, folder / "run.nc")
    loaded = ns.load(folder / "run.nc")
    with xr.open_dataset(folder / "run.nc") as plain:
        return {"memory": run.traces, "file": loaded.traces, "xarray": plain.load()}


def test_a_table_has_one_row_per_time_pattern_and_unit(tmp_path: Path) -> None:
    run = recorded(("x", "lam"), stream=tmp_path / "run.zarr")
    found = ways(run, tmp_path) | {"recording": ns.load(tmp_path / "run.zarr").traces}
    for way, traces in found.items():
        table = traces.to_dataframe()
        assert list(table.index.names) == ["time", "pattern", "unit"], way
        assert set(table) == {"population", "index", "x", "lam"}, way
        values = run.traces.x.values
        np.testing.assert_array_equal(table["x"].to_numpy(), values.ravel(), err_msg=way)
        output = table[table.population == "output"]
        one = output.xs((run.traces.time.values[7], 2), level=("time", "pattern"))
        np.testing.assert_array_equal(one.lam, values_of(run, "lam")[7, 2, -10:])


def values_of(run: ns.Run, variable: str) -> np.ndarray:
    """Return the recorded values of a variable."""
    return np.asarray(run.traces[variable].values)


def test_units_and_synapses_have_no_rows_in_common() -> None:
    run = recorded(("x", "w"))
    rows = prod(run.traces.w.shape) * prod(run.traces.x.shape[1:])
    with pytest.raises(ns.DataError, match=f"{rows:,} rows.*traces\\[\\['x'\\]\\]"):
        run.traces.to_dataframe()
    with pytest.raises(ns.DataError, match="rows"):
        run.traces.isel(time=slice(0, 2)).to_dataframe()
    weights = run.traces[["w"]].to_dataframe()
    assert len(weights) == run.traces.w.size
    assert set(weights) == {"projection", "post", "pre", "w"}
    assert len(run.traces[["x"]].to_dataframe()) == run.traces.x.size


def test_a_table_survives_text(tmp_path: Path) -> None:
    import pandas as pd

    run = recorded(("x",))
    table = run.traces.to_dataframe()
    table.to_csv(tmp_path / "x.csv", float_format="%.17g")
    again = pd.read_csv(tmp_path / "x.csv", engine="python")
    np.testing.assert_array_equal(again["x"], table["x"])


def test_traces_round_trip_through_xarrays_own_file(tmp_path: Path) -> None:
    run = recorded(("x", "w"))
    run.traces.to_netcdf(tmp_path / "traces.nc")
    with xr.open_dataset(tmp_path / "traces.nc") as found:
        assert run.traces.identical(found.load())


def test_a_file_holds_parameters_once(tmp_path: Path) -> None:
    run = recorded(("x",))
    found = ways(run, tmp_path)
    assert set(found["xarray"]) == {"x"}
    assert without_parameters(found["file"]).identical(without_parameters(run.traces))
    for name, w in run.network.weights.items():
        np.testing.assert_array_equal(found["file"][f"weights.{name}"], w)
