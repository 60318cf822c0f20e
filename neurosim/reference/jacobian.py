"""The flow linearised at a state: its Jacobian as directional derivatives.

Above `ode`, below `spectrum`, which finds the modes. With frozen weights patterns do not affect
each other, so a Jacobian of (x, lam) belongs to one pattern; plastic weights couple them all. Start
at `Linearised`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from neurosim.errors import ModelError
from neurosim.model.feedback import KOLEN_POLLACK, SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapses, with_values
from neurosim.reference.functions import (
    ddsigma,
    dsigma,
    hebbian,
    net_input,
    of_biases,
    times,
    violation_at,
)
from neurosim.reference.losses import loss_curvature
from neurosim.reference.ode import Rates, right_hand_side
from neurosim.reference.plasticity import check_built_in

Array = np.ndarray
Derivative = Callable[[Array], Array]  # directions (m, size) -> J @ direction (m, size), 1/s

# of a state, relative to max(1, |state|); best for central differences
NUDGE = float(np.cbrt(np.finfo(float).eps))
# entries of a Jacobian by differences below this, relative to its largest, are rounding
UNCOUPLED = 1e-9
AT_ONCE = 256  # directions at once where a matrix is built


class Linearised:
    """The Jacobian J of the flow at a state, applied without being built.

    Parameters
    ----------
    net : Network
    flow : Flow
    x, lam : mapping of str to array, (patterns, units), unit 1
    X, Y : mapping of str to array
        Encoded inputs and targets of the same patterns.
    plastic : bool
        Whether weights and biases that learn are states too. l1, a proximal step, is left out.
        Feedback weights are held.

    Attributes
    ----------
    size : int
        Length of a state: x of every population, lam of every population, then, if plastic, the
        weights and biases that learn.
    places : tuple of str
        Populations; if plastic, projections and ``"bias.population"`` too.
    place : (size,) of int
        Index into `places` of every entry of a state.
    blocks : list of int arrays
        Entries of a state that belong to one variable of one place.
    exact : bool
        Whether derivatives are formulas. Otherwise they are central differences of the reference's
        right-hand side: for constraints other than ``lin``, and for user-supplied formulas whose
        second derivative is not a plain formula.

    Raises
    ------
    ModelError
        Feedback weights learn (kolen_pollack) while plastic.
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
        self.net = net
        self.flow = flow
        self.X = X
        self.Y = Y
        self.plastic = plastic
        # of all units: faster than term by term, in the many products here
        self.ahead = {name: net.matrix(name) for name in net.projections}
        self.back = {name: net.matrix(name, net.returning(name)) for name in net.projections}
        self.weights: dict[str, Weights] = {}
        self.biases: dict[str, Array] = {}
        if plastic:
            _check_feedback_rests(net)
            check_built_in(net)
            for name, w in net.weights.items():
                if net.projections[name].plastic:
                    self.weights[name] = w
            for n, b in net.biases.items():
                if net.populations[n].plastic_bias:
                    self.biases[n] = b
        bias_places = [f"bias.{n}" for n in self.biases]
        self.places = (*net.neurons, *self.weights, *bias_places)
        weights = {name: synapses(w) for name, w in self.weights.items()}
        state = Rates(dict(x), dict(lam), weights, self.biases)
        self._lay_out(self._in_order(state))
        self.outputs = dict(X)
        for n in net.neurons:
            self.outputs[n] = x[n]
        # differences stay on the side of a kink where the state is: a kink has no curvature
        self.regime = SimpleNamespace(x=dict(x), lam=dict(lam))
        self._differentiate(lam)

    def _lay_out(self, parts: list[Array]) -> None:
        """Set the order of a state's entries, and the state itself."""
        self.shapes = [np.shape(v) for v in parts]
        self.state = np.concatenate([np.ravel(v) for v in parts])
        self.size = self.state.size
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        ends = np.cumsum(sizes)
        self.cuts = ends[:-1]
        entries = np.arange(self.size)
        self.blocks = np.split(entries, self.cuts)
        # x of every population comes before lam, so populations are counted twice
        x_places = range(len(self.net.neurons))
        other_places = range(len(self.places))
        self.place = np.repeat([*x_places, *other_places], sizes)

    def _differentiate(self, lam: Mapping[str, Array]) -> None:
        """Set sigma', sigma'' mu and delta = sigma' mu of every population, for G = lin."""
        net = self.net
        self.slope = {}
        self.bend = {}
        self.delta = {}
        constraints = {net.populations[n].constraint for n in net.neurons}
        self.exact = constraints <= {"lin"}
        for n in net.neurons:
            activation = net.populations[n].activation
            x = self.outputs[n]
            a = net_input(net, n, self.outputs)
            g = violation_at(activation, x, a)
            mu = lam[n] + self.flow.rho * g
            self.slope[n] = dsigma(activation, a)
            self.delta[n] = self.slope[n] * mu
            try:
                self.bend[n] = ddsigma(activation, a) * mu
                if n in net.losses:
                    self._curvature(n, x)
            except ModelError:
                self.exact = False

    def apply(self, directions: Array) -> Array:
        """Apply J to each row; (m, size) to (m, size), 1/s."""
        if not self.exact:
            return self._differences(directions)
        flow = self.flow
        kappa = flow.kappa
        gamma = flow.gamma
        moved = self._unpack(directions)
        dg = {}
        dmu = {}
        ddelta = {}
        for n in self.net.neurons:
            da = self._forward(n, moved)
            dg[n] = moved.x[n] - self.slope[n] * da
            dmu[n] = moved.lam[n] + flow.rho * dg[n]
            ddelta[n] = self.bend[n] * da + self.slope[n] * dmu[n]
        rates = Rates({}, {}, {}, {})
        for n in self.net.neurons:
            curvature = self._curvature(n, moved.x[n])
            received = self._back(n, ddelta, moved)
            change = curvature + dmu[n] - received  # of dL/dx
            dx = -kappa * change - gamma * dg[n]
            dlam = kappa * dg[n] - gamma * change
            rates.x[n] = dx / flow.time("tau_x", n)
            rates.lam[n] = dlam / flow.time("tau_lam", n)
        if self.plastic:
            self._learn(rates, ddelta, moved)
        return self._pack(rates, len(directions))

    def renewed(self, directions: Array) -> Array:
        """Derivative of the multipliers' rates by x, with the messages of the children held.

        It is kappa dg - gamma (dV' + rho dg) in the multipliers and zero elsewhere: the part that a
        semi-implicit step evaluates at the new x. Weights are frozen.

        Returns
        -------
        array, (m, size), 1/s
        """
        flow = self.flow
        moved = self._unpack(directions)
        rates = Rates({}, {}, {}, {})
        for n in self.net.neurons:
            da = self._forward(n, moved)
            dg = moved.x[n] - self.slope[n] * da
            curvature = self._curvature(n, moved.x[n])
            change = curvature + flow.rho * dg
            dlam = flow.kappa * dg - flow.gamma * change
            rates.x[n] = np.zeros_like(dg)
            rates.lam[n] = dlam / flow.time("tau_lam", n)
        return self._pack(rates, len(directions))

    @property
    def leaks(self) -> Array:
        """Linear leak of every state, (size,), 1/s; weights are frozen.

        (kappa (rho + weight of mse) + gamma)/tau_x for x, and gamma/tau_lam for lam: the constant
        part of -d(dx/dt)/dx and of -d(dlam/dt)/dlam within each unit.
        """
        net = self.net
        flow = self.flow
        leaks = []
        for n in net.neurons:
            curvature = 0.0
            loss = net.losses.get(n)
            if loss is not None and loss.kind == "mse":
                curvature = loss.weight
            leak = flow.kappa * (flow.rho + curvature) + flow.gamma
            leaks.append(leak / flow.time("tau_x", n))
        leaks += [flow.gamma / flow.time("tau_lam", n) for n in net.neurons]
        sizes = [block.size for block in self.blocks]
        return np.repeat(leaks, sizes)

    @property
    def invertible(self) -> bool:
        """Whether `solve` works here: an acyclic graph, frozen weights, derivatives by formulas."""
        return self.exact and not self.plastic and self.net.order() is not None

    def solve(self, rates: Array) -> Array:
        """Find the directions that J maps to these rates, where J is `invertible`.

        By a sweep forward and a sweep back.

        Parameters
        ----------
        rates : array, (m, size), 1/s

        Returns
        -------
        array, (m, size), unit 1
        """
        flow = self.flow
        kappa = flow.kappa
        gamma = flow.gamma
        squared_gain = kappa**2 + gamma**2
        given = self._unpack(rates)
        found = Rates({}, {}, {}, {})
        order = [n for n in self.net.order() or () if n in self.net.neurons]
        change = {}  # of dL/dx
        dg = {}
        da = {}
        ddelta: dict[str, Array] = {}
        for n in order:
            dx = given.x[n] * flow.time("tau_x", n)
            dlam = given.lam[n] * flow.time("tau_lam", n)
            change[n] = -(kappa * dx + gamma * dlam) / squared_gain
            dg[n] = (kappa * dlam - gamma * dx) / squared_gain
            da[n] = self._forward(n, found)
            found.x[n] = dg[n] + self.slope[n] * da[n]
        for n in reversed(order):
            curvature = self._curvature(n, found.x[n])
            received = self._back(n, ddelta, found)
            dmu = change[n] - curvature + received
            ddelta[n] = self.bend[n] * da[n] + self.slope[n] * dmu
            found.lam[n] = dmu - flow.rho * dg[n]
        return self._pack(found, len(rates))

    def within(self, states: Array) -> Derivative:
        """Return J among some of the states only; the others are held."""

        def derivative(directions: Array) -> Array:
            full = np.zeros((len(directions), self.size))
            full[:, states] = directions
            return self.apply(full)[:, states]

        return derivative

    def jacobian(self, states: Array | None = None) -> Array:
        """Return the matrix among some of the states, by default all; (states, states), 1/s."""
        if states is None:
            states = np.arange(self.size)
        matrix = matrix_of(self.within(states), states.size)
        if not self.exact:
            # rounding would hide a triangular order, and split the multiple eigenvalues of a chain
            entries = np.abs(matrix)
            largest = entries.max(initial=0.0)
            matrix[entries <= UNCOUPLED * largest] = 0.0
        return matrix

    def _forward(self, n: str, moved: Rates) -> Any:
        """da of a population, (m, patterns, units); 0 where nothing that moves projects to it."""
        total: Any = 0.0
        for q in self.net.incoming(n):
            if q.pre in moved.x:
                total = total + times(moved.x[q.pre], self.ahead[q.name].T)
            if q.name in moved.w:
                x = self.outputs[q.pre]
                changes = self._changes(q.name, moved.w[q.name])
                by_weights = [x @ dw.T for dw in changes]
                total = total + np.stack(by_weights)
        if n in moved.b:
            db = moved.b[n]
            sites = self.net.populations[n].size // db.shape[-1]
            total = total + np.tile(db, sites)[:, None, :]
        return total

    def _back(self, n: str, ddelta: Mapping[str, Array], moved: Rates) -> Any:
        """d(Wᵀ delta) of a population, or d(B delta); (m, patterns, units)."""
        total: Any = 0.0
        for q in self.net.outgoing(n):
            total = total + times(ddelta[q.post], self.back[q.name])
            if q.name in moved.w and q.feedback == SYMMETRIC:
                delta = self.delta[q.post]
                changes = self._changes(q.name, moved.w[q.name])
                by_weights = [delta @ dw for dw in changes]
                total = total + np.stack(by_weights)
        return total

    def _curvature(self, n: str, dx: Array) -> Any:
        """d(dV/dx) of a population, (m, patterns, units)."""
        if n not in self.net.losses:
            return 0.0
        features = self.net.populations[n].features
        return loss_curvature(self.net.losses[n], self.outputs[n], self.Y[n], dx, features)

    def _changes(self, name: str, dw: Array) -> Iterable[Any]:
        """Return the change of the weights in each direction, as matrices (n_post, n_pre)."""
        w = self.weights[name]
        if isinstance(w, np.ndarray) and w.ndim == 2:
            return dw
        return [self.net.matrix(name, with_values(w, row)) for row in dw]

    def _learn(self, rates: Rates, ddelta: Mapping[str, Array], moved: Rates) -> None:
        """Add the rates of weights and biases."""
        for name in self.weights:
            q = self.net.projections[name]
            change = hebbian(self.net, name, ddelta[q.post], self.outputs[q.pre])
            if q.pre in moved.x:
                change = change + hebbian(self.net, name, self.delta[q.post], moved.x[q.pre])
            decay = q.decay * moved.w[name]
            tau_w = self.flow.time("tau_w", q.post)
            rates.w[name] = (change - decay) / tau_w
        for n in self.biases:
            rates.b[n] = of_biases(self.net, n, ddelta[n]) / self.flow.time("tau_w", n)

    def _differences(self, directions: Array) -> Array:
        """Apply J to each row by central differences, (m, size), 1/s."""
        scale = float(np.abs(self.state).max())
        reach = NUDGE * max(1.0, scale)  # largest entry of a nudge
        tiny = np.finfo(float).tiny
        largest = np.maximum(np.abs(directions).max(axis=1, keepdims=True), tiny)
        nudges = directions * (reach / largest)
        above = self.state + nudges
        below = self.state - nudges
        plus, minus = np.split(self._rates(np.vstack([above, below])), 2)
        per_reach = largest / (2 * reach)
        return np.asarray((plus - minus) * per_reach)

    def _rates(self, states: Array) -> Array:
        """Return the time derivatives of many states, (m, size), 1/s.

        They are one batch, except plastic ones, each of which has its own weights.
        """
        if self.plastic:
            each = [self._rate(state) for state in states]
            return np.vstack([self._pack(rates, 1) for rates in each])
        count = len(states)
        parts = self._unpack(states)
        regime = SimpleNamespace(
            x=_repeated(self.regime.x, count),
            lam=_repeated(self.regime.lam, count),
        )
        rates = right_hand_side(
            self.net,
            self.flow,
            _as_batch(parts.x),
            _as_batch(parts.lam),
            _repeated(self.X, count),
            _repeated(self.Y, count),
            plastic=False,
            regime=regime,
        )
        return self._pack(rates, count)

    def _rate(self, state: Array) -> Rates:
        """Return the time derivatives of one state, (size,), weights and biases among them."""
        parts = self._unpack(state[None])
        x = {n: v[0] for n, v in parts.x.items()}
        lam = {n: v[0] for n, v in parts.lam.items()}
        weights = dict(self.net.weights)
        biases = dict(self.net.biases)
        for name, w in parts.w.items():
            weights[name] = with_values(self.weights[name], w[0])
        for n, b in parts.b.items():
            biases[n] = b[0]
        rates = right_hand_side(
            self.net, self.flow, x, lam, self.X, self.Y, weights, biases, regime=self.regime
        )
        w_rates = {name: synapses(w) for name, w in rates.w.items()}
        return Rates(rates.x, rates.lam, w_rates, rates.b)

    def _in_order(self, parts: Rates) -> list[Array]:
        """Return the arrays in the order of a state."""
        neurons = self.net.neurons
        arrays = [parts.x[n] for n in neurons]
        arrays += [parts.lam[n] for n in neurons]
        if self.plastic:
            arrays += [parts.w[name] for name in self.weights]
            arrays += [parts.b[n] for n in self.biases]
        return arrays

    def _pack(self, parts: Rates, count: int) -> Array:
        """Return arrays of `count` states as rows, (count, size)."""
        arrays = self._in_order(parts)
        rows = [np.reshape(v, (count, -1)) for v in arrays]
        return np.hstack(rows)

    def _unpack(self, vectors: Array) -> Rates:
        """Return rows, (m, size), by place.

        x and lam are (m, patterns, units), weights (m, synapses) or (m, n_post, n_pre), biases (m,
        n).
        """
        count = len(vectors)
        pieces = np.split(vectors, self.cuts, axis=1)
        shaped = []
        for piece, shape in zip(pieces, self.shapes, strict=True):
            shaped.append(piece.reshape(count, *shape))
        arrays = iter(shaped)
        x = {n: next(arrays) for n in self.net.neurons}
        lam = {n: next(arrays) for n in self.net.neurons}
        weights = {name: next(arrays) for name in self.weights}
        biases = {n: next(arrays) for n in self.biases}
        return Rates(x, lam, weights, biases)


def matrix_of(derivative: Derivative, size: int) -> Array:
    """Build the matrix of a linear map that is given by its products, (size, size)."""
    directions = np.eye(size)
    images = []
    for first in range(0, size, AT_ONCE):
        images.append(derivative(directions[first : first + AT_ONCE]))
    return np.vstack(images).T


def _check_feedback_rests(net: Network) -> None:
    """Refuse feedback weights that learn by a flow, which are not states here.

    Raises
    ------
    ModelError
        Feedback of the kind kolen_pollack.
    """
    for name, q in net.projections.items():
        if q.feedback == KOLEN_POLLACK:
            raise ModelError(
                f"feedback of {name} = {q.feedback!r} while plastic: its feedback weights move and "
                "are not states here; allowed: frozen weights, or feedback without a rate of its "
                "own: symmetric, random, sign, mirror"
            )


def _repeated(by_population: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Repeat the patterns of every array `count` times."""
    return {n: np.tile(a, (count, 1)) for n, a in by_population.items()}


def _as_batch(by_population: Mapping[str, Array]) -> dict[str, Array]:
    """Join leading axes: (m, patterns, units) as (m patterns, units)."""
    joined = {}
    for n, v in by_population.items():
        units = v.shape[-1]
        joined[n] = v.reshape(-1, units)
    return joined
