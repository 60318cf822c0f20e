"""What the command line says of a run: what it was, and how near its multipliers are to
backpropagation's.

Above `analysis`, `plot` and `modelfile`, below `cli`, which prints it. Start at `rows` and
`closing`.
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
from neurosim.analysis.support import at_rest, kkt, support_neurons
from neurosim.data.patterns import labels
from neurosim.disk import replacing
from neurosim.errors import ConvergenceError, DivergenceError, UnsettledWarning
from neurosim.model.network import Network
from neurosim.results import operations
from neurosim.results.metrics import accuracy, middle
from neurosim.results.runs import Log, Run

if TYPE_CHECKING:
    from neurosim.data.datasets import Data
    from neurosim.experiments.modelfile import ModelFile
    from neurosim.simulation.simulation import Simulation

COMPARED = 32  # patterns that are relaxed on to rest after training
GONE = 1e-9  # multipliers below this have no direction to compare


def last(result: Run | Log) -> Run:
    """The run, or that in which a training ended."""
    return result if isinstance(result, Run) else result.run


def rows(spec: ModelFile, data: Data, result: Run | Log, seconds: float) -> dict[str, str]:
    """What a run was and what came of it, by heading; `seconds` is the wall-clock time it took."""
    end = last(result)
    parts = _parts(result)
    simulated = float(parts["time"].values[-1]) if parts else end.time
    steps = round(simulated / end.settings["dt"]) if parts else end.steps
    flow = ", ".join(f"{k} = {_shown(k, v)}" for k, v in end.flow.as_dict().items())
    settings = end.settings
    return {
        "network": repr(end.network).removeprefix("Network(").removesuffix(")"),
        "flow": f"{spec.tables.flow.preset or 'own'}: {flow}",
        "data": str(data),
        "backend": f"{settings['backend']}: {settings['backend_reason']}",
        "steps": f"{steps} of {1e3 * settings['dt']:g} ms, {settings['method']}: "
        f"{simulated:g} s simulated",
        "time": f"{seconds:.2f} s, {1e6 * seconds / max(steps, 1):.1f} us a step, builds included",
        **operations.table(operations.synaptic_operations(end)),
        **({"hidden neurons": _tale(parts)} if parts else {}),
        **_performance(end.network, data),
    }


def closing(simulation: Simulation, result: Run | Log, folder: Path) -> str:
    """One line on the multipliers; where a tube is among the constraints, support goes into the
    folder, too.
    """
    kinds = {
        p.constraint for p in simulation.net.populations.values() if not (p.clamped or p.free)
    } or {"lin"}
    if kinds == {"lin"}:
        return _against_backpropagation(simulation, result)
    if kinds <= {"lin", "tube"}:
        return _support(simulation, result, folder)
    return f"constraint {', '.join(sorted(kinds))}: lam itself is not backpropagation's error, mu on average is"


def _parts(result: Run | Log) -> Any:
    """The history of a training that has changed the network's size, or nothing."""
    history = getattr(result, "history", {})
    return history if "neurons" in history and history["time"].size else {}


def _tale(history: Any) -> str:
    size, done = (history[name].values for name in ("neurons", "operations"))
    return f"{size[0]:.0f} to {size[-1]:.0f}; {done[-1]:.3g} operations a pattern until then, the last part's above"


def _shown(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(key, time)}" for name, time in value.items()) + "}"
    return f"{1e3 * value:g} ms" if key.startswith("tau") else f"{value:g}"


def _performance(net: Network, data: Data) -> dict[str, str]:
    """Loss, and accuracy where the targets are classes, of training and test patterns after a
    forward pass.
    """
    parts = {"training": (data.X, data.Y)} | ({"test": data.validation} if data.validation else {})
    losses, shares = [], []
    for name, (X, Y) in parts.items():
        try:
            outputs = reference.forward(net, X)
        except ConvergenceError:
            return {"loss": "none: the cyclic graph has no single fixed point"}
        losses.append(f"{reference.loss(net, outputs, Y):.3g} {name}")
        classes = labels(Y, net.populations[net.output].size)
        if classes is not None:
            shares.append(f"{100 * accuracy(outputs[net.output], classes, middle(Y)):.1f} % {name}")
    found = {"loss": ", ".join(losses)} if net.losses else {}
    return found | ({"accuracy": ", ".join(shares)} if shares else {})


def _support(simulation: Simulation, result: Run | Log, folder: Path) -> str:
    """Who is support at rest, and how exactly the conditions of a minimum hold; to support.nc and a
    picture, too.
    """
    try:
        run = at_rest(simulation, result)
    except DivergenceError as error:
        return f"support could not be read at rest with weights frozen: {error}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsettledWarning)  # the line itself says so
        found = support_neurons(run)
        figure = pictures.support_summary(run)
    with replacing(folder / "support.nc") as path:
        found.to_xarray().to_netcdf(path, engine="h5netcdf")
    with replacing(folder / "support.png") as path:
        figure.savefig(path, format="png", dpi=150)
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in found.shares().items())
    straw = ", ".join(
        f"{int((~ever).sum())} of {ever.size} in {name}"
        for name, ever in found.ever_support.items()
    )
    state = (
        "at rest"
        if found.settled
        else f"NOT at rest but moving by {found.speed:.1g} per time constant"
    )
    return (
        f"support with weights frozen, {state}: {shares}, "
        f"{100 * found.support_patterns.mean():.1f} % of the patterns "
        f"(|lam| > {found.tol:g}); never support: {straw}; conditions of a minimum "
        f"missed by {kkt(run).residual:.1e}."
    )


def _against_backpropagation(simulation: Simulation, result: Run | Log) -> str:
    """How far lam is from backpropagation, in one line."""
    end = last(result)
    try:
        if end is result:
            how, speed = "as it ended", rest.speed(end)
        else:
            settled = frozen(simulation, end, COMPARED)
            how, end, speed = (
                f"final weights frozen, relaxed on for {settled.time:.3g} s",
                settled.run,
                settled.speed,
            )
        truth = reference.backprop(end.network, end.X, end.Y)
        found = alignment(end, truth)
    except (ConvergenceError, DivergenceError) as error:
        return f"lam could not be compared with backpropagation: {error}"
    moving = "at rest" if speed <= REST else f"still moving by {speed:.1g} per time constant"
    count, size = (
        len(next(iter(end.lam.values()))),
        max(float(abs(lam).max()) for lam in truth.lam.values()),
    )
    scale = (
        f"cosine {found.worst:.6f} or more" if size > GONE else "the loss is gone, and lam with it"
    )
    return (
        f"lam is within {found.max_error:.1e} of backpropagation's, which is up to "
        f"{size:.1e} ({scale}): "
        f"{count} patterns, {how}, {moving}."
    )
