"""The Lagrangian of arXiv 1808.06934 as equation text: the only place where it is written for an engine.

Above `network` and `flow`, below every backend: a network comes in, the right-hand sides of one
population, its messages or one projection go out as text in Brian2's notation; no Brian2 object.
Start at `population`.

    L(w, x, lam) = sum_k [ V(x_k, y_k) + sum_i ( lam_ki G(g_ki) + (rho/2) G(g_ki)² ) ] + R(w),  G(g) = g
"""

from __future__ import annotations

from neurosim import expressions
from neurosim.network import Network, Projection

GAINS = ("kappa", "gamma", "rho")
TIMES = ("tau_x", "tau_lam")


def population(net: Network, name: str, x_term: str = "", lam_term: str = "", more: str = "") -> str:
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

    Returns
    -------
    str
        Brian2 equations. `a` and `feedback` are written by the projections, `y` and `log_partition` by
        the simulation; what is "constant over dt" is sent as a message once a step.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934; rho: Platt & Barr, NIPS 1987.
    """
    activation = expressions.activation(net.populations[name].activation)
    lines = [
        f"dx/dt = (-kappa*dL_dx - gamma*g)/tau_x{_plus(x_term)} : 1",
        f"dlam/dt = (kappa*g - gamma*dL_dx)/tau_lam{_plus(lam_term)} : 1",
        f"dL_dx = {'dV_dx + ' if name in net.losses else ''}mu - feedback : 1",
        "mu = lam + rho*g : 1",
        "g = x - sigma : 1",
        f"sigma = {activation.sigma} : 1 (constant over dt)",
        f"dsigma = {activation.dsigma} : 1",
        "delta = dsigma*mu : 1 (constant over dt)",
        "a : 1",
        "feedback : 1",
    ]
    if name in net.losses:
        lines += _loss(net, name)
    lines += [f"{gain} : 1 (shared)" for gain in GAINS]
    lines += [f"{time} : second (shared)" for time in TIMES]
    return "\n".join([*lines, *more.strip().splitlines()])


def clamped() -> str:
    """An input population: its outputs are data."""
    return "x : 1"


def leak(net: Network, name: str) -> dict[str, str]:
    """The linear leaks of a population's neurons and multiplier units, 1/s: minus d(dx/dt)/dx, d(dlam/dt)/dlam.

    What a loss adds counts where it is linear (`mse`).
    """
    loss = net.losses.get(name)
    pull = f" + {float(loss.weight)!r}" if loss is not None and loss.kind == "mse" else ""
    return {"x": f"(kappa*(rho{pull}) + gamma)/tau_x", "lam": "gamma/tau_lam"}


def projection(q: Projection) -> str:
    """The ODE of the synapses, as a reader would write it; its kernel is the engine's own."""
    penalty = f" - {q.l2!r}*w" if q.l2 else ""
    proximal = f"  # then w = sign(w)*max(abs(w) - {q.l1!r}*dt/tau_w, 0)" if q.l1 else ""
    return f"dw/dt = plastic*(mean(delta_post*x_pre){penalty})/tau_w : 1{proximal}"


def bias() -> str:
    """The ODE of the biases: weights from a unit that is always 1."""
    return "db/dt = plastic*mean(delta)/tau_w : 1"


def _loss(net: Network, name: str) -> list[str]:
    loss = net.losses[name]
    scale = "" if loss.weight == 1 else f"{float(loss.weight)!r}*"
    lines = [f"dV_dx = {scale}({loss.term.slope}) : 1", "y : 1"]
    return [*lines, "log_partition : 1"] if loss.term.partition else lines


def _plus(term: str) -> str:
    return f" + ({term})" if term.strip() else ""
