"""Open a model for the page: how many patterns, how many steps a frame, what is recorded.

Below `session`. Start at `open_model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neurosim.experiments import modelfile
from neurosim.experiments.live_files import open_live
from neurosim.experiments.modelfile import ModelFile
from neurosim.model.state import State
from neurosim.model.transport import Dense
from neurosim.simulation.live import Live
from neurosim.simulation.simulation import Simulation

FRAMES = 30  # a second, roughly
SLOWED = 0.5  # simulated seconds per second of watching, in units of 20 tau_x
FEW = 16  # patterns that are simulated together where weights learn


@dataclass(frozen=True)
class Opened:
    """A live simulation, and how the page shows it.

    Attributes
    ----------
    live : Live
    name, title : str
    steps : int
        Steps per frame at first.
    has_events : bool
    tour : str or None
        The guided tour that opened it.
    data : str or None
        The name of the data where there is no model file, for a saved one.
    """

    live: Live
    name: str
    title: str
    steps: int
    has_events: bool = False
    tour: str | None = None
    data: str | None = None


def open_model(
    source: str | ModelFile,
    sets: Mapping[str, Any] | None = None,
    *,
    tour: str | None = None,
    overrides: Sequence[str] = (),
) -> Opened:
    """Open a model file, or a built-in one by name.

    One pattern is simulated, or all of them where the model trains on a few at once.

    Parameters
    ----------
    source : str or ModelFile
    sets : {key: value}, optional
        Keys of the model file with other values.
    tour : str, optional
    overrides : sequence of str
        As in `modelfile.load`.
    """
    spec = source if isinstance(source, ModelFile) else modelfile.load(source, overrides)
    if sets:
        spec = spec.changed(dict(sets))
    data = spec.data()
    trains = spec.tables.train is not None and len(data.X) <= FEW
    patterns = list(range(len(data.X))) if trains else [0]
    options: dict[str, Any] = {"patterns": patterns, "record": _recorded(spec.simulation())}
    start = spec.start(spec.network(), data)
    if start is not None:
        options["start"] = _of_rows(start, patterns)
    live = open_live(spec, **options)
    return _opened(live, spec.name, spec.comment or spec.name, tour)


def open_simulation(sim: Simulation, X: Any, Y: Any, **options: Any) -> Opened:
    """Open a simulation on arrays; `options` are those of `Simulation.live`."""
    options.setdefault("patterns", [0])
    options.setdefault("record", _recorded(sim))
    return _opened(sim.live(X, Y, **options), "model", repr(sim.net), None)


def _opened(live: Live, name: str, title: str, tour: str | None) -> Opened:
    sim = live.simulation
    slowest = max(sim.flow.time("tau_x", n) for n in sim.net.neurons)
    # 20 tau_x pass in 2 s of watching
    steps = max(1, round(20 * slowest * SLOWED / FRAMES / live.dt))
    return Opened(live, name, title, steps, _has_events(sim), tour, "own.csv")


def _recorded(sim: Simulation) -> tuple[str, ...]:
    """Return what the page draws: outputs, multipliers, and the events of units that send them."""
    if _has_events(sim):
        return ("x", "lam", "events_x", "events_delta")
    return ("x", "lam")


def _has_events(sim: Simulation) -> bool:
    return any(not isinstance(rule, Dense) for rule in sim.transports.values())


def _of_rows(state: State, rows: list[int]) -> State:
    x = {n: values[rows] for n, values in state.x.items()}
    lam = {n: values[rows] for n, values in state.lam.items()}
    return State(x, lam)
