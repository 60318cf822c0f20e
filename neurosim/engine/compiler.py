"""The C++ compiler and the processor that programs are made by and for. Knows no Brian2."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from pathlib import Path


def compiler_command() -> str | None:
    """The C++ compiler that would be used, or None."""
    names = [os.environ.get("CXX"), "g++", "clang++", "c++"]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def processor() -> str:
    """-march=native makes a program one processor's."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return f"{platform.machine()} {platform.processor()} {sys.platform}"


def wide_vectors() -> list[str]:
    """The option by which loops are as wide as the processor: by itself GCC halves what AVX-512
    has.
    """
    return ["-mprefer-vector-width=512"] if "avx512f" in processor().split() else []
