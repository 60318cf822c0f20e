"""Model files from strangers: packaged files mutated at random, and every key with odd values.

A trial reads, builds and, for a moment, runs a model. It ends in success, or in neurosim's own
error that names the key; `TRACEBACK`, `HANG`, `NAMELESS` and `ACCEPTED` (nonsense) are faults.
Start at `mutations`, `key_trials`, `study_trials` and `outcome`.
"""

from __future__ import annotations

import copy
import datetime
import json
import random
import signal
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurosim.errors import ConvergenceError, DivergenceError, NeurosimError
from neurosim.experiments import modelfile, studies
from neurosim.experiments.kinds import IMPERFECTIONS, TRANSPORTS
from neurosim.experiments.schema import TABLES
from neurosim.model.flow import seconds

SUCCESS, REFUSED = "success", "refused by name"
TRACEBACK, HANG, NAMELESS, ACCEPTED = "traceback", "hang", "refused without name", "accepted"
FAULTS = (TRACEBACK, HANG, NAMELESS, ACCEPTED)
LONGEST = 10  # s
LONGEST_MESSAGE = 2500  # characters
FEW_STEPS = 200  # a run that is longer is only built
NAN, INF = float("nan"), float("inf")

# 45 values as TOML writes them
ODD: tuple[Any, ...] = (
    *(0, -1, 1, 3, 1.5, -0.5, 2**31, 2**63, 10**400, 1e-300, 1e20, 1e308, -1e308, NAN, INF, -INF),
    *(True, False, "", " ", "abc", "10 ms", "1e400 s", "10 parsecs", "-5 ms", "nan s"),
    *("x" * 10_000, "\0", "é☃", "../up", "9**9**9", "__import__('os').getpid()", "{{7*7}}"),
    *([], [1], [-1], ["a"], [NAN], [[1]], [[], [1]], {}, {"a": 1}, {"kind": ["a"]}),
    *(datetime.date(2026, 1, 1), datetime.time(12)),
)
ALWAYS_NONSENSE = (NAN, -INF, "10 parsecs", "nan s", "{{7*7}}", "\0")
TEXTS = ("10 parsecs", "nan s", "{{7*7}}", "\0")  # of these, nonsense as text, too


@dataclass(frozen=True)
class Trial:
    """A model file as text, the words one of which a refusal must have, and what it may be."""

    about: str
    text: str
    words: tuple[str, ...]
    nonsense: bool = False
    is_study: bool = False


class _Late(BaseException):
    pass


def _late(*_: Any) -> None:
    raise _Late


def outcome(trial: Trial) -> tuple[str, str]:
    """Return how a trial ends, and the message."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if trial.is_study:
                _use_study(trial.text)
            else:
                _use(trial.text)
    except (DivergenceError, ConvergenceError) as error:  # what a run of these values comes to
        return REFUSED, str(error)
    except NeurosimError as error:
        message = str(error)
        named = any(word.lower() in message.lower() for word in trial.words)
        if not named or len(message) > LONGEST_MESSAGE:
            return NAMELESS, message[:300]
        return REFUSED, message
    except _Late:
        return HANG, ""
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return (ACCEPTED if trial.nonsense else SUCCESS), ""


def _use(text: str) -> None:
    """Read and build a model; run it, if that is short."""
    model = modelfile.loads(text)
    modelfile.loads(modelfile.dump(model))
    net, data = model.network(), model.data()
    model.flow()
    schedule = model.schedule()
    simulation = model.simulation(net)
    work = sum(array.size for array in net.weights.values()) * len(data.X)
    given = model.tables.simulation.duration
    if model.tables.train is None and model.tables.stream is None and given is not None:
        steps = seconds(given, "duration") / simulation.dt
        if steps > FEW_STEPS and steps < 1e11:
            return
    elif schedule is not None and not short(schedule, simulation.dt, len(data.X)):
        return
    if work < 1e6:
        model.run(simulation, data)


def _use_study(text: str) -> None:
    """Read a study, list its cells, and name the file of one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "study.toml")
        path.write_text(text, "utf-8")
        study = studies.load(path)
        study.path(study.cells[0])


def short(schedule: Any, dt: float, count: int) -> bool:
    """Return whether a training takes few steps, or so many that it must be refused."""
    base = getattr(schedule, "schedule", schedule)
    if hasattr(base, "duration"):
        steps = base.duration / dt
    elif hasattr(base, "present"):
        steps = float(min(base.epochs, 10**20)) * max(count // base.batch, 1) * base.present / dt
    else:
        steps = base.epochs
    return steps <= FEW_STEPS or steps > 1e13


# TOML, written without neurosim's own writer


def toml(tables: Mapping[str, Any]) -> str:
    """Return tables as TOML, every table inline."""
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in tables.items())


def _key(name: str) -> str:
    return json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value).lower()  # true, nan, inf, 1e+308


# Every key with odd values

LAYERS: dict[str, Any] = {
    "network": {"sizes": [2, 3, 1], "loss": "mse"},
    "flow": {"preset": "augmented"},
    "data": {"name": "xor"},
    "simulation": {"duration": "20 ms", "backend": "numpy"},
}
TRAINED = {**LAYERS, "simulation": {"backend": "numpy"}}
SIMULTANEOUS = {"schedule": "simultaneous", "duration": "40 ms", "reports": 2}
PRESENTED = {"schedule": "presentations", "batch": 2, "present": "10 ms", "epochs": 2}
GRAPH: dict[str, Any] = {
    **LAYERS,
    "network": {
        "populations": [
            {"name": "eye", "size": 2, "clamped": True},
            {"name": "hand", "size": 1},
        ],
        "projections": [{"pre": "eye", "post": "hand"}],
        "losses": [{"population": "hand"}],
    },
}


OWN = {
    "population": "hidden1",
    "dx": "(s - x)/tau_x",
    "equations": "s : 1",
    "parameters": {"s": 0.1},
}


def _with(base: Mapping[str, Any], **tables: Any) -> dict[str, Any]:
    return {**copy.deepcopy(dict(base)), **copy.deepcopy(tables)}


# table -> models in which its keys are tried, and the place of the table in them
Place = tuple[str | int, ...]
PLACES: dict[tuple[str, ...], list[tuple[dict[str, Any], Place]]] = {
    ("network",): [(LAYERS, ("network",))],
    ("network", "populations"): [(GRAPH, ("network", "populations", 1))],
    ("network", "projections"): [(GRAPH, ("network", "projections", 0))],
    ("network", "losses"): [(GRAPH, ("network", "losses", 0))],
    ("flow",): [
        (_with(LAYERS, flow={}), ("flow",)),
        (LAYERS, ("flow",)),
        (_with(LAYERS, flow={"preset": "rotated"}), ("flow",)),
    ],
    ("simulation",): [(_with(LAYERS), ("simulation",))],
    ("data",): [
        (LAYERS, ("data",)),
        (_with(LAYERS, data={"name": "moons", "patterns": 8}), ("data",)),
        (_with(LAYERS, data={"name": "random", "features": 2, "patterns": 8}), ("data",)),
    ],
    ("train",): [
        (_with(TRAINED, train=SIMULTANEOUS), ("train",)),
        (_with(TRAINED, train=PRESENTED), ("train",)),
        (_with(TRAINED, train={"schedule": "local_propagation", "epochs": 3}), ("train",)),
    ],
    ("train", "pruning"): [
        (_with(TRAINED, train={**SIMULTANEOUS, "pruning": {"rest": "20 ms"}}), ("train", "pruning"))
    ],
    ("train", "growing"): [
        (_with(TRAINED, train={**SIMULTANEOUS, "growing": {}}), ("train", "growing"))
    ],
    ("extension",): [
        (_with(LAYERS, extension=[{"population": "hidden1", "x": "s/tau_x"}]), ("extension", 0)),
        (_with(LAYERS, extension=[OWN]), ("extension", 0)),
    ],
    ("stream",): [(_with(TRAINED, stream={"per_frame": "5 ms"}), ("stream",))],
    ("start",): [(_with(LAYERS, start={}), ("start",))],
    ("output",): [(_with(LAYERS, output={}), ("output",))],
    (): [(_with(LAYERS), ())],
}


def key_trials() -> Iterator[Trial]:
    """Yield every key of every table with every odd value."""
    for names, places in PLACES.items():
        for base, place in places:
            for key in TABLES[names].model_fields:
                yield from _trials(base, place, key)
    for kind, table in TRANSPORTS.items():
        base = _with(LAYERS, simulation={**LAYERS["simulation"], "transport": {"kind": kind}})
        for key in ("kind", *table.model_fields):
            yield from _trials(base, ("simulation", "transport"), key)
    for kind, table in IMPERFECTIONS.items():
        simulation = {**LAYERS["simulation"], "imperfections": [{"kind": kind}]}
        base = _with(LAYERS, simulation=simulation)
        for key in ("kind", *table.model_fields):
            yield from _trials(base, ("simulation", "imperfections", 0), key)


def study_trials() -> Iterator[Trial]:
    """Yield every key of [study] of every packaged study with every odd value."""
    for name, path in studies.built_in().items():
        base = tomllib.loads(path.read_text(encoding="utf-8"))
        for key in base["study"]:
            for trial in _trials(base, ("study",), key):
                yield replace(trial, about=f"{name}: {trial.about}", is_study=True)


def _trials(base: Mapping[str, Any], place: Place, key: str) -> Iterator[Trial]:
    for value in ODD:
        tables = copy.deepcopy(dict(base))
        found: Any = tables
        for part in place:
            found = found[part]
        found[key] = value
        about = ".".join(map(str, (*place, key)))
        words = (key, *map(str, place), *OTHER_WORDS.get(key, ()), "TOML")
        yield Trial(
            f"{about} = {_value(value)[:40]}", toml(tables), words, _is_nonsense(key, value)
        )


# what messages call a key, where that is not its name
OTHER_WORDS = {
    "pre": ("an end of",),
    "post": ("an end of",),
    "name": ("an end of", "population"),
    "exits": ("loss weight",),
    "group_l1": ("row_l1",),
    "tau_x": ("time constant",),
    "tau_lam": ("time constant",),
    "tau_w": ("time constant",),
    "kind": ("loss = ",),
    "theta": ("of a threshold",),
    "backward": ("of a threshold",),
    "quantum": ("of a threshold",),
    # of drawn data, which do not fit the network then
    "features": ("X has shape",),
    "outputs": ("Y for output has shape",),
}


def _is_nonsense(key: str, value: Any) -> bool:
    """Return whether a key has no meaning for a value; folders may have any name without NUL."""
    if isinstance(value, str):
        return value in TEXTS and (key not in ("folder", "stream") or "\0" in value)
    return isinstance(value, float) and any(value is odd for odd in ALWAYS_NONSENSE)


# Packaged files, mutated

Mutation = Callable[[dict[str, Any], random.Random], tuple[str, str]]


def mutations(name: str, count: int, seed: int) -> Iterator[Trial]:
    """Yield `count` mutations of a packaged model file, of every kind in turn."""
    text = modelfile.built_in()[name].read_text(encoding="utf-8")
    for number in range(count):
        rng = random.Random(f"{name} {seed} {number}")
        mutate = MUTATIONS[number % len(MUTATIONS)]
        tables = tomllib.loads(text)
        about, changed = mutate(tables, rng)
        key = about.partition(" ")[2]
        words = (*key.split("."), "TOML", "missing", "an end of", "time constant", *tables)
        nonsense = mutate in (_misspelt, _duplicated, _wrong_unit, _deep)
        yield Trial(f"{name}: {about}", changed, words, nonsense)


def _keys(tables: Any, path: Place = ()) -> Iterator[Place]:
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(tables, dict):
        pairs = tables.items()
    elif isinstance(tables, list):
        pairs = enumerate(tables)
    for key, value in pairs:
        if isinstance(key, str):
            yield (*path, key)
        yield from _keys(value, (*path, key))


def _chosen(tables: dict[str, Any], rng: random.Random) -> tuple[Any, str, str]:
    """Return the table around a key, the key, and its dotted name."""
    path = rng.choice(list(_keys(tables)))
    around: Any = tables
    for part in path[:-1]:
        around = around[part]
    return around, str(path[-1]), ".".join(map(str, path))


def _dropped(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    around, key, dotted = _chosen(tables, rng)
    del around[key]
    return f"dropped {dotted}", toml(tables)


def _misspelt(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    around, key, dotted = _chosen(tables, rng)
    around[key + "q"] = around.pop(key)
    return f"misspelt {dotted}", toml(tables)


def _duplicated(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    key = rng.choice(list(tables))
    return f"duplicated {key}", toml(tables) + toml({key: tables[key]})


def _replaced(what: str, values: tuple[Any, ...]) -> Mutation:
    def mutate(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
        around, key, dotted = _chosen(tables, rng)
        around[key] = rng.choice(values)
        return f"{what} {dotted}", toml(tables)

    return mutate


def _wrong_unit(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    unit = rng.choice(["mV", "Hz", "m s", "hours", "MS"])
    key = rng.choice(["dt", "duration", "every"])
    tables.setdefault("simulation", {})[key] = f"10 {unit}"
    return f"unit simulation.{key}", toml(tables)


def _deep(tables: dict[str, Any], rng: random.Random) -> tuple[str, str]:
    around, key, dotted = _chosen(tables, rng)
    del around[key]
    depth = rng.choice([30, 500, 20_000])
    around[key] = "DEEP"
    nested = "[" * depth + "]" * depth
    return f"nested {dotted}", toml(tables).replace('"DEEP"', nested)


MUTATIONS: tuple[Mutation, ...] = (
    _dropped,
    _misspelt,
    _duplicated,
    _replaced("retyped", ([1], {"a": 1}, "abc", True, datetime.date(2026, 1, 1), 1.5, [["a"]])),
    _replaced("extreme", (2**63, 10**400, 1e308, -1e308, 1e-320, NAN, INF, -1)),
    _wrong_unit,
    _deep,
    _replaced("huge", ("x" * 100_000, "9" * 5000, ["x"] * 1000, "(" * 400)),
)


def warm_up() -> None:
    """Import what a first run imports, so that no trial is late for that."""
    for tables in (LAYERS, _with(TRAINED, train={**SIMULTANEOUS, "pruning": {"rest": "20 ms"}})):
        _use(toml(tables))


def table_of(trials: Iterable[Trial]) -> tuple[Counter[str], list[str]]:
    """Return the number of trials by outcome, and a line for each fault."""
    counts: Counter[str] = Counter()
    faults = []
    warm_up()
    for trial in trials:
        kind, message = outcome(trial)
        counts[kind] += 1
        if kind in FAULTS:
            faults.append(f"{kind}: {trial.about}: {message}")
    return counts, faults
