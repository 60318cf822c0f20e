"""Play back a saved run: the same page, without anything that could be changed.

Start at `open_run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.errors import FileError
from neurosim.explorer.opening import Opened
from neurosim.explorer.session import Command, Exploration
from neurosim.results.files import load
from neurosim.results.runs import Run

Array = np.ndarray
FRAMES = 300  # into which a run is divided


class RunView:
    """A saved run in place of a live simulation, up to a moment that moves."""

    def __init__(self, run: Run, path: Path) -> None:
        traces = run.traces
        if traces is None or "x" not in traces:
            raise FileError(
                f"{str(path)!r} has no recorded x to play back; try record=('x', 'lam') in "
                "Simulation.relax"
            )
        self.run_shown = run
        self.times = np.asarray(traces.time.values, dtype=float)
        self.values = {}
        for name in ("x", "lam", "events_x", "events_delta"):
            if name in traces:
                self.values[name] = np.asarray(traces[name].values, dtype=float)
        self.place = 0

    @property
    def steps(self) -> int:
        """Samples that are shown."""
        return self.place

    @property
    def time(self) -> float:
        """Time of the sample that is shown last, s."""
        return float(self.times[min(self.place, len(self.times) - 1)])

    def samples(self, since: float = -np.inf) -> tuple[Array, dict[str, Array]]:
        """Return the samples after a time (s), up to the present place."""
        shown = self.times[: self.place]
        chosen = shown >= since
        return shown[chosen], {n: v[: self.place][chosen] for n, v in self.values.items()}


class Playback(Exploration):
    """An `Exploration` of a saved run."""

    def __init__(self, run: Run, path: Path) -> None:
        self.view = RunView(run, path)
        steps = max(1, len(self.view.times) // FRAMES)
        opened = Opened(self.view, path.stem, str(path), steps)  # type: ignore[arg-type]
        super().__init__(opened)

    @property
    def can_change(self) -> bool:
        return False

    def describe(self) -> dict[str, Any]:
        run = self.view.run_shown
        traces = run.traces
        assert traces is not None
        populations = []
        for name in dict.fromkeys(traces.population.values.tolist()):
            size = int((traces.population.values == name).sum())
            populations.append(
                {"name": name, "size": size, "clamped": False, "free": False, "activation": ""}
            )
        return {
            "type": "model",
            "name": self.opened.name,
            "title": self.opened.title,
            "playback": True,
            "populations": populations,
            "projections": [],
            "neurons": [population["name"] for population in populations],
            "recorded": [population["name"] for population in populations],
            "rows": len(traces.pattern),
            "models": [],
            "tours": [],
            "presets": [],
            "tour": None,
            "steps": self.steps,
            "method": str(run.settings.get("method", "")),
            "events": "events_x" in self.view.values,
            **self.settings(),
        }

    def settings(self) -> dict[str, Any]:
        dt = float(self.view.run_shown.settings.get("dt", 0.0))
        return {
            "controls": [],
            "patterns": [0],
            "plastic": False,
            "held": {},
            "journal": [],
            "dt": dt,
        }

    def advance(self) -> None:
        if self.playing and self.view.place < len(self.view.times):
            self._last_run = self.steps
            self.view.place = min(self.view.place + self.steps, len(self.view.times))

    def commands(self) -> dict[str, Callable[[Command], dict[str, Any] | None]]:
        return {
            "play": self._play,
            "speed": self._speed,
            "step": self._forward,
            "reset": self._restart,
        }

    def netcdf(self) -> Run:
        return self.view.run_shown

    def _forward(self, command: Command) -> None:
        self.playing = False
        self.view.place = min(self.view.place + 1, len(self.view.times))

    def _restart(self, command: Mapping[str, Any]) -> dict[str, Any]:
        self.view.place = 0
        return self._anew()

    def _measures(self) -> dict[str, float]:
        return {}


def open_run(path: Path) -> Playback:
    """Open a ``run.nc`` or ``log.nc``.

    Raises
    ------
    FileError
        The file cannot be read, or has no recorded x.
    """
    found = load(path)
    return Playback(found if isinstance(found, Run) else found.run, path)
