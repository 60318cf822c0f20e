"""Keep the modules that Brian2 compiles for ``backend="cython"`` in the user's private cache.

Brian2 loads whatever module lies in its own cache folder, and Cython looks for declarations, which
may contain C, in the working folder first. Here the folder is private, each module is sealed and
checked before it is loaded, and declarations come from the installed packages alone. Start at
`kept_modules`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import neurosim.engine.quiet  # noqa: F401

import numpy as np
from brian2 import prefs
from brian2.codegen.runtime.cython_rt import extension_manager
from Cython.Compiler.Main import standard_include_path

from neurosim.keeping import (
    MODULES,
    cache_directory,
    is_own,
    read_own,
    read_sealed,
    remove,
    seal_of,
    write_sealed,
)

PREFERENCE = "codegen.runtime.cython.cache_dir"
# where the declarations of NumPy and of the C library are: before the working folder
DECLARATIONS = [str(Path(np.__file__).parents[1]), standard_include_path]


@contextmanager
def kept_modules() -> Iterator[None]:
    """Let Brian2 compile and load modules in the private cache in this block."""
    manager, cython = extension_manager.CythonExtensionManager, extension_manager.Cython_Build
    load, kept = manager._load_module, prefs[PREFERENCE]

    def load_intact(self: Any, module_path: str, *args: Any, **kwds: Any) -> Any:
        path = Path(module_path)
        intact = _digest(path) is not None and read_sealed(seal_of(path)) == _digest(path)
        if not intact:
            remove(path)
        module = load(self, module_path, *args, **kwds)
        if not intact:
            path.chmod(0o700)
            write_sealed(seal_of(path), _digest(path) or b"")
        return module

    prefs[PREFERENCE] = str(_folder())
    manager._load_module = load_intact
    extension_manager.Cython_Build = SimpleNamespace(
        cythonize=partial(cython.cythonize, include_path=DECLARATIONS)
    )
    try:
        yield
    finally:
        prefs[PREFERENCE] = kept
        manager._load_module, extension_manager.Cython_Build = load, cython


def _folder() -> Path:
    """Return the folder of modules; one that may be another user's is made anew."""
    folder = cache_directory() / MODULES
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or not is_own(folder.stat()):
        remove(folder)
        folder.mkdir(mode=0o700)
    return folder


def _digest(module: Path) -> bytes | None:
    """Return a digest of a module; None if it is missing or not this user's alone."""
    content = read_own(module)
    return None if content is None else hashlib.sha256(content).hexdigest().encode()
