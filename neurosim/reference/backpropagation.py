"""Backpropagation in plain NumPy, with the implicit adjoint on cyclic graphs.

Above `functions`, whose formulas are not shared with the engine. Start at `backprop`; `_Loop`
solves the cycles.

References
----------
Cycles: Almeida 1987; Pineda, Phys. Rev. Lett. 59, 2229 (1987): recurrent backpropagation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.data.sample_weights import of_mean_one, sample_weights, weighted_mean
from neurosim.errors import ConvergenceError, unknown
from neurosim.model.display import short_repr
from neurosim.model.network import Network
from neurosim.model.values import ByValue
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    BackwardWeights,
    dense,
    dsigma,
    hebbian,
    n_patterns,
    net_input,
    of_biases,
    penalty,
    penalty_subgradient,
    received,
    sigma,
)
from neurosim.reference.in_time import InTime
from neurosim.reference.losses import activity_penalty, loss_value, output_slope

Array = np.ndarray
# populations that reach each other, and whether they form a cycle (one that reaches itself does)
Component = tuple[list[str], bool]

THROUGH = ("weights", "feedback")  # matrices that errors can go back through
MAX_ITERATIONS = 10_000  # of x <- sigma(W x + b); enough for a rate of 0.998
TOLERANCE = 1e-10  # of a change in x, relative to 1 + |x|
SAME = 1e-5  # two fixed points closer than this, relative to 1 + |x|, are one
NEWTON = 2  # steps after the iteration; each squares an error of 1e-7 at most
LARGEST_STACK = 2**23  # numbers in the stack of matrices that is solved at once: 64 MB


@dataclass(frozen=True, eq=False, repr=False)
class Adjoint(ByValue):
    """Outputs, adjoint and gradients of a batch, by backpropagation.

    Attributes
    ----------
    x : dict of str to array, (patterns, units), unit 1
        Outputs of every population, clamped ones included.
    lam : dict of str to array, (patterns, units), unit 1
        -dV/dx of each pattern, through all that x drives, by population that is not clamped. The
        penalty on outputs counts as part of V.
    grad_w : dict of str to array or csr_array, (n_post, n_pre)
        Gradient of `loss` + `penalty`, by projection; sparse where the weights are. At a kink of a
        penalty it is the subgradient that is 0 there.
    grad_b : dict of str to array, (n,)
        Gradient of `loss`, by population.
    loss : float
        Mean over the patterns of V, weights of the losses included.
    penalty : float
        R(w), as `functions.penalty`, and the mean over the patterns of activity_l1 Σ|x|.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    grad_w: dict[str, Weights]
    grad_b: dict[str, Array]
    loss: float
    penalty: float

    __repr__ = short_repr


@checked
def forward(net: Network, X: Any) -> dict[str, Array]:
    """Return all outputs by a forward pass; on a cycle, the fixed point x = sigma(W x + b).

    A cycle *contracts* if the plain iteration x <- sigma(W x + b) settles from x = 0, and at the
    same point from three starts far outside it (all high, all low, mixed signs). A cycle with
    several fixed points, or one that rings, is refused: the gains of a flow would decide which
    point it finds.

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population

    Returns
    -------
    dict of str to array, (patterns, units), unit 1
        Outputs of every population, clamped ones included; fixed points to about 1e-14.

    Raises
    ------
    DataError
        X does not fit the network.
    ConvergenceError
        A cycle does not contract. The message gives its populations, its spectral norm and radius,
        and a factor on the weights that makes it contract.

    Examples
    --------
    >>> net = Network.mlp([2, 3, 1])
    >>> forward(net, [[1.0, 2.0]])["hidden1"].shape
    (1, 3)
    """
    return _forward(net, strong_components(net), patterns(net, X))


@checked
def backprop(
    net: Network, X: Any, Y: Any, through: str = "weights", *, sample_weight: Any = None
) -> Adjoint:
    """Return outputs, adjoint and gradients of the mean loss over a batch, by backpropagation.

    On a cycle the adjoint is implicit: per pattern (I - Wᵀ D) lam = -dV/dx with D = diag sigma'(a).

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    through : {"weights", "feedback"}
        Matrices that errors go back through: Wᵀ, which is backpropagation; or the feedback weights
        B where the feedback is not symmetric. lam is then where a flow through B rests, and the
        "gradients" are the directions that plasticity follows there.
    sample_weight : (patterns,), optional
        Weights of the patterns in the mean; lam of a pattern does not depend on its weight.

    Returns
    -------
    Adjoint

    Raises
    ------
    DataError
        X, Y or the weights do not fit the network or its patterns.
    ModelError
        An unknown `through`.
    ConvergenceError
        A cycle does not contract, see `forward`.

    Examples
    --------
    >>> net = Network.mlp([2, 1], loss="mse")
    >>> ref = backprop(net, [[1.0, 2.0]], [[0.0]])
    >>> bool(np.allclose(ref.lam["output"], -ref.x["output"]))
    True
    """
    clamped, Y, back = _encoded(net, X, Y, through)
    weights = sample_weights(sample_weight, n_patterns(clamped))
    return backprop_encoded(net, strong_components(net), clamped, Y, back, weights)


@checked
def multipliers(net: Network, X: Any, Y: Any, through: str = "weights") -> dict[str, Array]:
    """Return lam of `backprop` alone, by population; no array of the size of the weights is made.

    Parameters
    ----------
    net, X, Y, through
        As in `backprop`.

    Returns
    -------
    dict of str to array, (patterns, units), unit 1

    Raises
    ------
    DataError, ModelError, ConvergenceError
        As `backprop`.
    """
    clamped, Y, back = _encoded(net, X, Y, through, copy=False)
    _, lam, _ = _adjoint(net, strong_components(net), clamped, Y, back)
    return {n: lam[n] for n in net.neurons}


def _encoded(
    net: Network, X: Any, Y: Any, through: str, copy: bool = True
) -> tuple[dict[str, Array], dict[str, Array], BackwardWeights]:
    """Return encoded inputs and targets, and the matrices that errors go back through."""
    if through not in THROUGH:
        raise unknown("through", through, THROUGH)
    clamped = patterns(net, X, copy=copy)
    encoded = targets(net, Y, n_patterns(clamped))
    back: BackwardWeights = net.weights.__getitem__
    if through == "feedback":
        back = net.returning
    return clamped, encoded, back


def strong_components(net: Network) -> list[Component]:
    """Return the strongly connected components, parents first; a cycle is solved as a whole."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(net.populations)
    graph.add_edges_from((q.pre, q.post) for q in net.projections.values())
    condensed = nx.condensation(graph)
    components = []
    for node in nx.topological_sort(condensed):
        members = condensed.nodes[node]["members"]
        names = sorted(members)
        cyclic = len(names) > 1 or graph.has_edge(names[0], names[0])
        components.append((names, cyclic))
    return components


def _forward(
    net: Network, components: list[Component], clamped: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the outputs of all populations, in the order of the network."""
    x = dict(clamped)
    for names, cyclic in components:
        order = net.causal_order(names) if cyclic else None
        if order is not None:
            x |= InTime(net, order).forward(x)
        elif cyclic:
            x |= _Loop(net, names).fixed_point(x)
        elif names[0] not in clamped:
            n = names[0]
            a = net_input(net, n, x)
            x[n] = sigma(net.populations[n].activation, a)
    return {n: x[n] for n in net.populations}


def backprop_encoded(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: BackwardWeights | None = None,
    weights: Array | None = None,
) -> Adjoint:
    """Return `backprop` of encoded data and known components, for loops over many batches."""
    back = back or net.weights.__getitem__
    x, lam, delta = _adjoint(net, components, clamped, Y, back)
    grad_w = {}
    for name, q in net.projections.items():
        w = net.weights[name]
        decay = q.decay * synapses(w)
        slope = decay + penalty_subgradient(net, name)
        product = hebbian(net, name, counted(delta[q.post], weights), x[q.pre])
        grad_w[name] = with_values(w, slope - product)
    losses = []
    for n, loss in net.losses.items():
        by_pattern = loss_value(loss, x[n], Y[n], net.populations[n].features)
        losses.append(weighted_mean(by_pattern, weights))
    lam_in_order = {}
    grad_b = {}
    activity = []
    for n in net.neurons:
        lam_in_order[n] = lam[n]
        grad_b[n] = -of_biases(net, n, counted(delta[n], weights))
        by_pattern = activity_penalty(net, n, x[n])
        activity.append(weighted_mean(by_pattern, weights))
    return Adjoint(
        x=x,
        lam=lam_in_order,
        grad_w=grad_w,
        grad_b=grad_b,
        loss=float(sum(losses)),
        penalty=penalty(net) + float(sum(activity)),
    )


def counted(delta: Array, weights: Array | None) -> Array:
    """Return delta times the weight of its pattern, where patterns have weights, of mean 1."""
    if weights is None:
        return delta
    return np.asarray(delta * of_mean_one(weights)[:, None])


def _adjoint(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: BackwardWeights,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return x, lam and delta = sigma'(a) lam of every pattern, by a pass forward and one back."""
    x = _forward(net, components, clamped)
    slopes = {}
    for n in net.neurons:
        a = net_input(net, n, x)
        slopes[n] = dsigma(net.populations[n].activation, a)
    lam: dict[str, Array] = {}
    # Children come first. Within a cycle the messages are still 0: `_Loop.adjoint` solves for them.
    delta = {n: np.zeros_like(x[n]) for n in net.neurons}
    for names, cyclic in reversed(components):
        if names[0] in clamped:
            continue
        for n in names:
            slope = output_slope(net, n, x[n], Y)
            lam[n] = -slope + received(net, n, delta, back)
        order = net.causal_order(names) if cyclic else None
        if order is not None:
            lam |= InTime(net, order).backward(slopes, lam, back)
        elif cyclic:
            lam |= _Loop(net, names).adjoint(slopes, lam, back)
        for n in names:
            delta[n] = slopes[n] * lam[n]
    return x, lam, delta


class _Loop:
    """Populations that reach each other, as one system x = sigma(W x + drive).

    x and drive are (patterns, units of all populations), W is (units, units).
    """

    def __init__(self, net: Network, names: list[str]) -> None:
        self.net = net
        self.names = names
        sizes = [net.populations[n].size for n in names]
        ends = np.cumsum(sizes)
        self.cuts = ends[:-1]
        self.W = self._joined(net.weights.__getitem__)

    def fixed_point(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of the loop, given those of the populations that drive it.

        Raises
        ------
        ConvergenceError
            The loop does not contract.
        """
        net = self.net
        count = n_patterns(x)
        # with the loop's own outputs at 0, net inputs are the drive
        outputs = dict(x)
        for n in self.names:
            size = net.populations[n].size
            outputs[n] = np.zeros((count, size))
        drive = np.hstack([net_input(net, n, outputs) for n in self.names])
        rest = self._iterate(np.zeros_like(drive), drive)
        scale = 1 + np.abs(rest).max()
        self._check_unique(rest, drive, scale)
        for _ in range(NEWTON):
            a = rest @ self.W.T + drive
            slopes = self._apply(dsigma, a)
            residual = self._apply(sigma, a) - rest
            rest = rest + self._solve(self.W, slopes, residual)
        a = rest @ self.W.T + drive
        residual = self._apply(sigma, a) - rest
        left = np.abs(residual).max()
        if not left <= 1e-12 * scale:
            raise self._refusal(
                f"Newton's method leaves the point where the iteration settled by {left:.2g}"
            )
        return self._split(rest)

    def _check_unique(self, rest: Array, drive: Array, scale: float) -> None:
        """Refuse a loop that settles elsewhere from far away: all high, all low, mixed signs.

        Raises
        ------
        ConvergenceError
            Another fixed point.
        """
        rng = np.random.default_rng(0)
        signs = rng.choice([-1.0, 1.0], size=drive.shape[1])
        for far in (1.0, -1.0, signs):
            start = 2 * scale * far + 0 * drive
            other = self._iterate(start, drive)
            distance = np.abs(other - rest).max()
            if distance > SAME * scale:
                raise self._refusal(f"it has more than one fixed point, {distance:.2g} apart")

    def adjoint(
        self, slopes: Mapping[str, Array], pull: Mapping[str, Array], back: BackwardWeights
    ) -> dict[str, Array]:
        """Solve (I - Wᵀ D) lam = pull for lam, one system per pattern; `back` stands for W.

        Raises
        ------
        ConvergenceError
            The matrix is singular.
        """
        D = np.hstack([slopes[n] for n in self.names])
        right = np.hstack([pull[n] for n in self.names])
        W = self._joined(back)
        lam = self._solve(W, D, right, transposed=True)
        return self._split(lam)

    def _joined(self, matrix: BackwardWeights) -> Array:
        """Return the matrices between all populations as one, (units, units)."""
        rows = []
        for post in self.names:
            rows.append([self._block(matrix, pre, post) for pre in self.names])
        return np.block(rows)

    def _block(self, matrix: BackwardWeights, pre: str, post: str) -> Array:
        """Return the matrix from one population to another, (n_post, n_pre); 0 without synapses."""
        name = f"{pre}->{post}"
        if name not in self.net.weights:
            n_post = self.net.populations[post].size
            n_pre = self.net.populations[pre].size
            return np.zeros((n_post, n_pre))
        return dense(self.net.matrix(name, matrix(name)))

    def _iterate(self, x: Array, drive: Array) -> Array:
        """Iterate x <- sigma(W x + drive) until it settles.

        Raises
        ------
        ConvergenceError
            It grows without bound, or still changes after `MAX_ITERATIONS`.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(MAX_ITERATIONS):
                previous = x
                a = x @ self.W.T + drive
                x = self._apply(sigma, a)
                change = np.abs(x - previous).max()
                if not np.isfinite(change):
                    raise self._refusal(
                        f"x <- sigma(W x + b) grows without bound, in {step + 1} iterations"
                    )
                scale = 1 + np.abs(x).max()
                if change <= TOLERANCE * scale:
                    return x
        raise self._refusal(
            f"x <- sigma(W x + b) still changes by {change:.2g} after {MAX_ITERATIONS} iterations"
        )

    def _solve(self, W: Array, slopes: Array, right: Array, transposed: bool = False) -> Array:
        """Return (I - D W)⁻¹ right, or with the transpose, one system per pattern.

        Raises
        ------
        ConvergenceError
            The matrix is singular.
        """
        size = len(W)
        result = np.empty_like(right)
        step = max(1, LARGEST_STACK // size**2)
        for first in range(0, len(right), step):
            part = slice(first, first + step)
            matrices = np.eye(size) - slopes[part, :, None] * W
            if transposed:
                matrices = matrices.transpose(0, 2, 1)
            try:
                solution = np.linalg.solve(matrices, right[part, :, None])
            except np.linalg.LinAlgError as error:
                raise self._refusal(f"I - D W is singular at its fixed point ({error})") from error
            result[part] = solution[..., 0]
        return result

    def _apply(self, function: Callable[[str, Array], Array], a: Array) -> Array:
        """Apply sigma or a derivative of it to the net inputs of all populations."""
        parts = np.split(a, self.cuts, axis=1)
        values = []
        for n, part in zip(self.names, parts, strict=True):
            activation = self.net.populations[n].activation
            values.append(function(activation, part))
        return np.hstack(values)

    def _split(self, values: Array) -> dict[str, Array]:
        """Return (patterns, units of all populations) by population."""
        parts = np.split(values, self.cuts, axis=1)
        found = {}
        for n, part in zip(self.names, parts, strict=True):
            found[n] = np.ascontiguousarray(part)
        return found

    def _refusal(self, why: str) -> ConvergenceError:
        """Return the error for a loop that does not contract, with advice on its weights."""
        norm = np.linalg.norm(self.W, 2)
        eigenvalues = np.linalg.eigvals(self.W)
        radius = np.abs(eigenvalues).max()
        sampled = np.linspace(-20, 20, 2001)
        steepest = 0.0
        for n in self.names:
            slopes = dsigma(self.net.populations[n].activation, sampled)
            steepest = max(steepest, np.abs(slopes).max())
        gain = steepest * norm
        hint = "another bias"
        if gain > 1:
            hint = f"its weights times less than {1 / gain:.3g}"
        return ConvergenceError(
            f"the cycle through {', '.join(self.names)} does not contract: {why}. "
            f"Its weights have spectral norm {norm:.3g} and radius {radius:.3g}, its activations "
            f"slopes up to {steepest:.3g}; allowed: cycles where x <- sigma(W x + b) settles at "
            f"one point from any start; try {hint}"
        )
