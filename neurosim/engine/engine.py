"""What an engine is, whichever backend steps it: loaded, run for some steps, read.

Start at `Engine`; `neurosim.engine.build` chooses one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.names import DIFFERENTIAL, PARAMETER, bias_group, projection_group
from neurosim.engine.plan import Plan

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

Array = np.ndarray
Factory = Callable[["BrianNetwork"], Any]  # a user's own objects for the network
World = Callable[[], bool]  # writes the rows that are shown next; False: there are none
WORKED_OUT = (
    "a",
    "log_partition",
    "y_total",
)  # parameters of the equations that every step makes anew


class Engine(ABC):
    """One Brian2 network and the values in it.

    Attributes
    ----------
    network : brian2.Network
    plan : Plan
    threads : int
    loop_time : float
        Seconds that stepping took, of all segments.
    """

    network: BrianNetwork

    def __init__(self, plan: Plan, threads: int) -> None:
        self.plan, self.threads, self.loop_time = plan, threads, 0.0
        self.settings: dict[str, float] = {}  # numbers of the run that were loaded
        self.first_sample = 0

    def load(self, values: Mapping[tuple[str, str], Any]) -> None:
        """Set arrays by (group, variable); a number fills the array."""
        for (group, variable), value in values.items():
            if group == "run":
                self.settings[variable] = float(np.ravel(value)[0])
        if ("run", "step") in values:
            self.first_sample = -int(-self.settings["step"] // self.settings.get("record_steps", 1))

    @abstractmethod
    def kinds(self, population: str) -> dict[str, str]:
        """Variables of a population's equations that keep a value: whether each is `DIFFERENTIAL`
        or a `PARAMETER`.
        """

    @abstractmethod
    def size(self, group: str, variable: str) -> int:
        """Entries of one array."""

    @abstractmethod
    def stop(self) -> None:
        """End the segment that runs now as soon as may be."""

    @abstractmethod
    def value(self, group: str, variable: str) -> Array:
        """One array, flat, as it stands: a copy."""

    @abstractmethod
    def present(self, data: Mapping[tuple[str, str], Array], order: Array) -> None:
        """The data set by (population, variable) and the rows that come next, a batch after the
        other.
        """

    def ask(self, world: World) -> None:
        """Let the rows of each presentation be written as the one before it ends; only where Python
        steps.
        """
        raise NotImplementedError(type(self).__name__)

    @abstractmethod
    def run(self, n_steps: int, seed: int) -> None:
        """Go on for `n_steps`, or until the state leaves its bound or settles."""

    @abstractmethod
    def recorded(self, number: int, first: int, last: int) -> Array:
        """(samples, entries) of one recorded variable, samples `first` to `last`."""

    @property
    def samples(self) -> int:
        """Samples since the run began, those of an earlier engine included."""
        step, every = self.counter("step"), int(self.settings.get("record_steps", 1))
        settled = self.plan.method != "adaptive" and self.counter("settled") and step % every == 0
        return -(-step // every) + bool(settled)

    def counter(self, name: str) -> int:
        """One of the run's own counters."""
        return int(self.value("run", name)[0])

    def state(self) -> dict[tuple[str, str], Array]:
        """Every array from which the run can go on."""
        own = [("run", "step")]
        own += [(projection_group(n), "w") for n in self.plan.net.projections]
        own += [(projection_group(n), "back") for n in self.plan.net.feedback]
        own += [(bias_group(n), "w") for n in self.plan.net.neurons]
        for name in self.plan.net.populations:
            own += [(name, v) for v in self._state_variables(name)]
        own += [
            (name, f"{part}_{line}")
            for name, line, _ in self.plan.lines
            for part in ("line", "line_at")
        ]
        return {key: self.value(*key) for key in own}

    def _state_variables(self, population: str) -> list[str]:
        return sorted(n for n in self.kinds(population) if n not in WORKED_OUT)

    def defers(self, projection: str, n_steps: int) -> bool:
        """Whether the weights from a clamped input are brought up to date only when they are read.

        With x still, W += h delta^T x changes the drive W x by h (x x^T) delta; that is exact.
        """
        plan, moves = self.plan, self.plan.presentation or self.settings.get("plastic")
        if not (moves and plan.may_defer(projection)) or plan.net.projections[projection].proximal:
            return False
        steps = float(n_steps)
        if plan.presentation:
            steps = min(steps, self.settings["present_steps"] - self.settings["gate_steps"])
        if plan.records("w"):
            steps = min(steps, self.settings["record_steps"])
        m, n = plan.net.weights[projection].shape
        products = plan.patterns * m * n
        return bool(plan.patterns**2 * (n + steps * m) + 2 * products < 2 * steps * products)


def kinds_of(equations: Any) -> dict[str, str]:
    """`Engine.kinds` of a population's Brian2 equations."""
    own = dict.fromkeys(equations.diff_eq_names, DIFFERENTIAL) | dict.fromkeys(
        equations.parameter_names, PARAMETER
    )
    return dict(sorted(own.items()))


def add_user_objects(network: BrianNetwork, factories: Sequence[Factory]) -> None:
    """What a user's own functions return for this network."""
    for factory in factories:
        made = factory(network)
        for item in made if isinstance(made, list | tuple) else [made]:
            if item is not None and item not in network.objects:
                network.add(item)
