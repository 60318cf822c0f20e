"""Build traces: recorded variables as one dataset that carries the whole model.

Above `stored_model`, below `recording`, which keeps the same variables on disk. The units of all
populations lie on one axis, `unit`; the synapses of all projections on another, `synapse`. Start
at `build_traces`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import DataError, shown, unknown
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.weights import Weights, synapse_indices
from neurosim.results.format import current_name
from neurosim.results.stored_model import model_json, parameter_name, parameter_variables

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Chosen = Mapping[str, Sequence[int] | Array]  # units by population
Populations = Mapping[str, Collection[str]]  # those that have a variable, by variable
Synapses = tuple[Array, Array]  # index of the postsynaptic and of the presynaptic unit of each

VARIABLES = {  # long names of recorded variables, all of unit 1
    "x": "neuron output",
    "a": "net input",
    "g": "violation of the neuron's constraint, x - sigma(a)",
    "lam": "Lagrange multiplier",
    "delta": "message sent back through the incoming synapses",
    "w": "synaptic weight",
}
# Names of coordinates, weights and the group of a run: not allowed for other variables.
RESERVED = (
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
    units: Chosen | None = None,
    weights: Mapping[str, Array] | None = None,
    synapses: Mapping[str, Synapses] | None = None,
    synaptic: Mapping[str, Mapping[str, Array]] | None = None,
) -> xr.Dataset:
    """Return recorded variables as one dataset that carries the whole model.

    Parameters
    ----------
    net : Network
        Network with the weights at the end of the run.
    flow : Flow
    settings : mapping
        Everything else that the numbers depend on, as plain values.
    times : (time,), s
        From 0 at the start of the run.
    recorded : {variable: {population: (time, pattern, units)}}, unit 1
        Such as x, lam, g, a, delta. The units of populations that lack a variable are NaN.
    pattern : (pattern,) of int
        Which patterns of the batch were recorded.
    units : {population: (units,) of int}, optional
        Indices of the recorded units; by default all of the population.
    weights : {projection: (time, synapses)}, unit 1, optional
        The same as ``synaptic={"w": weights}``.
    synapses : {projection: (post, pre)}, optional
        Indices of the units that the recorded synapses connect; by default all synapses of the
        projection, row by row.
    synaptic : {variable: {projection: (time, synapses)}}, unit 1, optional
        Variables of synapses. The synapses of projections that lack a variable are NaN.

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
        Arrays that do not fit the network, `times` or `pattern`.
    """
    from neurosim.results.table import Traces

    times = np.asarray(times, dtype=float)
    pattern = np.asarray(pattern, dtype=int)
    coordinates = time_coordinate(times)
    variables: dict[str, Any] = {}
    if recorded:
        index = chosen_units(net, recorded, units or {})
        coordinates |= unit_coordinates(pattern, index)
        variables |= _unit_traces(recorded, index, len(times), len(pattern))
    of_synapses = dict(synaptic or {})
    if weights:
        of_synapses["w"] = weights
    if of_synapses:
        ends = recorded_synapses(net, projections_of(of_synapses), synapses or {})
        coordinates |= synapse_coordinates(ends)
        for variable, by_projection in of_synapses.items():
            variables[variable] = _synaptic_trace(variable, by_projection, ends, len(times))
    for key, parameter in parameter_variables(net).items():
        variables[parameter_name(key)] = parameter
    return Traces(variables, coordinates, {"model": model_json(net, flow, settings)})


def _unit_traces(
    recorded: Mapping[str, Mapping[str, Array]],
    index: Mapping[str, Array],
    n_times: int,
    n_patterns: int,
) -> dict[str, Any]:
    """Return each variable over (time, pattern, unit), its populations side by side."""
    columns: dict[str, slice] = {}
    n_units = 0
    for name, chosen in index.items():
        start = n_units
        n_units += len(chosen)
        columns[name] = slice(start, n_units)
    traces: dict[str, Any] = {}
    for variable, by_population in recorded.items():
        values = np.full((n_times, n_patterns, n_units), np.nan)
        for name, part in by_population.items():
            found = np.shape(part)
            allowed = (n_times, n_patterns, len(index[name]))
            if found != allowed:
                raise DataError(
                    f"trace of {variable} in {name} has shape {found}; "
                    f"allowed: (time, pattern, units) = {allowed}"
                )
            values[..., columns[name]] = part
        traces[variable] = (("time", "pattern", "unit"), values, attributes(variable))
    return traces


def projections_of(synaptic: Mapping[str, Collection[str]]) -> list[str]:
    """Return the projections of which any variable is recorded, in order."""
    found: dict[str, None] = {}
    for names in synaptic.values():
        found |= dict.fromkeys(names)
    return list(found)


def _synaptic_trace(
    variable: str, values: Mapping[str, Array], ends: Mapping[str, Synapses], n_times: int
) -> tuple[tuple[str, str], Array, dict[str, str]]:
    """Return a variable over (time, synapse), the projections side by side."""
    columns: list[Array] = []
    for name, (post, _) in ends.items():
        allowed = (n_times, len(post))
        part = values.get(name)
        if part is None:
            columns.append(np.full(allowed, np.nan))
            continue
        if np.shape(part) != allowed:
            raise DataError(
                f"trace of {variable} of {name} has shape {np.shape(part)}; "
                f"allowed: (time, synapses) = {allowed}"
            )
        columns.append(part)
    found = np.concatenate(columns, axis=1, dtype=float)
    return ("time", "synapse"), found, attributes(variable)


# Coordinates and attributes


def time_coordinate(times: Array) -> dict[str, Any]:
    """Return the coordinate that all traces share, time in s."""
    return {"time": ("time", times, {"units": "s", "long_name": "time"})}


def unit_coordinates(pattern: Array, units: Mapping[str, Array]) -> dict[str, Any]:
    """Return the coordinates of traces over (time, pattern, unit).

    Parameters
    ----------
    pattern : (pattern,) of int
    units : {population: (units,) of int}
        Index of the recorded units.
    """
    none = np.arange(0)  # np.concatenate refuses an empty list
    index = np.concatenate([none, *units.values()])
    return {
        "pattern": ("pattern", pattern, {"long_name": "index in the batch"}),
        "population": ("unit", _repeated(units, units.values())),
        "index": ("unit", index),
    }


def synapse_coordinates(synapses: Mapping[str, Synapses]) -> dict[str, Any]:
    """Return the coordinates of traces over (time, synapse), from the ends of the synapses.

    Parameters
    ----------
    synapses : {projection: (post, pre)}
        Indices of the units at both ends of each recorded synapse.
    """
    all_post = [post for post, _ in synapses.values()]
    all_pre = [pre for _, pre in synapses.values()]
    return {
        "projection": ("synapse", _repeated(synapses, all_post)),
        "post": ("synapse", np.concatenate(all_post)),
        "pre": ("synapse", np.concatenate(all_pre)),
    }


def _repeated(names: Iterable[str], members: Iterable[Array]) -> Array:
    """Return each name as often as it has members; as in files, no wider than the longest."""
    found: list[str] = []
    for name, own in zip(names, members, strict=True):
        found += [name] * len(own)
    return np.array(found, dtype=str)


def attributes(variable: str) -> dict[str, str]:
    """Return the attributes of a recorded variable: long name, and unit where it is known."""
    if variable not in VARIABLES:
        return {"long_name": variable}
    return {"units": "1", "long_name": VARIABLES[variable]}


def with_current_names(traces: xr.Dataset) -> xr.Dataset:
    """Return the traces with variables that had another name in 0.1.0 under their present one."""
    names = {}
    for variable in map(str, traces.data_vars):
        if current_name(variable) != variable:
            names[variable] = current_name(variable)
    return traces.rename(names)


# Recorded units and synapses


def chosen_units(net: Network, recorded: Populations, units: Chosen) -> dict[str, Array]:
    """Return the indices of the recorded units of every population that has a variable.

    Parameters
    ----------
    net : Network
    recorded : {variable: populations that have it}
    units : {population: (units,) of int}
        Indices of the units to record; all of a population that is not named here.

    Raises
    ------
    DataError
        A population that the network does not have, a unit that the population does not have, or
        a variable with one of the `RESERVED` names.
    """
    for variable, populations in recorded.items():
        _check_variable(net, variable, populations)
    for name, chosen in units.items():
        _check_units(net, name, chosen)
    index: dict[str, Array] = {}
    for name, population in net.populations.items():
        if any(name in populations for populations in recorded.values()):
            chosen = units.get(name, np.arange(population.size))
            index[name] = np.asarray(chosen, dtype=int)
    return index


def _check_variable(net: Network, variable: str, populations: Collection[str]) -> None:
    """Check that the name of a variable is not reserved, and that its populations exist."""
    if variable in RESERVED:
        raise DataError(
            f"trace of {variable!r}; allowed: any name but {', '.join(RESERVED)}; try renaming it"
        )
    for name in populations:
        if name not in net.populations:
            what = f"population of the trace of {variable}"
            raise DataError(f"{unknown(what, name, net.populations)}")


def _check_units(net: Network, name: str, chosen: Sequence[int] | Array) -> None:
    """Check that a population exists and has these units."""
    if name not in net.populations:
        what = "population of the recorded units"
        raise DataError(f"{unknown(what, name, net.populations)}")
    size = net.populations[name].size
    if not _is_index(np.asarray(chosen), size):
        raise DataError(
            f"recorded units of {name} = {shown(chosen)}; allowed: whole numbers, 0 to {size - 1}"
        )


def _is_index(values: Array, size: int) -> bool:
    """Return whether an array holds whole numbers from 0 to size - 1, along one axis."""
    if values.ndim != 1:
        return False
    if values.size == 0:
        return True
    if values.dtype.kind not in "iu":
        return False
    return bool(values.min() >= 0 and values.max() < size)


def recorded_synapses(
    net: Network, projections: Collection[str], chosen: Mapping[str, Synapses]
) -> dict[str, Synapses]:
    """Return (post, pre) of the recorded synapses of these projections.

    All synapses are recorded of a projection that `chosen` does not name.

    Raises
    ------
    DataError
        A projection that the network does not have.
    """
    for name in projections:
        if name not in net.projections:
            what = "projection of a trace of weights"
            raise DataError(f"{unknown(what, name, net.projections)}")
    found: dict[str, Synapses] = {}
    for name in projections:
        if name in chosen:
            post, pre = chosen[name]
        else:
            post, pre = synapse_indices(net.weights[name])
        found[name] = (np.asarray(post, dtype=int), np.asarray(pre, dtype=int))
    return found


def places_of_synapses(name: str, weights: Weights, post: Array, pre: Array) -> Array:
    """Return the places of synapses among all synapses of a projection, row by row.

    Raises
    ------
    DataError
        A synapse that does not exist.
    """
    if len(weights.shape) > 2:
        raise DataError(
            f"synapses of {name}, whose sites share their weights, {weights.shape}; allowed: all "
            "of them; try record='w' without synapses"
        )
    all_post, all_pre = synapse_indices(weights)
    columns = weights.shape[1]
    places = {
        int(i) * columns + int(j): k for k, (i, j) in enumerate(zip(all_post, all_pre, strict=True))
    }
    found = []
    for i, j in zip(post, pre, strict=True):
        inside = 0 <= i < weights.shape[0] and 0 <= j < columns
        place = places.get(int(i) * columns + int(j)) if inside else None
        if place is None:
            raise DataError(
                f"synapse ({i}, {j}) of {name}; allowed: (post, pre) of a synapse, below "
                f"{weights.shape}"
            )
        found.append(place)
    return np.array(found, dtype=int)
