"""neurosim: learning as a dynamical system, with neurons, multiplier units and synapses as ODEs.

Public names are loaded when they are first used, so that ``import neurosim`` stays quick and imports no
Brian2.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurosim import plot, reference, rivals
    from neurosim.analysis.alignment import Alignment, alignment
    from neurosim.analysis.continuation import Bifurcation, Branch, continuation
    from neurosim.analysis.cycles import Cycle, attractors, limit_cycle
    from neurosim.analysis.plausibility import Plausibility, plausibility
    from neurosim.analysis.stability import Stability, critical_rho, stability
    from neurosim.analysis.support import Kkt, Support, SupportOverTraining, at_rest, kkt, support_neurons
    from neurosim.architecture import grow, prune
    from neurosim.engine.plan import Extension
    from neurosim.errors import (
        BackendError,
        ConvergenceError,
        DataError,
        DivergenceError,
        FileError,
        ModelError,
        NeurosimError,
        StabilityWarning,
        UnsettledWarning,
    )
    from neurosim.estimators import SaddleClassifier, SaddleRegressor
    from neurosim.files import load, save
    from neurosim.flow import Flow
    from neurosim.imperfections import (
        Dale,
        Delay,
        Derivative,
        LostMessages,
        LowPass,
        MessageNoise,
        Prospective,
        Quantised,
        StateNoise,
        TimeConstants,
    )
    from neurosim.interchange import from_nir, to_nir
    from neurosim.network import Network
    from neurosim.operations import SynapticOperations, synaptic_operations
    from neurosim.populations import Loss, Population, Projection
    from neurosim.results import Log, Run, State
    from neurosim.schedules import Growing, LocalPropagation, Presentations, Pruning, Simultaneous
    from neurosim.simulation import Simulation
    from neurosim.sweeps import sweep
    from neurosim.transport import Adaptive, Dense, Events, Spikes
    from neurosim.tuning import Tuned, tune

__version__ = "0.1.0"

_HOMES = {
    "neurosim.network": ("Network",),
    "neurosim.populations": ("Loss", "Population", "Projection"),
    "neurosim.flow": ("Flow",),
    "neurosim.architecture": ("grow", "prune"),
    "neurosim.simulation": ("Simulation",),
    "neurosim.schedules": ("Growing", "LocalPropagation", "Presentations", "Pruning", "Simultaneous"),
    "neurosim.engine.plan": ("Extension",),
    "neurosim.imperfections": (
        "Dale",
        "Delay",
        "Derivative",
        "LostMessages",
        "LowPass",
        "MessageNoise",
        "Prospective",
        "Quantised",
        "StateNoise",
        "TimeConstants",
    ),
    "neurosim.transport": ("Adaptive", "Dense", "Events", "Spikes"),
    "neurosim.operations": ("SynapticOperations", "synaptic_operations"),
    "neurosim.results": ("Log", "Run", "State"),
    "neurosim.files": ("load", "save"),
    "neurosim.estimators": ("SaddleClassifier", "SaddleRegressor"),
    "neurosim.interchange": ("from_nir", "to_nir"),
    "neurosim.sweeps": ("sweep",),
    "neurosim.tuning": ("Tuned", "tune"),
    "neurosim.analysis.alignment": ("Alignment", "alignment"),
    "neurosim.analysis.support": ("Kkt", "Support", "SupportOverTraining", "at_rest", "kkt", "support_neurons"),
    "neurosim.analysis.continuation": ("Bifurcation", "Branch", "continuation"),
    "neurosim.analysis.cycles": ("Cycle", "attractors", "limit_cycle"),
    "neurosim.analysis.plausibility": ("Plausibility", "plausibility"),
    "neurosim.analysis.stability": ("Stability", "critical_rho", "stability"),
    "neurosim.errors": (
        "BackendError",
        "ConvergenceError",
        "DataError",
        "DivergenceError",
        "FileError",
        "ModelError",
        "NeurosimError",
        "StabilityWarning",
        "UnsettledWarning",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("plot", "reference", "rivals", "streams", "tasks")

__all__ = [
    "Adaptive",
    "Alignment",
    "BackendError",
    "Bifurcation",
    "Branch",
    "ConvergenceError",
    "Cycle",
    "Dale",
    "DataError",
    "Delay",
    "Dense",
    "Derivative",
    "DivergenceError",
    "Events",
    "Extension",
    "FileError",
    "Flow",
    "Growing",
    "Kkt",
    "LocalPropagation",
    "Log",
    "Loss",
    "LostMessages",
    "LowPass",
    "MessageNoise",
    "ModelError",
    "Network",
    "NeurosimError",
    "Plausibility",
    "Population",
    "Presentations",
    "Projection",
    "Prospective",
    "Pruning",
    "Quantised",
    "Run",
    "SaddleClassifier",
    "SaddleRegressor",
    "Simulation",
    "Simultaneous",
    "Spikes",
    "Stability",
    "StabilityWarning",
    "State",
    "StateNoise",
    "Support",
    "SupportOverTraining",
    "SynapticOperations",
    "TimeConstants",
    "Tuned",
    "UnsettledWarning",
    "alignment",
    "at_rest",
    "attractors",
    "continuation",
    "critical_rho",
    "from_nir",
    "grow",
    "kkt",
    "limit_cycle",
    "load",
    "plausibility",
    "plot",
    "prune",
    "reference",
    "rivals",
    "save",
    "stability",
    "streams",
    "support_neurons",
    "sweep",
    "synaptic_operations",
    "tasks",
    "to_nir",
    "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"neurosim.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'neurosim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
