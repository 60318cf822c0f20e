"""The saddle point of one pattern as a curve over one parameter.

Below `continuation`, which walks along it. At the saddle g = 0 alone fixes the outputs, whatever
the flow, and the multipliers follow by one linear solve. So the curve is one of x and the
parameter: a curve of (x, lam) could not be followed through a fold, where the matrix I - Wᵀ D of
the adjoint is singular and lam goes to infinity. Start at `SaddleCurve`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurosim.analysis.stability import stability
from neurosim.errors import ConvergenceError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.reference.functions import BackwardWeights, dense, dsigma, net_input, violation
from neurosim.reference.jacobian import Linearised
from neurosim.reference.linear_algebra import solve
from neurosim.reference.losses import output_slope

Array = np.ndarray
Family = Callable[[float], tuple[Network, Flow]]  # the parameter -> network and flow

NEWTON = 12  # iterations
TOLERANCE = 1e-12  # largest |g| that is left, relative to 1 + |z|
NUDGE = 1e-6  # of q, over which g is differentiated


class SaddleCurve:
    """Points z = (x of all populations, q) with g(x) = 0; q is 0 at `start` and 1 at `stop`.

    Parameters
    ----------
    family : callable
        Value of the parameter -> (network, flow).
    start, stop : float
        Values of the parameter at q = 0 and 1.
    X, Y : dict of str to array, (1, units)
        One pattern, encoded.

    Attributes
    ----------
    neurons : list of str
        Populations that are not clamped, in the order of x.
    size : int
        Number of their units.
    along_parameter : (size + 1,)
        Direction of q.
    metric : (size + 1,)
        Weights of squared lengths along the curve: the mean over x, plus q.
    """

    def __init__(
        self, family: Family, start: float, stop: float, X: dict[str, Array], Y: dict[str, Array]
    ) -> None:
        self.family = family
        self.start = start
        self.stop = stop
        self.X = X
        self.Y = Y
        net = self.network(0.0)
        self.neurons = net.neurons
        sizes = [net.populations[n].size for n in self.neurons]
        self.size = sum(sizes)
        ends = np.cumsum(sizes)
        self.cuts = ends[:-1]
        no_outputs = np.zeros(self.size)
        self.along_parameter = np.append(no_outputs, 1.0)
        mean = np.full(self.size, 1.0 / self.size)
        self.metric = np.append(mean, 1.0)

    def parameter(self, z: Array) -> float:
        """Value of the parameter at a point."""
        q = z[-1]
        width = self.stop - self.start
        return float(self.start + q * width)

    def network(self, q: float) -> Network:
        """Return the network at q."""
        width = self.stop - self.start
        net, _ = self.family(self.start + q * width)
        return net

    def split(self, x: Array) -> dict[str, Array]:
        """Return a vector over all units by population, (1, units)."""
        parts = np.split(x[None], self.cuts, axis=1)
        return dict(zip(self.neurons, parts, strict=True))

    def outputs(self, z: Array) -> dict[str, Array]:
        """Return the outputs of every population at a point, clamped ones included."""
        x = self.split(z[:-1])
        return {**self.X, **x}

    def violation(self, z: Array) -> Array:
        """g of all units at a point, (units,), unit 1."""
        net = self.network(z[-1])
        x = self.outputs(z)
        by_population = [violation(net, n, x) for n in self.neurons]
        patterns = np.hstack(by_population)
        return np.asarray(patterns[0])

    def constraints(self, z: Array, matrix: BackwardWeights | None = None) -> Array:
        """C = I - D W, the derivative of g by x, (units, units), unit 1.

        Parameters
        ----------
        z : (size + 1,)
        matrix : callable, optional
            Gives the matrix of a projection, (n_post, n_pre); by default W.
        """
        net = self.network(z[-1])
        x = self.outputs(z)
        matrix = matrix or net.matrix
        rows = []
        for post in self.neurons:
            activation = net.populations[post].activation
            a = net_input(net, post, x)
            slope = dsigma(activation, a)[0]
            blocks = [_block(net, matrix, pre, post) for pre in self.neurons]
            W = np.hstack(blocks)
            rows.append(-slope[:, None] * W)
        minus_dw = np.vstack(rows)
        return np.asarray(np.eye(self.size) + minus_dw)

    def derivative(self, z: Array) -> Array:
        """Derivative of g by x and q, (units, units + 1), unit 1."""
        x = z[:-1]
        q = z[-1]
        # not beyond the window from 0 to 1, nor further out than a q that is beyond it
        lowest = min(q, 0.0)
        highest = max(q, 1.0)
        low = max(q - NUDGE, lowest)
        high = min(q + NUDGE, highest)
        above = np.append(x, high)
        below = np.append(x, low)
        rise = self.violation(above) - self.violation(below)
        by_q = rise / (high - low)
        return np.column_stack([self.constraints(z), by_q])

    def corrected(self, guess: Array, tangent: Array) -> Array:
        """Find the point of the curve in the plane through `guess` across `tangent`.

        By Newton's method.

        Raises
        ------
        ConvergenceError
            Newton's method does not settle.
        """
        z = guess.copy()
        across = self.metric * tangent
        for _ in range(NEWTON):
            off_plane = across @ (z - guess)
            residual = np.append(self.violation(z), off_plane)
            if not np.isfinite(residual).all():
                break
            largest = np.abs(residual).max()
            scale = 1 + np.abs(z).max()
            if largest <= TOLERANCE * scale:
                return z
            matrix = np.vstack([self.derivative(z), across])
            try:
                z = z - solve(matrix, residual, "the derivative of g")
            except ConvergenceError:
                break
        raise ConvergenceError(
            f"no saddle point near the parameter {self.parameter(guess):g}: Newton's method on "
            "g = 0 does not settle; try another start, or `at` with outputs nearer to one"
        )

    def tangent(self, z: Array, ahead: Array) -> Array:
        """Direction of the curve at a point, of length 1, on the side of `ahead`; (size + 1,)."""
        across = self.metric * ahead
        matrix = np.vstack([self.derivative(z), across])
        # g does not change along the curve; the part along `ahead` is positive
        right = np.append(np.zeros(self.size), 1.0)
        direction = solve(matrix, right, "the derivative of g")
        return np.asarray(direction / self.length(direction))

    def length(self, direction: Array) -> float:
        """Length of a vector in the metric of the curve."""
        squared = self.metric @ direction**2
        return float(np.sqrt(squared))

    def state(self, z: Array) -> State:
        """Return x and lam = -(I - Wᵀ D)⁻¹ dV/dx at a point; B stands for Wᵀ where there is one."""
        net = self.network(z[-1])
        outputs = self.outputs(z)
        pulls = [-output_slope(net, n, outputs[n], self.Y) for n in self.neurons]
        pull = np.hstack(pulls)[0]
        matrix = self.constraints(z, net.returning).T
        lam = solve(matrix, pull, "I - Wᵀ D")
        x = z[:-1]
        return State(self.split(x), self.split(lam))

    def spectrum(self, z: Array) -> Array:
        """Eigenvalues at a point, slowest first, (modes,), complex, 1/s."""
        net, flow = self.family(self.parameter(z))
        found = stability(net, flow, self.X, self.Y, at=self.state(z))
        return found.eigenvalues

    def linearised(self, z: Array) -> Linearised:
        """Return the flow linearised at the saddle at a point."""
        state = self.state(z)
        net, flow = self.family(self.parameter(z))
        return Linearised(net, flow, state.x, state.lam, self.X, self.Y)


def _block(net: Network, matrix: BackwardWeights, pre: str, post: str) -> Array:
    """Return the matrix from one population to another, (n_post, n_pre); 0 without synapses."""
    name = f"{pre}->{post}"
    if name not in net.weights:
        n_post = net.populations[post].size
        n_pre = net.populations[pre].size
        return np.zeros((n_post, n_pre))
    return dense(matrix(name))
