"""Measures of a live simulation that the page shows: fit, agreement, spectrum, vector field.

Start at `measures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from neurosim import reference
from neurosim.analysis.stability import Stability, stability
from neurosim.errors import ModelError, NeurosimError, number, unknown, whole
from neurosim.model.state import State
from neurosim.reference.functions import violation
from neurosim.reference.ode import rates_at
from neurosim.results.metrics import cosine, share_correct
from neurosim.simulation.live import Live

Array = np.ndarray
ROUNDING = 1e-12  # adjoints below this have no direction
MOST_STATES = 600  # of which a spectrum is computed
MOST_GRID = 31  # arrows per side of a vector field


def measures(live: Live) -> dict[str, float]:
    """Return loss, accuracy, violation and agreement with backpropagation at the present state.

    Returns
    -------
    dict of str to float, unit 1
        violation, the root mean square of g; with a loss also loss and, with labels, accuracy of
        the outputs as they are, cosine, the smallest of lam and the adjoint over populations (NaN
        where every adjoint is rounding), and error, the largest |lam - adjoint|.
    """
    net, X, Y = live.network, live.X, live.Y
    x, lam = live.x, live.lam
    outputs = {**X, **x}
    squares = []
    for n in net.neurons:
        if not net.populations[n].free:
            squares.append(np.ravel(violation(net, n, outputs)) ** 2)
    found = {}
    if squares:
        found["violation"] = float(np.sqrt(np.mean(np.concatenate(squares))))
    if not net.losses:
        return found
    found["loss"] = reference.loss(net, outputs, Y)
    share = None
    if net.output in Y and outputs[net.output].shape[1] > 1:
        share = share_correct(net, outputs[net.output], Y)
    if share is not None:
        found["accuracy"] = share
    try:
        exact = reference.multipliers(net, X, Y)
    except NeurosimError:  # a cycle that no longer contracts
        return found
    sized = [n for n in net.neurons if np.abs(exact[n]).max() > ROUNDING]
    cosines = [float(cosine(lam[n], exact[n])) for n in sized]
    found["cosine"] = min(cosines, default=float("nan"))
    found["error"] = max(float(np.abs(lam[n] - exact[n]).max()) for n in net.neurons)
    return found


def spectrum(live: Live) -> Callable[[], dict[str, Any]]:
    """Return a function that finds the modes of the saddle point, and a sentence about them.

    It needs the live simulation no longer, which may go on meanwhile. The saddle point is that of
    the present patterns; where a constraint is not lin, the modes are those at the present state.

    Raises
    ------
    ModelError
        More than `MOST_STATES` states.
    """
    net = live.network
    size = 2 * sum(net.populations[n].size for n in net.neurons)
    if size > MOST_STATES:
        raise ModelError(f"spectrum of {size} states; allowed: at most {MOST_STATES}")
    lin = all(net.populations[n].constraint == "lin" for n in net.neurons)
    at = None if lin else State(live.x, live.lam)
    model = net, live.flow, live.X, live.Y
    method, dt = live.simulation.method, live.dt

    def found() -> dict[str, Any]:
        with threadpool_limits(1, "blas"):  # threads of BLAS would take the cores of the page
            modes = stability(*model, at=at, patterns=1)
            return _spectrum(modes, method, dt)

    return found


def _spectrum(found: Stability, method: str, dt: float) -> dict[str, Any]:
    """Return modes as the page draws them."""
    step = float(found.max_step[method if method in found.max_step else "euler"])
    place = max(found.participation, key=lambda name: float(found.participation[name][0]))
    return {
        "re": found.eigenvalues.real.tolist(),
        "im": found.eigenvalues.imag.tolist(),
        "dt": dt,
        "method": method,
        "max_step": step,
        "text": sentence(found, place, step, dt),
    }


def sentence(found: Any, place: str, step: float, dt: float) -> str:
    """Return in plain words what the slowest mode does, and how long dt may be."""
    rate, frequency = found.slowest_rate, float(found.frequency[0])
    ring = f"rings at {frequency:.3g} Hz" if frequency > 1e-9 else "does not ring"
    if found.growing:
        text = f"The saddle point is unstable: a mode, mostly in {place}, grows at {-rate:.3g}/s"
        text += f" and {ring}"
    elif rate < 1e-9 * float(np.abs(found.eigenvalues).max()):
        text = f"The slowest mode, mostly in {place}, {ring} and never decays"
    else:
        text = f"The slowest mode, mostly in {place}, {ring} and decays in {1 / rate:.3g} s"
    if step == 0:
        return f"{text}; no step is stable with this method."
    verb = "is stable" if dt <= step * (1 + 1e-9) else "is too long"
    return f"{text}; dt may be at most {1e3 * step:.3g} ms, and {1e3 * dt:.3g} ms {verb}."


def field(live: Live, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rates of change of two variables over a plane through the present state.

    Parameters
    ----------
    live : Live
    given : dict
        "h" and "v", each [variable, population, unit]; "low" and "high", each [h, v]; "count",
        points per side.

    Raises
    ------
    ModelError
        A variable or unit that does not exist, or bounds that are not finite.
    """
    net = live.network
    axes = [_axis(net, given.get(name)) for name in ("h", "v")]
    count = whole("count", given.get("count"), 2, MOST_GRID)
    lows = [number("low", value) for value in given["low"]]
    highs = [number("high", value) for value in given["high"]]
    h, v = np.meshgrid(np.linspace(lows[0], highs[0], count), np.linspace(lows[1], highs[1], count))
    points = count * count

    def spread(values: Mapping[str, Array]) -> dict[str, Array]:
        return {n: np.repeat(own[:1], points, axis=0) for n, own in values.items()}

    state = {"x": spread(live.x), "lam": spread(live.lam)}
    for (variable, population, unit), values in zip(axes, (h, v), strict=True):
        state[variable][population][:, unit] = values.ravel()
    X, Y = spread(live.X), spread(live.Y)
    rates = rates_at(net, live.flow, state["x"], state["lam"], X, Y, plastic=False, step=live.dt)
    found = []
    for variable, population, unit in axes:
        of_all = rates.x if variable == "x" else rates.lam
        found.append(of_all[population][:, unit].tolist())
    return {"h": h.ravel().tolist(), "v": v.ravel().tolist(), "dh": found[0], "dv": found[1]}


def _axis(net: Any, given: Any) -> tuple[str, str, int]:
    """Return one axis of the phase plane, checked."""
    if not isinstance(given, list) or len(given) != 3:
        raise unknown("axis", given, ("[variable, population, unit]",))
    variable, population, unit = given
    if variable not in ("x", "lam"):
        raise unknown("variable", variable, ("x", "lam"))
    if population not in net.neurons:
        raise unknown("population", population, net.neurons)
    return variable, population, whole("unit", unit, 0, net.populations[population].size - 1)


def maps(live: Live, most: int = 64) -> dict[str, Any]:
    """Return the inputs of the first pattern and the weights onto units that receive from inputs.

    Returns
    -------
    dict
        "inputs" and "maps": lists of {name, values}; at most `most` maps.
    """
    net = live.network
    found: dict[str, Any] = {"inputs": [], "maps": []}
    for name, values in live.X.items():
        found["inputs"].append({"name": name, "values": values[0].tolist()})
        for q in net.outgoing(name):
            w = net.weights[q.name]
            matrix = w if isinstance(w, np.ndarray) else w.toarray()
            for unit, row in enumerate(matrix[:most]):
                found["maps"].append({"name": f"{q.post}[{unit}]", "values": row.tolist()})
    return found
