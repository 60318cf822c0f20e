"""The Lagrangian of arXiv 1808.06934 as equation text: the only place where it is written for an
engine.

Above `network` and `flow`, below every backend: a network comes in, the right-hand sides of one
population, its messages or one projection go out as text in Brian2's notation; no Brian2 object.
Start at `population`.

    L(w, x, lam) = sum_k [ V(x_k, y_k) + sum_i ( lam_ki G(g_ki) + (rho/2) G(g_ki)² + alpha_i |x_ki|
    ) ] + R(w)

    tau_x dx/dt     = -kappa dL/dx - gamma G G'          mu = dL/dg = (lam + rho G) G'
    tau_lam dlam/dt = +kappa G     - gamma G' dL/dx      delta = sigma'(a) mu

The terms with gamma relax what each unit can: G²/2 falls in x, (dL/dx)²/2 in lam, whatever G; so
wherever kappa > 0 the states at rest are those of the saddle, G = 0 and dL/dx = 0. G = g is `lin`;
`expressions.CONSTRAINTS` has the others.
"""

from __future__ import annotations

from neurosim.model import expressions
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.model.populations import Population, Projection

GAINS = ("kappa", "gamma", "rho")
TIMES = ("tau_x", "tau_lam")
OWN = (*GAINS, *TIMES, "rho_lam")  # what can be each unit's own


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
    """The ODEs of a population's neurons and multiplier units, with everything that they read.

    Parameters
    ----------
    net : Network
    name : str
        A population that is not clamped.
    x_term, lam_term : str
        Terms of a user's own, in 1/s, added to dx/dt and dlam/dt.
    more : str
        Equations of a user's own.
    own_gains : bool
        Every unit has gains and time constants of its own, in place of one for all.
    own_times : bool
        The same of time constants alone.
    slope : str
        What stands in place of sigma'(a), if anything does.

    Returns
    -------
    str
        Brian2 equations. `a` and `feedback` are written by the projections, `y`, `y_total` and
        `log_partition` by the simulation; what is "constant over dt" is sent as a message once a
        step.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
    """
    own = net.populations[name]
    activation = expressions.activation(own.activation)
    pull = [
        *(["dV_dx"] if name in net.losses else []),
        *(["activity_l1*sign(x)"] if own.activity_l1 else []),
    ]
    lines = [
        *(
            _free(pull)
            if own.free
            else _saddle(own, _plus(x_term), _plus(lam_term), _shared(own_gains))
        ),
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
    lines += ["activity_l1 : 1 (shared)"] if own.activity_l1 else []
    lines += [f"{gain} : 1{_shared(own_gains)}" for gain in GAINS]
    lines += [f"{time} : second{_shared(own_gains or own_times)}" for time in TIMES]
    return "\n".join([*lines, *more.strip().splitlines()])


def clamped() -> str:
    """An input population: its outputs are data."""
    return "x : 1"


def shared(net: Network, flow: Flow, name: str, dt: float) -> dict[str, float]:
    """The values of a population's shared variables; of `dt` (s) only a tube knows.

    Its rho_lam is rho, or what makes an Euler step of a multiplier end at zero, not beyond it,
    where rho is smaller: with rho = 0 that is projected ascent.
    """
    own = net.populations[name]
    term = own.term
    found = {gain: float(getattr(flow, gain)) for gain in GAINS} | {
        time: flow.time(time, name) for time in TIMES
    }
    found |= {"epsilon": term.epsilon} if term.reads_epsilon else {}
    found |= {"activity_l1": own.activity_l1} if own.activity_l1 else {}
    return found | ({"rho_lam": rho_lam(flow, name, dt)} if term.kind == "tube" else {})


def rho_lam(flow: Flow, name: str, dt: float) -> float:
    """The rho of a tube's slack as its multipliers see it."""
    return max(flow.rho, flow.kappa * dt / flow.time("tau_lam", name))


def leak(net: Network, name: str) -> dict[str, str]:
    """The linear leaks of a population's neurons and multiplier units, 1/s: minus d(dx/dt)/dx,
    d(dlam/dt)/dlam.

    What a loss adds counts where it is linear (`mse`), and G as if its slope stayed (exact for all
    but `squared` and formulas).
    """
    loss = net.losses.get(name)
    pull = f" + {float(loss.weight)!r}" if loss is not None and loss.kind == "mse" else ""
    slope = "" if net.populations[name].constraint == "lin" else "*dG*dG"
    return {"x": f"(kappa*(rho{slope}{pull}) + gamma{slope})/tau_x", "lam": f"gamma{slope}/tau_lam"}


def projection(q: Projection, x: str = "x", delta: str = "delta") -> str:
    """The ODE of the synapses, as a reader would write it; its kernel is the engine's own.

    `x` and `delta` are what plasticity reads, where that is not just x and delta. Where messages go
    back through weights of their own (`back`, laid out as w is) the flow is no gradient flow of L:
    at rest g = 0, and lam is the adjoint through them.
    """
    penalty = f" - {q.decay!r}*w" if q.decay else ""
    steps = [f"w = sign(w)*max(abs(w) - {q.l1!r}*dt/tau_w, 0)"] if q.l1 else []
    steps += [
        f"w *= max(1 - {price!r}*dt/tau_w/norm({group}), 0)"
        for price, group in ((q.row_l1, "w_to_post"), (q.column_l1, "w_from_pre"))
        if price
    ]
    proximal = f"  # then {', '.join(steps)}" if steps else ""
    moves = f"dw/dt = plastic*(mean({delta}_post*{x}_pre){penalty})/tau_w : 1{proximal}"
    lines = [moves if q.plastic else "w : 1 (constant)"]
    if q.feedback == "kolen_pollack" and q.plastic:
        lines += [f"dback/dt = plastic*(mean({x}_pre*{delta}_post) - {q.decay!r}*back)/tau_w : 1"]
    elif q.feedback == "sign":
        lines += ["back = back_size*sign(w) : 1"]
    elif q.feedback != "symmetric":
        lines += [f"back : 1 (constant)  # {q.feedback}"]
    return "\n".join(lines)


def bias(population: Population, delta: str = "delta") -> str:
    """The ODE of the biases: weights from a unit that is always 1."""
    return (
        f"db/dt = plastic*mean({delta})/tau_w : 1"
        if population.plastic_bias
        else "b : 1 (constant)"
    )


def _saddle(population: Population, x_term: str, lam_term: str, shared: str) -> list[str]:
    """The two ODEs and the constraint function in them."""
    term = population.term
    if term.kind == "lin":
        return [
            f"dx/dt = (-kappa*dL_dx - gamma*g)/tau_x{x_term} : 1",
            f"dlam/dt = (kappa*g - gamma*dL_dx)/tau_lam{lam_term} : 1",
            "mu = lam + rho*g : 1",
        ]
    return [
        f"dx/dt = (-kappa*dL_dx - gamma*dG*G)/tau_x{x_term} : 1",
        f"dlam/dt = (kappa*G - gamma*dG*dL_dx)/tau_lam{lam_term} : 1",
        "mu = (lam + rho*G)*dG : 1",
        f"G = {term.value} : 1",
        f"dG = {term.slope} : 1",
        *(["epsilon : 1 (shared)"] if term.reads_epsilon else []),
        *([f"rho_lam : 1{shared}"] if term.kind == "tube" else []),
    ]


def _free(pull: list[str]) -> list[str]:
    """Outputs that are no variables: x follows the net input, lam is what the loss pulls with, at
    every moment.
    """
    return [
        "x = sigma : 1 (constant over dt)",
        f"lam = -({' + '.join(pull) or '0.0'}) : 1 (constant over dt)",
        "mu = lam : 1",
    ]


def _loss(net: Network, name: str) -> list[str]:
    loss = net.losses[name]
    scale = "" if loss.weight == 1 else f"{float(loss.weight)!r}*"
    lines = [f"dV_dx = {scale}({loss.term.slope}) : 1", "y : 1"]
    lines += ["log_partition : 1"] if loss.term.partition else []
    return [*lines, "y_total : 1"] if loss.term.total else lines


def _shared(own_gains: bool) -> str:
    return "" if own_gains else " (shared)"


def _plus(term: str) -> str:
    return f" + ({term})" if term.strip() else ""
