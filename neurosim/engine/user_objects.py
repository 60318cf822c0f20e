"""Put user-supplied Brian2 objects into an engine's network; refuse those that it cannot honour.

Imports Brian2 where it is needed. Start at `add_user_objects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurosim.engine.engine import Factory
from neurosim.errors import ModelError

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork


def add_user_objects(
    network: BrianNetwork, factories: Sequence[Factory], compiled: bool = False
) -> None:
    """Call user-supplied functions of a network, and add the objects that they return.

    Parameters
    ----------
    network : brian2.Network
    factories : sequence of callable
    compiled : bool
        Whether the network becomes a compiled program, which cannot call Python.

    Raises
    ------
    ModelError
        A function that returns something else, or adds nothing; with `compiled` an object that a
        compiled program cannot run as its user wrote it.
    """
    for factory in factories:
        before = _objects(network)
        for item in _flat(factory, factory(network)):
            if item not in network.objects:
                network.add(item)
        found = [item for key, item in _objects(network).items() if key not in before]
        if not found:
            raise ModelError(
                f"{_called(factory)} of sim.add returned no object and added none; allowed: a "
                "Brian2 object or a list of them; try returning it"
            )
        if compiled:
            for item in found:
                _check_compiled(item)


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
            f"{_called(factory)} of sim.add returned {made!r}; allowed: a Brian2 object or a list "
            "of them"
        )
    found = []
    for one in made:
        found += _flat(factory, one)
    return found


def _check_compiled(item: Any) -> None:
    """Refuse an object that needs Python, which a compiled program does not have."""
    from brian2.core.base import BrianObject

    name = f"{type(item).__name__} {item.name!r}"
    other = "backend='numpy' or 'cython'"
    if getattr(item.run, "__func__", None) is not BrianObject.run:
        raise ModelError(
            f"{name} runs Python code, and backend = 'standalone' is a compiled program; "
            f"allowed: objects made of equations and code strings; try {other}"
        )


def _called(factory: Factory) -> str:
    return str(getattr(factory, "__name__", factory))
