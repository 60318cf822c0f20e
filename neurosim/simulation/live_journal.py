"""The journal of a live simulation: what was done, in order, as calls that repeat it.

Imports nothing else of this room. Start at `Journal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RUN = "run"
MOST_ACTIONS = 100_000  # that are kept; a journal that lost older ones is not complete
Mark = tuple[int, int]  # actions before, and steps within the last of them if it is a run


@dataclass(frozen=True)
class Action:
    """One call of a method of `Live`.

    Attributes
    ----------
    name : str
        The method.
    arguments : dict
        By name, as plain values.
    steps : int
        Steps of a run; 0 for everything else.

    Examples
    --------
    >>> str(Action("set", {"key": "flow.rho", "value": 2.0}))
    "set(key='flow.rho', value=2.0)"
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.name}({given})"


class Journal:
    """Actions in order; runs that follow each other are one.

    Attributes
    ----------
    actions : list of Action
    complete : bool
        Whether it holds all that was done since the start.
    """

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.complete = True

    def add(self, name: str, **arguments: Any) -> None:
        """Add a call; arguments that are None are left out."""
        given = {key: value for key, value in arguments.items() if value is not None}
        if name == "set" and self._repeats(given):
            self.actions.pop()
        self.actions.append(Action(name, given))
        self._shorten()

    def add_run(self, steps: int, dt: float) -> None:
        """Add a run of so many steps of `dt` s."""
        if self.actions and self.actions[-1].name == RUN:
            steps += self.actions.pop().steps
        self.actions.append(Action(RUN, {"duration": steps * dt}, steps))
        self._shorten()

    def mark(self) -> Mark:
        """Return the present place, for `after` and `cut`."""
        if not self.actions:
            return 0, 0
        return len(self.actions), self.actions[-1].steps

    def after(self, mark: Mark, dt: float) -> list[Action]:
        """Return what was done after a place, which is at the end of a run or at the beginning."""
        count, steps = mark
        found = self.actions[count:]
        if count and self.actions[count - 1].steps > steps:
            left = self.actions[count - 1].steps - steps
            found.insert(0, Action(RUN, {"duration": left * dt}, left))
        return found

    def cut(self, mark: Mark, dt: float) -> None:
        """Forget what was done after a place."""
        count, steps = mark
        del self.actions[count:]
        if count and steps:
            self.actions[-1] = Action(RUN, {"duration": steps * dt}, steps)

    def _repeats(self, given: Mapping[str, Any]) -> bool:
        """Return whether the last action set the same key: without a run it had no effect."""
        if not self.actions or self.actions[-1].name != "set":
            return False
        return bool(self.actions[-1].arguments.get("key") == given["key"])

    def _shorten(self) -> None:
        if len(self.actions) > MOST_ACTIONS:
            self.complete = False
            del self.actions[0]
