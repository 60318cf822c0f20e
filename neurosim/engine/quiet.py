"""Import Brian2 so that the process stays as it was, and the working folder has no say.

While it is imported, Brian2 takes over exceptions that nothing catches, warnings, Ctrl-C and the
end of logging, and copies the user's script into the temporary folder. A library must not do that:
here each is undone. It also evaluates a file of the working folder, which is not read here. Where
the user has imported Brian2 before, it stays as it set itself up.

Every module that imports Brian2 imports this one first, which `tests/engine/test_process.py` holds.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from neurosim import folder_settings

OF_BRIAN2 = r"(brian2|pyparsing|sympy|Cython|setuptools)(\.|$)"  # modules
OURS = "brian2" not in sys.modules  # whether neurosim, not the user, imports Brian2


def _imported() -> ModuleType:
    """Import Brian2, and undo what it changed outside of itself."""
    if not OURS:
        return import_module("brian2")
    hook, show = sys.excepthook, warnings.showwarning
    with _handlers_kept(), folder_settings.ignored(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user can do nothing about those of its own imports
        module = import_module("brian2")
        sys.excepthook = hook
        if warnings.showwarning is not show:
            logging.captureWarnings(False)
    logger = import_module("brian2.utils.logger")
    atexit.unregister(logger.clean_up_logging)  # it would shut down all logging of the process
    _free_logging(logger.BrianLogger)
    return module


@contextmanager
def own_deprecations_ignored() -> Iterator[None]:
    """Ignore what Brian2's own code is warned of by the packages it calls, as nobody else can act.

    Where the user turns warnings into errors, as test suites do, they would end the run.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=OF_BRIAN2)
        yield


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep Brian2 from setting a handler of Ctrl-C, which only the main thread could do."""
    set_handler = signal.signal

    def set_but_brian2s(number: Any, handler: Any) -> Any:
        if type(handler).__module__.partition(".")[0] == "brian2":
            return signal.getsignal(number)
        return set_handler(number, handler)

    signal.signal = set_but_brian2s  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = set_handler


def _free_logging(settings: Any) -> None:
    """Leave Brian2 its messages on the terminal; take warnings and files away from it.

    `settings` is Brian2's `BrianLogger`.
    """
    logging.getLogger("py.warnings").removeHandler(settings.console_handler)
    if settings.file_handler is not None:
        logging.getLogger("brian2").removeHandler(settings.file_handler)
        with suppress(OSError):  # the temporary folder is full
            settings.file_handler.close()
    for path in (settings.tmp_log, settings.tmp_script):
        if path is not None:
            with suppress(OSError):
                os.remove(path)
    settings.file_handler = settings.tmp_log = settings.tmp_script = None
    # so that objects that live until the process ends log nothing then
    weakref.finalize(settings, setattr, settings, "initialized", False)


def equations(text: str) -> Any:
    """Return equations as Brian2 reads them."""
    with own_deprecations_ignored():
        return brian2.Equations(text)


brian2 = _imported()
