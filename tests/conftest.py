"""Set the environment before NumPy is imported, and mark the cases that only cost time.

Workers share the cores, so each calls BLAS on one thread. Programs are compiled without
optimisation and from a precompiled header, which takes less time; `test_backends` compiles them as
users do.

A case is slow where a quicker one of the same test makes the same claim about the same code
(`is_slow`), or the same statements are compiled by Cython. ``-m slow`` runs them all. The
integration runs one of each test, ``-m slow --slow-sample 0``.
"""

from __future__ import annotations

import math
import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NEUROSIM_OPTIMIZE", "0")

COMPILED = "standalone"
CYTHON = "cython"  # compiles every expression as a module, some seconds each

# A shell starts what it runs in the background with signals ignored, and children inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that thins the slow tests."""
    parser.addoption(
        "--slow-sample",
        type=int,
        metavar="SEED",
        help="run one slow case per test, and one by Cython per file, drawn with this seed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the workers, which inherit the environment, compile from the precompiled header."""
    from tests.helpers.precompiled import compiler_with_header

    is_worker = hasattr(config, "workerinput")
    cache = getattr(config, "cache", None)  # None with -p no:cacheprovider
    if not is_worker and cache is not None:
        compiler = compiler_with_header(cache.mkdir("precompiled"))
        if compiler is not None:
            os.environ["CXX"] = compiler


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow cases of parametrised tests, and draw from them."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and is_slow(getattr(item, "originalname", ""), callspec.params):
            item.add_marker(pytest.mark.slow)
    seed = config.getoption("--slow-sample", default=None)
    if seed is not None:
        kept = sampled(items, seed)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def sampled(items: list[pytest.Item], seed: int) -> set[pytest.Item]:
    """Return the items that are not slow, one slow case per test, and one by Cython per file."""
    cases: dict[str, list[pytest.Item]] = {}
    kept = set()
    for item in items:
        if item.get_closest_marker("slow") is None:
            kept.add(item)
            continue
        callspec = getattr(item, "callspec", None)
        place = item.nodeid.partition("[")[0]
        if callspec is not None and by_cython(callspec.params):
            place = f"{CYTHON} {place.partition('::')[0]}"
        cases.setdefault(place, []).append(item)
    for place, own in cases.items():
        kept.add(random.Random(f"{seed} {place}").choice(own))
    return kept


def by_cython(case: dict[str, Any]) -> bool:
    """Return whether a case runs on Brian2's Cython backend."""
    return CYTHON in [value for value in case.values() if isinstance(value, str)]


def is_slow(test: str, case: dict[str, Any]) -> bool:
    """Return whether another case of the test covers this one at less cost."""
    if by_cython(case) or (test in SLOW and SLOW[test](case)):
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


def _tolerances(case: dict[str, Any]) -> bool:
    """Keep each tolerance with each size, and one flow for both, in turns."""
    flows = ("augmented", "damped", "adjoint")
    turn = len(case["widths"]) + round(-math.log10(case["tolerance"]))
    return case["preset"] != flows[turn % 3]


def _far_weights(case: dict[str, Any]) -> bool:
    """Keep presentations with a penalty, and with shortcuts."""
    return not (case["l2"] or case["shortcuts"])


def _written_out(case: dict[str, Any]) -> bool:
    """Keep a method of one stage and one of two."""
    return case["method"] not in ("euler", "heun")


def _numbers_of_rows(case: dict[str, Any]) -> bool:
    """Keep every feedback with plain messages, and those that learn it with all others."""
    learns = case["feedback"] == "kolen_pollack"
    has_penalty = "imperfections" in case["options"] and case["feedback"] == "symmetric"
    return bool(case["options"]) and not (learns or has_penalty)


SLOW: dict[str, Callable[[dict[str, Any]], bool]] = {
    # a flow's gains are values of a program, not its structure
    "test_fixed_steps_settle_too_and_only_when_asked": lambda c: c["preset"] != "augmented",
    "test_adaptive_backends_agree": lambda c: c["preset"] == "damped" or c["seed"] > 0,
    "test_adaptive_steps_err_as_little_as_asked": lambda c: c["preset"] == "damped",
    "test_an_adaptive_run_settles_whatever_the_tolerance": _tolerances,
    # each value of each argument is in a case that is kept
    "test_shortcuts_change_nothing": _shortcuts,
    "test_changes_of_far_weights_may_wait": _far_weights,
    "test_the_same_numbers_on_every_backend": lambda c: (
        (c["batch"], c["method"]) not in [(1, "semi_implicit"), (None, "euler")]
    ),
    "test_weights_are_numbers_of_rows_whatever_messages_are": _numbers_of_rows,
    # more draws of the same; the evidence commands have fresh ones
    "test_slow_digits_are_followed_for_few_operations": lambda c: c["seed"] > 0,
    "test_digits_relax_to_backpropagation_by_events": lambda c: c["seed"] > 0,
    "test_the_same_accuracy_costs_dense_messages_ten_times_more": lambda c: (
        c["seed"] > 0 or c["epochs"] == 3
    ),
    "test_the_trajectory_tends_to_the_dense_one": lambda c: c["loss"] == "cross_entropy",
    "test_three_factors_learn_a_bandit": lambda c: c["seed"] > 0,
    "test_and_on_compiled_backends": lambda c: not c["mixed"],
}
# of compiled programs
SLOW_COMPILED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "test_fixed_steps_settle_too_and_only_when_asked": lambda c: c["method"] != "euler",
    "test_every_path_moves_weights_alike": lambda c: (
        c["path"] in ("penalties", "deferred, all at once", "stages", "adam", "float32")
    ),
    "test_it_is_also_with_adaptive_steps_a_tube_and_learning": lambda _: True,
    "test_the_flow_written_out_is_the_flow": _written_out,
    "test_exponential_euler_takes_an_euler_step_and_says_so": lambda _: True,
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
    "test_threads_change_nothing": lambda c: c["batch"] is None,
    "test_adaptive_steps_err_as_little_as_asked": lambda c: len(c["widths"]) > 3,
    "test_presentations_move_weights_as_by_hand": lambda c: c["batch"] == 2,
    "test_digits_settle_to_a_millionth_in_600_steps": lambda c: c["loss"] == "mse",
    "test_a_stream_is_its_frames_one_after_the_other": lambda c: c["transport"] == "dense",
}
