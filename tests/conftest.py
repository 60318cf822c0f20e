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
    is_compiled = case.get("backend") == COMPILED
    slow = False
    match test:
        case "test_shortcuts_change_nothing":
            # each schedule stays with one variant, each variant and method with one schedule
            kept = [
                ("simultaneous", "l2", "euler"),
                ("online", "l1", "euler"),
                ("batches", "sparse", "euler"),
                ("online, gated", "l2", "exponential_euler"),
                ("batches, gated", "sparse", "heun"),
            ]
            slow = is_compiled and (case["schedule"], case["variant"], case["method"]) not in kept
        case "test_fixed_steps_settle_too_and_only_when_asked":
            # a flow's gains are values of a program, not its structure
            slow = case["preset"] != "augmented" or (is_compiled and case["method"] != "euler")
        case "test_an_adaptive_run_settles_whatever_the_tolerance":
            slow = is_compiled and case["widths"] not in [(5, 4, 3), (2, 1)]
        case "test_adaptive_backends_agree" | "test_adaptive_steps_err_as_little_as_asked":
            slow = case["preset"] == "damped"
        case "test_a_training_on_disk_is_the_one_in_memory":
            slow = is_compiled and (case["chunk"] != 2500 or case["schedule"] != "online")
        case "test_a_relaxation_on_disk_is_the_one_in_memory":
            slow = is_compiled and case["own"] != {}
        case "test_float32_is_close_and_has_its_own_type":
            slow = is_compiled
        case "test_halving_the_step_shows_the_order":
            slow = is_compiled and case["method"] != "heun"
        case "test_compiled_backends_take_the_same_step":
            slow = not is_compiled  # Cython, whose modules take long to build
        case "test_the_text_of_the_built_in_rule_is_the_built_in_rule":
            slow = case["backend"] != "numpy" and (case["kind"], case["patterns"]) != ("skips", 6)
            slow = slow or case["backend"] == "cython"
        case "test_and_on_compiled_backends":
            slow = not (is_compiled and case["mixed"])
        case "test_all_three_flows_are_those_of_a_plain_loop":
            slow = is_compiled and case["count"] == 3
        case "test_messages_arrive_after_their_delay":
            slow = is_compiled and case["count"] == 1
        case "test_slow_digits_are_followed_for_few_operations":
            slow = case["seed"] > 0
        case "test_variables_are_recorded_under_their_old_names":
            slow = is_compiled
        case "test_a_stream_is_its_frames_one_after_the_other":
            slow = is_compiled and case["transport"] == "dense"
    return slow
