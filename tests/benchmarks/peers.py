"""Run other simulators, in separate interpreters on the same core. Start at `Peer`.

``NEUROSIM_PEER_PYTHON`` lists interpreters, separated as in PATH, which are tried before this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent


@lru_cache
def interpreter(*modules: str) -> str | None:
    """Return the first interpreter in which all modules are installed, or None."""
    given = os.environ.get("NEUROSIM_PEER_PYTHON", "").split(os.pathsep)
    ask = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {modules!r})))"
    pythons = [*filter(None, given), sys.executable]
    for python in pythons:
        if subprocess.run([python, "-c", ask], check=False).returncode == 0:
            return python
    return None


def missing(*modules: str) -> str:
    """Return a note on how to install the modules of a peer."""
    return f"not installed: pip install {' '.join(modules)}, or set NEUROSIM_PEER_PYTHON"


class Peer:
    """A program of this folder that answers each line of JSON with another.

    It waits between calls, so that it can take turns with neurosim on one core.

    Raises
    ------
    ModuleNotFoundError
        No interpreter has the modules.
    """

    def __init__(self, script: str, *arguments: str, modules: tuple[str, ...]) -> None:
        python = interpreter(*modules)
        if python is None:
            raise ModuleNotFoundError(missing(*modules))
        command = [python, str(HERE / script), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()  # the program ends with its input

    def __call__(self, function: str, **arguments: Any) -> Any:
        """Call a function of the program, and return its result.

        Raises
        ------
        RuntimeError
            The program has ended.
        """
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([function, arguments]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended during {function}({arguments})")
        return json.loads(answer)
