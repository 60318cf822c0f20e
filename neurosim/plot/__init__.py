"""Pictures of results and networks: functions take results and axes, and return the axes.

Above `results`, `reference` and `analysis`. Axes name their units. Colours are Okabe and Ito's,
which the colour-blind can tell apart. Start at `summary`; `style` is the look that all share.
"""

from neurosim.plot.architecture import architecture, before_and_after, neurons, operations_done
from neurosim.plot.chosen import quick
from neurosim.plot.feature_maps import feature_maps, kernels
from neurosim.plot.feedback import feedback_angles
from neurosim.plot.graph import network
from neurosim.plot.learning import accuracies, learning_curve
from neurosim.plot.library import matplotlib as _  # noqa: F401
from neurosim.plot.messages import cost, events, events_over_traces, operations
from neurosim.plot.moving import animate
from neurosim.plot.overview import summary
from neurosim.plot.page import PALETTE, style
from neurosim.plot.phase import phase_portrait
from neurosim.plot.plausibility import plausibility
from neurosim.plot.runs import agreement, parity, traces, violation
from neurosim.plot.site_graph import graph_nodes
from neurosim.plot.stability import bifurcation, branch, participation, spectrum
from neurosim.plot.support import conditions, multipliers, support_map, support_summary
from neurosim.plot.sweeps import (
    heat_map,
    lines,
    parallel_coordinates,
    phase_diagram,
    sensitivity,
    sweep,
)
from neurosim.plot.weights import weights

__all__ = [
    "PALETTE",
    "accuracies",
    "agreement",
    "animate",
    "architecture",
    "before_and_after",
    "bifurcation",
    "branch",
    "conditions",
    "cost",
    "events",
    "events_over_traces",
    "feature_maps",
    "feedback_angles",
    "graph_nodes",
    "heat_map",
    "kernels",
    "learning_curve",
    "lines",
    "multipliers",
    "network",
    "neurons",
    "operations",
    "operations_done",
    "parallel_coordinates",
    "parity",
    "participation",
    "phase_diagram",
    "phase_portrait",
    "plausibility",
    "quick",
    "sensitivity",
    "spectrum",
    "style",
    "summary",
    "support_map",
    "support_summary",
    "sweep",
    "traces",
    "violation",
    "weights",
]
