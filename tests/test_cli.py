"""The command line as a user meets it: files, closing line, exit codes; no bad input ends in a
traceback.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from neurosim import __version__
from neurosim.cli import app
from neurosim.experiments import modelfile
from neurosim.results import files
from neurosim.results.runs import Log, Run
from neurosim.simulation.simulation import Simulation
from tests.helpers.limits import limit_of_files

QUICK = ("--backend", "numpy", "--set", "train.duration=100 ms", "--set", "train.reports=2")
ONE_PICTURE = (*QUICK, "--set", "output.formats=['svg']")
NO_PICTURE = (*QUICK, "--set", "output.formats=[]")
RELAX = ("--backend", "numpy", "--set", "simulation.duration=400 ms")
DIVERGENT = (
    "ring",
    "--backend",
    "numpy",
    "--set",
    "simulation.dt=40 ms",
    "--set",
    "simulation.every=40 ms",
)
FIGURES = {"summary.png", "summary.pdf"}
TRAINED = {"log.nc", "weights.npz", "model.toml", *FIGURES}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a training, which several tests read or copy."""
    with contextlib.chdir(tmp_path_factory.mktemp("trained")):
        result = call("run", "xor", *ONE_PICTURE, "--set", "output.folder=mine")
        assert result.exit_code == 0, result.output
        return Path("mine").absolute()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*args: str | Path) -> Any:
    return CliRunner().invoke(app, [str(a) for a in args])


def words(text: str) -> str:
    """Without the line breaks of a narrow terminal."""
    return " ".join(text.split())


def refused(result: Any) -> str:
    """The message of a command that ended as bad input should."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit | None)
    return words(result.output)


def names(folder: Path | str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def test_version_and_help() -> None:
    assert call("--version").output.strip() == f"neurosim {__version__}"
    shown = call("--help")
    assert shown.exit_code == 0
    for command in ("run", "check", "plot", "models", "cache"):
        assert command in shown.output
        assert call(command, "--help").exit_code == 0


def test_a_model_file_is_printed() -> None:
    assert (
        call("models", "xor").output
        == (Path(__file__).parents[1] / "models" / "xor.toml").read_text()
    )
    wrong = call("models", "xro")
    assert wrong.exit_code != 0
    assert "xor" in wrong.output


def test_models_are_listed_with_what_they_show() -> None:
    listed = call("models").output.splitlines()
    assert [line.split()[0] for line in listed] == list(modelfile.built_in())
    assert all(len(line.split()) > 3 for line in listed)


def test_training_leaves_everything_and_ends_with_one_line(tmp_path: Path) -> None:
    result = call("run", "xor", *QUICK, "--out", "here")
    assert result.exit_code == 0, result.output
    assert names("here") == TRAINED
    last = result.output.strip().splitlines()[-1]
    assert last.startswith("lam is within ")
    assert "4 patterns, final weights frozen, relaxed for another" in last
    for heading in ("network", "flow", "backend", "steps", "time", "loss", "accuracy"):
        assert heading in result.output
    assert "not worth a compiler" in words(result.output) or "as asked for" in words(result.output)

    log = files.load(tmp_path / "here" / "log.nc")
    assert isinstance(log, Log)
    with np.load("here/weights.npz") as weights:
        np.testing.assert_array_equal(
            weights["input->hidden1"], log.run.network.weights["input->hidden1"]
        )
    written = (tmp_path / "here" / "model.toml").read_text()
    assert __version__ in written.splitlines()[1]
    assert tomllib.loads(written)["train"]["duration"] == "100 ms"
    assert Path("here/summary.pdf").read_bytes().startswith(b"%PDF")
    assert Path("here/summary.png").read_bytes().startswith(b"\x89PNG")


def test_the_effective_model_gives_the_same_result(tmp_path: Path) -> None:
    call("run", "xor", *NO_PICTURE, "--seed", "3", "--out", "first")
    call("run", "first/model.toml", "--out", "second")
    first, second = (files.load(tmp_path / n / "log.nc") for n in ("first", "second"))
    assert isinstance(first, Log)
    assert isinstance(second, Log)
    for name, w in first.run.network.weights.items():
        np.testing.assert_array_equal(w, second.run.network.weights[name])


def test_relaxing_ends_with_backpropagation() -> None:
    result = call("run", "models/ring.toml", *RELAX)
    assert result.exit_code == 0, result.output
    assert names("runs/ring") == {"run.nc", "weights.npz", "model.toml", *FIGURES}
    last = result.output.strip().splitlines()[-1]
    error = float(last.split()[3])
    assert error < 1e-4
    assert "8 patterns, at the end of the run" in last
    run = files.load("runs/ring/run.nc")
    assert isinstance(run, Run)
    assert run.traces is not None


@pytest.mark.parametrize("weights", ["drawn", "given"])
def test_only_weights_that_have_learned_have_an_accuracy(tmp_path: Path, weights: str) -> None:
    """A relaxation of drawn weights gets the digits right as often as its seed has it."""
    given = "weights = [[1.0, 0.0], [0.0, 1.0]]" if weights == "given" else ""
    text = f"""
[network]
populations = [{{name = "input", size = 2, clamped = true}}, {{name = "output", size = 2}}]
losses = [{{population = "output", kind = "cross_entropy"}}]
[[network.projections]]
pre = "input"
post = "output"
{given}
[flow]
preset = "adjoint"
[simulation]
dt = "1 ms"
duration = "20 ms"
backend = "numpy"
[data]
name = "xor"
coding = "labels"
"""
    (tmp_path / "model.toml").write_text(text)
    result = call("run", "model.toml", "--out", "here")
    assert result.exit_code == 0, result.output
    assert ("accuracy" in result.output) == (weights == "given")
    assert ("the weights are drawn and fixed" in words(result.output)) == (weights == "drawn")


def test_seed_and_set_and_backend_reach_the_model() -> None:
    result = call("run", "xor", *NO_PICTURE, "--seed", "7", "--set", "flow.rho=2")
    assert result.exit_code == 0, result.output
    model = tomllib.loads(Path("runs/xor/model.toml").read_text())
    assert [model[table]["seed"] for table in ("network", "data", "simulation")] == [7, 7, 7]
    assert model["flow"]["rho"] == 2
    assert model["simulation"]["backend"] == "numpy"
    assert "tau_lam = 5 ms" in words(result.output)


def test_formats_of_figures(trained: Path) -> None:
    assert names(trained) == TRAINED - FIGURES | {"summary.svg"}
    assert call("run", "xor", *NO_PICTURE, "--out", "without").exit_code == 0
    assert names("without") == TRAINED - FIGURES


def test_check_passes() -> None:
    result = call("check", "xor", "--backend", "numpy", "--patterns", "2")
    assert result.exit_code == 0, result.output
    assert result.output.count("passed") == 7


def test_check_exits_with_1_where_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosim.analysis import check

    monkeypatch.setattr(check, "_gradient_error", lambda *_: 0.1)
    result = call("check", "xor", "--backend", "numpy")
    assert result.exit_code == 1
    assert "FAILED" in result.output


def test_plot(trained: Path) -> None:
    shutil.copytree(trained, "xor")
    result = call("plot", "xor/log.nc")
    assert result.exit_code == 0, result.output
    assert Path("xor/log.png").stat().st_size > 10_000
    assert Path("xor/log.pdf").exists()
    assert call("plot", "xor/log.nc", "--out", "fig.svg").output.strip() == "fig.svg"
    assert "<svg" in Path("fig.svg").read_text()
    assert "format of a picture = 'gif'; allowed: png, pdf, svg" in refused(
        call("plot", "xor/log.nc", "--out", "a.gif")
    )


# --- compiled programs
# -------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three programs, the last one the newest, and a file that is not neurosim's."""
    from neurosim import keeping
    from neurosim.engine import cache

    def build(path: Path) -> None:
        path.write_bytes(b"#!/bin/sh".ljust(10_000))
        path.chmod(0o755)

    monkeypatch.setenv("NEUROSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROSIM_CACHE_SIZE", raising=False)
    for i, about in enumerate(("the [oldest]", "the middle", "the newest")):
        cache.program(f"{i:024x}", build, target=tmp_path / "program", about=about)
        os.utime(keeping.entries()[0].path / cache.SEAL, (1e9 + 1e6 * i,) * 2)
    (tmp_path / "cache" / "thesis.tex").write_text("ten years of work")
    return tmp_path / "cache"


def test_the_cache_is_shown_newest_first(programs: Path) -> None:
    result = call("cache")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0] == f"{programs}: 3 kept, 30.6 kB of at most 1 GB".split()
    shown = [line for line in lines if line[:1] == ["the"]]
    assert [line[1] for line in shown] == ["newest", "middle", "[oldest]"]
    assert all(line[2:4] == ["10.2", "kB"] for line in shown)
    assert [line[4] for line in shown] == ["2001-10-02", "2001-09-20", "2001-09-09"]
    assert len(names(programs)) == 4


def test_the_cache_is_trimmed_to_the_limit(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("cache", "--trim").output == "0 removed, 0 B freed\n"
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "15 kB")
    assert call("cache", "--trim").output == "2 removed, 20.4 kB freed\n"
    shown = call("cache").output
    assert "1 kept, 10.2 kB of at most 15 kB" in words(shown)
    assert "the newest" in shown


def test_the_cache_is_cleared_of_what_is_ours(programs: Path) -> None:
    assert call("cache", "--clear").output == "3 removed, 30.6 kB freed\n"
    assert names(programs) == {"thesis.tex"}
    assert call("cache").output == f"{programs}: 0 kept, 0 B of at most 1 GB\n"
    assert call("cache", "--clear").output == "0 removed, 0 B freed\n"


@pytest.mark.parametrize("option", [(), ("--clear",), ("--trim",)])
def test_a_limit_that_is_no_size_is_refused(
    option: tuple[str, ...], programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROSIM_CACHE_SIZE", "lots")
    assert "error: NEUROSIM_CACHE_SIZE = 'lots'; allowed: bytes" in refused(call("cache", *option))
    assert len(names(programs)) == 4


def test_help_of_the_cache_has_an_example() -> None:
    assert "Example: NEUROSIM_CACHE_SIZE='200 MB' neurosim cache --trim" in words(
        call("cache", "--help").output
    )


def test_the_cache_is_shown_without_brian2(programs: Path) -> None:
    code = """
import sys
from neurosim.cli import app
try:
    app(["cache"])
finally:
    print(sorted({"brian2", "numpy", "scipy", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the newest" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


# --- bad input
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("run", "xro"), "error: model = 'xro'; allowed: .* did you mean 'xor'"),
        (("check", "no.toml"), "error: model = 'no.toml'"),
        (("run", "elsewhere/xor.toml"), "error: model = 'elsewhere/xor.toml'"),
        (("run", "xor", "--set", "flow.roh=2"), "did you mean 'flow.rho'"),
        (
            ("run", "xor", "--set", "flow.preset=augmentd"),
            "flow.preset = 'augmentd'.* did you mean 'augmented'",
        ),
        (
            ("run", "xor", "--set", "flow.tau_x=-10 ms"),
            "flow.tau_x = '-10 ms'; allowed: a finite time > 0",
        ),
        (("run", "xor", "--set", "flow.tau_x={hiden1=1}"), "did you mean 'hidden1'"),
        (("run", "xor", "--set", "network.activation=os.getcwd()"), "is not a plain formula"),
        (
            ("run", "xor", "--set", "network.sizes=[3, 4, 1]"),
            r"X has shape \(4, 2\); allowed: \(patterns, 3\)",
        ),
        (
            ("check", "xor", "--set", "network.sizes=[3, 4, 1]"),
            r"X has shape \(4, 2\); allowed: \(patterns, 3\)",
        ),
        (("run", "iris", "--set", "a.b=1"), "error: model = 'iris'"),
        (
            ("run", "wine", "--set", "network.sizes=[13, 4, 2]"),
            "holds label 2; allowed: whole numbers 0 to 1",
        ),
        (
            ("run", "xor", "--set", "data.name=nofile.csv"),
            "no data file 'nofile.csv'|no data file '.*/nofile.csv'",
        ),
        (("run", "xor", "--seed", "-1"), "seed = -1"),
        (
            ("run", "xor", "--backend", "cuda"),
            "backend = 'cuda'; allowed: auto, numpy, cython, standalone",
        ),
        (("run", "xor", "--set", "simulation.record=['y1']", *QUICK), "y1"),
        (
            ("run", "xor", "--set", "simulation.every=1.5 ms", *QUICK),
            "every = '1.5 ms'; allowed: a multiple of dt",
        ),
        (("run", "ring", "--set", "network.projections.1.gain=30", *RELAX), "contract"),
        (
            ("check", "ring", "--set", "network.projections.1.gain=30", "--backend", "numpy"),
            "contract",
        ),
        (("run",), "Missing argument"),
        (("walk",), "No such command"),
        (("plot", "no.nc"), "no.nc"),
        (("cache", "--clean"), "No such option.*--clear"),
    ],
)
def test_bad_input_ends_in_one_message(args: tuple[str, ...], message: str) -> None:
    import re

    found = refused(call(*args))
    assert re.search(message, found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,1\n3,nan,0\n3,4,1\n5,6,0", "holds nan at index (1, 1)"),
        ("1,2,1\n3,inf,0\n3,4,1\n5,6,0", "holds inf at index (1, 1)"),
        ("1,2,1\n3,four,0", "'four'; allowed: numbers"),
        ("1,2,3,1\n3,4,5,0\n1,1,1,1\n1,1,1,0", "X has shape (4, 3); allowed: (patterns, 2)"),
    ],
)
def test_bad_data(text: str, message: str) -> None:
    Path("d.csv").write_text(text)
    Path("m.toml").write_text(
        modelfile.dump(modelfile.load("xor", ["data={name='d.csv', test=0}"]))
    )
    assert message in refused(call("run", "m.toml", *QUICK))


@pytest.mark.parametrize(
    "content", [b"", b"CDF\x01 foreign", b"\x89HDF\r\n\x1a\n cut short", b"text"]
)
def test_foreign_result_files(content: bytes) -> None:
    Path("r.nc").write_bytes(content)
    assert "r.nc" in refused(call("plot", "r.nc"))


def test_a_folder_that_cannot_be_written_is_found_before_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Simulation, "train", lambda *_, **__: pytest.fail("the run had started"))
    Path("file").write_text("mine")
    message = refused(call("run", "xor", *QUICK, "--out", "file/below"))
    assert "cannot write into folder 'file/below'" in message
    assert "cannot write into folder 'file'" in refused(call("run", "xor", *QUICK, "--out", "file"))
    assert Path("file").read_text() == "mine"


def test_a_run_that_diverges_reports_when_where_and_what_to_try() -> None:
    short = ("--set", "simulation.duration=40 ms", "--set", "output.formats=['svg']")
    assert call("run", "ring", *RELAX[:2], *short).exit_code == 0
    before = {name: Path("runs/ring", name).read_bytes() for name in names("runs/ring")}
    message = refused(call("run", *DIVERGENT, "--out", "runs/ring"))
    assert "diverged at t = " in message
    assert "population" in message
    assert "try" in message
    for name, content in before.items():
        assert Path("runs/ring", name).read_bytes() == content, name
    assert names("runs/ring") - set(before) == {"diverged.nc"}
    assert isinstance(files.load("runs/ring/diverged.nc"), Run)


def test_a_full_disk_loses_nothing(monkeypatch: pytest.MonkeyPatch, trained: Path) -> None:
    shutil.copytree(trained, "runs/xor")
    before = {name: Path("runs/xor", name).read_bytes() for name in names(trained)}

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = refused(call("run", "xor", *ONE_PICTURE, "--seed", "5"))
    assert "the disk is full" in message
    assert {name: Path("runs/xor", name).read_bytes() for name in names("runs/xor")} == before


def test_what_was_written_before_the_disk_filled_up_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    assert "the disk is full" in refused(call("run", "xor", *QUICK))
    assert names("runs/xor") == TRAINED - FIGURES


def test_what_fits_is_kept_where_a_result_is_too_large(
    monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    """A limit on the size of files, between that of the log and that of its samples."""
    monkeypatch.setattr(logging, "raiseExceptions", False)  # the limit holds for log files, too
    recorded = [
        *NO_PICTURE,
        "--set",
        "simulation.record=['x', 'w']",
        "--set",
        "simulation.every=2 ms",
    ]
    assert call("run", "xor", *recorded, "--out", "large").exit_code == 0
    sizes = [Path(folder, "log.nc").stat().st_size for folder in (trained, "large")]
    assert sizes[1] > sizes[0] + 4000
    with limit_of_files(sizes[1] - 1):
        message = refused(call("run", "xor", *recorded))
    assert "log.nc cannot be written: File too large" in message
    assert "runs/xor/log.nc is without its traces" in message
    assert names("runs/xor") >= {"log.nc", "weights.npz", "model.toml"}
    log = files.load("runs/xor/log.nc")
    assert log.run.traces is None
    assert log.history.equals(files.load("large/log.nc").history)


def test_a_training_that_diverges_keeps_its_history() -> None:
    fast = ("--set", "flow.tau_w=0.1 ms", "--set", "train.reports=50")
    message = refused(call("run", "xor", *QUICK[:4], *fast, "--out", "o"))
    assert "diverged at" in message
    log = files.load("o/diverged.nc")
    assert log.history.loss.size
    assert log.interrupted


def test_a_training_goes_on_from_a_checkpoint() -> None:
    whole = call("run", "xor", *NO_PICTURE, "--out", "whole", "--checkpoint", "c.npz")
    assert whole.exit_code == 0, whole.output
    again = call("run", "xor", *NO_PICTURE, "--out", "again", "--resume", "c.npz")
    assert again.exit_code == 0, again.output
    found = [files.load(f"{folder}/log.nc") for folder in ("whole", "again")]
    assert found[0].history.identical(found[1].history)
    assert "does not exist" in refused(call("run", "xor", *QUICK, "--resume", "none.npz"))
    for option in ("checkpoint", "resume"):
        message = refused(call("run", "ring", *RELAX, f"--{option}", "c.npz"))
        assert f"{option} = 'c.npz', but model 'ring' has no [train] table" in message


def test_too_little_memory_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr(Simulation, "train", greedy)
    assert "not enough memory: Unable to allocate 1 TiB; try" in refused(call("run", "xor", *QUICK))


def test_warnings_are_one_line_and_no_error() -> None:
    result = call(
        "run",
        "ring",
        "--backend",
        "numpy",
        "--set",
        "simulation.dt=5 ms",
        "--set",
        "simulation.duration=10 ms",
    )
    assert result.exit_code == 0, result.output
    assert "warning: " in result.output
    assert "warnings.warn" not in result.output


# --- Ctrl-C
# ------------------------------------------------------------------------------------------------


def test_an_interrupted_run_is_written_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    train = Simulation.train

    def interrupted(*args: Any, **keys: Any) -> Log:
        log = train(*args, **keys)
        return Log(log.history, replace(log.run, interrupted=True))

    monkeypatch.setattr(Simulation, "train", interrupted)
    result = call("run", "xor", *NO_PICTURE)
    assert result.exit_code == 130
    assert names("runs/xor") == TRAINED - FIGURES
    assert "interrupted at 0.1 s of simulated time: results until then are in runs/xor" in words(
        result.output
    )


def test_ctrl_c_before_anything_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "train", stop)
    result = call("run", "xor", *QUICK)
    assert result.exit_code == 130
    assert "interrupted" in result.output
    assert "Traceback" not in result.output


# --- as processes of their own
# -----------------------------------------------------------------------------


def process(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from neurosim.cli import main; main()", *args]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_messages_go_to_stderr() -> None:
    started = process("run", "xro")
    out, err = started.communicate()
    assert started.returncode == 2
    assert out == ""
    assert err.startswith("error: model = 'xro'")
    assert "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_leaves_log_weights_and_figures() -> None:
    """Imports take their time: Ctrl-C comes later and later until it meets the run itself."""
    for wait in (5, 15, 45):
        started = process(
            "run",
            "xor",
            "--backend",
            "numpy",
            "--set",
            "train.duration=1e7 s",
            "--set",
            "simulation.every=100 s",
            "--set",
            "train.reports=1",
        )
        try:
            time.sleep(wait)
            os.killpg(started.pid, signal.SIGINT)
            out, err = started.communicate(timeout=60)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
        assert started.returncode == 130, err
        assert "Traceback" not in err
        if Path("runs/xor/log.nc").exists():
            break
    assert "interrupted at" in err
    assert names("runs/xor") == TRAINED
    log = files.load("runs/xor/log.nc")
    assert log.interrupted
    assert "loss" in out
