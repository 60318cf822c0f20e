"""Check what goes together: networks, flows, methods, transports, imperfections, extensions,
schedules.

Every refusal names what meets what, why that has no meaning, and the way out. Below `simulation`,
which asks here before anything runs. Start at `check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from neurosim.errors import ModelError, unknown
from neurosim.model.equations.imperfections import Imperfections
from neurosim.model.extension import Extension
from neurosim.model.feedback import KINDS, KOLEN_POLLACK, MIRROR
from neurosim.model.flow import Flow
from neurosim.model.imperfections import LowPass
from neurosim.model.methods import ADAPTIVE, EULER, FIXED_STEP, ONCE_A_STEP, RUNGE_KUTTA, STAGED
from neurosim.model.network import Network
from neurosim.model.schedules import Growing, LocalPropagation, Pruning, Schedule
from neurosim.model.transport import Dense, Transport

BACKENDS = ("auto", "numpy", "cython", "standalone")
IN_PYTHON = ("numpy", "cython")  # backends that return to Python between two steps
PRECISIONS = ("float64", "float32")
NOISE_NEEDS = "noise needs method='euler'"


class Chosen(Protocol):
    """The part of a `Simulation` that is checked."""

    net: Network
    flow: Flow
    dt: float
    method: str
    transports: dict[str, Transport]
    extensions: tuple[Extension, ...]
    imperfections: Imperfections


def check_arguments(net: Any, flow: Any, method: Any, backend: Any, precision: Any) -> None:
    """Refuse arguments of another kind, and names that do not exist.

    Raises
    ------
    ModelError
    """
    if not isinstance(net, Network):
        raise ModelError(
            f"net is a {type(net).__name__}; allowed: a Network, e.g. Network.mlp([64, 32, 10])"
        )
    if not isinstance(flow, Flow):
        raise ModelError(f"flow is a {type(flow).__name__}; allowed: a Flow, e.g. Flow.augmented()")
    for name, value, allowed in (
        ("method", method, FIXED_STEP),
        ("backend", backend, BACKENDS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in allowed:
            raise unknown(name, value, allowed)


def check(chosen: Chosen) -> None:
    """Refuse a simulation whose parts have no meaning together.

    Raises
    ------
    ModelError
    """
    _check_events(chosen, chosen.method)
    _check_constraints(chosen, chosen.method)
    _check_imperfections(chosen, chosen.method)
    for extension in chosen.extensions:
        _check_extension(chosen, extension)
    neurons, flow = chosen.net.neurons, chosen.flow
    for times in (flow.tau_x, flow.tau_lam, flow.tau_w):
        for name in times if isinstance(times, Mapping) else ():
            if name not in neurons:
                raise unknown("population of a time constant", name, neurons)


def check_adaptive(chosen: Chosen) -> None:
    """Refuse adaptive steps where they have no meaning.

    Raises
    ------
    ModelError
    """
    for extension in chosen.extensions:
        if _is_noisy(extension):
            raise ModelError(
                f"{NOISE_NEEDS}: an adaptive step has no meaning for that of {extension!r}"
            )
    _check_events(chosen, ADAPTIVE)
    _check_imperfections(chosen, ADAPTIVE)
    _check_constraints(chosen, ADAPTIVE)


def check_interactive(backend: str) -> None:
    """Refuse a backend that cannot ask a world between two frames.

    Raises
    ------
    ModelError
    """
    if backend not in ("auto", *IN_PYTHON):
        raise ModelError(
            f"backend = {backend!r}, a compiled program; allowed where a world is asked: "
            f"{', '.join(IN_PYTHON)}"
        )


def check_schedule(chosen: Chosen, schedule: Any, given: Sequence[str], one_program: bool) -> None:
    """Refuse what cannot be learnt, and arguments of `train` that a schedule cannot follow.

    Parameters
    ----------
    chosen : Chosen
    schedule : Schedule
    given : sequence of str
        Arguments of `train` that are set.
    one_program : bool
        Whether a run is one program from its start to its end.

    Raises
    ------
    ModelError
    """
    if not isinstance(schedule, Schedule):
        raise ModelError(
            f"schedule = {schedule!r}; allowed: Simultaneous(...), Presentations(...), "
            "LocalPropagation(...), Pruning(...) or Growing(...)"
        )
    if not chosen.net.losses:
        raise ModelError(
            f"{chosen.net!r} has no loss, so nothing can be learnt; try Loss(population, kind)"
        )
    if isinstance(schedule, Pruning | Growing) and given:
        raise ModelError(
            f"{given[0]} does not go with {type(schedule).__name__}: the units are not the same "
            "from start to end; try it with relax(start=log.run), or with the schedule inside"
        )
    kept = [name for name in given if name in ("checkpoint", "resume")]
    if kept and "stream" in given:
        raise ModelError(
            f"stream and {kept[0]} do not go together: a checkpoint keeps its own recording; "
            "try one of them"
        )
    if isinstance(schedule, LocalPropagation):
        _check_descent(chosen, kept)
    mirrors = _with_feedback(chosen.net, MIRROR)
    if one_program and mirrors:
        raise ModelError(
            f"feedback of {mirrors[0]} = {MIRROR!r} learns between two segments of a run, and with "
            "user-supplied objects on backend='standalone' there is only one; try backend='numpy'"
        )


def _check_descent(chosen: Chosen, kept: Sequence[str]) -> None:
    """Refuse what has no meaning for steps of Adam, which are not a flow in time."""
    if kept:
        raise ModelError(
            f"LocalPropagation and {kept[0]} do not go together: a checkpoint does not hold Adam's "
            "moments; try Simultaneous(...)"
        )
    if chosen.method != EULER:
        raise ModelError(
            f"method = {chosen.method!r}; allowed with LocalPropagation, which steps by Adam: "
            f"{EULER!r}"
        )
    if names := _with_feedback(chosen.net, KOLEN_POLLACK):
        allowed = [repr(kind) for kind in KINDS if kind != KOLEN_POLLACK]
        raise ModelError(
            f"feedback of {names[0]} = {KOLEN_POLLACK!r} with LocalPropagation: equal steps of W "
            "and B are a rule of the flow, which Adam leaves; "
            f"allowed: {', '.join(allowed)}"
        )
    for name, things in (
        ("extensions", chosen.extensions),
        ("events", _with_events(chosen)),
        ("imperfections", chosen.imperfections),
    ):
        if things:
            raise ModelError(
                f"LocalPropagation takes no {name}, as its steps are not a flow in time; "
                f"here: {things!r}; try Simultaneous(...)"
            )


def _check_events(chosen: Chosen, method: str) -> None:
    """Refuse events where messages are sent within a step, and to what has no constraint."""
    projections = _with_events(chosen)
    for name in projections:
        target = chosen.net.populations[chosen.net.projections[name].post]
        if target.free:
            raise ModelError(
                f"events over {name}, whose target has no constraint; allowed: 'dense'; "
                "try constraint='lin'"
            )
    if projections and method not in ONCE_A_STEP:
        raise ModelError(
            f"events need method={' or '.join(map(repr, ONCE_A_STEP))}: {method} sends messages "
            "anew within a step"
        )


def _check_constraints(chosen: Chosen, method: str) -> None:
    """Refuse what has no meaning with a constraint function other than G = g."""
    net, flow = chosen.net, chosen.flow
    for n in net.neurons:
        term = net.populations[n].term
        if term.kind in ("lin", "none"):
            continue
        if flow.kappa == 0:
            raise ModelError(
                f"flow.kappa = 0 with constraint {term.kind!r} of {n}: relaxation alone does not "
                "determine on which side of the constraint a multiplier belongs; "
                "allowed: kappa > 0; try Flow.augmented(), or constraint='lin'"
            )
        if term.kind == "tube" and flow.rho == 0 and method in STAGED:
            raise ModelError(
                f"flow.rho = 0 with a tube ({n}) is projected ascent, a rule for Euler's steps; "
                f"allowed with {method}: rho > 0; try method='euler'"
            )
        if term.slides and method == ADAPTIVE:
            raise ModelError(
                f"adaptive steps with constraint {term.kind!r} of {n}: its flow slides along a "
                "kink, where they would shrink without end; "
                "allowed: fixed steps, or constraint='tube'"
            )


def _check_imperfections(chosen: Chosen, method: str) -> None:
    """Refuse imperfections where they have no meaning."""
    own, net, names = chosen.imperfections, chosen.net, chosen.imperfections.words
    if not own:
        return
    if free := [n for n in net.neurons if net.populations[n].free]:
        raise ModelError(
            f"{names} with {free[0]}, which has no constraint and no state; "
            "allowed: constraint='lin'"
        )
    acts_on_messages = own.alters_messages or own.of(LowPass) is not None
    projections = _with_events(chosen)
    if acts_on_messages and projections:
        raise ModelError(
            f"{names} with events over {projections[0]}: these act on dense messages; "
            "allowed: transport='dense'; try Events(delay=...), Spikes(quantum=...)"
        )
    if acts_on_messages and method not in ONCE_A_STEP:
        raise ModelError(
            f"{names} with method = {method!r}, which sends messages anew within a step; "
            f"allowed: {', '.join(map(repr, ONCE_A_STEP))}"
        )
    if own.draws and method in STAGED:
        raise ModelError(f"{NOISE_NEEDS}: {method} has no meaning for it")
    if own.prospective and own.prospective.time is None:
        for n in net.neurons:
            kind = net.populations[n].constraint
            if kind != "lin":
                raise ModelError(
                    f"prospective with constraint {kind!r} of {n}: the look-ahead is derived for "
                    "G = g; allowed: constraint='lin'"
                )


def _check_extension(chosen: Chosen, extension: Any) -> None:
    """Refuse an extension of a population that cannot have it."""
    net, method = chosen.net, chosen.method
    if not isinstance(extension, Extension):
        raise ModelError(
            f"extensions hold {extension!r}; allowed: Extension(population, x=..., equations=...)"
        )
    if method in RUNGE_KUTTA and _is_noisy(extension):
        raise ModelError(f"{NOISE_NEEDS}: {method} has no meaning for it")
    name = extension.population
    if name not in net.populations:
        raise unknown("population of an extension", name, net.populations)
    has_state = name not in net.inputs and not net.populations[name].free
    if (extension.x or extension.lam) and not has_state:
        why = "is clamped" if name in net.inputs else "has no constraint"
        raise ModelError(
            f"{name} {why}: an extension can bring equations, but no term for x or lam"
        )


def _with_events(chosen: Chosen) -> list[str]:
    """Return the projections whose messages are not dense."""
    return [name for name, rule in chosen.transports.items() if not isinstance(rule, Dense)]


def _with_feedback(net: Network, kind: str) -> list[str]:
    """Return the projections with feedback weights of a kind."""
    return [name for name, q in net.projections.items() if q.feedback == kind]


def _is_noisy(extension: Extension) -> bool:
    return "xi" in f"{extension.x} {extension.lam} {extension.equations}"
