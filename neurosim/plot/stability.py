"""Pictures of modes, of a saddle point over a parameter, and of cycles beyond its Hopf points.

Start at `spectrum` for one flow, at `bifurcation` for a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.analysis.continuation import Bifurcation, Branch
from neurosim.analysis.cycles import Cycle
from neurosim.analysis.stability import Stability
from neurosim.errors import out_of_range, unknown, whole
from neurosim.model.methods import EULER
from neurosim.plot.canvas import GREY
from neurosim.plot.legends import add_legend
from neurosim.plot.names import shortened_all, text_width
from neurosim.plot.page import (
    LINE_SPACING,
    PALETTE,
    Size,
    distinct_color,
    figure_of,
    given_axes,
    lay_out,
    line_height,
    room_at_left,
    size_in_points,
    styled,
    tick_font,
)
from neurosim.reference.spectrum import AMPLIFICATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

Array = np.ndarray

SHADE = 0.15  # opacity of a stability region
LEAST_BELOW = 60  # points, for names that are not level and a label below them
FINE = 300  # points per side on which a stability region is drawn
NAMES = {
    "flow.theta": "θ (rad)",
    "flow.rho": "ρ (1)",
    "flow.gamma": "γ (1)",
    "flow.kappa": "κ (1)",
    "flow.tau_x": "τx (s)",
    "flow.tau_lam": "τλ (s)",
    "network.gain": "gain of the weights (1)",
}
MARKS = {"cycle": "o", "irregular": "s", "unsettled": "^", "rest": "."}
BIFURCATIONS = {"hopf": ("Hopf point", PALETTE[1]), "fold": ("fold", PALETTE[2])}


@styled
def spectrum(
    spec: Stability,
    dt: float | None = None,
    method: str = EULER,
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw every mode in the complex plane, over the region in which an integrator is stable.

    A mode has the colour of the population with the largest share in it.

    Parameters
    ----------
    spec : Stability
    dt : float, optional
        Step whose stability region is shaded, s; by default the largest stable one, if any.
    method : {"euler", "heun", "rk4"}
        An integrator whose region depends on the eigenvalue alone.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        Another method, or a step that is not positive.
    """
    if method not in AMPLIFICATION:
        raise unknown("method", method, tuple(AMPLIFICATION))
    if dt is not None and not 0 < dt < np.inf:
        raise out_of_range("dt", dt, "a finite time > 0, in s", "1e-3")
    ax = given_axes(ax, figsize, (4.8, 3.6))
    step = spec.max_step[method] if dt is None else dt
    s = spec.eigenvalues
    main = np.argmax(list(spec.participation.values()), axis=0)
    for i, place in enumerate(spec.participation):
        own = s[main == i]
        if own.size:
            ax.plot(
                own.real,
                own.imag,
                ".",
                color=distinct_color(i, len(spec.participation)),
                markersize=5,
                label=place,
                zorder=3,
            )
    ax.axvline(0, color="black", linewidth=0.8, zorder=1)
    ax.margins(0.08)
    region = []
    if 0 < step < np.inf:
        region = [_shade_region(ax, method, step)]
    ax.set(xlabel="growth Re s (1/s)", ylabel="angular frequency Im s (1/s)")
    add_legend(ax, others=region)
    return ax


def _shade_region(ax: Axes, method: str, step: float) -> Patch:
    """Shade where |R(h s)| <= 1, in the window that the modes need; return its legend entry."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    left, right = ax.get_xlim()
    low, high = ax.get_ylim()
    high = max(high, 1.2 / step)
    low = min(low, -high)
    columns = np.linspace(left, right, FINE)
    rows = np.linspace(low, high, FINE)
    growth, frequency = np.meshgrid(columns, rows)
    s = growth + 1j * frequency
    amplification = np.polynomial.polynomial.polyval(step * s, AMPLIFICATION[method])
    excess = np.abs(amplification) - 1
    plane = growth, frequency, excess
    ax.contourf(*plane, levels=[-1, 0], colors=[PALETTE[0]], alpha=SHADE, zorder=0)
    ax.contour(*plane, levels=[0], colors=[PALETTE[0]], linewidths=0.8, zorder=1)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    name = f"{method}, dt = {1e3 * step:.3g} ms"
    return Patch(facecolor=to_rgba(PALETTE[0], SHADE), edgecolor=PALETTE[0], label=name)


@styled
def participation(
    spec: Stability, modes: int = 12, ax: Axes | None = None, *, figsize: Size | None = None
) -> Axes:
    """Draw where the slowest modes are: shares by population, one row per mode or conjugate pair.

    Parameters
    ----------
    spec : Stability
    modes : int
        Largest number of rows, slowest modes first.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        `modes` is not a whole number >= 1.
    """
    modes = whole("modes", modes, 1)
    ax = given_axes(ax, figsize, (4.8, 3.6))
    rows = np.flatnonzero(spec.eigenvalues.imag >= 0)[:modes]
    shares = np.array([own[rows] for own in spec.participation.values()]).T
    image = ax.imshow(shares, aspect="auto", cmap="cividis", vmin=0)
    ax.figure.colorbar(image, ax=ax, label="share of the mode (1)")
    for side in ax.spines.values():
        side.set_visible(False)
    _name_modes(ax, spec, rows)
    lay_out(ax)
    width, height = size_in_points(ax)
    names = list(spec.participation)
    apart = width / max(len(names), 1)
    angle: Any = {"rotation": 30, "ha": "right"}
    if 3 * line_height() > apart:
        angle = {"rotation": 90}
    every = int(np.ceil(line_height() / apart))
    short = shortened_all(names, 0.4 * height, tick_font(ax.xaxis))
    ax.set_xticks(range(0, len(names), every), short[::every], **angle)
    below = 72 * figure_of(ax).get_figheight() * ax.get_position().y0
    if figure_of(ax).get_layout_engine() is not None or below > LEAST_BELOW:
        ax.set_xlabel("population")  # the names say it where there is no room
    return ax


def _name_modes(ax: Axes, spec: Stability, rows: Array) -> None:
    """Write what each mode does beside its row, or its number where there is no room."""
    names = []
    for damping, frequency in zip(spec.damping[rows], spec.frequency[rows], strict=True):
        change = "decays" if damping >= 0 else "grows"
        names.append(f"{change} {abs(damping):.3g}/s, {frequency:.3g} Hz")
    ax.set_ylabel("mode")
    if max(text_width(name, tick_font(ax.yaxis)) for name in names) > room_at_left(ax, 1.0):
        names = [f"{place + 1}" for place in range(len(names))]
        ax.set_ylabel("mode (slowest first)")
    height = LINE_SPACING * tick_font(ax.yaxis)
    every = int(np.ceil(height * len(rows) / size_in_points(ax)[1]))
    ax.set_yticks(range(0, len(rows), every), names[::every])


@styled
def branch(
    found: Branch, modes: int = 8, ax: Axes | None = None, *, figsize: Size | None = None
) -> Axes:
    """Draw the damping of the slowest modes along a branch, with its bifurcations.

    Parameters
    ----------
    found : Branch
    modes : int
        Largest number of modes, slowest first.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Raises
    ------
    ModelError
        `modes` is not a whole number >= 1.
    """
    modes = whole("modes", modes, 1)
    ax = given_axes(ax, figsize)
    shared = min(len(values) for values in found.eigenvalues)
    look: Any = {"color": PALETTE[0], "linewidth": 1.4, "zorder": 3}
    labels = ["least stable mode", "next modes"]
    for i in range(min(modes, shared)):
        damping = [-values[i].real for values in found.eigenvalues]
        label = labels[i] if i < len(labels) else "_"
        ax.plot(found.parameter, damping, label=label, **look)
        look = {"color": GREY, "linewidth": 0.8, "zorder": 2}
    ax.axhline(0, color="black", linewidth=0.8)
    _mark(ax, found.bifurcations)
    ax.set(xlabel=_parameter_name(found), ylabel="decay −Re s (1/s), below 0 growth")
    add_legend(ax)
    return ax


@styled
def bifurcation(
    found: Branch,
    cycles: Sequence[Cycle] = (),
    ax: Axes | None = None,
    *,
    figsize: Size | None = None,
) -> Axes:
    """Draw the amplitude of the outputs on the attractors of a flow, over the parameter.

    The small cycle of the first Hopf point at which the saddle becomes unstable is drawn with the
    simulated ones. Where other modes grow already, the cycle of a Hopf point is not an attractor,
    and none is drawn.

    Parameters
    ----------
    found : Branch
    cycles : sequence of Cycle
        From `attractors` or `limit_cycle`; those that diverged are left out.
    ax : Axes, optional
        By default those of a new figure.
    figsize : (float, float), optional
        Size of the new figure, inches.
    """
    ax = given_axes(ax, figsize)
    _draw_saddle(ax, found)
    drawn = [cycle for cycle in cycles if np.isfinite(cycle.amplitude)]
    for kind, mark in MARKS.items():
        own = [cycle for cycle in drawn if cycle.kind == kind]
        if own:
            ax.plot(
                [cycle.parameter for cycle in own],
                [cycle.amplitude for cycle in own],
                mark,
                color=PALETTE[1],
                markersize=4.5,
                label=f"{kind}, simulated",
                zorder=3,
            )
    largest = max([cycle.amplitude for cycle in drawn], default=0.0)
    top = 1.15 * largest or None
    predicting = [point for point in found.hopf if not point.growing][:1]
    for point in predicting:
        _draw_predicted(ax, found, point, top)
    _mark(ax, predicting or found.bifurcations[:1])
    ax.set(xlabel=_parameter_name(found), ylabel="amplitude of the outputs (1)")
    ax.set_ylim(-0.03 * (top or 1.0), top)
    add_legend(ax)
    return ax


def _draw_saddle(ax: Axes, found: Branch) -> None:
    """Draw the saddle point at amplitude 0: a full line where it is stable, else a dashed one."""
    index = range(len(found.parameter))
    fine = np.linspace(0, len(found.parameter) - 1, 1000)
    values = np.interp(fine, index, found.parameter)
    rates = np.interp(fine, index, found.slowest_rate)
    stable = rates > 0
    lines = (
        ("saddle, stable", "-", stable),
        ("saddle, unstable", "--", ~stable),
    )
    for label, dashes, there in lines:
        if there.any():
            line = np.where(there, 0.0, np.nan)
            ax.plot(values, line, dashes, color="black", linewidth=1.6, label=label)


def _draw_predicted(ax: Axes, found: Branch, point: Bifurcation, top: float | None) -> None:
    """Draw the amplitude of the cycle that a Hopf point predicts, up to the top of the axes."""
    values = found.parameter
    away = np.geomspace(1e-6, 1.0, 1000) * np.ptp(values)
    near = np.concatenate([point.parameter - away[::-1], point.parameter + away])
    near = near[(near >= values.min()) & (near <= values.max())]
    amplitude = np.array([point.amplitude(value) for value in near])
    if top is not None:
        amplitude[amplitude > top] = np.nan
    dashes, label = ":", "unstable cycle"
    if point.criticality == "supercritical":
        dashes, label = "-", "cycle, predicted"
    ax.plot(near, amplitude, dashes, color=PALETTE[0], label=label, zorder=2)


def _mark(ax: Axes, points: Sequence[Bifurcation]) -> None:
    """Mark bifurcations by vertical lines, with one entry of the legend per kind."""
    for kind, (label, color) in BIFURCATIONS.items():
        own = [point.parameter for point in points if point.kind == kind]
        for parameter in own:
            ax.axvline(parameter, color=color, linewidth=0.8, linestyle=":", label=label, zorder=1)
            label = "_"


def _parameter_name(found: Branch) -> str:
    """Return symbol and unit of the parameter of a branch."""
    return NAMES.get(found.over, found.over)
