"""Build and store traces: what was recorded, as datasets that carry the whole model.

Above `runs`, below `files` and `recording`. Start at `build_traces`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.weights import transposed, with_values
from neurosim.results.format import current_name
from neurosim.results.runs import Run

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
            variables[f"{FEEDBACK}{name}"] = ((f"synapse.{name}",), transposed(B).data)
    return variables | {name: ((f"post.{name}",), bias) for name, bias in net.biases.items()}


def with_current_names(traces: xr.Dataset) -> xr.Dataset:
    """Return the traces with every variable under today's name, whatever a recording called it."""
    old = [str(v) for v in traces.data_vars if current_name(str(v)) != str(v)]
    return traces.rename({name: current_name(name) for name in old})


def run_to_dataset(run: Run) -> xr.Dataset:
    """Everything of a run but its traces: ``X.population``, ``lam.population``, parameters,
    auxiliary arrays.
    """
    import xarray as xr

    variables: dict[str, Any] = {
        f"{field}.{name}": (("pattern", f"unit.{name}"), array)
        for field in ("X", "Y", "x", "lam")
        for name, array in getattr(run, field).items()
    }
    variables |= {
        parameter_name(key): value for key, value in parameter_variables(run.network).items()
    }
    for i, (key, array) in enumerate(run.auxiliary.items()):
        axes = [f"auxiliary.{i}.{axis}" for axis in range(np.ndim(array))]
        variables[f"auxiliary.{i}"] = (axes, np.asarray(array), {"key": key})
    attributes = {
        "model": model_json(run.network, run.flow, run.settings),
        "time": float(run.time),
        "steps": int(run.steps),
        "interrupted": int(run.interrupted),
        "has_traces": int(run.traces is not None),
    }
    return xr.Dataset(variables, attrs=attributes)


def run_from_dataset(stored: xr.Dataset, traces: xr.Dataset | None) -> Run:
    """The run that `run_to_dataset` took apart, with its traces."""
    model = json.loads(stored.attrs["model"])
    arrays = {
        str(name): np.ascontiguousarray(variable.values)
        for name, variable in stored.data_vars.items()
    }
    keys = {key: arrays[parameter_name(key)] for key in _parameter_keys(model["network"])}
    net = Network.from_description(model["network"], *_parameters_from(model["network"], keys))
    fields = {
        field: {n: arrays[f"{field}.{n}"] for n in net.populations if f"{field}.{n}" in arrays}
        for field in ("X", "Y", "x", "lam")
    }
    n_auxiliary = sum(name.startswith("auxiliary.") for name in arrays)
    return Run(
        network=net,
        flow=Flow(**model["flow"]),
        settings=model["settings"],
        **fields,
        traces=traces,
        time=float(stored.attrs["time"]),
        steps=int(stored.attrs["steps"]),
        interrupted=bool(stored.attrs["interrupted"]),
        auxiliary={
            current_name(str(stored[f"auxiliary.{i}"].attrs["key"])): np.asarray(
                stored[f"auxiliary.{i}"].values
            )
            for i in range(n_auxiliary)
        },
    )


def _parameter_keys(description: Mapping[str, Any]) -> list[str]:
    keys = []
    for q in description["projections"]:
        name = f"{q['pre']}->{q['post']}"
        keys += [f"{name}.data", f"{name}.indices", f"{name}.indptr"] if q["sparse"] else [name]
        keys += [f"{FEEDBACK}{name}"] if Projection(**_plain_feedback(q)).draws_feedback else []
    return keys + [p["name"] for p in description["populations"] if not p["clamped"]]


def _plain_feedback(described: Mapping[str, Any]) -> dict[str, Any]:
    """Of a described projection, what says whether its feedback is a parameter."""
    return {key: described[key] for key in ("pre", "post", "feedback") if key in described}


def _parameters_from(
    description: Mapping[str, Any], arrays: Mapping[str, Array]
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Any]]:
    """Weights by projection, biases by population and feedback weights, from `parameter_variables`
    by key.
    """
    from scipy.sparse import csr_array

    sizes = {p["name"]: p["size"] for p in description["populations"]}
    weights: dict[str, Any] = {}
    feedback: dict[str, Any] = {}
    for q in description["projections"]:
        name = f"{q['pre']}->{q['post']}"
        if q["sparse"]:
            parts = tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
            weights[name] = csr_array(parts, shape=(sizes[q["post"]], sizes[q["pre"]]))
            weights[name].check_format(
                full_check=True
            )  # an index outside would be read outside by SciPy
        else:
            weights[name] = arrays[name]
        if (own := f"{FEEDBACK}{name}") in arrays:
            feedback[name] = (
                transposed(with_values(weights[name], arrays[own])) if q["sparse"] else arrays[own]
            )
    biases = {p["name"]: arrays[p["name"]] for p in description["populations"] if not p["clamped"]}
    return weights, biases, feedback
