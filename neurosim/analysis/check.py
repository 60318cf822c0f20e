"""A model checked against what shares no code with the engine: backpropagation, SciPy, finite
differences.

Above `simulation` and `reference`. Start at `check`; `settle` relaxes a run on until it rests.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.alignment import alignment
from neurosim.analysis.rest import settle
from neurosim.data.patterns import patterns, targets
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    from rich.table import Table

Array = np.ndarray
PROBED = 12  # weights whose gradient is compared with central differences
NUDGE = 1e-5  # of a weight; central differences are then good to about 1e-9
SPREAD = 0.3  # of random states


@dataclass(frozen=True)
class Row:
    """One comparison.

    `passed` is None where there is nothing to judge: a flow that never rests has no multipliers at
    rest.
    """

    name: str
    value: float | str
    allowed: str
    passed: bool | None


@dataclass(frozen=True)
class Report:
    """All comparisons of one model."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no comparison failed."""
        return all(row.passed is not False for row in self.rows)

    def table(self) -> Table:
        """For the terminal."""
        from rich.table import Table

        table = Table("comparison", "found", "allowed", "")
        words = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[yellow]not seen[/]"}
        for row in self.rows:
            value = row.value if isinstance(row.value, str) else f"{row.value:.3g}"
            table.add_row(row.name, value, row.allowed, words[row.passed])
        return table


def check(net: Network, flow: Flow, X: Any, Y: Any, *, dt: Any = 1e-3, **settings: Any) -> Report:
    """Compare the engine with everything that it does not share code with, on a few patterns.

    Parameters
    ----------
    net : Network
        Is not changed.
    flow : Flow
    X, Y : array or mapping
        Inputs and targets; a handful of patterns is enough.
    dt, **settings
        Of `Simulation`.

    Returns
    -------
    Report
        Multipliers and outputs at rest against backpropagation, through the feedback weights where
        there are any (within a tube: against the conditions of a minimum); whether the engine
        stands still at backpropagation's own; one Euler step from a random state against the
        reference's right-hand side; the trajectory against SciPy while dt is halved (first order:
        the error falls by 2); backpropagation against central differences of the loss.

    Raises
    ------
    ModelError, DataError
        What does not fit together.
    ConvergenceError
        A cyclic graph that does not contract has no backpropagation to compare with.
    """
    net = net.copy()
    clamped = patterns(net, X)
    encoded = targets(net, Y, len(next(iter(clamped.values()))))

    def simulation(step: float | None = None, method: str | None = None) -> Simulation:
        changed = {**settings, "dt": dt if step is None else step}
        return Simulation(
            net, flow, **(changed if method is None else {**changed, "method": method})
        )

    truth, exact = (
        reference.backprop(net, clamped, encoded, through=way) for way in ("feedback", "weights")
    )
    explicit = simulation(method="euler")
    rest = State({n: truth.x[n] for n in net.neurons}, truth.lam)
    moved = _stepped(explicit, rest, clamped, encoded)
    away = _random_state(rest)
    expected = _expected(net, flow, away, clamped, encoded, explicit.dt)
    found = _stepped(explicit, away, clamped, encoded)
    wrong = _largest({name: found[name] - rate for name, rate in expected.items()}) / _largest(
        expected
    )
    kinds = {net.populations[n].constraint for n in net.neurons if not net.populations[n].free} or {
        "lin"
    }
    still = [_below("movement away from backpropagation's own x and lam", _largest(moved), 1e-9)]
    slides = any(net.populations[n].term.slides for n in net.neurons)
    return Report(
        (
            *(
                _at_rest(simulation(), clamped, encoded, truth)
                if kinds == {"lin"}
                else _within_tolerance(simulation(), clamped, encoded, kinds)
            ),
            *(still if kinds == {"lin"} else []),
            _below("a step at a random state against the right-hand side", wrong, 1e-9),
            *([] if slides else [_order(simulation, clamped, encoded)]),
            _below(
                "backpropagation against central differences",
                _gradient_error(net, clamped, encoded, exact),
                1e-6,
            ),
        )
    )


def _order(
    simulation: Callable[..., Simulation], X: Mapping[str, Array], Y: Mapping[str, Array]
) -> Row:
    """By which factor the error to SciPy falls while the step is halved twice, from where it is
    sharp.
    """
    first = simulation()
    net, flow = first.net, first.flow
    fastest = min(flow.time(tau, n) for tau in ("tau_x", "tau_lam") for n in net.neurons)
    step = min(first.dt, fastest / 20)
    duration = 40 * step
    truth = reference.solve_ivp(net, flow, X, Y, duration)
    errors = []
    for h in (step, step / 2, step / 4):
        run = simulation(h).relax(X, Y, duration=duration)
        pairs = [(run.x[n], truth.x[n]) for n in net.neurons] + [
            (run.lam[n], truth.lam[n]) for n in net.neurons
        ]
        errors.append(max(float(np.abs(a - b).max()) for a, b in pairs))
    falls = errors[1] / errors[2]
    found = " -> ".join(f"{e:.2g}" for e in errors) + f", falls by {falls:.2f}"
    return Row(
        f"trajectory against SciPy, dt = {1e3 * step:.3g} ms and halved twice",
        found,
        "falls by 1.8 to 2.2",
        1.8 <= falls <= 2.2,
    )


def _gradient_error(
    net: Network, X: Mapping[str, Array], Y: Mapping[str, Array], truth: reference.Adjoint
) -> float:
    """Largest error of the gradient at a few random weights, relative to the largest of its entries
    there.
    """
    rng = np.random.default_rng(0)
    exact, estimated = [], []
    for name in rng.choice(list(net.projections), PROBED):
        trial = {sign: net.copy() for sign in (-1, 1)}
        entries = [_entries(n.weights[name]) for n in trial.values()]
        at = int(rng.integers(entries[0].size))
        for sign, values in zip(trial, entries, strict=True):
            values[at] += sign * NUDGE
        losses = {sign: reference.backprop(n, X, Y) for sign, n in trial.items()}
        estimated.append(
            sum(s * (found.loss + found.penalty) for s, found in losses.items()) / (2 * NUDGE)
        )
        exact.append(_entries(truth.grad_w[name])[at])
    return float(np.abs(np.subtract(exact, estimated)).max() / max(np.abs(exact).max(), 1e-3))


def _entries(weights: Any) -> Array:
    """The weights that exist, as one flat view."""
    return weights.reshape(-1) if isinstance(weights, np.ndarray) else np.asarray(weights.data)


def _below(name: str, value: float, bound: float) -> Row:
    return Row(name, value, f"<= {bound:.0e}", bool(value <= bound))


def _at_rest(
    simulation: Simulation, X: Mapping[str, Array], Y: Mapping[str, Array], truth: reference.Adjoint
) -> tuple[Row, ...]:
    name = "lam and x at rest against backpropagation"
    try:
        settled = settle(simulation, X, Y)
    except DivergenceError as error:
        return (Row(name, f"diverges at {error.time:.3g} s", "a run that stays finite", False),)
    if not settled.rests:
        value = f"still moves by {settled.speed:.2g} after {settled.time:.3g} s"
        return (Row(name, value, "comes to rest, or a flow that is not damped", None),)
    found = alignment(settled.run, truth)
    return (
        _below("lam at rest against backpropagation", found.max_error, 1e-6),
        _below("x at rest against the forward pass", max(found.x_error.values()), 1e-6),
        _below(
            "gradient at rest: 1 - cosine", max(1 - c for c in found.grad_cosine.values()), 1e-6
        ),
    )


def _within_tolerance(
    simulation: Simulation, X: Mapping[str, Array], Y: Mapping[str, Array], kinds: Collection[str]
) -> tuple[Row, ...]:
    """A tube at rest against the conditions of Karush, Kuhn and Tucker; what slides has no
    multipliers at rest.
    """
    from neurosim.analysis.support import kkt

    name = "lam and x at rest against the conditions of a minimum within the tube"
    if not set(kinds) <= {"lin", "tube"}:
        return (
            Row(name, f"no multipliers at rest: {', '.join(sorted(kinds))}", "lin, tube", None),
        )
    try:
        settled = settle(simulation, X, Y)
    except DivergenceError as error:
        return (Row(name, f"diverges at {error.time:.3g} s", "a run that stays finite", False),)
    if not settled.rests:
        value = f"still moves by {settled.speed:.2g} after {settled.time:.3g} s"
        return (Row(name, value, "comes to rest, or a flow that is not damped", None),)
    found = kkt(settled.run)
    return (
        _below("stationarity at rest, |dL/dx|", found.stationarity, 1e-6),
        _below("feasibility at rest, |g| - epsilon", found.feasibility, 1e-6),
        _below("complementarity at rest, lam (|g| - epsilon)", found.complementarity, 1e-6),
    )


def _stepped(
    simulation: Simulation, state: State, X: Mapping[str, Array], Y: Mapping[str, Array]
) -> dict[str, Array]:
    """Rates of change over one explicit step of the engine, in units of 1/tau, by variable and
    population.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", StabilityWarning
        )  # one step from anywhere is no matter of stability
        run = simulation.relax(X, Y, duration=simulation.dt, start=state)
    moved = {
        f"x of {n}": (run.x[n] - state.x[n]) * run.flow.time("tau_x", n)
        for n in _variables(run.network)
    }
    moved |= {
        f"lam of {n}": (run.lam[n] - state.lam[n]) * run.flow.time("tau_lam", n)
        for n in _variables(run.network)
    }
    return {name: values / simulation.dt for name, values in moved.items()}


def _expected(
    net: Network,
    flow: Flow,
    state: State,
    X: Mapping[str, Array],
    Y: Mapping[str, Array],
    step: float,
) -> dict[str, Array]:
    """The reference's right-hand side in the form of `_stepped`."""
    rates = reference.right_hand_side(net, flow, state.x, state.lam, X, Y, step=step)
    expected = {f"x of {n}": rates.x[n] * flow.time("tau_x", n) for n in _variables(net)}
    return expected | {
        f"lam of {n}": rates.lam[n] * flow.time("tau_lam", n) for n in _variables(net)
    }


def _variables(net: Network) -> list[str]:
    """Populations whose x and lam are variables; those without constraint follow what they hear."""
    return [n for n in net.neurons if not net.populations[n].free]


def _largest(arrays: Mapping[str, Array]) -> float:
    return max(float(np.abs(a).max()) for a in arrays.values())


def _random_state(like: State) -> State:
    rng = np.random.default_rng(0)
    x, lam = (
        {n: rng.normal(scale=SPREAD, size=a.shape) for n, a in part.items()}
        for part in (like.x, like.lam)
    )
    return State(x, lam)
