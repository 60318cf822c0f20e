"""A network as a directed graph: populations, projections, losses, and their parameters.

Says what is connected and with which weights; knows no flow and runs nothing. Start at
`Network.mlp` for layers, at `Network` for any other graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, out_of_range, unknown, whole
from neurosim.model import feedback as carriers
from neurosim.model import layers
from neurosim.model import weights as matrices
from neurosim.model.populations import OPTIONS, Loss, Population, Projection, not_negative
from neurosim.model.weights import Weights

if TYPE_CHECKING:
    import networkx as nx


class Network:
    """A directed graph of populations with weights and biases.

    Parameters
    ----------
    populations : sequence of Population
    projections : sequence of Projection
        Skips, cycles and self-connections are welcome; one projection an ordered pair.
    losses : sequence of Loss
        At most one a population.
    seed : int
        Of the weights that are drawn.

    Attributes
    ----------
    populations : dict of str to Population
    projections : dict of str to Projection
        By ``"pre->post"``.
    losses : dict of str to Loss
        By population.
    weights : dict of str to array or csr_array, (n_post, n_pre), unit 1
    biases : dict of str to array, (n,), unit 1
        Of every population that is not clamped.
    feedback : dict of str to array or csr_array, (n_pre, n_post), unit 1
        B of every projection whose feedback is not symmetric; sparse where the weights are.

    Raises
    ------
    ModelError
        Whatever does not fit together.
    """

    def __init__(
        self,
        populations: Sequence[Population],
        projections: Sequence[Projection],
        losses: Sequence[Loss] = (),
        *,
        seed: int = 0,
    ) -> None:
        self.populations = _by_name("population", populations, Population, "name")
        self.projections = _by_name("projection", projections, Projection, "name")
        self.losses = _by_name("loss", losses, Loss, "population")
        self._check_graph()
        rng = np.random.default_rng(whole("seed", seed, 0))
        self.weights: dict[str, Weights] = {
            n: self._initial(p, rng) for n, p in self.projections.items()
        }
        self.biases = {n: np.zeros(self.populations[n].size) for n in self.neurons}
        self.feedback: dict[str, Weights] = {
            n: self._initial_feedback(
                n, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
            )
            for number, (n, q) in enumerate(self.projections.items())
            if q.feedback != "symmetric"
        }

    @classmethod
    def mlp(
        cls,
        sizes: Sequence[int],
        activation: str = "tanh",
        output: str = "linear",
        loss: str = "cross_entropy",
        *,
        gain: float = 1.0,
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
        depth: int | None = None,
        feedback: str | Mapping[str, str] = "symmetric",
        feedback_decay: float | None = None,
        exits: float | Mapping[str, float] = 0.0,
        skips: int = 0,
    ) -> Network:
        """Layers `input`, `hidden1`, ..., `output`; w ~ N(0, gain²/n_pre), b = 0.

        Parameters
        ----------
        sizes : sequence of int
            Units a layer, input first; at least two.
        activation, output : str
            Activation of the hidden layers and of the last one.
        loss : str
            On the output.
        constraint : str or {population: str}
            Of the hidden layers and the output, see `Population`; populations that a mapping leaves
            out have lin.
        epsilon : float or {population: float}
            Of the constraints; one number is for all that read it.
        free_output : bool
            The output is no constraint (its constraint is "none"), as in Local Propagation.
        loss_epsilon : float
            Tolerance of ``eps_insensitive``.
        l1, l2 : float
            Prices of the weights, see `Projection`.
        group_l1 : float
            Price of each hidden neuron: `row_l1` of what comes in, `column_l1` of what goes out.
        activity_l1 : float
            Price of the hidden layers' outputs, see `Population`.
        plastic_bias : bool
            Whether biases learn; False: a net without biases.
        depth : int, optional
            Layers of weights: `sizes` is then [input, hidden, output], and there are depth - 1
            hidden layers.
        feedback : str or {projection: str}
            What carries messages back, see `Projection`; of every projection but those from the
            input, which send none.
        feedback_decay : float, optional
            Of those that are kolen_pollack.
        exits : float or {population: float}
            Early exits: hidden layer i has a readout `exit<i>` of the output's size, activation and
            constraint with weights of its own, and on it the output's loss times this number; of
            those that a mapping leaves out, none. The weights between layers are those of the same
            seed without exits.
        skips : int
            Projections from each layer to the one so many layers further on, from 2; with 0 none.
            All weights into a layer share its spread: N(0, gain²/n) with n all its presynaptic
            units.

        Examples
        --------
        >>> Network.mlp([64, 32, 10])
        Network(64-32-10, 2 projections, 2410 parameters, cross_entropy on output)
        """
        size = layers.named(sizes, depth)
        names, hidden = list(size), list(size)[1:-1]
        own = layers.constraints(names[1:], constraint, epsilon, free_output)
        learns: dict[str, Any] = {"plastic_bias": plastic_bias}
        shares = {n: v for n, v in layers.of_each("exits", exits, hidden, 0.0).items() if v}
        populations = [
            Population("input", size["input"], "linear", clamped=True),
            *(
                Population(n, size[n], activation, **own[n], **learns, activity_l1=activity_l1)
                for n in hidden
            ),
            *(
                Population(n, size["output"], output, **own["output"], **learns)
                for n in (*map(layers.exit_of, shares), "output")
            ),
        ]
        if group_l1 and not hidden:
            raise out_of_range(
                "group_l1", group_l1, "0 where no layer is hidden", "sizes=[64, 32, 10], or l1"
            )
        ends = [
            *pairwise(names),
            *layers.skips(skips, names),
            *((n, layers.exit_of(n)) for n in shares),
        ]
        carried = layers.carried(feedback, feedback_decay, ends)
        projections = [
            Projection(
                pre,
                post,
                gain=gain * layers.share(pre, post, ends, populations),
                l1=l1,
                l2=l2,
                row_l1=group_l1 if post in hidden else 0.0,
                column_l1=group_l1 if pre in hidden else 0.0,
                **carried[pre, post],
            )
            for pre, post in ends
        ]
        losses = [
            Loss(layers.exit_of(n), loss, weight, loss_epsilon) for n, weight in shares.items()
        ]
        return cls(
            populations,
            projections,
            [*losses, Loss("output", loss, epsilon=loss_epsilon)],
            seed=seed,
        )

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
        """A residual net, x_l = x_(l-1) + scale sigma(W_l x_(l-1) + b_l), between a linear layer
        and the output.

        What is added up is no function of one net input, so a block is two populations: `branch2`,
        ... hold sigma(W x + b), and `hidden2`, ... are linear and hear the stream before them and
        the branch through fixed synapses (`plastic=False`) of 1 and `scale`. Every population is an
        ordinary constraint, and every flow, transport and analysis takes it as it is; a message
        needs two steps a block through the branch, one through the stream.

        Parameters
        ----------
        sizes : [input, width, output]
        depth : int
            Layers of plastic weights: the first (`hidden1`, linear), depth - 2 blocks, the output.
        activation, output : str
            Activation of the branches and of the last layer.
        loss : str
            On the output.
        gain : float
            w ~ N(0, gain²/n_pre), b = 0.
        scale : float, optional
            Of what a branch adds; 1/sqrt(depth) by default, which keeps outputs and adjoints finite
            at any depth.
        plastic_bias : bool
            Whether biases learn.

        References
        ----------
        He et al., CVPR 2016; the scale: Hayou et al., AISTATS 2021, arXiv 2010.12859.

        Examples
        --------
        >>> Network.residual([784, 32, 10], depth=32)
        Network(63 populations, 2746 units, 92 projections, 60010 parameters, cross_entropy on output)
        """
        widths = layers.of_depth(list(sizes), depth)
        if len(widths) < 4:
            raise out_of_range(
                "depth", depth, "a whole number of weight layers >= 3: one block at least", "3"
            )
        scale = 1 / math.sqrt(depth) if scale is None else not_negative("scale", scale)
        width, blocks = widths[1], range(2, int(depth))
        unit = partial(Population, plastic_bias=plastic_bias)
        populations = [
            Population("input", widths[0], "linear", clamped=True),
            unit("hidden1", width, "linear"),
        ]
        for i in blocks:
            populations += [
                unit(f"branch{i}", width, activation),
                unit(f"hidden{i}", width, "linear"),
            ]
        populations.append(unit("output", widths[-1], output))
        last = f"hidden{blocks[-1]}"
        projections = [Projection("input", "hidden1", gain=gain)]
        for i in blocks:
            stream = f"hidden{i - 1}"
            projections += [
                Projection(stream, f"branch{i}", gain=gain),
                Projection(stream, f"hidden{i}", matrices.identity(width, 1.0), plastic=False),
                Projection(
                    f"branch{i}", f"hidden{i}", matrices.identity(width, scale), plastic=False
                ),
            ]
        projections.append(Projection(last, "output", gain=gain))
        return cls(populations, projections, [Loss("output", loss)], seed=seed)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the clamped populations."""
        return tuple(n for n, p in self.populations.items() if p.clamped)

    @property
    def neurons(self) -> tuple[str, ...]:
        """Names of the populations that are constraints, i.e. not clamped."""
        return tuple(n for n, p in self.populations.items() if not p.clamped)

    @property
    def output(self) -> str:
        """The population that `predict` reads: the last one with a loss that has a target, else the
        last one.
        """
        compared = [n for n, v in self.losses.items() if v.term.targeted]
        return list(compared or self.losses or self.neurons)[-1]

    @property
    def n_parameters(self) -> int:
        """Synapses that exist, and biases."""
        return sum(matrices.synapses(w).size for w in self.weights.values()) + sum(
            b.size for b in self.biases.values()
        )

    def incoming(self, population: str) -> list[Projection]:
        """Projections into a population."""
        return [p for p in self.projections.values() if p.post == population]

    def outgoing(self, population: str) -> list[Projection]:
        """Projections out of a population."""
        return [p for p in self.projections.values() if p.pre == population]

    def order(self) -> list[str] | None:
        """Populations so that every projection goes forward, or None where the graph has a cycle."""
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(self.populations)
        graph.add_edges_from((p.pre, p.post) for p in self.projections.values())
        return list(nx.topological_sort(graph)) if nx.is_directed_acyclic_graph(graph) else None

    def copy(self) -> Network:
        """The same graph with its own weights and biases."""
        twin = object.__new__(Network)
        twin.populations, twin.projections, twin.losses = (
            dict(self.populations),
            dict(self.projections),
            dict(self.losses),
        )
        twin.weights = {n: w.copy() for n, w in self.weights.items()}
        twin.biases = {n: b.copy() for n, b in self.biases.items()}
        twin.feedback = {n: b.copy() for n, b in self.feedback.items()}
        return twin

    def returning(self, projection: str) -> Weights:
        """What carries a projection's messages back, laid out as its weights are, (n_post, n_pre):
        W, or Bᵀ.
        """
        kind, w = self.projections[projection].feedback, self.weights[projection]
        if kind == "sign":
            return matrices.with_values(
                w,
                (self.projections[projection].feedback_size or 0.0) * np.sign(matrices.synapses(w)),
            )
        return w if kind == "symmetric" else matrices.transposed(self.feedback[projection])

    def follow_signs(self) -> None:
        """Let the feedback of kind sign be that of the weights as they are."""
        for name, q in self.projections.items():
            if q.feedback == "sign":
                self.feedback[name] = matrices.transposed(self.returning(name))

    def replace_with(self, other: Network) -> None:
        """Take on another network's graph and parameters, so that whoever holds this one goes on
        with that.
        """
        self.__dict__.update(other.copy().__dict__)

    def check_parameters(self) -> None:
        """Refuse weights or biases that were replaced by something that does not fit, or is not
        finite.
        """
        for name, projection in self.projections.items():
            self.weights[name] = self._checked(projection, self.weights.get(name))
            if projection.draws_feedback:
                found = self.feedback.get(name)
                self.feedback[name] = carriers.checked(
                    f"feedback[{name!r}]", found, self.weights[name]
                )
        self.follow_signs()
        for name in self.neurons:
            size = self.populations[name].size
            try:
                bias = np.asarray(self.biases.get(name), dtype=float)
            except (TypeError, ValueError) as error:
                raise ModelError(
                    f"biases[{name!r}] are not numbers; allowed: ({size},), finite numbers"
                ) from error
            if bias.shape != (size,) or not np.isfinite(bias).all():
                raise ModelError(
                    f"biases[{name!r}] has shape {bias.shape}; allowed: ({size},), finite numbers"
                )
            self.biases[name] = np.ascontiguousarray(bias)

    def to_networkx(self) -> nx.DiGraph:
        """Populations as nodes, projections as edges; every argument is an attribute, weights
        included.
        """
        import networkx as nx

        graph = nx.DiGraph()
        for name, p in self.populations.items():
            graph.add_node(
                name,
                size=p.size,
                activation=p.activation,
                constraint=p.constraint,
                clamped=p.clamped,
                epsilon=p.epsilon,
                activity_l1=p.activity_l1,
                plastic_bias=p.plastic_bias,
                bias=self.biases.get(name),
                loss=self.losses.get(name),
            )
        for name, q in self.projections.items():
            own = {"feedback_weights": self.feedback[name].copy()} if q.draws_feedback else {}
            graph.add_edge(q.pre, q.post, weights=self.weights[name].copy(), **q.options, **own)
        return graph

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph, *, seed: int = 0) -> Network:
        """The way back; a graph of any origin needs a node attribute `size`, the rest has defaults.

        Nodes without incoming edges are clamped unless they say otherwise.
        """
        populations, projections, losses = [], [], []
        for name, data in graph.nodes(data=True):
            if "size" not in data:
                raise ModelError(
                    f"node {name!r} has no attribute 'size'; allowed: size=number of units"
                )
            populations.append(
                Population(
                    str(name),
                    data["size"],
                    data.get("activation", "tanh"),
                    data.get("constraint", "lin"),
                    data.get("clamped", graph.in_degree(name) == 0),
                    data.get("epsilon", 0.0),
                    data.get("activity_l1", 0.0),
                    data.get("plastic_bias", True),
                )
            )
            if data.get("loss") is not None:
                given = data["loss"]
                losses.append(given if isinstance(given, Loss) else Loss(str(name), given))
        for pre, post, data in graph.edges(data=True):
            keys = ("weights", "mask", "gain", *OPTIONS, "feedback_weights")
            projections.append(
                Projection(str(pre), str(post), **{k: data[k] for k in keys if k in data})
            )
        net = cls(populations, projections, losses, seed=seed)
        for name, data in graph.nodes(data=True):
            if data.get("bias") is not None and name in net.biases:
                net.biases[name] = np.array(data["bias"], dtype=float)
        net.check_parameters()
        return net

    def describe(self) -> dict[str, Any]:
        """The graph without weights, as plain values for files; `from_description` is the way back."""
        return {
            "populations": [
                {
                    "name": p.name,
                    "size": p.size,
                    "activation": p.activation,
                    "constraint": p.constraint,
                    "epsilon": p.epsilon,
                    "clamped": p.clamped,
                    "activity_l1": p.activity_l1,
                    **({} if p.plastic_bias else {"plastic_bias": False}),
                }
                for p in self.populations.values()
            ],
            "projections": [
                {
                    "pre": q.pre,
                    "post": q.post,
                    **q.options,
                    "sparse": not isinstance(self.weights[n], np.ndarray),
                }
                for n, q in self.projections.items()
            ],
            "losses": [
                {
                    "population": v.population,
                    "kind": v.kind,
                    "weight": v.weight,
                    "epsilon": v.epsilon,
                }
                for v in self.losses.values()
            ],
        }

    @classmethod
    def from_description(
        cls,
        description: Mapping[str, Any],
        weights: Mapping[str, Weights],
        biases: Mapping[str, Any],
        feedback: Mapping[str, Weights] | None = None,
    ) -> Network:
        """A network from `describe` and its parameters."""
        projections = [
            Projection(
                q["pre"],
                q["post"],
                weights[f"{q['pre']}->{q['post']}"],
                **{k: q[k] for k in OPTIONS if k in q},
                feedback_weights=(feedback or {}).get(f"{q['pre']}->{q['post']}"),
            )
            for q in description["projections"]
        ]
        net = cls(
            [Population(**p) for p in description["populations"]],
            projections,
            [Loss(**v) for v in description["losses"]],
        )
        net.biases = {n: np.array(biases[n], dtype=float) for n in net.neurons}
        net.check_parameters()
        return net

    def __repr__(self) -> str:
        sizes = [p.size for p in self.populations.values()]
        chain = list(zip(list(self.populations)[:-1], list(self.populations)[1:], strict=True))
        layered = [(q.pre, q.post) for q in self.projections.values()] == chain
        shape = (
            "-".join(map(str, sizes))
            if layered
            else f"{len(sizes)} populations, {sum(sizes)} units"
        )
        losses = ", ".join(f"{v.kind} on {v.population}" for v in self.losses.values()) or "no loss"
        cycle = "" if self.order() is not None else ", cyclic"
        return f"Network({shape}, {len(self.projections)} projections, {self.n_parameters} parameters, {losses}{cycle})"

    def _check_graph(self) -> None:
        if not self.neurons:
            raise ModelError(
                "no population with dynamics: every one is clamped; add one with clamped=False"
            )
        for q in self.projections.values():
            for end in (q.pre, q.post):
                if end not in self.populations:
                    raise unknown(f"an end of {q.name}", end, self.populations)
            if self.populations[q.pre].free:
                raise ModelError(
                    f"projection {q.name} starts at a population without constraint, "
                    "whose outputs are no variables; "
                    "allowed: constraint 'none' where no projection starts; try 'lin'"
                )
            if self.populations[q.post].clamped:
                raise ModelError(
                    f"projection {q.name} ends at a clamped population, whose outputs are data"
                )
            if self.populations[q.pre].clamped and q.feedback != "symmetric":
                raise ModelError(
                    f"feedback of {q.name} = {q.feedback!r}, but nothing is sent back "
                    f"to {q.pre}, which is clamped; "
                    "allowed: 'symmetric'"
                )
        for name in self.losses:
            if name not in self.populations:
                raise unknown("population of a loss", name, self.populations)
            if self.populations[name].clamped:
                raise ModelError(f"loss on {name!r}, which is clamped: nothing there could learn")

    def _initial(self, q: Projection, rng: np.random.Generator) -> Weights:
        if q.weights is not None:
            return self._checked(q, q.weights).copy()
        return matrices.random_weights(
            self._shape(q), matrices.checked_mask(q.name, q.mask, self._shape(q)), q.gain, rng
        )

    def _initial_feedback(self, name: str, rng: np.random.Generator) -> Weights:
        """B to begin with; a size that is not given becomes that of the weights as they are now."""
        q, w = self.projections[name], self.weights[name]
        size = carriers.size_of(w) if q.feedback_size is None else q.feedback_size
        if q.feedback == "sign":
            self.projections[name] = replace(q, feedback_size=size)
            return carriers.signs(w, size)
        if q.feedback_weights is not None:
            return carriers.checked(f"feedback_weights of {name}", q.feedback_weights, w)
        return carriers.random_feedback(w, size, rng)

    def _checked(self, q: Projection, weights: Weights) -> Weights:
        mask = matrices.checked_mask(q.name, q.mask, self._shape(q))
        return matrices.checked(q.name, weights, self._shape(q), mask)

    def _shape(self, q: Projection) -> tuple[int, int]:
        return self.populations[q.post].size, self.populations[q.pre].size


def _by_name(what: str, items: Sequence[Any], kind: type, key: str) -> dict[str, Any]:
    if isinstance(items, kind):
        items = [items]
    named: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, kind):
            raise ModelError(
                f"{what} {item!r} is a {type(item).__name__}; allowed: {kind.__name__}(...)"
            )
        if getattr(item, key) in named:
            raise ModelError(f"{what} {getattr(item, key)!r} is given twice; allowed: once")
        named[getattr(item, key)] = item
    return named
