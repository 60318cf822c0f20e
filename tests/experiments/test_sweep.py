import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import neurosim as ns
from neurosim.experiments import modelfile, parameters, shares
from neurosim.experiments import sweep as sweeps
from neurosim.experiments import sweep_store as sweepstore
from neurosim.experiments.measures import Case

RELAXING = ("simulation.duration='600 ms'", "simulation.record=[]")
VALUES = {"flow.rho": [0.5, 1.0, 60.0], "network.seed": range(4)}
MEASURES = ["settle_time", "error", "alignment"]


@pytest.fixture(scope="module")
def xor() -> xr.Dataset:
    return ns.sweep("xor", VALUES, measure=MEASURES, overrides=RELAXING)


def test_a_sweep_holds_what_single_runs_give(xor: xr.Dataset) -> None:
    assert dict(xor.sizes) == {"flow.rho": 3, "network.seed": 4}
    model = modelfile.load("xor", RELAXING)
    data = model.data()
    for rho, seed in ((0.5, 2), (1.0, 0)):
        spec = model.changed({"flow.rho": rho, "network.seed": seed, "simulation.settle": 1e-6})
        run = spec.relax(spec.simulation(), data)
        found = xor.sel({"flow.rho": rho, "network.seed": seed})
        exact = ns.alignment(run, ns.reference.backprop(run.network, data.X, data.Y))
        assert (str(found.outcome.values), run.settled) == (
            "settled" if run.settled else "settling",
            run.settled,
        )
        assert_allclose(found.settle_time, run.time if run.settled else np.nan, rtol=1e-12)
        assert_allclose([found.error, found.alignment], [exact.max_error, exact.worst], atol=1e-12)


def test_a_point_that_diverges_is_an_outcome_with_its_reason(xor: xr.Dataset) -> None:
    gone = xor.sel({"flow.rho": 60.0})
    assert (gone.outcome == "diverged").all()
    assert gone.reason.str.contains("left its bound in").all()
    assert np.isnan(gone.alignment).all()
    assert (xor.sel({"flow.rho": 1.0}).outcome == "settled").all()


def test_what_rings_is_told_from_what_still_settles() -> None:
    """`arrow_hurwicz` rings for ever where steps are semi-implicit; a slow `adjoint` is cut off on
    its way.
    """
    settings = ("simulation.method='semi_implicit'", "network.activation='linear'", *RELAXING[1:])
    flow = {"flow.preset": ["arrow_hurwicz", "adjoint"]}
    model = modelfile.load("deep", settings).changed(
        {"flow.rho": 0.0, "network.depth": 2, "network.sizes": [16] * 3}
    )
    model = model.changed({"simulation.dt": "1 ms", "data.patterns": 2})
    tables = model.tables.model_copy(
        update={"flow": model.tables.flow.model_copy(update={"rho": None})}
    )
    model = modelfile.ModelFile("deep", tables)
    found = ns.sweep(model, flow, measure="residual", duration=0.1, settle=1e-9)
    assert found.outcome.values.tolist() == ["ringing", "settling"]


def breaks_at_two(case: Case) -> float:
    """Return rho; fail at rho = 2."""
    if case.flow.rho == 2:
        raise ZeroDivisionError("no two")
    return case.flow.rho


def test_a_user_supplied_measure_may_fail_at_a_point() -> None:
    with pytest.warns(ns.MeasureWarning):
        found = ns.sweep(
            "xor", {"flow.rho": [1.0, 2.0]}, measure=[breaks_at_two, "residual"], overrides=RELAXING
        )
    assert_allclose(found.breaks_at_two, [1, np.nan])
    assert found.reason.values.tolist() == ["", "breaks_at_two: ZeroDivisionError: no two"]
    assert np.isfinite(found.residual).all()


def test_a_point_that_cannot_be_built_fails_alone() -> None:
    """A test share of 0.999 leaves no pattern to learn."""
    found = ns.sweep(
        "wine",
        {"data.test": [0.2, 0.999]},
        measure="settle_time",
        duration=0.01,
        overrides=RELAXING[1:],
    )
    assert found.outcome.values.tolist()[1] == "failed"
    assert found.outcome.values.tolist()[0] != "failed"
    assert "DataError" in str(found.reason.values[1])


def test_events_and_adaptive_steps_are_swept_one_by_one() -> None:
    found = ns.sweep(
        "xor",
        {"simulation.adaptive": [False, True], "flow.rho": [1.0, 2.0]},
        measure=MEASURES,
        overrides=RELAXING,
    )
    assert (found.outcome == "settled").all()
    assert_allclose(
        found.settle_time[1], found.settle_time[0], rtol=0.15
    )  # a first-order step's own error
    spoken = ns.sweep(
        "xor",
        {"simulation.transport": ["dense", "events"]},
        measure="synaptic_operations",
        overrides=RELAXING,
    )
    assert float(spoken.synaptic_operations[1]) < float(spoken.synaptic_operations[0])


def test_it_trains_first_where_a_measure_is_of_what_was_learnt() -> None:
    found = ns.sweep("xor", {"network.seed": [0]}, measure=["loss", "accuracy"], duration=0.1)
    assert (found.loss < 1e-20).all()
    assert (found.accuracy == 1).all()


@pytest.mark.parametrize(
    ("parameters", "options", "words"),
    [
        ({"flow.rhoo": [1]}, {}, "flow.rhoo: unknown key.*did you mean 'flow.rho'"),
        ({"flow.rho": [1, -2]}, {}, "flow.rho = -2"),
        ({"flow.theta": [0.5]}, {}, "theta"),
        ({"network.gain": [1, -1], "flow.rho": [1, 2]}, {}, "gain of .* = -1"),
        (
            {"network.depth": [3]},
            {"overrides": ("network.sizes=[2,3,3,1]",)},
            "three layers beside depth",
        ),
        ({"flow.rho": []}, {}, "flow.rho has no values"),
        ({"flow.rho": [1, 1.0]}, {}, "has a value twice"),
        ({}, {}, "no parameter to sweep over"),
        (
            {"flow.rho": [1]},
            {"measure": "setle_time"},
            "measure = 'setle_time'.*did you mean 'settle_time'",
        ),
        ({"flow.rho": [1]}, {"design": "lsh"}, "design = 'lsh'.*did you mean 'lhs'"),
        ({"flow.rho": [1.0, 2.0]}, {"design": "lhs"}, "points of design 'lhs' = None"),
        ({"flow.rho": [1]}, {"points": 3}, "points = 3 with design 'grid'"),
        ({"network.seed": [1, 2]}, {"design": "refine"}, "at least two values, all floats"),
        ({"flow.rho": [1]}, {"jobs": 0}, "jobs = 0"),
        ({"flow.rho": [1]}, {"settle": -1}, "settle = -1"),
        ({"flow.rho": [1]}, {"duration": "1 m"}, "duration = '1 m'"),
    ],
)
def test_invalid_input_is_refused_before_anything_runs(
    parameters: Any, options: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "_run", lambda *_: pytest.fail("it ran"))
    with pytest.raises(ns.ModelError, match=words):
        ns.sweep("xor", parameters, **options)


def test_coordinates_carry_the_scale_of_their_values(tmp_path: Path) -> None:
    """In the dataset and in the store; of drawn points it is the scale of the box."""
    values = {"flow.rho": [0.5, 1.0, 2.0], "network.seed": [0, 1, 2], "flow.tau_x": ["10 ms"]}
    wanted = {"flow.rho": "log", "network.seed": "linear", "flow.tau_x": "linear"}
    sweep = partial(ns.sweep, "xor", values, duration=0.01, overrides=RELAXING)
    grid = sweep(out=tmp_path / "grid")
    for data in (grid, sweepstore.read(tmp_path / "grid"), sweep(design="lhs", points=4)):
        assert {key: data[key].attrs.get("scale") for key in values} == wanted


def test_times_are_seconds_wherever_they_are_shown(tmp_path: Path) -> None:
    """As texts, quantities or numbers: in the dataset, the store, netCDF, CSV and the picture."""
    from brian2 import ms

    given = {"flow.tau_x": ["5 ms", 10 * ms, 0.02], "simulation.every": 2 * ms}
    found = ns.sweep("xor", given, duration=5 * ms, overrides=RELAXING[1:], out=tmp_path / "s")
    found.to_netcdf(tmp_path / "s.nc", engine="h5netcdf")
    read = xr.load_dataset(tmp_path / "s.nc", engine="h5netcdf", decode_timedelta=False)
    for data in (found, sweepstore.read(tmp_path / "s"), read):
        assert data["flow.tau_x"].values.tolist() == [0.005, 0.01, 0.02]
        assert data["simulation.every"].values.tolist() == [0.002]
        assert {data[key].attrs["units"] for key in given} == {"s"}
    frame = found.to_dataframe().reset_index()
    frame.to_csv(tmp_path / "s.csv")
    assert frame["flow.tau_x"].dtype == float
    found["settle_time"] = found.settle_time.fillna(0.1)  # a run of 5 ms does not settle
    figure = ns.plot.sweep(found, "lines", x="flow.tau_x")
    assert figure.axes[0].get_xlabel() == "τx (s)"
    assert_allclose(figure.axes[0].lines[0].get_xdata(), [0.005, 0.01, 0.02])


def test_units_of_keys_follow_from_their_types() -> None:
    units = {"train.present": "s", "stream.per_frame": "s", "flow.tau_x.hidden1": "s"}
    units |= {"simulation.imperfections.0.correlation": "s", "flow.theta": "rad", "flow.rho": "1"}
    assert {key: parameters.unit_of(key) for key in units} == units
    from brian2 import mV

    for values, words in (
        ({"flow.tau_x": [1 * mV]}, "flow.tau_x = .*allowed: a time"),
        ({"flow.rho": [1 * mV]}, "flow.rho = .*without another unit"),
        ({"flow.rho": np.ma.array([1.0, 2.0], mask=[0, 1])}, "not masked"),
        ([1.0], "parameters is a list"),
    ):
        with pytest.raises(ns.ModelError, match=words):
            parameters.in_base_units(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("design", ["sobol", "lhs", "random", "refine"])
def test_a_real_number_is_a_range_however_it_is_written(design: str) -> None:
    options: dict[str, Any] = {"rounds": 1} if design == "refine" else {"points": 8}
    values = {"flow.rho": [1, 60], "network.seed": [3, 7]}
    found = ns.sweep("xor", values, design=design, duration=0.05, overrides=RELAXING[1:], **options)
    rho = found["flow.rho"].values
    assert rho.dtype == float
    assert design == "refine" or ((rho > 1) & (rho < 60)).any()
    assert set(found["network.seed"].values) == {3, 7}


# Failures and progress


def test_a_measure_that_fails_says_so() -> None:
    """The warning names measure, point and exception, and the number of points."""

    def two(case: Case) -> Any:
        return [1, 2]

    values = {"flow.rho": [1.0, 2.0], "network.seed": [0, 1]}
    given = {"mine": breaks_at_two, "two": two, "text": lambda case: "1", "z": lambda case: 1j}
    with pytest.warns(ns.MeasureWarning) as warned:
        found = ns.sweep("xor", values, measure=given, duration=0.01, overrides=RELAXING[1:])
    texts = [str(one.message) for one in warned if one.category is ns.MeasureWarning]
    first = "measure 'mine' is NaN at flow.rho = 2.0, network.seed = 0, as it raised "
    assert first + "ZeroDivisionError: no two" in texts
    last = "measure 'mine' raised errors at 2 of 4 points; "
    assert last + "the variable reason of the result has them" in texts
    assert sum("allowed: one real number without a unit" in text for text in texts) == 3
    assert np.isnan(found[["two", "text", "z"]].to_array()).all()


class Bar:
    """A bar that keeps what it was told."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.total = 0

    @contextmanager
    def __call__(
        self, progress: bool, title: str, total: int, done: int = 0
    ) -> Iterator[Callable[[float, str | None], None]]:
        assert progress
        self.total = total
        yield lambda steps, text: self.steps.append(steps)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("measure", ["settle_time", "loss"])
def test_a_bar_moves_while_the_first_task_runs(
    monkeypatch: pytest.MonkeyPatch, jobs: int, measure: str
) -> None:
    shown = Bar()
    monkeypatch.setattr("neurosim.experiments.sweep.bar", shown)
    settings = ("flow.preset=arrow_hurwicz", "simulation.dt='0.02 ms'", *RELAXING[1:])
    if measure == "loss":
        settings = RELAXING[1:]
    ns.sweep(
        "xor",
        {"flow.tau_x": [0.01, 0.02]},
        measure=measure,
        duration=0.4,
        settle=1e-12,
        overrides=settings,
        jobs=jobs,
        progress=True,
    )
    heights = np.cumsum(shown.steps)
    assert shown.total == 2
    assert heights[-1] == pytest.approx(2)
    assert heights.max() == pytest.approx(2)
    assert 0 < heights[0] <= (0.95 if measure == "loss" else 0.5)


def test_shares_of_a_worker_that_died_are_taken_back() -> None:
    reported: list[float] = []
    with shares.Shares(reported.append) as kept:
        shares.reporting_to(kept.path, 0)(0.5)
        shares.reporting_to(kept.path, 1)(0.25)
        kept.take_back(0)
        assert sum(reported) == 0.25
        kept.take_back()
        path = kept.path
    assert sum(reported) == 0
    shares.reporting_to(path, 1)(0.5)  # the driver has ended


# A sweep on disk


def test_a_sweep_is_read_back_and_not_run_twice(
    tmp_path: Path, xor: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sweep.zarr"
    written = ns.sweep("xor", VALUES, measure=MEASURES, overrides=RELAXING, out=path)
    xr.testing.assert_identical(written, xor)
    xr.testing.assert_identical(sweepstore.read(path), xor)
    plain = xr.open_zarr(path, consolidated=False)
    assert_allclose(plain.settle_time.values, xor.settle_time.values)
    monkeypatch.setattr(
        "neurosim.experiments.sweep_task.SweepTask.work", lambda task: pytest.fail("it ran again")
    )
    xr.testing.assert_identical(
        ns.sweep("xor", VALUES, measure=MEASURES, overrides=RELAXING, out=path), xor
    )


def test_another_sweep_is_not_written_over(tmp_path: Path) -> None:
    sweep = partial(ns.sweep, "xor", measure="residual", overrides=RELAXING, duration=0.01)
    sweep({"flow.rho": [1.0]}, out=tmp_path / "one")
    for values, options, words in (
        ([2.0], {}, r"parameters: flow.rho = \[1.0\] there, \[2.0\] here; try another path"),
        ([1.0], {"duration": 0.02}, "settings: duration = 0.01 there, 0.02 here; try"),
        (
            [1.0],
            {"overrides": (*RELAXING, "flow.gamma=0.5", "network.sizes=[2, 3, 1]")},
            r"model: network.sizes = \[2, 4, 1\] there, \[2, 3, 1\] here; "
            "model: flow.gamma = not set there, 0.5 here; try",
        ),
    ):
        with pytest.raises(ns.FileError, match=f"one holds another sweep: {words}"):
            sweep({"flow.rho": values}, out=tmp_path / "one", **options)
    assert sweep({"flow.rho": [1]}, out=tmp_path / "one")["flow.rho"] == 1.0
    with pytest.raises(ns.FileError, match="exists and is not a sweep"):
        sweep({"flow.rho": [1.0]}, out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ns.FileError, match="is a file"):
        sweep({"flow.rho": [1.0]}, out=tmp_path / "file")
    with pytest.raises(ns.FileError, match=r"did you mean .*one"):
        sweepstore.read(tmp_path / "onne")


def test_two_drivers_do_not_write_one_sweep(tmp_path: Path) -> None:
    def again(case: Case) -> float:
        with pytest.raises(ns.FileError, match="is being written by another sweep"):
            ns.sweep(
                "xor",
                {"flow.rho": [1.0]},
                measure={"m": again},
                overrides=RELAXING,
                duration=0.01,
                out=path,
            )
        return 1.0

    path = tmp_path / "sweep"
    found = ns.sweep(
        "xor",
        {"flow.rho": [1.0]},
        measure={"m": again},
        overrides=RELAXING,
        duration=0.01,
        out=path,
    )
    assert found.m.item() == 1


DRIVER = """
import sys, neurosim as ns
from neurosim.experiments import pool
from tests.experiments.test_sweep import MEASURES, RELAXING, VALUES
pool.Here.size = 4  # so that there are several tasks
ns.sweep("xor", VALUES, measure=MEASURES, overrides=RELAXING, out=sys.argv[1])
"""


@pytest.mark.parametrize("flushes", [0, 2])
def test_a_driver_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, xor: xr.Dataset, flushes: int
) -> None:
    path = tmp_path / "sweep.zarr"
    slow = DRIVER.replace(
        "pool.Here",
        "import time, neurosim.experiments.sweep_store as s; flush = s.ResultTable.flush\n"
        "s.ResultTable.flush = lambda self: (flush(self), print('flushed', flush=True), "
        "time.sleep(0.2))\n"
        "pool.Here",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(flushes):
        process.stdout.readline()
    if not flushes:
        time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if flushes:
        left = sweepstore.read(path)
        assert 0 < int((left.outcome != "").sum()) < left.outcome.size
    found = ns.sweep("xor", VALUES, measure=MEASURES, overrides=RELAXING, out=path)
    xr.testing.assert_equal(found.drop_vars("reason"), xor.drop_vars("reason"))


# Workers


def kills(case: Case, at: float, flag: str) -> float:
    """Kill the worker at one rho: once if there is a flag to leave, else always."""
    if case.flow.rho == at and not (flag and os.path.exists(flag)):
        if flag:
            Path(flag).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return case.flow.rho


RHOS = {"flow.rho": [0.5, 1.0, 1.5, 2.0], "network.seed": range(3)}


@pytest.fixture(scope="module")
def rhos() -> xr.Dataset:
    return ns.sweep("xor", RHOS, measure=MEASURES, overrides=RELAXING)


@pytest.mark.slow
def test_a_worker_that_dies_costs_nothing_but_time(tmp_path: Path, rhos: xr.Dataset) -> None:
    once = partial(kills, at=1.5, flag=str(tmp_path / "flag"))
    measures = {"mine": once, **dict(zip(MEASURES, MEASURES, strict=True))}
    found = ns.sweep("xor", RHOS, measure=measures, overrides=RELAXING, jobs=2)
    assert (tmp_path / "flag").exists()
    xr.testing.assert_equal(found[[*MEASURES, "outcome"]], rhos[[*MEASURES, "outcome"]])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made


@pytest.mark.slow
def test_a_cluster_gives_the_same_and_survives_a_worker(
    tmp_path: Path, rhos: xr.Dataset, cluster: Any
) -> None:
    once = partial(kills, at=1.5, flag=str(tmp_path / "flag"))
    measures = {"mine": once, **dict(zip(MEASURES, MEASURES, strict=True))}
    found = ns.sweep(
        "xor", RHOS, measure=measures, overrides=RELAXING, scheduler=cluster.scheduler_address
    )
    assert (tmp_path / "flag").exists()
    xr.testing.assert_equal(found[[*MEASURES, "outcome"]], rhos[[*MEASURES, "outcome"]])


@pytest.mark.slow
def test_a_point_that_keeps_killing_workers_is_recorded_as_failed(cluster: Any) -> None:
    always = partial(kills, at=1.5, flag="")
    values = {"flow.rho": [1.0, 1.5]}
    cluster.scheduler.allowed_failures = 0
    found = ns.sweep(
        "xor",
        values,
        measure={"mine": always},
        overrides=RELAXING,
        duration=0.01,
        scheduler=cluster,
    )
    assert found.outcome.values.tolist()[1] == "failed"
    assert "its worker process died" in str(found.reason.values[1])
    assert found.mine.values[0] == 1


def test_a_saddle_point_beside_a_limit_cycle_has_a_basin() -> None:
    """Above a subcritical Hopf point: starts nearby settle, others ring; linearised, all would
    settle.
    """
    found = ns.sweep(
        "basin",
        {"start.x": [0.01, 0.5]},
        measure="slowest_rate",
        overrides=["start.lam=0", "simulation.dt='4 ms'"],
    )
    assert list(found.outcome.values) == ["settled", "ringing"]
    assert (found.slowest_rate > 0).all()
