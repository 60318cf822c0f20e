"""Interface of both backends: load values, run some steps, read arrays.

Above `plan`, below both backends. Start at `Engine`; `neurosim.engine.build` chooses one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.liveness import VALUES, direct_populations, live_phases, tracks
from neurosim.engine.names import OWN, bias_group, projection_group
from neurosim.engine.plan import Plan
from neurosim.model.equations.lagrangian import GAINS, TIMES
from neurosim.model.methods import ADAPTIVE

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork

    from neurosim.engine.added import Added

Array = np.ndarray
Key = tuple[str, str]  # group and variable
Factory = Callable[["BrianNetwork"], Any]  # returns user-supplied objects for the network
# Writes the rows of the next presentation; returns False where there are none
World = Callable[[], bool]
BEFORE = ("run", "steps_before")
GAINS_AND_TIMES = (*GAINS, *TIMES)


class Engine(ABC):
    """One Brian2 network and the values in it.

    Parameters
    ----------
    plan : Plan
    threads : int
        Threads that BLAS uses for products of whole batches.

    Attributes
    ----------
    network : brian2.Network
    loop_time : float
        Time spent stepping, summed over all segments, s.
    settings : dict of str to float
        Values loaded into the group "run", by variable.
    gains : dict of (population, variable) to float
        Gains and time constants that all units of a population share, as loaded.
    first_sample : int
        Number of the first sample that this engine takes; above 0 where an earlier engine began
        the run.
    constants : set of (group, variable)
        Values loaded as parameters of the equations, or as their initial values.
    added : Added or None
        User-supplied objects; None where Brian2 is not imported.
    may_defer : bool
        Whether changes of weights may be deferred at all. A live simulation does without, so that
        its numbers do not depend on how a run is divided into segments.
    held : dict of (group, variable) to (places, values)
        Entries that keep their values while all others move; none by default.
    """

    network: BrianNetwork
    structure: str | None = None  # key of the structure, where the engine may serve other runs

    def __init__(self, plan: Plan, threads: int) -> None:
        self.plan = plan
        self.threads = threads
        self.loop_time = 0.0
        self.settings: dict[str, float] = {}
        self.gains: dict[Key, float] = {}
        self.first_sample = 0
        self.constants: set[Key] = set()
        self.added: Added | None = None
        self.may_defer = True
        self.held: Mapping[Key, tuple[Array, Array]] = {}

    def load(self, values: Mapping[Key, Any]) -> None:
        """Set arrays by (group, variable); a single number fills the whole array."""
        for (group, variable), value in values.items():
            if group == "run":
                self.settings[variable] = float(np.ravel(value)[0])
            elif variable in GAINS_AND_TIMES and np.size(value) == 1:
                self.gains[group, variable] = float(np.ravel(value)[0])
        if ("run", "step") in values:
            every = self.settings.get("record_steps", 1)
            done = self.settings["step"] - self.settings.get("origin", 0)
            self.first_sample = -int(-done // every)

    @property
    @abstractmethod
    def remembered(self) -> Mapping[Key, bool]:
        """The state beside x, lam, weights and biases, as `memory.state_of` returns it."""

    @abstractmethod
    def has(self, group: str, variable: str) -> bool:
        """Return whether there is an array of that name."""

    @abstractmethod
    def size(self, group: str, variable: str) -> int:
        """Return the number of entries of an array."""

    @abstractmethod
    def stop(self) -> None:
        """End the current segment as soon as possible."""

    @abstractmethod
    def value(self, group: str, variable: str) -> Array:
        """Return a flat copy of an array."""

    @abstractmethod
    def present(self, data: Mapping[Key, Array], order: Array) -> None:
        """Set the data set, and the order in which its rows are clamped.

        Parameters
        ----------
        data : dict of (population, variable) to array, (rows, units)
        order : array of int
            Numbers of rows; each presentation takes the next `Plan.patterns` of them.
        """

    @abstractmethod
    def modulate(self, values: Mapping[str, Array], length: int) -> None:
        """Set the values of modulators: one for every `length` steps, from the present step on."""

    def ask(self, world: World) -> None:
        """Call a world at the end of each presentation, to write the rows of the next one.

        Raises
        ------
        NotImplementedError
            The engine does not return to Python between two steps.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot call {world!r} between two steps; try backend='numpy'"
        )

    @abstractmethod
    def run(self, n_steps: int) -> None:
        """Run `n_steps` more steps; end early if the state leaves its bound or settles."""

    @property
    def objects_seed(self) -> int:
        """Seed of Brian2's own random numbers, which user-supplied objects may draw; 31 bit.

        It follows from the noise's key and from the number of the segment's first step.
        """
        step = self.counter("steps_before") + self.steps
        seeds = np.random.SeedSequence([self.counter("noise_key"), step])
        return int(seeds.generate_state(1)[0] >> 1)

    @abstractmethod
    def recorded(self, number: int, first: int, last: int) -> Array:
        """Return samples `first` to `last` - 1 of one recorded variable, (samples, entries).

        `number` is the index of the variable in `Plan.recorded`.
        """

    @property
    def steps(self) -> int:
        """Number of steps since this run began, including those of an earlier engine."""
        return self.counter("step") - self.counter("origin")

    @property
    def samples(self) -> int:
        """Number of samples since the run began, including those of an earlier engine."""
        step = self.steps
        every = int(self.settings.get("record_steps", 1))
        taken = -(-step // every)
        fixed_step = self.plan.method != ADAPTIVE
        if fixed_step and step % every == 0 and self.counter("settled"):
            taken += 1  # a run that settles records the step at which it does
        return taken

    def counter(self, name: str) -> int:
        """Return one entry of the group "run" as an integer."""
        return int(self.value("run", name)[0])

    @property
    def memory(self) -> list[Key]:
        """The state from which a run can go on, beside x, lam, weights and biases."""
        found = []
        for key, moves in self.remembered.items():
            if moves or key not in self.constants:
                found.append(key)
        return found

    def state(self) -> dict[Key, Array]:
        """Return copies of all arrays that are needed to continue the run."""
        net = self.plan.net
        own = [("run", "step"), ("run", "origin"), BEFORE]
        own += [(projection_group(n), "w") for n in net.projections]
        own += [(projection_group(n), "back") for n in net.feedback]
        own += [(bias_group(n), "w") for n in net.neurons]
        for name in net.populations:
            own += [(name, variable) for variable in OWN if self.has(name, variable)]
        return {key: self.value(*key) for key in [*own, *self.memory]}

    def live(self) -> dict[Key, Any]:
        """Return what the steps of the next segment must compute, see `liveness`."""
        if not tracks(self.plan):
            return {}
        direct = direct_populations(self.plan, self.gains)
        gate = int(self.settings.get("gate_steps", 0))
        found = live_phases(self.plan, direct, gate, int(self.settings.get("present_steps", 1)))
        values: dict[Key, Any] = {("run", "direct"): found.direct}
        for number, value in enumerate(VALUES):
            values["run", f"{value}_from"] = found.first[:, number]
        values["run", "live_until"] = found.until
        return values

    def defers(self, projection: str, n_steps: int) -> bool:
        """Return whether weights from a clamped input are brought up to date only when read.

        While x is constant, W += h delta^T x changes the drive W x by exactly h (x x^T) delta.
        Changes are deferred where computing the Gram matrix x x^T and its products takes fewer
        multiplications than the products with W. Samples read a copy of the weights, so recording
        does not matter here.
        """
        plan = self.plan
        moves = plan.presentation or self.settings.get("plastic")
        proximal = plan.net.projections[projection].proximal
        if not (moves and self.may_defer) or proximal or not plan.may_defer(projection):
            return False
        steps = float(n_steps)  # between two times at which the weights are brought up to date
        if plan.presentation:  # no segment divides one
            steps = self.settings["present_steps"] - self.settings["gate_steps"]
        post, pre = plan.net.weights[projection].shape
        product = plan.patterns * post * pre
        with_gram = plan.patterns**2 * (pre + steps * post) + 2 * product
        return bool(with_gram < 2 * steps * product)
