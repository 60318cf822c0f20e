"""Adaptive steps with the Dormand-Prince pair of orders 5 and 4.

References
----------
Dormand & Prince, J. Comput. Appl. Math. 6, 19-26 (1980).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurosim.engine.groups import Groups
from neurosim.engine.integrators import DORMAND_PRINCE, SETTLING_SHARE
from neurosim.engine.names import MOMENT
from neurosim.engine.runtime.arrays import live
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.rates import Rates

Array = np.ndarray
STAGES = 7
ROUNDING = {"float64": 1e-14, "float32": 1e-6}  # smallest error that a step is held to


class DormandPrince:
    """Take as many steps in one tick as the tolerance requires; the weights are fixed.

    Near rest the error of a step is held below a share of the remaining motion, so that the rate of
    change keeps falling and the run settles, whatever the tolerance.
    """

    def __init__(
        self, groups: Groups, messages: Messages, rates: Rates, numbers: Mapping[str, Array]
    ) -> None:
        self.messages = messages
        self.rates = rates
        self.dt = groups.plan.dt
        self.rounding = ROUNDING[groups.plan.precision]
        self.now = live(groups.clock, "t")
        self.began = float(numbers["began"][0])
        self.last_tick = float(numbers["last_tick"][0])
        self.left = int(numbers["n_steps"][0])  # ticks of this segment that are not done
        self.moment = numbers[MOMENT]
        self.step_size = numbers["step_size"]
        self.elapsed = numbers["elapsed"]
        self.accepted = numbers["accepted"]
        self.tolerance = numbers["tolerance"]
        self.residual = numbers["residual"]
        self.settled = numbers["settled"]
        self.diverged = numbers["diverged"]
        self.beyond = 1  # number of the first population whose error is not finite
        self.states = [z for z, _ in rates.states]
        self.owners = rates.owners
        self.state_rates = [rate for _, rate in rates.states]
        # the rates of every stage, (7, entries) of each state variable
        self.slopes = [np.empty((STAGES, z.size), z.dtype) for z in self.states]
        rows, self.nodes, error_weights = DORMAND_PRINCE
        self.error_weights = np.asarray(error_weights)
        self.rows = []
        for stage, row in enumerate(rows):
            known = row[:stage]
            self.rows.append(np.asarray(known, groups.plan.precision))

    def step(self, learning: bool) -> None:
        """Move the state by one tick, or until it settles."""
        self.left -= 1
        end = self.dt if self.left else self.last_tick  # the last may be shorter than the others
        t = self.began + float(self.now[0])
        done = 0.0
        known = False  # whether stage 0 holds the rates of the current state
        while done < end * (1 - 1e-12) and not self.settled[0]:
            whole = bool(self.step_size[0] < end - done)
            h = float(self.step_size[0]) if whole else end - done
            starts = [z.copy() for z in self.states]
            if not known:
                self._evaluate(t + done, 0)
                if self.rates.rest():
                    break
            self._try(t + done, h, starts)
            error = self._error(h, starts)
            known = True
            if error <= 1:
                done += h
                self._accept()
            else:
                for z, start in zip(self.states, starts, strict=True):
                    z[:] = start
            if not error < 1e300:  # infinite or not a number: the state has left every bound
                self.diverged[0] = self.beyond
                break
            if whole or error > 1:
                growth = 0.9 * (error + 1e-30) ** -0.2
                self.step_size[0] = h * min(5.0, max(0.2, growth))
        self.elapsed[0] += end if done >= end * (1 - 1e-12) else done

    def _try(self, t: float, h: float, starts: list[Array]) -> None:
        """Evaluate stages 1 to 6; the state at stage 6 is the solution of order 5."""
        for stage in range(1, STAGES):
            for z, start, k in zip(self.states, starts, self.slopes, strict=True):
                slope = self.rows[stage] @ k[:stage]
                z[:] = start + h * slope
            self._evaluate(t + self.nodes[stage] * h, stage)

    def _evaluate(self, t: float, stage: int) -> None:
        """Evaluate the rates of the current state at time t (s); store them as one stage."""
        self.moment[0] = t
        self.messages.send()
        self.rates.evaluate()
        for rate, k in zip(self.state_rates, self.slopes, strict=True):
            k[stage] = rate

    def _accept(self) -> None:
        """Count the step; copy its last stage, which is the first of the next step."""
        self.accepted[0] += 1
        for k in self.slopes:
            k[0] = k[STAGES - 1]
        self.rates.rest()

    def _error(self, h: float, starts: list[Array]) -> float:
        """Return the error of a step, relative to the allowed error; at most 1 is accepted.

        The error is the difference between orders 5 and 4, root mean square over all entries. An
        entry z may have an error of `allowed` times 1 + |z|.
        """
        left = SETTLING_SHARE * self.residual[0]
        allowed = max(self.rounding, min(self.tolerance[0], left))
        squares = 0.0
        self.beyond = 0
        owned = zip(self.owners, self.states, starts, self.slopes, strict=True)
        for owner, z, start, k in owned:
            size = np.maximum(np.abs(start), np.abs(z))
            difference = h * (self.error_weights @ k)
            ratio = difference / (allowed * (1 + size))
            squares += float(np.sum(ratio**2))
            if not (squares < np.inf or self.beyond):
                self.beyond = owner
        entries = sum(z.size for z in self.states)
        return float(np.sqrt(squares / entries))
