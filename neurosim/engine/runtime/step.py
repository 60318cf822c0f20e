"""One step in Brian2's runtime mode: its actions and their order, on the groups' live arrays.

Elementwise work is done by functions made from the equations (`updates`), products by BLAS calls
(`projections`). Above every other module of this folder but `engine`. Start at `Machine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import neurosim.engine.quiet  # noqa: F401

import brian2
import numpy as np

from neurosim.engine.draws import step_seed
from neurosim.engine.groups import Groups
from neurosim.engine.liveness import tracks
from neurosim.engine.names import GUARD_EVERY, MOMENT, bias_group, projection_group
from neurosim.engine.runtime.arrays import Action, live, units
from neurosim.engine.runtime.held import NONE_HELD, Held, hold
from neurosim.engine.runtime.messages import Messages
from neurosim.engine.runtime.noise import Noise
from neurosim.engine.runtime.plasticity import RuleSteps
from neurosim.engine.runtime.points import Points
from neurosim.engine.runtime.presenter import Presenter
from neurosim.engine.runtime.projections import Bias, Product
from neurosim.engine.runtime.rates import Rates
from neurosim.engine.runtime.records import Recorder
from neurosim.engine.runtime.rest import Rest
from neurosim.engine.runtime.settling import FirstPatterns, Settling
from neurosim.engine.runtime.shared_products import make_product
from neurosim.engine.runtime.steppers import Stepper
from neurosim.engine.runtime.steppers.adam import Adam
from neurosim.engine.runtime.steppers.adaptive import DormandPrince
from neurosim.engine.runtime.steppers.anderson import Anderson
from neurosim.engine.runtime.steppers.euler import Euler, SemiImplicit
from neurosim.engine.runtime.steppers.runge_kutta import RungeKutta
from neurosim.engine.runtime.tracked import Direct, TrackedMessages, Tracker
from neurosim.engine.runtime.updates import ActionMaker, Actions, of_first_patterns, present
from neurosim.model.methods import ADAM, ADAPTIVE, ANDERSON, RUNGE_KUTTA, SEMI_IMPLICIT

Array = np.ndarray


class Machine:
    """Do the steps of one segment.

    Brian2 calls the public methods, each in a slot of the schedule (`engine.slots`).

    Parameters
    ----------
    groups : Groups
    maker : ActionMaker
        Makes the functions of the equations, with the current gains and time constants.
    presenter : Presenter
    recorder : Recorder
    defers : dict of str to bool
        By projection: whether changes of its weights are deferred (`Engine.defers`).
    stop : callable
        Ends the run with this step.
    held : dict of (group, variable) to (places, values)
        Entries that keep their values, see `held`.
    """

    def __init__(
        self,
        groups: Groups,
        maker: ActionMaker,
        presenter: Presenter,
        recorder: Recorder,
        defers: Mapping[str, bool],
        stop: Action,
        held: Held = NONE_HELD,
    ) -> None:
        plan = groups.plan
        self.numbers = maker.numbers
        self.presenter = presenter
        self.world = presenter.world
        self.recorder = recorder
        self.stop = stop
        # what `stop` of the engine asked for before Brian2's run began, Brian2 has forgotten
        self.stopped: Callable[[], bool] = lambda: False
        self.now = live(groups.clock, "t")
        self.step_number = self._number("step")
        self.ticks = 0
        self.last_tick = self._number("n_steps")
        self.origin = self._number("origin")
        self.first_step = self._number("first_step")
        self.gate = self._number("gate_steps")
        self.present_steps = self._number("present_steps")
        self.record_steps = self._number("record_steps")
        self.settled = self.numbers["settled"]
        self.diverged = self.numbers["diverged"]
        self.presents = plan.presentation
        self.adaptive = plan.method == ADAPTIVE
        self.checks_rest = plan.settles and not self.adaptive
        self.guard_every = 1 if self.adaptive else GUARD_EVERY
        self.learning = bool(self.numbers["plastic"][0])
        moves = self.learning and not plan.presentation
        self.products = {
            name: make_product(groups, name, dt=plan.dt, defers=defers[name], moves=moves)
            for name in plan.net.projections
        }
        self.biases = {name: Bias(groups, name, plan.dt) for name in plan.net.neurons}
        self.tracker, self.rest = self._shortcuts(groups, held)
        actions = maker.make(self.learning or plan.presentation, self._direct())
        self.rules = self._bind_rules(groups, maker)
        self.traces = present([rule.closed for rule in self.rules])
        self.copies = actions.copies
        self.messages = self._make_messages(groups, actions)
        self.noise = Noise(groups, self.numbers)
        self.rates = Rates(groups, actions, self.numbers)
        hold(groups, held, actions, self.rates)
        self.points = Points(groups, self.numbers, self.rates) if plan.points else None
        self.stepper = self._make_stepper(groups, actions)
        self.states = _outputs_and_multipliers(groups)
        self.settling = self._settle_each(groups, actions) if plan.settles_each else None

    def _number(self, name: str) -> int:
        return int(self.numbers[name][0])

    def _shortcuts(self, groups: Groups, held: Held) -> tuple[Tracker | None, Rest | None]:
        """Return what decides which work a step leaves out, if anything does."""
        plan = groups.plan
        if held or not tracks(plan):  # held states do not follow from the messages
            return None, None
        if self.numbers["direct"].any():
            return Tracker(groups, self.numbers), None
        return None, None if plan.rules else Rest(_states(groups))  # traces of rules move on

    def _bind_rules(self, groups: Groups, maker: ActionMaker) -> list[RuleSteps]:
        """Let user-written rules move the weights and biases that they are of."""
        rules = {group: RuleSteps(groups, maker, rule) for group, rule in groups.plan.rules.items()}
        for name, product in self.products.items():
            product.rule = rules.get(projection_group(name))
        for name, bias in self.biases.items():
            own = rules.get(bias_group(name))
            if own is not None:
                bias.learn = own.open
        return list(rules.values())

    def _direct(self) -> list[str]:
        """Return the populations whose states do not depend on their old values."""
        if self.tracker is None:
            return []
        return [name for name, p in self.tracker.populations.items() if p.direct]

    def _make_messages(self, groups: Groups, actions: Actions) -> Messages:
        if self.tracker is None:
            return Messages(groups, actions, self.products)
        return TrackedMessages(groups, actions, self.products, self.tracker)

    def _make_stepper(self, groups: Groups, actions: Actions) -> Stepper:
        method = groups.plan.method
        biases = list(self.biases.values())
        if method == ADAPTIVE:
            return DormandPrince(groups, self.messages, self.rates, self.numbers)
        if method in RUNGE_KUTTA:
            return RungeKutta(groups, self.messages, biases, self.rates, self.numbers)
        if method == ADAM:
            return Adam(groups, actions, self.messages, self.products, self.biases)
        return self._make_euler_stepper(groups, actions)

    def _make_euler_stepper(self, groups: Groups, actions: Actions) -> Stepper:
        """Return the stepper of a method that evaluates each right-hand side once a step."""
        method = groups.plan.method
        biases = list(self.biases.values())
        if isinstance(self.messages, TrackedMessages):
            return Direct(groups, actions, self.messages, biases, method == SEMI_IMPLICIT)
        if method == ANDERSON:
            return Anderson(groups, actions, self.messages, biases, self.traces)
        plain = SemiImplicit if method == SEMI_IMPLICIT else Euler
        return plain(actions, self.messages, biases, self.traces)

    # --- patterns that settle one by one

    def _settle_each(self, groups: Groups, actions: Actions) -> Settling:
        """Return the order of the patterns, without those that have settled."""
        settling = Settling(groups, self.numbers["settled_at"])
        for product in self.messages.kept:
            product.refresh()  # of all patterns, as in the first segment
            settling.follow(product.drive)
        self.recorder.places = settling.places
        self._narrow = partial(self._keep_first, groups, actions, dict(self.products))
        settling.resume()
        if 0 < settling.active < settling.count:
            self._narrow(settling.active)
        return settling

    def _keep_first(
        self, groups: Groups, actions: Actions, products: Mapping[str, Product], patterns: int
    ) -> None:
        """Let the step be that of the first patterns alone; the arguments are those of all."""
        first = cast(Groups, FirstPatterns(groups, patterns))
        own = of_first_patterns(actions, patterns, groups.plan.patterns)
        self.products = {name: product.of_first(patterns) for name, product in products.items()}
        moved = self.messages.moved
        self.messages = Messages(first, own, self.products)
        self.messages.moved = moved
        self.rates = Rates(first, own, self.numbers)
        self.stepper = self._make_stepper(first, own)
        self.states = _outputs_and_multipliers(first)

    def _end_settled(self, settling: Settling) -> bool:
        """Leave out the patterns that rest by the rates last evaluated; return whether all do."""
        which = self.rates.resting(settling.active)
        if which.any():
            settling.settle(which, self.step_number)
            self.settled[0] = settling.active == 0
            if settling.active:
                self._narrow(settling.active)
                self.messages.repeat_late()
        return bool(self.settled[0])

    # --- called by Brian2 in every step

    def seed_objects(self) -> None:
        """Seed the random numbers of user-supplied objects, by the seed and the step's number.

        So their draws do not depend on how a run is divided.
        """
        before = int(self.numbers["steps_before"][0]) - self.origin
        brian2.seed(step_seed(int(self.numbers["noise_key"][0]), before + self.step_number))

    def send(self) -> None:
        """Present the next rows where they are due, and send the messages forward and back."""
        if self.presents:
            self.present()
        if self.rest is not None and self.rest.is_reached:
            return
        self.noise.draw(self.step_number)
        self.messages.send()

    def send_events(self) -> None:
        """Send the events of neurons."""
        self.noise.draw(self.step_number)
        self.messages.send_events(float(self.now[0]), self.learning)

    def send_events_back(self) -> None:
        """Send the events of multiplier units."""
        self.messages.send_events_back(float(self.now[0]), self.learning)

    def present(self) -> None:
        """Clamp the next rows when a presentation begins; open or close the gate of plasticity."""
        shown = self.step_number - self.first_step
        phase = shown % self.present_steps
        if self.tracker is not None:
            self.tracker.phase = phase
        self.learning = phase >= self.gate
        self.numbers["plastic"][0] = self.learning
        if phase == 0 or self.ticks == 0:
            self._materialize()
            if phase == 0:
                for rule in self.rules:
                    rule.start_presentation()
            self.presenter.show(shown // self.present_steps, self.now)
            self.messages.input_changed()
            if self.rest is not None:
                self.rest.end()
            if self.tracker is not None:
                left = self.last_tick - self.ticks
                is_whole = phase == 0 and left >= self.present_steps
                is_last = left == self.present_steps or self.world is not None
                self.tracker.begin(is_whole, is_last)

    def record(self) -> None:
        """Take a sample where one is due."""
        if (self.step_number - self.origin) % self.record_steps:
            return
        for name, copy in self.recorder.weights.items():
            self.products[name].copy_weights(copy)
        self.numbers[MOMENT][0] = self.numbers["began"][0] + self.now[0]
        for action in self.copies:
            action()
        self.recorder.take()

    def step(self) -> None:
        """Move the state by one step, and the weights if they learn, unless the state rests."""
        if self.checks_rest and self.step_number % GUARD_EVERY == 0 and self._rests():
            return
        self.presenter.broadcast(self.step_number)
        if self.rest is None:
            self.stepper.step(self.learning)
        else:
            self._step_until_rest(self.rest)

    def _step_until_rest(self, rest: Rest) -> None:
        """Move the state unless it rests; weights that learn end the rest."""
        if self.learning:
            rest.end()
        if not rest.is_reached:
            self.stepper.step(self.learning)
            if not self.learning:
                rest.look(self.step_number)

    def finish(self) -> None:
        """Count the step; stop if the state has settled or left its bound."""
        settled = bool(self.settled[0])
        if settled and not self.adaptive:
            self.stop()
            return
        self.step_number += 1
        self.ticks += 1
        if self.world is not None and self._presentation_has_ended() and not self.world():
            self.stop()
        # by the number of the step, so that a run that goes on is checked as if it had not stopped
        if self.step_number % self.guard_every and self.ticks < self.last_tick:
            return
        if self.points is not None:
            self.settled[0] = settled = self.points.end_diverged(self.step_number)
        else:
            self._check_bound()
        if settled or self.diverged[0] or self.stopped():
            self.stop()

    # --- shared by these

    def _presentation_has_ended(self) -> bool:
        return (self.step_number - self.first_step) % self.present_steps == 0

    def close(self) -> None:
        """Bring weights, samples and counters up to date at the end of a segment."""
        self._materialize()
        if self.settling is not None:
            self.settling.restore()
        self.recorder.flush()
        self.numbers["step"][0] = self.step_number
        self.numbers["ticks"][0] = self.ticks

    def _materialize(self) -> None:
        for product in self.products.values():
            product.materialize()

    def _rests(self) -> bool:
        self.rates.evaluate()
        if self.settling is not None:
            return self._end_settled(self.settling)
        if self.points is None:
            return self.rates.rest()
        self.settled[0] = self.points.end_settled(self.step_number)
        return bool(self.settled[0])

    def _check_bound(self) -> None:
        """Set `diverged` to the first population whose outputs or multipliers left the bound."""
        bound = self.numbers["bound"][0]
        for number, state in enumerate(self.states, start=1):
            for z in state:
                # `not ... <`, as any comparison with NaN is false
                if not max(z.max(), -z.min()) < bound and not self.diverged[0]:
                    self.diverged[0] = number


def _outputs_and_multipliers(groups: Groups) -> list[tuple[Array, Array]]:
    """Return views of x and lam of every population, (patterns, units)."""
    names = groups.plan.net.neurons
    return [(units(groups, n, "x"), units(groups, n, "lam")) for n in names]


def _states(groups: Groups) -> list[Array]:
    """Return views of all outputs and multipliers."""
    found = []
    for name in groups.plan.net.neurons:
        found += [live(groups.populations[name], variable) for variable in ("x", "lam")]
    return found
