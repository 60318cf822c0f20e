"""Modes in the complex plane and where they live; a saddle point over a parameter, and what is past
its Hopf points.

Start at `spectrum` for one flow, at `bifurcation` for a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neurosim.analysis.continuation import Bifurcation, Branch
from neurosim.analysis.cycles import Cycle
from neurosim.analysis.stability import Stability
from neurosim.errors import out_of_range, unknown
from neurosim.plot.canvas import GREY, add_legend, given_axes, styled
from neurosim.plot.drawing import PALETTE
from neurosim.reference.spectrum import AMPLIFICATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray

FINE = 300  # points a side on which a stability region is drawn
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


@styled
def spectrum(
    spec: Stability, dt: float | None = None, method: str = "euler", ax: Axes | None = None
) -> Axes:
    """Every mode in the complex plane, over the region in which steps of an integrator hold.

    A mode has the colour of the population in which most of it lives.

    Parameters
    ----------
    spec : Stability
    dt : float, optional
        Step whose region is shaded, s; by default the largest that holds, if there is one.
    method : {"euler", "heun", "rk4"}
        Whose region is a matter of the eigenvalue alone.
    ax : Axes, optional

    Raises
    ------
    ModelError
        Another method; a step that is not positive.
    """
    if method not in AMPLIFICATION:
        raise unknown("method", method, tuple(AMPLIFICATION))
    if dt is not None and not 0 < dt < np.inf:
        raise out_of_range("dt", dt, "a finite time > 0, in s")
    ax = given_axes(ax, (4.8, 3.6))
    step = spec.max_step[method] if dt is None else dt
    s = spec.eigenvalues
    main = np.array(
        [max(spec.participation, key=lambda p: spec.participation[p][i]) for i in range(len(s))]
    )
    for color, place in zip(_colors(len(spec.participation)), spec.participation, strict=True):
        if (own := main == place).any():
            ax.plot(s[own].real, s[own].imag, ".", color=color, markersize=5, label=place, zorder=3)
    ax.axvline(0, color="black", linewidth=0.8, zorder=1)
    ax.margins(0.08)
    if 0 < step < np.inf:
        _shade_region(ax, method, step)
    ax.set(xlabel="growth Re s (1/s)", ylabel="angular frequency Im s (1/s)")
    add_legend(ax)
    return ax


def _shade_region(ax: Axes, method: str, step: float) -> None:
    """Where |R(h s)| <= 1, in the window that the modes need."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    high = max(high, 1.2 / step)
    low = min(low, -high)
    s = np.linspace(left, right, FINE)[None, :] + 1j * np.linspace(low, high, FINE)[:, None]
    excess = np.abs(np.polynomial.polynomial.polyval(step * s, AMPLIFICATION[method])) - 1
    ax.contourf(s.real, s.imag, excess, levels=[-1, 0], colors=[PALETTE[0]], alpha=0.15, zorder=0)
    ax.contour(s.real, s.imag, excess, levels=[0], colors=[PALETTE[0]], linewidths=0.8, zorder=1)
    ax.set(xlim=(left, right), ylim=(low, high))
    name = f"{method}, dt = {1e3 * step:.3g} ms"
    ax.fill_between([left], [0.0], [0.0], color=PALETTE[0], alpha=0.25, label=name)


@styled
def participation(spec: Stability, modes: int = 12, ax: Axes | None = None) -> Axes:
    """Where the slowest modes live: shares by population, one row a mode or conjugate pair.

    Parameters
    ----------
    spec : Stability
    modes : int
        At most so many rows.
    ax : Axes, optional
    """
    if modes < 1:
        raise out_of_range("modes", modes, "a whole number >= 1")
    ax = given_axes(ax, (4.8, 3.6))
    rows = np.flatnonzero(spec.eigenvalues.imag >= 0)[:modes]
    shares = np.array([spec.participation[place][rows] for place in spec.participation]).T
    image = ax.imshow(shares, aspect="auto", cmap="cividis", vmin=0)
    ax.set_xticks(range(shares.shape[1]), list(spec.participation), rotation=30, ha="right")
    ax.set_yticks(
        range(len(rows)), [f"{spec.damping[i]:.3g}/s, {spec.frequency[i]:.3g} Hz" for i in rows]
    )
    ax.set(xlabel="population", ylabel="damping and frequency of the mode")
    for side in ax.spines.values():
        side.set_visible(False)
    ax.figure.colorbar(image, ax=ax, label="share of the mode (1)")
    return ax


@styled
def branch(found: Branch, modes: int = 8, ax: Axes | None = None) -> Axes:
    """Damping of the slowest modes along a branch, with what happens on the way.

    Parameters
    ----------
    found : Branch
    modes : int
        At most so many, slowest first.
    ax : Axes, optional
    """
    if modes < 1:
        raise out_of_range("modes", modes, "a whole number >= 1")
    ax = given_axes(ax)
    for i in range(min(modes, *(len(values) for values in found.eigenvalues))):
        damping = [-values[i].real for values in found.eigenvalues]
        label = "slowest mode" if i == 0 else "next modes"
        ax.plot(
            found.parameter,
            damping,
            color=PALETTE[0] if i == 0 else GREY,
            linewidth=1.4 - 0.6 * (i > 0),
            label=label if i < 2 else "_",
            zorder=3 - (i > 0),
        )
    ax.axhline(0, color="black", linewidth=0.8)
    _mark(ax, found.bifurcations)
    ax.set(xlabel=_name(found), ylabel="damping −Re s (1/s)")
    add_legend(ax)
    return ax


@styled
def bifurcation(found: Branch, cycles: Sequence[Cycle] = (), ax: Axes | None = None) -> Axes:
    """How far the outputs swing where the flow ends, over the parameter; predicted small cycles
    beside the simulated.

    Parameters
    ----------
    found : Branch
    cycles : sequence of Cycle
        From `attractors` or `limit_cycle`; what diverged is left out.
    ax : Axes, optional
    """
    ax = given_axes(ax)
    way = np.linspace(0, len(found.parameter) - 1, 1000)
    values, rates = (
        np.interp(way, range(len(v)), v) for v in (found.parameter, found.slowest_rate)
    )
    for stable, style, label in ((True, "-", "saddle, stable"), (False, "--", "saddle, unstable")):
        line = np.where((rates > 0) == stable, 0.0, np.nan)
        if not np.isnan(line).all():
            ax.plot(values, line, style, color="black", linewidth=1.6, label=label)
    drawn = [c for c in cycles if np.isfinite(c.amplitude)]
    for kind, mark in MARKS.items():
        if own := [c for c in drawn if c.kind == kind]:
            ax.plot(
                [c.parameter for c in own],
                [c.amplitude for c in own],
                mark,
                color=PALETTE[1],
                markersize=4.5,
                label=f"{kind}, simulated",
                zorder=3,
            )
    top = 1.15 * max([c.amplitude for c in drawn], default=0.0) or None
    near = np.linspace(found.parameter.min(), found.parameter.max(), 1000)
    for point in found.hopf[:1]:
        amplitude = np.array([point.amplitude(p) for p in near])
        if top is not None:
            amplitude[amplitude > top] = np.nan
        style, label = (
            ("-", "cycle, predicted")
            if point.criticality == "supercritical"
            else (":", "unstable cycle")
        )
        ax.plot(near, amplitude, style, color=PALETTE[0], label=label, zorder=2)
    _mark(ax, found.bifurcations[:1])
    ax.set(
        xlabel=_name(found), ylabel="amplitude of the outputs (1)", ylim=(-0.03 * (top or 1.0), top)
    )
    add_legend(ax)
    return ax


def _mark(ax: Axes, points: Sequence[Bifurcation]) -> None:
    for i, kind in enumerate(("hopf", "fold")):
        for j, point in enumerate(p for p in points if p.kind == kind):
            name = {"hopf": "Hopf point", "fold": "fold"}[kind]
            ax.axvline(
                point.parameter,
                color=PALETTE[1 + i],
                linewidth=0.8,
                linestyle=":",
                label=name if j == 0 else "_",
                zorder=1,
            )


def _name(found: Branch) -> str:
    return NAMES.get(found.over, found.over)


def _colors(count: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(count)]
