"""Event sources as equation text: the variables that they add to a population.

Start at `event_sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurosim.errors import ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Projection
from neurosim.model.schedules import delay_steps
from neurosim.model.transport import (
    BACKWARD,
    FORWARD,
    Adaptive,
    Dense,
    Events,
    Spikes,
    Threshold,
    Transport,
)

# equations of a population with an adaptive threshold, see `Adaptive`
ADAPTIVE_EQUATIONS = (
    "theta = clip(activity, theta_floor, clip(roof, theta_floor, theta_top)) : 1",
    "roof = theta_top*exp((clamped_at - t)/roof_time) : 1 (shared)",
    "clamped_at : second (shared)",
    "roof_time : second (shared)",
    "theta_floor : 1 (shared)",
    "theta_top : 1 (shared)",
    "activity_fade : 1 (shared)",
    "activity : 1",
)
ACTIVITY = "clip(sqrt((tau_x*_rate_x)**2 + (tau_lam*_rate_lam)**2), activity_fade*activity, 1e30)"


@dataclass(frozen=True)
class EventSource:
    """A population's events in one direction, for all projections with the same transport.

    Attributes
    ----------
    population : str
        Name of the population that sends.
    variable : "x" (forward) or "delta" (backward)
        Variable whose differences are sent.
    suffix : str
        Number that distinguishes several sources of one population and direction; empty for the
        first.
    rule : Events or Spikes
        Message transport of the projections.
    projections : tuple of str
        Names of the projections that receive.
    clamped : bool
        Whether the population is clamped.
    """

    population: str
    variable: str
    suffix: str
    rule: Events | Spikes
    projections: tuple[str, ...]
    clamped: bool

    @property
    def event(self) -> str:
        """Name of the custom event of the population's `NeuronGroup`."""
        direction = "forward" if self.variable == FORWARD else "backward"
        return direction + self.suffix

    @property
    def name(self) -> str:
        """Suffix of the source's variables, such as sent_x (value last sent) and events_x."""
        return self.variable + self.suffix

    @property
    def threshold(self) -> Threshold:
        """Threshold of the units; for a clamped input an adaptive one is replaced by its floor."""
        threshold = self.rule.threshold(self.variable, self.population)
        if self.clamped and isinstance(threshold, Adaptive):
            return threshold.floor
        return threshold

    @property
    def adaptive(self) -> bool:
        """Whether the threshold is adaptive, so that each unit has its own."""
        return isinstance(self.threshold, Adaptive)

    @property
    def silent(self) -> bool:
        """Whether a unit must wait after a spike before the next one."""
        return isinstance(self.rule, Spikes) and self.rule.silence > 0

    @property
    def received(self) -> str:
        """Name of the variable that receivers read."""
        if self.rule.delay:
            return f"received_{self.name}"
        return f"sent_{self.name}"

    def delay_steps(self, dt: float) -> int:
        """Return the delay of a rule that has one, in steps of `dt` s: at least 1."""
        return delay_steps(self.rule.delay, dt)

    @property
    def condition(self) -> str:
        """Condition under which a unit sends, in Brian2's notation."""
        theta = "theta" if self.adaptive else f"theta_{self.name}"
        relation = ">=" if isinstance(self.rule, Spikes) else ">"
        condition = f"abs({self.variable} - sent_{self.name}) {relation} {theta}"
        if self.silent:
            condition += f" and t >= ready_{self.name}"
        return condition

    @property
    def equations(self) -> list[str]:
        """Variables that the source adds to its population."""
        lines = [
            f"sent_{self.name} : 1",
            f"events_{self.name} : 1",
            f"plastic_events_{self.name} : 1",
        ]
        if not self.adaptive:
            lines.append(f"theta_{self.name} : 1 (shared)")
        if self.rule.delay:
            lines.append(f"{self.received} : 1")
        if self.silent:
            lines.append(f"ready_{self.name} : second")
            lines.append(f"silence_{self.name} : second (shared)")
        return lines

    def constants(self, flow: Flow, dt: float) -> dict[str, float]:
        """Return the values of the shared variables, and the initial activity, by name.

        Parameters
        ----------
        flow : Flow
        dt : float
            Step, s.
        """
        values: dict[str, float] = {}
        if isinstance(self.rule, Spikes) and self.silent:
            # half a step shorter, so that rounding cannot change a comparison of times
            values[f"silence_{self.name}"] = self.rule.silence - dt / 2
        threshold = self.threshold
        if not isinstance(threshold, Adaptive):
            values[f"theta_{self.name}"] = threshold
            return values
        tau = flow.time("tau_x", self.population)
        values["theta_floor"] = threshold.floor
        values["theta_top"] = threshold.top
        values["roof_time"] = threshold.fall * tau
        values["activity"] = threshold.top
        values["activity_fade"] = threshold.fade ** (dt / (0.2 * tau))
        return values


def event_sources(
    net: Network, transports: Mapping[str, Transport], learns: bool
) -> tuple[EventSource, ...]:
    """Return the event sources of all populations.

    Parameters
    ----------
    net : Network
    transports : dict of str to Transport
        Message transport of every projection.
    learns : bool
        Whether weights are plastic; projections from a clamped input then need delta too.

    Raises
    ------
    ModelError
        Two adaptive thresholds on one population.
    """
    sources: list[EventSource] = []
    for name, population in net.populations.items():
        own = _sources(name, FORWARD, net.outgoing(name), transports, population.clamped)
        if not population.clamped:
            readers = []
            for q in net.incoming(name):
                if learns or not net.populations[q.pre].clamped:
                    readers.append(q)
            own += _sources(name, BACKWARD, readers, transports, clamped=False)
        thresholds = {source.threshold for source in own if source.adaptive}
        if len(thresholds) > 1:
            raise ModelError(
                f"{name} has {len(thresholds)} adaptive thresholds; "
                "allowed: one for both directions and all projections"
            )
        sources += own
    return tuple(sources)


def _sources(
    population: str,
    variable: str,
    projections: list[Projection],
    transports: Mapping[str, Transport],
    clamped: bool,
) -> list[EventSource]:
    """Return one event source per transport other than dense; suffixes start at the second."""
    receivers: dict[Events | Spikes, list[str]] = {}
    for q in projections:
        rule = transports[q.name]
        if not isinstance(rule, Dense):
            receivers.setdefault(rule, []).append(q.name)
    sources = []
    for number, (rule, names) in enumerate(receivers.items()):
        suffix = str(number + 1) if number else ""
        sources.append(EventSource(population, variable, suffix, rule, tuple(names), clamped))
    return sources
