"""Write a live simulation as text: a model file, or a script that repeats the session.

Start at `to_model` and `to_script`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import ModelError, out_of_range, shown
from neurosim.experiments import modelfile
from neurosim.experiments.dotted_keys import set_key
from neurosim.experiments.modelfile import ModelFile
from neurosim.model import transport as transports
from neurosim.model.extension import Extension
from neurosim.model.network import Network
from neurosim.model.state import State
from neurosim.simulation.live import Live
from neurosim.simulation.live_numbers import different, numbers_of

Array = np.ndarray
MOST_NUMBERS = 100_000  # written into a script
LEFT_OUT = ("bias_plasticity", "plasticity")  # of a network that is written as a graph, if None


def open_live(model: ModelFile, **options: Any) -> Live:
    """Open a live simulation of a model file on its training patterns.

    Parameters
    ----------
    model : ModelFile
    **options
        Arguments of `Simulation.live`.

    Examples
    --------
    >>> live = open_live(modelfile.load("xor"), patterns=[0, 3])
    >>> live.patterns
    (0, 3)
    """
    data = model.data()
    live = model.simulation().live(data.X, data.Y, **options)
    live.source = model
    return live


@checked
def to_model(live: Live, *, data: Any = None) -> str:
    """Return the present choices of a live simulation as the text of a model file.

    Weights are the initial ones: a model file describes an experiment from its start.

    Parameters
    ----------
    live : Live
    data : str or mapping, optional
        The name of a data set or file, or the keys of ``[data]``. It is needed where the simulation
        was not opened from a model file.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        No `data`; initial biases or text that a model file cannot hold.

    Examples
    --------
    >>> live = open_live(modelfile.load("xor"))
    >>> live.set("flow.rho", 3)
    >>> modelfile.loads(to_model(live)).flow().rho
    3.0
    """
    first, _ = live.opened
    now = live.simulation
    source = live.source
    raw: dict[str, Any] = {}
    if isinstance(source, ModelFile):
        raw = source.effective().model_dump(exclude_none=True)
    elif data is None:
        raise ModelError(
            f"data = None, but {live!r} was not opened from a model file; "
            "allowed: the name of a data set or the path of a file, e.g. 'own.csv'"
        )
    if data is not None:
        if not isinstance(data, str | Path | Mapping):
            raise out_of_range("data", data, "a name, a path or the keys of [data]", "'own.csv'")
        raw["data"] = dict(data) if isinstance(data, Mapping) else {"name": str(data)}
    if not isinstance(source, ModelFile):
        raw["network"] = graph_of(first.net)
        raw["simulation"] = _simulation(now)
        raw["extension"] = [_extension(e) for e in now.extensions]
    before = numbers_of(source.simulation()) if isinstance(source, ModelFile) else numbers_of(first)
    changes = different(before, live.numbers)
    if any(key.startswith("network.") for key in changes):
        raw["network"] = graph_of(first.net.sharing(**_parts(now.net)))
    raw["flow"] = _plain(now.flow.as_dict())
    for key, value in changes.items():
        if not key.startswith(("flow.", "network.", "simulation.transport")):
            set_key(raw, key.split("."), value)
    raw.setdefault("simulation", {})
    if any(key.startswith("simulation.transport") for key in changes):
        raw["simulation"]["transport"] = transports.described(now.transport)
    text = modelfile.dump(modelfile.tables_of(raw))
    if len(text) > modelfile.MAX_BYTES:
        raise out_of_range("size of the model file", len(text), f"{modelfile.MAX_BYTES} bytes")
    return text


@checked
def to_script(live: Live) -> str:
    """Return a Python script that repeats a live session, to the last bit.

    Parameters
    ----------
    live : Live

    Returns
    -------
    str
        It ends with the variable `live`.

    Raises
    ------
    ModelError
        The journal has lost its oldest actions; a start from a run; more numbers than a script
        can hold.

    Examples
    --------
    >>> live = open_live(modelfile.load("xor"))
    >>> live.run("10 ms")
    >>> print(to_script(live).splitlines()[-1])
    live.run(duration=0.01)
    """
    if not live.journal_is_complete:
        raise ModelError(
            f"the journal of {live!r} has lost its oldest actions; try live.reset(), which begins "
            "a new one with the present choices"
        )
    lines = ['"""A session of neurosim, written by ns.to_script."""', "", "import neurosim as ns"]
    lines += _from_model(live) if isinstance(live.source, ModelFile) else _from_arrays(live)
    lines += [f"live.{action}" for action in live.journal]
    return "\n".join(lines) + "\n"


def _from_model(live: Live) -> list[str]:
    """Return the lines that open the simulation from its model file."""
    text = modelfile.dump(live.source.effective())
    return [
        "from neurosim.experiments import modelfile",
        "",
        f"MODEL = {text!r}",
        "",
        "model = modelfile.loads(MODEL)",
        "data = model.data()",
        f"live = model.simulation().live(data.X, data.Y, {_keywords(_options(live))})",
    ]


def _from_arrays(live: Live) -> list[str]:
    """Return the lines that open the simulation from arrays, which they hold."""
    first, _ = live.opened
    X, Y = live.data
    net = first.net
    for name, w in net.weights.items():
        if not isinstance(w, np.ndarray):
            raise ModelError(
                f"weights of {name} are a {type(w).__name__}; allowed in a script: dense arrays; "
                "try a model file"
            )
    arrays = [*net.weights.values(), *net.biases.values(), *X.values(), *Y.values()]
    count = sum(int(np.size(values)) for values in arrays)
    if count > MOST_NUMBERS:
        raise out_of_range(
            "numbers of the script", count, f"{MOST_NUMBERS}", "a model file and its data file"
        )
    parts = {
        "weights": net.weights,
        "biases": net.biases,
        "feedback": {n: net.feedback[n] for n, q in net.projections.items() if q.draws_feedback},
    }
    written = {name: _lists(values) for name, values in parts.items()}
    choices = _simulation(first)
    lines = [
        "import numpy as np",
        "",
        f"GRAPH = {net.describe()!r}",
        f"PARAMETERS = {written!r}",
        f"X = {_lists(X)!r}",
        f"Y = {_lists(Y)!r}",
        "",
        "arrays = {}",
        "for kind, values in PARAMETERS.items():",
        "    arrays[kind] = {name: np.array(value) for name, value in values.items()}",
        "net = ns.Network.from_description(GRAPH, **arrays)",
        f"flow = ns.Flow({_keywords(_plain(first.flow.as_dict()))})",
    ]
    extensions = [f"ns.Extension({_keywords(_extension(e))})" for e in first.extensions]
    if extensions:
        choices["extensions"] = _Code(f"[{', '.join(extensions)}]")
    lines.append(f"sim = ns.Simulation(net, flow, {_keywords(choices)})")
    lines.append(f"live = sim.live(X, Y or None, {_keywords(_options(live))})")
    return lines


class _Code:
    """Text that stands in a script as it is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _options(live: Live) -> dict[str, Any]:
    """Return the arguments with which the simulation was opened, for a script."""
    _, options = live.opened
    start = options["start"]
    if isinstance(start, State):
        x, lam = _lists(start.x), _lists(start.lam)
        count = sum(np.size(values) for values in start.x.values())
        if count > MOST_NUMBERS:
            raise out_of_range("numbers of the start", count, f"{MOST_NUMBERS}")
        options["start"] = _Code(f"ns.State({_arrays(x)}, {_arrays(lam)}, {start.steps_before})")
    elif not isinstance(start, str):
        raise out_of_range("start", start, "'zero', 'forward' or a State in a script", "run.state")
    return {name: value for name, value in options.items() if value is not None}


def _arrays(values: Mapping[str, Any]) -> str:
    entries = [f"{name!r}: __import__('numpy').array({value!r})" for name, value in values.items()]
    return "{" + ", ".join(entries) + "}"


def _keywords(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in values.items()}


def _simulation(sim: Any) -> dict[str, Any]:
    """Return the choices of a simulation as plain values, as its constructor takes them."""
    return {
        "transport": transports.described(sim.transport),
        "dt": sim.dt,
        "method": sim.method,
        "seed": sim.seed,
        "precision": sim.precision,
        "shortcuts": sim.shortcuts,
        **sim.imperfections.described(),
    }


def _extension(extension: Extension) -> dict[str, Any]:
    """Return the arguments of an extension that are not empty, as plain values."""
    found = {}
    for f in fields(extension):
        value = getattr(extension, f.name)
        if isinstance(value, Mapping):
            value = {name: np.asarray(own).tolist() for name, own in value.items()}
        if value:
            found[f.name] = value
    return found


def graph_of(net: Network) -> dict[str, Any]:
    """Return a network as the lists of ``[network]``, with its weights.

    Raises
    ------
    ModelError
        Biases that differ between the units of a population, or drawn feedback weights.
    """
    description = net.describe()
    populations = []
    for row in description["populations"]:
        own = {key: value for key, value in row.items() if value is not None}
        biases = net.biases.get(row["name"])
        if biases is not None:
            if np.ptp(biases) > 0:
                raise ModelError(
                    f"biases of {row['name']} = {shown(biases)}; allowed in a model file: the same "
                    "for all units (bias_init); try ns.to_script"
                )
            own["bias_init"] = float(biases[0])
        populations.append(own)
    projections = []
    for row in description["projections"]:
        name = f"{row['pre']}->{row['post']}"
        own = {key: value for key, value in row.items() if value is not None and key != "sparse"}
        w = net.weights[name]
        own["weights"] = np.asarray(w if isinstance(w, np.ndarray) else w.todense()).tolist()
        if not isinstance(w, np.ndarray):
            own["mask"] = (np.asarray(w.todense()) != 0).astype(int).tolist()
        if net.projections[name].draws_feedback:
            own["feedback_weights"] = np.asarray(net.feedback[name]).tolist()
        projections.append(own)
    return {
        "populations": populations,
        "projections": projections,
        "losses": description["losses"],
    }


def _parts(net: Network) -> dict[str, Any]:
    return {
        "populations": net.populations,
        "projections": net.projections,
        "losses": net.losses,
    }


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return mappings as plain dicts."""
    found = {}
    for name, value in values.items():
        found[name] = dict(value) if isinstance(value, Mapping) else value
    return found
