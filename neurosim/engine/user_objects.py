"""Put user-supplied Brian2 objects into an engine's network; refuse those that it cannot honour.

Imports Brian2 where it is needed. Start at `add_user_objects`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.added import Added
from neurosim.engine.engine import Factory
from neurosim.errors import ModelError, shown

if TYPE_CHECKING:
    from brian2.core.clocks import Clock
    from brian2.core.network import Network as BrianNetwork

    from neurosim.engine.groups import Groups

Array = np.ndarray
Key = tuple[str, str]  # group and variable

HOOKS = ("before_run", "after_run")  # methods that Brian2 calls at both ends of a run


def add_user_objects(
    network: BrianNetwork, factories: Sequence[Factory], groups: Groups, compiled: bool = False
) -> Added:
    """Call user-supplied functions of a network, add the objects that they return, and return them.

    Parameters
    ----------
    network : brian2.Network
    factories : sequence of callable
    groups : Groups
        The groups of the simulation. At their clock run the objects that name neither dt nor a
        clock.
    compiled : bool
        Whether the network becomes a compiled program, which cannot call Python.

    Raises
    ------
    ModelError
        A function that returns something else, or adds nothing; an object of Brian2's default
        clock, or with the name of another group; a value assigned to a group of the simulation;
        with `compiled` an object that a compiled program cannot run as its user wrote it.
    """
    added: list[Any] = []
    for factory in factories:
        before = _objects(network)
        changed = _watched_program(groups) if compiled else _watched(groups)
        with _default_clock(groups.clock) as default:
            made = _flat(factory, factory(network))
        for group, variable in changed():
            raise ModelError(
                f"{_called(factory)} of sim.add assigns {variable} of {group!r}, which a run loads "
                "itself; allowed: values of objects that the function makes; try relax(start=...), "
                f"net.weights, Extension(parameters=...), or network[{group!r}].run_regularly(...)"
            )
        for item in made:
            if item not in network.objects:
                network.add(item)
        found = [item for key, item in _objects(network).items() if key not in before]
        if not found:
            raise ModelError(
                f"{_called(factory)} of sim.add returned no object and added none; allowed: a "
                "Brian2 object or a list of them; try returning it"
            )
        for item in found:
            _check_name(factory, item, groups)
            _check_clock(factory, item, default)
            if compiled:
                _check_compiled(item)
        added += found
    return Added(added, _known_value if compiled else _copy, compiled)


def _copy(array: Any) -> Array:
    """Return a copy of an array of Brian2's runtime mode."""
    return np.array(array.get_value())


def _known_value(array: Any) -> Array | None:
    """Return a copy of an array of a compiled program; None if its code computes the values."""
    from brian2.devices.device import get_device

    found = get_device().array_cache.get(array)
    return None if found is None else np.array(found)


@contextlib.contextmanager
def _default_clock(clock: Clock) -> Iterator[Clock]:
    """Give objects that name neither dt nor a clock this one; yield the one that they had.

    Raises
    ------
    ModelError
        ``defaultclock.dt`` was changed meanwhile, which is then the step of the simulation.
    """
    from brian2.devices.device import get_device
    from brian2.units import second

    device, step = get_device(), float(clock.dt_)
    kept = device.defaultclock
    device.defaultclock = clock
    try:
        yield kept
    finally:
        device.defaultclock = kept
        changed = float(clock.dt_)
        if changed != step:
            clock.dt = step * second
    if changed != step:
        raise ModelError(
            f"defaultclock.dt = {changed:g} s in a function of sim.add; allowed: the simulation's "
            "own step, which is the default; try dt=... of the object"
        )


def _watched(groups: Groups) -> Callable[[], list[Key]]:
    """Return a function that returns the arrays of the simulation that have changed since."""
    from neurosim.engine.memory import arrays_of

    arrays = dict(arrays_of(groups.by_name))
    before = {key: np.array(found.get_value()) for key, found in arrays.items()}

    def changed() -> list[Key]:
        return [
            key
            for key, found in arrays.items()
            if not np.array_equal(found.get_value(), before[key])
        ]

    return changed


def _watched_program(groups: Groups) -> Callable[[], list[Key]]:
    """Return `_watched` of a compiled program, by the statements that it has got since."""
    from brian2.devices.device import get_device

    from neurosim.engine.memory import arrays_of

    device = get_device()
    before = len(device.main_queue)

    def changed() -> list[Key]:
        arrays = {}
        for key, found in arrays_of(groups.by_name):
            arrays[device.get_array_name(found, access_data=False)] = key
        assigned = []
        for kind, given in device.main_queue[before:]:
            if kind.startswith("set_") and given[0] in arrays:
                assigned.append(arrays[given[0]])
            elif kind == "run_code_object" and given[0].owner.name in groups.by_name:
                assigned.append((given[0].owner.name, "a variable"))  # by text
        return assigned

    return changed


def _objects(network: BrianNetwork) -> dict[int, Any]:
    """Return all objects of a network, those that they contain included."""
    found = {}
    waiting = list(network.objects)
    while waiting:
        item = waiting.pop()
        if id(item) not in found:
            found[id(item)] = item
            waiting += item.contained_objects
    return found


def _flat(factory: Factory, made: Any) -> list[Any]:
    """Return the Brian2 objects in what a function returned, in order.

    Raises
    ------
    ModelError
        Something else than Brian2 objects and collections of them.
    """
    from brian2.core.base import BrianObject
    from brian2.core.network import Network as BrianNetwork

    if made is None:
        return []
    if isinstance(made, BrianObject):
        return [made]
    if isinstance(made, BrianNetwork):
        return list(made.objects)
    if isinstance(made, Mapping):
        made = made.values()
    if isinstance(made, str) or not isinstance(made, Iterable):
        raise ModelError(
            f"{_called(factory)} of sim.add returned {shown(made)}; allowed: a Brian2 object or a "
            "list of them"
        )
    found = []
    for one in made:
        found += _flat(factory, one)
    return found


def _check_name(factory: Factory, item: Any, groups: Groups) -> None:
    """Refuse an object with the name of a group of the simulation, by which that is found."""
    own = groups.by_name.get(item.name)
    if own is not None and own is not item:
        raise ModelError(
            f"{_named(item)} of {_called(factory)} of sim.add has the name of a group of the "
            f"simulation; allowed: another name; try name='my_{item.name}'"
        )


def _check_clock(factory: Factory, item: Any, default: Clock) -> None:
    """Refuse an object of Brian2's default clock, which was made before the function was called."""
    from brian2.devices.device import all_devices

    if item.clock in (default, all_devices["runtime"].defaultclock):
        raise ModelError(
            f"{_named(item)} of {_called(factory)} of sim.add was made outside of that function, "
            f"and runs at defaultclock.dt = {item.clock.dt}; allowed: the simulation's dt, or one "
            "that the object names; try making it within the function, or with dt=..."
        )


def _check_compiled(item: Any) -> None:
    """Refuse an object that needs Python, which a compiled program does not have."""
    from brian2.core.base import BrianObject

    runs = getattr(item.run, "__func__", None) is not BrianObject.run
    for hook in HOOKS:
        module = getattr(getattr(item, hook), "__module__", "")
        runs = runs or not module.startswith(("brian2.", "neurosim."))
    if runs:
        raise ModelError(
            f"{_named(item)} runs Python code, and backend = 'standalone' is a compiled program; "
            "allowed: objects made of equations and code strings; try backend='numpy' or 'cython'"
        )


def _named(item: Any) -> str:
    return f"{type(item).__name__} {item.name!r}"


def _called(factory: Factory) -> str:
    return str(getattr(factory, "__name__", factory))
