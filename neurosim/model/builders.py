"""Networks of a known structure: layers, residual blocks, convolutions, time, graphs.

Each builder returns populations and projections that `Network` connects; any other graph is given
to `Network` itself. Below `network`. Start at `Builders.mlp`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Self

from neurosim.arguments import checked_methods
from neurosim.model import layers, structured
from neurosim.model.feedback import SYMMETRIC
from neurosim.model.parts import Parts
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.weights import NORMAL, ORTHOGONAL


@checked_methods("mlp", "residual", "convolutional", "recurrent", "graph")
class Builders(Parts):
    """Base of `Network`: class methods that build one.

    Parameters
    ----------
    populations, projections, losses, seed
        As in `Network`.
    """

    def __init__(
        self,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        losses: Sequence[Loss] = (),
        *,
        seed: int = 0,
    ) -> None:
        raise NotImplementedError

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
    ) -> Self:
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
        >>> from neurosim.model.network import Network
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
    ) -> Self:
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
        >>> from neurosim.model.network import Network
        >>> Network.residual([8, 4, 2], depth=3)
        Network(5 populations, 22 units, 5 projections, 78 parameters, cross_entropy on output)
        """
        populations = layers.residual_populations(sizes, depth, activation, output, plastic_bias)
        width = populations[1].size
        projections = layers.residual_projections(width, int(depth), gain, scale)
        return cls(populations, projections, [Loss("output", loss)], seed=seed)

    @classmethod
    def convolutional(
        cls,
        shape: Sequence[int],
        channels: Sequence[int],
        kernel: Any = 3,
        stride: Any = 1,
        outputs: int = 10,
        *,
        padding: Any = "same",
        pool: Any = 1,
        activation: str = "tanh",
        output: str = "linear",
        loss: str | None = "cross_entropy",
        gain: float = 1.0,
        init: str = NORMAL,
        shared: bool = True,
        feedback: str | Mapping[str, str] = SYMMETRIC,
        feedback_decay: float | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
        plasticity: Any = None,
        bias_plasticity: Any = None,
        seed: int = 0,
    ) -> Self:
        """Build convolutional layers with a dense readout.

        Parameters
        ----------
        shape : sequence of int
            Sites and features of the input, features last: (28, 28, 1) for a grey image, (40, 1)
            for a series.
        channels : sequence of int
            Features of `hidden1`, `hidden2`, ...
        kernel, stride : int, tuple or list
            Of every layer: one number for all axes or a tuple of one per axis. A list has an entry
            for each layer.
        outputs : int
            Units of the readout.
        padding : "same", "valid", int, tuple or list
            See `sites.Conv`; a list has an entry for each layer.
        pool : int, tuple or list
            Sites that are averaged behind every layer, by a population `pool1`, ...; 1 for none.
        activation, output, loss, gain, init, feedback, feedback_decay, l1, l2, plasticity
            As in `mlp`.
        shared : bool
            With False, every site has weights of its own: local receptive fields.
        bias_plasticity, seed
            As in `mlp`.

        Examples
        --------
        >>> from neurosim.model.network import Network
        >>> Network.convolutional((8, 8, 1), [8, 16], stride=[1, 2])
        Network(8x8x1-8x8x8-4x4x16-10, 3 projections, 3818 parameters, cross_entropy on output)
        """
        options = {"activation": activation, "bias_plasticity": bias_plasticity}
        over = {"kernel": kernel, "stride": stride, "padding": padding}
        populations, ends = structured.convolutions(shape, channels, over, pool, options)
        readout = Population("output", outputs, output, bias_plasticity=bias_plasticity)
        populations.append(readout)
        ends[populations[-2].name, "output"] = None
        weighted = [pair for pair, how in ends.items() if how is None or how.weighted]
        feedback_options = layers.feedback_options(feedback, feedback_decay, weighted)
        rules = layers.rules(plasticity, weighted)
        projections = []
        for pair, how in ends.items():
            if pair not in weighted:
                projections.append(Projection(*pair, over=how))
                continue
            own = feedback_options[pair] | rules[pair] | {"l1": l1, "l2": l2}
            apart = how is not None and not shared
            own["init"] = NORMAL if apart else init
            projections.append(Projection(*pair, over=how, shared=not apart, gain=gain, **own))
        return cls(populations, projections, layers.losses(loss, 0.0, {}), seed=seed)

    @classmethod
    def recurrent(
        cls,
        steps: int,
        features: int,
        hidden: int,
        outputs: int,
        *,
        read: str = "last",
        activation: str = "tanh",
        output: str = "linear",
        loss: str | None = "cross_entropy",
        gain: float = 1.0,
        init: str = ORTHOGONAL,
        feedback: str | Mapping[str, str] = SYMMETRIC,
        feedback_decay: float | None = None,
        l2: float = 0.0,
        plasticity: Any = None,
        bias_plasticity: Any = None,
        seed: int = 0,
    ) -> Self:
        """Build a recurrent layer over time, whose steps are sites.

        x(t) = sigma(U u(t) + W x(t - 1) + b), with x = 0 before the first step.

        Parameters
        ----------
        steps, features : int
            Time steps of an input, and its features at each.
        hidden, outputs : int
            Units of the recurrent layer `hidden1` and of the output, at each step.
        read : "last" or "every"
            Whether the output reads the last step, or has an output at every step.
        init : "orthogonal" or "normal"
            Distribution of the recurrent weights; those of input and output are normal.
        activation, output, loss, gain, feedback, feedback_decay, l2, plasticity
            As in `mlp`.
        bias_plasticity, seed
            As in `mlp`.

        References
        ----------
        Orthogonal weights keep the norm of what is sent through time: Saxe, McClelland & Ganguli,
        ICLR 2014.

        Examples
        --------
        >>> from neurosim.model.network import Network
        >>> Network.recurrent(8, 8, 32, 10)
        Network(3 populations, 330 units, 3 projections, 1642 parameters, cross_entropy on output)
        """
        options = {"bias_plasticity": bias_plasticity}
        populations, ends = structured.recurrent(
            steps, features, hidden, outputs, read, activation, output, options
        )
        feedback_options = layers.feedback_options(feedback, feedback_decay, list(ends))
        rules = layers.rules(plasticity, list(ends))
        projections = []
        for pair, how in ends.items():
            own = feedback_options[pair] | rules[pair] | {"l2": l2}
            own["init"] = init if pair[0] == pair[1] else NORMAL
            projections.append(Projection(*pair, over=how, gain=gain, **own))
        return cls(populations, projections, layers.losses(loss, 0.0, {}), seed=seed)

    @classmethod
    def graph(
        cls,
        adjacency: Any,
        features: int,
        state: int,
        outputs: int,
        *,
        edge: int = 15,
        readout: int = 0,
        activation: str = "tanh",
        output: str = "linear",
        loss: str | None = "cross_entropy",
        gain: float = 1.0,
        l2: float = 0.0,
        constraint: str | Mapping[str, str] = "lin",
        epsilon: float | Mapping[str, float] = 0.0,
        plasticity: Any = None,
        bias_plasticity: Any = None,
        seed: int = 0,
    ) -> Self:
        """Build a graph neural network: the state of a node is a sum over its edges.

        Every edge has a hidden layer, which reads the labels of both its nodes and the state of its
        source: x_v = sum_{u -> v} sigma(W_2 sigma(W_1 [l_v, l_u, x_u])). On a graph with cycles the
        states are a fixed point.

        Parameters
        ----------
        adjacency : SciPy sparse array or array, (nodes, nodes)
            Entry [v, u] is the weight of the edge u -> v, by which its message is multiplied. Many
            graphs are one block-diagonal matrix.
        features, state, outputs : int
            Features of a node's label, of its state, and of its output.
        edge, readout : int
            Units of the hidden layer of an edge and of that before the output; 0 for none of the
            latter.
        constraint, epsilon
            Of `edge`, `state`, `readout` and `output`, as in `mlp`.
        activation, output, loss, gain, l2, plasticity, bias_plasticity, seed
            As in `mlp`.

        References
        ----------
        Scarselli et al., IEEE Trans. Neural Networks 20, 61 (2009); with constraints: Tiezzi et
        al., arXiv 2002.07720.

        Examples
        --------
        >>> from neurosim.model.network import Network
        >>> Network.graph([[0, 1], [1, 0]], features=2, state=3, outputs=2, edge=4)
        Network(4 populations, 22 units, 4 projections, 55 parameters, cross_entropy on output, \
cyclic)
        """
        populations, ends = structured.graph(
            adjacency, (features, edge, state, readout, outputs), activation, output
        )
        names = [p.name for p in populations[1:]]
        options = layers.constraint_options(names, constraint, epsilon, False)
        finished = [populations[0]]
        for p in populations[1:]:
            own = options[p.name] | {"bias_plasticity": bias_plasticity}
            finished.append(replace(p, **own))
        rules = layers.rules(plasticity, list(ends))
        projections = []
        for pair, how in ends.items():
            projections.append(Projection(*pair, over=how, gain=gain, l2=l2, **rules[pair]))
        return cls(finished, projections, layers.losses(loss, 0.0, {}), seed=seed)
