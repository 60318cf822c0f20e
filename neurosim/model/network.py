"""A network as a directed graph: populations, projections, losses, and their parameters.

Contains no flow and runs nothing. Start at `Network.mlp` for layers, at `Network` for any other
graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.arguments import checked_methods
from neurosim.errors import choice, whole
from neurosim.model import graphs, layers
from neurosim.model.feedback import (
    SIGN,
    SYMMETRIC,
    checked_feedback,
    random_feedback,
    scaled_signs,
    size_of,
)
from neurosim.model.parts import Parts, copied
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


@checked_methods("mlp", "residual", "from_description", "from_networkx", "replace_with")
class Network(Parts):
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
        By projection. What is written into these mappings is checked, and arrays are copied.
    biases : dict of str to array, (n,), unit 1
        By population, for those that are not clamped.
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
        rng = np.random.default_rng(whole("seed", seed, 0))
        self._weights = {}
        for name, projection in self._projections.items():
            self._weights[name] = self._initial_weights(projection, rng)
        self._biases = {}
        for name in self.neurons:
            population = self._populations[name]
            self._biases[name] = np.full(population.size, population.bias_init)
        self._feedback = {}
        for number, name in enumerate(self._projections):
            if self._projections[name].feedback == SYMMETRIC:
                continue
            # a separate random stream, so that weights do not depend on the kinds of feedback
            sequence = np.random.SeedSequence(seed, spawn_key=(number,))
            self._feedback[name] = self._initial_feedback(name, np.random.default_rng(sequence))
        self._made = True

    @classmethod
    def mlp(
        cls,
        sizes: Sequence[int],
        activation: str = "tanh",
        output: str = "linear",
        loss: str | None = "cross_entropy",
        *,
        gain: float = 1.0,
        init: str = NORMAL,
        seed: int = 0,
        constraint: str | Mapping[str, str] = "lin",
        epsilon: float | Mapping[str, float] = 0.0,
        free_output: bool = False,
        loss_epsilon: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        group_l1: float = 0.0,
        activity_l1: float = 0.0,
        plastic_bias: bool = True,
        bias_init: float = 0.0,
        depth: int | None = None,
        feedback: str | Mapping[str, str] = SYMMETRIC,
        feedback_decay: float | None = None,
        exits: float | Mapping[str, float] = 0.0,
        skips: int = 0,
        plasticity: Any = None,
        bias_plasticity: Any = None,
    ) -> Network:
        """Build layers `input`, `hidden1`, ..., `output`; w ~ N(0, gain²/n_pre), b = bias_init.

        Parameters
        ----------
        sizes : sequence of int
            Units per layer, input first, at least two layers; with `depth` [input, hidden, output].
        activation : str
            Activation of the hidden layers, see `Population`.
        output : str
            Activation of the output.
        loss : str, optional
            Loss on the output, see `Loss`; None for a network that learns by Hebbian rules.
        gain : float
            Spread of the weights that are drawn, in units of 1/sqrt(n_pre), >= 0.
        init : "normal" or "orthogonal"
            Distribution of the weights that are drawn, see `Projection`.
        seed : int
            Seed of the weights that are drawn, >= 0.
        constraint : str or {population: str}
            Constraint of the hidden layers and the output, see `Population`; populations that a
            mapping leaves out have lin.
        epsilon : float or {population: float}
            Tolerance of the constraints, >= 0; beside a mapping of constraints one number is for
            those that have a tolerance.
        free_output : bool
            Whether the output's constraint is "none", as in Local Propagation.
        loss_epsilon : float
            Tolerance of the loss eps_insensitive, >= 0.
        l1, l2 : float
            Penalties on the weights of every projection, >= 0, see `Projection`.
        group_l1 : float
            Penalty on each hidden neuron, >= 0: `row_l1` of its incoming and `column_l1` of its
            outgoing projections.
        activity_l1 : float
            Penalty on the hidden layers' outputs, >= 0, see `Population`.
        plastic_bias : bool
            Whether biases learn; with False they stay at `bias_init`.
        bias_init : float
            Initial biases of the hidden layers, the exits and the output.
        depth : int, optional
            Number of weight layers, >= 1; there are depth - 1 hidden layers of one size.
        feedback : str or {projection: str}
            Kind of the feedback weights, see `Projection`, of every projection that is not from the
            input; symmetric for those that a mapping leaves out.
        feedback_decay : float, optional
            Decay of the projections whose feedback is kolen_pollack, >= 0; 0.01 if None.
        exits : float or {population: float}
            Weight of the loss on each hidden layer's early exit, >= 0; 0 is without an exit.
        skips : int
            With k >= 2, add projections from each layer to the k-th layer after it; 0 for none.
        plasticity, bias_plasticity : rule or {projection: rule}, optional
            Learning rules of weights and of biases, see `Projection`; the built-in one by default.

        Notes
        -----
        The exit of `hidden<i>` is an additional readout `exit<i>` with the output's size,
        activation, constraint and loss. Exits do not change the weights that a seed draws for the
        layers. With skips all weights into a layer have the same spread: N(0, gain²/n), where n is
        the number of all its presynaptic units.

        Examples
        --------
        >>> Network.mlp([64, 32, 10])
        Network(64-32-10, 2 projections, 2410 parameters, cross_entropy on output)
        """
        size = layers.layer_sizes(sizes, depth)
        names = list(size)
        hidden = names[1:-1]
        layers.check_penalties(hidden, group_l1=group_l1, activity_l1=activity_l1)
        options = layers.constraint_options(names[1:], constraint, epsilon, free_output)
        exit_weights = layers.exit_weights(exits, hidden)
        readouts = [*map(layers.exit_of, exit_weights), "output"]
        populations = [Population("input", size["input"], "linear", clamped=True)]
        biases: dict[str, Any] = {"plastic_bias": plastic_bias, "bias_init": bias_init}
        biases["bias_plasticity"] = bias_plasticity
        for name in hidden:
            own = options[name] | biases | {"activity_l1": activity_l1}
            populations.append(Population(name, size[name], activation, **own))
        for name in readouts:
            own = options["output"] | biases
            populations.append(Population(name, size["output"], output, **own))
        exit_ends = [(name, layers.exit_of(name)) for name in exit_weights]
        ends = [*pairwise(names), *layers.skip_ends(skips, names), *exit_ends]
        feedback_options = layers.feedback_options(feedback, feedback_decay, ends)
        rules = layers.rules(plasticity, ends)
        projections = []
        for pre, post in ends:
            penalties: dict[str, Any] = {"l1": l1, "l2": l2}
            if post in hidden:
                penalties["row_l1"] = group_l1
            if pre in hidden:
                penalties["column_l1"] = group_l1
            spread = gain * layers.gain_share(pre, post, ends, populations)
            own = feedback_options[pre, post] | rules[pre, post] | penalties
            projections.append(Projection(pre, post, gain=spread, init=init, **own))
        losses = layers.losses(loss, loss_epsilon, exit_weights)
        return cls(populations, projections, losses, seed=seed)

    @classmethod
    def residual(
        cls,
        sizes: Sequence[int],
        depth: int,
        activation: str = "tanh",
        output: str = "linear",
        loss: str = "cross_entropy",
        *,
        gain: float = 1.0,
        scale: float | None = None,
        plastic_bias: bool = True,
        seed: int = 0,
    ) -> Network:
        """Build a residual net: blocks x_l = x_(l-1) + scale sigma(W_l x_(l-1) + b_l).

        Parameters
        ----------
        sizes : [input, width, output]
            Units of the input, of every hidden layer, and of the output.
        depth : int
            Number of plastic weight layers, >= 3: a linear layer (`hidden1`), depth - 2 blocks, and
            the output.
        activation : str
            Activation of the branches, see `Population`.
        output : str
            Activation of the output.
        loss : str
            Loss on the output, see `Loss`.
        gain : float
            Spread of the weights that are drawn, in units of 1/sqrt(n_pre), >= 0.
        scale : float, optional
            Factor of a branch's output, >= 0; 1/sqrt(depth) by default, with which outputs and
            adjoints stay bounded as the depth grows.
        plastic_bias : bool
            Whether biases learn; with False they stay 0.
        seed : int
            Seed of the weights that are drawn, >= 0.

        Notes
        -----
        The sum of a stream and a branch is not an activation of one net input, so each block is two
        populations. `branch2`, ... have the outputs sigma(W x + b). `hidden2`, ... are linear and
        receive the previous stream and the branch through fixed synapses (`plastic=False`) of
        weight 1 and `scale`. Each population has an ordinary constraint, so every flow, message
        transport and analysis applies. Per block a message needs two steps through the branch and
        one through the stream.

        References
        ----------
        He et al., CVPR 2016; the scale: Hayou et al., AISTATS 2021, arXiv 2010.12859.

        Examples
        --------
        >>> Network.residual([8, 4, 2], depth=3)
        Network(5 populations, 22 units, 5 projections, 78 parameters, cross_entropy on output)
        """
        populations = layers.residual_populations(sizes, depth, activation, output, plastic_bias)
        width = populations[1].size
        projections = layers.residual_projections(width, int(depth), gain, scale)
        return cls(populations, projections, [Loss("output", loss)], seed=seed)

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

    @property
    def n_parameters(self) -> int:
        """Number of synapses that exist plus number of biases."""
        n_weights = sum(synapses(w).size for w in self.weights.values())
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
        list of str, or None if the graph has a cycle
        """
        return graphs.order(self.populations, self.projections)

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
            present weights.
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
            size = self.populations[name].size
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
        summary = graphs.summary(self.populations, self.projections, self.losses, self.n_parameters)
        return f"Network({summary})"

    def _initial_weights(self, q: Projection, rng: np.random.Generator) -> Weights:
        if q.weights is not None:
            return self._checked(q, q.weights).copy()
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
        shape = self._shape(q)
        return checked_weights(q.name, weights, shape, checked_mask(q.name, q.mask, shape))

    def _shape(self, q: Projection) -> tuple[int, int]:
        return self.populations[q.post].size, self.populations[q.pre].size
