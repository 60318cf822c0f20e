"""Read binary data files, also gzip-compressed ones, without trusting the sizes that they state.

Only regular files are opened, and only as many bytes are unpacked as a caller asks for. Below the
readers of single formats. Start at `opened`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from neurosim.disk import check_readable
from neurosim.errors import FileError

MAX_NUMBERS = 200_000_000  # in one data set: 1.6 GB
MAX_BYTES = 8 * MAX_NUMBERS
PIECE = 1 << 20  # bytes that are read at once


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; one that ends in ``.gz`` is unpacked while it is read.

    Raises
    ------
    FileError
        The file is missing, empty, too large, or a pipe or device; what is read in the block is cut
        short or damaged.
    """
    check_readable(path)
    check_bytes(path, path.stat().st_size)
    try:
        with path.open("rb") as plain:
            if path.suffix.lower() == ".gz":
                with gzip.GzipFile(fileobj=plain) as unpacked:
                    yield unpacked  # type: ignore[misc]  # it reads bytes as a file does
            else:
                yield plain
    except FileError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(
            f"{named(path)} is cut short or damaged ({error}); try to copy it again"
        ) from error


def read_exactly(path: Path, stream: IO[bytes], size: int, what: str) -> bytes:
    """Read a number of bytes, a piece at a time, so that a false size allocates nothing.

    Raises
    ------
    FileError
        Fewer bytes are left; the message names the file and `what` they are.
    """
    pieces: list[bytes] = []
    missing = size
    while missing > 0:
        piece = stream.read(min(missing, PIECE))
        if not piece:
            raise FileError(
                f"{named(path)} ends after {size - missing} bytes of {what}; allowed: {size}; "
                "try to copy it again"
            )
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def check_end(path: Path, stream: IO[bytes], what: str) -> None:
    """Refuse bytes that follow the last one that a file's header announces."""
    if stream.read(1):
        raise FileError(
            f"{named(path)} goes on after its {what}; allowed: nothing behind them; "
            "try to copy it again"
        )


def check_bytes(path: Path, size: int) -> None:
    """Refuse a file that has, or says that it has, more bytes than a data set may have."""
    if size > MAX_BYTES:
        raise FileError(f"{named(path)} has {size} bytes; allowed: at most {MAX_BYTES}")


def named(path: Path) -> str:
    """Return the name of a file for error messages.

    Examples
    --------
    >>> named(Path("iris.csv"))
    "data file 'iris.csv'"
    """
    return f"data file {str(path)!r}"
