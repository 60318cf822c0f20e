"""State of user-supplied Brian2 objects, from which a later run can go on.

Every array that such an object's equations may move is state, unless a rule here says why it is
not. Names of objects differ from one network to the next, so an object is known by its place among
those that were added, and its type. What cannot be kept is refused by name when a run goes on.
Below both backends. Start at `Added`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neurosim.errors import ModelError

Array = np.ndarray
Key = tuple[str, str]  # group and variable

MARK = "#"  # begins the name of an added object; no population has it
LOST = "lost"  # variable that marks an object whose state a run could not keep
OF_CLOCK = ("t", "dt", "t_in_timesteps", "i")
CONNECTIVITY = ("_synaptic_pre", "_synaptic_post")
PRIVATE = ("_synaptic", "delay", "N_incoming", "N_outgoing")  # beginnings of names
MONITORS = ("StateMonitor", "EventMonitor", "SpikeMonitor", "PopulationRateMonitor")
SMALLEST_DELAY = 1e-12  # s


class Added:
    """The objects that user-supplied functions added to a network.

    Parameters
    ----------
    items : sequence of brian2.BrianObject
    initial : callable
        Returns the value of an array before the first step; None if it is not known.
    compiled : bool
        Whether they become part of a compiled program.

    Attributes
    ----------
    groups : dict of str to brian2.Group
        Those with arrays, by place and type, such as "#0 NeuronGroup".
    state : dict of (group, variable) to bool
        As `memory.state_of` returns it.
    lost : dict of str to str
        Why the state of an object is not kept, by place and type.
    """

    def __init__(
        self, items: Sequence[Any], initial: Callable[[Any], Array | None], compiled: bool
    ) -> None:
        self.groups: dict[str, Any] = {}
        self.state: dict[Key, bool] = {}
        self.lost: dict[str, str] = {}
        self._initial: dict[Key, Array | None] = {}
        with_arrays = [item for item in items if _has_state(item)]
        for place, item in enumerate(sorted(with_arrays, key=_in_order)):
            name = f"{MARK}{place} {type(item).__name__}"
            self.groups[name] = item
            reason = _reason(item, compiled)
            if reason:
                self.lost[name] = reason
                continue
            for variable, found in _arrays(item).items():
                self.state[name, variable] = True
                self._initial[name, variable] = initial(found)

    def array(self, group: str, variable: str) -> Any:
        """Return Brian2's variable."""
        return self.groups[group].variables[variable]

    def is_initial(self, key: Key, values: Array) -> bool:
        """Return whether an array still has the values that its user's function gave it.

        Such an array is not kept, so that a run goes on with another value of a parameter. The
        ends of synapses are always kept, to be compared.
        """
        before = None
        if key[1] not in CONNECTIVITY:
            before = self._initial.get(key)
        return before is not None and np.array_equal(before, values)

    def check(self, stored: Mapping[str, Any]) -> None:
        """Refuse to go on from a run whose objects were others, or whose state is lost.

        Parameters
        ----------
        stored : mapping
            Auxiliary state of the earlier run, by "group.variable".

        Raises
        ------
        ModelError
            The message has the object and the reason.
        """
        for name, reason in self.lost.items():
            if f"{name}.{LOST}" in stored:
                raise ModelError(
                    f"cannot go on from a run with {_called(self.groups[name])}, whose state is "
                    f"lost: {reason}, or start=State(run.x, run.lam), which begins it anew"
                )
        for key in self.state:
            values = stored.get(".".join(key))
            if values is not None:
                self.check_values(key, values)

    def check_checkpoint(self, stored: Mapping[str, Any]) -> None:
        """Refuse to go on from a checkpoint, as `check` does from a run."""
        self.check({**dict.fromkeys((f"{name}.{LOST}" for name in self.lost), 1.0), **stored})

    def check_values(self, key: Key, values: Any) -> None:
        """Refuse values of another size, and other synapses than those of the earlier run.

        Raises
        ------
        ModelError
            The message has the object.
        """
        group, variable = key
        found = self.array(*key)
        called = _called(self.groups[group])
        if np.size(values) != found.size:
            raise ModelError(
                f"{variable} of {called} has {found.size} entries, and had {np.size(values)} in "
                "the earlier run; allowed: the same objects, in the same order; try "
                "start=State(run.x, run.lam), which begins them anew"
            )
        if variable in CONNECTIVITY and not np.array_equal(found.get_value(), np.ravel(values)):
            raise ModelError(
                f"{called} has other synapses than in the earlier run; allowed: the same "
                "ones; try connect(i=..., j=...), or numpy.random.seed in the function of sim.add"
            )


def _has_state(item: Any) -> bool:
    """Return whether an object has arrays of its own beside what it records."""
    if type(item).__name__ in MONITORS:
        return False
    return hasattr(item, "variables") and bool(_arrays(item) or _delayed(item))


def _arrays(item: Any) -> dict[str, Any]:
    """Return the arrays of an object that a run may change, and its synapses, by variable."""
    from brian2.core.variables import ArrayVariable

    found = {}
    for variable, about in item.variables.items():
        own = isinstance(about, ArrayVariable) and about.owner.name == item.name
        if own and variable in CONNECTIVITY:
            found[variable] = about
            continue
        if not own or variable in OF_CLOCK or variable.startswith(PRIVATE):
            continue
        if not (about.read_only or about.constant):
            found[variable] = about
    return found


def _reason(item: Any, compiled: bool) -> str:
    """Return why the state of an object cannot be kept, and what to try; empty if it can."""
    from brian2.core.variables import DynamicArrayVariable

    if _delayed(item):
        return "spikes that are under way are not kept; try synapses without a delay"
    dynamic = [v for v, about in _arrays(item).items() if isinstance(about, DynamicArrayVariable)]
    if compiled and dynamic:
        return (
            f"a compiled program makes its {', '.join(dynamic)} while it runs; "
            "try backend='numpy' or 'cython'"
        )
    return ""


def _delayed(item: Any) -> bool:
    """Return whether an object is a pathway of synapses that may hold spikes back."""
    from brian2.synapses.synapses import SynapticPathway

    if not isinstance(item, SynapticPathway):
        return False
    try:
        delays = np.asarray(item.variables["delay"].get_value())
    except NotImplementedError:  # set by code of a program that has not run
        return True
    return bool((delays > SMALLEST_DELAY).any())


def _in_order(item: Any) -> tuple[str, str, int]:
    """Return a key that sorts objects of one type by name, as numbers at its end count."""
    base, number = re.fullmatch(r"(.*?)_?(\d*)", item.name).groups()  # type: ignore[union-attr]
    return type(item).__name__, base, int(number or 0)


def _called(item: Any) -> str:
    return f"{type(item).__name__} {item.name!r}"
