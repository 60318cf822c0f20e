"""The C++ compiler, its optimisation, and the processor that programs are made for.

Brian2 is not imported.

``NEUROSIM_OPTIMIZE`` sets the optimisation level: "0", "1", "2" or "3", as in the compiler's
``-O``. If it is not set, Brian2's flags apply, which contain ``-O3``. A low level compiles faster
and runs slower, which suits tests of small networks. Programs of different levels are kept apart.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from neurosim.errors import BackendError, out_of_range

COMPILERS = ("g++", "clang++", "c++")
OPTIMIZE = "NEUROSIM_OPTIMIZE"
LEVELS = ("0", "1", "2", "3")


def compiler_command() -> list[str] | None:
    """Return the C++ compiler's command: $CXX, else the first compiler found, else None.

    $CXX may have options, and a program before the compiler: ``ccache g++ -m64``.

    Raises
    ------
    BackendError
        $CXX does not begin with a program that can be run.
    """
    given = os.environ.get("CXX", "").strip()
    if not given:
        found = (shutil.which(name) for name in COMPILERS)
        return next(([os.path.abspath(path)] for path in found if path), None)
    try:
        words = shlex.split(given)
    except ValueError:  # a quotation mark that is not closed
        words = [given]
    path = shutil.which(words[0])
    if path is None:
        raise BackendError(
            f"CXX = {given!r}, and {words[0]!r} is not a program that can be run; allowed: a C++ "
            "compiler and its options; try CXX=g++, to unset it, or backend='numpy'"
        )
    return [os.path.abspath(path), *words[1:]]


def optimisation() -> list[str]:
    """Return the compiler flag for $NEUROSIM_OPTIMIZE; an empty list if that is not set.

    Raises
    ------
    ModelError
        The variable is not one of `LEVELS`.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, NEUROSIM_OPTIMIZE="1"):
    ...     optimisation()
    ['-O1']
    >>> with patch.dict(os.environ, NEUROSIM_OPTIMIZE=""):
    ...     optimisation()
    []
    """
    level = os.environ.get(OPTIMIZE, "").strip()
    if not level:
        return []
    if level not in LEVELS:
        raise out_of_range(OPTIMIZE, level, ", ".join(LEVELS), "'1' for tests, or unset it")
    return [f"-O{level}"]


def processor() -> str:
    """Describe the processor; with -march=native a program runs only on one like it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return f"{platform.machine()} {platform.processor()} {sys.platform}"


def wide_vectors() -> list[str]:
    """Return the flag for vectors of 512 bits where the processor has them; GCC prefers 256."""
    return ["-mprefer-vector-width=512"] if "avx512f" in processor().split() else []


def parallel_loops(threads: int) -> list[str]:
    """Return the flags for loops on several threads; none for one, or where OpenMP is missing."""
    if threads == 1:
        return []
    return list(_openmp(tuple(compiler_command() or [])))


@lru_cache(maxsize=8)
def _openmp(command: Sequence[str]) -> tuple[str, ...]:
    """Return the flag of OpenMP if a compiler accepts it."""
    flag = "-fopenmp"
    tried = [*command, flag, "-E", "-x", "c++", os.devnull]
    done = subprocess.run(tried, capture_output=True, check=False) if command else None
    return (flag,) if done is not None and done.returncode == 0 else ()
