"""Runs and logs: what a simulation hands back, in memory.

Above `engine` and `reference`, below `simulation`: plain arrays and xarray datasets that carry the whole
model. Start at `Run`; `build_traces` is how its traces are made, `files` is the way to disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.flow import Flow
from neurosim.network import Network

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
        dt (s), method, backend, transport, seed, duration (s), plastic (whether weights moved) and whatever
        else chose the numbers.
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
    def state(self) -> State:
        """The final outputs and multipliers."""
        return State(self.x, self.lam)


@dataclass(frozen=True)
class Log:
    """What training left behind.

    Attributes
    ----------
    history : xarray.Dataset
        Over `time` (s): loss, accuracy, validation_loss, validation_accuracy, violation, cosine, max_step.
    run : Run
        The final state; `relax(start=log.run)` goes on from it.
    """

    history: xr.Dataset
    run: Run

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
    weights : {projection: (time, synapses)}, unit 1, optional
    synapses : {projection: (post, pre)}, optional
        Index of the recorded synapses; by default all of the projection, row by row.

    Returns
    -------
    xarray.Dataset
        Variables over (time, pattern, unit), where `unit` has the coordinates `population` and `index`; `w`
        over (time, synapse) with the coordinates `projection`, `post` and `pre`; the final parameters as
        ``weights.pre->post`` and ``bias.population`` (a sparse matrix as its CSR parts ``.data``,
        ``.indices``, ``.indptr``); the model as JSON in the attribute `model`.

    Raises
    ------
    DataError
        Arrays that fit neither the network nor `times` and `pattern`.
    """
    import xarray as xr

    times, pattern = np.asarray(times, dtype=float), np.asarray(pattern, dtype=int)
    variables: dict[str, Any] = {}
    seconds = {"units": "s", "long_name": "time"}
    coordinates: dict[str, Any] = {"time": ("time", times, seconds)}
    if recorded:
        coordinates["pattern"] = ("pattern", pattern, {"long_name": "index in the batch"})
        variables |= _unit_traces(net, recorded, (len(times), len(pattern)), coordinates)
    if weights:
        variables |= _synapse_traces(net, weights, synapses or {}, len(times), coordinates)
    variables |= {parameter_name(key): value for key, value in parameter_variables(net).items()}
    return xr.Dataset(variables, coordinates, {"model": model_json(net, flow, settings)})


def synapses(weights: Any) -> tuple[Array, Array]:
    """Index of the postsynaptic and the presynaptic unit of every synapse of a projection, row by row."""
    if isinstance(weights, np.ndarray):
        post, pre = np.indices(weights.shape)
        return post.ravel(), pre.ravel()
    return np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr)), weights.indices.copy()


def _unit_traces(
    net: Network, recorded: Mapping[str, Mapping[str, Array]], shape: tuple[int, int], coordinates: dict[str, Any]
) -> dict[str, Any]:
    for variable, by_population in recorded.items():
        for name, values in by_population.items():
            if name not in net.populations:
                raise DataError(str(unknown(f"population of the trace of {variable}", name, net.populations)))
            allowed = (*shape, net.populations[name].size)
            if np.shape(values) != allowed:
                raise DataError(
                    f"trace of {variable} in {name} has shape {np.shape(values)}; "
                    f"allowed: (time, pattern, units) = {allowed}"
                )
    present = [n for n in net.populations if any(n in by_population for by_population in recorded.values())]
    sizes = [net.populations[n].size for n in present]
    ends = np.cumsum(sizes)
    coordinates["population"] = ("unit", np.repeat(np.array(present, dtype=str), sizes))
    coordinates["index"] = ("unit", np.concatenate([np.arange(s) for s in sizes]) if sizes else np.arange(0))
    variables = {}
    for variable, by_population in recorded.items():
        values = np.full((*shape, sum(sizes)), np.nan)
        for name, size, end in zip(present, sizes, ends, strict=True):
            if name in by_population:
                values[..., end - size : end] = by_population[name]
        variables[variable] = (("time", "pattern", "unit"), values, _attributes(variable))
    return variables


def _synapse_traces(
    net: Network,
    weights: Mapping[str, Array],
    chosen: Mapping[str, tuple[Array, Array]],
    n_times: int,
    coordinates: dict[str, Any],
) -> dict[str, Any]:
    posts, pres = [], []
    for name, values in weights.items():
        if name not in net.projections:
            raise DataError(str(unknown("projection of a trace of weights", name, net.projections)))
        post, pre = chosen[name] if name in chosen else synapses(net.weights[name])
        if np.shape(values) != (n_times, len(post)):
            raise DataError(
                f"trace of the weights of {name} has shape {np.shape(values)}; "
                f"allowed: (time, synapses) = {(n_times, len(post))}"
            )
        posts.append(np.asarray(post, dtype=int))
        pres.append(np.asarray(pre, dtype=int))
    names = np.repeat(np.array(list(weights), dtype=str), [len(post) for post in posts])
    coordinates["projection"] = ("synapse", names)
    coordinates["post"] = ("synapse", np.concatenate(posts))
    coordinates["pre"] = ("synapse", np.concatenate(pres))
    return {"w": (("time", "synapse"), np.concatenate(list(weights.values()), axis=1, dtype=float), _attributes("w"))}


def _attributes(variable: str) -> dict[str, str]:
    return {"units": "1", "long_name": VARIABLES[variable]} if variable in VARIABLES else {"long_name": variable}


def model_json(net: Network, flow: Flow, settings: Mapping[str, Any]) -> str:
    """The whole model without its weights, as the JSON text that datasets and files carry."""
    from neurosim import __version__

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
    """Variable of a dataset that holds a parameter; its key alone would look like a recorded variable."""
    return f"weights.{key}" if "->" in key else f"bias.{key}"


def parameter_variables(net: Network) -> dict[str, tuple[tuple[str, ...], Array]]:
    """Final weights and biases as {key: (dimensions, array)}, a sparse matrix as its three CSR parts."""
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
    return variables | {name: ((f"post.{name}",), bias) for name, bias in net.biases.items()}
