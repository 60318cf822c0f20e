"""Build the populations, projections and losses of layered and of residual nets.

Below `network`: `Network.mlp` and `Network.residual` call these functions. Start at `layer_sizes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neurosim.errors import ModelError, number, out_of_range, unknown, whole, yes_or_no
from neurosim.model import expressions
from neurosim.model.expressions import FREE, LIN
from neurosim.model.feedback import KINDS, KOLEN_POLLACK, SYMMETRIC
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.weights import identity

Ends = tuple[str, str]  # names of the presynaptic and the postsynaptic population
INPUT, OUTPUT = "input", "output"


MOST_LAYERS = 10_000  # of weights


def layer_sizes(sizes: Any, depth: Any = None) -> dict[str, int]:
    """Return the number of units of `input`, `hidden1`, ..., `output`, by name and in this order.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer; with `depth` [input, hidden, output].
    depth : int, optional
        Number of weight layers, >= 1: there are depth - 1 hidden layers of one size.

    Raises
    ------
    ModelError
        Fewer than two layers; with `depth`, other than three sizes, or a depth out of range.
    """
    several = isinstance(sizes, Iterable) and not isinstance(sizes, str | bytes)
    if not several or len(list(sizes)) < 2:
        raise out_of_range("sizes", sizes, "at least two layers, input first", "[64, 32, 10]")
    widths = list(sizes)
    if depth is not None:
        widths = widths_of_depth(widths, depth)
    hidden = [f"hidden{i}" for i in range(1, len(widths) - 1)]
    return dict(zip([INPUT, *hidden, OUTPUT], widths, strict=True))


def widths_of_depth(sizes: list[int], depth: Any) -> list[int]:
    """Return the number of units per layer, where all depth - 1 hidden layers have one size.

    Parameters
    ----------
    sizes : [input, hidden, output]
        Units of the input, of every hidden layer, and of the output.
    depth : int
        Number of weight layers, >= 1.

    Raises
    ------
    ModelError
        Other than three sizes, or a depth out of range.
    """
    if len(sizes) != 3:
        allowed = "three layers beside depth: input, hidden, output"
        raise out_of_range("sizes", sizes, allowed, "[16, 16, 16]")
    inputs, hidden, outputs = sizes
    repeats = whole("depth", depth, 1) - 1
    if repeats >= MOST_LAYERS:
        raise out_of_range("depth", depth, f"at most {MOST_LAYERS}", "16")
    return [inputs, *[hidden] * repeats, outputs]


def value_by_name(
    key: str, given: Any, names: Sequence[str], default: Any, what: str = "population"
) -> dict[str, Any]:
    """Return one value per name, from one value for all or from a mapping.

    Parameters
    ----------
    key : str
        Name of the argument, for messages.
    given : value, or {name: value}
    names : sequence of str
        All valid names.
    default : object
        Value of names that a mapping leaves out.
    what : str
        Kind of the names, for messages.

    Raises
    ------
    ModelError
        A mapping with a name that is not among `names`.
    """
    if not isinstance(given, Mapping):
        return dict.fromkeys(names, given)
    for name in given:
        if name not in names:
            raise unknown(f"{what} of {key}", name, names)
    return {name: given.get(name, default) for name in names}


def constraint_options(
    names: Sequence[str], constraint: Any, epsilon: Any, free_output: bool
) -> dict[str, dict[str, Any]]:
    """Return the arguments `constraint` and `epsilon` of `Population` for every layer.

    If `constraint` is a mapping and `epsilon` one number, only constraints that have a tolerance
    get it.
    """
    kinds = value_by_name("constraint", constraint, names, LIN)
    widths = value_by_name("epsilon", epsilon, names, 0.0)
    shared_epsilon = isinstance(constraint, Mapping) and not isinstance(epsilon, Mapping)
    options = {}
    for name in names:
        if shared_epsilon and not expressions.constraint(kinds[name]).reads_epsilon:
            widths[name] = 0.0
        options[name] = {"constraint": kinds[name], "epsilon": widths[name]}
    if shared_epsilon and epsilon and not any(widths.values()):
        raise out_of_range("epsilon", epsilon, "0 where no constraint has a tolerance")
    if yes_or_no("free_output", free_output):
        for key, given in (("constraint", constraint), ("epsilon", epsilon)):
            if isinstance(given, Mapping) and OUTPUT in given:
                raise ModelError(
                    f"{key} of {OUTPUT} = {given[OUTPUT]!r} with free_output=True, which has none; "
                    "allowed: one of them"
                )
        options[OUTPUT] = {"constraint": FREE, "epsilon": 0.0}
    return options


def check_penalties(hidden: Sequence[str], **penalties: float) -> None:
    """Refuse penalties on hidden layers where there are none."""
    for name, penalty in penalties.items():
        if penalty and not hidden:
            allowed = "0 where no layer is hidden"
            raise out_of_range(name, penalty, allowed, "sizes=[64, 32, 10], or l1")


def exit_of(hidden: str) -> str:
    """Return the name of a hidden layer's early exit."""
    return hidden.replace("hidden", "exit")


def exit_weights(exits: Any, hidden: Sequence[str]) -> dict[str, float]:
    """Return the weight of the loss on each early exit, by the name of its hidden layer."""
    given = value_by_name("exits", exits, hidden, 0.0)
    return {name: weight for name, weight in given.items() if weight}


def skip_ends(skips: Any, names: Sequence[str]) -> list[Ends]:
    """Return the ends of the projections from each layer to the one `skips` layers further on.

    Raises
    ------
    ModelError
        A number other than 0, or 2 to len(names) - 1.
    """
    jump = whole("skips", skips, 0)
    if jump == 0:
        return []
    if not 2 <= jump < len(names):
        allowed = "0 where no layer is hidden"
        if len(names) > 2:
            allowed = f"0, or layers from 2 to {len(names) - 1}"
        raise out_of_range("skips", skips, allowed)
    return list(zip(names, names[jump:], strict=False))


def gain_share(
    pre: str, post: str, ends: Sequence[Ends], populations: Sequence[Population]
) -> float:
    """Return the factor of a projection's gain that keeps the spread of the net inputs of `post`.

    It is sqrt(n_pre / n), where n is the number of all units that project to `post`.
    """
    size = {p.name: p.size for p in populations}
    incoming = sum(size[other] for other, target in ends if target == post)
    return math.sqrt(size[pre] / incoming)


def feedback_options(
    feedback: Any, decay: float | None, ends: Sequence[Ends]
) -> dict[Ends, dict[str, Any]]:
    """Return the arguments `feedback` and `feedback_decay` of every `Projection`.

    Nothing is sent back to the input, so projections from it have no such arguments.

    Raises
    ------
    ModelError
        An unknown projection or kind, or a decay where no feedback is kolen_pollack.
    """
    returning = {f"{pre}->{post}": (pre, post) for pre, post in ends if pre != INPUT}
    kinds = value_by_name("feedback", feedback, list(returning), SYMMETRIC, "projection")
    for kind in kinds.values():
        if kind not in KINDS:
            raise unknown("feedback", kind, KINDS)
    if decay is not None and KOLEN_POLLACK not in kinds.values():
        raise out_of_range("feedback_decay", decay, f"None without feedback={KOLEN_POLLACK!r}")
    if not returning and feedback != SYMMETRIC:
        allowed = f"{SYMMETRIC!r} where no projection is between neurons"
        raise out_of_range("feedback", feedback, allowed, "sizes=[64, 32, 10]")
    options: dict[Ends, dict[str, Any]] = {pair: {} for pair in ends}
    for name, kind in kinds.items():
        own = {"feedback": kind}
        if kind == KOLEN_POLLACK:
            own["feedback_decay"] = decay
        options[returning[name]] = own
    return options


def rules(plasticity: Any, ends: Sequence[Ends]) -> dict[Ends, dict[str, Any]]:
    """Return the argument `plasticity` of every `Projection`, from one rule or one per projection.

    Raises
    ------
    ModelError
        An unknown projection.
    """
    names = {f"{pre}->{post}": (pre, post) for pre, post in ends}
    by_projection = isinstance(plasticity, Mapping) and any("->" in str(key) for key in plasticity)
    if by_projection:
        given = value_by_name("plasticity", plasticity, list(names), None, "projection")
    else:
        given = dict.fromkeys(names, plasticity)
    return {pair: {"plasticity": given[name]} for name, pair in names.items()}


def losses(loss: str | None, epsilon: float, exits: Mapping[str, float]) -> list[Loss]:
    """Return the weighted losses on the early exits, then the loss on the output; [] for None.

    Raises
    ------
    ModelError
        Early exits, or a tolerance, without a loss.
    """
    if loss is None:
        for key, value in (("exits", exits), ("loss_epsilon", epsilon)):
            if value:
                raise out_of_range(key, value, "none where loss is None")
        return []
    early = [Loss(exit_of(name), loss, weight, epsilon) for name, weight in exits.items()]
    return [*early, Loss(OUTPUT, loss, epsilon=epsilon)]


def residual_populations(
    sizes: Any, depth: Any, activation: str, output: str, plastic_bias: bool
) -> list[Population]:
    """Return the input, `hidden1`, two populations per block (branch and sum), and the output.

    Parameters
    ----------
    sizes : [input, width, output]
    depth : int
        Number of plastic weight layers, >= 3; there are depth - 2 blocks.
    activation, output : str
        Activations of the branches and of the output.
    plastic_bias : bool
        Whether biases learn.

    Raises
    ------
    ModelError
        Sizes other than [input, width, output], or a depth out of range.
    """
    widths = widths_of_depth(list(sizes), depth)
    if len(widths) < 4:
        allowed = "a whole number of weight layers >= 3, so at least one block"
        raise out_of_range("depth", depth, allowed, "3")
    width = widths[1]
    populations = [
        Population(INPUT, widths[0], "linear", clamped=True),
        Population("hidden1", width, "linear", plastic_bias=plastic_bias),
    ]
    for i in range(2, int(depth)):
        branch = Population(f"branch{i}", width, activation, plastic_bias=plastic_bias)
        stream = Population(f"hidden{i}", width, "linear", plastic_bias=plastic_bias)
        populations += [branch, stream]
    populations.append(Population(OUTPUT, widths[-1], output, plastic_bias=plastic_bias))
    return populations


def residual_projections(
    width: int, depth: int, gain: float, scale: float | None
) -> list[Projection]:
    """Return the projections of a residual net: a first one, three per block, and a last one.

    Parameters
    ----------
    width : int
        Units per hidden layer.
    depth : int
        Number of plastic weight layers.
    gain : float
        Gain of the plastic weights.
    scale : float or None
        Factor of a branch's output, >= 0; 1/sqrt(depth) if None.

    Raises
    ------
    ModelError
        A scale out of range.
    """
    factor = 1 / math.sqrt(depth)
    if scale is not None:
        factor = number("scale", scale, least=0)
    projections = [Projection(INPUT, "hidden1", gain=gain)]
    for i in range(2, depth):
        before, branch, after = f"hidden{i - 1}", f"branch{i}", f"hidden{i}"
        projections += [
            Projection(before, branch, gain=gain),
            Projection(before, after, identity(width, 1.0), plastic=False),
            Projection(branch, after, identity(width, factor), plastic=False),
        ]
    projections.append(Projection(f"hidden{depth - 1}", OUTPUT, gain=gain))
    return projections
