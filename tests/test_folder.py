"""The working folder may be a stranger's: its settings are not read, its modules not imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neurosim
from neurosim import folder_settings

PACKAGE = Path(neurosim.__file__).parent
PLANTED = "open({path!r}, 'w').close()"  # Python code that must not run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that libraries obey or import, and each of which leaves EXECUTED."""
    found = tmp_path / "stranger's"
    found.mkdir()
    code = PLANTED.format(path=str(tmp_path / "EXECUTED"))
    (found / "brian_preferences").write_text(
        f"codegen.target = {code} or 'numpy'\n[core]\ndefault_float_dtype = {code} or float32\n"
    )
    (found / "matplotlibrc").write_text(
        "lines.linewidth: 77\nbackend: module://planted\nfigure.figsize: 99, 99\n"
    )
    for name in ("planted", "pickle", "joblib", "numpy", "random", "runpy", "neurosim", "pylab"):
        (found / f"{name}.py").write_text(code)
    return found


def run(folder: Path, code: str) -> str:
    """Run a script from another folder, as the console script is, and return what it prints."""
    script = folder.parent / "script.py"
    script.write_text(code)
    path = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
    environment.pop("MPLBACKEND", None)
    done = subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not (folder.parent / "EXECUTED").exists()
    return done.stdout


def test_settings_of_the_folder_are_not_read(folder: Path) -> None:
    code = """
import builtins, os
functions = builtins.open, os.path.exists
import numpy as np
import neurosim as ns
sim = ns.Simulation(
    ns.Network.mlp([2, 3, 1], loss="mse"), ns.Flow.augmented(), backend="numpy"
)
run = sim.relax(np.ones((2, 2)), np.ones((2, 1)), duration=0.01)
ns.plot.summary(run)
import brian2, matplotlib
assert (builtins.open, os.path.exists) == functions
print(matplotlib.rcParams["lines.linewidth"], list(matplotlib.rcParams["figure.figsize"]))
print(brian2.prefs.codegen.target, brian2.prefs.core.default_float_dtype.__name__)
"""
    assert run(folder, code).splitlines() == ["1.5 [6.4, 4.8]", "auto float64"]


def test_pictures_are_drawn_without_the_folders_settings(folder: Path) -> None:
    """The first import of Matplotlib is that of the package `neurosim.plot`."""
    code = """
from neurosim.experiments.output import draw_without_display
draw_without_display()
import matplotlib
print(matplotlib.rcParams["lines.linewidth"])
"""
    assert run(folder, code) == "1.5\n"


def test_the_users_own_settings_are_read(folder: Path) -> None:
    (folder.parent / "mine").write_text("lines.linewidth: 3\n")
    mine = str(folder.parent / "mine")
    code = f"""
import os
os.environ["MATPLOTLIBRC"] = {mine!r}
import neurosim.plot, matplotlib
print(matplotlib.rcParams["lines.linewidth"])
"""
    assert run(folder, code) == "3.0\n"


def test_only_the_names_of_settings_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*folder_settings.SETTINGS, "data"):
        Path(name).write_text("text")
    with folder_settings.ignored():
        for name in folder_settings.SETTINGS:
            assert not os.path.exists(name)
            with pytest.raises(FileNotFoundError), open(name):
                pass
            assert os.path.exists(tmp_path / name)
        with open("data") as file:
            assert file.read() == "text"
    assert os.path.exists("matplotlibrc")


def test_workers_import_nothing_from_the_folder(folder: Path) -> None:
    code = """
import os
from neurosim.experiments.pool import Local
class Task:
    size = 1
    def work(self, report=None):
        import sys
        return [sys.path]
if __name__ == "__main__":
    import sys
    paths = [path for (path,) in Local(2).run([Task(), Task(), Task()])]
    print(len(paths), {os.getcwd(), ""} & set(sum(paths, [])), "PYTHONSAFEPATH" in os.environ)
    print(set(sys.path) <= set(paths[0]))
"""
    assert run(folder, code).splitlines() == ["3 set() False", "True"]


def test_matplotlib_is_imported_by_one_module_first() -> None:
    """Only what is loaded after `neurosim.plot.library` imports Matplotlib."""
    importing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.partition(".")[0] in ("matplotlib", "pylab") for name in names):
                importing.add(path.relative_to(PACKAGE).parent.as_posix())
    # experiments/output.py writes figures, which `plot` has drawn
    assert importing == {"plot", "experiments", "experiments/studies"}
    study = (PACKAGE / "experiments" / "studies" / "study.py").read_text(encoding="utf-8")
    assert "\nimport neurosim.plot.library" in study
