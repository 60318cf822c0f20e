"""Draw every kind of picture in every odd case, for a person to look at.

``python -m tests.evidence.pictures FOLDER`` writes one PNG per picture and contact sheets of each
kind; further arguments choose kinds. Cases are the default, axes of one's own, one column of a
page, 12 populations, long names, one sample and a run that diverged.
"""

from __future__ import annotations

import argparse
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

import neurosim as ns
from neurosim import plot
from tests.helpers.pictured import (
    CASES,
    TWELVE,
    Subject,
    branch,
    categories,
    graphs,
    points,
    relaxed,
    subject,
)

COLUMN, HIGH_COLUMN = (3.5, 2.6), (3.5, 7.5)  # inches
DPI = 100
Draw = Callable[..., Any]


def hidden(run: ns.Run) -> str:
    """Return the first population that is not clamped."""
    return run.network.neurons[0]


def second(drawn: Subject) -> str:
    """Return the projection onto the second layer of maps."""
    return list(drawn.on_sites.network.projections)[1]


def last_frame(drawn: Subject, **options: Any) -> Figure:
    """Return the last picture of an animation of a few samples."""
    assert drawn.run.traces is not None
    few = drawn.run.traces.isel(time=slice(None, None, 75))
    with TemporaryDirectory() as folder:
        plot.animate(replace(drawn.run, traces=few), Path(folder) / "run.gif", **options)
    return plt.gcf()


# kind: whether it takes axes, and how a subject is drawn
KINDS: dict[str, tuple[bool, Draw]] = {
    "network": (True, lambda s, **o: plot.network(s.run.network, s.run, **o)),
    "traces": (True, lambda s, **o: plot.traces(s.run, "x", **o)),
    "traces of one": (True, lambda s, **o: plot.traces(s.run, "lam", hidden(s.run), **o)),
    "traces of a training": (True, lambda s, **o: plot.traces(s.log.run, "x", **o)),
    "weights": (
        True,
        lambda s, **o: plot.weights(s.log.run, next(iter(s.log.run.network.projections)), **o),
    ),
    "phase_portrait": (True, lambda s, **o: plot.phase_portrait(s.run, hidden(s.run), **o)),
    "field": (
        True,
        lambda s, **o: plot.phase_portrait(s.run, hidden(s.run), field=True, **o),
    ),
    "units in one plane": (
        True,
        lambda s, **o: plot.phase_portrait(s.run, hidden(s.run), [0, 1, 2], **o),
    ),
    "parity": (True, lambda s, **o: plot.parity(s.run, **o)),
    "violation": (True, lambda s, **o: plot.violation(s.run, **o)),
    "agreement": (True, lambda s, **o: plot.agreement(s.run, **o)),
    "events": (True, lambda s, **o: plot.events(s.run, **o)),
    "operations": (True, lambda s, **o: plot.operations(s.run, **o)),
    "cost": (True, lambda s, **o: plot.cost(s.thresholds, **o)),
    "learning_curve": (True, lambda s, **o: plot.learning_curve(s.log, **o)),
    "accuracies": (True, lambda s, **o: plot.accuracies(s.log, **o)),
    "neurons": (True, lambda s, **o: plot.neurons(s.log, **o)),
    "operations_done": (True, lambda s, **o: plot.operations_done(s.log, **o)),
    "feedback_angles": (True, lambda s, **o: plot.feedback_angles(s.log, **o)),
    "spectrum": (True, lambda s, **o: plot.spectrum(s.spec, **o)),
    "participation": (True, lambda s, **o: plot.participation(s.spec, **o)),
    "branch": (True, lambda s, **o: plot.branch(branch()[0], **o)),
    "bifurcation": (True, lambda s, **o: plot.bifurcation(*branch(), **o)),
    "support_map": (
        True,
        lambda s, **o: plot.support_map(ns.support_neurons(s.tubes), hidden(s.tubes), **o),
    ),
    "multipliers": (True, lambda s, **o: plot.multipliers(ns.support_neurons(s.tubes), **o)),
    "conditions": (True, lambda s, **o: plot.conditions(s.tubes, hidden(s.tubes), **o)),
    "feature_maps": (True, lambda s, **o: plot.feature_maps(s.on_sites, **o)),
    "feature_maps of lam": (
        True,
        lambda s, **o: plot.feature_maps(s.on_sites, s.on_sites.network.neurons[1], "lam", **o),
    ),
    "kernels": (True, lambda s, **o: plot.kernels(s.on_sites.network, second(s), **o)),
    "kernels of an image": (
        True,
        lambda s, **o: plot.kernels(
            s.on_sites.network, next(iter(s.on_sites.network.projections)), **o
        ),
    ),
    "graph_nodes": (True, lambda s, **o: plot.graph_nodes(s.on_graph, feature=1, **o)),
    "summary": (False, lambda s, **o: plot.summary(s.run, **o)),
    "summary of a log": (False, lambda s, **o: plot.summary(s.log, **o)),
    "architecture": (False, lambda s, **o: plot.architecture(s.log, **o)),
    "quick": (True, lambda s, **o: plot.quick(s.run, **o)),
    "animate": (False, last_frame),
    "sweep": (False, lambda s, **o: plot.sweep(s.sweep, **o)),
    "before_and_after": (
        False,
        lambda s, **o: plot.before_and_after(s.run.network, s.run.network, **o),
    ),
    "events_over_traces": (False, lambda s, **o: plot.events_over_traces(s.run, **o)),
    "support_summary": (False, lambda s, **o: plot.support_summary(s.tubes, **o)),
    "plausibility": (False, lambda s, **o: plot.plausibility(s.cards, **o)),
    "phase_diagram": (False, lambda s, **o: plot.phase_diagram(s.sweep, **o)),
    "heat_map": (False, lambda s, **o: plot.heat_map(s.sweep, "growth", **o)),
    "lines": (True, lambda s, **o: plot.lines(s.sweep, "growth", **o)),
    "parallel_coordinates": (True, lambda s, **o: plot.parallel_coordinates(s.sweep, **o)),
    "sensitivity": (True, lambda s, **o: plot.sensitivity(s.sweep, "growth", **o)),
}
EXTRA: dict[str, Draw] = {
    "sweep of names": lambda: plot.sweep(categories()),
    "sweep of names, measure": lambda: plot.sweep(categories(), measure="accuracy"),
    "lines of names": lambda: plot.lines(categories(), "accuracy"),
    "lines over theta": lambda: plot.lines(subject("twelve").sweep, x="flow.theta"),
    "drawn points": lambda: plot.phase_diagram(points(subject("default").sweep)),
    "drawn points, heat": lambda: plot.heat_map(points(subject("default").sweep)),
    "parallel of points": lambda: plot.parallel_coordinates(points(subject("default").sweep)),
}
for _name, _net in graphs().items():
    EXTRA[f"network, {_name}"] = lambda net=_net: plot.network(net)
    if _name not in ("wide", "deep"):
        EXTRA[f"summary, {_name}"] = lambda net=_net: plot.summary(relaxed(net))


def cases_of(kind: str) -> dict[str, Callable[[], Any]]:
    """Return the cases of a kind of picture, by name."""
    takes_axes, draw = KINDS[kind]
    found: dict[str, Callable[[], Any]] = {}
    for case in CASES:
        found[case] = lambda case=case: draw(subject(case))
    if takes_axes:
        found["own axes"] = lambda: _beside(draw, subject("default"))
    for case in ("default", "twelve"):
        size = COLUMN if takes_axes else HIGH_COLUMN
        found[f"column, {case}"] = lambda case=case, size=size: draw(subject(case), figsize=size)
    return found


def _beside(draw: Draw, drawn: Subject) -> Figure:
    """Draw on the left of a figure made by plain Matplotlib, with a title."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3))
    figure.subplots_adjust(left=0.13, bottom=0.17, wspace=0.45)
    draw(drawn, ax=left)
    left.set_title("(a) title of the user")
    right.plot([0, 1])
    return figure


def as_figure(drawn: Any) -> Figure:
    """Return the figure of what a picture returned."""
    return drawn if isinstance(drawn, Figure) else drawn.figure


def written(folder: Path, kind: str, case: str, draw: Callable[[], Any]) -> Path | None:
    """Draw one case into the folder; print the error of one that cannot be drawn."""
    path = folder / f"{kind}--{case}.png".replace(" ", "_").replace(",", "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", ns.UnsettledWarning)
            warnings.filterwarnings("ignore", ".* deprecated")  # of Brian2's use of pyparsing
            as_figure(draw()).savefig(path, dpi=DPI)
    except ns.NeurosimError as error:
        print(f"{kind}, {case}: refused: {error}")
        return None
    except Exception:
        print(f"{kind}, {case}: {traceback.format_exc(limit=-3)}")
        return None
    finally:
        plt.close("all")
    return path


def sheet(paths: list[Path], path: Path, columns: int = 4) -> None:
    """Put pictures beside each other into one, each with its name."""
    rows = -(-len(paths) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.3 * rows), squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, picture in zip(grid.flat, paths, strict=False):
        ax.imshow(plt.imread(picture))
        ax.set_title(picture.stem, fontsize=7)
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw the kinds that are named, or all."""
    parser = argparse.ArgumentParser("python -m tests.evidence.pictures")
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)}, extra")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for kind in given.kinds:
        if kind not in {*KINDS, "extra"}:
            parser.error(f"kind {kind!r}; allowed: {', '.join(KINDS)}, extra")
    for kind in given.kinds or [*KINDS, "extra"]:
        cases = EXTRA if kind == "extra" else cases_of(kind)
        found = [written(given.folder, kind, case, draw) for case, draw in cases.items()]
        paths = [path for path in found if path is not None]
        if paths:
            sheet(paths, given.folder / f"sheet--{kind.replace(' ', '_')}.png")
    print(f"{len(KINDS)} kinds, {len(TWELVE)} populations at most, in {given.folder}")


if __name__ == "__main__":
    main()
