"""Equations in print: every line is LaTeX that can be read, for every choice of a simulation."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from brian2 import ms, mV
from matplotlib.mathtext import MathTextParser

import neurosim as ns
from neurosim.model.expressions import ACTIVATIONS, CONSTRAINTS, LOSSES
from neurosim.model.feedback import KINDS

BEGIN, END = r"\begin{aligned}", r"\end{aligned}"
FLOWS = {
    "arrow_hurwicz": ns.Flow.arrow_hurwicz(),
    "augmented": ns.Flow.augmented(3.0),
    "damped": ns.Flow.damped(),
    "rotated": ns.Flow.rotated(1.2, 0.5),
    "adjoint": ns.Flow.adjoint(),
}
IMPERFECTIONS = {
    "none": (),
    "white": [ns.StateNoise(0.125)],
    "correlated": [ns.StateNoise(0.125, "5 ms")],
    "noise": [ns.MessageNoise(0.125)],
    "held": [ns.LostMessages(0.125)],
    "zero": [ns.LostMessages(0.125, "zero")],
    "rounded": [ns.Quantised(0.125)],
    "stochastic": [ns.Quantised(0.125, "stochastic")],
    "delay": [ns.Delay(steps=3)],
    "times": [ns.TimeConstants(0.125)],
    "box": [ns.Derivative(half_width=0.125)],
    "formula": [ns.Derivative("1/(1 + abs(a))")],
    "dale": [ns.Dale()],
    "low pass": [ns.LowPass("12.5 ms")],
    "all": [ns.MessageNoise(0.1), ns.LostMessages(0.1), ns.Quantised(0.1), ns.Delay(2)],
}


@cache
def read(text: str) -> None:
    """Read LaTeX by Matplotlib, which raises an error where it cannot."""
    MathTextParser("path").parse(text)


def lines(sim: ns.Simulation, values: bool = False) -> list[str]:
    """Return the lines between the ends of the environment, after reading each of them."""
    first, *inner, last = sim.latex(values).splitlines()
    assert (first, last) == (BEGIN, END)
    for number, line in enumerate(inner, start=1):
        text = line.removesuffix(r" \\")
        assert line.endswith(r" \\") == (number < len(inner))
        left, sign, right = text.partition("&")
        assert sign, line
        read(f"${left} {right}$")
    return inner


def simulation(flow: Any = None, **options: Any) -> ns.Simulation:
    net = ns.Network.mlp([3, 4, 2], **options.pop("net", {}))
    return ns.Simulation(net, flow or ns.Flow.augmented(), **options)


@pytest.mark.parametrize("name", FLOWS)
def test_presets_with_symbols_and_values(name: str) -> None:
    flow = FLOWS[name]
    sim = simulation(flow)
    symbols = "\n".join(lines(sim))
    for gain in (r"\kappa", r"\gamma", r"\rho", r"\tau_{x}", r"\tau_{\lambda}", r"\tau_{w}"):
        assert gain in symbols
    filled = "\n".join(lines(sim, values=True))
    for gain in (r"\kappa", r"\gamma", r"\rho", r"\tau"):
        assert gain not in filled
    times = [flow.time(tau, "hidden1") * 1e3 for tau in ("tau_x", "tau_lam", "tau_w")]
    for time in times:
        assert rf"{time:.6g}\,\mathrm{{ms}}" in filled
    for gain in (flow.kappa, flow.gamma, flow.rho):
        assert gain in (0, 1) or f"{gain:.6g}" in filled


def test_the_equations_of_the_plain_flow_are_those_of_the_paper() -> None:
    """Section 1 of the design, line by line."""
    assert [line.removesuffix(r" \\") for line in lines(simulation(ns.Flow.augmented()))] == [
        r"&\mathrm{hidden1:\ 4\ units}",
        r"\tau_{x}\,\frac{\mathrm{d}x_{i}}{\mathrm{d}t} &= "
        r"-\kappa\,\frac{\partial L}{\partial x_{i}} - \gamma\,g_{i}",
        r"\tau_{\lambda}\,\frac{\mathrm{d}\lambda_{i}}{\mathrm{d}t} &= "
        r"\kappa\,g_{i} - \gamma\,\frac{\partial L}{\partial x_{i}}",
        r"\mu_{i} &= \lambda_{i} + \rho\,g_{i}",
        r"\frac{\partial L}{\partial x_{i}} &= "
        r"\mu_{i} - \sum_{c\in \mathrm{output}} w_{ci}\,\delta_{c}",
        r"g_{i} &= x_{i} - \sigma_{i}",
        r"\sigma_{i} &= \tanh\left(a_{i}\right)",
        r"\sigma'_{i} &= 1 - \sigma_{i}\,\sigma_{i}",
        r"\delta_{i} &= \sigma'_{i}\,\mu_{i}",
        r"a_{i} &= b_{i} + \sum_{j\in \mathrm{input}} w_{ij}\,x_{j}",
        r"\tau_{w}\,\frac{\mathrm{d}b_{i}}{\mathrm{d}t} &= "
        r"p\,\left\langle \delta_{i}\right\rangle",
        r"&\mathrm{output:\ 2\ units}",
        r"\tau_{x}\,\frac{\mathrm{d}x_{i}}{\mathrm{d}t} &= "
        r"-\kappa\,\frac{\partial L}{\partial x_{i}} - \gamma\,g_{i}",
        r"\tau_{\lambda}\,\frac{\mathrm{d}\lambda_{i}}{\mathrm{d}t} &= "
        r"\kappa\,g_{i} - \gamma\,\frac{\partial L}{\partial x_{i}}",
        r"\mu_{i} &= \lambda_{i} + \rho\,g_{i}",
        r"\frac{\partial L}{\partial x_{i}} &= \frac{\partial V}{\partial x_{i}} + \mu_{i}",
        r"g_{i} &= x_{i} - \sigma_{i}",
        r"\sigma_{i} &= a_{i}",
        r"\sigma'_{i} &= 1",
        r"\delta_{i} &= \sigma'_{i}\,\mu_{i}",
        r"\frac{\partial V}{\partial x_{i}} &= e^{x_{i} - \log Z} - y_{i}",
        r"a_{i} &= b_{i} + \sum_{j\in \mathrm{hidden1}} w_{ij}\,x_{j}",
        r"\log Z &= \log \sum_{j} e^{x_{j}}",
        r"\tau_{w}\,\frac{\mathrm{d}b_{i}}{\mathrm{d}t} &= "
        r"p\,\left\langle \delta_{i}\right\rangle",
        r"&\mathrm{input}\rightarrow \mathrm{hidden1}",
        r"\tau_{w}\,\frac{\mathrm{d}w_{ij}}{\mathrm{d}t} &= "
        r"p\,\left\langle \delta_{i}\,x_{j}\right\rangle",
        r"&\mathrm{hidden1}\rightarrow \mathrm{output}",
        r"\tau_{w}\,\frac{\mathrm{d}w_{ij}}{\mathrm{d}t} &= "
        r"p\,\left\langle \delta_{i}\,x_{j}\right\rangle",
    ]


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("loss", [*LOSSES, "(x - y)**4/4"])
def test_losses(loss: str, values: bool) -> None:
    text = "\n".join(lines(simulation(net={"loss": loss, "activity_l1": 0.125}), values))
    assert r"\frac{\partial V}{\partial x_{i}} &=" in text
    assert (r"0.125\,\operatorname{sgn}\left(x_{i}\right)" in text) == values
    assert (r"\alpha\,\operatorname{sgn}\left(x_{i}\right)" in text) != values


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("constraint", [*CONSTRAINTS, "g + g**3"])
def test_constraints(constraint: str, values: bool) -> None:
    options: dict[str, Any] = {"constraint": constraint}
    if constraint in ("lin_eps", "abs_eps", "tube"):
        options["epsilon"] = 0.0625
    if constraint == "none":
        options = {"free_output": True}
    text = "\n".join(lines(simulation(net=options), values))
    if "epsilon" in options:
        assert ("0.0625" in text) == values
        assert (r"\varepsilon" in text) != values


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "a/(1 + abs(a))"])
def test_activations(activation: str) -> None:
    lines(simulation(net={"activation": activation}))


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("name", IMPERFECTIONS)
def test_imperfections(name: str, values: bool) -> None:
    sim = simulation(imperfections=IMPERFECTIONS[name])
    text = "\n".join(lines(sim, values))
    if name in ("white", "noise", "held", "zero", "rounded", "stochastic", "box"):
        assert ("0.125" in text) == values
    if name == "times":
        assert r"\tau_{x,i}" in text
    if name == "dale":
        assert r"w_{ij} \leftarrow w_{ij}\,\left[w_{ij}\,s_{j} \geq 0\right]" in text
    if name == "delay":
        delay = r"3\,\mathrm{ms}" if values else r"3\,\Delta t"
        assert rf"x^{{\mathrm{{sent}}}}_{{i}}\left(t - {delay}\right)" in text
    if name == "low pass":
        low_pass = r"12.5\,\mathrm{ms}" if values else r"\mathrm{low}_{\mathrm{pass}}"
        assert low_pass in text


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("prospective", [True, "20 ms"], ids=["of the equations", "estimated"])
def test_prospective_messages(prospective: Any, values: bool) -> None:
    text = "\n".join(lines(simulation(ns.Flow.adjoint(), prospective=prospective), values))
    assert (r"\dot{x}_{i}" in text) == (prospective is True)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize(
    "transport",
    [
        ns.Events(0.0625, backward=0.03125, delay="2 ms"),
        ns.Events("adaptive"),
        ns.Spikes(0.0625, refractory="4 ms"),
    ],
    ids=["fixed", "adaptive", "spikes"],
)
def test_events(transport: Any, values: bool) -> None:
    text = "\n".join(lines(simulation(transport=transport), values))
    assert r"x^{\mathrm{sent}}_{i} \leftarrow" in text
    assert r"&\mathrm{input:\ 3\ units}" in text
    if transport.theta if isinstance(transport, ns.Events) else True:
        assert ("0.0625" in text) == (values and transport != ns.Events("adaptive"))


@pytest.mark.parametrize("kind", KINDS)
def test_feedback_weights(kind: str) -> None:
    text = "\n".join(lines(simulation(net={"feedback": kind}), values=True))
    assert (r"\sum_{c\in \mathrm{output}} B_{ic}\,\delta_{c}" in text) == (kind != "symmetric")
    assert ("B_{ji} &=" in text) == (kind not in ("symmetric", "kolen_pollack"))
    assert (r"\mathrm{d}B_{ji}}" in text) == (kind == "kolen_pollack")


def test_penalties_skips_several_losses_and_what_stays() -> None:
    pops = [
        ns.Population("in_1", 2, clamped=True),
        ns.Population("v_a", 3, plastic_bias=False),
        ns.Population("out", 2),
    ]
    projections = [
        ns.Projection("in_1", "v_a", l1=0.25, row_l1=0.5, column_l1=0.75, l2=0.125),
        ns.Projection("v_a", "out", plastic=False),
        ns.Projection("in_1", "out"),
        ns.Projection("out", "v_a"),
    ]
    losses = [ns.Loss("v_a", "mse", 0.5), ns.Loss("out", "policy")]
    sim = ns.Simulation(ns.Network(pops, projections, losses), ns.Flow.damped())
    text = "\n".join(lines(sim))
    for part in (
        r"a_{i} &= b_{i} + \sum_{j\in \mathrm{v\_a}} w_{ij}\,x_{j} + \sum_{j\in \mathrm{in\_1}} ",
        r"b_{i} &= \mathrm{const}",
        r"w_{ij} &= \mathrm{const}",
        r"- 0.125\,w_{ij}",
        r"\max\left(\left|w_{ij}\right| - \frac{0.25\,\Delta t}{\tau_{w}},\,0\right)",
        r"\left\Vert w_{i\cdot}\right\Vert",
        r"\left\Vert w_{\cdot j}\right\Vert",
        r"Y &= \sum_{j} y_{j}",
        r"0.5\,\left(x_{i} - y_{i}\right)",
    ):
        assert part in text, part


def test_extensions_with_units_and_arrays() -> None:
    own = ns.Extension(
        "hidden1",
        x="I/tau_I + u/second",
        lam="-v/(2*mV)*hertz",
        equations="""
        dI/dt = (0.5*x - I)/tau_I + 0.1*sqrt(2/tau_I)*xi : 1
        tau_I : second (shared)
        v : volt (shared)
        u : 1
        """,
        parameters={"tau_I": 20 * ms, "v": 3 * mV, "u": [0.1, 0.2, 0.3, 0.4]},
    )
    symbols = "\n".join(lines(simulation(extensions=own)))
    assert r"\frac{\mathrm{d}I_{i}}{\mathrm{d}t} &=" in symbols
    assert r"\frac{u_{i}}{\mathrm{s}}" in symbols
    assert r"2\,\mathrm{mV}" in symbols
    filled = "\n".join(lines(simulation(extensions=own), values=True))
    assert r"\frac{u_{i}}{\mathrm{s}}" in filled
    assert r"\frac{I_{i}}{20\,\mathrm{ms}}" in filled
    assert r"0.003\,\mathrm{V}" in filled


def test_a_notebook_shows_the_equations() -> None:
    sim = simulation()
    assert sim._repr_latex_() == f"$${sim.latex()}$$"
    with pytest.raises(ns.ModelError, match="values = 3; allowed: True or False"):
        sim.latex(3)  # type: ignore[arg-type]


def test_an_extension_that_brian2_cannot_read_is_refused() -> None:
    sim = simulation(extensions=ns.Extension("hidden1", x="(x"))
    with pytest.raises(ns.ModelError, match="the extension of hidden1 makes no equations"):
        sim.latex()


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("name", ns.rules.LIBRARY)
def test_learning_rules(name: str, values: bool) -> None:
    rule = ns.rules.LIBRARY[name]()
    net = ns.Network.mlp([2, 2], loss="mse", plasticity=rule, bias_plasticity="momentum")
    found = lines(ns.Simulation(net, ns.Flow.augmented()), values)
    assert any("w_{ij}" in line and r"\mathrm{d}" in line for line in found)
    if rule.gradient_decay is None:
        for own in rule.own_variables:
            assert any(own in line or "mathrm" in line for line in found), own
    averaged = any(r"\left\langle" in line for line in found)
    assert averaged
