"""Odd values of every argument of every public function: how many calls, and how many faults."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from tests.helpers import odd_arguments as odd

KINDS = (odd.plots, odd.functions, odd.methods, odd.classes)


def of_all() -> str:
    """Try every odd value of every argument; list the faults."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    calls, functions, faults = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        for entries in KINDS:
            for entry in entries():
                functions += 1
                for parameter, value in odd.cases(entry):
                    calls += 1
                    faults.append(odd.trial(entry, parameter, value))
                    plt.close("all")
        os.chdir(before)
    found = [fault for fault in faults if fault]
    return "\n".join([f"{calls} calls of {functions} functions, {len(found)} faults", *found])


ROWS: dict[str, Callable[[], str]] = {"odd arguments": of_all}
