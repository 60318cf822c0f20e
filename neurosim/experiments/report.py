"""Report a run on the command line: its settings, its cost, and how its multipliers compare with
backpropagation's.

Start at `rows` and `closing`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosim import plot as pictures
from neurosim import reference
from neurosim.analysis import rest
from neurosim.analysis.alignment import alignment
from neurosim.analysis.rest import REST, frozen
from neurosim.analysis.support import Support, at_rest, kkt, support_neurons
from neurosim.disk import replacing
from neurosim.errors import ConvergenceError, DivergenceError, ModelError, UnsettledWarning
from neurosim.experiments.output import save_figure
from neurosim.model.network import Network
from neurosim.results import operations
from neurosim.results.metrics import share_correct
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from neurosim.data.datasets import Data
    from neurosim.experiments.modelfile import ModelFile
    from neurosim.simulation.simulation import Simulation

COMPARED = 32  # patterns that are relaxed to rest after training
GONE = 1e-9  # multipliers below this have no direction to compare


def last(result: Run | Log) -> Run:
    """Return a run itself, or the last run of a training."""
    return result if isinstance(result, Run) else result.run


def rows(spec: ModelFile, data: Data, result: Run | Log, seconds: float) -> dict[str, str]:
    """Return the rows of a run's table by heading.

    Parameters
    ----------
    spec : ModelFile
    data : Data
    result : Run or Log
    seconds : float
        Wall-clock time of the run.
    """
    end = last(result)
    settings = end.settings
    history = _resizing_history(result)
    simulated = end.time
    steps = end.steps
    if history is not None:
        simulated = float(history["time"].values[-1])
        steps = round(simulated / settings["dt"])
    gains_and_times = []
    for key, value in end.flow.as_dict().items():
        gains_and_times.append(f"{key} = {_shown(key, value)}")
    dt = settings["dt"]
    preset = spec.tables.flow.preset or "no preset"
    step_time = seconds / max(steps, 1)
    found = {
        "network": repr(end.network).removeprefix("Network(").removesuffix(")"),
        "flow": f"{preset}: {', '.join(gains_and_times)}",
        "data": str(data),
        "backend": f"{settings['backend']}: {settings['backend_reason']}",
        "steps": f"{steps} of {1e3 * dt:g} ms, {settings['method']}: {simulated:g} s simulated",
        "time": f"{seconds:.2f} s, {1e6 * step_time:.1f} us per step, builds included",
    }
    found |= operations.table(operations.synaptic_operations(end))
    if history is not None:
        found["hidden neurons"] = _sizes(history)
    return found | _performance(end.network, data, learned=_learned(spec, result))


def _learned(spec: ModelFile, result: Run | Log) -> bool:
    """Return whether the weights moved, or were given in the model file."""
    if isinstance(result, Log) or result.settings.get("plastic", False):
        return True
    projections = spec.tables.network.projections or ()
    return any("weights" in table.given() for table in projections)


def _resizing_history(result: Run | Log) -> Any:
    """Return the history of a training that pruned or grew the network, else None."""
    history = getattr(result, "history", {})
    if "neurons" not in history or not history["time"].size:
        return None
    return history


def _sizes(history: Any) -> str:
    sizes = history["neurons"].values
    before = sizes[0]
    after = sizes[-1]
    done = history["operations"].values[-1]
    return (
        f"{before:.0f} to {after:.0f}; {done:.3g} operations per pattern in all, "
        "of which the rows above count those of the last part"
    )


def _shown(key: str, value: Any) -> str:
    """Return the text of a gain or a time, or of one per population."""
    if isinstance(value, dict):
        parts = [f"{population}: {_shown(key, time)}" for population, time in value.items()]
        return "{" + ", ".join(parts) + "}"
    if key.startswith("tau"):
        return f"{1e3 * value:g} ms"
    return f"{value:g}"


def _performance(net: Network, data: Data, *, learned: bool) -> dict[str, str]:
    """Return the loss after a forward pass, and the accuracy if the targets are classes.

    Weights that were drawn and did not move have learned nothing: they have no accuracy. Nor has a
    network without a loss, whose outputs are not compared with targets.
    """
    parts = {"training": (data.X, data.Y)}
    if data.validation:
        parts["test"] = data.validation
    losses, shares = [], []
    for name, (X, Y) in parts.items():
        try:
            outputs = reference.forward(net, X)
        except ConvergenceError:
            return {"loss": "none: the cyclic graph has no single fixed point"}
        losses.append(f"{reference.loss(net, outputs, Y):.3g} {name}")
        share = None
        if learned and net.losses:
            share = share_correct(net, outputs[net.output], Y)
        if share is not None:
            shares.append(f"{100 * share:.1f} % {name}")
    found = {}
    if net.losses:
        note = "" if learned else "; the weights are drawn and fixed"
        found["loss"] = ", ".join(losses) + note
    if shares:
        found["accuracy"] = ", ".join(shares)
    return found


def closing(simulation: Simulation, result: Run | Log, folder: Path) -> str:
    """Return one line that compares the multipliers with backpropagation's.

    With a tube among the constraints, the line describes the support neurons instead; they are also
    written to support.nc and support.png in the folder.
    """
    kinds = set()
    for population in simulation.net.populations.values():
        if not (population.clamped or population.free):
            kinds.add(population.constraint)
    if kinds <= {"lin"}:
        return _against_backpropagation(simulation, result)
    if kinds <= {"lin", "tube"}:
        return _support(simulation, result, folder)
    return (
        f"constraint {', '.join(sorted(kinds))}: "
        "backpropagation's error is mu on average, not lam itself"
    )


def _support(simulation: Simulation, result: Run | Log, folder: Path) -> str:
    """Describe the support neurons at rest; write them to support.nc and a picture."""
    try:
        run = at_rest(simulation, result)
    except DivergenceError as error:
        return f"no support neurons, as the flow diverges with weights frozen: {error}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsettledWarning)  # the returned line reports it
        found = support_neurons(run)
        figure = pictures.support_summary(run)
    with replacing(folder / "support.nc") as path:
        found.to_xarray().to_netcdf(path, engine="h5netcdf")
    save_figure(figure, [folder / "support.png"])
    return _support_line(found, kkt(run).residual)


def _support_line(found: Support, missed: float) -> str:
    """Describe support neurons; `missed` is the residual of the conditions of a minimum."""
    shares, straw = [], []
    for name, share in found.shares().items():
        shares.append(f"{name} {100 * share:.1f} %")
    for name, ever in found.ever_support.items():
        never = int((~ever).sum())
        straw.append(f"{never} of {ever.size} in {name}")
    state = "at rest"
    if not found.settled:
        state = f"NOT at rest but moving by {found.speed:.1g} per time constant"
    return (
        f"support with weights frozen, {state}: {', '.join(shares)}, "
        f"{100 * found.support_patterns.mean():.1f} % of the patterns "
        f"(|lam| > {found.tol:g}); never support: {', '.join(straw)}; "
        f"conditions of a minimum missed by {missed:.1e}."
    )


def _against_backpropagation(simulation: Simulation, result: Run | Log) -> str:
    """Describe how far lam is from backpropagation's."""
    end = last(result)
    if not end.network.losses:
        return "the network has no loss, so there is no error to propagate and lam is 0 at rest."
    try:
        if end is result:
            how = "at the end of the run"
            speed = rest.speed(end, simulation.extensions)
        else:
            settled = frozen(simulation, end, COMPARED)
            how = f"final weights frozen, relaxed for another {settled.time:.3g} s"
            end = settled.run
            speed = settled.speed
        truth = reference.backprop(end.network, end.X, end.Y)
        found = alignment(end, truth)
    except (ConvergenceError, DivergenceError, ModelError) as error:
        return f"lam could not be compared with backpropagation: {error}"
    moving = "at rest"
    if speed > REST:
        moving = f"still moving by {speed:.1g} per time constant"
    size = max(float(abs(lam).max()) for lam in truth.lam.values())
    scale = "the loss has vanished, and lam with it"
    if size > GONE:
        scale = f"cosine {found.worst:.6f} or more"
    count = len(next(iter(end.lam.values())))
    return (
        f"lam is within {found.max_error:.1e} of backpropagation's, which is up to {size:.1e} "
        f"({scale}): {count} patterns, {how}, {moving}."
    )
