"""The picture that suits a result, whatever it is. Start at `quick`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurosim.analysis.continuation import Branch
from neurosim.analysis.plausibility import Plausibility
from neurosim.analysis.stability import Stability
from neurosim.analysis.support import Support
from neurosim.errors import ModelError, shown
from neurosim.model.network import Network
from neurosim.plot.architecture import neurons
from neurosim.plot.canvas import recorded_names, recorded_of
from neurosim.plot.feature_maps import feature_maps
from neurosim.plot.graph import network
from neurosim.plot.learning import learning_curve
from neurosim.plot.messages import events
from neurosim.plot.page import Size, styled
from neurosim.plot.plausibility import plausibility
from neurosim.plot.runs import parity, traces, violation
from neurosim.plot.stability import branch, spectrum
from neurosim.plot.support import support_map
from neurosim.plot.sweeps import sweep
from neurosim.plot.weights import weights
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def quick(result: Any, ax: Axes | None = None, *, figsize: Size | None = None) -> Any:
    """Draw a result as the one kind of picture that suits it.

    ============ ======================================================
    result       picture
    ============ ======================================================
    Run          events, else feature maps of recorded populations that
                 all lie on sites, else traces of what was recorded,
                 else parity
    Log          learning curve, else the number of neurons
    Network      network
    Stability    spectrum
    Branch       branch
    Support      support map of the first population
    Plausibility scorecard
    dataset      sweep, as `neurosim.plot.sweep` chooses
    ============ ======================================================

    Parameters
    ----------
    result : Run, Log, Network, Stability, Branch, Support, Plausibility or xarray.Dataset
    ax : Axes, optional
        By default those of a new figure; not for a sweep.
    figsize : (float, float), optional
        Size of the new figure, inches.

    Returns
    -------
    Axes or Figure
        As the function of that kind returns.

    Raises
    ------
    ModelError
        Nothing that can be drawn, or axes for a sweep.

    Examples
    --------
    >>> import neurosim as ns
    >>> net = ns.Network.mlp([2, 3, 1], loss="mse", seed=0)
    >>> sim = ns.Simulation(net, ns.Flow.augmented(), backend="numpy")
    >>> ax = quick(sim.relax([[1.0, 0.0]], [[1.0]], duration=0.1, record="lam"))
    >>> ax.get_ylabel()
    'multiplier λ (1)'
    """
    options: dict[str, Any] = {"ax": ax, "figsize": figsize}
    if isinstance(result, Run):
        return _of_run(result, options)
    if isinstance(result, Log):
        curve: Any = learning_curve if "loss" in result.history else neurons
        return curve(result, **options)
    if isinstance(result, Support):
        return support_map(result, next(iter(result)), **options)
    kinds: dict[type, Any] = {
        Network: network,
        Stability: spectrum,
        Branch: branch,
        Plausibility: plausibility,
    }
    for kind, draw in kinds.items():
        if isinstance(result, kind):
            return draw(result, **options)
    if not hasattr(result, "data_vars"):
        raise ModelError(
            f"result = {shown(result)}; allowed: Run, Log, Network, Stability, Branch, Support, "
            "Plausibility, or the dataset of a sweep"
        )
    if ax is not None:
        raise ModelError(
            f"ax = {shown(ax)} for a sweep, which makes its own figure; "
            "try neurosim.plot.lines(data, ax=ax)"
        )
    return sweep(result, figsize=figsize)


def _of_run(run: Run, options: dict[str, Any]) -> Axes:
    """Draw a run by what was recorded."""
    recorded = recorded_names(run)
    if recorded & {"events_x", "events_delta"}:
        return events(run, **options)
    for variable in ("x", "lam"):
        names = list(recorded_of(run, variable)) if variable in recorded else []
        axes = [len(run.network.populations[name].sites) for name in names]
        if names and all(count in (1, 2) for count in axes):
            return feature_maps(run, names[0], variable, **options)
    for variable in ("x", "lam", "delta", "a"):
        if variable in recorded:
            return traces(run, variable, **options)
    if "g" in recorded:
        return violation(run, **options)
    if "w" in recorded:
        return weights(run, next(iter(run.network.projections)), **options)
    return parity(run, **options)
