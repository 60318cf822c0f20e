"""Set the environment before NumPy is imported, and mark the cases that only cost time.

Workers share the cores, so each calls BLAS on one thread. Programs are compiled without
optimisation and from a precompiled header, which takes less time; `test_backends` compiles them as
users do. Processes of tests keep the bytecode that they compile, so that the next ones need not.

A case is slow where a quicker one of the same test makes the same claim about the same code
(`is_slow`), or the same statements are compiled by Cython. Of the tests in `CROSSINGS`, which cross
arguments, as many cases are fast as it takes to have every value of every argument
(`beyond_the_cover`). ``-m slow`` runs all others, and the integration a sample of them,
``-m slow --slow-sample 0``: one case of each test of which nothing is fast, and a few others.
"""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.examples import all_asked
from tests.helpers.limits import NO_BYTECODE

os.environ.pop(NO_BYTECODE, None)
sys.dont_write_bytecode = False
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NEUROSIM_OPTIMIZE", "0")

COMPILED = "standalone"
CYTHON = "cython"  # compiles every expression as a module, some seconds each
TESTS = Path(__file__).parent
COSTLY = {"engine", "simulation"}  # folders of tests
TESTS_RUN = pytest.StashKey[int]()
NOT_TRACED = pytest.StashKey[set[pytest.Item]]()
DRAWN = {"other": 8, CYTHON: 1}  # tests in the sample of slow ones that have fast cases too

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
        help="of the slow tests run a sample, drawn with this seed (`sampled`)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let the workers, which inherit the environment, compile from the precompiled header."""
    from tests.helpers.precompiled import compiler_with_header

    gc.disable()  # until all tests are collected, as nothing is freed before
    is_worker = hasattr(config, "workerinput")
    cache = getattr(config, "cache", None)  # None with -p no:cacheprovider
    if not is_worker and cache is not None:
        compiler = compiler_with_header(cache.mkdir("precompiled"))
        if compiler is not None:
            os.environ["CXX"] = compiler


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow cases of parametrised tests, and draw from them; note what is not traced."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and is_slow(getattr(item, "originalname", ""), callspec):
            item.add_marker(pytest.mark.slow)
    if not all_asked():
        for item in beyond_the_cover(items):
            item.add_marker(pytest.mark.slow)
    config.stash[NOT_TRACED] = not_traced([item for item in items if is_fast(item)])
    seed = config.getoption("--slow-sample", default=None)
    if seed is not None:
        kept = sampled(items, seed)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def pytest_collection_finish() -> None:
    """Exclude what libraries and tests have made from the collections of many small networks.

    They would take a third of the time of such tests.
    """
    gc.enable()
    gc.freeze()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count the tests that have run."""
    session.config.stash[TESTS_RUN] = 0


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Exclude what tests keep as well, now and then."""
    item.config.stash[TESTS_RUN] += 1
    if item.config.stash[TESTS_RUN] % 10 == 0:
        gc.collect()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run a test of `not_traced` without the tracer of coverage.py.

    The mark `no_cover` would not do: pytest-cov stops its own tracer, and in a worker of
    pytest-xdist a second one goes on.
    """
    tracer = sys.gettrace()
    if tracer is None or item not in item.config.stash[NOT_TRACED]:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


def not_traced(items: list[pytest.Item]) -> set[pytest.Item]:
    """Return the tests that coverage leaves out, as they reach lines that others reach.

    In `COSTLY` folders these are property tests, and all cases of a test but its first. Refusals
    are traced, as each has a line of its own.
    """
    first: dict[str, pytest.Item] = {}
    found = set()
    for item in items:
        is_first = first.setdefault(place(item), item) is item
        is_random = hasattr(getattr(item, "function", None), "hypothesis")
        is_costly = item.path.relative_to(TESTS).parts[0] in COSTLY
        if is_costly and (is_random or not is_first) and "refuse" not in item.name:
            found.add(item)
    return found


def place(item: pytest.Item) -> str:
    """Return the file and the name of a test, without its case."""
    return item.nodeid.partition("[")[0]


def is_fast(item: pytest.Item) -> bool:
    """Return whether a case is in the suite that runs by default."""
    return item.get_closest_marker("slow") is None


def beyond_the_cover(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return cases of `CROSSINGS` whose values of arguments are all in cases that stay fast."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if getattr(item, "originalname", "") in CROSSINGS and is_fast(item):
            cases.setdefault(place(item), []).append(item)
    beyond = []
    for own in cases.values():
        values = {item: {(k, repr(v)) for k, v in item.callspec.params.items()} for item in own}
        missing, left = set().union(*values.values()), list(own)
        while missing:
            best = max(left, key=lambda item, v=values, m=missing: len(v[item] & m))
            missing -= values[best]
            left.remove(best)
        beyond += left
    return beyond


def sampled(items: list[pytest.Item], seed: int) -> set[pytest.Item]:
    """Return what is fast, a case per test of which nothing is, and `DRAWN` others, by Cython too.

    Claims of the others are tested in fast cases as well.
    """
    kept = {item for item in items if is_fast(item)}
    fast = {place(item) for item in kept}
    cases: dict[str, dict[str, list[pytest.Item]]] = {"alone": {}, "other": {}, CYTHON: {}}
    for item in items:
        if item in kept:
            continue
        kind = "alone"
        if place(item) in fast:
            kind = CYTHON if by_cython(getattr(item, "callspec", None)) else "other"
        cases[kind].setdefault(place(item), []).append(item)
    for kind, own in cases.items():
        places = sorted(own)
        if kind in DRAWN:
            drawn = random.Random(f"{seed} {kind}")
            places = drawn.sample(places, min(DRAWN[kind], len(places)))
        kept |= {random.Random(f"{seed} {name}").choice(own[name]) for name in places}
    return kept


def by_cython(callspec: Any) -> bool:
    """Return whether a case, if it is one of several, runs on Brian2's Cython backend."""
    values = [] if callspec is None else callspec.params.values()
    return CYTHON in [value for value in values if isinstance(value, str)]


def is_slow(test: str, callspec: Any) -> bool:
    """Return whether another case of the test covers this one at less cost."""
    case = callspec.params
    if by_cython(callspec) or (test in SLOW and SLOW[test](case)):
        return True
    if case.get("backend") != COMPILED:
        return False
    return test not in FAST_COMPILED or not FAST_COMPILED[test](case)


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


def _written_out(case: dict[str, Any]) -> bool:
    """Keep a method of one stage and one of two."""
    return case["method"] not in ("euler", "heun")


def _numbers_of_rows(case: dict[str, Any]) -> bool:
    """Keep every feedback with plain messages, and those that learn it with all others."""
    learns = case["feedback"] == "kolen_pollack"
    has_penalty = "imperfections" in case["options"] and case["feedback"] == "symmetric"
    return bool(case["options"]) and not (learns or has_penalty)


def _convolution_or_lag(case: dict[str, Any]) -> bool:
    """Keep convolutions and lags of the kinds of sites."""
    return case["kind"] not in ("conv", "lag")


SLOW: dict[str, Callable[[dict[str, Any]], bool]] = {
    # a flow's gains are values of a program, not its structure
    "test_fixed_steps_settle_too_and_only_when_asked": lambda c: c["preset"] != "augmented",
    "test_adaptive_backends_agree": lambda c: c["preset"] == "damped" or c["seed"] > 0,
    "test_adaptive_steps_err_as_little_as_asked": lambda c: c["preset"] == "damped",
    "test_an_adaptive_run_settles_whatever_the_tolerance": _tolerances,
    # each value of each argument is in a case that is kept
    "test_shortcuts_change_nothing": _shortcuts,
    "test_changes_of_far_weights_may_wait": lambda c: not (c["l2"] and c["shortcuts"]),
    "test_the_same_numbers_on_every_backend": lambda c: (
        (c["batch"], c["method"]) != (1, "semi_implicit")
    ),
    "test_compiled_programs_go_on": lambda c: c["transport"] != "delayed",
    "test_optimisers_are_those_of_the_textbook": lambda c: c["name"] == "momentum",
    "test_rules_of_w_are_integrated_by_scipy_too": lambda c: c["feedback"] == "symmetric",
    "test_a_readout_learns_from_convolutions": lambda c: c["rule"] == "whole",
    "test_both_backends_let_patterns_leave_one_by_one": lambda c: (
        (c["method"], c["flow"].rho) not in [("rk4", 0.0), ("euler", 1.0)]
    ),
    "test_euler_steps_approach_scipy_with_weights_moving": _convolution_or_lag,
    "test_going_on_from_a_file_equals_never_having_stopped": _convolution_or_lag,
    "test_compiled_programs_agree": lambda c: c["kind"] != "conv",
    # fast on NumPy; `recording_does_not_choose_the_shortcut` has a program
    "test_recorded_weights_are_a_copy": lambda _: True,
    "test_weights_are_numbers_of_rows_whatever_messages_are": _numbers_of_rows,
    # more draws of the same; the evidence commands have fresh ones
    "test_slow_digits_are_followed_for_few_operations": lambda c: (
        c["seed"] > 0 or c["flow"].kappa == 0
    ),
    "test_digits_relax_to_backpropagation_by_events": lambda c: c["seed"] > 0,
    "test_the_same_accuracy_costs_dense_messages_ten_times_more": lambda c: (
        c["seed"] > 0 or c["epochs"] == 3
    ),
    "test_the_trajectory_tends_to_the_dense_one": lambda c: c["loss"] == "cross_entropy",
    "test_three_factors_learn_a_bandit": lambda _: True,
    "test_a_driver_that_is_killed_goes_on_where_it_was": lambda c: c["flushes"] > 0,
    "test_presentations_agree_between_backends": lambda c: c["count"] == 1,
    "test_and_on_compiled_backends": lambda c: not c["mixed"],
    "test_a_script_that_is_terminated_ends_in_order": lambda c: c["kind"] == "relax",
}


def _every(_: dict[str, Any]) -> bool:
    return True


# compiled cases that are fast; the other ones claim of a program what the same case on NumPy claims
FAST_COMPILED: dict[str, Callable[[dict[str, Any]], bool]] = {
    # NumPy and C++ give the same
    "test_the_same_numbers_on_every_backend": _every,
    "test_the_same_numbers_on_every_backend_and_of_lin_by_another_name": _every,
    "test_compiled_backends_take_the_same_step": _every,
    "test_all_noise_is_the_same_on_every_backend": _every,
    "test_and_on_compiled_backends": _every,
    "test_every_backend_runs_it": _every,
    # one of each kind of code that is generated
    "test_both_backends_let_patterns_leave_one_by_one": lambda c: c["method"] == "rk4",
    "test_shortcuts_change_nothing": _every,
    "test_recording_does_not_choose_the_shortcut": _every,
    "test_all_three_flows_are_those_of_a_plain_loop": lambda c: c["count"] == 1,
    "test_every_path_moves_weights_alike": lambda c: c["path"] == "spikes",
    "test_all_that_is_not_random_at_once": _every,
    "test_it_rests_in_fewer_steps": _every,
    "test_adaptive_steps_err_as_little_as_asked": lambda c: len(c["widths"]) == 3,
    "test_threads_change_nothing": lambda c: c["batch"] is not None,
    "test_objects_of_many_kinds_are_honoured": _every,
    "test_presentations_equal_a_loop_by_hand": _every,
    # files and what a program leaves for the next run
    "test_a_training_on_disk_is_the_one_in_memory": lambda c: (
        (c["chunk"], c["schedule"]) == (2500, "online")  # cuts the recording often
    ),
    "test_a_noisy_run_in_parts_is_the_whole": _every,
    "test_a_resumed_run_equals_the_uninterrupted_one": lambda c: (
        type(c["schedule"]).__name__ == "Presentations"
    ),
    # refused before anything is compiled
    "test_it_is_refused_before_anything_is_compiled": _every,
    "test_values_of_the_simulation_s_own_groups_are_refused": _every,
    "test_a_step_that_is_not_the_simulation_s_is_refused": _every,
}
# tests that cross arguments, each of which may meet the others in any case
CROSSINGS = {
    "test_a_full_disk_leaves_the_older_file",
    "test_a_noisy_run_in_parts_is_the_whole",
    "test_a_recording_that_would_fill_its_place_is_refused",
    "test_a_relaxation_on_disk_is_the_one_in_memory",
    "test_a_rule_goes_with_everything_that_the_built_in_one_goes_with",
    "test_a_summary_takes_whatever_there_is",
    "test_a_training_on_disk_is_the_one_in_memory",
    "test_adaptive_backends_agree",
    "test_adaptive_runs_record_at_the_times_asked_for",
    "test_all_three_flows_are_those_of_a_plain_loop",
    "test_an_adaptive_run_settles_whatever_the_tolerance",
    "test_digits_settle_to_a_millionth_in_600_steps",
    "test_euler_is_stable_below_and_diverges_above",
    "test_events_go_on",
    "test_every_flow_passes",
    "test_exponential_euler_is_exact_where_only_the_leak_moves",
    "test_files_keep_B",
    "test_fixed_steps_settle_too_and_only_when_asked",
    "test_float32_is_close_and_has_its_own_type",
    "test_halving_the_step_shows_the_order",
    "test_it_rests_in_fewer_steps",
    "test_messages_arrive_after_their_delay",
    "test_noise_on_states_has_its_size",
    "test_nor_in_compiled_programs",
    "test_recording_does_not_choose_the_shortcut",
    "test_rules_of_messages_read_no_more_than_the_built_in_one",
    "test_rules_sum_over_sites",
    "test_saddle_flows_settle_on_backpropagation",
    "test_shortcuts_change_nothing",
    "test_steps_of_random_graphs_and_cycles_against_the_engine",
    "test_the_flow_written_out_is_the_flow",
    "test_the_text_of_the_built_in_rule_is_the_built_in_rule",
    "test_the_trajectory_is_scipys_to_first_order",
    "test_weights_of_patterns_are_repetitions_under_any_rule",
}
