"""Runs and logs: what a simulation hands back, in memory.

Above `engine` and `reference`, below `simulation`: plain arrays and xarray datasets that carry the
whole model. Start at `Run`; `build_traces` is how its traces are made, `files` is the way to disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import turned

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

VARIABLES = {  # long name of what can be recorded, all of unit 1
    "x": "neuron output",
    "a": "net input",
    "g": "violation of the neuron's constraint, x - sigma(a)",
    "lam": "Lagrange multiplier",
    "delta": "message sent back through the incoming synapses",
    "w": "synaptic weight",
}
FEEDBACK = "feedback."  # before the name of a projection, the key of its feedback weights
OWN = (
    "time",
    "pattern",
    "unit",
    "population",
    "index",
    "synapse",
    "projection",
    "post",
    "pre",
    "w",
    "run",
)


@dataclass(frozen=True)
class State:
    """Outputs and multipliers of every population that is not clamped, (patterns, units), unit 1."""

    x: Mapping[str, Array]
    lam: Mapping[str, Array]


@dataclass(frozen=True)
class Run:
    """What a simulation left behind.

    Attributes
    ----------
    network : Network
        A copy, with the weights at the end of the run.
    flow : Flow
    settings : dict
        dt (s), method, backend, transport, seed, duration (s), plastic (whether weights moved) and
        whatever else chose the numbers.
    X, Y : dict of str to array
        Clamped inputs by population; encoded targets by population with a loss.
    x, lam : dict of str to array, (patterns, units), unit 1
        Final outputs and multipliers of every population that is not clamped.
    traces : xarray.Dataset or None
        What was recorded, over (time, pattern, unit); time in s from 0.
    time : float
        Simulated time, s.
    steps : int
    interrupted : bool
        Ctrl-C came before the end.
    """

    network: Network
    flow: Flow
    settings: dict[str, Any]
    X: dict[str, Array]
    Y: dict[str, Array]
    x: dict[str, Array]
    lam: dict[str, Array]
    traces: xr.Dataset | None = None
    time: float = 0.0
    steps: int = 0
    interrupted: bool = False
    auxiliary: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def settled(self) -> bool:
        """Whether the run stopped because nothing changed any more (``relax(settle=...)``)."""
        return bool(self.settings.get("settled", False))

    @property
    def state(self) -> State:
        """The final outputs and multipliers."""
        return State(self.x, self.lam)


class Log:
    """What training left behind.

    Attributes
    ----------
    history : xarray.Dataset
        Over `time` (s): loss, accuracy, validation_loss, validation_accuracy, violation, cosine,
        max_step.
    run : Run
        The final state; `relax(start=log.run)` goes on from it.
    """

    def __init__(self, history: xr.Dataset | Callable[[], xr.Dataset], run: Run) -> None:
        self._history, self.run = history, run

    @cached_property
    def history(self) -> xr.Dataset:
        """Made when it is read: importing xarray takes as long as a short training."""
        return self._history() if callable(self._history) else self._history

    def __repr__(self) -> str:
        return f"Log({', '.join(map(str, self.history.data_vars))}; {self.history.time.size} rows)"

    @property
    def interrupted(self) -> bool:
        """Ctrl-C came before the end."""
        return self.run.interrupted


def build_traces(
    net: Network,
    flow: Flow,
    settings: Mapping[str, Any],
    times: Array,
    recorded: Mapping[str, Mapping[str, Array]],
    *,
    pattern: Sequence[int] | Array = (),
    units: Mapping[str, Sequence[int] | Array] | None = None,
    weights: Mapping[str, Array] | None = None,
    synapses: Mapping[str, tuple[Array, Array]] | None = None,
) -> xr.Dataset:
    """What was recorded as one dataset that carries the whole model.

    Parameters
    ----------
    net : Network
        With the weights at the end of the run.
    flow : Flow
    settings : mapping
        Whatever else chose the numbers; plain values.
    times : (time,), s
        From 0 at the start of the run.
    recorded : {variable: {population: (time, pattern, units)}}, unit 1
        Such as x, lam, g, a, delta. Units of a population that a variable leaves out are NaN.
    pattern : (pattern,) of int
        Which patterns of the batch were recorded.
    units : {population: (units,) of int}, optional
        Index of the recorded units; by default all of the population.
    weights : {projection: (time, synapses)}, unit 1, optional
    synapses : {projection: (post, pre)}, optional
        Index of the recorded synapses; by default all of the projection, row by row.

    Returns
    -------
    xarray.Dataset
        Variables over (time, pattern, unit), where `unit` has the coordinates `population` and
        `index`; `w` over (time, synapse) with the coordinates `projection`, `post` and `pre`; the
        final parameters as ``weights.pre->post`` and ``bias.population`` (a sparse matrix as its
        CSR parts ``.data``, ``.indices``, ``.indptr``); the model as JSON in the attribute `model`.

    Raises
    ------
    DataError
        Arrays that fit neither the network nor `times` and `pattern`.
    """
    import xarray as xr

    times, pattern = np.asarray(times, dtype=float), np.asarray(pattern, dtype=int)
    variables: dict[str, Any] = {}
    coordinates = time_coordinate(times)
    if recorded:
        variables |= _unit_traces(net, recorded, len(times), pattern, units or {}, coordinates)
    if weights:
        variables |= _synapse_traces(net, weights, synapses or {}, len(times), coordinates)
    variables |= {parameter_name(key): value for key, value in parameter_variables(net).items()}
    return xr.Dataset(variables, coordinates, {"model": model_json(net, flow, settings)})


def time_coordinate(times: Array) -> dict[str, Any]:
    """The coordinate of every trace, s."""
    return {"time": ("time", times, {"units": "s", "long_name": "time"})}


def unit_coordinates(pattern: Array, units: Mapping[str, Array]) -> dict[str, Any]:
    """Coordinates of traces over (time, pattern, unit), from the recorded units of every
    population.
    """
    sizes = [len(chosen) for chosen in units.values()]
    return {
        "pattern": ("pattern", pattern, {"long_name": "index in the batch"}),
        "population": ("unit", np.repeat(np.array(list(units), dtype=str), sizes)),
        "index": ("unit", np.concatenate([np.arange(0), *units.values()])),
    }


def synapse_coordinates(synapses: Mapping[str, tuple[Array, Array]]) -> dict[str, Any]:
    """Coordinates of traces over (time, synapse), from (post, pre) of the recorded synapses of
    every projection.
    """
    names = np.repeat(
        np.array(list(synapses), dtype=str), [len(post) for post, _ in synapses.values()]
    )
    ends = {
        end: np.concatenate([pair[i] for pair in synapses.values()])
        for i, end in enumerate(("post", "pre"))
    }
    return {"projection": ("synapse", names)} | {
        end: ("synapse", index) for end, index in ends.items()
    }


def chosen_units(
    net: Network,
    recorded: Mapping[str, Collection[str]],
    units: Mapping[str, Sequence[int] | Array],
) -> dict[str, Array]:
    """Index of the recorded units of every population that some variable has; all that `units` does
    not name.

    Raises
    ------
    DataError
        A population that the network does not have, a unit that the population does not have, a
        variable with a name that traces and files use themselves.
    """
    for variable, populations in recorded.items():
        if variable in OWN:
            raise DataError(
                f"trace of {variable!r}; allowed: any name but {', '.join(OWN)}; try to rename it"
            )
        for name in populations:
            if name not in net.populations:
                raise DataError(
                    str(unknown(f"population of the trace of {variable}", name, net.populations))
                )
    for name, chosen in units.items():
        if name not in net.populations:
            raise DataError(str(unknown("population of the recorded units", name, net.populations)))
        size, index = net.populations[name].size, np.asarray(chosen)
        whole = index.ndim == 1 and (index.dtype.kind in "iu" or not index.size)
        if not whole or not ((index >= 0) & (index < size)).all():
            raise DataError(
                f"recorded units of {name} = {chosen!r}; allowed: whole numbers, 0 to {size - 1}"
            )
    present = [
        n for n in net.populations if any(n in populations for populations in recorded.values())
    ]
    return {
        n: np.asarray(units[n] if n in units else np.arange(net.populations[n].size), dtype=int)
        for n in present
    }


def synapses(weights: Any) -> tuple[Array, Array]:
    """Index of the postsynaptic and the presynaptic unit of every synapse of a projection, row by
    row.
    """
    if isinstance(weights, np.ndarray):
        post, pre = np.indices(weights.shape)
        return post.ravel(), pre.ravel()
    return np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr)), weights.indices.copy()


def _unit_traces(
    net: Network,
    recorded: Mapping[str, Mapping[str, Array]],
    n_times: int,
    pattern: Array,
    units: Mapping[str, Sequence[int] | Array],
    coordinates: dict[str, Any],
) -> dict[str, Any]:
    index = chosen_units(net, recorded, units)
    coordinates |= unit_coordinates(pattern, index)
    ends = dict(zip(index, np.cumsum([len(chosen) for chosen in index.values()]), strict=True))
    variables = {}
    for variable, by_population in recorded.items():
        values = np.full((n_times, len(pattern), sum(map(len, index.values()))), np.nan)
        for name, part in by_population.items():
            allowed = (n_times, len(pattern), len(index[name]))
            if np.shape(part) != allowed:
                raise DataError(
                    f"trace of {variable} in {name} has shape {np.shape(part)}; "
                    f"allowed: (time, pattern, units) = {allowed}"
                )
            values[..., ends[name] - allowed[-1] : ends[name]] = part
        variables[variable] = (("time", "pattern", "unit"), values, attributes(variable))
    return variables


def _synapse_traces(
    net: Network,
    weights: Mapping[str, Array],
    chosen: Mapping[str, tuple[Array, Array]],
    n_times: int,
    coordinates: dict[str, Any],
) -> dict[str, Any]:
    ends = recorded_synapses(net, weights, chosen)
    for name, values in weights.items():
        allowed = (n_times, len(ends[name][0]))
        if np.shape(values) != allowed:
            raise DataError(
                f"trace of the weights of {name} has shape {np.shape(values)}; allowed: "
                f"(time, synapses) = {allowed}"
            )
    coordinates |= synapse_coordinates(ends)
    return {
        "w": (
            ("time", "synapse"),
            np.concatenate(list(weights.values()), axis=1, dtype=float),
            attributes("w"),
        )
    }


def recorded_synapses(
    net: Network, projections: Collection[str], chosen: Mapping[str, tuple[Array, Array]]
) -> dict[str, tuple[Array, Array]]:
    """(post, pre) of the recorded synapses of these projections; all of those that `chosen` does
    not name.

    Raises
    ------
    DataError
        A projection that the network does not have.
    """
    for name in projections:
        if name not in net.projections:
            raise DataError(str(unknown("projection of a trace of weights", name, net.projections)))
    pairs = {
        name: chosen[name] if name in chosen else synapses(net.weights[name])
        for name in projections
    }
    return {
        name: (np.asarray(post, dtype=int), np.asarray(pre, dtype=int))
        for name, (post, pre) in pairs.items()
    }


def attributes(variable: str) -> dict[str, str]:
    """Unit and long name of what is recorded."""
    return (
        {"units": "1", "long_name": VARIABLES[variable]}
        if variable in VARIABLES
        else {"long_name": variable}
    )


def model_json(net: Network, flow: Flow, settings: Mapping[str, Any]) -> str:
    """The whole model without its weights, as the JSON text that datasets and files carry."""
    from neurosim.version import __version__

    model = {
        "network": net.describe(),
        "flow": flow.as_dict(),
        "settings": dict(settings),
        "neurosim": __version__,
    }
    return json.dumps(model, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def parameter_name(key: str) -> str:
    """Variable of a dataset that holds a parameter; its key alone would look like a recorded
    variable.
    """
    if key.startswith(FEEDBACK):
        return key
    return f"weights.{key}" if "->" in key else f"bias.{key}"


def parameter_variables(net: Network) -> dict[str, tuple[tuple[str, ...], Array]]:
    """Final weights and biases as {key: (dimensions, array)}, a sparse matrix as its three CSR
    parts.

    Feedback weights of their own too, (n_pre, n_post); sparse ones in the order of the weights they
    stand for.
    """
    variables: dict[str, tuple[tuple[str, ...], Array]] = {}
    for name, weights in net.weights.items():
        projection = net.projections[name]
        if isinstance(weights, np.ndarray):
            # A projection onto itself may not use a dimension twice.
            variables[name] = ((f"post.{projection.post}", f"pre.{projection.pre}"), weights)
        else:
            variables[f"{name}.data"] = ((f"synapse.{name}",), weights.data)
            variables[f"{name}.indices"] = ((f"synapse.{name}",), weights.indices)
            variables[f"{name}.indptr"] = ((f"row.{name}",), weights.indptr)
    for name, B in net.feedback.items():
        q = net.projections[name]
        if q.draws_feedback and isinstance(B, np.ndarray):
            variables[f"{FEEDBACK}{name}"] = ((f"pre.{q.pre}", f"post.{q.post}"), B)
        elif q.draws_feedback:
            variables[f"{FEEDBACK}{name}"] = ((f"synapse.{name}",), turned(B).data)
    return variables | {name: ((f"post.{name}",), bias) for name, bias in net.biases.items()}
