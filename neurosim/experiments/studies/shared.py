"""Constants, flows and drawing that several studies share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import radians
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.data.patterns import patterns, targets
from neurosim.model.flow import Flow
from neurosim.model.network import Network

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

Array = np.ndarray

TAU = 10e-3  # s, time constant of outputs
HELD_OUT = 0.2  # share of the training part that is held out to choose settings
BACKPROP = "backprop"
REPEATS = ("seed", "fold")  # dimensions over which tables average
WIDTH = 160  # columns of a table as text

# constructors of flows, which take time constants
FLOWS: dict[str, Callable[..., Flow]] = {
    "adjoint": Flow.adjoint,
    "damped": Flow.damped,
    "rotated(75°)": partial(Flow.rotated, radians(75)),
    "rotated(89°)": partial(Flow.rotated, radians(89)),
    "augmented(1)": partial(Flow.augmented, 1),
    "augmented(2)": partial(Flow.augmented, 2),
}


def mean_and_spread(values: Any, digits: int = 1, scale: float = 1.0) -> str:
    """Return mean and standard deviation of numbers as text, without NaN; "-" if there are none.

    The deviation is that of the numbers themselves (divided by n). One number has none. Their
    number n is given where some are NaN, or where there is only one; `spread_note` has it else.

    Examples
    --------
    >>> mean_and_spread([0.94, 0.96], 1, 100), mean_and_spread([0.94, float("nan")], 1, 100)
    ('95.0 ± 1.0', '94.0 (n=1)')
    """
    flat = np.ravel(values)
    found = flat[np.isfinite(flat)] * scale
    if not found.size:
        return "-"
    count = f" (n={found.size})" if found.size in (1, *range(flat.size)) else ""
    if found.size == 1:
        return f"{found[0]:.{digits}f}{count}"
    return f"{found.mean():.{digits}f} ± {found.std():.{digits}f}{count}"


def spread_note(data: xr.Dataset) -> str:
    """Return the line below a table that defines ± and gives the number of repeats.

    Parameters
    ----------
    data : xarray.Dataset
        Results of a study, whose repeats are along "seed" or "fold".
    """
    return (
        f"a ± b: mean and standard deviation (divided by n) over n = {repeats(data)}; "
        "(n=...) where an entry has fewer, as of runs that diverged; one run has no ±"
    )


def bars_note(data: xr.Dataset) -> str:
    """Return the words of a picture that define its error bars and give the number of repeats."""
    return f"mean ± standard deviation over n = {repeats(data)}"


def dots_note(data: xr.Dataset) -> str:
    """Return the words of a picture with a dot per seed or fold that give their number."""
    return f"n = {repeats(data)}, a dot each"


def repeats(data: xr.Dataset) -> str:
    """Return the number of seeds or folds as text."""
    counts = {name: data.sizes[name] for name in REPEATS if name in data.sizes}
    return " x ".join(f"{n} {name}{'s' * (n != 1)}" for name, n in counts.items())


def check_data(net: Network, X: Array, Y: Array) -> None:
    """Refuse patterns and targets that do not fit a network.

    Raises
    ------
    DataError
        Another number of inputs, or targets that the loss cannot read.
    """
    patterns(net, X[:1])
    targets(net, Y, len(Y))


def new_table(*headings: str, **options: Any) -> Table:
    """Return a rich table without rows, in the style of all studies."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(*headings, box=SIMPLE_HEAD, **options)


def grid_of_panels(
    count: int, columns: int, size: tuple[float, float], margin: tuple[float, float]
) -> tuple[Any, Any]:
    """Return a figure and its panels, (rows, columns); panels after the first `count` are hidden.

    Parameters
    ----------
    count : int
        Number of panels.
    columns : int
        Largest number of columns.
    size, margin : (width, height), inches
        Size of a panel, and what the figure adds to all panels.
    """
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    width = size[0] * columns + margin[0]
    height = size[1] * rows + margin[1]
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.flat[count:]:
        ax.set_visible(False)
    return figure, panels
