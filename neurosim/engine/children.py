"""Start compilers so that they end with this process, whatever ends it.

Start at `Job`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import weakref
from pathlib import Path

# Runs a command and, beside it, a shell that waits on the pipe at its standard input. The pipe
# closes when its writer ends; that shell then kills the group: the command and all that it started.
SCRIPT = """
exec 3<&0
"$@" 3<&- </dev/null &
job=$!
{ read line <&3; kill -KILL 0; } >/dev/null 2>&1 &
watch=$!
wait $job
status=$?
kill $watch
exit $status
"""


class Job:
    """A command that runs, and is killed with all that it started when this process ends.

    Parameters
    ----------
    command : list of str
    folder : Path
        Folder in which it runs.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        shell = shutil.which("sh")
        if shell is not None:
            command = [shell, "-c", SCRIPT, "sh", *command]
        end, held = os.pipe()
        # closed once the command has ended, or is not waited for any more
        self._release = weakref.finalize(self, os.close, held)
        try:
            self._job = subprocess.Popen(
                command,
                cwd=folder,
                stdin=end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",  # a compiler writes in the language of the system
                start_new_session=True,
            )
        finally:
            os.close(end)

    def failure(self) -> str | None:
        """Wait for the command; return its messages if it failed."""
        try:
            messages = self._job.communicate()[1]
        finally:
            self._release()  # if this process was interrupted, the command ends, too
        return messages if self._job.returncode else None
