"""A run as a moving picture: network, traces and the plane of one unit. Start at `animate`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.disk import replacing
from neurosim.errors import DataError, FileError, number, unknown
from neurosim.plot.canvas import (
    evenly_spread,
    finite_or_nan,
    largest_size,
    recorded_names,
    recorded_of,
    recorded_units,
    row_of,
    time_label,
    times_of,
)
from neurosim.plot.graph import draw_network
from neurosim.plot.page import Size, checked_size, new_figure, styled
from neurosim.plot.phase import PATH, phase_portrait
from neurosim.plot.runs import traces
from neurosim.plot.tiles import SHADES, shades
from neurosim.plot.units import LEAST_LAM
from neurosim.results.runs import Run

if TYPE_CHECKING:
    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray
Update = Callable[[int], None]  # takes the index of a sample
Show = Callable[[int], list[Any]]  # takes the number of a frame

NEEDED = {"network": {"lam"}, "x": {"x"}, "lam": {"lam"}, "phase": {"x", "lam"}}  # by panel
SUFFIXES = (".gif", ".mp4", ".html")
MOST_FRAMES = 150
NARROW = 5  # inches, below which panels stand above each other


@styled
def animate(
    run: Run,
    path: str | Path | None = None,
    *,
    panels: Iterable[str] | None = None,
    pattern: int | None = None,
    unit: tuple[str, int] | None = None,
    fps: float = 15.0,
    figsize: Size | None = None,
) -> Any:
    """Animate a run: units in the colour of their multiplier, a moving time, a growing path.

    Of more than `moving.MOST_FRAMES` samples, so many are shown, spread evenly.

    Parameters
    ----------
    run : Run
        With recorded x or lam.
    path : str or Path, optional
        File to write, .gif, .mp4 (which needs ffmpeg) or .html; by default none is written. Frames
        have the figure's dots per inch: 120, or your ``figure.dpi``.
    panels : iterable of {"network", "x", "lam", "phase"}, optional
        By default all for which enough was recorded.
    pattern : int, optional
        Index in the batch; by default the first that was recorded.
    unit : (population, index), optional
        Unit of the phase plane; by default the first recorded one that is not clamped.
    fps : float
        Frames per second.
    figsize : (float, float), optional
        Size of the figure, inches.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep it while it is shown; its ``to_jshtml()`` is for notebooks.

    Raises
    ------
    DataError, ModelError
        Nothing that a panel needs was recorded, or an unknown panel.
    FileError
        Another suffix, or no ffmpeg for .mp4.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.mlp([2, 3, 1], loss="mse", seed=0)
    >>> sim = ns.Simulation(net, ns.Flow.augmented(), backend="numpy")
    >>> run = sim.relax([[1.0, 0.0]], [[1.0]], duration=0.1, record=("x", "lam"), every=25e-3)
    >>> moving = animate(run, panels=["phase"])
    >>> len(moving.to_jshtml()) > 1000
    True
    """
    from matplotlib.animation import FuncAnimation

    number("fps", fps, above=0, most=1000, try_="15")
    file = None if path is None else _checked_path(Path(path))
    chosen = _chosen_panels(run, panels)
    rows = min(len(chosen), 2)
    columns = -(-len(chosen) // 2)
    if figsize is not None and checked_size(figsize)[0] < NARROW:
        rows, columns = len(chosen), 1
    figure = new_figure(4.2 * columns, 3.2 * rows, figsize)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[len(chosen) :]:
        ax.remove()
    updates = []
    for ax, panel in zip(grid, chosen, strict=False):
        if panel == "network":
            updates.append(_network(ax, run, row_of(run, pattern)))
        elif panel == "phase":
            updates.append(_phase(ax, run, unit, pattern))
        else:
            updates.append(_trace(ax, run, panel, pattern))
    _fix_layout(figure)
    samples = evenly_spread(len(times_of(run)), MOST_FRAMES)

    def show(frame: int) -> list[Any]:
        for update in updates:
            update(int(samples[frame]))
        return []

    moving = FuncAnimation(figure, show, frames=len(samples), interval=round(1e3 / fps))
    if file is not None:
        _write(figure, show, len(samples), file, fps)
        figure.canvas.draw()  # an animation that was never drawn warns when it is let go
    return moving


def _checked_path(path: Path) -> Path:
    """Return the path of a file whose format can be written.

    Raises
    ------
    FileError
        Another suffix, or no ffmpeg.
    """
    from matplotlib.animation import writers

    if path.suffix not in SUFFIXES:
        raise FileError(f"path = {str(path)!r}; allowed: {', '.join(SUFFIXES)}; try 'run.gif'")
    if path.suffix == ".mp4" and not writers.is_available("ffmpeg"):
        raise FileError(f"path = {str(path)!r} needs ffmpeg; allowed here: .gif, .html")
    return path


def _fix_layout(figure: Figure) -> None:
    """Lay out the figure for all frames: nothing moves that is not data, and frames cost less."""
    import matplotlib as mpl

    figure.draw_without_rendering()
    with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # "none" would leave an engine, and each frame drawn twice


def _write(figure: Figure, show: Show, frames: int, path: Path, fps: float) -> None:
    """Write frames in the format of the suffix, at the resolution of the figure.

    `FuncAnimation.save` would draw each of them twice.
    """
    from matplotlib.animation import FFMpegWriter, HTMLWriter, PillowWriter

    writer: AbstractMovieWriter
    rate: Any = fps  # Matplotlib's types have whole numbers
    if path.suffix == ".html":
        writer = HTMLWriter(fps=rate, embed_frames=True, embed_limit=math.inf)  # drop no frame
    elif path.suffix == ".gif":
        writer = PillowWriter(fps=rate)
    else:
        writer = FFMpegWriter(fps=rate)
    with replacing(path) as new, writer.saving(figure, new, figure.dpi):
        for frame in range(frames):
            show(frame)
            writer.grab_frame()


def _chosen_panels(run: Run, panels: Iterable[str] | None) -> list[str]:
    """Return the panels: those that are asked for, or all that can be drawn.

    Raises
    ------
    DataError, ModelError
        None can be drawn; an unknown one.
    """
    recorded = recorded_names(run)
    if panels is not None:
        chosen = list(panels)
        for name in chosen:
            if name not in NEEDED:
                raise unknown("panel", name, NEEDED)
    else:
        chosen = [name for name, needed in NEEDED.items() if needed <= recorded]
        if "network" in chosen and not _is_whole(run):
            chosen.remove("network")
    if not chosen:
        raise DataError(
            f"panels = {chosen} of recorded {sorted(recorded)}; allowed: one or more of "
            f"{', '.join(NEEDED)}; try relax(..., record=('x', 'lam'))"
        )
    return chosen


def _is_whole(run: Run) -> bool:
    """Return whether lam of all units was recorded."""
    found = recorded_of(run, "lam")
    for name in run.network.neurons:
        size = run.network.populations[name].size
        if name not in found or found[name].shape[2] != size:
            return False
    return True


def _network(ax: Axes, run: Run, row: int) -> Update:
    """Draw the network; return the function that colours its units.

    Raises
    ------
    DataError
        lam of some units was not recorded.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import PathCollection
    from matplotlib.colors import Normalize

    recorded = recorded_of(run, "lam")
    if not _is_whole(run):
        raise DataError(
            f"lam of {sorted(recorded)} was recorded in part; allowed for the network: all units; "
            "try relax(..., record=('lam',)), or other panels"
        )
    lam = {name: recorded[name][:, row] for name in run.network.neurons}
    largest = max(largest_size(own) for own in lam.values())
    drawing = draw_network(ax, run.network, {name: own[-1] for name, own in lam.items()}, largest)
    reach = largest if largest >= LEAST_LAM else 1.0
    colormap = ScalarMappable(Normalize(-reach, reach), shades(SHADES))
    marks = [own for own in ax.collections if isinstance(own, PathCollection)]
    placed = dict(zip(drawing.units, marks, strict=True))

    def update(sample: int) -> None:
        for name, own in lam.items():
            index, _ = drawing.units[name]
            colors: Any = colormap.to_rgba(finite_or_nan(own[sample][index]))
            placed[name].set_facecolor(colors)

    return update


def _trace(ax: Axes, run: Run, variable: str, pattern: int | None) -> Update:
    """Draw traces; return the function that moves a line over them."""
    traces(run, variable, pattern=pattern, ax=ax)
    time = times_of(run)
    now = ax.axvline(time[0], color="black", linewidth=0.8)

    def update(sample: int) -> None:
        now.set_xdata([time[sample], time[sample]])

    return update


def _phase(ax: Axes, run: Run, unit: tuple[str, int] | None, pattern: int | None) -> Update:
    """Draw the plane of a unit; return the function that moves a point along its path."""
    recorded = recorded_of(run, "lam")
    if unit is None:
        name = next(name for name in run.network.neurons if name in recorded)
        unit = (name, int(recorded_units(run, name)[0]))
    phase_portrait(run, *unit, pattern=pattern, ax=ax)
    (path,) = [line for line in ax.get_lines() if line.get_gid() == PATH]
    x, lam = (np.asarray(own) for own in path.get_data())
    path.set_alpha(0.3)
    (behind,) = ax.plot([], [], color=path.get_color(), label="_")
    (head,) = ax.plot(x[:1], lam[:1], "o", color="black", markersize=5, zorder=6, label="_")
    moment = time_label(run).removeprefix("time (").removesuffix(")")
    time = times_of(run)

    def update(sample: int) -> None:
        head.set_data(x[sample : sample + 1], lam[sample : sample + 1])
        behind.set_data(x[: sample + 1], lam[: sample + 1])
        ax.set_title(f"{time[sample]:.3g} {moment}", loc="right")

    return update
