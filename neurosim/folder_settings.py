"""Keep libraries from reading settings out of the working folder while they are imported.

Brian2 evaluates `./brian_preferences`, and Matplotlib obeys `./matplotlibrc`. A model may be run in
a folder that somebody else has filled, so these files count as missing. The user's own settings, in
the home folder or in environment variables, are read.
"""

from __future__ import annotations

import builtins
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SETTINGS = ("brian_preferences", "matplotlibrc")  # relative paths, as the libraries spell them

_lock = threading.RLock()  # two imports at once would restore each other's functions


@contextmanager
def ignored() -> Iterator[None]:
    """Let the settings in the working folder be missing in this block; nothing else changes."""
    with _lock:
        open_file, exists = builtins.open, os.path.exists

        def open_unless_settings(file: Any, *args: Any, **kwds: Any) -> Any:
            if file in SETTINGS:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), file)
            return open_file(file, *args, **kwds)

        def exists_unless_settings(path: Any) -> bool:
            return path not in SETTINGS and exists(path)

        builtins.open, os.path.exists = open_unless_settings, exists_unless_settings
        try:
            yield
        finally:
            builtins.open, os.path.exists = open_file, exists
