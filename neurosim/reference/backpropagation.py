"""Backpropagation in plain NumPy, with the implicit adjoint on cyclic graphs.

Above `network` and `data`, beside `engine`: its own formulas for the built-in activations and
losses, shared with nothing that is simulated. Start at `backprop`.

References
----------
Cycles: Almeida 1987; Pineda, Phys. Rev. Lett. 59, 2229 (1987): recurrent backpropagation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.errors import ConvergenceError, unknown
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    Carrier,
    activity_price,
    dsigma,
    hebbian,
    kinked_slope,
    loss_value,
    n_patterns,
    net_input,
    own_slope,
    penalty,
    received,
    sigma,
)

Array = np.ndarray
Component = tuple[
    list[str], bool
]  # populations that reach each other, and whether they form a cycle

THROUGH = ("weights", "feedback")  # what errors go back through
MAX_ITERATIONS = 10_000  # of x <- sigma(W x + b); enough for a rate of 0.998
TOLERANCE = 1e-10  # of a change in x, relative to 1 + |x|
SAME = 1e-5  # two fixed points closer than this, relative to 1 + |x|, are one
CHUNK = 2**23  # numbers in the stack of matrices that is solved at once: 64 MB


@dataclass(frozen=True)
class Adjoint:
    """Backpropagation's answer for a batch.

    Attributes
    ----------
    x : dict of str to array, (patterns, units), unit 1
        Outputs of every population, clamped ones included.
    lam : dict of str to array, (patterns, units), unit 1
        -dV/dx of each pattern, through all that x drives; of every population that is not clamped.
        Prices of outputs count as part of V.
    grad_w : dict of str to array or csr_array, (n_post, n_pre)
        Gradient of `loss` + `penalty`, by projection; sparse where the weights are. Where a price
        has a kink at 0 it is the subgradient that is 0 there.
    grad_b : dict of str to array, (n,)
        Gradient of `loss`, by population.
    loss : float
        Mean over the patterns of V, weights of the losses included.
    penalty : float
        R(w), as `penalty` says, and the mean over the patterns of activity_l1 Σ|x|.
    """

    x: dict[str, Array]
    lam: dict[str, Array]
    grad_w: dict[str, Weights]
    grad_b: dict[str, Array]
    loss: float
    penalty: float


def forward(net: Network, X: Any) -> dict[str, Array]:
    """The forward pass; on a cycle, the fixed point x = sigma(W x + b) of each pattern.

    A cycle *contracts* if the plain iteration x <- sigma(W x + b) settles from x = 0, and at the
    same point from three starts far outside it (all high, all low, mixed signs). A cycle with
    several fixed points, or one that rings, is refused: which point a flow finds would depend on
    its gains.

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population

    Returns
    -------
    dict of str to array, (patterns, units), unit 1
        Of every population, clamped ones included; fixed points to about 1e-14.

    Raises
    ------
    DataError
        X does not fit the network.
    ConvergenceError
        A cycle does not contract; names its populations, its spectral norm and radius, and a scale
        that does.
    """
    return _forward(net, _components(net), patterns(net, X))


def backprop(net: Network, X: Any, Y: Any, through: str = "weights") -> Adjoint:
    """Outputs, adjoint and gradients of the mean loss over a batch, by backpropagation.

    On a cycle the adjoint is implicit: per pattern (I - Wᵀ D) lam = -dV/dx with D = diag sigma'(a).

    Parameters
    ----------
    net : Network
    X : array (patterns, features), or mapping by input population
    Y : array (patterns,) or (patterns, units), or mapping by population with a loss
    through : {"weights", "feedback"}
        What errors go back through: Wᵀ, which is backpropagation; or the projections' own B where
        their feedback is not symmetric. lam is then where a flow through B rests, and the
        "gradients" are what plasticity follows there.

    Returns
    -------
    Adjoint

    Raises
    ------
    DataError
        X or Y do not fit the network.
    ModelError
        An unknown `through`.
    ConvergenceError
        A cycle does not contract, see `forward`.
    """
    clamped, Y, back = _given(net, X, Y, through)
    return _backprop(net, _components(net), clamped, Y, back)


def multipliers(net: Network, X: Any, Y: Any, through: str = "weights") -> dict[str, Array]:
    """lam of `backprop` alone, by population: nothing of a weight's size is made."""
    clamped, Y, back = _given(net, X, Y, through, copy=False)
    lam = _adjoint(net, _components(net), clamped, Y, back)[1]
    return {n: lam[n] for n in net.neurons}


def _given(
    net: Network, X: Any, Y: Any, through: str, copy: bool = True
) -> tuple[dict[str, Array], dict[str, Array], Carrier]:
    if through not in THROUGH:
        raise unknown("through", through, THROUGH)
    clamped = patterns(net, X, copy=copy)
    back = net.returning if through == "feedback" else net.weights.__getitem__
    return clamped, targets(net, Y, n_patterns(clamped)), back


def _components(net: Network) -> list[Component]:
    """Strongly connected components, parents first; a cycle is solved as a whole."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(net.populations)
    graph.add_edges_from((q.pre, q.post) for q in net.projections.values())
    condensed = nx.condensation(graph)
    groups = [sorted(condensed.nodes[node]["members"]) for node in nx.topological_sort(condensed)]
    return [(names, len(names) > 1 or graph.has_edge(names[0], names[0])) for names in groups]


def _forward(
    net: Network, components: list[Component], clamped: Mapping[str, Array]
) -> dict[str, Array]:
    x = dict(clamped)
    for names, cyclic in components:
        if cyclic:
            x |= _Loop(net, names).fixed_point(x)
        elif names[0] not in clamped:
            x[names[0]] = sigma(net.populations[names[0]].activation, net_input(net, names[0], x))
    return {n: x[n] for n in net.populations}


def _backprop(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: Carrier | None = None,
) -> Adjoint:
    x, lam, delta = _adjoint(net, components, clamped, Y, back or net.weights.__getitem__)
    grad_w = {}
    for name, q in net.projections.items():
        w = synapses(net.weights[name])
        gradient = (
            q.decay * w
            + kinked_slope(net, name)
            - hebbian(net.weights[name], delta[q.post], x[q.pre])
        )
        grad_w[name] = with_values(net.weights[name], gradient)
    return Adjoint(
        x=x,
        lam={n: lam[n] for n in net.neurons},
        grad_w=grad_w,
        grad_b={n: -delta[n].mean(axis=0) for n in net.neurons},
        loss=float(sum(loss_value(v, x[n], Y[n]).mean() for n, v in net.losses.items())),
        penalty=penalty(net) + float(sum(activity_price(net, n, x[n]).mean() for n in net.neurons)),
    )


def _adjoint(
    net: Network,
    components: list[Component],
    clamped: Mapping[str, Array],
    Y: Mapping[str, Array],
    back: Carrier,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """x, lam and delta = sigma' lam of every pattern, forward, then back."""
    x = _forward(net, components, clamped)
    slopes = {n: dsigma(net.populations[n].activation, net_input(net, n, x)) for n in net.neurons}
    pull = {n: -own_slope(net, n, x[n], Y) for n in net.neurons}
    lam: dict[str, Array] = {}
    delta = {
        n: np.zeros_like(x[n]) for n in net.neurons
    }  # children first; a cycle's own are still 0
    for names, cyclic in reversed(components):
        if names[0] in clamped:
            continue
        for n in names:
            lam[n] = pull[n] + received(net, n, delta, back)
        if cyclic:
            lam |= _Loop(net, names).adjoint(slopes, lam, back)
        for n in names:
            delta[n] = slopes[n] * lam[n]
    return x, lam, delta


class _Loop:
    """Populations that reach each other, as one system x = sigma(W x + drive) of (patterns, units)."""

    def __init__(self, net: Network, names: list[str]) -> None:
        self.net, self.names = net, names
        self.cuts = np.cumsum([net.populations[n].size for n in names])[:-1]
        self.W = self._blocks(net.weights.__getitem__)

    def _blocks(self, matrix: Carrier) -> Array:
        return np.block(
            [[self._block(matrix, pre, post) for pre in self.names] for post in self.names]
        )

    def _block(self, matrix: Carrier, pre: str, post: str) -> Array:
        if (name := f"{pre}->{post}") not in self.net.weights:
            return np.zeros((self.net.populations[post].size, self.net.populations[pre].size))
        weights = matrix(name)
        return np.asarray(weights if isinstance(weights, np.ndarray) else weights.toarray())

    def fixed_point(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of the loop, given those of the populations that drive it."""
        silent = {n: np.zeros((n_patterns(x), self.net.populations[n].size)) for n in self.names}
        drive = np.hstack([net_input(self.net, n, {**x, **silent}) for n in self.names])
        rest = self._iterate(np.zeros_like(drive), drive)
        scale = 1 + np.abs(rest).max()
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=drive.shape[1])
        for far in (1.0, -1.0, signs):
            if (
                np.abs(self._iterate(2 * scale * far + 0 * drive, drive) - rest).max()
                > SAME * scale
            ):
                raise self._refusal("it has more than one fixed point")
        for _ in range(2):  # Newton: squares an error of 1e-7 at most
            a = rest @ self.W.T + drive
            rest = rest + self._solve(self.W, self._slopes(a), self._apply(sigma, a) - rest)
        if not np.abs(self._apply(sigma, rest @ self.W.T + drive) - rest).max() <= 1e-12 * scale:
            raise self._refusal("Newton's method leaves the point where the iteration settled")
        return self._split(rest)

    def adjoint(
        self, slopes: Mapping[str, Array], pull: Mapping[str, Array], back: Carrier
    ) -> dict[str, Array]:
        """lam of (I - Wᵀ D) lam = pull, one system a pattern; `back` gives what stands for W."""
        D, right = (np.hstack([by_name[n] for n in self.names]) for by_name in (slopes, pull))
        return self._split(self._solve(self._blocks(back), D, right, transposed=True))

    def _iterate(self, x: Array, drive: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(MAX_ITERATIONS):
                x, previous = self._apply(sigma, x @ self.W.T + drive), x
                change = np.abs(x - previous).max()
                if not np.isfinite(change):
                    raise self._refusal("x <- sigma(W x + b) grows without bound")
                if change <= TOLERANCE * (1 + np.abs(x).max()):
                    return x
        raise self._refusal(
            f"x <- sigma(W x + b) still changes by {change:.2g} after {MAX_ITERATIONS} iterations"
        )

    def _solve(self, W: Array, slopes: Array, right: Array, transposed: bool = False) -> Array:
        """(I - D W)⁻¹ right, or with the transpose, one system a pattern."""
        size = len(W)
        result = np.empty_like(right)
        for first in range(0, len(right), step := max(1, CHUNK // size**2)):
            part = slice(first, first + step)
            matrices = np.eye(size) - slopes[part, :, None] * W
            if transposed:
                matrices = matrices.transpose(0, 2, 1)
            try:
                result[part] = np.linalg.solve(matrices, right[part, :, None])[..., 0]
            except np.linalg.LinAlgError as error:
                raise self._refusal("I - D W is singular at its fixed point") from error
        return result

    def _apply(self, function: Callable[[str, Array], Array], a: Array) -> Array:
        parts = zip(self.names, np.split(a, self.cuts, axis=1), strict=True)
        return np.hstack([function(self.net.populations[n].activation, part) for n, part in parts])

    def _slopes(self, a: Array) -> Array:
        return self._apply(dsigma, a)

    def _split(self, values: Array) -> dict[str, Array]:
        return dict(
            zip(
                self.names,
                map(np.ascontiguousarray, np.split(values, self.cuts, axis=1)),
                strict=True,
            )
        )

    def _refusal(self, why: str) -> ConvergenceError:
        norm = np.linalg.norm(self.W, 2)
        radius = np.abs(np.linalg.eigvals(self.W)).max()
        sampled = np.linspace(-20, 20, 2001)
        steepest = max(
            np.abs(dsigma(self.net.populations[n].activation, sampled)).max() for n in self.names
        )
        hint = (
            f"its weights times less than {1 / (steepest * norm):.3g}"
            if steepest * norm > 1
            else "another bias"
        )
        return ConvergenceError(
            f"the cycle through {', '.join(self.names)} does not contract: {why}. Its "
            "weights have spectral norm "
            f"{norm:.3g} and radius {radius:.3g}, its activations slopes up to "
            f"{steepest:.3g}; allowed: cycles where "
            f"x <- sigma(W x + b) settles at one point from any start; try {hint}"
        )
