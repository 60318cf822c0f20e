"""Monitor a run: compare dt with the largest stable step, and diagnose a divergence.

Above `stable_step` and `remedies`, below `session`. Start at `StabilityMonitor`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping

import numpy as np

from neurosim.engine.plan import Plan
from neurosim.errors import StabilityWarning, shown, warn
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER, EXPONENTIAL_EULER
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.model.weights import synapses
from neurosim.simulation import stable_step as stability
from neurosim.simulation.remedies import Change, diagnosis
from neurosim.simulation.stable_step import StableStep

Array = np.ndarray
Patterns = Mapping[str, Array]

logger = logging.getLogger("neurosim")
_known: dict[bytes, StableStep] = {}  # by the digest of network, flow, state and data

# A run counts as diverged once |x| or |lam| exceeds this, times the largest input or target.
BOUND = 1e6
PATTERNS = 2  # patterns that the monitor linearises
# Synapses of the largest network that is monitored: the search takes some 250 products with them.
MOST_SYNAPSES = 3_000_000
MOST_UNITS = 5_000  # of the largest network; the search orthogonalises vectors of x and lam
MOST_KNOWN = 8  # stable steps that are kept, as many short runs start from the same state
SLACK = 1.02  # there is no warning up to this multiple of the stable step


class StabilityMonitor:
    """Compute the largest stable Euler step during a run; warn once where dt exceeds it.

    Parameters
    ----------
    plan : Plan
    flow : Flow
    dt : float, s
        Step of the simulation.
    """

    def __init__(self, plan: Plan, flow: Flow, dt: float) -> None:
        self.plan, self.flow, self.dt, self.warned = plan, flow, dt, False

    def check(self, state: State, X: Patterns, Y: Patterns) -> float:
        """Return the largest stable step at a state, s; NaN where it is not computed.

        It is computed only with method "euler", for networks of up to `MOST_SYNAPSES` synapses and
        `MOST_UNITS` units, and where the flow can be linearised. It is that of the flow's own
        right-hand sides: where an extension replaces one, it is not computed, and a term that an
        extension adds is left out. Of the batch, `PATTERNS` patterns are linearised.

        Parameters
        ----------
        state : State
        X, Y : dict of str to array, (patterns, units)
            Inputs and targets that are clamped.
        """
        self._warn_of_euler_steps()
        if self.plan.method != EULER or not self.small_enough or self._is_replaced():
            return float("nan")
        rows = np.unique(np.linspace(0, self.plan.patterns - 1, PATTERNS).astype(int))
        at = State(_rows(state.x, rows), _rows(state.lam, rows))
        found = self._linearised(at, _rows(X, rows), _rows(Y, rows))
        if found is None:
            return float("nan")
        step, advice = found
        if advice and not self.warned:
            self.warned = True
            warn(advice, StabilityWarning)
        return step

    def _linearised(self, state: State, X: Patterns, Y: Patterns) -> tuple[float, str] | None:
        """Return the stable step, and what to try where dt exceeds it; None if there is none.

        A state can be too far out to be linearised, as where an activation overflows. The run may
        be fine all the same, so no error of the monitor ends it.
        """
        try:
            with np.errstate(all="ignore"):
                found = self._stable_step(state, X, Y)
                if self.dt <= SLACK * found.step or self.warned:
                    return found.step, ""
                return found.step, stability.remedy(self.plan.net, self.flow, self.dt, found)
        except Exception as error:
            logger.info("the stable step is unknown here: %s: %s", type(error).__name__, error)
            return None

    def _stable_step(self, state: State, X: Patterns, Y: Patterns) -> StableStep:
        """Return the stable step, which is computed once for the same network, state and data."""
        net = self.plan.net
        key = b""
        if not any(q.over for q in net.projections.values()):  # their tables are not digested
            key = _digest(net, self.flow, state.x, state.lam, X, Y)
        found = _known.pop(key, None) if key else None
        if found is None:
            found = stability.stable_step(
                self.plan.net, self.flow, state.x, state.lam, X, Y, patterns=PATTERNS
            )
        if key:
            _known[key] = found  # as the last one used
        while len(_known) > MOST_KNOWN:
            _known.pop(next(iter(_known)), None)
        return found

    def diagnosis(
        self, state: State, X: Patterns, Y: Patterns, plastic: bool
    ) -> tuple[str, list[Change]]:
        """Return the probable cause of a divergence, and changes that may prevent it.

        Parameters
        ----------
        state : State
            The last one within the bound.
        X, Y : dict of str to array, (patterns, units)
            Inputs and targets that were clamped.
        plastic : bool
            Whether weights moved.
        """
        found = None
        if self.small_enough and not self._is_replaced():
            try:
                with np.errstate(all="ignore"):
                    found = stability.stable_step(
                        self.plan.net, self.flow, state.x, state.lam, X, Y, patterns=PATTERNS
                    )
            except Exception as error:  # the state is too far out to be linearised
                logger.info(
                    "no stable step after a divergence: %s: %s", type(error).__name__, error
                )
        return diagnosis(self.plan, self.flow, self.dt, found, plastic)

    def _warn_of_euler_steps(self) -> None:
        """Warn once where exponential Euler has no leak, as an extension replaces dz/dt."""
        if self.plan.method != EXPONENTIAL_EULER or self.warned or not self.plan.replaced:
            return
        self.warned = True
        names = [f"{state} of {population}" for population, state in self.plan.replaced]
        warn(
            f"method = {EXPONENTIAL_EULER!r} takes plain Euler steps of {', '.join(names)}, as the "
            "leaks of right-hand sides that extensions replace are not known; try method='euler', "
            "or 'rk4' for accuracy",
            StabilityWarning,
        )

    def _is_replaced(self) -> bool:
        """Return whether an extension replaces a right-hand side; log its name if so."""
        for (population, state), text in self.plan.replaced.items():
            logger.info(
                "the stable step is unknown: an extension replaces d%s/dt of %s by %s",
                state,
                population,
                shown(text),
            )
        return bool(self.plan.replaced)

    @property
    def small_enough(self) -> bool:
        """Whether the network has at most `MOST_UNITS`, and `MOST_SYNAPSES` between them."""
        net = self.plan.net
        if sum(net.populations[n].size for n in net.neurons) > MOST_UNITS:
            return False
        return sum(net.connections(name) for name in net.projections) <= MOST_SYNAPSES


def divergence_bound(clamped: Patterns, targets: Patterns) -> float:
    """Return the bound of |x| and |lam| beyond which a run counts as diverged, unit 1.

    It is `BOUND` times the largest absolute input or target, or `BOUND` if that is below 1.
    """
    largest = [1.0]
    for values in (*clamped.values(), *targets.values()):
        if values.size:
            largest.append(float(max(values.max(), -values.min())))
    return BOUND * max(largest)


def _rows(values: Patterns, rows: Array) -> dict[str, Array]:
    return {n: v[rows] for n, v in values.items()}


def _digest(net: Network, flow: Flow, *patterns: Patterns) -> bytes:
    """Return a digest of all that a linearisation reads."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((net.populations, net.projections, net.losses, flow)).encode())
    arrays = [net.biases, net.feedback, *patterns]
    for name, w in net.weights.items():
        if not isinstance(w, np.ndarray):
            arrays.append({f"{name} row": w.indptr, f"{name} column": w.indices})
        arrays.append({name: synapses(w)})
    for own in arrays:
        for name, values in own.items():
            numbers = np.ascontiguousarray(synapses(values))
            digest.update(f"{name} {numbers.dtype} {numbers.shape}".encode())
            digest.update(numbers.tobytes())
    return digest.digest()
