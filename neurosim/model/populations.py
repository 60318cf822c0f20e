"""Populations, projections and losses: the parts of a network, each checked by itself.

Below `network`, which puts them together and draws the weights. Start at `Population`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.errors import ModelError, number, out_of_range, unknown, whole, yes_or_no
from neurosim.model import expressions
from neurosim.model.feedback import DECAY, DERIVED, KINDS, KOLEN_POLLACK, SYMMETRIC
from neurosim.model.weights import INITS, NORMAL, Weights

PENALTIES = ("l1", "l2", "row_l1", "column_l1")  # terms of R(w), by projection
FEEDBACK = ("feedback", "feedback_size", "feedback_decay")  # arguments of a projection
OPTIONS = (*PENALTIES, *FEEDBACK, "plastic")  # of a projection, beside its ends and weights
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# names of the engine's own objects
RESERVED = frozenset(
    {
        "run",
        "transport",
        "forward",
        "forward_again",
        "backward",
        "present",
        "record",
        "finish",
        "steps",
    }
)


@dataclass(frozen=True)
class Population:
    """Units of one kind, with one activation and one constraint.

    Parameters
    ----------
    name : str
        A letter, then letters, digits and underscores.
    size : int
        Number of units, >= 1.
    activation : str
        tanh, sigmoid, relu, softplus, linear, or a formula in `a` such as ``"a/(1+abs(a))"``.
    constraint : str
        Constraint function G: lin (g), lin_eps, abs, abs_eps, squared, tube (|g| <= epsilon), none,
        or a formula in `g` and `epsilon`.
    clamped : bool
        Whether the outputs are data: an input, without multipliers and dynamics.
    epsilon : float
        Half-width of the tolerance of lin_eps, abs_eps, tube and formulas that read it, >= 0.
    activity_l1 : float
        Penalty alpha in alpha Σ|x|, per pattern, >= 0.
    plastic_bias : bool
        Whether the biases learn; with False they stay as they are.
    bias_init : float
        Biases at the start, one number for all units, finite.

    Raises
    ------
    ModelError
        An unknown name or a value out of range.

    Notes
    -----
    With the constraint "none" the outputs are not variables: x = sigma(a) and lam = -dV/dx at every
    moment.

    The multiplier lam at the end of a run, by constraint:

    - lin: backpropagation's adjoint -dV/dx, exactly; g = 0.
    - tube: the multiplier of min V subject to |g| <= epsilon (Karush, Kuhn & Tucker). It is 0
      within the tube and has the sign of g at its wall; lam_plus = max(lam, 0), lam_minus =
      max(-lam, 0).
    - abs, abs_eps, lin_eps: the state slides along the kink and never rests. The time average of mu
      = (lam + rho G) G' is the adjoint at its own x, the nearer the smaller dt (measured: within
      1.1 % for abs at dt = 0.01 tau_x, 0.03 % for the others). lam itself is the height of the
      chatter.
    - squared: an integrated penalty, which only grows. g falls as t^(-1/3), mu is the adjoint at
      that x, and the stable step shrinks as lam grows.

    Examples
    --------
    >>> Population("hidden", 32, "relu").constraint
    'lin'
    """

    name: str
    size: int
    activation: str = "tanh"
    constraint: str = "lin"
    clamped: bool = False
    epsilon: float = 0.0
    activity_l1: float = 0.0
    plastic_bias: bool = True
    bias_init: float = 0.0

    def __post_init__(self) -> None:
        if not _is_free_name(self.name):
            allowed = f"a letter, then letters, digits, '_'; not {', '.join(sorted(RESERVED))}"
            raise out_of_range("population name", self.name, allowed)
        object.__setattr__(self, "size", whole(f"size of {self.name}", self.size, 1))
        if isinstance(self.epsilon, np.number):
            object.__setattr__(self, "epsilon", float(self.epsilon))
        try:
            self.term  # noqa: B018  refuses an unknown constraint
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        expressions.activation(self.activation)
        penalty = number(f"activity_l1 of {self.name}", self.activity_l1, least=0)
        object.__setattr__(self, "activity_l1", penalty)
        yes_or_no(f"plastic_bias of {self.name}", self.plastic_bias)
        bias = number(f"bias_init of {self.name}", self.bias_init)
        if bias and self.clamped:
            allowed = "0 where clamped=True: an input has no biases"
            raise out_of_range(f"bias_init of {self.name}", bias, allowed)
        object.__setattr__(self, "bias_init", bias)

    @property
    def free(self) -> bool:
        """Whether the units have no constraint, so that outputs always follow the net input."""
        return self.constraint == expressions.FREE and not self.clamped

    @property
    def term(self) -> expressions.Constraint:
        """G and its slope as text."""
        return expressions.constraint(self.constraint, self.epsilon)


@dataclass(frozen=True, eq=False)
class Projection:
    """All synapses from one population to another.

    Parameters
    ----------
    pre : str
        Name of the presynaptic population.
    post : str
        Name of the postsynaptic population.
    weights : array or SciPy sparse array, (n_post, n_pre), optional
        Weights, drawn N(0, gain² / number of presynaptic partners) if not given; of a sparse array
        only the stored synapses exist.
    mask : bool array, (n_post, n_pre), optional
        Which synapses exist; all of them if not given.
    gain : float
        Spread of the weights that are drawn, >= 0.
    init : "normal" or "orthogonal"
        Distribution of the weights that are drawn: independent normal numbers, or gain times a
        (semi-)orthogonal matrix, for projections without mask and without weights of their own.
    l1, l2 : float
        Penalties in R(w) = l1 Σ|w| + (l2/2) Σ w², >= 0.
    row_l1, column_l1 : float
        Group penalties row_l1 Σ_i ||w_i.|| of all synapses into one postsynaptic unit, and
        column_l1 Σ_j ||w_.j|| of all synapses out of one presynaptic unit, >= 0.
    feedback : "symmetric", "random", "sign", "kolen_pollack" or "mirror"
        Kind of the matrix that carries messages back.
    feedback_weights : array or SciPy sparse array, (n_pre, n_post), optional
        B at the start, drawn N(0, feedback_size²) if not given.
    feedback_size : float, optional
        Spread of a drawn B, and size of the entries of sign, >= 0; the root mean square of the
        weights if not given.
    feedback_decay : float, optional
        Decay c of W (beside l2) and of B under kolen_pollack, >= 0; 0.01 if not given.
    plastic : bool
        Whether the weights learn; with False they stay as they are, such as the identities of a
        residual net.

    Raises
    ------
    ModelError
        An unknown kind, a value out of range, or an argument that the kind of feedback does not
        read.

    Notes
    -----
    l1, row_l1 and column_l1 act as proximal steps, in this order, which reach exact zeros: of
    single weights, and of whole groups (Yuan & Lin, J. R. Stat. Soc. B 68, 2006).

    Messages travel back through Wᵀ (symmetric), or through a matrix B that is fixed (random),
    follows the signs of Wᵀ (sign), learns by the same local product as W while both decay
    (kolen_pollack), or is learnt from the network's answers to noise before every row of a
    training's log (mirror); see `neurosim.model.feedback`.

    Examples
    --------
    >>> Projection("input", "hidden", l2=1e-4).name
    'input->hidden'
    """

    pre: str
    post: str
    weights: Weights = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)
    gain: float = 1.0
    init: str = NORMAL
    l1: float = 0.0
    l2: float = 0.0
    row_l1: float = 0.0
    column_l1: float = 0.0
    feedback: str = SYMMETRIC
    feedback_weights: Weights = field(default=None, repr=False)
    feedback_size: float | None = None
    feedback_decay: float | None = None
    plastic: bool = True

    def __post_init__(self) -> None:
        for key in ("gain", *PENALTIES):
            self._keep_number(key)
        yes_or_no(f"plastic of {self.name}", self.plastic)
        self._check_init()
        if self.feedback not in KINDS:
            raise unknown(f"feedback of {self.name}", self.feedback, KINDS)
        if self.feedback == KOLEN_POLLACK and self.feedback_decay is None:
            object.__setattr__(self, "feedback_decay", DECAY)
        self._check_feedback_arguments()
        for key in ("feedback_decay", "feedback_size"):
            if getattr(self, key) is not None:
                self._keep_number(key)

    @property
    def name(self) -> str:
        """``"pre->post"``."""
        return f"{self.pre}->{self.post}"

    @property
    def penalties(self) -> dict[str, float]:
        """All penalties of R(w) by name."""
        return {key: getattr(self, key) for key in PENALTIES}

    @property
    def options(self) -> dict[str, Any]:
        """Arguments that files keep beside ends and weights, as plain values."""
        options = self.penalties | self.described_feedback
        if not self.plastic:
            options["plastic"] = False
        return options

    @property
    def decay(self) -> float:
        """Decay of every weight, in 1/tau_w: l2, plus `feedback_decay` under kolen_pollack."""
        return self.l2 + (self.feedback_decay or 0.0)

    @property
    def proximal(self) -> bool:
        """Whether a penalty has no derivative at 0, so that weights take proximal steps."""
        return bool(self.l1 or self.row_l1 or self.column_l1)

    @property
    def draws_feedback(self) -> bool:
        """Whether B is a parameter: it is neither W nor derived from W."""
        return self.feedback not in DERIVED

    @property
    def described_feedback(self) -> dict[str, Any]:
        """Arguments of the feedback as plain values; empty where it is symmetric."""
        if self.feedback == SYMMETRIC:
            return {}
        given = {key: getattr(self, key) for key in FEEDBACK}
        return {key: value for key, value in given.items() if value is not None}

    def _check_init(self) -> None:
        if self.init not in INITS:
            raise unknown(f"init of {self.name}", self.init, INITS)
        for key in ("weights", "mask"):
            if self.init != NORMAL and getattr(self, key) is not None:
                raise ModelError(
                    f"init of {self.name} = {self.init!r} beside {key}; allowed: {NORMAL!r}, "
                    f"or no {key}"
                )

    def _check_feedback_arguments(self) -> None:
        """Refuse an argument that the kind of feedback does not read."""
        reads = {
            "feedback_decay": self.feedback == KOLEN_POLLACK,
            "feedback_size": self.feedback != SYMMETRIC,
            "feedback_weights": self.draws_feedback,
        }
        for key, is_read in reads.items():
            value = getattr(self, key)
            if value is not None and not is_read:
                shown = f" = {value!r}" if np.isscalar(value) else ""
                raise ModelError(
                    f"{key} of {self.name}{shown} with feedback = {self.feedback!r}, "
                    "which does not read it; allowed: None"
                )

    def _keep_number(self, key: str) -> None:
        value = number(f"{key} of {self.name}", getattr(self, key), least=0)
        object.__setattr__(self, key, value)


@dataclass(frozen=True)
class Loss:
    """V on one population, summed over its units and times a weight.

    Parameters
    ----------
    population : str
        Name of the population.
    kind : str
        mse, cross_entropy, squared_hinge, eps_insensitive, policy, or a formula in `x` and `y`.
    weight : float
        Factor of V, >= 0.
    epsilon : float
        Tolerance of eps_insensitive, >= 0.

    Raises
    ------
    ModelError
        An unknown kind or a value out of range.

    Notes
    -----
    A formula without y, such as ``"abs(x)"`` on hidden units, is a penalty on outputs and needs no
    target.

    `policy` is -A log softmax(x)[action], whose slope is the policy gradient of REINFORCE
    (Williams, Machine Learning 8, 1992). y is the advantage A at the action that was taken and 0
    elsewhere, see `neurosim.tasks.advantages`. With y = 0 the loss is 0, so that a network can act
    before the reward is known. Where A is negative V has no lower bound.

    Examples
    --------
    >>> Loss("output", "mse").term.slope
    'x - y'
    """

    population: str
    kind: str = "mse"
    weight: float = 1.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        number(f"loss weight of {self.population}", self.weight, least=0)
        number(f"loss_epsilon of {self.population}", self.epsilon, least=0)
        self.term  # noqa: B018  refuses an unknown kind

    @property
    def term(self) -> expressions.LossTerm:
        """V and dV/dx as text."""
        return expressions.loss(self.kind, self.epsilon)


def _is_free_name(name: Any) -> bool:
    """Whether a population may have this name: an identifier that the engine does not use."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    return name not in RESERVED and not name.startswith("transport_")
