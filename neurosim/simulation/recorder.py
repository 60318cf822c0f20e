"""Record variables of a run: choose populations, lay out samples, and build the traces.

Above `results.recording`, below `session`. A sample of a variable is one row of numbers; the engine
collects the rows in memory, or writes them to a store while the run goes on. Start at `Recorder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.engine.plan import Plan, Recorded
from neurosim.errors import ModelError, unknown, warn
from neurosim.model.rule_text import WEIGHT
from neurosim.results import capacity
from neurosim.results import recording as store
from neurosim.results.format import current_name
from neurosim.results.runs import Run
from neurosim.results.traces import RESERVED, build_traces, projections_of
from neurosim.results.zarr import rows_per_chunk
from neurosim.simulation.options import Recording, Setting

if TYPE_CHECKING:
    from neurosim.engine.engine import Engine

Array = np.ndarray
IN_MEMORY = 1024  # largest number of samples that a compiled program collects before writing


class Recorder:
    """Lay out what a run records, and build its traces.

    Parameters
    ----------
    setting : Setting
    recording : Recording
    plan : Plan
        Plan of the engine, without recorded variables.
    steps : int
        Largest number of steps of the run.

    Attributes
    ----------
    recorded : tuple of Recorded
        The layout, as the engine reads it.
    earlier : list of array, (samples, entries)
        Rows from before a checkpoint, one array per recorded variable; empty without one.

    Raises
    ------
    ModelError
        A variable or a pattern that does not exist, or a recording that would fill the memory or
        the disk.
    DataError
        A unit that does not exist.
    FileError
        A stream that cannot be written.
    """

    def __init__(self, setting: Setting, recording: Recording, plan: Plan, steps: int) -> None:
        self.net, self.flow, self.recording, self.plan = plan.net, setting.flow, recording, plan
        self.earlier: list[Array] = []
        self.recorded: tuple[Recorded, ...] = ()
        self._store: store.Store | None = None
        self._synaptic: dict[str, list[str]] = {}
        if not recording.variables:
            return
        wrong = [p for p in recording.patterns if not 0 <= p < plan.patterns]
        if wrong:
            raise ModelError(
                f"patterns = {wrong[0]!r}; allowed: 0 to {plan.patterns - 1}, "
                "those simulated at once"
            )
        variables, self._synaptic = self._variables()
        chosen = recording.patterns, recording.units
        sizes, layout = store.layout(
            self.net, variables, *chosen, self._synaptic, recording.synapses
        )
        capacity.check_recording(
            sum(sizes.values()),
            len(sizes),
            steps,
            recording.every,
            plan.dt,
            stream=recording.stream,
            compiled=setting.backend == "standalone",
        )
        if recording.stream is None:
            self.recorded = self._in_memory(sizes, layout)
            return
        self._store = store.Store(
            recording.stream,
            self.net,
            self.flow,
            setting.described,
            self._times(-(-steps // recording.every)),
            variables,
            pattern=recording.patterns,
            units=recording.units,
            synaptic=self._synaptic,
            synapses=recording.synapses,
            dtype=plan.precision,
        )
        self.recorded = _in_store(self._store)

    @contextmanager
    def released_on_error(self) -> Iterator[None]:
        """Let another run write the stream's path if the block raises an error."""
        try:
            yield
        except BaseException:
            if self._store is not None:
                self._store.release()
            raise

    def rows(self, engine: Engine) -> list[Array]:
        """Return the samples of each recorded variable since the start, (samples, entries)."""
        first, last = engine.first_sample, engine.samples
        new = [engine.recorded(i, first, last) for i in range(len(self.recorded))]
        if not self.earlier:
            return new
        return [np.concatenate(pair) for pair in zip(self.earlier, new, strict=True)]

    def with_traces(self, run: Run, engine: Engine, settings: Mapping[str, Any]) -> Run:
        """Return the run with its traces, from the engine or from the store."""
        if self._store is not None:
            self._store.finish(run, engine.samples)
            return replace(run, traces=store.load_run(self._store.path).traces)
        return replace(run, traces=self._traces(engine, settings))

    def _traces(self, engine: Engine, settings: Mapping[str, Any]) -> Any:
        """Return a dataset of all samples, or None if nothing is recorded."""
        if not self.recording.variables:
            return None
        return self.dataset(self._times(engine.samples), self.rows(engine), settings)

    def dataset(self, times: Array, samples: list[Array], settings: Mapping[str, Any]) -> Any:
        """Return a dataset of samples at these times (s).

        `samples` has one array of (samples, entries) per recorded variable.
        """
        units: dict[str, dict[str, Array]] = {}
        synaptic: dict[str, dict[str, Array]] = {}
        patterns = len(self.recording.patterns)
        for recorded, rows in zip(self.recorded, samples, strict=True):
            for part in recorded.parts:
                values = rows[:, part.position]
                if recorded.variable in self._synaptic:
                    synaptic.setdefault(recorded.variable, {})[part.name] = values
                else:
                    shape = len(times), patterns, values.shape[1] // patterns
                    units.setdefault(recorded.variable, {})[part.name] = values.reshape(shape)
        return build_traces(
            self.net,
            self.flow,
            settings,
            times,
            units,
            pattern=self.recording.patterns,
            units=self.recording.units,
            synaptic=synaptic,
            synapses=self.recording.synapses,
        )

    def _times(self, samples: int) -> Array:
        return np.arange(samples) * (self.recording.every * self.plan.dt)

    def _in_memory(
        self, sizes: Mapping[str, int], layout: Mapping[str, list[store.Part]]
    ) -> tuple[Recorded, ...]:
        dtype = np.dtype(self.plan.precision)
        found = []
        for variable, parts in layout.items():
            size = sizes[variable]
            rows = rows_per_chunk((IN_MEMORY, size), dtype)
            found.append(Recorded(variable, tuple(parts), size, rows))
        return tuple(found)

    def _variables(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Return the populations, or the projections, that have each recorded variable."""
        variables: dict[str, list[str]] = {}
        synaptic: dict[str, list[str]] = {}
        of_synapses = self._of_synapses()
        for given in self.recording.variables:
            variable, _, projection = given.partition(":")
            if variable not in of_synapses:
                self._refuse_fixed(given)
                variables[given] = self._populations(given)
                continue
            names = of_synapses[variable]
            if projection:
                if projection not in names:
                    raise unknown("record", given, [f"{variable}:{n}" for n in names])
                names = [projection]
            own = synaptic.setdefault(variable, [])
            own += [n for n in names if n not in own]
        self._check_synapses(synaptic)
        return variables, synaptic

    def _of_synapses(self) -> dict[str, list[str]]:
        """Return the projections that have each variable of synapses."""
        found = {WEIGHT: list(self.net.projections)}
        units: set[str] = set()
        for rule in self.plan.rules.values():
            if rule.of_biases:
                continue
            for name in rule.states:
                found.setdefault(name, []).append(rule.target)
        for n in self.net.populations if len(found) > 1 else ():
            units |= set(self.plan.variables(n))
        taken = units | (set(RESERVED) - {WEIGHT})
        for name in found:
            if name in taken and name in self.recording.variables:
                raise ModelError(
                    f"record = {name!r} is a variable of synapses and of units or traces; "
                    "allowed: different names; try another one in the rule"
                )
        return found

    def _refuse_fixed(self, variable: str) -> None:
        """Refuse a variable of a rule in a run with fixed weights, where nothing of it moves."""
        for name, q in self.net.projections.items():
            if q.own_rule is not None and variable.partition(":")[0] in q.own_rule.own_variables:
                raise ModelError(
                    f"record = {variable!r} is a variable of the rule of {name}, which does not "
                    "move while weights are fixed; allowed: variables of units, and w; try train, "
                    "or stream(plastic=True)"
                )

    def _check_synapses(self, synaptic: Mapping[str, list[str]]) -> None:
        """Refuse chosen synapses of projections of which nothing is recorded."""
        recorded = projections_of(synaptic)
        for name in self.recording.synapses:
            if name not in recorded:
                raise unknown("projection of recorded synapses", name, recorded)

    def _populations(self, variable: str) -> list[str]:
        """Return the populations that have a variable, under its present or its former name."""
        net, plan = self.net, self.plan
        known = any(variable in plan.variables(n) for n in net.populations)
        name = variable if known else current_name(variable)
        if name != variable:
            warn(
                f"record = {variable!r} is called {name!r} since 0.2; the old name goes in 0.4",
                DeprecationWarning,
            )
        # x of an input is data, which every run holds anyway
        candidates = net.neurons if variable == "x" else net.populations
        found = [n for n in candidates if name in plan.variables(n)]
        if not found:
            every: set[str] = set()
            for n in net.neurons:
                every |= set(plan.variables(n))
            raise unknown("record", variable, [*sorted(every), "w", "w:pre->post"])
        return found


def _in_store(target: store.Store) -> tuple[Recorded, ...]:
    """Return the layout of the variables that an engine writes to a store."""
    found = []
    for variable, parts in target.layout.items():
        found.append(
            Recorded(
                variable,
                tuple(parts),
                target.sizes[variable],
                target.rows,
                dimensions=1 if variable in target.synaptic else 2,
                folder=target.folders[variable],
                write=partial(target.write, variable),
            )
        )
    return tuple(found)
