"""Populations, projections and losses: the parts of a network, each checked on its own.

Below `network`, which connects them and draws the weights. Start at `Population`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosim.arguments import checked_methods
from neurosim.errors import ModelError, number, out_of_range, unknown, whole, yes_or_no
from neurosim.model import expressions, rules
from neurosim.model.arrays import own, refuse_lossy
from neurosim.model.feedback import DECAY, DERIVED, KINDS, KOLEN_POLLACK, SYMMETRIC
from neurosim.model.overs import over_of
from neurosim.model.plasticity import Plasticity
from neurosim.model.weights import INITS, NORMAL, Weights

PENALTIES = ("l1", "l2", "row_l1", "column_l1")  # terms of R(w), for each projection
FEEDBACK = ("feedback", "feedback_size", "feedback_decay")  # arguments of a projection
# of a projection, stored beside ends and weights
OPTIONS = (*PENALTIES, *FEEDBACK, "plastic", "plasticity", "over", "shared")
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
        A letter, then letters, digits and underscores; not in `RESERVED`, nor transport_...
    size : int or tuple of int
        Number of units, >= 1. A tuple is a shape, features last and sites before: (8, 8, 16) has 16
        features at each of 8 x 8 sites. The attribute is the number of all units.
    activation : str
        tanh, sigmoid, relu, softplus, linear, or a formula in `a` such as ``"a/(1+abs(a))"``.
    constraint : str
        Constraint function G: lin (g), lin_eps, abs, abs_eps, squared, tube (|g| <= epsilon), none,
        or a formula in `g` and `epsilon` that is 0 at g = 0.
    clamped : bool
        Whether the outputs are data: an input, without multipliers and dynamics.
    epsilon : float
        Half-width of the tolerance of lin_eps, abs_eps, tube and formulas that contain it, >= 0;
        must be 0 for all others.
    activity_l1 : float
        Penalty alpha in alpha Σ|x|, per pattern, >= 0.
    plastic_bias : bool
        Whether the biases learn; with False they keep their initial values.
    bias_plasticity : Plasticity, str or dict, optional
        Rule of the biases, see `Projection`; its `x_pre` is 1. The built-in one by default.
    bias_init : float
        Initial bias of all units, finite; must be 0 for a clamped population.
    shape : tuple of int, optional
        Sites and features, where `size` is a tuple; None for units without sites. Units are in
        row-major order, so the features of a site are neighbours.

    Raises
    ------
    ModelError
        An unknown name, a formula that is not valid, or a value out of range.

    Notes
    -----
    With the constraint "none" the outputs are not state variables: x = sigma(a) and lam = -dV/dx at
    all times.

    The multiplier lam at the end of a run, by constraint:

    - lin: backpropagation's adjoint -dV/dx, exactly; g = 0.
    - tube: the multiplier of min V subject to |g| <= epsilon (Karush, Kuhn & Tucker). It is 0
      within the tube and has the sign of g at its wall. The multipliers of the two walls are
      lam_plus = max(lam, 0) and lam_minus = max(-lam, 0).
    - abs, abs_eps, lin_eps: the state slides along the kink and never rests. The time average of
      mu = (lam + rho G) G' approaches the adjoint at the present x as dt decreases (measured:
      within 1.1 % for abs at dt = 0.01 tau_x, within 0.03 % for the others). lam itself is the
      amplitude of the chatter.
    - squared: an integrated penalty, which only grows. g falls as t^(-1/3), mu is the adjoint at
      the present x, and the stable step shrinks as lam grows.

    Examples
    --------
    >>> Population("hidden", 32, "relu").constraint
    'lin'
    """

    name: str
    size: Any
    activation: str = "tanh"
    constraint: str = "lin"
    clamped: bool = False
    epsilon: float = 0.0
    activity_l1: float = 0.0
    plastic_bias: bool = True
    bias_init: float = 0.0
    bias_plasticity: Any = None
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not _is_free_name(self.name):
            used = ", ".join(sorted(RESERVED))
            allowed = f"a letter, then letters, digits, '_'; not {used}, transport_..."
            raise out_of_range("population name", self.name, allowed)
        self._set_size()
        if isinstance(self.epsilon, np.number):
            object.__setattr__(self, "epsilon", float(self.epsilon))
        try:
            self.term  # noqa: B018  refuses an unknown constraint
            expressions.activation(self.activation)
        except ModelError as error:
            raise ModelError(f"{self.name}: {error}") from error
        penalty = number(f"activity_l1 of {self.name}", self.activity_l1, least=0)
        object.__setattr__(self, "activity_l1", penalty)
        yes_or_no(f"plastic_bias of {self.name}", self.plastic_bias)
        bias = number(f"bias_init of {self.name}", self.bias_init)
        if bias and self.clamped:
            allowed = "0 where clamped=True: an input has no biases"
            raise out_of_range(f"bias_init of {self.name}", bias, allowed)
        object.__setattr__(self, "bias_init", bias)
        if self.bias_plasticity is not None:
            if self.clamped:
                key = f"bias_plasticity of {self.name}"
                raise out_of_range(key, self.bias_plasticity, "None where clamped=True")
            _set_rule(self, "bias_plasticity", "plastic_bias")

    @property
    def sites(self) -> tuple[int, ...]:
        """Sites along each axis; () for units without sites."""
        return () if self.shape is None else self.shape[:-1]

    @property
    def features(self) -> int:
        """Units at each site; all units where there are no sites."""
        found: int = self.size if self.shape is None else self.shape[-1]
        return found

    @property
    def own_bias_rule(self) -> Plasticity | None:
        """Rule of the biases; None for the built-in one, which has no decay."""
        rule: Plasticity | None = self.bias_plasticity
        return None if rule is None or rule.gradient_decay == 0 else rule

    def _set_size(self) -> None:
        """Set `size` to the number of units, and `shape` where there are sites."""
        key = f"size of {self.name}"
        several = isinstance(self.size, list | tuple)
        shape = self.size if several else self.shape
        if shape is None:
            object.__setattr__(self, "size", whole(key, self.size, 1))
            return
        axes = tuple(whole(key, axis, 1) for axis in shape)
        if not axes:
            raise out_of_range(key, shape, "a whole number, or sites and features", "(8, 8, 16)")
        units = math.prod(axes)
        if not several and self.size != units:
            raise out_of_range(key, self.size, f"{units}, as its shape is {axes}")
        object.__setattr__(self, "size", units)
        object.__setattr__(self, "shape", axes if len(axes) > 1 else None)

    @property
    def free(self) -> bool:
        """Whether the units have no constraint, so that x = sigma(a) at all times."""
        return self.constraint == expressions.FREE and not self.clamped

    @property
    def term(self) -> expressions.Constraint:
        """The constraint function G and its slope as text."""
        return expressions.constraint(self.constraint, self.epsilon)


@checked_methods("__init__")
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
        Initial weights, drawn as `init` says if not given. In a sparse array only the stored
        synapses exist.
    mask : bool array, (n_post, n_pre), optional
        Which synapses exist; all of them if not given.
    gain : float
        Spread of the weights that are drawn, in units of 1/sqrt(presynaptic partners of a unit),
        >= 0.
    init : "normal" or "orthogonal"
        Distribution of the weights that are drawn. normal: independent, N(0, gain² / presynaptic
        partners). orthogonal: gain times a (semi-)orthogonal matrix; only where neither `weights`
        nor `mask` is given.
    l1, l2 : float
        Penalties in R(w) = l1 Σ|w| + (l2/2) Σ w², >= 0.
    row_l1, column_l1 : float
        Group penalties, >= 0: row_l1 Σ_i ||w_i.||, where a group is all synapses into postsynaptic
        unit i, and column_l1 Σ_j ||w_.j||, where it is all synapses out of presynaptic unit j.
    over : object of `neurosim.sites`, str or dict, optional
        What the weights are shared over, such as ``sites.Conv(3)``; a name or a dict with `kind` as
        in model files. By default the weights are dense and unshared, whatever the shapes.
    shared : bool
        With False, every site has weights of its own where `over` connects it: local receptive
        fields.
    feedback : "symmetric", "random", "sign", "kolen_pollack" or "mirror"
        Kind of the matrix that carries messages back.
    feedback_weights : array or SciPy sparse array, (n_pre, n_post), optional
        Initial feedback weights B, drawn N(0, feedback_size²) if not given; not for symmetric and
        sign, whose B follows from the weights.
    feedback_size : float, optional
        Spread of a B that is drawn, and absolute value of all entries of B under sign, >= 0; the
        root mean square of the initial weights if not given.
    feedback_decay : float, optional
        Decay c under kolen_pollack, in 1/tau_w, >= 0, added to `l2` for both W and B; 0.01 if not
        given.
    plastic : bool
        Whether the weights learn; with False they keep their initial values, as the identity
        matrices of a residual net do.
    plasticity : Plasticity, str or dict, optional
        Learning rule: one of `neurosim.rules` by its name, "none" (as plastic=False), or the
        arguments of `Plasticity` as a dict. The built-in one, gradient descent, by default.

    Raises
    ------
    ModelError
        An unknown kind, a value out of range, or an argument that does not apply to the kind of
        feedback.

    Notes
    -----
    Shared weights are (terms, post features, pre features), drawn N(0, gain² / (terms x pre
    features)), and their B is (terms, pre features, post features). A group of a group penalty is
    then a feature.

    l1, row_l1 and column_l1 act as proximal steps, in this order. These set single weights or
    whole groups exactly to 0 (Yuan & Lin, J. R. Stat. Soc. B 68, 2006).

    Messages travel back through Wᵀ (symmetric), or through a matrix B. This is fixed (random), has
    the signs of Wᵀ (sign), changes as W does while both decay (kolen_pollack), or is learnt from
    the network's responses to noise before every row of a training's log (mirror); see
    `neurosim.model.feedback`.

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
    plasticity: Any = None
    over: Any = None
    shared: bool = True

    def __post_init__(self) -> None:
        if self.plasticity is not None:
            _set_rule(self, "plasticity", "plastic")
        self._set_over()
        for key in ("weights", "mask", "feedback_weights"):
            value, booleans = getattr(self, key), key == "mask"
            refuse_lossy(f"{key} of {self.name}", value, error=ModelError, booleans=booleans)
            object.__setattr__(self, key, own(value, f"{key} of {self.name}"))
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
    def shares(self) -> bool:
        """Whether sites share the weights, which are (terms, post features, pre features)."""
        return self.over is not None and self.over.weighted and self.shared

    @property
    def name(self) -> str:
        """Name of the projection, ``"pre->post"``."""
        return f"{self.pre}->{self.post}"

    @property
    def penalties(self) -> dict[str, float]:
        """Coefficients of the penalties in R(w), by name."""
        return {key: getattr(self, key) for key in PENALTIES}

    @property
    def options(self) -> dict[str, Any]:
        """Arguments that files store beside ends and weights, as plain values."""
        options = self.penalties | self.described_feedback
        if not self.plastic:
            options["plastic"] = False
        if self.plasticity is not None:
            options["plasticity"] = self.plasticity.describe()
        if self.over is not None:
            options["over"] = self.over.describe()
            options["shared"] = self.shared
        return options

    @property
    def own_rule(self) -> Plasticity | None:
        """The learning rule; None for the built-in one, whose decay is part of `decay`."""
        rule: Plasticity | None = self.plasticity
        return None if rule is None or rule.gradient_decay is not None else rule

    @property
    def decay(self) -> float:
        """Decay of every weight, in 1/tau_w: l2, plus those of the feedback and of the rule."""
        of_rule = 0.0 if self.plasticity is None else self.plasticity.gradient_decay or 0.0
        return self.l2 + (self.feedback_decay or 0.0) + of_rule

    @property
    def proximal(self) -> bool:
        """Whether a penalty is not differentiable at 0, so that weights take proximal steps."""
        return bool(self.l1 or self.row_l1 or self.column_l1)

    @property
    def draws_feedback(self) -> bool:
        """Whether B is a parameter, neither Wᵀ nor derived from W."""
        return self.feedback not in DERIVED

    @property
    def described_feedback(self) -> dict[str, Any]:
        """Feedback arguments that are set, as plain values; empty if it is symmetric."""
        if self.feedback == SYMMETRIC:
            return {}
        given = {key: getattr(self, key) for key in FEEDBACK}
        return {key: value for key, value in given.items() if value is not None}

    def _set_over(self) -> None:
        """Replace what was given as `over` by its object, and refuse what does not go with it."""
        object.__setattr__(self, "over", over_of(f"over of {self.name}", self.over))
        yes_or_no(f"shared of {self.name}", self.shared)
        if self.over is None:
            if not self.shared:
                raise out_of_range(f"shared of {self.name}", False, "True where over is None")
            return
        if self.mask is not None:
            raise ModelError(
                f"mask of {self.name} beside over = {self.over.kind}, which says which synapses "
                "exist; allowed: one of them"
            )
        if not self.over.weighted:
            if self.feedback != SYMMETRIC:
                raise out_of_range(
                    f"feedback of {self.name}", self.feedback, f"{SYMMETRIC!r} without weights"
                )
            object.__setattr__(self, "plastic", False)

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
        """Refuse an argument that does not apply to the kind of feedback."""
        applies = {
            "feedback_decay": self.feedback == KOLEN_POLLACK,
            "feedback_size": self.feedback != SYMMETRIC and self.feedback_weights is None,
            "feedback_weights": self.draws_feedback,
        }
        beside = "" if self.feedback_weights is None else " and feedback_weights"
        for key, allowed in applies.items():
            value = getattr(self, key)
            if value is not None and not allowed:
                shown = f" = {value!r}" if np.isscalar(value) else ""
                raise ModelError(
                    f"{key} of {self.name}{shown} with feedback = {self.feedback!r}"
                    f"{beside}, which does not read it; allowed: None"
                )

    def _keep_number(self, key: str) -> None:
        value = number(f"{key} of {self.name}", getattr(self, key), least=0)
        object.__setattr__(self, key, value)


@checked_methods("__init__")
@dataclass(frozen=True)
class Loss:
    """Loss V on one population: a sum over its units, times a weight.

    Parameters
    ----------
    population : str
        Name of the population.
    kind : str
        mse ((x - y)²/2), cross_entropy (of softmax(x)), squared_hinge, eps_insensitive, policy, or
        a formula in `x` and `y`.
    weight : float
        Factor of V, >= 0.
    epsilon : float
        Tolerance of eps_insensitive, >= 0; must be 0 for the other kinds.

    Raises
    ------
    ModelError
        An unknown kind or a value out of range.

    Notes
    -----
    A formula without y, such as ``"abs(x)"`` on hidden units, is a penalty on outputs and needs no
    target.

    `policy` is -A log softmax(x)[action]; its slope is the policy gradient of REINFORCE (Williams,
    Machine Learning 8, 1992). y is the advantage A at the action that was taken and 0 elsewhere,
    see `neurosim.tasks.advantages`. With y = 0 the loss is 0, so that a network can act before the
    reward is known. If A is negative, V has no lower bound.

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
        epsilon = number(f"loss_epsilon of {self.population}", self.epsilon, least=0)
        if epsilon and self.kind != expressions.EPS_INSENSITIVE:
            allowed = f"0 with {self.kind!r}, which has no tolerance"
            raise out_of_range(f"loss_epsilon of {self.population}", epsilon, allowed)
        self.term  # noqa: B018  refuses an unknown kind

    @property
    def term(self) -> expressions.LossTerm:
        """V and dV/dx as text."""
        return expressions.loss(self.kind, self.epsilon)


def _is_free_name(name: Any) -> bool:
    """Whether a population may have this name: valid, and not used by the engine."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return False
    return name not in RESERVED and not name.startswith("transport_")


def _set_rule(owner: Population | Projection, key: str, switch: str) -> None:
    """Replace what was given as a rule by a `Plasticity`; "none" turns the switch off."""
    rule = rules.rule_of(f"{key} of {owner.name}", getattr(owner, key))
    object.__setattr__(owner, key, rule)
    if rule is None:
        object.__setattr__(owner, switch, False)
