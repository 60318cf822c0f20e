"""Planted code: what a stranger's model, file or cache could hold that must never be executed.

Each case is opened as a user would, in a folder of its own. It ends in success or in neurosim's own
error, nothing is executed, and nothing is written outside. Start at `all_cases` and `tried`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import neurosim as ns
from neurosim import keeping
from neurosim.data import datasets
from neurosim.engine import cache
from neurosim.experiments import modelfile, output, sweep_store
from neurosim.results.recording import load_run, read_traces

MARK = "EXECUTED"
TEXTS = (
    f"__import__('os').system('touch {MARK}')",
    f"open('{MARK}', 'w')",
    "{{ 7*7 }}",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {MARK}') }}}}",
    "{% for x in () %}",
    f'x); system("touch {MARK}"); //',
    f'"; system("touch {MARK}"); "',
    f"$(touch {MARK})",
    f"; touch {MARK} #",
    f"module://{MARK}",
    "file",
    "allow_pickle",
    "self",
    f"../{MARK}",
    "{0.__class__.__mro__}",
    "x\n#include <stdlib.h>",
)
MODEL: dict[str, dict[str, Any]] = {
    "network": {"sizes": [2, 2, 1], "activation": "tanh", "output": "linear", "loss": "mse"},
    "flow": {"preset": "augmented", "rho": 1, "tau_x": "10 ms"},
    "simulation": {"dt": "1 ms", "backend": "numpy", "record": ["x"], "every": "1 ms"},
    "data": {"name": "xor"},
    "train": {"schedule": "simultaneous", "duration": "3 ms"},
}
GRAPH = """
[network]
populations = [
  {{name = "input", size = 2, clamped = true}},
  {{name = {0}, size = 2, activation = {1}}},
  {{name = "output", size = 1}},
]
projections = [{{pre = "input", post = {0}}}, {{pre = {0}, post = "output"}}]
losses = [{{population = "output", kind = "mse"}}]
[flow]
preset = "augmented"
[simulation]
dt = "1 ms"
backend = "numpy"
[data]
name = "xor"
[train]
schedule = "simultaneous"
duration = "3 ms"
"""
KEY = "0123456789abcdef01234567"


@dataclass(frozen=True)
class Case:
    """One attempt: its name, and the action, which receives an empty folder."""

    name: str
    action: Callable[[Path], object]
    named: tuple[str, ...] = ("",)  # one of these is in the message of a refusal


class Bomb:
    """Unpickling creates the mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (MARK, "w")


def tried(case: Case, root: Path) -> str:
    """Try a case in a new folder below `root`; return "accepted" or the message of its refusal.

    Raises
    ------
    AssertionError
        Something was executed, or written outside of the folder, or the error is not neurosim's.
    """
    folder = root / "folder"
    folder.mkdir(parents=True)
    before, outside = os.getcwd(), {path.name for path in root.parent.iterdir()}
    os.chdir(folder)
    answer = "accepted"
    try:
        case.action(folder)
    except ns.NeurosimError as error:
        answer = str(error)
    except Exception as error:
        raise AssertionError(f"{case.name}: {type(error).__name__}: {error}") from error
    finally:
        os.chdir(before)
    if answer != "accepted":
        assert any(name in answer for name in case.named), f"{case.name}: {answer}"
    assert not list(root.rglob(MARK)), f"{case.name} was executed"
    assert {path.name for path in root.iterdir()} == {"folder"}, f"{case.name} wrote outside"
    assert {path.name for path in root.parent.iterdir()} == outside, f"{case.name} wrote outside"
    shutil.rmtree(root)
    return answer


# Texts in model files


def model_text(changes: dict[tuple[str, str], Any]) -> str:
    """Return the text of `MODEL` with some values replaced."""
    lines = []
    for table, keys in MODEL.items():
        lines.append(f"[{table}]")
        replaced = {key: value for (of, key), value in changes.items() if of == table}
        lines += [f"{json.dumps(key)} = {json.dumps(v)}" for key, v in (keys | replaced).items()]
    return "\n".join(lines) + "\n"


def run_model(text: str, folder: Path, overrides: tuple[str, ...] = ()) -> None:
    """Run a model and write its results, as the command line does."""
    spec = modelfile.loads(text, folder=folder, overrides=overrides)
    data, simulation = spec.data(), spec.simulation()
    result = spec.run(simulation, data)
    if spec.tables.output.folder is not None:
        output.write_run(spec, simulation, result, output.writable(Path(spec.tables.output.folder)))


def _texts() -> list[Case]:
    cases = []
    for text in TEXTS:
        quoted = json.dumps(text)
        graphs = {"name": (quoted, '"tanh"'), "activation": ('"h"', quoted)}
        for what, parts in graphs.items():
            cases.append(
                _model(f"a {what} of a population {text!r}", GRAPH.format(*parts), what, "name")
            )
        for table, keys in MODEL.items():
            for key in keys:
                changed = model_text({(table, key): text})
                cases.append(
                    _model(f"{table}.{key} = {text!r}", changed, f"{table}.{key}", repr(text))
                )
            cases.append(
                _model(f"{table} has the key {text!r}", model_text({(table, text): 1}), repr(text))
            )
        cases.append(
            Case(
                f"--set network.activation={text!r}",
                lambda folder, text=text: run_model(
                    model_text({}), folder, (f"network.activation={text}",)
                ),
                ("activation",),
            )
        )
    return cases


def _model(name: str, text: str, *named: str) -> Case:
    return Case(name, lambda folder: run_model(text, folder), named or ("",))


# Paths

# A path in a model file, and the links that a stranger has left, {place: target}
LINKS: tuple[tuple[str, dict[str, str]], ...] = (
    ("link", {"link": "../x"}),
    ("link/x", {"link": ".."}),
    ("link/x", {"link": "{outside}"}),
    ("link/x/y", {"link": "/proc/self/cwd/.."}),
    ("a/link/x", {"a/link": "../.."}),
    ("one/x", {"one": "two", "two": ".."}),
    ("one/two/x", {"one": "a", "a/two": "../.."}),
)


def _linked(key: str, path: str, links: dict[str, str], named: str = "") -> Case:
    """Return a case of a path that leads outside through links; its folders are there."""

    def action(folder: Path) -> None:
        for place, target in links.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).symlink_to(target.format(outside=folder.parent))
        text = model_text({}) + '[output]\nfolder = "runs"'
        run_model(text, folder, (f"{key}={json.dumps(path)}",))

    return Case(f"{key} = {path!r} with links {links}", action, (named or key,))


def _paths() -> list[Case]:
    def absolute(folder: Path) -> None:
        run_model(
            model_text({}) + f"[output]\nfolder = {json.dumps(str(folder.parent / 'x'))}", folder
        )

    cases = [Case("output: absolute", absolute)]
    for key in ("output.folder", "simulation.stream"):
        for path, links in LINKS:
            cases.append(_linked(key, path, links))
    for name in ("run.nc", "weights.npz", "model.toml", "summary.png", "deep/er"):
        cases.append(
            _linked("output.folder", "runs", {f"runs/{name}": "{outside}/x"}, "symbolic link")
        )
    for path in ("../x", "a/../../x", "./../x", "a/b/../../../x"):
        cases.append(_model(f"output: {path}", model_text({}) + f'[output]\nfolder = "{path}"'))
    return cases


# Files


def _file_contents() -> dict[str, bytes]:
    """Return contents that execute code where they are unpickled."""
    objects = np.empty(1, dtype=object)
    objects[0] = Bomb()
    bare, archive = io.BytesIO(), io.BytesIO()
    np.save(bare, objects, allow_pickle=True)
    np.savez(archive, **{"X": objects, "y": objects, "input->hidden1": objects})
    renamed = io.BytesIO()
    with zipfile.ZipFile(renamed, "w") as file:
        file.writestr(f"../{MARK}.npy", bare.getvalue())
        file.writestr(f"/tmp/{MARK}.npy", bare.getvalue())
    hdf5 = io.BytesIO()
    with h5py.File(hdf5, "w") as file:
        file.attrs["neurosim"] = "run"
        file["linked"] = h5py.ExternalLink(f"../{MARK}", "/")
        file.create_dataset("objects", data=np.array([pickle.dumps(Bomb())], dtype="S100"))
    return {
        "a pickle": pickle.dumps(Bomb()),
        "an array of objects": bare.getvalue(),
        "an archive of objects": archive.getvalue(),
        "an archive of paths": renamed.getvalue(),
        "a file of links": hdf5.getvalue(),
        "a template": TEXTS[3].encode(),
        "a program": f"#!/bin/sh\ntouch {MARK}\n".encode(),
        "text": f"{TEXTS[0]},1\n{TEXTS[1]},2\n".encode(),
    }


def _network() -> ns.Network:
    return ns.Network.mlp([2, 2, 1], loss="mse")


def _resume(path: Path) -> None:
    sim = ns.Simulation(_network(), ns.Flow.augmented(), backend="numpy", dt=1e-3)
    schedule = ns.Simultaneous(duration=3e-3)
    sim.train(np.ones((2, 2)), np.ones((2, 1)), schedule, resume=path)


def _load_weights(path: Path) -> None:
    ns.Simulation(_network(), ns.Flow.augmented(), backend="numpy").load_weights(path)


READERS: dict[str, Callable[[Path], object]] = {
    "run.nc": ns.load,
    "data.npz": datasets.load,
    "data.npy": datasets.load,
    "data.csv": datasets.load,
    "data.ts": datasets.load,
    "data.bin": datasets.load,
    "data.pkl": datasets.load,
    "data.parquet": datasets.load,
    "train-images-idx3-ubyte": datasets.load,
    "data.mat": datasets.lpgnn,
    "weights.npz": _load_weights,
    "checkpoint.npz": _resume,
    "model.toml": modelfile.load,
    "sweep.zarr": sweep_store.read,
    "traces.zarr": read_traces,
    "stored.zarr": load_run,
}


def _files() -> list[Case]:
    cases = []
    for what, content in _file_contents().items():
        for name, read in READERS.items():

            def action(
                folder: Path, content: bytes = content, name: str = name, read: Any = read
            ) -> None:
                (folder / name).write_bytes(content)
                read(folder / name)

            cases.append(Case(f"{name} is {what}", action))
    return cases


# Caches


def _foreign_note(content: bytes, folder: Path) -> None:
    (keeping.cache_directory() / f"{KEY}.note").write_bytes(content)
    assert cache.recall(KEY) is None


def _foreign_program(seal: bytes, folder: Path) -> None:
    entry = keeping.cache_directory() / f"{KEY}.program"
    entry.mkdir(mode=0o700)
    program = entry / "program"
    program.write_bytes(f"#!/bin/sh\ntouch {MARK}\n".encode())
    program.chmod(0o700)
    (entry / keeping.SEAL).write_bytes(seal)
    assert not cache.take(KEY, folder / "program")
    shutil.rmtree(entry)


def _foreign_data(content: bytes, folder: Path) -> None:
    datasets.load("iris")
    (path,) = keeping.cache_directory().glob("iris-*.npz")
    path.write_bytes(content)
    datasets.load("iris")
    assert path.read_bytes() != content


def _caches() -> list[Case]:
    cases = []
    plain = {"format": 1, "program": KEY, "about": json.dumps({"arrays": {}, "kinds": {}})}
    forged = json.dumps(plain).encode()
    contents = _file_contents() | {
        "unsealed": forged,
        "sealed by its content alone": hashlib.sha256(forged).hexdigest().encode() + b"\n" + forged,
    }
    actions = {"note": _foreign_note, "program": _foreign_program, "data set": _foreign_data}
    for kind, action in actions.items():
        for what, content in contents.items():
            cases.append(
                Case(
                    f"a kept {kind}: {what}",
                    lambda folder, action=action, content=content: action(content, folder),
                )
            )
    return cases


def all_cases() -> list[Case]:
    """Return all cases, in a fixed order."""
    return [*_texts(), *_paths(), *_files(), *_caches()]
