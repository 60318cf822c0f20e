"""User-supplied objects in the Brian2 network of a simulation.

Below `simulation`. Start at `BrianObjects.add`, which documents the groups of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neurosim.arguments import checked_methods

if TYPE_CHECKING:
    from brian2.core.network import Network as BrianNetwork


@checked_methods("add")
class BrianObjects:
    """The part of a `Simulation` that adds user-supplied Brian2 objects to its network.

    Attributes
    ----------
    factories : tuple of callable
        The functions that were added.
    """

    factories: tuple[Callable[[BrianNetwork], Any], ...]

    def add(self, factory: Callable[[BrianNetwork], Any]) -> None:
        """Put Brian2 objects into every network that this simulation builds.

        Objects that are made within `factory` run at the simulation's dt, unless they name a `dt`
        or a clock. Nothing is left out: what the backend cannot run is refused by name when the
        network is built, and with "auto", which then chooses "numpy", `backend_reason` says why.

        A run that goes on from another one (`start`), or from a checkpoint, goes on with their
        state. Their random numbers follow from the simulation's seed and the number of the step, so
        two halves equal the whole. Monitors record anew in each run. What cannot be kept is refused
        by name: spikes under way in synapses with a delay, and on "standalone" the variables of
        synapses.

        Parameters
        ----------
        factory : callable
            Takes the Brian2 network; returns an object or a list of objects. On "standalone" a run
            is one program, which refuses what cannot be compiled, such as a `network_operation`.

        Raises
        ------
        ModelError
            When the network is built: nothing was returned; an object that was made outside of
            `factory` without a dt; values assigned to the groups of the simulation, which a run
            loads itself; Python code on "standalone". When a run goes on: an object whose state
            was not kept, or one that has another size or other synapses than before.

        Notes
        -----
        ``network[name]`` is a group. With K patterns, and n units of a population:

        - ``"hidden1"``, a population: a `NeuronGroup` of K n units, pattern after pattern, so that
          unit i of pattern k has index k n + i. It has the variables of ``sim.equations``; an input
          population has x.
        - ``"input_to_hidden1"``, the projection "input->hidden1": `w`, the weights row by row, so
          that the one from unit j to unit i has index i n_pre + j. A sparse projection has only
          those that exist, in that order, and `row` and `col` as SciPy's csr_array has `indptr` and
          `indices`. Feedback weights that are not the transpose are in `back`, at the index of the
          weight of the same synapse. `tau_w` is in s.
        - ``"hidden1_bias"``: `w`, the n biases, and `tau_w`.
        - ``"run"``: counters of the run; ``network["run"].plastic[0]`` is 1 while weights move.

        A step sends messages in slot "before_start", which ends with `a` and `feedback` up to date,
        takes samples in "start" (order -20), moves weights and states in "groups" (order 0), and
        ends in "end" (order 100).

        Examples
        --------
        >>> def monitor(network):  # doctest: +SKIP
        ...     return StateMonitor(network["hidden1"], "lam", record=[0], name="monitor")
        >>> sim.add(monitor)  # doctest: +SKIP
        >>> sim.network["monitor"].lam  # after a run  # doctest: +SKIP
        """
        vars(self).update(factories=(*self.factories, factory))
