"""Outcomes of the points of a sweep, and their legend. Start at `outcomes_in`."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neurosim.errors import DataError
from neurosim.plot.canvas import GREY
from neurosim.plot.legends import columns_within
from neurosim.plot.page import small_font

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

OUTCOMES = MappingProxyType(
    {
        "settled": "#009E73",
        "settling": "#56B4E9",
        "ringing": "#E69F00",
        "diverged": "#882255",
        "failed": GREY,
    }
)


def outcomes_in(data: xr.Dataset) -> list[str]:
    """Return the outcomes that occur in a sweep, in the order of `OUTCOMES`.

    Raises
    ------
    DataError
        The dataset is not a sweep.
    """
    if "outcome" not in data:
        raise DataError(
            f"data holds {list(map(str, data.data_vars))}, no outcome; "
            "allowed: the dataset of neurosim.sweep"
        )
    return [outcome for outcome in OUTCOMES if (data["outcome"] == outcome).any()]


def add_outcome_legend(
    figure: Figure, shown: Sequence[str], boundary: str = "", note: str = ""
) -> None:
    """Add a legend of the outcomes above a figure.

    Parameters
    ----------
    figure : Figure
    shown : sequence of str
        Outcomes that occur.
    boundary : str
        Label of the boundary, if one is drawn.
    note : str
        What was reduced, which is written above the entries.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    for outcome in shown:
        color = OUTCOMES[outcome]
        handles.append(Patch(facecolor=color, edgecolor="0.3", linewidth=0.4, label=outcome))
    if boundary:
        handles.append(Line2D([], [], color="black", linewidth=1.6, label=boundary))
    columns = columns_within(72 * figure.get_figwidth(), [str(own.get_label()) for own in handles])
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        handlelength=1.4,
        title=note or None,
        title_fontsize=small_font(),
    )
