"""Pictures of sweeps suit what was varied and show known outcomes, boundaries and indices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from typer.testing import CliRunner

import neurosim as ns
from neurosim.cli import app
from neurosim.plot import sweeps as pictures
from neurosim.plot.outcomes import outcomes_in

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def made(shape: tuple[int, ...] = (7, 5, 2), seed: int = 0) -> xr.Dataset:
    """A sweep over theta, gain and seeds whose boundary is known: growth = gain - theta."""
    theta = np.linspace(0.2, 1.4, shape[0])
    gain = np.linspace(0.5, 1.5, shape[1])
    growth = np.broadcast_to((gain[None, :] - theta[:, None])[..., None], shape)
    outcome = np.where(growth < 0, "settled", "ringing")
    time = np.where(growth < 0, 1 / np.maximum(np.abs(growth), 1e-3), np.nan)
    dims = ("flow.theta", "network.gain", "network.seed")
    return xr.Dataset(
        {
            "settle_time": (dims, time, {"units": "s"}),
            "growth": (dims, growth, {"units": "1/s", "long_name": "growth"}),
            "outcome": (dims, outcome),
            "reason": (dims, np.full(shape, "")),
        },
        {
            "flow.theta": ("flow.theta", theta, {"units": "rad"}),
            "network.gain": gain,
            "network.seed": range(shape[2]),
        },
    )


def points(data: xr.Dataset) -> xr.Dataset:
    """The same sweep as points along one dimension, as if they were drawn."""
    return data.stack(point=list(data.dims)).reset_index("point")


def test_a_picture_is_chosen_by_what_was_varied() -> None:
    data = made()
    assert pictures.choose(data) == "phase_diagram"
    assert pictures.choose(data.isel({"network.gain": [0], "network.seed": [0]})) == "lines"
    assert pictures.choose(points(data)) == "phase_diagram"
    third = points(data).assign_coords(more=("point", range(70)))
    assert pictures.choose(third) == "parallel_coordinates"
    assert pictures.choose(data, "growth") == "heat_map"
    settled = (data.outcome.dims, np.full(data.outcome.shape, "settled"))
    assert pictures.choose(data.assign(outcome=settled)) == "heat_map"
    assert pictures.parameters(data) == ["flow.theta", "network.gain", "network.seed"]


def test_the_boundary_is_drawn_where_the_growth_is_zero() -> None:
    ax = pictures.phase_diagram(made()).axes[0]
    contour = next(c for c in ax.collections if type(c).__name__ == "QuadContourSet")
    line = np.concatenate([path.vertices for path in contour.get_paths()])
    assert len(line) > 3
    assert_allclose(line[:, 0], line[:, 1], atol=0.02)  # theta = gain
    assert ax.get_xlabel() == "angle θ (rad)"


@pytest.mark.parametrize("scale", [None, "linear", "log"])
@pytest.mark.parametrize("spaced", [np.linspace, np.geomspace])
def test_the_scale_is_the_attribute_of_a_coordinate_or_else_its_spacing(
    scale: str | None, spaced: Any
) -> None:
    """Sweeps stored by 0.1.0 have no attribute; then geometric spacing is logarithmic."""
    attributes = {} if scale is None else {"scale": scale}
    data = made().assign_coords({"flow.theta": ("flow.theta", spaced(0.2, 1.4, 7), attributes)})
    expected = scale
    if scale is None:
        expected = "log" if spaced is np.geomspace else "linear"
    for figure in (pictures.phase_diagram(data), pictures.lines(data, x="flow.theta")):
        assert figure.axes[0].get_xscale() == expected
        assert figure.axes[0].get_yscale() == "linear"


def test_points_that_are_not_done_are_blank() -> None:
    data = made()
    data["outcome"][3, 1, :] = ""
    mesh = pictures.phase_diagram(data).axes[0].collections[0]
    np.testing.assert_array_equal(np.argwhere(np.ma.getmaskarray(mesh.get_array())), [[1, 3]])


@pytest.mark.parametrize("kind", [*pictures.KINDS])
@pytest.mark.parametrize("data", [made(), points(made())], ids=["grid", "points"])
def test_every_kind_draws_grids_and_points(kind: str, data: xr.Dataset) -> None:
    measure = {} if kind == "phase_diagram" else {"measure": "growth"}
    figure = ns.plot.sweep(data, kind, columns=1, **measure)
    assert figure.get_size_inches()[0] == pytest.approx(3.5)
    labels = [ax.get_xlabel() for ax in figure.axes] + [ax.get_ylabel() for ax in figure.axes]
    assert all("(" in label for label in labels if label), labels


def test_sobol_indices_of_a_sum_are_its_shares() -> None:
    """y = 2 u + v on the unit square: variances 4/12 and 1/12, no interaction."""
    u = np.linspace(0, 1, 6)
    data = xr.Dataset({"y": (("a", "b"), 2 * u[:, None] + u)}, {"a": u, "b": u})
    names, first, total = pictures.sobol(data, "y")
    assert names == ["a", "b"]
    assert_allclose(first, [0.8, 0.2], atol=0.03)
    assert_allclose(total, [0.8, 0.2], atol=0.03)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("phase_digram", {}, "did you mean 'phase_diagram'"),
        ("heat_map", {"measure": "setle_time"}, "did you mean 'settle_time'"),
        ("heat_map", {"x": "flow.thta"}, "did you mean 'flow.theta'"),
        ("heat_map", {"columns": 3}, "columns = 3; allowed: 1, 2"),
        ("lines", {"y": "flow.theta"}, "option of lines = 'y'; allowed: measure, x"),
    ],
)
def test_slips(kind: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ns.ModelError, match=words):
        ns.plot.sweep(made(), kind, **options)


def test_the_command_line_sweeps_and_draws(tmp_path: Path) -> None:
    out, picture = tmp_path / "sweep.zarr", tmp_path / "picture.pdf"
    grid = ["--grid", "flow.rho=0.5:2:2", "--repeat", "2", "--duration", "50 ms"]
    arguments = ["sweep", "xor", *grid, "--out", str(out), "--measure", "residual,growth"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "4: " in found.output
    found = CliRunner().invoke(app, ["plot", str(out), "--out", str(picture)])
    assert found.exit_code == 0, found.output
    assert "drawn as lines; other pictures: --kind phase_diagram, heat_map" in found.output
    assert picture.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("kind", [None, *pictures.KINDS])
def test_one_point_is_drawn_or_refused(kind: str | None) -> None:
    """With no varying parameter, and without any parameter."""
    one = made((1, 1, 1)).assign(settle_time=made((1, 1, 1)).settle_time.fillna(0.5))
    if kind in (None, "lines", "parallel_coordinates"):
        figure = ns.plot.sweep(one, kind)
        if kind != "parallel_coordinates":
            assert figure.axes[0].get_xlabel() == "angle θ (rad)"
    else:
        with pytest.raises(ns.DataError, match="allowed: two"):
            ns.plot.sweep(one, kind)
    without = one.isel(dict.fromkeys(one.dims, 0), drop=True)
    with pytest.raises(ns.DataError, match=r"no parameter|allowed: two"):
        ns.plot.sweep(without, kind)


@pytest.mark.parametrize("kind", [None, *pictures.KINDS])
def test_a_logarithmic_scale_refuses_values_that_are_not_above_0(kind: str | None) -> None:
    data = made((7, 5, 2))
    data = data.assign_coords({"flow.theta": data["flow.theta"] - 0.2})
    data["flow.theta"].attrs = {"scale": "log", "units": "rad"}
    with pytest.raises(ns.DataError, match=r"flow.theta = 0 on a logarithmic scale; allowed: val"):
        ns.plot.sweep(data, kind)


def test_lines_state_their_repeats_and_refuse_a_measure_without_numbers() -> None:
    """Without a number they were empty axes, or an error of Matplotlib's."""
    data = made()
    ax = pictures.lines(data.isel({"network.gain": [0]})).axes[0]
    said = " ".join(ax.get_legend().get_title().get_text().split())
    assert said == "median over 2 seeds, band: range; 10 of 14 points have a number"
    unsettled = data.assign(settle_time=np.nan * data.settle_time)
    with pytest.raises(ns.DataError, match="settle_time has no number at any of 70 points"):
        pictures.lines(unsettled)
    assert plt.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize("points_of_rho", [1, 4])
def test_a_sweep_of_which_nothing_settles_is_drawn_by_its_outcomes(points_of_rho: int) -> None:
    """The settling time has no number; it is refused where it is asked for."""
    data = made((points_of_rho, 1, 1))
    data = data.assign(settle_time=np.nan * data.settle_time)
    figure, outcomes = ns.plot.sweep(data), outcomes_in(data)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == outcomes
    drawn = [c for c in figure.axes[0].collections if len(c.get_paths())]
    assert sum(len(c.get_paths()) for c in drawn) == points_of_rho
    for c in drawn:
        assert all(len(path.vertices) == 2 for path in c.get_paths())  # from rho to "no number"
    assert "no number" in [text.get_text() for text in figure.axes[0].texts]
    assert pictures.choose(data, "growth") == "lines"
    with pytest.raises(ns.DataError, match=r"settle_time has no number .*'parallel_coordinates'"):
        ns.plot.sweep(data, measure="settle_time")


def test_a_measure_of_text_is_refused() -> None:
    data = made((4, 1, 1))
    data = data.assign(settle_time=data.outcome)
    for kind in (None, "lines", "parallel_coordinates"):
        with pytest.raises(ns.DataError, match="measure 'settle_time' is of type <U7; allowed: nu"):
            ns.plot.sweep(data, kind)


def test_a_boundary_is_in_the_legend_where_one_is_drawn() -> None:
    data = made()
    for growth, entries in ((data.growth, 1), (abs(data.growth) + 1, 0)):
        figure = pictures.phase_diagram(data.assign(growth=growth))
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names.count("predicted boundary") == entries


def test_few_values_on_a_logarithmic_axis_each_have_a_tick() -> None:
    values = ("flow.theta", [0.5, 1.0, 2.0], {"units": "rad", "scale": "log"})
    data = made((3, 5, 2)).assign_coords({"flow.theta": values})
    ax = pictures.phase_diagram(data, "flow.theta", "network.gain").axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.5", "1", "2"]
