"""Run a live simulation for the page, and do what the page asks for.

Above `controls`, `frames` and `measures`, below `server`. Nothing that the page sends is evaluated:
a command is a name among `COMMANDS`, its values go to methods of `Live`, which check them. Start at
`Exploration`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.errors import DivergenceError, ModelError, NeurosimError, unknown, whole
from neurosim.experiments import modelfile
from neurosim.experiments.live_files import to_model, to_script
from neurosim.explorer import measures
from neurosim.explorer.controls import controls_of
from neurosim.explorer.frames import packed
from neurosim.explorer.opening import Opened, open_model
from neurosim.explorer.tours import TOURS, described
from neurosim.model.flow import PRESETS, Flow
from neurosim.simulation.live import Live
from neurosim.simulation.live_numbers import THETA, different

Array = np.ndarray
Command = Mapping[str, Any]

LATER = "later"  # key of an answer: a function that completes it while the simulation goes on
MOST_STEPS = 100_000  # of one frame
FIRST_SAMPLES = 1000  # that a page gets when it connects
MEASURE_SHARE = 0.2  # of the time that measures may take
FIRST_MEASURE = 0.1  # s after the first frame, which does not wait for it
DRAWN_SYNAPSES = 2000  # up to which weights are sent to be drawn
LONGEST_FRAME = 0.2  # s of computing, after which a frame is cut short


def completed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with what takes long; an error in its place."""
    compute = answer.pop(LATER, None)
    if compute is None:
        return answer
    try:
        found: dict[str, Any] = compute()
    except (NeurosimError, ArithmeticError, ValueError) as error:
        return {"type": "error", "about": answer["type"], "text": str(error)}
    return answer | found


class Exploration:
    """One live simulation with a play button.

    Attributes
    ----------
    live : Live
    playing : bool
    steps : int
        Steps that a frame stands for, at most.
    epoch : int
        Changes where samples that a page has are no longer those of the simulation.
    version : int
        Changes with every command, so that pages know when controls may have changed.
    """

    def __init__(self, opened: Opened, *, playing: bool = True) -> None:
        self.playing, self.epoch, self.version = playing, 0, 0
        self.done: dict[str, Any] = {}  # by page: number of the last command that was done
        self._take(opened)

    def _take(self, opened: Opened) -> None:
        self.opened, self.live = opened, opened.live
        self.steps = opened.steps
        self.notice: dict[str, Any] | None = None
        self._measured: dict[str, float] = {}
        self._next_measure: float | None = None
        self._last_run = 0
        self.epoch += 1
        self.version += 1

    @property
    def can_change(self) -> bool:
        """Whether there is a simulation behind it, not a saved run."""
        return True

    def describe(self) -> dict[str, Any]:
        """Return everything about the model that a page needs to lay itself out."""
        live = self.live
        net = live.network
        populations = []
        for name, population in net.populations.items():
            populations.append(
                {
                    "name": name,
                    "size": population.size,
                    "clamped": population.clamped,
                    "free": population.free,
                    "activation": population.activation,
                }
            )
        return {
            "type": "model",
            "name": self.opened.name,
            "title": self.opened.title,
            "playback": not self.can_change,
            "populations": populations,
            "projections": self._projections(net),
            "neurons": list(net.neurons),
            "recorded": live.recorded,
            "rows": live.count,
            "models": sorted(modelfile.built_in()) if self.can_change else [],
            "tours": [described(name) for name in TOURS] if self.can_change else [],
            "presets": [name for name in PRESETS if name != "local_propagation"],
            "tour": self.opened.tour,
            "steps": self.steps,
            "method": live.simulation.method,
            "events": self.opened.has_events,
            **self.settings(),
        }

    def settings(self) -> dict[str, Any]:
        """Return everything that commands change."""
        live = self.live
        sim = live.simulation
        return {
            "controls": controls_of(live.numbers, sim),
            "patterns": list(live.patterns),
            "plastic": live.is_plastic,
            "held": live.held,
            "journal": [str(action) for action in live.journal[-200:]],
            "dt": live.dt,
        }

    def advance(self) -> None:
        """Run the steps of one frame if it plays; pause on a divergence."""
        if not self.playing or self.notice is not None:
            return
        began = perf_counter()
        left = self.steps
        try:
            while left:
                length = min(left, 200)
                self.live.run(length * self.live.dt)
                left -= length
                if perf_counter() - began > LONGEST_FRAME:
                    break
        except DivergenceError as error:
            self.playing = False
            self.notice = {"kind": "diverged", "text": str(error)}
        self._last_run = self.steps - left

    def frame(self, page: str, since: float, epoch: int) -> tuple[bytes, float]:
        """Return what one page has not seen yet, and the time (s) of its newest sample.

        Parameters
        ----------
        page : str
            Identity of the page.
        since : float, s
            Time of the newest sample that it has.
        epoch : int
            Epoch that the page knows.
        """
        fresh = epoch != self.epoch
        times, values = self._samples(-np.inf if fresh else np.nextafter(since, np.inf))
        times = times[-FIRST_SAMPLES:]
        shown = {name: rows[-FIRST_SAMPLES:, 0] for name, rows in values.items()}
        header = {
            "type": "frame",
            "t": self.live.time,
            "step": self.live.steps,
            "stands_for": self._last_run,
            "playing": self.playing,
            "epoch": self.epoch,
            "version": self.version,
            "done": self.done.get(page, 0),
            "notice": self.notice,
            "measures": self._measures(),
            "speed": self.steps,
        }
        newest = float(times[-1]) if len(times) else since
        return packed(header, times, shown), newest

    def do(self, page: str, command: Command) -> list[dict[str, Any]]:
        """Do what a page asks for, and return the answers; an error is one of them."""
        name = command.get("type")
        number = command.get("id", 0)
        try:
            if not isinstance(name, str) or name not in self.commands():
                raise unknown("command", name, self.commands())
            answer = self.commands()[name](command)
        except NeurosimError as error:
            if isinstance(error, DivergenceError):
                self.playing = False
                self.notice = {"kind": "diverged", "text": str(error)}
            return [{"type": "error", "about": command.get("key", name), "text": str(error)}]
        except (TypeError, ValueError, KeyError) as error:  # values of another kind than expected
            text = f"{name}: {type(error).__name__}: {error}"
            return [{"type": "error", "about": command.get("key", name), "text": text}]
        finally:
            if isinstance(number, int):
                self.done[page] = number
        return [] if answer is None else [answer]

    def commands(self) -> dict[str, Callable[[Command], dict[str, Any] | None]]:
        """Return the commands by name."""
        return {
            "play": self._play,
            "speed": self._speed,
            "step": self._step,
            "set": self._set,
            "preset": self._preset,
            "show": self._show,
            "kick": self._kick,
            "place": self._place,
            "clamp": self._clamp,
            "release": self._release,
            "plastic": self._plastic,
            "reset": self._reset,
            "rewind": self._rewind,
            "open": self._open,
            "restore": self._restore,
            "spectrum": self._spectrum,
            "field": self._field,
            "maps": self._maps,
            "weights": self._weights,
            "script": self._script,
            "model": self._model,
        }

    # --- commands

    def _play(self, command: Command) -> None:
        self.playing = bool(command.get("on", True)) and self.notice is None

    def _speed(self, command: Command) -> None:
        self.steps = whole("speed", command.get("steps"), 1, MOST_STEPS)

    def _step(self, command: Command) -> None:
        self.playing = False
        self._last_run = whole("steps", command.get("steps", 1), 1, MOST_STEPS)
        self.live.run(self._last_run * self.live.dt)

    def _set(self, command: Command) -> dict[str, Any]:
        self.live.set(command["key"], command["value"])
        return self._changed()

    def _preset(self, command: Command) -> dict[str, Any]:
        flow = Flow.from_preset(str(command.get("name")))
        wanted = {}
        for name in ("kappa", "gamma", "rho"):
            wanted[f"flow.{name}"] = float(getattr(flow, name))
        for key, value in different(self.live.numbers, wanted).items():
            self.live.set(key, value)
        return self._changed()

    def _show(self, command: Command) -> dict[str, Any]:
        self.live.show(command["pattern"])
        return self._changed()

    def _kick(self, command: Command) -> dict[str, Any]:
        x, lam = command.get("x", 0.0), command.get("lam", 0.0)
        self.live.kick(x, lam, command.get("units"))
        return self._changed()

    def _place(self, command: Command) -> dict[str, Any]:
        given = {}
        for variable in ("x", "lam"):
            chosen = command.get(variable) or {}
            given[variable] = {n: _by_index(units) for n, units in chosen.items()}
        self.live.place(**given)
        return self._changed()

    def _clamp(self, command: Command) -> dict[str, Any]:
        self.live.clamp(command["units"], command.get("x"), command.get("lam"))
        return self._changed()

    def _release(self, command: Command) -> dict[str, Any]:
        self.live.release(command.get("units"))
        return self._changed()

    def _plastic(self, command: Command) -> dict[str, Any]:
        self.live.plastic(command.get("on", True))
        return self._changed()

    def _reset(self, command: Command) -> dict[str, Any]:
        self.live.reset()
        return self._anew()

    def _rewind(self, command: Command) -> dict[str, Any]:
        seconds = command.get("seconds", 2.0)
        oldest = self.live.oldest
        self.live.rewind(min(float(seconds), self.live.time - oldest))
        return self._anew()

    def _open(self, command: Command) -> dict[str, Any]:
        tour = command.get("tour")
        if tour is not None:
            if tour not in TOURS:
                raise unknown("tour", tour, TOURS)
            opened = open_model(TOURS[tour].model, TOURS[tour].sets, tour=tour)
        else:
            name = command.get("model")
            if name not in modelfile.built_in():
                raise unknown("model", name, modelfile.built_in())
            opened = open_model(str(name))
        self._take(opened)
        self.playing = True
        return self.describe()

    def _restore(self, command: Command) -> dict[str, Any]:
        """Restore the settings of a link: the numbers that differ, the rows, plasticity."""
        numbers = command.get("numbers") or {}
        known = self.live.numbers
        given = {key: value for key, value in numbers.items() if key in known}
        # as in `different`; the keys of controls may stand for several others
        for key, value in sorted(given.items(), key=lambda item: item[1] == 0):
            if value != known[key] and key != THETA:
                self.live.set(key, value)
        patterns = command.get("patterns")
        if patterns is not None and list(patterns) != list(self.live.patterns):
            self.live.show(patterns)
        self.live.plastic(bool(command.get("plastic", self.live.is_plastic)))
        return self._changed()

    def _spectrum(self, command: Command) -> dict[str, Any]:
        return {"type": "spectrum", LATER: measures.spectrum(self.live)}

    def _field(self, command: Command) -> dict[str, Any]:
        return {"type": "field", **measures.field(self.live, command)}

    def _maps(self, command: Command) -> dict[str, Any]:
        return {"type": "maps", **measures.maps(self.live)}

    def _weights(self, command: Command) -> dict[str, Any]:
        return {"type": "weights", "projections": self._projections(self.live.network)}

    def _script(self, command: Command) -> dict[str, Any]:
        return {"type": "script", "text": to_script(self.live)}

    def _model(self, command: Command) -> dict[str, Any]:
        return {"type": "model_file", "text": to_model(self.live, data=self.opened.data)}

    # --- shared by these

    def netcdf(self) -> ns.Run:
        """Return the present state and the kept samples, to save."""
        return self.live.as_run()

    def _changed(self) -> dict[str, Any]:
        """Return the settings after a command."""
        self.version += 1
        return {"type": "settings", "version": self.version, **self.settings()}

    def _anew(self) -> dict[str, Any]:
        """Let the pages forget their samples."""
        self.notice = None
        self.epoch += 1
        self._measured = {}
        return self._changed()

    def _samples(self, since: float) -> tuple[Array, dict[str, Array]]:
        return self.live.samples(since)

    def _measures(self) -> dict[str, float]:
        """Return the measures at the present state, unless they would slow the run down."""
        now = perf_counter()
        if self._next_measure is None:
            self._next_measure = now + FIRST_MEASURE
        elif now >= self._next_measure:
            self._measured = measures.measures(self.live)
            if self.opened.has_events:
                self._measured |= _operations(self.live)
            taken = perf_counter() - now
            self._next_measure = now + taken / MEASURE_SHARE
        return self._measured

    @staticmethod
    def _projections(net: ns.Network) -> list[dict[str, Any]]:
        """Return the projections, with their weights where these are few."""
        count = sum(int(w.size) for w in net.weights.values())
        found = []
        for name, q in net.projections.items():
            row: dict[str, Any] = {"pre": q.pre, "post": q.post}
            if count <= DRAWN_SYNAPSES:
                w = net.weights[name]
                row["weights"] = (w if isinstance(w, np.ndarray) else w.toarray()).tolist()
            found.append(row)
        return found


def _by_index(units: Mapping[Any, Any]) -> dict[int, Any]:
    """Return values by unit; JSON has text for keys."""
    found = {}
    for unit, value in units.items():
        if not str(unit).isdecimal():
            raise ModelError(f"unit = {unit!r}; allowed: a whole number")
        found[int(unit)] = value
    return found


def _operations(live: Live) -> dict[str, float]:
    """Return synaptic operations per second so far, dense and by events, 1/s."""
    time = max(live.time, live.dt)
    cost = ns.synaptic_operations(live.as_plain_run())
    return {"dense_operations": cost.dense / time, "operations": cost.effective / time}
