"""Set the environment before NumPy is imported, and mark the cases that only cost time.

Workers share the cores, so each calls BLAS on one thread. Programs are compiled without
optimisation, which takes less time; `test_backends` compiles them as users do.

A case is slow where a quicker one of the same test, named in `is_slow`, makes the same claim about
the same code. The integration runs them all.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NEUROSIM_OPTIMIZE", "0")

COMPILED = "standalone"

# A shell starts what it runs in the background with signals ignored, and children inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow cases of parametrised tests."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and is_slow(getattr(item, "originalname", ""), callspec.params):
            item.add_marker(pytest.mark.slow)


def is_slow(test: str, case: dict[str, Any]) -> bool:
    """Return whether another case of the test covers this one at less cost."""
    if test in SLOW and SLOW[test](case):
        return True
    return case.get("backend") == COMPILED and test in SLOW_COMPILED and SLOW_COMPILED[test](case)


def _shortcuts(case: dict[str, Any]) -> bool:
    """Keep each schedule with one variant, each variant and method with one schedule."""
    kept = [
        ("simultaneous", "l2", "euler"),
        ("online", "l1", "euler"),
        ("batches", "sparse", "euler"),
        ("online, gated", "l2", "exponential_euler"),
        ("batches, gated", "sparse", "heun"),
    ]
    return (case["schedule"], case["variant"], case["method"]) not in kept


SLOW: dict[str, Callable[[dict[str, Any]], bool]] = {
    # a flow's gains are values of a program, not its structure
    "test_fixed_steps_settle_too_and_only_when_asked": lambda c: c["preset"] != "augmented",
    "test_adaptive_backends_agree": lambda c: c["preset"] == "damped",
    "test_adaptive_steps_err_as_little_as_asked": lambda c: c["preset"] == "damped",
    "test_slow_digits_are_followed_for_few_operations": lambda c: c["seed"] > 0,
    # Cython's modules take long to build
    "test_compiled_backends_take_the_same_step": lambda c: c["backend"] == "cython",
    "test_and_on_compiled_backends": lambda c: c["backend"] == "cython" or not c["mixed"],
    "test_the_text_of_the_built_in_rule_is_the_built_in_rule": lambda c: c["backend"] == "cython",
}
# of compiled programs
SLOW_COMPILED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "test_shortcuts_change_nothing": _shortcuts,
    "test_fixed_steps_settle_too_and_only_when_asked": lambda c: c["method"] != "euler",
    "test_an_adaptive_run_settles_whatever_the_tolerance": lambda c: (
        c["widths"] not in [(5, 4, 3), (2, 1)]
    ),
    "test_a_training_on_disk_is_the_one_in_memory": lambda c: (
        (c["chunk"], c["schedule"]) != (2500, "online")  # cuts the recording often
    ),
    "test_a_relaxation_on_disk_is_the_one_in_memory": lambda c: c["own"] != {},
    "test_float32_is_close_and_has_its_own_type": lambda _: True,
    "test_halving_the_step_shows_the_order": lambda c: c["method"] != "heun",
    "test_the_text_of_the_built_in_rule_is_the_built_in_rule": lambda c: (
        (c["kind"], c["patterns"]) != ("skips", 6)
    ),
    "test_all_three_flows_are_those_of_a_plain_loop": lambda c: c["count"] == 3,
    "test_messages_arrive_after_their_delay": lambda c: c["count"] == 1,
    "test_variables_are_recorded_under_their_old_names": lambda _: True,
    "test_a_stream_is_its_frames_one_after_the_other": lambda c: c["transport"] == "dense",
}
