"""A precompiled header of the C++ library, from which unoptimised programs compile faster.

Parsing the library takes half of the time of such a build. GCC ignores the precompiled header where
it does not fit the flags, and reads the same text instead. Start at `compiler_with_header`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from pathlib import Path

from neurosim.engine.compiler import compiler_command

# Brian2's and neurosim's, in the order of the compiler's command line
FLAGS = "-w -O3 -ffast-math -fno-finite-math-only -march=native -std=c++11 -O0"
MACROS = "-D__FAST_MATH__=1 -DNS_BLAS=1"
HEADERS = (
    *("algorithm", "chrono", "climits", "cmath", "csignal", "cstdio", "cstdlib", "cstring"),
    *("ctime", "fstream", "iostream", "limits", "map", "memory", "random", "set", "string"),
    *("thread", "tuple", "vector"),
)


def compiler_with_header(folder: Path) -> str | None:
    """Return a value of $CXX: the compiler, and a header that is precompiled in a folder.

    Returns
    -------
    str or None
        None without GCC, or where it fails.
    """
    command = compiler_command()
    if command is None or "g++" not in Path(command[-1]).name:
        return None
    version = subprocess.run([*command, "--version"], capture_output=True, check=False).stdout
    text = "".join(f"#include <{name}>\n" for name in HEADERS)
    digest = hashlib.sha256(version + f"{command}{FLAGS}{MACROS}{text}".encode()).hexdigest()
    header = folder / f"library_{digest[:12]}.h"
    made = header.with_suffix(".h.gch")
    if not made.exists():
        header.write_text(text)
        own = header.with_suffix(f".{os.getpid()}")
        build = [*command, *MACROS.split(), *FLAGS.split(), "-x", "c++-header", str(header)]
        if subprocess.run([*build, "-o", str(own)], capture_output=True, check=False).returncode:
            return None
        own.replace(made)
    return shlex.join([*command, "-include", str(header)])
