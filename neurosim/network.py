"""A network as a directed graph: populations, projections, losses, and their parameters.

Says what is connected and with which weights; knows no flow and runs nothing. Start at
`Network.mlp` for layers, at `Network` for any other graph.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import expressions
from neurosim import feedback as carriers
from neurosim.errors import ModelError, out_of_range, unknown

if TYPE_CHECKING:
    import networkx as nx

PRICES = ("l1", "l2", "row_l1", "column_l1")  # of R(w), by projection
FEEDBACK = ("feedback", "feedback_size", "feedback_decay")  # of a projection, as plain values
OPTIONS = (*PRICES, *FEEDBACK, "plastic")  # of a projection, beside its weights
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# the engine's own objects
RESERVED = frozenset(
    {"run", "transport", "forward", "forward_again", "backward", "present", "record", "finish", "steps"}
)

Weights = Any  # (n_post, n_pre): np.ndarray, or scipy.sparse.csr_array where a synapse can be absent


@dataclass(frozen=True)
class Population:
    """Units of one kind. An input is a population with ``clamped=True``.

    Parameters
    ----------
    name : str
        A letter, then letters, digits and underscores.
    size : int
        Number of units.
    activation : str
        tanh, sigmoid, relu, softplus, linear or a formula in `a`, e.g. ``"a/(1+abs(a))"``.
    constraint : str
        G: lin (g), lin_eps, abs, abs_eps, squared, tube (|g| <= epsilon), or a formula in `g` and `epsilon`; "none"
        for outputs that are no variables of their own: x = sigma(a) and lam = -dV/dx at every moment.
    epsilon : float
        Half-width of the tolerance, of lin_eps, abs_eps, tube and formulas that read it.
    clamped : bool
        Outputs are data: no multiplier, no dynamics.
    activity_l1 : float
        Price alpha of alpha Σ|x|, a pattern, >= 0.

    Notes
    -----
    What the multiplier lam is in the end, by constraint:

    - lin: backpropagation's adjoint -dV/dx, exactly; g = 0.
    - tube: the multiplier of min V subject to |g| <= epsilon (Karush, Kuhn & Tucker): 0 within the tube, of the sign
      of g at its wall; lam_plus = max(lam, 0), lam_minus = max(-lam, 0).
    - abs, abs_eps, lin_eps: the state slides along the kink and never rests; mu = (lam + rho G) G' on average over time
      is the adjoint at its own x, the nearer the smaller dt (measured: within 1.1 % for abs at dt = 0.01 tau_x, 0.03 %
      for the others). lam itself is the height of the chatter.
    - squared: an integrated penalty, which only grows: g falls as t^(-1/3), mu is the adjoint at that x, and the stable
      step shrinks as lam grows.
    """

    name: str
    size: int
    activation: str = "tanh"
    constraint: str = "lin"
    clamped: bool = False
    epsilon: float = 0.0
    activity_l1: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or _reserved(self.name):
            raise out_of_range(
                "population name", self.name, f"a letter, then letters, digits, '_'; not {', '.join(sorted(RESERVED))}"
            )
        if isinstance(self.size, bool) or not isinstance(self.size, int | np.integer) or self.size < 1:
            raise out_of_range(f"size of {self.name}", self.size, "a whole number >= 1")
        object.__setattr__(self, "size", int(self.size))
        if isinstance(self.epsilon, np.number):
            object.__setattr__(self, "epsilon", float(self.epsilon))
        try:
            self.term  # noqa: B018  refuses an unknown constraint
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        expressions.activation(self.activation)
        object.__setattr__(self, "activity_l1", _price(f"activity_l1 of {self.name}", self.activity_l1))

    @property
    def free(self) -> bool:
        """No constraint: its outputs follow the net input at every moment."""
        return self.constraint == "none" and not self.clamped

    @property
    def term(self) -> expressions.Constraint:
        """G and its slope as text."""
        return expressions.constraint(self.constraint, self.epsilon)


@dataclass(frozen=True, eq=False)
class Projection:
    """All synapses from one population to another.

    Parameters
    ----------
    pre, post : str
        Names of the presynaptic and the postsynaptic population.
    weights : array or SciPy sparse array, (n_post, n_pre), optional
        Drawn N(0, gain² / number of presynaptic partners) if not given. Sparse: only what is stored exists.
    mask : bool array, (n_post, n_pre), optional
        Which synapses exist.
    gain : float
        Spread of drawn weights.
    l1, l2 : float
        Prices of R(w) = l1 Σ|w| + (l2/2) Σ w², >= 0; l1 acts as a proximal step that reaches exact zeros.
    row_l1, column_l1 : float
        Group prices, a neuron a group: row_l1 Σ_i ||w_i.|| of all synapses into one postsynaptic unit, column_l1
        Σ_j ||w_.j|| of all out of one presynaptic unit; proximal steps that take whole groups to exact zeros
        (Yuan & Lin 2006), after that of l1.
    feedback : "symmetric", "random", "sign", "kolen_pollack" or "mirror"
        What carries messages back: Wᵀ; or a matrix B of its own, that is fixed; follows the signs of Wᵀ; learns by
        the same local product as W, both with a decay; or is learnt from the network's answers to noise before every
        row of a training's log (see `neurosim.feedback`).
    feedback_weights : array or SciPy sparse array, (n_pre, n_post), optional
        B to begin with, drawn N(0, feedback_size²) if not given.
    feedback_size : float, optional
        Spread of a drawn B, and the size of sign's entries; root mean square of the weights if not given.
    feedback_decay : float, optional
        c of kolen_pollack, 0.01 if not given: W and B both decay by c, the weights beside their l2.
    plastic : bool
        Whether the weights learn; False for wiring that stays as it is, such as a residual net's identities.
    """

    pre: str
    post: str
    weights: Weights = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)
    gain: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    row_l1: float = 0.0
    column_l1: float = 0.0
    feedback: str = "symmetric"
    feedback_weights: Weights = field(default=None, repr=False)
    feedback_size: float | None = None
    feedback_decay: float | None = None
    plastic: bool = True

    def __post_init__(self) -> None:
        for price in ("gain", *PRICES):
            object.__setattr__(self, price, _price(f"{price} of {self.name}", getattr(self, price)))
        if not isinstance(self.plastic, bool):
            raise out_of_range(f"plastic of {self.name}", self.plastic, "True or False")
        self._check_feedback()

    @property
    def name(self) -> str:
        """``"pre->post"``."""
        return f"{self.pre}->{self.post}"

    @property
    def prices(self) -> dict[str, float]:
        """All prices of R(w) by name."""
        return {price: getattr(self, price) for price in PRICES}

    @property
    def options(self) -> dict[str, Any]:
        """What is kept of it beside its ends and weights, as plain values."""
        return self.prices | self.described_feedback | ({} if self.plastic else {"plastic": False})

    @property
    def decay(self) -> float:
        """Of every weight, in units of 1/tau_w: l2 and, of kolen_pollack, what W shares with B."""
        return self.l2 + (self.feedback_decay or 0.0)

    @property
    def proximal(self) -> bool:
        """Whether a price has no derivative at 0, so that weights take proximal steps."""
        return any(value for price, value in self.prices.items() if price != "l2")

    @property
    def draws_feedback(self) -> bool:
        """Whether B is a parameter of its own: it is neither W nor told by W."""
        return self.feedback not in ("symmetric", "sign")

    @property
    def described_feedback(self) -> dict[str, Any]:
        """The plain values of what carries messages back; nothing where that is W."""
        kept = () if self.feedback == "symmetric" else FEEDBACK
        return {key: getattr(self, key) for key in kept if getattr(self, key) is not None}

    def _check_feedback(self) -> None:
        if self.feedback not in carriers.KINDS:
            raise unknown(f"feedback of {self.name}", self.feedback, carriers.KINDS)
        learns = self.feedback == "kolen_pollack"
        if learns and self.feedback_decay is None:
            object.__setattr__(self, "feedback_decay", carriers.DECAY)
        used = {
            "feedback_decay": learns,
            "feedback_size": self.feedback != "symmetric",
            "feedback_weights": self.feedback not in ("symmetric", "sign"),
        }
        for key, meant in used.items():
            if getattr(self, key) is not None and not meant:
                raise ModelError(f"{key} of {self.name} with feedback = {self.feedback!r}, which does not read it")
        for key in ("feedback_decay", "feedback_size"):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, _price(f"{key} of {self.name}", getattr(self, key)))


@dataclass(frozen=True)
class Loss:
    """V on one population: `kind` summed over its units, times `weight`.

    `kind` is mse, cross_entropy, squared_hinge, eps_insensitive (tolerance `epsilon`), policy or a formula in
    `x` and `y`; one without y, such as ``"abs(x)"`` on hidden units, is a price on outputs and needs no target.

    `policy` is -A log softmax(x)[action], whose slope is the policy gradient of REINFORCE (Williams 1992): y is the
    advantage A at the action that was taken and 0 elsewhere, see `neurosim.tasks.advantages`; with y = 0 nothing is
    asked, so that a network can act before it is told. Where A is negative V has no lower bound.
    """

    population: str
    kind: str = "mse"
    weight: float = 1.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        for key in ("weight", "epsilon"):
            name = "loss_epsilon" if key == "epsilon" else "loss weight"
            _price(f"{name} of {self.population}", getattr(self, key))
        self.term  # noqa: B018  refuses an unknown kind

    @property
    def term(self) -> expressions.LossTerm:
        """V and dV/dx as text."""
        return expressions.loss(self.kind, self.epsilon)


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
        rng = np.random.default_rng(_seed(seed))
        self.weights: dict[str, Weights] = {n: self._initial(p, rng) for n, p in self.projections.items()}
        self.biases = {n: np.zeros(self.populations[n].size) for n in self.neurons}
        self.feedback: dict[str, Weights] = {
            n: self._initial_feedback(n, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,))))
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
            Of the hidden layers and the output, see `Population`; populations that a mapping leaves out have lin.
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
        depth : int, optional
            Layers of weights: `sizes` is then [input, hidden, output], and there are depth - 1 hidden layers.
        feedback : str or {projection: str}
            What carries messages back, see `Projection`; of every projection but those from the input, which send none.
        feedback_decay : float, optional
            Of those that are kolen_pollack.
        exits : float or {population: float}
            Early exits: hidden layer i has a readout `exit<i>` of the output's size, activation and constraint with
            weights of its own, and on it the output's loss times this number; of those that a mapping leaves out, none.
            The weights between layers are those of the same seed without exits.
        skips : int
            Projections from each layer to the one so many layers further on, from 2; with 0 none. All weights into a
            layer share its spread: N(0, gain²/n) with n all its presynaptic units.

        Examples
        --------
        >>> Network.mlp([64, 32, 10])
        Network(64-32-10, 2 projections, 2410 parameters, cross_entropy on output)
        """
        if isinstance(sizes, str | bytes) or not isinstance(sizes, Iterable) or len(list(sizes)) < 2:
            raise out_of_range("sizes", sizes, "at least two layers, input first", "[64, 32, 10]")
        if depth is not None:
            sizes = _of_depth(list(sizes), depth)
        names = ["input", *(f"hidden{i}" for i in range(1, len(sizes) - 1)), "output"]
        kinds, widths = (
            _of_each("constraint", constraint, names[1:], "lin"),
            _of_each("epsilon", epsilon, names[1:], 0.0),
        )
        if isinstance(constraint, Mapping) and not isinstance(epsilon, Mapping):
            widths = {n: epsilon if expressions.constraint(kinds[n]).reads_epsilon else 0.0 for n in names[1:]}
        if free_output:
            kinds["output"], widths["output"] = "none", 0.0
        populations = [Population("input", sizes[0], "linear", clamped=True)]
        populations += [
            Population(n, size, activation, kinds[n], epsilon=widths[n], activity_l1=activity_l1)
            for n, size in zip(names[1:-1], sizes[1:-1], strict=True)
        ]
        weights = {n: v for n, v in _of_each("exits", exits, names[1:-1], 0.0).items() if v}
        populations += [
            Population(n, sizes[-1], output, kinds["output"], epsilon=widths["output"])
            for n in (*(_exit(n) for n in weights), "output")
        ]
        if group_l1 and len(names) == 2:
            raise out_of_range("group_l1", group_l1, "0 where no layer is hidden", "sizes=[64, 32, 10], or l1")
        ends = [*pairwise(names), *_skips(skips, names), *((n, _exit(n)) for n in weights)]
        carried = _carried(feedback, feedback_decay, [f"{pre}->{post}" for pre, post in ends if pre != "input"])
        projections = [
            Projection(
                pre, post, gain=gain * _share(pre, post, ends, populations), l1=l1, l2=l2,
                row_l1=group_l1 if post in names[:-1] else 0.0, column_l1=0.0 if pre == "input" else group_l1,
                feedback=(kind := carried.get(f"{pre}->{post}", "symmetric")),
                feedback_decay=feedback_decay if kind == "kolen_pollack" else None,
            )
            for pre, post in ends
        ]  # fmt: skip
        losses = [Loss(_exit(n), loss, weight, loss_epsilon) for n, weight in weights.items()]
        return cls(populations, projections, [*losses, Loss("output", loss, epsilon=loss_epsilon)], seed=seed)

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
        seed: int = 0,
    ) -> Network:
        """A residual net, x_l = x_(l-1) + scale sigma(W_l x_(l-1) + b_l), between a linear layer and the output.

        What is added up is no function of one net input, so a block is two populations: `branch2`, ... hold
        sigma(W x + b), and `hidden2`, ... are linear and hear the stream before them and the branch through fixed
        synapses (`plastic=False`) of 1 and `scale`. Every population is an ordinary constraint, and every flow,
        transport and analysis takes it as it is; a message needs two steps a block through the branch, one through the
        stream.

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
            Of what a branch adds; 1/sqrt(depth) by default, which keeps outputs and adjoints finite at any depth.

        References
        ----------
        He et al., CVPR 2016; the scale: Hayou et al., AISTATS 2021, arXiv 2010.12859.

        Examples
        --------
        >>> Network.residual([784, 32, 10], depth=32)
        Network(63 populations, 2746 units, 92 projections, 60010 parameters, cross_entropy on output)
        """
        layers = _of_depth(list(sizes), depth)
        if len(layers) < 4:
            raise out_of_range("depth", depth, "a whole number of weight layers >= 3: one block at least", "3")
        scale = 1 / math.sqrt(depth) if scale is None else _price("scale", scale)
        width, blocks = layers[1], range(2, int(depth))
        populations = [Population("input", layers[0], "linear", clamped=True), Population("hidden1", width, "linear")]
        for i in blocks:
            populations += [Population(f"branch{i}", width, activation), Population(f"hidden{i}", width, "linear")]
        populations.append(Population("output", layers[-1], output))
        last = f"hidden{blocks[-1]}"
        projections = [Projection("input", "hidden1", gain=gain)]
        for i in blocks:
            stream = f"hidden{i - 1}"
            projections += [
                Projection(stream, f"branch{i}", gain=gain),
                Projection(stream, f"hidden{i}", _identity(width, 1.0), plastic=False),
                Projection(f"branch{i}", f"hidden{i}", _identity(width, scale), plastic=False),
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
        """The population that `predict` reads: the last one with a loss that has a target, else the last one."""
        compared = [n for n, v in self.losses.items() if v.term.targeted]
        return list(compared or self.losses or self.neurons)[-1]

    @property
    def n_parameters(self) -> int:
        """Synapses that exist, and biases."""
        synapses = sum(w.size if isinstance(w, np.ndarray) else w.nnz for w in self.weights.values())
        return int(synapses) + sum(b.size for b in self.biases.values())

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
        """What carries a projection's messages back, laid out as its weights are, (n_post, n_pre): W, or Bᵀ."""
        kind, w = self.projections[projection].feedback, self.weights[projection]
        if kind == "sign":
            return carriers.like(w, (self.projections[projection].feedback_size or 0.0) * np.sign(carriers.synapses(w)))
        return w if kind == "symmetric" else carriers.turned(self.feedback[projection])

    def follow_signs(self) -> None:
        """Let the feedback of kind sign be that of the weights as they are."""
        for name, q in self.projections.items():
            if q.feedback == "sign":
                self.feedback[name] = carriers.turned(self.returning(name))

    def become(self, other: Network) -> None:
        """Take on another network's graph and parameters, so that whoever holds this one goes on with that."""
        self.__dict__.update(other.copy().__dict__)

    def check_parameters(self) -> None:
        """Refuse weights or biases that were replaced by something that does not fit, or is not finite."""
        for name, projection in self.projections.items():
            self.weights[name] = self._checked(projection, self.weights.get(name))
            if projection.draws_feedback:
                found = self.feedback.get(name)
                self.feedback[name] = carriers.checked(f"feedback[{name!r}]", found, self.weights[name])
        self.follow_signs()
        for name in self.neurons:
            size = self.populations[name].size
            try:
                bias = np.asarray(self.biases.get(name), dtype=float)
            except (TypeError, ValueError) as error:
                raise ModelError(f"biases[{name!r}] are not numbers; allowed: ({size},), finite numbers") from error
            if bias.shape != (size,) or not np.isfinite(bias).all():
                raise ModelError(f"biases[{name!r}] has shape {bias.shape}; allowed: ({size},), finite numbers")
            self.biases[name] = np.ascontiguousarray(bias)

    def to_networkx(self) -> nx.DiGraph:
        """Populations as nodes, projections as edges; every argument is an attribute, weights included."""
        import networkx as nx

        graph = nx.DiGraph()
        for name, p in self.populations.items():
            graph.add_node(
                name, size=p.size, activation=p.activation, constraint=p.constraint, clamped=p.clamped,
                epsilon=p.epsilon, activity_l1=p.activity_l1, bias=self.biases.get(name), loss=self.losses.get(name),
            )  # fmt: skip
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
                raise ModelError(f"node {name!r} has no attribute 'size'; allowed: size=number of units")
            populations.append(
                Population(
                    str(name),
                    data["size"],
                    data.get("activation", "tanh"),
                    data.get("constraint", "lin"),
                    data.get("clamped", graph.in_degree(name) == 0),
                    data.get("epsilon", 0.0),
                    data.get("activity_l1", 0.0),
                )
            )
            if data.get("loss") is not None:
                given = data["loss"]
                losses.append(given if isinstance(given, Loss) else Loss(str(name), given))
        for pre, post, data in graph.edges(data=True):
            keys = ("weights", "mask", "gain", *OPTIONS, "feedback_weights")
            projections.append(Projection(str(pre), str(post), **{k: data[k] for k in keys if k in data}))
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
                {"name": p.name, "size": p.size, "activation": p.activation, "constraint": p.constraint,
                 "epsilon": p.epsilon, "clamped": p.clamped, "activity_l1": p.activity_l1}
                for p in self.populations.values()
            ],
            "projections": [
                {"pre": q.pre, "post": q.post, **q.options, "sparse": not isinstance(self.weights[n], np.ndarray)}
                for n, q in self.projections.items()
            ],
            "losses": [
                {"population": v.population, "kind": v.kind, "weight": v.weight, "epsilon": v.epsilon}
                for v in self.losses.values()
            ],
        }  # fmt: skip

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
                q["pre"], q["post"], weights[f"{q['pre']}->{q['post']}"],
                **{k: q[k] for k in OPTIONS if k in q},
                feedback_weights=(feedback or {}).get(f"{q['pre']}->{q['post']}"),
            )
            for q in description["projections"]
        ]  # fmt: skip
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
        shape = "-".join(map(str, sizes)) if layered else f"{len(sizes)} populations, {sum(sizes)} units"
        losses = ", ".join(f"{v.kind} on {v.population}" for v in self.losses.values()) or "no loss"
        cycle = "" if self.order() is not None else ", cyclic"
        return f"Network({shape}, {len(self.projections)} projections, {self.n_parameters} parameters, {losses}{cycle})"

    def _check_graph(self) -> None:
        if not self.neurons:
            raise ModelError("no population with dynamics: every one is clamped; add one with clamped=False")
        for q in self.projections.values():
            for end in (q.pre, q.post):
                if end not in self.populations:
                    raise unknown(f"an end of {q.name}", end, self.populations)
            if self.populations[q.pre].free:
                raise ModelError(
                    f"projection {q.name} starts at a population without constraint, whose outputs are no variables; "
                    "allowed: constraint 'none' where no projection starts; try 'lin'"
                )
            if self.populations[q.post].clamped:
                raise ModelError(f"projection {q.name} ends at a clamped population, whose outputs are data")
            if self.populations[q.pre].clamped and q.feedback != "symmetric":
                raise ModelError(
                    f"feedback of {q.name} = {q.feedback!r}, but nothing is sent back to {q.pre}, which is clamped; "
                    "allowed: 'symmetric'"
                )
        for name in self.losses:
            if name not in self.populations:
                raise unknown("population of a loss", name, self.populations)
            if self.populations[name].clamped:
                raise ModelError(f"loss on {name!r}, which is clamped: nothing there could learn")

    def _initial(self, projection: Projection, rng: np.random.Generator) -> Weights:
        if projection.weights is not None:
            return self._checked(projection, projection.weights).copy()
        shape = self._shape(projection)
        mask = _checked_mask(projection, shape)
        draw = rng.normal(size=shape)
        if mask is None:
            return draw * (projection.gain / math.sqrt(shape[1]))
        from scipy.sparse import csr_array

        partners = np.maximum(mask.sum(axis=1), 1)[:, None]
        weights = csr_array(mask.astype(float))
        weights.sort_indices()
        weights.data[:] = (draw * projection.gain / np.sqrt(partners))[mask]
        return weights

    def _initial_feedback(self, name: str, rng: np.random.Generator) -> Weights:
        """B to begin with; a size that is not given becomes that of the weights as they are now."""
        q, w = self.projections[name], self.weights[name]
        size = carriers.size_of(w) if q.feedback_size is None else q.feedback_size
        if q.feedback == "sign":
            self.projections[name] = replace(q, feedback_size=size)
            return carriers.signs(w, size)
        if q.feedback_weights is not None:
            return carriers.checked(f"feedback_weights of {name}", q.feedback_weights, w)
        return carriers.drawn(w, size, rng)

    def _shape(self, projection: Projection) -> tuple[int, int]:
        return self.populations[projection.post].size, self.populations[projection.pre].size

    def _checked(self, projection: Projection, weights: Weights) -> Weights:
        """Weights as this projection keeps them: a C-contiguous float array, or CSR with sorted indices."""
        from scipy.sparse import csr_array, issparse

        name, shape = f"weights of {projection.name}", self._shape(projection)
        mask = _checked_mask(projection, shape)
        try:
            sparse = csr_array(weights, dtype=float) if issparse(weights) else None
            dense = np.empty(0) if sparse is not None else np.ascontiguousarray(weights, dtype=float)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{name} are not numbers; allowed: a float array (n_post, n_pre) = {shape}") from error
        got = dense.shape if sparse is None else sparse.shape
        if got != shape:
            hint = "; try the transpose" if got == shape[::-1] else ""
            raise ModelError(f"{name} have shape {got}; allowed: (n_post, n_pre) = {shape}{hint}")
        values = dense if sparse is None else sparse.data
        if not np.isfinite(values).all():
            raise ModelError(f"{name} hold NaN or infinity; allowed: finite numbers")
        if mask is not None and sparse is None:
            sparse = csr_array(mask.astype(float))
            sparse.sort_indices()
            sparse.data[:] = dense[mask]
        if sparse is None:
            return dense
        if not sparse.has_canonical_format:
            sparse = sparse.copy()  # the user's own stays as it is
        sparse.sum_duplicates()
        stored = sparse.tocoo()
        if mask is not None and not mask[stored.row, stored.col].all():
            raise ModelError(f"{name} have synapses outside the mask")
        sparse.sort_indices()
        return sparse


def _of_depth(sizes: list[int], depth: Any) -> list[int]:
    if len(sizes) != 3:
        raise out_of_range("sizes", sizes, "three layers beside depth: input, hidden, output", "[16, 16, 16]")
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or depth < 1:
        raise out_of_range("depth", depth, "a whole number of weight layers >= 1")
    return [sizes[0], *[sizes[1]] * (int(depth) - 1), sizes[2]]


def _identity(size: int, value: float) -> Weights:
    """One synapse a unit."""
    from scipy.sparse import csr_array, eye_array

    return csr_array(eye_array(size) * value)


def _skips(skips: Any, names: Sequence[str]) -> list[tuple[str, str]]:
    """Ends of the projections that jump over layers."""
    if isinstance(skips, bool) or not isinstance(skips, int | np.integer) or skips not in (0, *range(2, len(names))):
        allowed = f"0, or 2 to {len(names) - 1} layers" if len(names) > 2 else "0 where no layer is hidden"
        raise out_of_range("skips", skips, allowed)
    return list(zip(names, names[int(skips) :], strict=False)) if skips else []


def _share(pre: str, post: str, ends: Sequence[tuple[str, str]], populations: Sequence[Population]) -> float:
    """How much smaller weights are drawn for what else brings input: the net input keeps its spread."""
    size = {p.name: p.size for p in populations}
    return math.sqrt(size[pre] / sum(size[one] for one, other in ends if other == post))


def _exit(hidden: str) -> str:
    """The early exit of a hidden layer."""
    return hidden.replace("hidden", "exit")


def _reserved(name: str) -> bool:
    return name in RESERVED or name.startswith("transport_")


def _checked_mask(projection: Projection, shape: tuple[int, int]) -> Any:
    if projection.mask is None:
        return None
    mask = np.asarray(projection.mask.toarray() if hasattr(projection.mask, "toarray") else projection.mask)
    if mask.shape != shape or not (mask.dtype == bool or np.isin(mask, (0, 1)).all()):
        raise ModelError(f"mask of {projection.name} has shape {mask.shape}; allowed: bool (n_post, n_pre) = {shape}")
    return mask.astype(bool)


def _by_name(what: str, items: Sequence[Any], kind: type, key: str) -> dict[str, Any]:
    if isinstance(items, kind):
        items = [items]
    named: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, kind):
            raise ModelError(f"{what} {item!r} is a {type(item).__name__}; allowed: {kind.__name__}(...)")
        if getattr(item, key) in named:
            raise ModelError(f"{what} {getattr(item, key)!r} is given twice; allowed: once")
        named[getattr(item, key)] = item
    return named


def _price(name: str, value: Any) -> float:
    """A finite number that is not negative, or the error that says so."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
        raise out_of_range(name, value, "a finite number >= 0")
    return float(value)


def _carried(feedback: Any, decay: float | None, returning: list[str]) -> dict[str, str]:
    """The kind of feedback weights of every projection that sends messages back."""
    kinds = _of_each("feedback", feedback, returning, "symmetric", "projection")
    for kind in kinds.values():
        if kind not in carriers.KINDS:
            raise unknown("feedback", kind, carriers.KINDS)
    if decay is not None and "kolen_pollack" not in kinds.values():
        raise out_of_range("feedback_decay", decay, "None without feedback='kolen_pollack'")
    return kinds


def _of_each(key: str, given: Any, names: Sequence[str], otherwise: Any, what: str = "population") -> dict[str, Any]:
    """One value for all populations (or projections), or a mapping whose names are theirs."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    for name in given:
        if name not in names:
            raise unknown(f"{what} of {key}", name, names)
    return {name: given.get(name, otherwise) for name in names}


def _seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise out_of_range("seed", seed, "a whole number >= 0")
    return int(seed)
