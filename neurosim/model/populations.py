"""Populations, projections and losses: what a network is made of, each checked by itself.

Below `network`, which puts them together and draws the weights. Start at `Population`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.errors import ModelError, number, out_of_range, unknown, whole, yes_or_no
from neurosim.model import expressions
from neurosim.model import feedback as carriers
from neurosim.model.weights import Weights

PRICES = ("l1", "l2", "row_l1", "column_l1")  # of R(w), by projection
FEEDBACK = ("feedback", "feedback_size", "feedback_decay")  # of a projection, as plain values
OPTIONS = (*PRICES, *FEEDBACK, "plastic")  # of a projection, beside its weights
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# the engine's own objects
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
    """Units of one kind. An input is a population with ``clamped=True``.

    Parameters
    ----------
    name : str
        A letter, then letters, digits and underscores.
    size : int
        Number of units.
    activation : str
        tanh, sigmoid, relu, softplus, linear or a formula in `a`, e.g. ``"a/(1+abs(a))"``.
    constraint : str
        G: lin (g), lin_eps, abs, abs_eps, squared, tube (|g| <= epsilon), or a formula in `g` and
        `epsilon`; "none" for outputs that are no variables of their own: x = sigma(a) and lam =
        -dV/dx at every moment.
    epsilon : float
        Half-width of the tolerance, of lin_eps, abs_eps, tube and formulas that read it.
    clamped : bool
        Outputs are data: no multiplier, no dynamics.
    activity_l1 : float
        Price alpha of alpha Σ|x|, a pattern, >= 0.
    plastic_bias : bool
        Whether the biases learn; False for biases that stay as they are, 0 unless set.

    Notes
    -----
    What the multiplier lam is in the end, by constraint:

    - lin: backpropagation's adjoint -dV/dx, exactly; g = 0.
    - tube: the multiplier of min V subject to |g| <= epsilon (Karush, Kuhn & Tucker): 0 within the
      tube, of the sign of g at its wall; lam_plus = max(lam, 0), lam_minus = max(-lam, 0).
    - abs, abs_eps, lin_eps: the state slides along the kink and never rests; mu = (lam + rho G) G'
      on average over time is the adjoint at its own x, the nearer the smaller dt (measured: within
      1.1 % for abs at dt = 0.01 tau_x, 0.03 % for the others). lam itself is the height of the
      chatter.
    - squared: an integrated penalty, which only grows: g falls as t^(-1/3), mu is the adjoint at
      that x, and the stable step shrinks as lam grows.
    """

    name: str
    size: int
    activation: str = "tanh"
    constraint: str = "lin"
    clamped: bool = False
    epsilon: float = 0.0
    activity_l1: float = 0.0
    plastic_bias: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or _reserved(self.name):
            raise out_of_range(
                "population name",
                self.name,
                f"a letter, then letters, digits, '_'; not {', '.join(sorted(RESERVED))}",
            )
        object.__setattr__(self, "size", whole(f"size of {self.name}", self.size, 1))
        if isinstance(self.epsilon, np.number):
            object.__setattr__(self, "epsilon", float(self.epsilon))
        try:
            self.term  # noqa: B018  refuses an unknown constraint
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        expressions.activation(self.activation)
        object.__setattr__(
            self, "activity_l1", not_negative(f"activity_l1 of {self.name}", self.activity_l1)
        )
        yes_or_no(f"plastic_bias of {self.name}", self.plastic_bias)

    @property
    def free(self) -> bool:
        """No constraint: its outputs follow the net input at every moment."""
        return self.constraint == "none" and not self.clamped

    @property
    def term(self) -> expressions.Constraint:
        """G and its slope as text."""
        return expressions.constraint(self.constraint, self.epsilon)


@dataclass(frozen=True, eq=False)
class Projection:
    """All synapses from one population to another.

    Parameters
    ----------
    pre, post : str
        Names of the presynaptic and the postsynaptic population.
    weights : array or SciPy sparse array, (n_post, n_pre), optional
        Drawn N(0, gain² / number of presynaptic partners) if not given. Sparse: only what is stored
        exists.
    mask : bool array, (n_post, n_pre), optional
        Which synapses exist.
    gain : float
        Spread of drawn weights.
    l1, l2 : float
        Prices of R(w) = l1 Σ|w| + (l2/2) Σ w², >= 0; l1 acts as a proximal step that reaches exact
        zeros.
    row_l1, column_l1 : float
        Group prices, a neuron a group: row_l1 Σ_i ||w_i.|| of all synapses into one postsynaptic
        unit, column_l1 Σ_j ||w_.j|| of all out of one presynaptic unit; proximal steps that take
        whole groups to exact zeros (Yuan & Lin 2006), after that of l1.
    feedback : "symmetric", "random", "sign", "kolen_pollack" or "mirror"
        What carries messages back: Wᵀ; or a matrix B of its own, that is fixed; follows the signs
        of Wᵀ; learns by the same local product as W, both with a decay; or is learnt from the
        network's answers to noise before every row of a training's log (see
        `neurosim.model.feedback`).
    feedback_weights : array or SciPy sparse array, (n_pre, n_post), optional
        B to begin with, drawn N(0, feedback_size²) if not given.
    feedback_size : float, optional
        Spread of a drawn B, and the size of sign's entries; root mean square of the weights if not
        given.
    feedback_decay : float, optional
        c of kolen_pollack, 0.01 if not given: W and B both decay by c, the weights beside their l2.
    plastic : bool
        Whether the weights learn; False for wiring that stays as it is, such as a residual net's
        identities.
    """

    pre: str
    post: str
    weights: Weights = field(default=None, repr=False)
    mask: Any = field(default=None, repr=False)
    gain: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    row_l1: float = 0.0
    column_l1: float = 0.0
    feedback: str = "symmetric"
    feedback_weights: Weights = field(default=None, repr=False)
    feedback_size: float | None = None
    feedback_decay: float | None = None
    plastic: bool = True

    def __post_init__(self) -> None:
        for price in ("gain", *PRICES):
            object.__setattr__(
                self, price, not_negative(f"{price} of {self.name}", getattr(self, price))
            )
        yes_or_no(f"plastic of {self.name}", self.plastic)
        self._check_feedback()

    @property
    def name(self) -> str:
        """``"pre->post"``."""
        return f"{self.pre}->{self.post}"

    @property
    def prices(self) -> dict[str, float]:
        """All prices of R(w) by name."""
        return {price: getattr(self, price) for price in PRICES}

    @property
    def options(self) -> dict[str, Any]:
        """What is kept of it beside its ends and weights, as plain values."""
        return self.prices | self.described_feedback | ({} if self.plastic else {"plastic": False})

    @property
    def decay(self) -> float:
        """Of every weight, in units of 1/tau_w: l2 and, of kolen_pollack, what W shares with B."""
        return self.l2 + (self.feedback_decay or 0.0)

    @property
    def proximal(self) -> bool:
        """Whether a price has no derivative at 0, so that weights take proximal steps."""
        return any(value for price, value in self.prices.items() if price != "l2")

    @property
    def draws_feedback(self) -> bool:
        """Whether B is a parameter of its own: it is neither W nor told by W."""
        return self.feedback not in ("symmetric", "sign")

    @property
    def described_feedback(self) -> dict[str, Any]:
        """The plain values of what carries messages back; nothing where that is W."""
        kept = () if self.feedback == "symmetric" else FEEDBACK
        return {key: getattr(self, key) for key in kept if getattr(self, key) is not None}

    def _check_feedback(self) -> None:
        if self.feedback not in carriers.KINDS:
            raise unknown(f"feedback of {self.name}", self.feedback, carriers.KINDS)
        learns = self.feedback == "kolen_pollack"
        if learns and self.feedback_decay is None:
            object.__setattr__(self, "feedback_decay", carriers.DECAY)
        used = {
            "feedback_decay": learns,
            "feedback_size": self.feedback != "symmetric",
            "feedback_weights": self.feedback not in ("symmetric", "sign"),
        }
        for key, meant in used.items():
            if getattr(self, key) is not None and not meant:
                raise ModelError(
                    f"{key} of {self.name} with feedback = {self.feedback!r}, which "
                    "does not read it"
                )
        for key in ("feedback_decay", "feedback_size"):
            if getattr(self, key) is not None:
                object.__setattr__(
                    self, key, not_negative(f"{key} of {self.name}", getattr(self, key))
                )


@dataclass(frozen=True)
class Loss:
    """V on one population: `kind` summed over its units, times `weight`.

    `kind` is mse, cross_entropy, squared_hinge, eps_insensitive (tolerance `epsilon`), policy or a
    formula in `x` and `y`; one without y, such as ``"abs(x)"`` on hidden units, is a price on
    outputs and needs no target.

    `policy` is -A log softmax(x)[action], whose slope is the policy gradient of REINFORCE (Williams
    1992): y is the advantage A at the action that was taken and 0 elsewhere, see
    `neurosim.tasks.advantages`; with y = 0 nothing is asked, so that a network can act before it is
    told. Where A is negative V has no lower bound.
    """

    population: str
    kind: str = "mse"
    weight: float = 1.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        for key in ("weight", "epsilon"):
            name = "loss_epsilon" if key == "epsilon" else "loss weight"
            not_negative(f"{name} of {self.population}", getattr(self, key))
        self.term  # noqa: B018  refuses an unknown kind

    @property
    def term(self) -> expressions.LossTerm:
        """V and dV/dx as text."""
        return expressions.loss(self.kind, self.epsilon)


def not_negative(name: str, value: Any) -> float:
    """Return a finite number >= 0, or raise the error that says so."""
    return number(name, value, least=0)


def _reserved(name: str) -> bool:
    return name in RESERVED or name.startswith("transport_")
