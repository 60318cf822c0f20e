"""A network as a directed graph: populations, projections, losses, and their parameters.

Contains no flow and runs nothing. `builders` has the layered nets and others of a known structure.
Start at `Network`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked_methods
from neurosim.errors import choice, whole
from neurosim.model import expressions, graphs, shared
from neurosim.model.builders import Builders
from neurosim.model.expressions import CROSS_ENTROPY, POLICY, LossTerm
from neurosim.model.feedback import (
    SIGN,
    SYMMETRIC,
    checked_feedback,
    random_feedback,
    scaled_signs,
    size_of,
)
from neurosim.model.parts import copied
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.weights import (
    NORMAL,
    Weights,
    checked_bias,
    checked_mask,
    checked_weights,
    random_weights,
    synapses,
    transposed,
)

if TYPE_CHECKING:
    import networkx as nx


@checked_methods("from_description", "from_networkx", "replace_with")
class Network(Builders):
    """A directed graph of populations with weights and biases.

    Parameters
    ----------
    populations : sequence of Population
        Populations of the graph; their names must differ.
    projections : sequence of Projection
        Projections between them, at most one per ordered pair; skips, cycles and self-connections
        are allowed.
    losses : sequence of Loss
        Losses, at most one per population.
    seed : int
        Seed of the weights that are drawn, >= 0.

    Attributes
    ----------
    populations : dict of str to Population
    projections : dict of str to Projection
        By ``"pre->post"``.
    losses : dict of str to Loss
        By population.
    weights : dict of str to array or csr_array, (n_post, n_pre), unit 1
        By projection; (terms, post features, pre features) where sites share them. What is written
        into these mappings is checked, and arrays are copied.
    biases : dict of str to array, (n,), unit 1
        By population, for those that are not clamped; (features,) where all incoming weights are
        shared.
    feedback : dict of str to array or csr_array, (n_pre, n_post), unit 1
        B by projection, for those whose feedback is not symmetric; sparse where the weights are.

    Raises
    ------
    ModelError
        Unknown or duplicate names, no population with dynamics, a projection or loss where none is
        allowed, or weights of another shape.

    Examples
    --------
    >>> populations = [Population("eye", 3, clamped=True), Population("hand", 2)]
    >>> Network(populations, [Projection("eye", "hand")], [Loss("hand", "mse")])
    Network(3-2, 1 projections, 8 parameters, mse on hand)
    """

    def __init__(
        self,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        losses: Sequence[Loss] = (),
        *,
        seed: int = 0,
    ) -> None:
        self._populations = graphs.by_name("population", populations, Population, "name")
        self._projections = graphs.by_name("projection", projections, Projection, "name")
        self._losses = graphs.by_name("loss", losses, Loss, "population")
        graphs.check(self._populations, self._projections, self._losses)
        self._connect()
        rng = np.random.default_rng(whole("seed", seed, 0))
        self._weights = {}
        for name, projection in self._projections.items():
            self._weights[name] = self._initial_weights(projection, rng)
        self._biases = {}
        for name in self.neurons:
            population = self._populations[name]
            self._biases[name] = np.full(self._bias_size(name), population.bias_init)
        self._feedback = {}
        for number, name in enumerate(self._projections):
            if self._projections[name].feedback == SYMMETRIC:
                continue
            # a separate random stream, so that weights do not depend on the kinds of feedback
            sequence = np.random.SeedSequence(seed, spawn_key=(number,))
            self._feedback[name] = self._initial_feedback(name, np.random.default_rng(sequence))
        self._made = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the clamped populations."""
        return tuple(n for n, p in self.populations.items() if p.clamped)

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the populations that are not clamped."""
        return tuple(n for n, p in self.populations.items() if not p.clamped)

    @property
    def output(self) -> str:
        """Name of the population whose outputs `predict` returns.

        It is the last population whose loss has a target, else the last one with a loss, else the
        last one that is not clamped.
        """
        compared = [name for name, loss in self.losses.items() if loss.term.targeted]
        return list(compared or self.losses or self.neurons)[-1]

    def loss_term(self, population: str) -> LossTerm:
        """Return the loss of a population and its slope as text.

        A site without a target has y = 0 in all its features. The slope of cross_entropy is then
        0 only if it is multiplied by the sum of the targets, as that of policy is.
        """
        loss = self.losses[population]
        if loss.kind == CROSS_ENTROPY and self.populations[population].sites:
            return expressions.loss(POLICY, loss.epsilon)
        return loss.term

    @property
    def n_parameters(self) -> int:
        """Number of weights plus number of biases; the means of pools do not count."""
        n_weights = 0
        for name, q in self.projections.items():
            if q.over is None or q.over.weighted:
                n_weights += synapses(self.weights[name]).size
        n_biases = sum(b.size for b in self.biases.values())
        return n_weights + n_biases

    def incoming(self, population: str) -> list[Projection]:
        """Return the projections into a population."""
        choice("population", population, self.populations)
        return [q for q in self.projections.values() if q.post == population]

    def outgoing(self, population: str) -> list[Projection]:
        """Return the projections out of a population."""
        choice("population", population, self.populations)
        return [q for q in self.projections.values() if q.pre == population]

    def order(self) -> list[str] | None:
        """Return the populations in topological order: each after those that project to it.

        Returns
        -------
        list of str, or None if the graph has a cycle, one that time unrolls included
        """
        return graphs.order(self.populations, self.projections)

    @property
    def cyclic(self) -> bool:
        """Whether the graph has a cycle that time does not unroll."""
        if not graphs.has_cycle(self.projections):
            return False
        import networkx as nx

        graph = nx.DiGraph((q.pre, q.post) for q in self.projections.values())
        for members in nx.strongly_connected_components(graph):
            names = sorted(members)
            closed = len(names) > 1 or graph.has_edge(names[0], names[0])
            if closed and self.causal_order(names) is None:
                return True
        return False

    def causal_order(self, names: Sequence[str]) -> list[str] | None:
        """Return populations that reach each other in the order of one time step, if time unrolls.

        Time is the first axis of sites, and a projection over `Lag` reads an earlier time.

        Returns
        -------
        list of str, or None if they form a cycle
        """
        return shared.causal_order(names, self.populations, self.projections, self._between)

    def between(self, projection: str) -> shared.Between | None:
        """Return how sites are connected by a projection that shares weights; None for others."""
        choice("projection", projection, self.projections)
        return self._between[projection] if self.projections[projection].shares else None

    def unrolled(self) -> Network:
        """Return the same network without sharing: every pair of units has a weight of its own.

        Weights are sparse, biases are per unit, and populations keep their shapes. The function and
        the gradient by outputs are the same; its weights would learn apart.
        """
        projections = []
        for name, q in self.projections.items():
            feedback = None
            if q.draws_feedback:
                feedback = transposed(self.matrix(name, self.returning(name)))
            own = {"weights": self.matrix(name), "feedback_weights": feedback, "over": None}
            if feedback is not None:
                own["feedback_size"] = None
            projections.append(replace(q, **own, shared=True, init=NORMAL))
        twin = type(self)(list(self.populations.values()), projections, list(self.losses.values()))
        for name, bias in self.biases.items():
            twin.biases[name] = np.tile(bias, self.populations[name].size // bias.size)
        return twin

    def connections(self, projection: str) -> int:
        """Return the number of pairs of units that a projection connects, by term if shared."""
        connected = self.between(projection)
        if connected is None:
            return int(self.weights[projection].size)
        return connected.entries * connected.post_features * connected.pre_features

    def matrix(self, projection: str, weights: Weights = None) -> Weights:
        """Return the matrix from all units to all units, (n_post, n_pre).

        Parameters
        ----------
        projection : str
        weights : array or csr_array, optional
            In the layout of the weights, and in their place.

        Returns
        -------
        array or csr_array, (n_post, n_pre)
            The weights themselves where no sites share them, else sum_o A_o (x) W_o.
        """
        own = self.weights[projection] if weights is None else weights
        connected = self.between(projection)
        return own if connected is None else connected.unrolled(own)

    def copy(self) -> Network:
        """Return the same graph with copies of its weights, biases and feedback weights."""
        return self.sharing(
            weights={name: copied(w) for name, w in self.weights.items()},
            biases={name: copied(b) for name, b in self.biases.items()},
            feedback={name: copied(B) for name, B in self.feedback.items()},
        )

    def returning(self, projection: str) -> Weights:
        """Return the matrix through which messages travel back, in the layout of the weights.

        Returns
        -------
        array or csr_array, (n_post, n_pre), unit 1
            W itself, not a copy, if the feedback is symmetric, else Bᵀ; for sign computed from the
            present weights. Shared ones are (terms, post features, pre features).
        """
        choice("projection", projection, self.projections)
        q, w = self.projections[projection], self.weights[projection]
        if q.feedback == SYMMETRIC:
            return w
        if q.feedback == SIGN:
            return scaled_signs(w, q.feedback_size or 0.0)
        return transposed(self.feedback[projection])

    def follow_signs(self) -> None:
        """Set every B of kind sign from the signs of the present weights."""
        for name, q in self.projections.items():
            if q.feedback == SIGN:
                self._feedback[name] = transposed(self.returning(name))

    def replace_with(self, other: Network) -> None:
        """Replace the graph and all parameters by copies of another network's, in place.

        All references to this object then see the new graph.
        """
        vars(self).update(vars(other.copy()))

    def check_parameters(self) -> None:
        """Validate weights, feedback and biases that users may have set, and restore their layout.

        Raises
        ------
        ModelError
            Another shape, other synapses, or values that are not finite.
        """
        for name, projection in self.projections.items():
            weights = self._checked(projection, self.weights.get(name))
            self._weights[name] = weights
            if projection.draws_feedback:
                given = self.feedback.get(name)
                self._feedback[name] = checked_feedback(f"feedback[{name!r}]", given, weights)
        self.follow_signs()
        for name in self.neurons:
            size = self._bias_size(name)
            self._biases[name] = checked_bias(name, self.biases.get(name), size)

    def to_networkx(self) -> nx.DiGraph:
        """Return a NetworkX graph with populations as nodes and projections as edges.

        The nodes and edges have the arguments of their populations and projections, losses, weights
        and biases as attributes.
        """
        parts = self.populations, self.projections, self.losses
        return graphs.to_networkx(*parts, self.weights, self.biases, self.feedback)

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph, *, seed: int = 0) -> Network:
        """Build a network from a NetworkX graph, made by `to_networkx` or otherwise.

        Parameters
        ----------
        graph : networkx.DiGraph
            Nodes need an attribute `size`. Other attributes are optional and have the defaults of
            `Population` and `Projection`, but nodes without incoming edges are clamped unless they
            have an attribute `clamped`.
        seed : int
            Seed of the weights that are drawn.

        Raises
        ------
        ModelError
            A node without `size`, or attributes that do not fit.
        """
        net = cls(*graphs.from_networkx(graph), seed=seed)
        for node, data in graph.nodes(data=True):
            if data.get("bias") is not None:
                net.biases[str(node)] = data["bias"]
        net.check_parameters()
        return net

    def describe(self) -> dict[str, Any]:
        """Return the graph without its parameters, as plain values for `from_description`."""
        return graphs.describe(self.populations, self.projections, self.losses, self.weights)

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        weights: Mapping[str, Weights],
        biases: Mapping[str, Any],
        feedback: Mapping[str, Weights] | None = None,
    ) -> Network:
        """Build a network from the plain values of `describe` and from its parameters.

        Parameters
        ----------
        description : dict
            Plain values that `describe` returned.
        weights : dict of str to array or csr_array, (n_post, n_pre)
            By projection.
        biases : dict of str to array, (n,)
            By population, for those that are not clamped.
        feedback : dict of str to array or csr_array, (n_pre, n_post), optional
            B by projection, for the kinds that are not derived from the weights.
        """
        net = cls(*graphs.from_description(description, weights, feedback or {}))
        net.biases = {name: biases.get(name, ()) for name in net.neurons}
        net.check_parameters()
        return net

    def __repr__(self) -> str:
        parts = self.populations, self.projections, self.losses
        summary = graphs.summary(*parts, self.n_parameters, self.cyclic)
        return f"Network({summary})"

    def _connect(self) -> None:
        """Compute the matrices between sites of the projections that have some."""
        self._between = {}
        for name, q in self._projections.items():
            if q.over is not None:
                ends = self._populations[q.pre], self._populations[q.post]
                self._between[name] = shared.between(q, *ends)

    def _bias_size(self, name: str) -> int:
        """Return the number of biases of a population."""
        population = self._populations[name]
        of_features = shared.shares_biases(name, list(self._projections.values()))
        return population.features if of_features else population.size

    def _initial_weights(self, q: Projection, rng: np.random.Generator) -> Weights:
        if q.weights is not None:
            return self._checked(q, q.weights).copy()
        if q.over is not None:
            return shared.drawn(q, self._between[q.name], rng)
        shape = self._shape(q)
        mask = checked_mask(q.name, q.mask, shape)
        return random_weights(shape, mask, q.gain, rng, q.init)

    def _initial_feedback(self, name: str, rng: np.random.Generator) -> Weights:
        """Return the initial B; without `feedback_size` use the root mean square of the weights."""
        q, w = self.projections[name], self.weights[name]
        size = size_of(w) if q.feedback_size is None else q.feedback_size
        if q.feedback == SIGN:
            self._projections[name] = replace(q, feedback_size=size)
            return transposed(scaled_signs(w, size))
        if q.feedback_weights is not None:
            return checked_feedback(f"feedback_weights of {name}", q.feedback_weights, w)
        return random_feedback(w, size, rng)

    def _checked(self, q: Projection, weights: Weights) -> Weights:
        if q.over is not None:
            return shared.checked(q, self._between[q.name], weights)
        shape = self._shape(q)
        return checked_weights(q.name, weights, shape, checked_mask(q.name, q.mask, shape))

    def _shape(self, q: Projection) -> tuple[int, int]:
        return self.populations[q.post].size, self.populations[q.pre].size
