"""Traces as an xarray.Dataset whose table, for pandas, has one row per recorded number.

Parameters stand beside the traces, with dimensions of their own; in netCDF files only in the group
of the run, so that xarray alone can make a table of the root. Imported where a dataset is built,
since importing xarray takes as long as a short run. Start at `Traces`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurosim.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

PARAMETERS = ("weights.", "bias.", "feedback.")  # how names of `stored_model.parameter_name` begin


class Traces(xr.Dataset):  # type: ignore[no-untyped-call]
    """Recorded variables and final parameters, an xarray.Dataset; a table is of the former."""

    __slots__ = ()

    def to_dataframe(self, dim_order: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the recorded variables as a table, without the parameters of the network.

        There is one row per time, pattern and unit, or per time and synapse.

        Parameters
        ----------
        dim_order : sequence of str, optional
            As in `xarray.Dataset.to_dataframe`; by default that of the variables.

        Raises
        ------
        DataError
            Variables of units and weights of synapses, which have no rows in common.

        Examples
        --------
        >>> run.traces.to_dataframe().to_csv("traces.csv")  # doctest: +SKIP
        >>> run.traces[["w"]].to_dataframe()  # doctest: +SKIP
        """
        recorded = without_parameters(self)
        kinds: dict[tuple[Any, ...], list[str]] = {}
        for name, variable in recorded.data_vars.items():
            kinds.setdefault(variable.dims, []).append(str(name))
        if len(kinds) > 1:
            held = "; ".join(f"{', '.join(names)} over {dims}" for dims, names in kinds.items())
            first, *_ = kinds.values()
            raise DataError(
                f"a table of {held} would have {prod(recorded.sizes.values()):,} rows; "
                f"allowed: variables over the same dimensions; try traces[{first}].to_dataframe()"
            )
        order = dim_order or next(iter(kinds), None)
        return xr.Dataset.to_dataframe(recorded, order)


def as_traces(dataset: xr.Dataset, stored: xr.Dataset | None = None) -> Traces:
    """Return a dataset as traces, beside the parameters of the stored run that it belongs to."""
    parameters = {}
    if stored is not None:
        parameters = {name: stored[name] for name in stored.data_vars if _is_parameter(name)}
    return Traces({**dataset.data_vars, **parameters}, dataset.coords, dataset.attrs)


def without_parameters(traces: xr.Dataset) -> xr.Dataset:
    """Return the recorded variables alone."""
    return traces.drop_vars([name for name in traces.data_vars if _is_parameter(name)])


def _is_parameter(name: Any) -> bool:
    """Return whether a variable is a parameter; names of recorded variables have no dot."""
    return str(name).startswith(PARAMETERS)
