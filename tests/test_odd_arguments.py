"""Odd values of every argument of every public function end in neurosim's errors, or in none.

A seeded sample; ``python -m tests.evidence "odd arguments"`` tries them all.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from types import FunctionType
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import neurosim as ns
from neurosim import plot
from neurosim.arguments import _hints as hints_of
from neurosim.arguments import check, checked
from tests.helpers import odd_arguments as odd

WRAPPERS = {checked(lambda: None).__code__}
# functions of which every call that is accepted takes long
SLOW = ("attractors", "continuation", "limit_cycle", "sweep", "at_rest", "plot.", "critical_rho")
KINDS = {
    "plots": (odd.plots, 3),
    "functions": (odd.functions, 3),
    "methods": (odd.methods, 3),
    "classes": (odd.classes, 6),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)
    plt.close("all")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_odd_values_ends_in_no_error_but_neurosims(kind: str) -> None:
    entries, most = KINDS[kind]
    rng = np.random.default_rng(0)
    faults = []
    for entry in entries():
        cases = list(odd.cases(entry))
        count = 1 if entry.name.startswith(SLOW) else most
        for i in rng.permutation(len(cases))[:count]:
            faults.append(odd.trial(entry, *cases[i]))
    assert not [fault for fault in faults if fault]


def checked_functions() -> Iterator[tuple[str, Any]]:
    """Yield every function and method of the package whose arguments `checked` checks."""
    for module in pkgutil.walk_packages(ns.__path__, "neurosim."):
        found = vars(importlib.import_module(module.name))
        for name, value in found.items():
            members = {name: value}
            if isinstance(value, type) and value.__module__ == module.name:
                members |= {f"{name}.{key}": own for key, own in vars(value).items()}
            for place, member in members.items():
                function = getattr(member, "__func__", member) if _is_bound(member) else member
                if isinstance(function, FunctionType) and function.__code__ in WRAPPERS:
                    yield f"{module.name}:{place}", function.__wrapped__


def _is_bound(member: Any) -> bool:
    return isinstance(member, classmethod | staticmethod)


def test_types_of_arguments_are_known_where_they_are_checked() -> None:
    """A name that is imported for type checking only has to be known to `check`."""
    names = []
    for name, function in checked_functions():
        assert set(hints_of(function)) <= set(signature(function).parameters), name
        names.append(name)
    assert len(names) > 100


def test_every_picture_is_tried() -> None:
    pictures = {f"plot.{name}" for name in plot.__all__ if callable(getattr(plot, name))}
    assert pictures == {entry.name for entry in odd.plots()}


def test_every_public_function_and_class_is_tried() -> None:
    """Errors, warnings, results and estimators are not made by users, or check elsewhere."""
    tried = {entry.name.partition(".")[0] for make, _ in KINDS.values() for entry in make()}
    results = {"Alignment", "Bifurcation", "Branch", "Cycle", "Kkt", "Log", "Plausibility", "Run"}
    results |= {"Stability", "State", "Support", "SynapticOperations", "Tuned"}
    elsewhere = {"Plasticity", "SaddleClassifier", "SaddleRegressor", "from_nir", "to_nir", "tune"}
    elsewhere.add("explore")  # starts a server
    modules = {"plot", "reference", "rivals", "rules", "sites", "streams", "tasks"}
    errors = {n for n in ns.__all__ if n.endswith(("Error", "Warning"))}
    assert set(ns.__all__) - tried == (results | elsewhere | modules | errors) - tried


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.traces(3), "run = 3; allowed: a Run, as relax returns it"),
        (lambda: plot.traces(odd.Mute()), "run = <Mute>; allowed: a Run"),
        (lambda: plot.traces(odd.things().run, ["x"]), r"variable = \['x'\]; allowed: text"),
        (lambda: plot.summary("run"), "result = 'run'; allowed: a Run, .* or a Log, as train"),
        (
            lambda: plot.network(odd.things().net, ax=1),
            "ax = 1; allowed: Matplotlib",
        ),
        (lambda: plot.lines(odd.swept(), width=-1), "width = -1; .* > 0 and <= 100; try 3.5"),
        (lambda: plot.sweep(3), "data = 3; allowed: an xarray.Dataset, as neurosim.sweep"),
        (lambda: ns.kkt([1] * 10_000), r"run = \[1, 1, .{150,250} \.\.\.; allowed: a Run"),
        (lambda: ns.stability(1, 2, 3), "net = 1; allowed: a Network, e.g. Network.mlp"),
        (lambda: ns.Network.mlp([3, 2], gain="1"), "gain = '1'; allowed: a number"),
        (lambda: ns.load("a\0b"), "path = 'a.x00b'; allowed: text or a PathLike"),
        (lambda: relaxed(every=odd.Mute()), "every = <Mute>, but nothing is recorded"),
        (lambda: relaxed(record=np.array([]), every=1e-3), "every = 0.001, but nothing is record"),
        (
            lambda: ns.Projection("a", "b", weights=(i for i in range(3))),
            r"weights of a->b = <generator .*; allowed: an array, or nested lists of numbers; try",
        ),
    ],
)
def test_a_message_names_the_argument_its_value_and_what_is_allowed(
    call: object, message: str
) -> None:
    with pytest.raises(ns.ModelError, match=message):
        call()  # type: ignore[operator]


def relaxed(**options: Any) -> ns.Run:
    """Relax for two steps."""
    data = odd.things()
    return odd.simulation().relax(data.X, data.Y, duration=2e-3, **options)


def test_variables_to_record_may_stand_in_an_array() -> None:
    traces = relaxed(record=np.array(["x", "lam"]), every=1e-3).traces
    assert {"x", "lam"} <= set(traces.data_vars)
    seen = odd.simulation().interact(
        lambda outputs: (odd.things().X[:1], odd.things().Y[:1]),
        frames=2,
        per_frame=2e-3,
        record=np.array(["x"]),
    )
    assert seen.traces.x.sizes["time"] == 2


def test_whole_numbers_become_floats_and_iterators_tuples() -> None:
    @checked
    def given(number: float | None, units: dict[str, list[int]], names: list[str]) -> object:
        return number, units, names

    found = given(10**30, {"a": iter([1, 2])}, (n for n in "ab"))  # type: ignore[arg-type]
    assert found == (1e30, {"a": (1, 2)}, ("a", "b"))
    assert isinstance(found[0], float)  # type: ignore[index]
    with pytest.raises(ns.ModelError, match=r"number = 1000.* \.\.\.; allowed: a number that a"):
        given(10**400, {}, [])
    assert check("flag", np.bool_(True), bool) is np.True_
    with pytest.raises(ns.ModelError, match="number = True; allowed: a number or None"):
        given(True, {}, [])
