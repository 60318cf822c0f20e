"""Digits 64-32-10 to 95 % test accuracy: a whole process, programs cached, against peers."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.data import datasets
from tests.benchmarks.peers import HERE, interpreter, missing
from tests.benchmarks.processes import finished, python
from tests.benchmarks.timing import Row, Setting, in_turns

LEAST = 0.95
PEERS = {
    "JAX, backpropagation": ("digits_jax.py", ("jax", "optax"), ""),
    "PCX": ("digits_pcx.py", ("pcx",), "< 1"),
    "jpc": ("digits_jpc.py", ("jpc",), "< 1"),
}


def measure(setting: Setting) -> Iterator[Row]:
    """Time neurosim beside each peer that is installed.

    jpc: ``pip install git+https://github.com/thebuckleylab/jpc@1acae75 jax==0.6.0``. Later commits
    rename its updates, and later versions of jax lack a module that it imports.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npz"
        data = datasets.load("digits", test=0.2)
        assert data.validation
        X, Y = data.validation
        np.savez(path, X=data.X, Y=data.Y, X_test=X, Y_test=Y)
        commands = {
            "neurosim": python("digits_neurosim.py", path),
            "import brian2": [python("")[0], "-c", "import brian2"],
        }
        for name, (script, modules, _) in PEERS.items():
            found = interpreter(*modules)
            if found is None:
                yield Row("all of it", (), name, note=missing(*modules))
            else:
                commands[name] = [found, str(HERE / script), str(path)]
        said: dict[str, Any] = {}

        def whole(name: str) -> float:
            done = finished(commands[name])
            if name != "import brian2":
                said[name] = json.loads(done.said.splitlines()[-1])
                if said[name]["accuracy"] < LEAST:
                    raise AssertionError(f"{name}: {said[name]}")
            return done.seconds

        whole("neurosim")  # compiles
        contenders = {name: partial(whole, name) for name in commands}
        samples = in_turns(contenders, setting.repeat)
    parts = ", ".join(f"{part} {value:.3g}" for part, value in said["neurosim"].items())
    what = "whole process to 95 %"
    for name in commands:
        if name == "neurosim":
            continue
        _, _, target = PEERS.get(name, ("", (), ""))
        note = f"the last one of ours, in s: {parts}"
        if name in said:
            note += f"; its accuracy {said[name]['accuracy']:.3f}"
        yield Row(what, samples["neurosim"], name, samples[name], target, note)
