"""Learning from rewards: the loss -A log pi(action) on a contextual bandit and on CartPole.

On the bandit the weights are part of the flow and move trial by trial. On CartPole a batch of
episodes is played; then Adam follows the gradient of the flow after one more frame of relaxation.
Start at `PolicyStudy`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic.dataclasses import dataclass

from neurosim import reference
from neurosim.data.tasks import Bandit, CartPole, advantages
from neurosim.experiments.studies.shared import BACKPROP, dots_note, mean_and_spread, new_table
from neurosim.experiments.studies.shared import FLOWS as ALL_FLOWS
from neurosim.experiments.studies.study import (
    STRICT,
    Cell,
    Count,
    NotNegative,
    Numbers,
    Study,
    StudySettings,
    Whole,
    one_of,
)
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.results.runs import Run
from neurosim.simulation.simulation import Simulation

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Gradients = dict[str, Array]  # by projection, and by population for biases

BANDIT, CARTPOLE = TASKS = ("bandit", "cartpole")
# start of the relaxation whose gradient Adam follows: the states while acting, or x = lam = 0
ACTING, ZERO = "acting", "zero"
FRAME = 60e-3  # s, 6 tau; a context, or the state of a cart, is shown for one frame
LAST = 1000  # trials at the end that are scored
ARMS, CONTEXTS = 4, 8
CARTS = 16  # episodes at once
SOLVED, UPDATES = 195.0, 5  # pushes per episode on average, over that many updates
# steps and rate of Adam per batch of episodes, and discount; chosen on seeds from 100 with
# backpropagation
STEPS, RATE, DISCOUNT = 5, 0.01, 0.99
# on the bandit; best of 0.01 to 0.8 on seeds 100 to 109, where rates from 0.02 did almost as well
BACKPROP_RATE = 0.05
TAU_W = FRAME / 2 / BACKPROP_RATE  # s; at rest, half a frame moves weights as far as that rate


@plain_dataclass(frozen=True)
class Setup:
    """A flow and its step (s)."""

    flow: Flow
    dt: float


SETUPS = {
    "adjoint": Setup(ALL_FLOWS["adjoint"](), 2e-3),
    "rotated(75°)": Setup(ALL_FLOWS["rotated(75°)"](), 2e-3),
    "damped": Setup(ALL_FLOWS["damped"](), 1e-3),
    "augmented(2)": Setup(ALL_FLOWS["augmented(2)"](), 1e-3),
}
STATEFUL = ("damped", "augmented(2)")  # flows for which the start can make a difference
QUICK = {"seeds": 1, "flows": [BACKPROP, "adjoint"], "trials": 1500, "episodes": 160}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PolicySettings(StudySettings):
    """Settings of the study.

    `first` is the first seed. `tau_w` (s) is that of the bandit; 0 means `TAU_W`.
    """

    seeds: Count
    first: Whole
    tasks: Annotated[list[str], one_of(TASKS)]
    flows: Annotated[list[str], one_of((BACKPROP, *SETUPS))]
    trials: Count
    episodes: Count
    tau_w: NotNegative


class PolicyStudy(Study[PolicySettings]):
    """Rewards by task and flow."""

    question = (
        "Does a policy learn from rewards through multipliers, as it does through backpropagation?"
    )
    settings_type = PolicySettings
    varied = ("tasks", "flows", "first")
    quick_settings = QUICK

    def make_cells(self) -> list[Cell]:
        """Return every task and flow, with every seed; the bandit has twice as many.

        Carts are also learnt from x = lam = 0 with flows for which the start can make a difference.
        """
        own = self.settings
        cells: list[Cell] = []
        for task, flow in product(own.tasks, own.flows):
            starts = [ACTING]
            count = own.seeds
            if task == CARTPOLE and flow in STATEFUL:
                starts = [ACTING, ZERO]
            if task == BANDIT and not self.quick:
                count = 2 * own.seeds
            for start, seed in product(starts, range(own.first, own.first + count)):
                cells.append({"task": task, "flow": flow, "start": start, "seed": seed})
        return cells

    def measure(self, cell: Cell) -> Numbers:
        """Return the rewards of one training; see `bandit` and `carts`."""
        own = self.settings
        if cell["task"] == BANDIT:
            return bandit(cell["flow"], cell["seed"], own.trials, own.tau_w)
        return carts(cell["flow"], cell["start"], cell["seed"], own.episodes)

    def table(self, data: xr.Dataset) -> Any:
        """Return best choices (%) of the bandit; seeds that solved the carts, and episodes."""
        shown = new_table("task", "flow", "start", "result", "worst seed")
        places = product(data.task.values, data.flow.values, data.start.values)
        for task, flow, start in places:
            own = data.sel(task=task, flow=flow, start=start)
            if task == BANDIT and "best" in own and own.best.count():
                shown.add_row(str(task), str(flow), "", *_bandit_entries(own))
            if task == CARTPOLE and "solved" in own and own.solved.count():
                shown.add_row(str(task), str(flow), str(start), *_cart_entries(own))
        return shown

    def figure(self, data: xr.Dataset) -> Any:
        """Draw every seed of every flow: best choices of the bandit; episodes of the carts."""
        from matplotlib.figure import Figure

        from neurosim.plot import style

        measures = {BANDIT: "best", CARTPOLE: "episodes"}
        tasks = [task for task in data.task.values if measures[task] in data]
        with style():
            figure = Figure(figsize=(3.6 * len(tasks), 3.0), layout="constrained")
            panels = figure.subplots(1, len(tasks), squeeze=False)[0]
            for ax, task in zip(panels, tasks, strict=True):
                own = data.sel(task=task).stack(who=("flow", "start")).dropna("who", how="all")
                if task == BANDIT:
                    _draw_bandit(ax, own)
                else:
                    _draw_carts(ax, own)
                names = []
                for flow, start in own.who.values:
                    names.append(f"{flow}, from 0" if start == ZERO else str(flow))
                ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
                ax.set_xlim(-0.6, len(names) - 0.4)
            figure.suptitle(dots_note(data), fontsize="medium")
        return figure


def bandit(flow: str, seed: int, trials: int, tau_w: float = 0.0) -> Numbers:
    """Learn a bandit of eight contexts, 8-16-4; a trial is two frames, a choice and its reward.

    Weights are plastic in the second half of each frame.

    Parameters
    ----------
    flow : str
        A name of `SETUPS`, or "backprop".
    seed, trials : int
    tau_w : float, s
        Time constant of the weights; 0 means `TAU_W`.

    Returns
    -------
    dict
        Shares of trials in which the best arm was chosen: `best` of the last `LAST` trials, `early`
        of the first `LAST` / 2.
    """
    net = Network.mlp([CONTEXTS, 16, ARMS], loss="policy", seed=seed)
    world = Bandit.drawn(contexts=CONTEXTS, seed=seed)
    if flow == BACKPROP:
        _play_bandit(net, world, trials)
    else:
        setup = SETUPS[flow]
        moving = replace(setup.flow, tau_w=tau_w or TAU_W)
        sim = Simulation(net, moving, dt=setup.dt, backend="numpy", seed=seed)
        sim.interact(world, frames=2 * trials, per_frame=FRAME, plastic_from=0.5)
    early = np.mean(world.chosen[: LAST // 2])
    return {"best": world.rate(min(LAST, trials)), "early": float(early)}


def _play_bandit(net: Network, world: Bandit, trials: int) -> None:
    """Learn a bandit by backpropagation; a trial is a choice and then its reward."""
    outputs = np.empty((0, ARMS))
    for _ in range(2 * trials):
        X, Y = world(outputs)
        outputs = reference.forward(net, X)[net.output]
        if Y.any():
            _descend(net, _backprop(net, X, Y), BACKPROP_RATE)


def carts(flow: str, start: str, seed: int, episodes: int) -> Numbers:
    """Learn CartPole, 4-32-2: play sixteen episodes, take a few steps of Adam, and again.

    Training ends when the task is solved, or after `episodes`.

    Returns
    -------
    dict
        `solved`, 0 or 1; `episodes` that were played; `length`, the mean number of pushes per
        episode over the last `UPDATES` updates.
    """
    net = Network.mlp([4, 32, 2], loss="policy", seed=seed)
    adam = Adam(RATE)
    lengths: list[float] = []
    while len(lengths) < episodes // CARTS:
        world = CartPole.drawn(CARTS, seed=[seed, len(lengths)])
        if flow == BACKPROP:
            gradient = _played(net, world)
        else:
            gradient = _acted(net, world, SETUPS[flow], start)
        lengths.append(float(world.lengths.mean()))
        if _solved(lengths):
            break
        for _ in range(STEPS):
            adam.step(net, gradient())
    return {
        "solved": float(_solved(lengths)),
        "episodes": float(CARTS * len(lengths)),
        "length": float(np.mean(lengths[-UPDATES:])),
    }


def _solved(lengths: list[float]) -> bool:
    if len(lengths) < UPDATES:
        return False
    return bool(np.mean(lengths[-UPDATES:]) >= SOLVED)


def worth(up: Array) -> Array:
    """Return the discounted return of every push that was made with the pole upright, (pushes,).

    Each of these pushes has a reward of 1. Returns are standardised to mean 0 and deviation 1.

    Parameters
    ----------
    up : (frames, carts) of bool
        Whether a cart's pole was upright.
    """
    returns = np.zeros(up.shape)
    after = np.zeros(up.shape[1])
    backwards = zip(returns[::-1], up[::-1], strict=True)
    for now, standing in backwards:
        after = standing * (1 + DISCOUNT * after)
        now[:] = after
    values = returns[up]
    spread = max(values.std(), 1e-12)
    return np.asarray((values - values.mean()) / spread)


def _batch(world: CartPole) -> tuple[Array, Array, Array]:
    """Return inputs and targets of all upright pushes, and their mask, (frames, carts)."""
    up = np.array(world.up)
    inputs = np.array(world.shown)[up]
    actions = np.array(world.pushed)[up]
    return inputs, advantages(actions, worth(up), 2), up


def _played(net: Network, world: CartPole) -> Callable[[], Gradients]:
    """Play episodes by forward passes; return a function of backpropagation's gradient."""
    outputs = np.empty((CARTS, 2))
    while (answer := world(outputs)) is not None:
        outputs = reference.forward(net, answer[0])[net.output]
    X, Y, _ = _batch(world)

    def gradient() -> Gradients:
        return _backprop(net, X, Y)

    return gradient


def _acted(net: Network, world: CartPole, setup: Setup, start: str) -> Callable[[], Gradients]:
    """Play episodes with the outputs of a flow; return a function of the flow's gradient.

    The relaxation starts from the states while acting or from 0; each call continues the last one.
    """
    sim = Simulation(net, setup.flow, dt=setup.dt, backend="numpy")
    frames = world.most + 1
    acting = sim.interact(
        world, frames=frames, per_frame=FRAME, patterns=CARTS, record=("x", "lam")
    )
    X, Y, up = _batch(world)
    state: Any = _acting_state(acting, up) if start == ACTING else ZERO

    def gradient() -> Gradients:
        nonlocal state
        run = sim.relax(X, Y, duration=FRAME, start=state)
        state = run.state
        return _flow_gradient(net, setup.flow, run, X, Y)

    return gradient


def _acting_state(acting: Run, up: Array) -> State:
    """Return the states in which the pushes were made, (pushes, units)."""
    assert acting.traces is not None
    parts: list[dict[str, Array]] = []
    for variable, last in (("x", acting.x), ("lam", acting.lam)):
        # a sample is taken at the end of the frame before it
        values = acting.traces[variable].values[1:]
        part = {}
        for name in acting.network.neurons:
            own = values[:, :, (acting.traces.population == name).values]
            whole = np.concatenate([own, last[name][None]])
            part[name] = whole[up]
        parts.append(part)
    x, lam = parts
    return State(x, lam)


def _flow_gradient(net: Network, flow: Flow, run: Run, X: Array, Y: Array) -> Gradients:
    """Return the gradient that the weights of a flow would descend."""
    rates = reference.right_hand_side(net, flow, run.x, run.lam, X, Y)
    gradients = {}
    for name, rate in rates.w.items():
        post = net.projections[name].post
        gradients[name] = -flow.time("tau_w", post) * rate
    for name, rate in rates.b.items():
        gradients[name] = -flow.time("tau_w", name) * rate
    return gradients


def _backprop(net: Network, X: Array, Y: Array) -> Gradients:
    found = reference.backprop(net, X, Y)
    return {**found.grad_w, **found.grad_b}


def _descend(net: Network, gradients: Gradients, rate: float) -> None:
    parameters = _parameters(net)
    for name, gradient in gradients.items():
        parameters[name][...] -= rate * gradient


def _parameters(net: Network) -> dict[str, Array]:
    return {**net.weights, **net.biases}


class Adam:
    """Adam (Kingma & Ba 2015) on the gradients of a network."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.steps = 0
        self.means: Gradients = {}
        self.squares: Gradients = {}

    def step(self, net: Network, gradients: Gradients) -> None:
        """Move the parameters of the network."""
        self.steps += 1
        unbiased_mean = 1 - 0.9**self.steps
        unbiased_square = 1 - 0.999**self.steps
        parameters = _parameters(net)
        for name, gradient in gradients.items():
            mean = 0.9 * self.means.get(name, 0.0) + 0.1 * gradient
            square = 0.999 * self.squares.get(name, 0.0) + 0.001 * gradient**2
            self.means[name] = mean
            self.squares[name] = square
            size = np.sqrt(square / unbiased_square) + 1e-8
            parameters[name][...] -= self.rate * mean / unbiased_mean / size


def _bandit_entries(own: xr.Dataset) -> list[str]:
    """Return result and worst seed of a flow on the bandit."""
    result = f"{mean_and_spread(own.best, 1, 100)} % best choices"
    return [result, f"{100 * float(own.best.min()):.1f} %"]


def _cart_entries(own: xr.Dataset) -> list[str]:
    """Return result and worst seed of a flow on the carts."""
    solved = int(own.solved.sum())
    seeds = int(own.solved.count())
    episodes = own.episodes.where(own.solved == 1)
    median = f"{float(episodes.median()):.0f}"
    worst = f"{float(own.length.min()):.0f} pushes"
    if solved == seeds:
        worst = f"{float(episodes.max()):.0f}"
    return [f"solved by {solved} of {seeds}, after {median} episodes (median)", worst]


def _draw_bandit(ax: Any, own: xr.Dataset) -> None:
    """Draw a dot per seed, and a dash at their mean."""
    from neurosim.plot.page import PALETTE

    label: str | None = "mean of the seeds"
    percents = own.best.transpose("who", "seed").values * 100
    for i, seeds in enumerate(percents):
        ax.plot([i] * len(seeds), seeds, "o", color=PALETTE[0], ms=4, alpha=0.6)
        ax.plot(i, np.nanmean(seeds), "_", color="k", ms=16, label=label)
        label = None  # one entry of the legend
    ax.legend(loc="lower left")
    ax.set(ylabel="best choices (%)", title="Contextual bandit, trial by trial")
    worst = float(own.best.min())
    ax.set_ylim(min(70.0, 0.95 * 100 * worst), 102)


def _draw_carts(ax: Any, own: xr.Dataset) -> None:
    """Draw a dot per seed that solved the task, and a cross per seed that did not."""
    from neurosim.plot.page import PALETTE

    looks = ((1, PALETTE[0], "o", "solved"), (0, PALETTE[1], "x", "not solved"))
    for solved, colour, marker, name in looks:
        episodes = own.episodes.where(own.solved == solved)
        found = episodes.transpose("who", "seed").values
        if not np.isfinite(found).any():
            continue
        label: str | None = name
        for i, seeds in enumerate(found):
            places = [i] * len(seeds)
            ax.plot(places, seeds, marker, color=colour, ms=4, alpha=0.7, label=label)
            label = None  # one entry of the legend
    ax.set(ylabel="episodes played until solved", title="CartPole, sixteen episodes at a time")
    ax.set_ylim(0, 1.25 * float(own.episodes.max()))
    ax.legend(ncols=2)
