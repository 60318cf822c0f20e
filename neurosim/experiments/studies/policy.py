"""Learning from rewards: the loss -A log pi(action) on a contextual bandit and on carts that
balance poles.

The bandit is learnt trial by trial by the flow's own weights; for the carts a batch of episodes is
played, and then the gradient that the flow has at rest is followed by Adam. Start at `measure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim import Flow, Network, Simulation, State, reference
from neurosim.data.tasks import Bandit, CartPole, advantages
from neurosim.errors import unknown

if TYPE_CHECKING:
    import xarray as xr

Array = np.ndarray
Gradients = dict[str, Array]  # by projection, and by population for biases

QUESTION = (
    "Does a policy learn from rewards through multipliers, as it does through backpropagation?"
)
VARIED = ("tasks", "flows", "first")
TASKS = ("bandit", "cartpole")
BACKPROP = "backprop"
QUICK = {"seeds": 1, "flows": [BACKPROP, "adjoint"], "trials": 1500, "episodes": 160}
FRAME = 60e-3  # s, 6 tau: a context or a cart's state is shown so long
LAST = 1000  # trials that count
CARTS, SOLVED, UPDATES = (
    16,
    195.0,
    5,
)  # episodes at once; the mean length over so many updates that counts as solved
STEPS, RATE, DISCOUNT = (
    5,
    0.01,
    0.99,
)  # of Adam on a batch of episodes; chosen on seeds from 100 with backpropagation


@dataclass(frozen=True)
class Setup:
    """A flow and its step (s)."""

    flow: Flow
    dt: float


SETUPS = {
    "adjoint": Setup(Flow.adjoint(), 2e-3),
    "rotated(75°)": Setup(Flow.rotated(np.radians(75)), 2e-3),
    "damped": Setup(Flow.damped(), 1e-3),
    "augmented(2)": Setup(Flow.augmented(2), 1e-3),
}
# on the bandit; of 0.01 to 0.8 it did best on seeds 100 to 109, from 0.02 on all but equally well
BACKPROP_RATE = 0.05
TAU_W = FRAME / 2 / BACKPROP_RATE  # s: a trial at rest moves weights as far


def cells(settings: Mapping[str, Any], quick: bool) -> list[dict[str, Any]]:
    """Every task and flow with every seed; carts also from x = lam = 0, where a state can make a
    difference.
    """
    own = _own(settings, quick)
    for key, allowed in (("tasks", TASKS), ("flows", (BACKPROP, *SETUPS))):
        for name in own[key]:
            if name not in allowed:
                raise unknown(f"study.{key}", name, allowed)
    return [
        {"task": task, "flow": flow, "start": start, "seed": seed}
        for task in own["tasks"]
        for flow in own["flows"]
        for start in (
            ("acting", "zero")
            if task == "cartpole" and flow in ("damped", "augmented(2)")
            else ("acting",)
        )
        for seed in range(
            own["first"], own["first"] + own["seeds"] * (2 if task == "bandit" and not quick else 1)
        )
    ]


def measure(cell: Mapping[str, Any], settings: Mapping[str, Any], quick: bool) -> dict[str, float]:
    """Of the bandit `best`, the share of the last trials with the best arm; of the carts `solved`
    and `episodes`.
    """
    own = _own(settings, quick)
    if cell["task"] == "bandit":
        return bandit(cell["flow"], cell["seed"], own["trials"], own["tau_w"])
    return carts(cell["flow"], cell["start"], cell["seed"], own["episodes"])


def bandit(flow: str, seed: int, trials: int, tau_w: float = 0.0) -> dict[str, float]:
    """One trial a step, 8-16-4, eight contexts, plastic in the second half of each frame (tau_w 0:
    `TAU_W`).
    """
    net, world = (
        Network.mlp([8, 16, 4], loss="policy", seed=seed),
        Bandit.random_weights(contexts=8, seed=seed),
    )
    if flow == BACKPROP:
        outputs = np.empty((0, 4))
        for _ in range(2 * trials):
            X, Y = world(outputs)
            outputs = reference.forward(net, X)[net.output]
            if Y.any():
                _descend(net, _backprop(net, X, Y), BACKPROP_RATE)
    else:
        setup = SETUPS[flow]
        moving = replace(setup.flow, tau_w=tau_w or TAU_W)
        sim = Simulation(net, moving, dt=setup.dt, backend="numpy", seed=seed)
        sim.interact(world, frames=2 * trials, per_frame=FRAME, plastic_from=0.5)
    return {
        "best": world.rate(min(LAST, trials)),
        "early": float(np.mean(world.chosen[: LAST // 2])),
    }


def carts(flow: str, start: str, seed: int, episodes: int) -> dict[str, float]:
    """Sixteen episodes at a time, 4-32-2, then a few steps of Adam, until solved or so many
    episodes are over.
    """
    net, adam = Network.mlp([4, 32, 2], loss="policy", seed=seed), Adam(RATE)
    lengths: list[float] = []
    while len(lengths) < episodes // CARTS:
        world = CartPole.random_weights(CARTS, seed=[seed, len(lengths)])
        gradient = (
            _played(net, world) if flow == BACKPROP else _acted(net, world, SETUPS[flow], start)
        )
        lengths.append(float(world.lengths.mean()))
        if len(lengths) >= UPDATES and np.mean(lengths[-UPDATES:]) >= SOLVED:
            break
        for _ in range(STEPS):
            adam.step(net, gradient())
    solved = len(lengths) >= UPDATES and np.mean(lengths[-UPDATES:]) >= SOLVED
    return {
        "solved": float(solved),
        "episodes": float(CARTS * len(lengths)),
        "length": float(np.mean(lengths[-UPDATES:])),
    }


def worth(up: Array) -> Array:
    """Standardised discounted returns of every push, of a reward of 1 for each that was made
    upright.

    Parameters
    ----------
    up : (frames, carts) of bool
    """
    returns = np.zeros(up.shape)
    after = np.zeros(up.shape[1])
    for now, standing in zip(returns[::-1], up[::-1], strict=True):
        after = now[:] = standing * (1 + DISCOUNT * after)
    values = returns[up]
    return np.asarray((values - values.mean()) / max(values.std(), 1e-12))


def _batch(world: CartPole) -> tuple[Array, Array, Array]:
    """Inputs, targets, and where they stand among (frames, carts)."""
    up = np.array(world.up)
    return np.array(world.shown)[up], advantages(np.array(world.pushed)[up], worth(up), 2), up


def _played(net: Network, world: CartPole) -> Callable[[], Gradients]:
    """Episodes with forward passes; then backpropagation's gradient, as often as it is asked for."""
    outputs = np.empty((CARTS, 2))
    while (answer := world(outputs)) is not None:
        outputs = reference.forward(net, answer[0])[net.output]
    X, Y, _ = _batch(world)
    return lambda: _backprop(net, X, Y)


def _acted(net: Network, world: CartPole, setup: Setup, start: str) -> Callable[[], Gradients]:
    """Episodes with flowing outputs; then the flow's gradient, from the acting state or from 0 and
    on from there.
    """
    sim = Simulation(net, setup.flow, dt=setup.dt, backend="numpy")
    acting = sim.interact(
        world, frames=world.most + 1, per_frame=FRAME, patterns=CARTS, record=("x", "lam")
    )
    assert acting.traces is not None
    X, Y, up = _batch(world)
    state: Any = "zero"
    if start == "acting":
        ends = []
        for variable, last in (("x", acting.x), ("lam", acting.lam)):
            values = acting.traces[variable].values[
                1:
            ]  # sample k is taken at the end of frame k - 1
            own = {n: values[:, :, (acting.traces.population == n).values] for n in net.neurons}
            ends.append({n: np.concatenate([v, last[n][None]])[up] for n, v in own.items()})
        state = State(*ends)

    def gradient() -> Gradients:
        nonlocal state
        run = sim.relax(X, Y, duration=FRAME, start=state)
        state = run.state
        rates = reference.right_hand_side(net, setup.flow, run.x, run.lam, X, Y)
        tau_w = {n: setup.flow.time("tau_w", n) for n in net.neurons}
        return {n: -tau_w[net.projections[n].post] * v for n, v in rates.w.items()} | {
            n: -tau_w[n] * v for n, v in rates.b.items()
        }

    return gradient


def _backprop(net: Network, X: Array, Y: Array) -> Gradients:
    found = reference.backprop(net, X, Y)
    return {**found.grad_w, **found.grad_b}


def _descend(net: Network, gradients: Gradients, rate: float) -> None:
    for name, gradient in gradients.items():
        _parameters(net)[name][...] -= rate * gradient


def _parameters(net: Network) -> dict[str, Array]:
    return {**net.weights, **net.biases}


class Adam:
    """Adam (Kingma & Ba 2015) on whatever gradients come in."""

    def __init__(self, rate: float) -> None:
        self.rate, self.steps = rate, 0
        self.means: Gradients = {}
        self.squares: Gradients = {}

    def step(self, net: Network, gradients: Gradients) -> None:
        """Move the network's parameters."""
        self.steps += 1
        for name, gradient in gradients.items():
            mean = self.means[name] = 0.9 * self.means.get(name, 0.0) + 0.1 * gradient
            square = self.squares[name] = 0.999 * self.squares.get(name, 0.0) + 0.001 * gradient**2
            size = np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8
            _parameters(net)[name][...] -= self.rate * mean / (1 - 0.9**self.steps) / size


def table(data: xr.Dataset) -> Any:
    """Best choices in %, mean ± spread and worst seed; carts: how many seeds solved, after how many
    episodes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from neurosim.experiments.studies import mean_and_spread

    shown = Table("task", "flow", "start", "result", "worst seed", box=SIMPLE_HEAD)
    for task in data.task.values:
        for flow in data.flow.values:
            for start in data.start.values:
                own = data.sel(task=task, flow=flow, start=start)
                if task == "bandit" and "best" in own and own.best.count():
                    found = f"{mean_and_spread(own.best, 1, 100)} % best choices"
                    shown.add_row(
                        str(task), str(flow), "", found, f"{100 * float(own.best.min()):.1f} %"
                    )
                elif task == "cartpole" and "solved" in own and own.solved.count():
                    solved, seeds = int(own.solved.sum()), int(own.solved.count())
                    took = own.episodes.where(own.solved == 1)
                    found = f"solved by {solved} of {seeds}, after {float(took.median()):.0f} episodes (median)"
                    worst = (
                        f"{float(took.max()):.0f}"
                        if solved == seeds
                        else f"{float(own.length.min()):.0f} pushes"
                    )
                    shown.add_row(str(task), str(flow), str(start), found, worst)
    return shown


def figure(data: xr.Dataset) -> Any:
    """Every seed of every flow: best choices of the bandit; episodes until the poles stay up."""
    from matplotlib.figure import Figure

    from neurosim.plot import style

    tasks = [t for t in data.task.values if ("best" if t == "bandit" else "episodes") in data]
    with style():
        figure = Figure(figsize=(3.6 * len(tasks), 3.0), layout="constrained")
        panels = figure.subplots(1, len(tasks), squeeze=False)[0]
        for ax, task in zip(panels, tasks, strict=True):
            own = data.sel(task=task).stack(who=("flow", "start")).dropna("who", how="all")
            names = [f"{f}, from 0" if s == "zero" else str(f) for f, s in own.who.values]
            draw = _draw_bandit if task == "bandit" else _draw_carts
            draw(ax, own)
            ax.set_xticks(range(len(names)), names, rotation=35, ha="right")
            ax.set_xlim(-0.6, len(names) - 0.4)
    return figure


def _draw_bandit(ax: Any, own: xr.Dataset) -> None:
    from neurosim.plot.drawing import PALETTE

    for i, seeds in enumerate(own.best.transpose("who", "seed").values * 100):
        ax.plot([i] * len(seeds), seeds, "o", color=PALETTE[0], ms=4, alpha=0.6)
        ax.plot(
            i,
            np.nanmean(seeds),
            "_",
            color="k",
            ms=16,
            label="mean of the seeds" if i == 0 else None,
        )
    ax.legend(loc="lower left")
    ax.set(ylabel="best choices (%)", title="Contextual bandit, one trial a step")
    ax.set_ylim(min(70.0, 0.95 * 100 * float(own.best.min())), 102)


def _draw_carts(ax: Any, own: xr.Dataset) -> None:
    from neurosim.plot.drawing import PALETTE

    for solved, colour, marker, label in (
        (1, PALETTE[0], "o", "solved"),
        (0, PALETTE[1], "x", "not solved"),
    ):
        found = own.episodes.where(own.solved == solved).transpose("who", "seed").values
        if not np.isfinite(found).any():
            continue
        for i, seeds in enumerate(found):
            ax.plot(
                [i] * len(seeds),
                seeds,
                marker,
                color=colour,
                ms=4,
                alpha=0.7,
                label=label if i == 0 else None,
            )
    ax.set(ylabel="episodes played until solved", title="CartPole, sixteen episodes at a time")
    ax.set_ylim(0, 1.25 * float(own.episodes.max()))
    ax.legend(ncols=2)


def _own(settings: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    return dict(settings["study"]) | (QUICK if quick else {})
