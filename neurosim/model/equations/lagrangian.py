"""The flow of the Lagrangian of arXiv 1808.06934, as equation text in Brian2's notation.

Above `network` and `flow`, below every backend. Engines take all right-hand sides from here; no
Brian2 object is created. Start at `population`.

    L(w, x, lam) = sum_k [ V(x_k, y_k) + R(w)
        + sum_i ( lam_ki G(g_ki) + (rho/2) G(g_ki)² + alpha_i |x_ki| ) ]

    tau_x dx/dt     = -kappa dL/dx - gamma G G'          mu = dL/dg = (lam + rho G) G'
    tau_lam dlam/dt = +kappa G     - gamma G' dL/dx      delta = sigma'(a) mu

The terms with gamma are each unit's own relaxation: for every G, dx/dt lowers G²/2 and dlam/dt
lowers (dL/dx)²/2. So if kappa > 0 the states at rest are the saddle points, G = 0 and dL/dx = 0.
G = g is `lin`; `expressions.CONSTRAINTS` has the others.
"""

from __future__ import annotations

from neurosim.model import expressions
from neurosim.model.equations.plasticity import split
from neurosim.model.expressions import LIN, TUBE
from neurosim.model.feedback import KOLEN_POLLACK, SIGN, SYMMETRIC
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.plasticity import Plasticity
from neurosim.model.populations import Population, Projection

GAINS = ("kappa", "gamma", "rho")
TIMES = ("tau_x", "tau_lam")
OWN = (*GAINS, *TIMES, "rho_lam")  # parameters that may differ between units


def population(
    net: Network,
    name: str,
    x_term: str = "",
    lam_term: str = "",
    more: str = "",
    own_gains: bool = False,
    own_times: bool = False,
    slope: str = "",
    dx: str = "",
    dlam: str = "",
) -> str:
    """Return the equations of a population's neurons and multiplier units.

    Parameters
    ----------
    net : Network
    name : str
        Name of a population that is not clamped.
    x_term, lam_term : str
        User-supplied terms, in 1/s, added to dx/dt and dlam/dt.
    more : str
        User-supplied equations.
    own_gains : bool
        Whether gains and time constants are per unit instead of shared.
    own_times : bool
        Whether time constants are per unit instead of shared.
    slope : str
        Expression in place of sigma'(a); the activation's own if empty.
    dx, dlam : str
        User-supplied right-hand sides, in 1/s, in place of the flow's own.

    Returns
    -------
    str
        Brian2 equations. The projections write `a` and `feedback`; the simulation writes `y`,
        `y_total` and `log_partition`. Variables that are "constant over dt" are computed once per
        step.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
    """
    own = net.populations[name]
    activation = expressions.activation(own.activation)
    pull = _pull(net, name)
    if own.free:
        lines = _free(pull)
    else:
        lines = _rates(own, x_term, lam_term, dx, dlam) + _multipliers(own, own_gains)
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
    """Return the equations of a clamped population, whose outputs are data."""
    return "x : 1"


def shared(net: Network, flow: Flow, name: str, dt: float) -> dict[str, float]:
    """Return the values of a population's shared variables, by name.

    Parameters
    ----------
    net : Network
    flow : Flow
    name : str
        Name of a population that is not clamped.
    dt : float
        Step, s; only needed for a tube, see `rho_lam`.
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


RHO_LAM = "max(rho, kappa*dt/tau_lam)"  # as text, for print


def rho_lam(flow: Flow, name: str, dt: float) -> float:
    """Return the rho that determines the slack of a tube, unit 1: max(rho, kappa dt/tau_lam).

    With the second value, an Euler step takes a multiplier to 0 but not across it. So with rho = 0
    this is projected ascent.
    """
    return max(flow.rho, flow.kappa * dt / flow.time("tau_lam", name))


def leak(net: Network, name: str) -> dict[str, str]:
    """Return the linear leaks of a population, -d(dx/dt)/dx and -d(dlam/dt)/dlam, 1/s.

    Of the losses only `mse` contributes, whose slope is linear. The slope of G is treated as
    constant, which is exact except for `squared` and formulas.

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
    """Return the ODE of a projection's synapses, for display; engines have kernels for it.

    `back` is Bᵀ, in the layout of w. With feedback weights the flow is not a gradient flow of L: at
    rest g = 0, and lam is the adjoint computed through B.

    Parameters
    ----------
    q : Projection
    x, delta : str
        Names of the two factors of plasticity.
    """
    lines = ["w : 1 (constant)"]
    if q.plastic and q.own_rule is not None:
        lines = _rule(q.own_rule, q.decay)
        lines[-1] += _as_comment(proximal_steps(q))
    elif q.plastic:
        penalty = f" - {q.decay!r}*w" if q.decay else ""
        product = f"mean({delta}_post*{x}_pre)"
        steps = proximal_steps(q)
        lines = [f"dw/dt = plastic*({product}{penalty})/tau_w : 1{_as_comment(steps)}"]
    if q.feedback == KOLEN_POLLACK and q.plastic:
        product = f"mean({x}_pre*{delta}_post)"
        lines.append(f"dback/dt = plastic*({product} - {q.decay!r}*back)/tau_w : 1")
    elif q.feedback == SIGN:
        lines.append("back = back_size*sign(w) : 1")
    elif q.feedback != SYMMETRIC:
        lines.append(f"back : 1 (constant)  # {q.feedback}")
    return "\n".join(lines)


def _rule(rule: Plasticity, decay: float = 0.0, *, of_biases: bool = False) -> list[str]:
    """Return the lines of a user-written rule, for display."""
    found = ["# of each pattern, then the mean over the patterns; steps in this order"]
    found += rule.equations
    if decay:
        found.append(f"# and dw/dt -= {decay!r}*w/tau_w")
    for line in rule.after.split("; ") if rule.after else ():
        found.append(f"# after each step {line}")
    found.append(f"# only while plastic: {', '.join(rule.gated)}")
    if rule.reset:
        found.append(f"# anew at each presentation: {', '.join(rule.reset)}")
    for name, value in rule.parameters.items():
        found.append(f"# {name} = {value}")
    if not split(rule, of_biases).separates:
        found.append(
            "# does not separate into products: the work of a step is patterns x synapses x the "
            "functions of the rule"
        )
    return found


def proximal_steps(q: Projection) -> list[str]:
    """Return the values that the proximal steps of l1, row_l1 and column_l1 give w, in order."""
    steps = []
    if q.l1:
        steps.append(f"sign(w)*max(abs(w) - {q.l1!r}*dt/tau_w, 0)")
    for penalty, group in ((q.row_l1, "w_to_post"), (q.column_l1, "w_from_pre")):
        if penalty:
            steps.append(f"w*max(1 - {penalty!r}*dt/tau_w/norm({group}), 0)")
    return steps


def _as_comment(steps: list[str]) -> str:
    """Return proximal steps as a comment; "" without them."""
    assignments = ", ".join(f"w = {step}" for step in steps)
    return f"  # then {assignments}" if steps else ""


def bias(population: Population, delta: str = "delta") -> str:
    """Return the ODE of the biases, which are weights from a unit whose output is always 1."""
    if not population.plastic_bias:
        return "b : 1 (constant)"
    if population.own_bias_rule is not None:
        return "\n".join(_rule(population.own_bias_rule, of_biases=True))
    return f"db/dt = plastic*mean({delta})/tau_w : 1"


def _pull(net: Network, name: str) -> list[str]:
    """Return the terms of dL/dx from the loss and from the penalty on outputs."""
    terms = []
    if name in net.losses:
        terms.append("dV_dx")
    if net.populations[name].activity_l1:
        terms.append("activity_l1*sign(x)")
    return terms


def _rates(population: Population, x_term: str, lam_term: str, dx: str, dlam: str) -> list[str]:
    """Return the differential equations of x and lam."""
    if population.term.kind == LIN:
        x_rate = "(-kappa*dL_dx - gamma*g)/tau_x"
        lam_rate = "(kappa*g - gamma*dL_dx)/tau_lam"
    else:
        x_rate = "(-kappa*dL_dx - gamma*dG*G)/tau_x"
        lam_rate = "(kappa*G - gamma*dG*dL_dx)/tau_lam"
    if dx.strip():
        x_rate = f"({dx})"
    if dlam.strip():
        lam_rate = f"({dlam})"
    return [f"dx/dt = {x_rate}{_plus(x_term)} : 1", f"dlam/dt = {lam_rate}{_plus(lam_term)} : 1"]


def _multipliers(population: Population, own_gains: bool) -> list[str]:
    """Return the equations of mu and of the constraint function."""
    term = population.term
    if term.kind == LIN:
        return ["mu = lam + rho*g : 1"]
    lines = ["mu = (lam + rho*G)*dG : 1", f"G = {term.value} : 1", f"dG = {term.slope} : 1"]
    if term.reads_epsilon:
        lines.append("epsilon : 1 (shared)")
    if term.kind == TUBE:
        lines.append(f"rho_lam : 1{_shared(own_gains)}")
    return lines


def _free(pull: list[str]) -> list[str]:
    """Return the equations of x, lam and mu for a population without constraint.

    At all times x = sigma(a), and lam is minus the slope of the loss.
    """
    return [
        "x = sigma : 1 (constant over dt)",
        f"lam = -({' + '.join(pull) or '0.0'}) : 1 (constant over dt)",
        "mu = lam : 1",
    ]


def _loss(net: Network, name: str) -> list[str]:
    """Return the equation of dV/dx for a population's loss, and the variables in it."""
    loss, term = net.losses[name], net.loss_term(name)
    scale = "" if loss.weight == 1 else f"{float(loss.weight)!r}*"
    lines = [f"dV_dx = {scale}({term.slope}) : 1", "y : 1"]
    if term.partition:
        lines.append("log_partition : 1")
    if term.total:
        lines.append("y_total : 1")
    return lines


def _shared(own: bool) -> str:
    return "" if own else " (shared)"


def _plus(term: str) -> str:
    return f" + ({term})" if term.strip() else ""
