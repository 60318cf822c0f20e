"""Limit the size of files, as a full disk does."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@contextmanager
def limit_of_files(size: int) -> Iterator[None]:
    """Let no file grow beyond a number of bytes: the system refuses the write.

    Neither this process nor its children write bytecode meanwhile, since Python does not notice
    that such a file is cut off.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with patch.dict(os.environ, {NO_BYTECODE: "1"}), patch.object(sys, "dont_write_bytecode", True):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
