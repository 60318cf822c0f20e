"""Check that the parts of a simulation are compatible.

The parts are network, flow, method, message transport, imperfections, extensions and schedule.
Every error names the parts that clash, the reason, and an alternative. Below `simulation`, which
checks before anything runs. Start at `check`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np

from neurosim.engine.draws import CALL
from neurosim.errors import ModelError, choice, shown, unknown
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.equations.plasticity import split
from neurosim.model.expressions import FREE
from neurosim.model.extension import TEXTS, Extension, check_replaced
from neurosim.model.feedback import KINDS, KOLEN_POLLACK, MIRROR
from neurosim.model.flow import OTHERS, Flow
from neurosim.model.imperfections import Dale, LowPass, StateNoise
from neurosim.model.methods import (
    ADAPTIVE,
    ANDERSON,
    EULER,
    EXPONENTIAL_EULER,
    FIXED_STEP,
    ONCE_A_STEP,
    ONE_EVALUATION,
    RUNGE_KUTTA,
    STAGED,
)
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.model.schedules import Growing, LocalPropagation, Pruning, Schedule
from neurosim.model.transport import Dense, Transport

# variables of units that every rule may read
OF_INPUTS = ("x",)
OF_NEURONS = ("x", "lam", "mu", "delta", "g", "a", "sigma", "dsigma", "dL_dx", "feedback")
WHITE = re.compile(r"\bxi(_\w+)?\b")  # white noise in the text of an extension
RATES = ("x", "lam", "dx", "dlam")  # texts of an extension that need dx/dt and dlam/dt
BACKENDS = ("auto", "numpy", "cython", "standalone")
IN_PYTHON = ("numpy", "cython")  # backends that return to Python between two steps
PRECISIONS = ("float64", "float32")
NOISE_NEEDS = f"noise needs method={' or '.join(map(repr, ONE_EVALUATION))}"


class Chosen(Protocol):
    """The part of a `Simulation` that is checked."""

    net: Network
    flow: Flow
    dt: float
    method: str
    transports: dict[str, Transport]
    extensions: tuple[Extension, ...]
    imperfections: Imperfections


def check_arguments(method: str, backend: str, precision: str) -> None:
    """Refuse unknown names.

    Raises
    ------
    ModelError
        One of the arguments is not allowed.
    """
    choice("method", method, FIXED_STEP)
    choice("backend", backend, BACKENDS)
    choice("precision", precision, PRECISIONS)


def check(chosen: Chosen) -> None:
    """Refuse a simulation whose parts have no meaning together.

    Raises
    ------
    ModelError
        A combination that has no meaning, or a time constant or an extension of an unknown
        population.
    """
    _check_events(chosen, chosen.method)
    _check_constraints(chosen, chosen.method)
    _check_imperfections(chosen, chosen.method)
    _check_rules(chosen)
    for extension in chosen.extensions:
        _check_extension(chosen, extension)
    check_replaced(chosen.extensions)
    neurons, flow = chosen.net.neurons, chosen.flow
    for times in (flow.tau_x, flow.tau_lam, flow.tau_w):
        for name in times if isinstance(times, Mapping) else ():
            if name not in (*neurons, OTHERS):
                raise unknown("population of a time constant", name, (*neurons, OTHERS))


def check_adaptive(chosen: Chosen) -> None:
    """Refuse adaptive steps where they have no meaning.

    Raises
    ------
    ModelError
        Noise, events, or a constraint or an imperfection that fixed steps alone allow.
    """
    for extension in chosen.extensions:
        if _is_random(extension):
            raise ModelError(
                f"{NOISE_NEEDS}: {_staged(ADAPTIVE)}, so it has no meaning for {extension!r}"
            )
    _check_events(chosen, ADAPTIVE)
    _check_imperfections(chosen, ADAPTIVE)
    _check_constraints(chosen, ADAPTIVE)


def check_accelerated(chosen: Chosen) -> None:
    """Refuse acceleration where steps are not plain Euler steps of outputs and multipliers.

    Raises
    ------
    ModelError
        Another method; events, imperfections, extensions, or populations without a constraint.
    """
    name = f"accelerate = {ANDERSON!r}"
    free = [n for n in chosen.net.neurons if chosen.net.populations[n].free]
    if chosen.method != EULER:
        raise ModelError(f"{name} with method = {chosen.method!r}; allowed: {EULER!r}")
    refuse_more_than_the_flow(name, chosen)
    if free:
        raise ModelError(
            f"{name} with constraint = {FREE!r} of {', '.join(free)}; allowed: 'lin' and others "
            "that keep x as a state"
        )


def refuse_more_than_the_flow(name: str, chosen: Chosen) -> None:
    """Refuse what takes part in a step beside the flow itself; messages begin with `name`.

    Raises
    ------
    ModelError
        Events, imperfections or extensions.
    """
    events = [q for q, transport in chosen.transports.items() if not isinstance(transport, Dense)]
    if events:
        raise ModelError(f"{name} with events of {', '.join(events)}; try transport='dense'")
    if chosen.imperfections:
        raise ModelError(f"{name} with {chosen.imperfections!r}; try it without imperfections")
    if chosen.extensions:
        raise ModelError(f"{name} with {chosen.extensions[0]!r}; try it without extensions")


def check_interactive(backend: str) -> None:
    """Refuse a backend that cannot call a world between two frames.

    Raises
    ------
    ModelError
        The backend is a compiled program.
    """
    if backend not in ("auto", *IN_PYTHON):
        raise ModelError(
            f"backend = {backend!r} is a compiled program, which cannot call a world between "
            f"frames; allowed with interact: auto, {', '.join(IN_PYTHON)}"
        )


def check_schedule(
    chosen: Chosen, schedule: Schedule, given: Sequence[str], one_program: bool
) -> None:
    """Refuse a network that cannot learn, and arguments of `train` that a schedule does not allow.

    Parameters
    ----------
    chosen : Chosen
    schedule : Schedule
    given : sequence of str
        Names of the arguments of `train` that are set, see `TrainOptions.given`.
    one_program : bool
        Whether a run is one program from its start to its end.

    Raises
    ------
    ModelError
        The network has no loss, or two choices clash.
    """
    rules = _own_rules(chosen.net)
    if not chosen.net.losses and not rules:
        raise ModelError(
            f"{chosen.net!r} has no loss, so nothing can be learnt; try Loss(population, kind), or "
            "plasticity= with a rule that needs none"
        )
    with_states = [name for name, rule in rules.items() if rule.own_variables]
    if isinstance(schedule, Pruning | Growing) and with_states:
        raise ModelError(
            f"the rule of {with_states[0]} has the variables "
            f"{', '.join(rules[with_states[0]].own_variables)} at each synapse, which "
            f"{type(schedule).__name__} would start anew; allowed: rules of w alone"
        )
    with_sites = [n for n, p in chosen.net.populations.items() if p.sites]
    if isinstance(schedule, Pruning | Growing) and with_sites:
        raise ModelError(
            f"{type(schedule).__name__} with {with_sites[0]}, which has sites; allowed: "
            "populations without sites; try ns.prune after training"
        )
    if isinstance(schedule, Pruning | Growing) and given:
        raise ModelError(
            f"{given[0]} does not go with {type(schedule).__name__}: the units are not the same "
            "from start to end; try it with relax(start=log.run), or with the inner schedule alone"
        )
    kept = [name for name in given if name in ("checkpoint", "resume")]
    if kept and "stream" in given:
        raise ModelError(
            f"stream and {kept[0]} do not go together: a checkpoint holds its own recording; "
            "try one of the two"
        )
    if isinstance(schedule, LocalPropagation):
        _check_descent(chosen)
        for name in rules:
            raise ModelError(
                f"{name} has a rule of its own with LocalPropagation, which steps by Adam; "
                "allowed: plasticity=None; try Simultaneous(...)"
            )
    mirrors = _with_feedback(chosen.net, MIRROR)
    if one_program and mirrors:
        raise ModelError(
            f"feedback of {mirrors[0]} = {MIRROR!r} learns between two segments of a run, but with "
            "user-supplied objects on backend='standalone' a run is one segment; "
            "try backend='numpy'"
        )


def _check_descent(chosen: Chosen) -> None:
    """Refuse choices that have no meaning for steps of Adam, which are not a flow in time."""
    if chosen.method != EULER:
        raise ModelError(
            f"method = {chosen.method!r}; allowed with LocalPropagation, which steps by Adam: "
            f"{EULER!r}"
        )
    if names := _with_feedback(chosen.net, KOLEN_POLLACK):
        allowed = [repr(kind) for kind in KINDS if kind != KOLEN_POLLACK]
        raise ModelError(
            f"feedback of {names[0]} = {KOLEN_POLLACK!r} with LocalPropagation: the rule moves W "
            "and B by equal steps of the flow, which steps of Adam are not; "
            f"allowed: {', '.join(allowed)}"
        )
    for name, things in (
        ("extensions", chosen.extensions),
        ("events", _with_events(chosen)),
        ("imperfections", chosen.imperfections),
    ):
        if things:
            raise ModelError(
                f"{name} = {shown(things)} with LocalPropagation, whose steps are not a flow in "
                "time; allowed: none; try Simultaneous(...)"
            )


def _check_rules(chosen: Chosen) -> None:
    """Refuse user-written learning rules where they have no meaning."""
    rules = _own_rules(chosen.net)
    allowed = [method for method in FIXED_STEP if method not in RUNGE_KUTTA]
    for name in rules:
        if chosen.method not in allowed:
            raise ModelError(
                f"method = {chosen.method!r} with the rule of {name}, whose equations step once, "
                f"in order; allowed: {', '.join(map(repr, allowed))}"
            )
    for name, rule in rules.items():
        _check_separates(chosen.net, name, rule)
        _check_ends(chosen, name, rule)


def _check_separates(net: Network, name: str, rule: Plasticity) -> None:
    """Refuse a rule that is not made of products where sites share weights or biases."""
    if name in net.projections:
        is_shared = net.projections[name].shares
    else:
        is_shared = net.biases[name].size < net.populations[name].size
    if is_shared and not split(rule, name not in net.projections).separates:
        raise ModelError(
            f"the rule of {name}, whose sites share their weights, does not separate into products "
            "f(post) g(pre), which are summed over the sites; allowed: a rule that does; try "
            "shared=False"
        )


def _check_ends(chosen: Chosen, name: str, rule: Plasticity) -> None:
    """Refuse variables that no population has at the ends of a rule's synapses.

    What extensions and imperfections add is checked when a run is built.
    """
    net = chosen.net
    if chosen.imperfections:
        return
    ends = {"post": name}
    if name in net.projections:
        ends = {"post": net.projections[name].post, "pre": net.projections[name].pre}
    for variable, end in sorted(rule.ends_read):
        if end not in ends:
            continue
        population = ends[end]
        known = list(OF_INPUTS if population in net.inputs else OF_NEURONS)
        if population in net.losses:
            term = net.loss_term(population)
            known += ["y", "dV_dx"]
            known += ["log_partition"] * term.partition + ["y_total"] * term.total
        declared = [_text(e) for e in chosen.extensions if e.population == population]
        if variable in known or re.search(rf"\b{variable}\b", " ".join(declared)):
            continue
        if population in net.neurons and net.populations[population].term.kind != "lin":
            known += ["G", "dG", "epsilon"]
        if variable not in known:
            near = get_close_matches(variable, known, n=1)
            hint = f"; did you mean {near[0]}_{end}?" if near else ""
            raise ModelError(
                f"the rule of {name} reads {variable}_{end}, which {population} does not have; "
                f"allowed: {', '.join(f'{own}_{end}' for own in known)}{hint}"
            )


def _own_rules(net: Network) -> dict[str, Plasticity]:
    """Return the rules that are not built in, by projection, and by population for biases."""
    found = {}
    for name, q in net.projections.items():
        if q.own_rule is not None and q.plastic:
            found[name] = q.own_rule
    for name, p in net.populations.items():
        if p.own_bias_rule is not None and p.plastic_bias:
            found[name] = p.own_bias_rule
    return found


def _check_events(chosen: Chosen, method: str) -> None:
    """Refuse events to a free population, and methods that send messages within a step."""
    projections = _with_events(chosen)
    for name in projections:
        target = chosen.net.populations[chosen.net.projections[name].post]
        if target.free:
            raise ModelError(
                f"events over {name}, whose target has no constraint; allowed: transport='dense'; "
                "try constraint='lin'"
            )
    if projections and method not in ONCE_A_STEP:
        raise ModelError(
            f"events need method={' or '.join(map(repr, ONCE_A_STEP))}: {method} sends messages "
            "anew within a step"
        )


def _check_constraints(chosen: Chosen, method: str) -> None:
    """Refuse flows and methods that have no meaning with a constraint function G other than g."""
    net, flow = chosen.net, chosen.flow
    for n in net.neurons:
        term = net.populations[n].term
        if term.kind in ("lin", "none"):
            continue
        if flow.kappa == 0:
            raise ModelError(
                f"flow.kappa = 0 with constraint {term.kind!r} of {n}: relaxation alone does not "
                "determine on which side of the constraint a multiplier lies; "
                "allowed: kappa > 0; try Flow.augmented(), or constraint='lin'"
            )
        if term.kind == "tube" and flow.rho == 0 and method in STAGED:
            raise ModelError(
                f"flow.rho = 0 with constraint 'tube' of {n} is projected ascent, a rule for Euler "
                f"steps; allowed with {method}: rho > 0; try method='euler'"
            )
        if term.slides and method == ADAPTIVE:
            raise ModelError(
                f"adaptive steps with constraint {term.kind!r} of {n}: its flow slides along a "
                "kink, where the steps would shrink without end; "
                "allowed: fixed steps, or constraint='tube'"
            )


def _check_imperfections(chosen: Chosen, method: str) -> None:
    """Refuse imperfections where they have no meaning."""
    own, net, names = chosen.imperfections, chosen.net, chosen.imperfections.words
    if not own:
        return
    for name, q in net.projections.items():
        if q.shares and own.of(Dale) is not None:
            raise ModelError(
                f"dale with {name}, whose sites share their weights: a weight belongs to many "
                "neurons; allowed: weights of one pair of units; try shared=False"
            )
    if free := [n for n in net.neurons if net.populations[n].free]:
        raise ModelError(
            f"{names} with {free[0]}, which has no constraint and no state; "
            "allowed: constraint='lin'"
        )
    acts_on_messages = own.alters_messages or own.of(LowPass) is not None
    projections = _with_events(chosen)
    if acts_on_messages and projections:
        raise ModelError(
            f"{names} with events over {projections[0]}: these act on dense messages only; "
            "allowed: transport='dense'; try Events(delay=...), Spikes(quantum=...)"
        )
    if acts_on_messages and method not in ONCE_A_STEP:
        raise ModelError(
            f"{names} with method = {method!r}, which sends messages anew within a step; "
            f"allowed: {', '.join(map(repr, ONCE_A_STEP))}"
        )
    if own.draws and method in STAGED:
        raise ModelError(f"{NOISE_NEEDS}: {_staged(method)}")
    if own.of(StateNoise) is not None and method != EXPONENTIAL_EULER:
        _check_size_of_noise(chosen)
    if own.prospective and own.prospective.time is None:
        for n in net.neurons:
            kind = net.populations[n].constraint
            if kind != "lin":
                raise ModelError(
                    f"prospective with constraint {kind!r} of {n}: the look-ahead is derived for "
                    "G = g; allowed: constraint='lin'"
                )


def _check_size_of_noise(chosen: Chosen) -> None:
    """Refuse Euler steps with which a unit with leak 1/tau, and so its noise, grows without end."""
    for number, (n, population) in enumerate(chosen.net.populations.items()):
        if population.clamped:
            continue
        factors = np.ones((2, population.size))
        if chosen.imperfections.own_times:
            factors = chosen.imperfections.times(number, population.size)
        for variable, own in zip(("tau_x", "tau_lam"), factors, strict=True):
            tau = chosen.flow.time(variable, n) * own.min()
            if chosen.dt >= 2 * tau:
                raise ModelError(
                    f"dt = {chosen.dt:g} s with state_noise and {variable} = {tau:g} s of {n}: the "
                    f"noise of a unit with leak 1/tau grows without end; allowed: dt < {2 * tau:g} "
                    f"s, or method={EXPONENTIAL_EULER!r}"
                )


def _staged(method: str) -> str:
    """Return the reason why a method with stages has no noise."""
    return f"{method} evaluates the rates several times within a step, at which noise has no value"


def _check_extension(chosen: Chosen, extension: Any) -> None:
    """Refuse an extension of a population that cannot have it."""
    net, method = chosen.net, chosen.method
    if not isinstance(extension, Extension):
        raise ModelError(
            f"extensions = {shown(extension)}; "
            "allowed: Extension(population, x=..., equations=...), or a sequence of them"
        )
    if method in RUNGE_KUTTA and _is_noisy(extension):
        raise ModelError(f"{NOISE_NEEDS}: {_staged(method)}")
    name = extension.population
    if name not in net.populations:
        raise unknown("population of an extension", name, net.populations)
    has_state = name not in net.inputs and not net.populations[name].free
    for key in RATES:
        if getattr(extension, key) and not has_state:
            why = "is clamped" if name in net.inputs else "has no constraint"
            raise ModelError(
                f"{key} = {shown(getattr(extension, key))} of an extension of {name}, which {why}, "
                "so that it has no dx/dt and dlam/dt; allowed: equations"
            )


def _with_events(chosen: Chosen) -> list[str]:
    """Return the projections whose messages are not dense."""
    return [name for name, rule in chosen.transports.items() if not isinstance(rule, Dense)]


def _with_feedback(net: Network, kind: str) -> list[str]:
    """Return the projections with feedback weights of a kind."""
    return [name for name, q in net.projections.items() if q.feedback == kind]


def _is_noisy(extension: Extension) -> bool:
    """Return whether an extension has white noise, Brian2's xi."""
    return WHITE.search(_text(extension)) is not None


def _is_random(extension: Extension) -> bool:
    """Return whether an extension has white noise, or random numbers that a step holds."""
    return _is_noisy(extension) or CALL.search(_text(extension)) is not None


def _text(extension: Extension) -> str:
    return " ".join(getattr(extension, key) for key in TEXTS)
