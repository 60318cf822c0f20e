"""Check a model against derivations that share no code with the engine.

They are backpropagation, SciPy and finite differences. Above `simulation` and `reference`. Start at
`check`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import reference
from neurosim.analysis.alignment import alignment
from neurosim.analysis.rest import Settled, settle
from neurosim.arguments import checked
from neurosim.data.patterns import patterns, targets
from neurosim.errors import DivergenceError, StabilityWarning
from neurosim.model.flow import Flow
from neurosim.model.methods import EULER
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.reference.extended import Extended, ExtendedFlow, unread
from neurosim.reference.functions import n_patterns
from neurosim.reference.ode import Rates
from neurosim.simulation.simulation import Simulation
from neurosim.simulation.trials import without_trials

if TYPE_CHECKING:
    from rich.table import Table

Array = np.ndarray
Arrays = Mapping[str, Array]
PROBED = 12  # weights whose gradient is compared with central differences
NUDGE = 1e-5  # of a weight; central differences are then good to about 1e-9
SPREAD = 0.3  # of random states


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    name : str
    value : float or str
        Value that was found, or a description of it.
    allowed : str
        Condition on the value, as text.
    passed : bool or None
        None where there is nothing to judge: a flow that never rests has no multipliers at rest,
        and an extension may move rest away from backpropagation's.
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
        """Return the comparisons as a table for the terminal."""
        from rich.table import Table

        table = Table("comparison", "found", "allowed", "")
        words = {
            True: "[green]passed[/]",
            False: "[red]FAILED[/]",
            None: "[yellow]not judged[/]",
        }
        for row in self.rows:
            value = row.value
            if not isinstance(value, str):
                value = f"{value:.3g}"
            table.add_row(row.name, value, row.allowed, words[row.passed])
        return table


@checked
def check(net: Network, flow: Flow, X: Any, Y: Any, *, dt: Any = 1e-3, **settings: Any) -> Report:
    """Compare the engine on a few patterns with derivations that share no code with it.

    Parameters
    ----------
    net : Network
        Is not changed.
    flow : Flow
    X, Y : array or mapping
        Inputs and targets; a handful of patterns is enough.
    dt, **settings
        Arguments of `Simulation`.

    Returns
    -------
    Report
        Up to five comparisons; the second needs constraints `lin`, the fourth none that slides:

        - multipliers and outputs at rest against backpropagation, through the feedback weights
          where there are any; within a tube, against the conditions of a minimum;
        - whether the engine stands still at backpropagation's x and lam;
        - one Euler step from a random state against the reference's right-hand side;
        - the trajectory against SciPy while dt is halved: first order, the error falls by 2;
        - backpropagation against central differences of the loss.

        With extensions, the first says whether rest is still backpropagation's, and by how much it
        is off; the second is left out where they have states of their own. The third and the fourth
        take their texts in plain NumPy, if these are plain formulas, and name them otherwise.

    Raises
    ------
    ModelError
        Arguments that do not fit together.
    DataError
        X or Y do not fit the network.
    ConvergenceError
        A cyclic graph that does not contract has no backpropagation to compare with.
    """
    net = net.copy()
    clamped = patterns(net, X)
    encoded = targets(net, Y, n_patterns(clamped))

    def simulation(**changes: Any) -> Simulation:
        return Simulation(net, flow, **{**settings, "dt": dt, **changes})

    truth = reference.backprop(net, clamped, encoded, through="feedback")
    exact = reference.backprop(net, clamped, encoded, through="weights")
    euler = simulation(method=EULER)
    own = euler.extensions
    variables = _variables(net)
    kinds = {net.populations[n].constraint for n in variables} or {"lin"}
    rows: list[Row] = []
    if kinds == {"lin"}:
        at_rest = _at_rest(simulation(), clamped, encoded, truth)
    else:
        at_rest = _within_tolerance(simulation(), clamped, encoded, kinds)
    rows += [_of_extended(row) if own else row for row in at_rest]
    extended = None
    if own and not unread(own):
        extended = ExtendedFlow(net, flow, own, clamped, encoded)
    if kinds == {"lin"} and not (own and (extended is None or extended.initial())):
        rest = State({n: truth.x[n] for n in net.neurons}, truth.lam)
        moved = _largest(_stepped(euler, rest, clamped, encoded, extended))
        row = _below("movement away from backpropagation's own x and lam", moved, 1e-9)
        rows.append(_of_extended(row) if own else row)
    if own and extended is None:
        rows.append(Row("a step and the trajectory", f"left out: {unread(own)}", "", None))
    else:
        anywhere = _random_state(truth, net.neurons)
        error = _step_error(euler, anywhere, clamped, encoded, extended)
        rows.append(_below("a step at a random state against the right-hand side", error, 1e-9))
        if not any(net.populations[n].term.slides for n in net.neurons):
            rows.append(_order(simulation, clamped, encoded, extended))
    error = _gradient_error(net, clamped, encoded, exact)
    rows.append(_below("backpropagation against central differences", error, 1e-6))
    return Report(tuple(rows))


def _of_extended(row: Row) -> Row:
    """Return a comparison at rest of a network with extensions, which may move rest.

    A difference is then a finding, not a failure.
    """
    if isinstance(row.value, str):
        return row
    name = f"{row.name}, with extensions"
    if row.passed:
        return replace(row, name=name)
    value = f"off by {row.value:.3g}"
    return Row(name, value, f"{row.allowed} where rest is backpropagation's", None)


def _variables(net: Network) -> list[str]:
    """Return the populations whose x and lam are variables; others follow their net input."""
    return [n for n in net.neurons if not net.populations[n].free]


def _below(name: str, value: float, bound: float) -> Row:
    """Return the comparison of a value with its upper bound."""
    allowed = f"<= {bound:.0e}"
    passed = bool(value <= bound)
    return Row(name, value, allowed, passed)


# --- at rest


def _at_rest(
    simulation: Simulation, X: Arrays, Y: Arrays, truth: reference.Adjoint
) -> tuple[Row, ...]:
    """Compare the state at rest with backpropagation."""
    settled = _settled("lam and x at rest against backpropagation", simulation, X, Y)
    if isinstance(settled, Row):
        return (settled,)
    found = alignment(settled.run, truth)
    x_error = max(found.x_error.values())
    rows = [
        _below("lam at rest against backpropagation", found.max_error, 1e-6),
        _below("x at rest against the forward pass", x_error, 1e-6),
    ]
    if simulation.net.losses:  # else there is no gradient
        gradient_error = max(1 - c for c in found.grad_cosine.values())
        rows.append(_below("gradient at rest: 1 - cosine", gradient_error, 1e-6))
    return tuple(rows)


def _within_tolerance(
    simulation: Simulation, X: Arrays, Y: Arrays, kinds: Collection[str]
) -> tuple[Row, ...]:
    """Compare a tube at rest with the conditions of Karush, Kuhn and Tucker.

    Constraints that slide have no multipliers at rest.
    """
    from neurosim.analysis.support import kkt

    name = "lam and x at rest against the conditions of a minimum within the tube"
    if not set(kinds) <= {"lin", "tube"}:
        named = ", ".join(sorted(kinds))
        value = f"no multipliers at rest: {named}"
        return (Row(name, value, "lin, tube", None),)
    settled = _settled(name, simulation, X, Y)
    if isinstance(settled, Row):
        return (settled,)
    found = kkt(settled.run)
    return (
        _below("stationarity at rest, |dL/dx|", found.stationarity, 1e-6),
        _below("feasibility at rest, |g| - epsilon", found.feasibility, 1e-6),
        _below("complementarity at rest, lam (|g| - epsilon)", found.complementarity, 1e-6),
    )


def _settled(name: str, simulation: Simulation, X: Arrays, Y: Arrays) -> Settled | Row:
    """Relax to rest, or return the comparison of this name for a run that does not come to rest."""
    try:
        with without_trials():
            settled = settle(simulation, X, Y)
    except DivergenceError as error:
        return Row(name, f"diverges at {error.time:.3g} s", "a run that stays finite", False)
    if settled.rests:
        return settled
    speed = "" if np.isnan(settled.speed) else f" by {settled.speed:.2g}"
    value = f"still moves{speed} after {settled.time:.3g} s"
    return Row(name, value, "comes to rest, or a flow that is not damped", None)


# --- one step


def _step_error(
    simulation: Simulation,
    state: State,
    X: Arrays,
    Y: Arrays,
    extended: ExtendedFlow | None = None,
) -> float:
    """Return the error of one Euler step, relative to the largest rate of the reference."""
    expected = _expected(simulation, state, X, Y, extended)
    found = _stepped(simulation, state, X, Y, extended)
    errors = {name: found[name] - rate for name, rate in expected.items()}
    return _largest(errors) / _largest(expected)


def _stepped(
    simulation: Simulation,
    state: State,
    X: Arrays,
    Y: Arrays,
    extended: ExtendedFlow | None = None,
) -> dict[str, Array]:
    """Return the changes over one explicit step of the engine, per time constant.

    By variable and population, (patterns, units), unit 1; own states of extensions per tau_x.
    """
    with warnings.catch_warnings():
        # the stability of the step does not matter where only one is taken
        warnings.simplefilter("ignore", StabilityWarning)
        run = simulation.relax(X, Y, duration=simulation.dt, start=state)
    rates = {}
    for n in _variables(run.network):
        dx = run.x[n] - state.x[n]
        dlam = run.lam[n] - state.lam[n]
        tau_x = run.flow.time("tau_x", n)
        tau_lam = run.flow.time("tau_lam", n)
        rates[f"x of {n}"] = dx * tau_x / simulation.dt
        rates[f"lam of {n}"] = dlam * tau_lam / simulation.dt
    if extended is not None:
        for key, before in extended.initial().items():
            change = np.reshape(run.auxiliary[key], before.shape) - before
            rates[key] = change * _tau_of(run.flow, key) / simulation.dt
    return rates


def _tau_of(flow: Flow, key: str) -> float:
    """Return the time by which an own state of an extension counts, s; `key` names it."""
    population, _, _ = key.partition(".")
    return flow.time("tau_x", population)


def _expected(
    simulation: Simulation,
    state: State,
    X: Arrays,
    Y: Arrays,
    extended: ExtendedFlow | None,
) -> dict[str, Array]:
    """Return the reference's right-hand side in the form of `_stepped`."""
    net = simulation.net
    flow = simulation.flow
    expected = {}
    rates: Rates | Extended
    if extended is None:
        rates = reference.right_hand_side(
            net, flow, state.x, state.lam, X, Y, plastic=False, step=simulation.dt
        )
    else:
        now = Extended(dict(state.x), dict(state.lam), extended.initial())
        rates = extended.rates(now, step=simulation.dt)
        for key, rate in rates.own.items():
            expected[key] = rate * _tau_of(flow, key)
    for n in _variables(net):
        tau_x = flow.time("tau_x", n)
        tau_lam = flow.time("tau_lam", n)
        expected[f"x of {n}"] = rates.x[n] * tau_x
        expected[f"lam of {n}"] = rates.lam[n] * tau_lam
    return expected


def _random_state(like: reference.Adjoint, neurons: Collection[str]) -> State:
    """Draw x and lam of the same shapes."""
    rng = np.random.default_rng(0)
    x = {}
    for n in neurons:
        x[n] = rng.normal(scale=SPREAD, size=like.x[n].shape)
    lam = {}
    for n, v in like.lam.items():
        lam[n] = rng.normal(scale=SPREAD, size=v.shape)
    return State(x, lam)


def _largest(arrays: Arrays) -> float:
    """Return the largest absolute entry of all arrays."""
    return max(float(np.abs(a).max()) for a in arrays.values())


# --- a trajectory


def _order(
    simulation: Callable[..., Simulation],
    X: Arrays,
    Y: Arrays,
    extended: ExtendedFlow | None = None,
) -> Row:
    """Compare trajectories with SciPy while the step is halved twice.

    The first step is at most 1/20 of the shortest time constant, so that the order shows.
    """
    first = simulation()
    net = first.net
    flow = first.flow
    taus = [flow.time("tau_x", n) for n in net.neurons]
    taus += [flow.time("tau_lam", n) for n in net.neurons]
    step = min(first.dt, min(taus) / 20)
    duration = 40 * step
    truth: reference.Trajectory | Extended
    if extended is None:
        truth = reference.solve_ivp(net, flow, X, Y, duration)
    else:
        truth = extended.solve(extended.at_zero(), duration)
    errors = []
    for h in (step, step / 2, step / 4):
        run = simulation(dt=h).relax(X, Y, duration=duration)
        differences = {}
        for n in net.neurons:
            differences[f"x of {n}"] = run.x[n] - truth.x[n]
            differences[f"lam of {n}"] = run.lam[n] - truth.lam[n]
        errors.append(_largest(differences))
    fall = errors[1] / errors[2]
    found = " -> ".join(f"{e:.2g}" for e in errors)
    return Row(
        f"trajectory against SciPy, dt = {1e3 * step:.3g} ms and halved twice",
        f"{found}, falls by {fall:.2f}",
        "falls by 1.8 to 2.2",
        1.8 <= fall <= 2.2,
    )


# --- the gradient


def _gradient_error(net: Network, X: Arrays, Y: Arrays, truth: reference.Adjoint) -> float:
    """Return the largest error of the gradient at a few random weights.

    Relative to the largest entry among them.
    """
    rng = np.random.default_rng(0)
    exact = []
    estimated = []
    for name in rng.choice(list(net.projections), PROBED):
        gradient = _entries(truth.grad_w[name])
        at = int(rng.integers(gradient.size))
        change = 0.0
        for sign in (-1, 1):
            trial = net.copy()
            _entries(trial.weights[name])[at] += sign * NUDGE
            found = reference.backprop(trial, X, Y)
            change += sign * (found.loss + found.penalty)
        estimated.append(change / (2 * NUDGE))
        exact.append(gradient[at])
    errors = np.subtract(exact, estimated)
    largest_error = np.abs(errors).max()
    largest_entry = np.abs(exact).max()
    return float(largest_error / max(largest_entry, 1e-3))


def _entries(weights: Any) -> Array:
    """Return the weights of the synapses that exist, as one flat view."""
    if isinstance(weights, np.ndarray):
        return weights.reshape(-1)
    return np.asarray(weights.data)
