"""Translation units of a program, made from the sources that Brian2 generates.

Below `brian`. Start at `stepped_unit`.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import neurosim.engine.quiet  # noqa: F401

from brian2 import prefs

from neurosim.engine.compiler import processor

INCLUDE = Path(__file__).parent / "include"
STEPS, ONCE = "steps.cpp", "once.cpp"  # translation units of a program
WHOLE = "whole.cpp"  # both as one
# headers included once, before the namespaces of the code objects
HEADERS = (
    "climits cmath iostream fstream ctime cstring algorithm cstdio cstdlib random vector map tuple "
    "set string fcntl.h sys/mman.h sys/stat.h unistd.h"
)
OWN_HEADERS = (
    "objects.h network.h brianlib/common_math.h brianlib/stdint_compat.h "
    "ns_kernels.h ns_shared.h ns_versions.h ns_events.h ns_noise.h ns_points.h ns_present.h "
    "ns_record.h ns_anderson.h"
)
RUN_ONCE = ("synapses_classes", "objects", "run", "main")  # sources that need no optimisation


def stepped_unit(device: Any) -> str:
    """Return the translation unit STEPS, of all code that runs at every step.

    Each code object is in a namespace of its own.
    """
    lines = [f"#include <{header}>" for header in HEADERS.split()]
    lines += [f'#include "{header}"' for header in OWN_HEADERS.split()]
    lines += [f"#include {header}" for header in prefs.codegen.cpp.headers]
    by_name = sorted(device.code_objects.values(), key=lambda code: str(code.name))
    for i, code in enumerate(by_name):
        blocks = [f"{block}_{code.name}" for block in code.before_after_blocks]
        functions = [f"_run_{code.name}", *(f"_{block}" for block in blocks)]
        for j, (part, function) in enumerate(zip([code.name, *blocks], functions, strict=True)):
            lines.append(f"namespace unit_{i}_{j} {{")
            lines.append(f'#include "code_objects/{part}.cpp"')
            lines.append("}")
            lines.append(f"void {function}() {{ unit_{i}_{j}::{function}(); }}")
    return "\n".join([*lines, '#include "network.cpp"', ""])


def unit_run_once(directory: Path) -> str:
    """Return the translation unit ONCE, of all other sources."""
    sources = [f"{name}.cpp" for name in RUN_ONCE]
    if (directory / "brianlib" / "spikequeue.cpp").exists():
        sources.insert(0, "brianlib/spikequeue.cpp")
    return "".join(f'#include "{source}"\n' for source in sources)


def fingerprint(directory: Path, compiler: list[str], command: list[str]) -> str:
    """Return 24 hex digits of a hash of sources, compiler version, flags and processor.

    `compiler` is the beginning of `command`: with ``ccache g++``, g++ has the version that counts.
    """
    digest = hashlib.sha256()
    for root in (directory, INCLUDE):
        sources = [path for path in root.rglob("*") if path.suffix in (".cpp", ".h")]
        for path in sorted(sources):
            digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    digest.update(version + " ".join(command).encode() + processor().encode())
    return digest.hexdigest()[:24]
