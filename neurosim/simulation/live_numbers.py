"""The numbers of a simulation that can be set while it runs, by the keys of model files.

Above `arguments`, below `live`. Every key stands for one argument of the simulation, in which one
number is replaced; the constructors of the parts check it. Start at `numbers_of` and `changed`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from math import atan2, cos, hypot, sin
from typing import Any

import numpy as np

from neurosim.errors import ModelError, number, out_of_range, unknown
from neurosim.model.extension import Extension
from neurosim.model.flow import DEFAULT_TIMES, OTHERS, Flow, plain, seconds
from neurosim.model.imperfections import Delay
from neurosim.model.populations import PENALTIES
from neurosim.model.transport import Dense
from neurosim.simulation.opening import Simulated

GAINS = ("kappa", "gamma", "rho")
THETA = "flow.theta"
STEP = "simulation.dt"
TRANSPORT = "simulation.transport"
IMPERFECTIONS = "simulation.imperfections"
LOOK_AHEAD = "simulation.prospective"
WHOLE_ARGUMENTS = {STEP: "dt", LOOK_AHEAD: "prospective"}
OF_PROJECTIONS = (*PENALTIES, "feedback_decay", "feedback_size")
IN_SECONDS = (*DEFAULT_TIMES, "dt", "delay", "refractory", "correlation", "time", "prospective")

Numbers = dict[str, float]
Value = int | float  # what a key holds


def numbers_of(sim: Simulated) -> Numbers:
    """Return all numbers that `changed` can set, with their present values.

    Times are in s, angles in radians, and all else has unit 1 or, in extensions, the base unit of
    its declaration.

    Examples
    --------
    >>> import neurosim as ns
    >>> sim = ns.Simulation(ns.Network.mlp([2, 1]), ns.Flow.augmented(rho=2))
    >>> numbers_of(sim)["flow.rho"]
    2.0
    """
    found = _of_flow(sim.flow) | {STEP: sim.dt}
    for place, part in _parts(sim).items():
        found |= _of_part(place, part)
    found |= _shared(found, "network.populations.", ("epsilon", "activity_l1"))
    found |= _shared(found, "network.projections.", OF_PROJECTIONS)
    return found


def changed(sim: Simulated, key: str, value: Any) -> Simulated:
    """Return a copy of the simulation in which one number is another.

    Parameters
    ----------
    sim : Simulation
    key : str
        A key of `numbers_of`.
    value : number, or a time where the number is one

    Raises
    ------
    ModelError
        An unknown key, or a value that the simulation cannot have.
    """
    known = numbers_of(sim)
    if not isinstance(key, str) or key not in known:
        raise unknown("key", key, sorted(known))
    if key.rpartition(".")[2] in IN_SECONDS or key.startswith("flow.tau_"):
        value = seconds(value, key, positive=not key.endswith("delay"))
    else:
        value = number(key, plain(value))
    argument, given = _argument(sim, key, value)
    twin = copy.copy(sim)
    setattr(twin, argument, given)
    return twin


def different(before: Numbers, after: Numbers) -> Numbers:
    """Return the numbers that differ, in an order in which they can be set one by one.

    Keys that stand for several others are left out. Numbers that become 0 come last, since kappa
    and gamma must not both be 0 in between.
    """
    found = {}
    for key, value in sorted(after.items(), key=lambda item: item[1] == 0):
        stands_for_several = key == THETA or re.fullmatch(r"network\.\w+", key)
        if value != before.get(key) and not stands_for_several:
            found[key] = value
    return found


def _argument(sim: Simulated, key: str, value: float) -> tuple[str, Any]:
    """Return the argument of a simulation that a key belongs to, with the number in it."""
    path = key.split(".")
    if key in WHOLE_ARGUMENTS:
        return WHOLE_ARGUMENTS[key], value
    if path[0] == "flow":
        return "flow", _flow_with(sim.flow, path[1:], value)
    if path[0] == "network":
        return "net", _net_with(sim, path[1:], value)
    if path[0] == "extension":
        return "extensions", _extensions_with(sim, int(path[1]), path[3], value)
    if key.startswith(IMPERFECTIONS):
        items = list(sim.imperfections.given)
        place = int(path[2])
        items[place] = _with(items[place], path[3:], value, key)
        return "imperfections", items
    return "transport", _transport_with(sim, key, value)


def _parts(sim: Simulated) -> dict[str, Any]:
    """Return the dataclasses that hold numbers, by the beginning of their keys."""
    found: dict[str, Any] = {}
    for i, population in enumerate(sim.net.populations.values()):
        if not population.clamped:
            found[f"network.populations.{i}"] = population
    for i, projection in enumerate(sim.net.projections.values()):
        found[f"network.projections.{i}"] = projection
    for i, loss in enumerate(sim.net.losses.values()):
        found[f"network.losses.{i}"] = loss
    for i, item in enumerate(sim.imperfections.given):
        found[f"{IMPERFECTIONS}.{i}"] = item
    for place, rule in _rules(sim).items():
        found[place] = rule
    for i, extension in enumerate(sim.extensions):
        found[f"extension.{i}.parameters"] = _constants(extension)
    look = sim.imperfections.prospective
    if look is not None and look.time is not None:
        found[LOOK_AHEAD] = look.time
    return found


def _constants(extension: Extension) -> dict[str, Any]:
    """Return the parameters of an extension, without the initial values of its states."""
    found = {}
    for name, value in extension.parameters.items():
        if not re.search(rf"\bd{re.escape(name)}/dt\b", extension.equations):
            found[name] = value
    return found


def _rules(sim: Simulated) -> dict[str, Any]:
    """Return the message transports that are not dense, by the beginning of their keys."""
    distinct = set(sim.transports.values())
    if len(distinct) == 1:
        rule = distinct.pop()
        return {} if isinstance(rule, Dense) else {TRANSPORT: rule}
    found = {}
    for name, rule in sim.transports.items():
        if not isinstance(rule, Dense):
            found[f"{TRANSPORT}.{name}"] = rule
    return found


def _of_flow(flow: Flow) -> Numbers:
    found = {f"flow.{gain}": getattr(flow, gain) for gain in GAINS}
    found[THETA] = atan2(flow.gamma, flow.kappa)
    for name in DEFAULT_TIMES:
        times = getattr(flow, name)
        if not isinstance(times, Mapping):
            found[f"flow.{name}"] = times
            continue
        found[f"flow.{name}"] = times.get(OTHERS, DEFAULT_TIMES[name])
        for population, time in times.items():
            if population != OTHERS:
                found[f"flow.{name}.{population}"] = time
    return found


def _of_part(place: str, part: Any) -> Numbers:
    """Return the numbers of a dataclass, of its own dataclasses, or of a mapping."""
    if isinstance(part, float):
        return {place: part}
    if isinstance(part, Mapping | frozenset):
        values = dict(part)
    else:
        values = {f.name: getattr(part, f.name) for f in fields(part)}
    found: Numbers = {}
    for name, value in values.items():
        key = f"{place}.{name}"
        if _is_settable(place, name, part) and _is_number(value):
            found[key] = float(value)
        elif is_dataclass(value) or isinstance(value, frozenset):
            found |= _of_part(key, value)
    return found


def _is_settable(place: str, name: str, part: Any) -> bool:
    """Return whether a number of a part has an effect while the simulation runs."""
    if place.startswith("network.populations"):
        reads = name == "epsilon" and part.term.reads_epsilon
        return bool(reads) or name == "activity_l1"
    if place.startswith("network.projections"):
        return name in OF_PROJECTIONS and bool(part.plastic or name == "feedback_size")
    if place.startswith("network.losses"):
        return name == "weight"
    # a delay changes the number of messages in flight
    return name != "delay" and not isinstance(part, Delay)


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.shape == () and value.dtype.kind in "iuf"
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _shared(known: Numbers, place: str, names: tuple[str, ...]) -> Numbers:
    """Return keys such as ``network.epsilon``, which stand for all populations or projections."""
    found: Numbers = {}
    for key, value in known.items():
        name = key.rpartition(".")[2]
        if key.startswith(place) and name in names:
            found.setdefault(f"network.{name}", value)
    return found


def _flow_with(flow: Flow, path: list[str], value: float) -> Flow:
    name = path[0]
    if name == "theta":
        size = hypot(flow.kappa, flow.gamma)
        if not 0 <= value <= atan2(1, 0):
            raise out_of_range(THETA, value, "0 to pi/2 radians")
        kappa = max(size * cos(value), 0.0) if value < atan2(1, 0) else 0.0
        return replace(flow, kappa=kappa, gamma=size * sin(value))
    times = getattr(flow, name)
    given: Any = value
    if isinstance(times, Mapping):
        population = path[1] if len(path) > 1 else OTHERS
        given = {**times, population: value}
    return replace(flow, **{name: given})


def _net_with(sim: Simulated, path: list[str], value: float) -> Any:
    """Return the network with a number in one part, or in all that have it."""
    net = sim.net
    if len(path) == 1:
        name = path[0]
        for key in numbers_of(sim):
            kind, _, own = key.removeprefix("network.").rpartition(".")
            if own == name and "." in kind:
                net = _net_with_part(net, [*kind.split("."), name], value)
        return net
    return _net_with_part(net, path, value)


def _net_with_part(net: Any, path: list[str], value: float) -> Any:
    kind, place, name = path
    parts = dict(getattr(net, kind))
    part = list(parts)[int(place)]
    parts[part] = replace(parts[part], **{name: value})
    return net.sharing(**{kind: parts})


def _extensions_with(sim: Simulated, place: int, name: str, value: float) -> list[Any]:
    extensions = list(sim.extensions)
    own = extensions[place]
    extensions[place] = replace(own, parameters={**own.parameters, name: value})
    return extensions


def _transport_with(sim: Simulated, key: str, value: float) -> Any:
    """Return the message transport with one number in it."""
    for place, rule in _rules(sim).items():
        if not key.startswith(f"{place}."):
            continue
        path = key.removeprefix(f"{place}.").split(".")
        made = _with(rule, path, value, key)
        if place == TRANSPORT:
            return made
        name = place.removeprefix(f"{TRANSPORT}.")
        return {**sim.transports, name: made}
    raise unknown("key", key, [*_rules(sim)])  # `changed` has checked it


def _with(part: Any, path: list[str], value: float, key: str) -> Any:
    """Return a dataclass or a set of pairs with one number in it."""
    name = path[0]
    inner: Any = value
    if len(path) > 1:
        old = dict(part)[name] if isinstance(part, frozenset) else getattr(part, name)
        inner = _with(old, path[1:], value, key)
    if isinstance(part, frozenset):
        return frozenset({**dict(part), name: inner}.items())
    try:
        return replace(part, **{name: inner})
    except ModelError as error:
        raise ModelError(f"{key}: {error}") from None
