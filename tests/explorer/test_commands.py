"""The command ``neurosim explore``: its one line, Ctrl-C, own data, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from neurosim.cli import app
from neurosim.errors import ModelError
from neurosim.experiments import modelfile
from neurosim.explorer import commands, explorer

MODEL = """
[network]
sizes = [2, 3, 1]
loss = "mse"
[flow]
preset = "adjoint"
[data]
name = "xor"
"""


@pytest.mark.slow
def test_the_url_is_one_line_that_answers_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(MODEL)
    rows = ["a,b,y", "0.1,0.2,0.5", "0.3,0.4,-0.5"]
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    command = "from neurosim.cli import main; main()"
    arguments = ["explore", "own.toml", "--data", "own.csv", "--set", "data.header=true"]
    arguments += ["--set", "data.labels=false", "--set", "data.test=0", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(url).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()


def test_overrides_of_a_saved_run_are_refused() -> None:
    with pytest.raises(ModelError, match=r"--set flow.rho=2 beside 'run.nc'"):
        commands.run("run.nc", ["flow.rho=2"], None, port=0, browser=False)


def test_data_beside_a_saved_run_are_refused() -> None:
    with pytest.raises(ModelError, match=r"--data own.csv beside 'run.nc'"):
        commands.run("run.nc", [], "own.csv", port=0, browser=False)


def test_own_data_take_the_place_of_a_set_with_keys_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set of ``deep`` is drawn, by `features` and `outputs`."""
    rows = np.random.default_rng(0).normal(size=(3, 17)).round(3)
    np.savetxt(tmp_path / "own.csv", rows, delimiter=",", header="")
    opened = []
    monkeypatch.setattr(explorer, "start", lambda exploration, **_: opened.append(exploration))
    sets = ["data.header=false", "data.labels=false", "data.test=0", "network.sizes=[16, 3, 1]"]
    commands.run("deep", sets, str(tmp_path / "own.csv"), port=0, browser=False)
    X, Y = opened[0].live.data
    np.testing.assert_array_equal(X["input"], rows[:, :-1])
    np.testing.assert_array_equal(Y["output"], rows[:, -1:])


def test_a_key_that_is_left_from_another_set_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("0.1,0.2,0.5\n0.3,0.4,-0.5\n")
    found = modelfile.load("deep", [f"data.name={tmp_path / 'own.csv'}"])
    with pytest.raises(ModelError, match=r"'features' is a key of random.*--set 'data=\{name="):
        found.data()


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    result = CliRunner().invoke(app, ["explore", "dep", "--no-browser"])
    assert result.exit_code == 2
    assert "did you mean 'deep'" in result.output
