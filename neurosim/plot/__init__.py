"""Pictures of results and networks: every function takes results and axes, and returns the axes.

Above `results` and `reference`. Axes name their units; colours are Okabe and Ito's, which the colour-blind
tell apart. Start at `summary`; `style` is the look that all share.
"""

from neurosim.plot.canvas import style
from neurosim.plot.drawing import PALETTE
from neurosim.plot.graph import network
from neurosim.plot.learning import learning_curve
from neurosim.plot.messages import cost, events, operations
from neurosim.plot.overview import summary
from neurosim.plot.runs import agreement, phase_portrait, traces, violation, weights
from neurosim.plot.stability import bifurcation, branch, participation, spectrum

__all__ = [
    "PALETTE",
    "agreement",
    "bifurcation",
    "branch",
    "cost",
    "events",
    "learning_curve",
    "network",
    "operations",
    "participation",
    "phase_portrait",
    "spectrum",
    "style",
    "summary",
    "traces",
    "violation",
    "weights",
]
