"""The Lagrangian of arXiv 1808.06934 as equation text: the only place that an engine reads it from.

Above `network` and `flow`, below every backend: a network comes in, the right-hand sides of one
population, its messages or one projection go out as text in Brian2's notation; no Brian2 object.
Start at `population`.

    L(w, x, lam) = R(w)
        + sum_k [ V(x_k, y_k) + sum_i ( lam_ki G(g_ki) + (rho/2) G(g_ki)² + alpha_i |x_ki| ) ]

    tau_x dx/dt     = -kappa dL/dx - gamma G G'          mu = dL/dg = (lam + rho G) G'
    tau_lam dlam/dt = +kappa G     - gamma G' dL/dx      delta = sigma'(a) mu

The terms with gamma are what each unit relaxes on its own: dx/dt lowers G²/2, dlam/dt lowers
(dL/dx)²/2, whatever G. So wherever kappa > 0 the states at rest are those of the saddle, G = 0 and
dL/dx = 0. G = g is `lin`; `expressions.CONSTRAINTS` has the others.
"""

from __future__ import annotations

from neurosim.model import expressions
from neurosim.model.expressions import LIN, TUBE
from neurosim.model.feedback import KOLEN_POLLACK, SIGN, SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Population, Projection

GAINS = ("kappa", "gamma", "rho")
TIMES = ("tau_x", "tau_lam")
OWN = (*GAINS, *TIMES, "rho_lam")  # parameters that every unit may have of its own


def population(
    net: Network,
    name: str,
    x_term: str = "",
    lam_term: str = "",
    more: str = "",
    own_gains: bool = False,
    own_times: bool = False,
    slope: str = "",
) -> str:
    """Return the ODEs of a population's neurons and multiplier units, with all that they read.

    Parameters
    ----------
    net : Network
    name : str
        A population that is not clamped.
    x_term, lam_term : str
        User-supplied terms, in 1/s, added to dx/dt and dlam/dt.
    more : str
        User-supplied equations.
    own_gains : bool
        Whether every unit has gains and time constants of its own, in place of one for all.
    own_times : bool
        Whether every unit has time constants of its own.
    slope : str
        Expression in place of sigma'(a), if any.

    Returns
    -------
    str
        Brian2 equations. `a` and `feedback` are written by the projections, `y`, `y_total` and
        `log_partition` by the simulation; a variable that is "constant over dt" is sent as a
        message once per step.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
    """
    own = net.populations[name]
    activation = expressions.activation(own.activation)
    pull = _pull(net, name)
    lines = _free(pull) if own.free else _saddle(own, x_term, lam_term, own_gains)
    lines += [
        f"dL_dx = {' + '.join([*pull, 'mu'])} - feedback : 1",
        "g = x - sigma : 1",
        f"sigma = {activation.sigma} : 1 (constant over dt)",
        f"dsigma = {slope or activation.dsigma} : 1",
        "delta = dsigma*mu : 1 (constant over dt)",
        "a : 1",
        "feedback : 1",
    ]
    if name in net.losses:
        lines += _loss(net, name)
    if own.activity_l1:
        lines.append("activity_l1 : 1 (shared)")
    lines += [f"{gain} : 1{_shared(own_gains)}" for gain in GAINS]
    lines += [f"{time} : second{_shared(own_gains or own_times)}" for time in TIMES]
    lines += more.strip().splitlines()
    return "\n".join(lines)


def clamped() -> str:
    """Return the equations of an input population: its outputs are data."""
    return "x : 1"


def shared(net: Network, flow: Flow, name: str, dt: float) -> dict[str, float]:
    """Return the values of a population's shared variables.

    Parameters
    ----------
    net : Network
    flow : Flow
    name : str
        A population that is not clamped.
    dt : float
        Step, s; only a tube reads it, see `rho_lam`.
    """
    own = net.populations[name]
    term = own.term
    values = {gain: float(getattr(flow, gain)) for gain in GAINS}
    values |= {time: flow.time(time, name) for time in TIMES}
    if term.reads_epsilon:
        values["epsilon"] = term.epsilon
    if own.activity_l1:
        values["activity_l1"] = own.activity_l1
    if term.kind == TUBE:
        values["rho_lam"] = rho_lam(flow, name, dt)
    return values


def rho_lam(flow: Flow, name: str, dt: float) -> float:
    """Return the rho of a tube's slack as its multipliers read it, unit 1.

    It is rho, or where rho is smaller the value with which an Euler step of a multiplier ends at
    zero, not beyond it: with rho = 0 that is projected ascent.
    """
    return max(flow.rho, flow.kappa * dt / flow.time("tau_lam", name))


def leak(net: Network, name: str) -> dict[str, str]:
    """Return the linear leaks of a population: minus d(dx/dt)/dx and d(dlam/dt)/dlam, 1/s.

    A loss counts where it is linear (`mse`), and G as if its slope were constant (exact for all but
    `squared` and formulas).

    Returns
    -------
    dict with keys "x" and "lam"
        Expressions in Brian2's notation.
    """
    loss = net.losses.get(name)
    pull = ""
    if loss is not None and loss.kind == "mse":
        pull = f" + {float(loss.weight)!r}"
    slope = "" if net.populations[name].constraint == LIN else "*dG*dG"
    return {"x": f"(kappa*(rho{slope}{pull}) + gamma{slope})/tau_x", "lam": f"gamma{slope}/tau_lam"}


def projection(q: Projection, x: str = "x", delta: str = "delta") -> str:
    """Return the ODE of the synapses as a reader would write it; engines have kernels for it.

    Where messages go back through a matrix of their own (`back`, laid out as w is) the flow is not
    a gradient flow of L: at rest g = 0, and lam is the adjoint through that matrix.

    Parameters
    ----------
    q : Projection
    x, delta : str
        Variables that plasticity reads, where they are not just x and delta.
    """
    lines = ["w : 1 (constant)"]
    if q.plastic:
        penalty = f" - {q.decay!r}*w" if q.decay else ""
        product = f"mean({delta}_post*{x}_pre)"
        lines = [f"dw/dt = plastic*({product}{penalty})/tau_w : 1{_proximal_steps(q)}"]
    if q.feedback == KOLEN_POLLACK and q.plastic:
        product = f"mean({x}_pre*{delta}_post)"
        lines.append(f"dback/dt = plastic*({product} - {q.decay!r}*back)/tau_w : 1")
    elif q.feedback == SIGN:
        lines.append("back = back_size*sign(w) : 1")
    elif q.feedback != SYMMETRIC:
        lines.append(f"back : 1 (constant)  # {q.feedback}")
    return "\n".join(lines)


def _proximal_steps(q: Projection) -> str:
    """Return the proximal steps of the penalties that have no derivative at 0, as a comment."""
    steps = []
    if q.l1:
        steps.append(f"w = sign(w)*max(abs(w) - {q.l1!r}*dt/tau_w, 0)")
    for penalty, group in ((q.row_l1, "w_to_post"), (q.column_l1, "w_from_pre")):
        if penalty:
            steps.append(f"w *= max(1 - {penalty!r}*dt/tau_w/norm({group}), 0)")
    return f"  # then {', '.join(steps)}" if steps else ""


def bias(population: Population, delta: str = "delta") -> str:
    """Return the ODE of the biases: weights from a unit that is always 1."""
    if not population.plastic_bias:
        return "b : 1 (constant)"
    return f"db/dt = plastic*mean({delta})/tau_w : 1"


def _pull(net: Network, name: str) -> list[str]:
    """Return the terms of dV/dx on a population, the penalty on its outputs included."""
    terms = []
    if name in net.losses:
        terms.append("dV_dx")
    if net.populations[name].activity_l1:
        terms.append("activity_l1*sign(x)")
    return terms


def _saddle(population: Population, x_term: str, lam_term: str, own_gains: bool) -> list[str]:
    """Return the ODEs of x and lam, mu, and the constraint function in them."""
    term = population.term
    x_plus, lam_plus = _plus(x_term), _plus(lam_term)
    if term.kind == LIN:
        return [
            f"dx/dt = (-kappa*dL_dx - gamma*g)/tau_x{x_plus} : 1",
            f"dlam/dt = (kappa*g - gamma*dL_dx)/tau_lam{lam_plus} : 1",
            "mu = lam + rho*g : 1",
        ]
    lines = [
        f"dx/dt = (-kappa*dL_dx - gamma*dG*G)/tau_x{x_plus} : 1",
        f"dlam/dt = (kappa*G - gamma*dG*dL_dx)/tau_lam{lam_plus} : 1",
        "mu = (lam + rho*G)*dG : 1",
        f"G = {term.value} : 1",
        f"dG = {term.slope} : 1",
    ]
    if term.reads_epsilon:
        lines.append("epsilon : 1 (shared)")
    if term.kind == TUBE:
        lines.append(f"rho_lam : 1{_shared(own_gains)}")
    return lines


def _free(pull: list[str]) -> list[str]:
    """Return x and lam of outputs that are not variables.

    At every moment x follows the net input, and lam is minus the slope of the loss.
    """
    return [
        "x = sigma : 1 (constant over dt)",
        f"lam = -({' + '.join(pull) or '0.0'}) : 1 (constant over dt)",
        "mu = lam : 1",
    ]


def _loss(net: Network, name: str) -> list[str]:
    """Return dV/dx of a population's loss, and the variables that it reads."""
    loss = net.losses[name]
    scale = "" if loss.weight == 1 else f"{float(loss.weight)!r}*"
    lines = [f"dV_dx = {scale}({loss.term.slope}) : 1", "y : 1"]
    if loss.term.partition:
        lines.append("log_partition : 1")
    if loss.term.total:
        lines.append("y_total : 1")
    return lines


def _shared(own: bool) -> str:
    return "" if own else " (shared)"


def _plus(term: str) -> str:
    return f" + ({term})" if term.strip() else ""
