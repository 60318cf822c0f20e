"""neurosim: learning as a dynamical system, with neurons, multiplier units and synapses as ODEs.

Public names are loaded on first use, so that ``import neurosim`` stays quick and does not import
Brian2. CONTRIBUTING lists the subpackages ("rooms"). Modules that moved since 0.1.0 can still be
imported under their old names, which `_ALIASES` lists.

Networks
    Network, Population, Projection, Loss, Plasticity, Extension, to_nir, from_nir, prune,
    grow
Flows and simulations
    Flow, Simulation, State, Dense, Events, Spikes, Adaptive
Schedules of training
    Simultaneous, Presentations, LocalPropagation, Pruning, Growing
Imperfections
    Dale, Delay, Derivative, LostMessages, LowPass, MessageNoise, Prospective, Quantised,
    StateNoise, TimeConstants
Results
    Run, Log, save, load, synaptic_operations, SynapticOperations
Analysis
    alignment, Alignment, at_rest, kkt, Kkt, support_neurons, Support, SupportOverTraining,
    stability, Stability, critical_rho, continuation, Branch, Bifurcation, limit_cycle,
    attractors, Cycle, plausibility, Plausibility
Experiments
    sweep, tune, Tuned, explore, to_model, to_script
Estimators
    SaddleClassifier, SaddleRegressor
Errors and warnings
    NeurosimError, ModelError, DataError, BackendError, ConvergenceError, DivergenceError,
    FileError, StabilityWarning, UnsettledWarning, MeasureWarning
"""

import sys
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from neurosim.version import __version__ as __version__

if TYPE_CHECKING:
    from neurosim import plot, reference
    from neurosim.analysis.alignment import Alignment, alignment
    from neurosim.analysis.continuation import Bifurcation, Branch, continuation
    from neurosim.analysis.cycles import Cycle, attractors, limit_cycle
    from neurosim.analysis.plausibility import Plausibility, plausibility
    from neurosim.analysis.stability import Stability, critical_rho, stability
    from neurosim.analysis.support import (
        Kkt,
        Support,
        SupportOverTraining,
        at_rest,
        kkt,
        support_neurons,
    )
    from neurosim.errors import (
        BackendError,
        ConvergenceError,
        DataError,
        DivergenceError,
        FileError,
        MeasureWarning,
        ModelError,
        NeurosimError,
        StabilityWarning,
        UnsettledWarning,
    )
    from neurosim.estimators import SaddleClassifier, SaddleRegressor
    from neurosim.experiments.live_files import to_model, to_script
    from neurosim.experiments.sweep import sweep
    from neurosim.experiments.tuning import Tuned, tune
    from neurosim.explorer.explorer import explore
    from neurosim.model import rules, sites
    from neurosim.model.extension import Extension
    from neurosim.model.flow import Flow
    from neurosim.model.imperfections import (
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
    from neurosim.model.network import Network
    from neurosim.model.plasticity import Plasticity
    from neurosim.model.populations import Loss, Population, Projection
    from neurosim.model.schedules import (
        Growing,
        LocalPropagation,
        Presentations,
        Pruning,
        Simultaneous,
    )
    from neurosim.model.state import State
    from neurosim.model.transport import Adaptive, Dense, Events, Spikes
    from neurosim.nir import from_nir, to_nir
    from neurosim.reference import rivals
    from neurosim.results.files import load, save
    from neurosim.results.operations import SynapticOperations, synaptic_operations
    from neurosim.results.runs import Log, Run
    from neurosim.simulation.simulation import Simulation
    from neurosim.simulation.surgery import grow, prune

# module: public names that it defines
_HOMES = {
    "neurosim.analysis.alignment": ("Alignment", "alignment"),
    "neurosim.analysis.continuation": ("Bifurcation", "Branch", "continuation"),
    "neurosim.analysis.cycles": ("Cycle", "attractors", "limit_cycle"),
    "neurosim.analysis.plausibility": ("Plausibility", "plausibility"),
    "neurosim.analysis.stability": ("Stability", "critical_rho", "stability"),
    "neurosim.analysis.support": (
        "Kkt",
        "Support",
        "SupportOverTraining",
        "at_rest",
        "kkt",
        "support_neurons",
    ),
    "neurosim.errors": (
        "BackendError",
        "ConvergenceError",
        "DataError",
        "DivergenceError",
        "FileError",
        "MeasureWarning",
        "ModelError",
        "NeurosimError",
        "StabilityWarning",
        "UnsettledWarning",
    ),
    "neurosim.estimators": ("SaddleClassifier", "SaddleRegressor"),
    "neurosim.experiments.live_files": ("to_model", "to_script"),
    "neurosim.experiments.sweep": ("sweep",),
    "neurosim.experiments.tuning": ("Tuned", "tune"),
    "neurosim.explorer.explorer": ("explore",),
    "neurosim.model.extension": ("Extension",),
    "neurosim.model.flow": ("Flow",),
    "neurosim.model.imperfections": (
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
    "neurosim.model.network": ("Network",),
    "neurosim.model.plasticity": ("Plasticity",),
    "neurosim.model.populations": ("Loss", "Population", "Projection"),
    "neurosim.model.schedules": (
        "Growing",
        "LocalPropagation",
        "Presentations",
        "Pruning",
        "Simultaneous",
    ),
    "neurosim.model.state": ("State",),
    "neurosim.model.transport": ("Adaptive", "Dense", "Events", "Spikes"),
    "neurosim.nir": ("from_nir", "to_nir"),
    "neurosim.results.files": ("load", "save"),
    "neurosim.results.operations": ("SynapticOperations", "synaptic_operations"),
    "neurosim.results.runs": ("Log", "Run"),
    "neurosim.simulation.simulation": ("Simulation",),
    "neurosim.simulation.surgery": ("grow", "prune"),
}
_HOME: dict[str, str] = {}
for _module, _names in _HOMES.items():
    _HOME |= dict.fromkeys(_names, _module)
del _module, _names
# reachable as attributes
_MODULES = {
    "plot": "neurosim.plot",
    "reference": "neurosim.reference",
    "rules": "neurosim.model.rules",
    "sites": "neurosim.model.sites",
}
# name in 0.1.0: module
_ALIASES = {
    "neurosim.datasets": "neurosim.data.datasets",
    "neurosim.files": "neurosim.results.files",
    "neurosim.measures": "neurosim.experiments.measures",
    "neurosim.modelfile": "neurosim.experiments.modelfile",
    "neurosim.recording": "neurosim.results.recording",
    "neurosim.rivals": "neurosim.reference.rivals",
    "neurosim.streams": "neurosim.data.streams",
    "neurosim.studies": "neurosim.experiments.studies",
    "neurosim.studies.transport": "neurosim.experiments.studies.weight_transport",
    "neurosim.sweepstore": "neurosim.experiments.sweep_store",
    "neurosim.tasks": "neurosim.data.tasks",
}

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
    "MeasureWarning",
    "MessageNoise",
    "ModelError",
    "Network",
    "NeurosimError",
    "Plasticity",
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
    "explore",
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
    "rules",
    "save",
    "sites",
    "stability",
    "streams",
    "support_neurons",
    "sweep",
    "synaptic_operations",
    "tasks",
    "to_model",
    "to_nir",
    "to_script",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if f"neurosim.{name}" in _ALIASES:
        return import_module(f"neurosim.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'neurosim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _AliasLoader(Loader):
    """Load the module that an alias stands for."""

    def __init__(self, home: str) -> None:
        self.home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module under its present name."""
        module = import_module(self.home)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's spec, which the import system has replaced."""
        module.__spec__ = self.spec


class _AliasFinder:
    """Resolve an alias to the module itself instead of a second copy."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return a spec for a name in `_ALIASES` or a submodule of one; None for other names."""
        parent, _, child = name.rpartition(".")
        if name in _ALIASES:
            return ModuleSpec(name, _AliasLoader(_ALIASES[name]))
        if parent in _ALIASES:
            return ModuleSpec(name, _AliasLoader(f"{_ALIASES[parent]}.{child}"))
        return None


sys.meta_path.insert(0, _AliasFinder)  # before the finder that would load a copy
