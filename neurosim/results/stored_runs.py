"""Convert a run to a dataset, and back.

Above `stored_model`, below `files` and `recording`, which store the dataset. It does not contain
the traces of the run, which are a separate dataset. Start at `run_to_dataset`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.results.format import current_name
from neurosim.results.runs import Run
from neurosim.results.stored_model import (
    model_json,
    parameter_keys,
    parameter_name,
    parameter_variables,
    parameters_from,
)

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray

FIELDS = ("X", "Y", "x", "lam")  # attributes of a run, each {population: (patterns, units)}


def run_to_dataset(run: Run) -> xr.Dataset:
    """Return a run as a dataset, without its traces.

    Returns
    -------
    xarray.Dataset
        Variables ``X.population``, ``Y.population``, ``x.population``, ``lam.population``; the
        parameters as ``weights.pre->post`` and ``bias.population``; auxiliary arrays as
        ``auxiliary.0`` and so on, with their key as an attribute. The model and the counts are
        attributes.
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    for field in FIELDS:
        for name, array in getattr(run, field).items():
            dimensions = ("pattern", f"unit.{name}")
            variables[f"{field}.{name}"] = (dimensions, array)
    for key, value in parameter_variables(run.network).items():
        variables[parameter_name(key)] = value
    for number, (key, array) in enumerate(run.auxiliary.items()):
        name = f"auxiliary.{number}"
        n_axes = np.ndim(array)
        axes = [f"{name}.{axis}" for axis in range(n_axes)]
        variables[name] = (axes, np.asarray(array), {"key": key})
    attributes = {
        "model": model_json(run.network, run.flow, run.settings),
        "time": float(run.time),
        "steps": int(run.steps),
        "steps_before": int(run.steps_before),
        "interrupted": int(run.interrupted),
        "has_traces": int(run.traces is not None),
    }
    return xr.Dataset(variables, attrs=attributes)


def run_from_dataset(stored: xr.Dataset, traces: xr.Dataset | None) -> Run:
    """Return the run that `run_to_dataset` converted, with its traces."""
    model = json.loads(stored.attrs["model"])
    arrays: dict[str, Array] = {}
    for name, variable in stored.data_vars.items():
        arrays[str(name)] = np.ascontiguousarray(variable.values)
    description = model["network"]
    parameters: dict[str, Array] = {}
    for key in parameter_keys(description):
        parameters[key] = arrays[parameter_name(key)]
    weights, biases, feedback = parameters_from(description, parameters)
    net = Network.from_description(description, weights, biases, feedback)
    fields: dict[str, dict[str, Array]] = {field: {} for field in FIELDS}
    for field, by_population in fields.items():
        for name in net.populations:
            array = arrays.get(f"{field}.{name}")
            if array is not None:
                by_population[name] = array
    return Run(
        network=net,
        flow=Flow(**model["flow"]),
        settings=model["settings"],
        **fields,
        traces=traces,
        time=float(stored.attrs["time"]),
        steps=int(stored.attrs["steps"]),
        interrupted=bool(stored.attrs["interrupted"]),
        auxiliary=_auxiliary(stored),
        steps_before=int(stored.attrs.get("steps_before", 0)),  # not in files of 0.1.0
    )


def _auxiliary(stored: xr.Dataset) -> dict[str, Array]:
    """Return the auxiliary arrays by key, with the present names of variables."""
    names = [str(name) for name in stored.data_vars]
    count = sum(name.startswith("auxiliary.") for name in names)
    found: dict[str, Array] = {}
    for number in range(count):
        variable = stored[f"auxiliary.{number}"]
        key = current_name(str(variable.attrs["key"]))
        found[key] = np.asarray(variable.values)
    return found
