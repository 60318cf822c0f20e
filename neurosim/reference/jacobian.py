"""The flow linearised at a state: its Jacobian as directional derivatives, and the modes of that.

Above `reference`, below `guard` and `analysis`: the one linearisation in the house. With frozen
weights patterns do not see each other, so a Jacobian of (x, lam) belongs to one pattern; plastic
weights couple them all. Start at `Linearised`; `spectrum` takes it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import ddsigma, dsigma, loss_curvature, net_input, sigma
from neurosim.reference.ode import Rates, right_hand_side

Array = np.ndarray
Derivative = Callable[[Array], Array]  # directions (m, size) -> J @ direction (m, size), 1/s

NUDGE = float(
    np.cbrt(np.finfo(float).eps)
)  # of a state, relative to max(1, |state|); best for central differences
UNCOUPLED = (
    1e-9  # entries of a Jacobian by differences below this, relative to its largest, are rounding
)
AT_ONCE = 256  # directions, where a matrix is built


class Linearised:
    """The Jacobian of the flow at a state, without being built.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
    X, Y : mapping of str to array
        Encoded inputs and targets of the same patterns.
    plastic : bool
        Weights and biases that learn are states too; l1, a proximal step, is left out. Feedback
        weights are held.

    Attributes
    ----------
    size : int
        Of a state: x of every population, lam of every population, then what learns of weights and
        biases if plastic.
    places : tuple of str
        Populations; if plastic, projections and ``"bias.population"`` too.
    place : (size,) of int
        Index into `places` of every entry of a state.
    blocks : list of int arrays
        Entries of a state that belong to one variable of one place.
    exact : bool
        Whether derivatives are formulas. Central differences of the reference's right-hand side
        otherwise: for constraints other than ``lin``, and formulas of a user's own whose second
        derivative is not a plain formula.
    """

    def __init__(
        self,
        net: Network,
        flow: Flow,
        x: Mapping[str, Array],
        lam: Mapping[str, Array],
        X: Mapping[str, Array],
        Y: Mapping[str, Array],
        *,
        plastic: bool = False,
    ) -> None:
        if plastic and (
            learnt := [name for name, q in net.projections.items() if q.feedback == "kolen_pollack"]
        ):
            raise ModelError(
                f"feedback of {learnt[0]} = 'kolen_pollack' while plastic: its feedback "
                "weights are no states here; "
                "allowed: frozen weights, or feedback that rests between two steps: "
                "symmetric, random, sign, mirror"
            )
        self.net, self.flow, self.X, self.Y, self.plastic = net, flow, X, Y, plastic
        self.back = {name: net.returning(name) for name in net.projections}
        self.weights = {
            k: w for k, w in net.weights.items() if plastic and net.projections[k].plastic
        }
        self.biases = {
            n: b for n, b in net.biases.items() if plastic and net.populations[n].plastic_bias
        }
        self.places = (*net.neurons, *self.weights, *(f"bias.{n}" for n in self.biases))
        parts = Rates(
            dict(x), dict(lam), {name: synapses(w) for name, w in self.weights.items()}, self.biases
        )
        self.shapes = [np.shape(v) for v in self._in_order(parts)]
        self.state = np.concatenate([np.ravel(v) for v in self._in_order(parts)])
        self.size = self.state.size
        self.cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        self.blocks = np.split(np.arange(self.size), self.cuts)
        owners = [*range(len(net.neurons)), *range(len(self.places))]
        self.place = np.repeat(owners, [block.size for block in self.blocks])
        self.outputs = {**X, **{n: x[n] for n in net.neurons}}
        self.slope, self.bend, self.delta = {}, {}, {}  # sigma', sigma'' mu, sigma' mu
        self.regime = SimpleNamespace(x=dict(x), lam=dict(lam))  # a kink of G is no curvature
        self.exact = all(net.populations[n].constraint == "lin" for n in net.neurons)
        for n in net.neurons:
            activation, a = net.populations[n].activation, net_input(net, n, self.outputs)
            mu = lam[n] + flow.rho * (x[n] - sigma(activation, a))
            self.slope[n] = dsigma(activation, a)
            self.delta[n] = self.slope[n] * mu
            try:
                self.bend[n] = ddsigma(activation, a) * mu
                if n in net.losses:
                    loss_curvature(net.losses[n], x[n], Y[n], x[n])
            except ModelError:
                self.exact = False

    def at_synapses(self, directions: Array) -> Array:
        """J applied to each row, (m, size), 1/s."""
        if not self.exact:
            return self._differences(directions)
        kappa, gamma, rho, time = self.flow.kappa, self.flow.gamma, self.flow.rho, self.flow.time
        moved = self._unpack(directions)
        dg, dmu, ddelta = {}, {}, {}
        for n in self.net.neurons:
            da = self._forward(n, moved)
            dg[n] = moved.x[n] - self.slope[n] * da
            dmu[n] = moved.lam[n] + rho * dg[n]
            ddelta[n] = self.bend[n] * da + self.slope[n] * dmu[n]
        rates = Rates({}, {}, {}, {})
        for n in self.net.neurons:
            force = self._pull(n, moved.x[n]) + dmu[n] - self._back(n, ddelta, moved)  # of dL/dx
            rates.x[n] = (-kappa * force - gamma * dg[n]) / time("tau_x", n)
            rates.lam[n] = (kappa * dg[n] - gamma * force) / time("tau_lam", n)
        if self.plastic:
            self._learn(rates, ddelta, moved)
        return self._pack(rates, len(directions))

    def renewed(self, directions: Array) -> Array:
        """What x alone moves in the multipliers' rates while the messages of the children are held,
        (m, size), 1/s.

        kappa dg - gamma (dV' + rho dg): a semi-implicit step reads it anew. Zero in all but the
        multipliers; weights are frozen.
        """
        moved, rates = self._unpack(directions), Rates({}, {}, {}, {})
        for n in self.net.neurons:
            dg = moved.x[n] - self.slope[n] * self._forward(n, moved)
            force = self._pull(n, moved.x[n]) + self.flow.rho * dg
            rates.x[n] = np.zeros_like(dg)
            rates.lam[n] = (self.flow.kappa * dg - self.flow.gamma * force) / self.flow.time(
                "tau_lam", n
            )
        return self._pack(rates, len(directions))

    @property
    def invertible(self) -> bool:
        """Whether `solve` works here: an acyclic graph, frozen weights, derivatives by formulas."""
        return self.exact and not self.plastic and self.net.order() is not None

    def solve(self, rates: Array) -> Array:
        """Directions whose J @ direction are these rates, (m, size): a sweep forward for x, a sweep
        back for lam.
        """
        kappa, gamma, rho, time = self.flow.kappa, self.flow.gamma, self.flow.rho, self.flow.time
        wanted, found = self._unpack(rates), Rates({}, {}, {}, {})
        order = [n for n in self.net.order() or () if n in self.net.neurons]
        dg, da = {}, {}
        ddelta: dict[str, Array] = {}
        for n in order:
            pair = wanted.x[n] * time("tau_x", n), wanted.lam[n] * time("tau_lam", n)
            dg[n] = (kappa * pair[1] - gamma * pair[0]) / (kappa**2 + gamma**2)
            da[n] = self._forward(n, found)
            found.x[n] = dg[n] + self.slope[n] * da[n]
        for n in reversed(order):
            pair = wanted.x[n] * time("tau_x", n), wanted.lam[n] * time("tau_lam", n)
            force = -(kappa * pair[0] + gamma * pair[1]) / (kappa**2 + gamma**2)
            dmu = force - self._pull(n, found.x[n]) + self._back(n, ddelta, found)
            ddelta[n] = self.bend[n] * da[n] + self.slope[n] * dmu
            found.lam[n] = dmu - rho * dg[n]
        return self._pack(found, len(rates))

    def within(self, states: Array) -> Derivative:
        """J among some of the states only: the others are held."""

        def derivative(directions: Array) -> Array:
            full = np.zeros((len(directions), self.size))
            full[:, states] = directions
            return self.at_synapses(full)[:, states]

        return derivative

    def jacobian(self, states: Array | None = None) -> Array:
        """The matrix among some of the states, by default all, (states, states), 1/s."""
        states = np.arange(self.size) if states is None else states
        matrix = built(self.within(states), states.size)
        if (
            not self.exact
        ):  # rounding would hide a triangular order, and split the multiple eigenvalues of a chain
            matrix[np.abs(matrix) <= UNCOUPLED * np.abs(matrix).max(initial=0.0)] = 0.0
        return matrix

    def _forward(self, n: str, moved: Rates) -> Any:
        """da of a population, (m, patterns, units), or 0 where nothing that moves reaches it."""
        total: Any = 0.0
        for q in self.net.incoming(n):
            if q.pre in moved.x:
                total = total + _product(moved.x[q.pre], self.net.weights[q.name].T)
            if q.name in moved.w:
                changes = _changes(self.net.weights[q.name], moved.w[q.name])
                total = total + np.stack([self.outputs[q.pre] @ dw.T for dw in changes])
        if n in moved.b:
            total = total + moved.b[n][:, None, :]
        return total

    def _back(self, n: str, ddelta: Mapping[str, Array], moved: Rates) -> Any:
        """d(Wᵀ delta) of a population, or d(B delta), (m, patterns, units)."""
        total: Any = 0.0
        for q in self.net.outgoing(n):
            total = total + _product(ddelta[q.post], self.back[q.name])
            if q.name in moved.w and q.feedback == "symmetric":
                changes = _changes(self.net.weights[q.name], moved.w[q.name])
                total = total + np.stack([self.delta[q.post] @ dw for dw in changes])
        return total

    def _pull(self, n: str, dx: Array) -> Any:
        """d(dV/dx) of a population, (m, patterns, units)."""
        if n not in self.net.losses:
            return 0.0
        return loss_curvature(self.net.losses[n], self.outputs[n], self.Y[n], dx)

    def _learn(self, rates: Rates, ddelta: Mapping[str, Array], moved: Rates) -> None:
        """The rates of weights and biases."""
        for name, w in self.weights.items():
            q = self.net.projections[name]
            product = _outer(w, ddelta[q.post], self.outputs[q.pre])
            if q.pre in moved.x:
                product = product + _outer(w, self.delta[q.post], moved.x[q.pre])
            rates.w[name] = (product - q.decay * moved.w[name]) / self.flow.time("tau_w", q.post)
        for n in self.biases:
            rates.b[n] = ddelta[n].mean(axis=1) / self.flow.time("tau_w", n)

    def _differences(self, directions: Array) -> Array:
        reach = NUDGE * max(1.0, float(np.abs(self.state).max()))
        largest = np.maximum(np.abs(directions).max(axis=1, keepdims=True), np.finfo(float).tiny)
        nudges = directions * (reach / largest)
        plus, minus = np.split(
            self._rates(np.vstack([self.state + nudges, self.state - nudges])), 2
        )
        return np.asarray((plus - minus) * (largest / (2 * reach)))

    def _rates(self, states: Array) -> Array:
        """Time derivatives of many states, (m, size), 1/s: as one batch, unless each has weights of
        its own.
        """
        if self.plastic:
            return np.vstack([self._pack(self._rate(state), 1) for state in states])
        parts = self._unpack(states)
        x, lam = (
            {n: v.reshape(-1, v.shape[-1]) for n, v in part.items()}
            for part in (parts.x, parts.lam)
        )
        X, Y = (
            {n: np.tile(a, (len(states), 1)) for n, a in data.items()} for data in (self.X, self.Y)
        )
        here = (
            {n: np.tile(a, (len(states), 1)) for n, a in part.items()}
            for part in vars(self.regime).values()
        )
        regime = SimpleNamespace(**dict(zip(("x", "lam"), here, strict=True)))
        rates = right_hand_side(self.net, self.flow, x, lam, X, Y, plastic=False, regime=regime)
        return self._pack(rates, len(states))

    def _rate(self, state: Array) -> Rates:
        parts = self._unpack(state[None])
        x, lam, b = ({n: v[0] for n, v in part.items()} for part in (parts.x, parts.lam, parts.b))
        weights = self.net.weights | {
            name: with_values(self.weights[name], w[0]) for name, w in parts.w.items()
        }
        biases = self.net.biases | b
        rates = right_hand_side(
            self.net, self.flow, x, lam, self.X, self.Y, weights, biases, regime=self.regime
        )
        return Rates(
            rates.x, rates.lam, {name: synapses(w) for name, w in rates.w.items()}, rates.b
        )

    def _in_order(self, parts: Rates) -> list[Array]:
        neurons = self.net.neurons
        values = [part[n] for part in (parts.x, parts.lam) for n in neurons]
        if self.plastic:
            values += [parts.w[name] for name in self.weights] + [parts.b[n] for n in self.biases]
        return values

    def _pack(self, parts: Rates, count: int) -> Array:
        return np.hstack([np.reshape(v, (count, -1)) for v in self._in_order(parts)])

    def _unpack(self, vectors: Array) -> Rates:
        """Rows (m, size) as (m, patterns, units) by population, (m, synapses) by projection, (m, n)
        of biases.
        """
        pieces = zip(np.split(vectors, self.cuts, axis=1), self.shapes, strict=True)
        arrays = iter([piece.reshape(len(vectors), *shape) for piece, shape in pieces])
        x, lam = ({n: next(arrays) for n in self.net.neurons} for _ in range(2))
        if not self.plastic:
            return Rates(x, lam, {}, {})
        return Rates(
            x, lam, {k: next(arrays) for k in self.weights}, {n: next(arrays) for n in self.biases}
        )


def built(derivative: Derivative, size: int) -> Array:
    """The matrix of a linear map that is given by its products, (size, size)."""
    directions = np.eye(size)
    return np.vstack([derivative(directions[i : i + AT_ONCE]) for i in range(0, size, AT_ONCE)]).T


def _product(v: Array, matrix: Any) -> Array:
    """v @ matrix over the last axis, whatever stands before it; the matrix may be sparse."""
    return np.asarray((v.reshape(-1, v.shape[-1]) @ matrix).reshape(*v.shape[:-1], matrix.shape[1]))


def _changes(w: Weights, dw: Array) -> Iterable[Any]:
    """Each direction's change of the weights, as a matrix of their kind."""
    return dw if isinstance(w, np.ndarray) else [with_values(w, row) for row in dw]


def _outer(w: Weights, delta: Array, x: Array) -> Array:
    """Mean over the patterns of delta_i x_j at every synapse; either may have directions before its
    patterns.
    """
    product = np.swapaxes(delta, -1, -2) @ x / x.shape[-2]
    if isinstance(w, np.ndarray):
        return np.asarray(product)
    post = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
    return np.asarray(product[..., post, w.indices])
