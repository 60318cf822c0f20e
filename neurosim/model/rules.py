"""A library of learning rules, each a few lines of text with its source.

`gradient` is the built-in rule. The others show what rules can be made of: running moments, traces,
sliding thresholds, bounds, noise, rounding. Hebbian rules read outputs, not messages δ, and so need
no target. Above `plasticity`, below `populations`. Start at `gradient`.

Examples
--------
>>> import neurosim as ns
>>> net = ns.Network.mlp([4, 1], plasticity=ns.rules.oja())
>>> net.projections["input->output"].plasticity.equations
('dw/dt = x_post*(x_pre - x_post*w)/tau_w : 1',)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neurosim.errors import ModelError, number, out_of_range, unknown
from neurosim.model.plasticity import Plasticity

NONE = "none"  # the rule of weights that do not learn


def gradient(decay: float = 0.0) -> Plasticity:
    """Return gradient descent on L, with a decay: the rule that networks have by default.

    At rest of outputs and multipliers it is backpropagation's.

    Parameters
    ----------
    decay : float
        In 1/tau_w, >= 0.

    References
    ----------
    Betti, Gori & Marra 2018, arXiv 1808.06934.
    """
    if not number("decay", decay, least=0):
        return Plasticity("dw/dt = delta_post*x_pre/tau_w : 1")
    return Plasticity("dw/dt = (delta_post*x_pre - decay*w)/tau_w : 1", parameters={"decay": decay})


def momentum(beta: float = 0.9) -> Plasticity:
    """Return gradient descent with a heavy ball, v <- beta v + force, w <- w + (dt/tau_w) v.

    It steps while the gate is open, once in each step.

    Parameters
    ----------
    beta : float
        From 0 to 1, exclusive of 1.

    References
    ----------
    Polyak, USSR Comput. Math. Math. Phys. 4 (1964).
    """
    return Plasticity(
        "dv/dt = (delta_post*x_pre - (1 - beta)*v)/dt : 1",
        "dw/dt = v/tau_w : 1",
        parameters={"beta": _share("beta", beta)},
        gated=("w", "v"),
    )


def adam(beta_1: float = 0.9, beta_2: float = 0.999, floor: float = 1e-8) -> Plasticity:
    """Return Adam with the rate dt/tau_w; its running moments are states of each synapse.

    It steps while the gate is open, once in each step.

    Parameters
    ----------
    beta_1, beta_2 : float
        Memory of the running means of the force and of its square, from 0 to 1, exclusive of 1.
    floor : float
        Added to the root of the mean square, > 0.

    References
    ----------
    Kingma & Ba, ICLR 2015.
    """
    return Plasticity(
        "dforce/dt = (delta_post*x_pre - force)/dt : 1",  # the mean over patterns
        "dm/dt = (1 - beta1)*(force - m)/dt : 1",
        "ds/dt = (1 - beta2)*(force**2 - s)/dt : 1",
        "dlack1/dt = (beta1 - 1)*lack1/dt : 1",  # beta1**n after n steps
        "dlack2/dt = (beta2 - 1)*lack2/dt : 1",
        "dw/dt = m/(1 - lack1)/(sqrt(s/(1 - lack2)) + smallest)/tau_w : 1",
        parameters={
            "beta1": _share("beta_1", beta_1),
            "beta2": _share("beta_2", beta_2),
            "smallest": number("floor", floor, above=0),
            "lack1": 1.0,
            "lack2": 1.0,
        },
        gated=("w", "force", "m", "s", "lack1", "lack2"),
    )


def eligibility(tau_e: Any = "50 ms") -> Plasticity:
    """Return gradient descent through an eligibility trace, a low-pass of δ_post x_pre.

    The trace runs on while the gate is closed.

    Parameters
    ----------
    tau_e : time
        Time constant of the trace.

    References
    ----------
    Gerstner et al., Front. Neural Circuits 12:53 (2018), eq. 1.
    """
    return Plasticity(
        "de/dt = (delta_post*x_pre - e)/tau_e : 1",
        "dw/dt = e/tau_w : 1",
        parameters={"tau_e": tau_e},
    )


def three_factor(tau_e: Any = "50 ms", modulator: str = "reward") -> Plasticity:
    """Return an eligibility trace whose effect is gated by a modulator, broadcast to all synapses.

    Parameters
    ----------
    tau_e : time
        Time constant of the trace.
    modulator : str
        Name of the third factor; `Simulation.train` takes its values.

    References
    ----------
    Fremaux & Gerstner, Front. Neural Circuits 9:85 (2016), eq. 2.
    """
    return Plasticity(
        "de/dt = (delta_post*x_pre - e)/tau_e : 1",
        f"dw/dt = {modulator}*e/tau_w : 1",
        parameters={"tau_e": tau_e},
        modulators=(modulator,),
    )


def oja() -> Plasticity:
    """Return Oja's rule: weights of a linear unit become the first principal component.

    References
    ----------
    Oja, J. Math. Biol. 15, 267 (1982), eq. 3.
    """
    return Plasticity("dw/dt = x_post*(x_pre - x_post*w)/tau_w : 1")


def bcm(tau_theta: Any = "1 s") -> Plasticity:
    """Return the rule of Bienenstock, Cooper and Munro, with a sliding threshold <x_post²>.

    Parameters
    ----------
    tau_theta : time
        Time over which the threshold averages.

    References
    ----------
    Bienenstock, Cooper & Munro, J. Neurosci. 2, 32 (1982); the threshold: Intrator & Cooper,
    Neural Netw. 5, 3 (1992).
    """
    return Plasticity(
        "dtheta/dt = (x_post**2 - theta)/tau_theta : 1",
        "dw/dt = x_post*(x_post - theta)*x_pre/tau_w : 1",
        parameters={"tau_theta": tau_theta},
    )


def covariance(tau_mean: Any = "1 s") -> Plasticity:
    """Return the covariance rule, (x_post - <x_post>)(x_pre - <x_pre>).

    Parameters
    ----------
    tau_mean : time
        Time over which both means are taken.

    References
    ----------
    Sejnowski, J. Math. Biol. 4, 303 (1977); Dayan & Abbott, Theoretical Neuroscience (2001), eq.
    8.8.
    """
    return Plasticity(
        "dbefore/dt = (x_pre - before)/tau_mean : 1",
        "dafter/dt = (x_post - after)/tau_mean : 1",
        "dw/dt = (x_post - after)*(x_pre - before)/tau_w : 1",
        parameters={"tau_mean": tau_mean},
    )


def soft_bounds(low: float = -1.0, high: float = 1.0) -> Plasticity:
    """Return gradient descent whose steps shrink towards a bound in proportion to the distance.

    Parameters
    ----------
    low, high : float
        Bounds of the weights; initial weights lie between them.

    References
    ----------
    van Rossum, Bi & Turrigiano, J. Neurosci. 20, 8812 (2000).
    """
    if not number("low", low) < number("high", high):
        raise out_of_range("low", low, f"a number below high = {high!r}")
    return Plasticity(
        "up = 0.5*(abs(delta_post)*abs(x_pre) + delta_post*x_pre) : 1",
        "down = 0.5*(abs(delta_post)*abs(x_pre) - delta_post*x_pre) : 1",
        "dw/dt = (up*(high - w) - down*(w - low))/tau_w : 1",
        parameters={"low": low, "high": high},
    )


def homeostatic(target: float = 0.1, tau_mean: Any = "1 s", strength: float = 1.0) -> Plasticity:
    """Return gradient descent with multiplicative scaling that keeps a neuron's mean activity.

    Parameters
    ----------
    target : float
        Mean of x_post that is kept.
    tau_mean : time
        Time over which the mean is taken.
    strength : float
        Rate of the scaling, in 1/tau_w, >= 0.

    References
    ----------
    Turrigiano et al., Nature 391, 892 (1998); van Rossum et al., J. Neurosci. 20, 8812 (2000).
    """
    return Plasticity(
        "dmean/dt = (x_post - mean)/tau_mean : 1",
        "dw/dt = (delta_post*x_pre + strength*(target - mean)*w)/tau_w : 1",
        parameters={
            "target": number("target", target),
            "tau_mean": tau_mean,
            "strength": number("strength", strength, least=0),
        },
    )


def anti_hebbian(decay: float = 0.1) -> Plasticity:
    """Return the anti-Hebbian rule, which decorrelates the outputs that it joins.

    Parameters
    ----------
    decay : float
        In 1/tau_w, >= 0.

    References
    ----------
    Foldiak, Biol. Cybern. 64, 165 (1990).
    """
    return Plasticity(
        "dw/dt = -(x_post*x_pre + decay*w)/tau_w : 1",
        parameters={"decay": number("decay", decay, least=0)},
    )


def weight_noise(size: float = 0.01) -> Plasticity:
    """Return gradient descent with white noise: Langevin dynamics of the weights.

    Parameters
    ----------
    size : float
        A weight that only decays by w/tau_w would vary with this standard deviation, >= 0.

    References
    ----------
    Welling & Teh, ICML 2011.
    """
    return Plasticity(
        "dw/dt = delta_post*x_pre/tau_w + size*sqrt(2/tau_w)*xi : 1",
        parameters={"size": number("size", size, least=0)},
    )


def quantised(step: float = 0.01) -> Plasticity:
    """Return gradient descent on weights that are multiples of a step, by stochastic rounding.

    The mean of a rounded weight is the weight before rounding.

    Parameters
    ----------
    step : float
        Distance of two allowed weights, > 0.

    References
    ----------
    Gupta et al., ICML 2015, arXiv 1502.02551.
    """
    return Plasticity(
        "dw/dt = delta_post*x_pre/tau_w : 1",
        parameters={"step": number("step", step, above=0)},
        after="w = step*floor(w/step + rand())",
    )


LIBRARY: dict[str, Callable[..., Plasticity]] = {
    "gradient": gradient,
    "momentum": momentum,
    "adam": adam,
    "eligibility": eligibility,
    "three_factor": three_factor,
    "oja": oja,
    "bcm": bcm,
    "covariance": covariance,
    "soft_bounds": soft_bounds,
    "homeostatic": homeostatic,
    "anti_hebbian": anti_hebbian,
    "weight_noise": weight_noise,
    "quantised": quantised,
}


def rule_of(name: str, given: Any) -> Plasticity | None:
    """Return the rule that an argument stands for; None for "none".

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    given : Plasticity, name of the library, or dict
        A dict has the arguments of `Plasticity`, or those of a rule of the library beside "rule".

    Raises
    ------
    ModelError
        Anything else.
    """
    if isinstance(given, Plasticity):
        return given
    if isinstance(given, Mapping):
        if "rule" not in given:
            try:
                return Plasticity.from_description(given)
            except ModelError as error:
                raise ModelError(f"{name}: {error}") from error
        options = {key: value for key, value in given.items() if key != "rule"}
        return _from_library(name, given["rule"], options)
    if isinstance(given, str) and given == NONE:
        return None
    return _from_library(name, given, {})


def _from_library(name: str, rule: Any, options: Mapping[str, Any]) -> Plasticity:
    if not isinstance(rule, str) or rule not in LIBRARY:
        raise unknown(name, rule, (NONE, *LIBRARY, "Plasticity(...)"))
    try:
        return LIBRARY[rule](**options)
    except TypeError as error:
        raise out_of_range(f"{name} {rule}", dict(options), "its parameters", str(error)) from error


def _share(name: str, value: float) -> float:
    share = number(name, value, least=0)
    if share >= 1:
        raise out_of_range(name, value, "from 0 to 1, exclusive of 1", "0.9")
    return share
