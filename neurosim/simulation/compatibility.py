"""What goes together: networks, flows, methods, transports, imperfections, extensions and
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
from neurosim.model.flow import Flow
from neurosim.model.imperfections import LowPass
from neurosim.model.methods import ONCE_A_STEP, RUNGE_KUTTA, STAGED
from neurosim.model.network import Network
from neurosim.model.schedules import Growing, LocalPropagation, Pruning, Schedule
from neurosim.model.transport import Dense, Transport


class Chosen(Protocol):
    """What is read of a `Simulation`."""

    net: Network
    flow: Flow
    method: str
    transports: dict[str, Transport]
    extensions: tuple[Extension, ...]
    imperfections: Imperfections


def check(chosen: Chosen) -> None:
    """Refuse a simulation whose parts have no meaning together.

    Raises
    ------
    ModelError
    """
    net, flow = chosen.net, chosen.flow
    _check_events(chosen, chosen.method)
    _check_constraints(chosen, chosen.method)
    _check_imperfections(chosen, chosen.method)
    for extension in chosen.extensions:
        _check_extension(chosen, extension)
    for name in (
        p for t in (flow.tau_x, flow.tau_lam, flow.tau_w) if isinstance(t, Mapping) for p in t
    ):
        if name not in net.neurons:
            raise unknown("population of a time constant", name, net.neurons)


def check_adaptive(chosen: Chosen) -> None:
    """Refuse adaptive steps where these have no meaning.

    Raises
    ------
    ModelError
    """
    if any(_noisy(e) for e in chosen.extensions):
        raise ModelError("noise needs method='euler': an adaptive step has no meaning for it")
    _check_events(chosen, "adaptive")
    _check_imperfections(chosen, "adaptive")
    _check_constraints(chosen, "adaptive")


def check_schedule(chosen: Chosen, schedule: Any, asked: Sequence[str], one_segment: bool) -> None:
    """Refuse what cannot be learnt, and what of `train` does not go with such a schedule.

    Parameters
    ----------
    asked : sequence of str
        Arguments of `train` that were given.
    one_segment : bool
        Whether a run is one program from its start to its end.

    Raises
    ------
    ModelError
    """
    if not isinstance(schedule, Schedule):
        raise ModelError(
            f"schedule = {schedule!r}; allowed: Simultaneous(...), Presentations(...), "
            "LocalPropagation(...), "
            "Pruning(...) or Growing(...)"
        )
    if not chosen.net.losses:
        raise ModelError(
            "the network has no loss, so nothing can be learnt; add Loss(population, kind)"
        )
    if isinstance(schedule, Pruning | Growing) and asked:
        raise ModelError(
            f"{asked[0]} does not go with {type(schedule).__name__}: the units are not "
            "the same from start to "
            "end; try it with relax(start=log.run), or with the schedule inside"
        )
    kept = "checkpoint" in asked or "resume" in asked
    if "stream" in asked and kept:
        raise ModelError(
            "stream and checkpoint do not go together yet: a checkpoint keeps its own recording"
        )
    if isinstance(schedule, LocalPropagation):
        _check_descent(chosen, kept)
    if one_segment and (names := _with_feedback(chosen.net, "mirror")):
        raise ModelError(
            f"feedback of {names[0]} = 'mirror' learns between two segments of a run, "
            "and with objects of your "
            "own on backend='standalone' there is one only; try backend='numpy'"
        )


def _check_descent(chosen: Chosen, checkpoint: bool) -> None:
    """Refuse what has no meaning for steps of Adam."""
    if checkpoint:
        raise ModelError(
            "LocalPropagation and checkpoint do not go together: Adam's moments are not kept in one"
        )
    if chosen.method != "euler":
        raise ModelError(
            f"method = {chosen.method!r}; allowed with LocalPropagation, which steps by "
            "Adam: 'euler'"
        )
    if names := _with_feedback(chosen.net, "kolen_pollack"):
        raise ModelError(
            f"feedback of {names[0]} = 'kolen_pollack' with LocalPropagation: equal "
            "steps of W and B are a rule of "
            "the flow, which Adam leaves; allowed: 'symmetric', 'random', 'sign', 'mirror'"
        )
    if chosen.extensions or _spoken(chosen):
        raise ModelError(
            "LocalPropagation takes no extensions and no events: it is no flow in time"
        )
    if chosen.imperfections:
        raise ModelError(
            "LocalPropagation takes no imperfections, no prospective messages: it is "
            "no flow in time"
        )


def _check_events(chosen: Chosen, method: str) -> None:
    """Refuse messages that are sent once a step where they are read at every stage of one."""
    for name in (spoken := _spoken(chosen)):
        if chosen.net.populations[chosen.net.projections[name].post].free:
            raise ModelError(
                f"events over {name}, whose target has no constraint; allowed: 'dense'; "
                "try constraint='lin'"
            )
    if spoken and method not in ONCE_A_STEP:
        raise ModelError(
            f"events need method='euler' or 'exponential_euler': {method} sends "
            "messages anew within a step"
        )


def _check_constraints(chosen: Chosen, method: str) -> None:
    """Refuse what has no meaning with a constraint other than G = g."""
    net, flow = chosen.net, chosen.flow
    for n in net.neurons:
        term = net.populations[n].term
        if term.kind in ("lin", "none"):
            continue
        if flow.kappa == 0:
            raise ModelError(
                f"flow.kappa = 0 with constraint {term.kind!r} of {n}: relaxation alone "
                "does not know on which side of "
                "the constraint a multiplier belongs; allowed: kappa > 0; try "
                "Flow.augmented(), or constraint='lin'"
            )
        if term.kind == "tube" and flow.rho == 0 and method in STAGED:
            raise ModelError(
                f"flow.rho = 0 with a tube ({n}) is projected ascent, a rule for "
                f"Euler's steps; allowed with {method}: "
                "rho > 0; try method='euler'"
            )
        if term.slides and method == "adaptive":
            raise ModelError(
                f"adaptive steps with constraint {term.kind!r} of {n}: its flow slides "
                "along a kink, where they would "
                "shrink without end; allowed: fixed steps, or constraint='tube'"
            )


def _check_imperfections(chosen: Chosen, method: str) -> None:
    own, net, what = chosen.imperfections, chosen.net, chosen.imperfections.words
    if not own:
        return
    if free := [n for n in net.neurons if net.populations[n].free]:
        raise ModelError(
            f"{what} with {free[0]}, which has no constraint and no state; allowed: "
            "constraint='lin'"
        )
    messages = own.alters_messages or own.of(LowPass) is not None
    if messages and (spoken := _spoken(chosen)):
        raise ModelError(
            f"{what} with events over {spoken[0]}: these act on dense messages; "
            "allowed: transport='dense'; try "
            "Events(delay=...), Spikes(quantum=...)"
        )
    if messages and method not in ONCE_A_STEP:
        raise ModelError(
            f"{what} with method = {method!r}, which sends messages anew within a step; allowed: "
            f"{', '.join(map(repr, ONCE_A_STEP))}"
        )
    if own.draws and method in STAGED:
        raise ModelError(f"noise needs method='euler': {method} has no meaning for it")
    if own.prospective and own.prospective.time is None:
        for n in net.neurons:
            if net.populations[n].constraint != "lin":
                raise ModelError(
                    f"prospective with constraint {net.populations[n].constraint!r} of "
                    f"{n}: the look-ahead is derived "
                    "for G = g; allowed: constraint='lin'"
                )


def _check_extension(chosen: Chosen, e: Any) -> None:
    net, method = chosen.net, chosen.method
    if not isinstance(e, Extension):
        raise ModelError(
            f"extensions hold {e!r}; allowed: Extension(population, x=..., equations=...)"
        )
    if method in RUNGE_KUTTA and _noisy(e):
        raise ModelError(f"noise needs method='euler': {method} has no meaning for it")
    if e.population not in net.populations:
        raise unknown("population of an extension", e.population, net.populations)
    if (e.population in net.inputs or net.populations[e.population].free) and (e.x or e.lam):
        why = "is clamped" if e.population in net.inputs else "has no constraint"
        raise ModelError(
            f"{e.population} {why}: an extension can bring equations, but no term for x or lam"
        )


def _spoken(chosen: Chosen) -> list[str]:
    """Projections whose messages are not dense."""
    return [name for name, rule in chosen.transports.items() if not isinstance(rule, Dense)]


def _with_feedback(net: Network, kind: str) -> list[str]:
    return [name for name, q in net.projections.items() if q.feedback == kind]


def _noisy(extension: Extension) -> bool:
    return "xi" in f"{extension.x} {extension.lam} {extension.equations}"
