"""Messages sent as events, as equation text: what an event source adds to its population.

Start at `event_sources`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from neurosim.errors import ModelError
from neurosim.model.flow import Flow
from neurosim.model.network import Network
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


@dataclass(frozen=True)
class EventSource:
    """What a population says in one direction, to all projections that have the same transport.

    Attributes
    ----------
    variable : "x" (forward) or "delta" (backward)
    suffix : str
        Tells several outlets of one population and direction apart.
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
        return ("forward" if self.variable == FORWARD else "backward") + self.suffix

    @property
    def name(self) -> str:
        """Suffix of the outlet's variables: sent_x is what was last sent, events_x how often."""
        return self.variable + self.suffix

    @property
    def threshold(self) -> Threshold:
        """As it is here: a clamped input does not settle."""
        found = self.rule.threshold(self.variable, self.population)
        return found.floor if self.clamped and isinstance(found, Adaptive) else found

    @property
    def adaptive(self) -> bool:
        """Whether the threshold follows the unit."""
        return isinstance(self.threshold, Adaptive)

    @property
    def silent(self) -> bool:
        """Whether a unit must wait between two spikes."""
        return isinstance(self.rule, Spikes) and self.rule.silence > 0

    @property
    def received(self) -> str:
        """The variable that receivers know."""
        return f"{'received' if self.rule.delay else 'sent'}_{self.name}"

    def delay_steps(self, dt: float) -> int:
        """Steps between speaking and being heard."""
        return max(1, round(self.rule.delay / dt)) if self.rule.delay else 0

    @property
    def condition(self) -> str:
        """When a unit speaks, in Brian2's notation."""
        theta = "theta" if self.adaptive else f"theta_{self.name}"
        relation = ">=" if isinstance(self.rule, Spikes) else ">"
        wait = f" and t >= ready_{self.name}" if self.silent else ""
        return f"abs({self.variable} - sent_{self.name}) {relation} {theta}{wait}"

    @property
    def equations(self) -> list[str]:
        """Variables that the outlet adds to its population."""
        own = [
            f"sent_{self.name} : 1",
            f"events_{self.name} : 1",
            f"plastic_events_{self.name} : 1",
        ]
        own += [] if self.adaptive else [f"theta_{self.name} : 1 (shared)"]
        own += [f"{self.received} : 1"] if self.rule.delay else []
        return own + (
            [f"ready_{self.name} : second", f"silence_{self.name} : second (shared)"]
            if self.silent
            else []
        )

    def constants(self, flow: Flow, dt: float) -> dict[str, float]:
        """Values of the shared variables of its equations, and where the adaptive ones begin."""
        found: dict[str, float] = {}
        if isinstance(self.rule, Spikes) and self.silent:
            # half a step less: a comparison of times must not hang on rounding
            found[f"silence_{self.name}"] = self.rule.silence - dt / 2
        if not isinstance(rule := self.threshold, Adaptive):
            return found | {f"theta_{self.name}": rule}
        tau = flow.time("tau_x", self.population)
        return found | {
            "theta_floor": rule.floor,
            "theta_top": rule.top,
            "roof_time": rule.fall * tau,
            "activity": rule.top,
            "activity_fade": rule.fade ** (dt / (0.2 * tau)),
        }


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


def event_sources(
    net: Network, transports: Mapping[str, Transport], learns: bool
) -> tuple[EventSource, ...]:
    """Everything that is said as events; backward only where somebody listens.

    Raises
    ------
    ModelError
        Two adaptive thresholds on one population.
    """
    found = []
    for name, population in net.populations.items():
        sides: list[tuple[str, Iterable[Any]]] = [(FORWARD, net.outgoing(name))]
        if not population.clamped:
            heard = [q for q in net.incoming(name) if learns or not net.populations[q.pre].clamped]
            sides.append((BACKWARD, heard))
        for variable, projections in sides:
            rules: dict[Transport, list[str]] = {}
            for q in projections:
                rules.setdefault(transports[q.name], []).append(q.name)
            spoken = [(r, names) for r, names in rules.items() if not isinstance(r, Dense)]
            for number, (rule, names) in enumerate(spoken):
                suffix = str(number + 1) if number else ""
                found.append(
                    EventSource(name, variable, suffix, rule, tuple(names), population.clamped)
                )
        own = {o.threshold for o in found if o.population == name and o.adaptive}
        if len(own) > 1:
            raise ModelError(
                f"{name} has {len(own)} adaptive thresholds; allowed: one for all that it says"
            )
    return tuple(found)
