"""Where figures are from: date, version, commit and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from neurosim import __version__


def about() -> dict[str, str]:
    """Return date, version, commit and machine; a commit with changes on top ends in "-dirty"."""
    git = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
    ]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "commit": commit or "unknown",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }


def sentence(about: dict[str, str]) -> str:
    """Return the same as a sentence."""
    return (
        f"Measured on {about['date']}, version {about['version']}, commit {about['commit']}, "
        f"{about['machine']}, Python {about['python']}."
    )
