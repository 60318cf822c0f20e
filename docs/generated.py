"""Write the pages of the reference that follow from the code: names, keys, options, words.

`conf.py` calls `write` before Sphinx reads the sources. ``tests/test_docs.py`` holds that nothing
public is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from types import ModuleType
from typing import Any

import neurosim

HERE = Path(__file__).parent
EVIDENCE = HERE / "findings" / "evidence.json"
BENCHMARKS = HERE / "findings" / "benchmarks.json"
EXAMPLES = HERE / "reference" / "examples.py"
TOPIC = re.compile(r"^(\w[\w ]*)\n((?:    .+\n)+)", re.MULTILINE)
CELL = re.compile(r"^# %% (\S+)\n(.*?)(?=^# %% |\Z)", re.DOTALL | re.MULTILINE)
MODULES = ("plot", "reference", "rivals", "rules", "sites", "streams", "tasks", "datasets", "hebb")


def examples() -> dict[str, str]:
    """Return the code of each cell of `EXAMPLES`, by the name that it is an example of."""
    text = EXAMPLES.read_text(encoding="utf-8")
    return {name: code.strip() for name, code in CELL.findall(text)}


def module_named(name: str) -> ModuleType:
    """Return a public module, whether it is an attribute of `neurosim` or only imported."""
    if name in neurosim.__all__:
        module: ModuleType = getattr(neurosim, name)
        return module
    return import_module(f"neurosim.{name}")


def public_names(module: ModuleType) -> list[str]:
    """Return the public functions and classes that a module defines or lists."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    found = []
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__:
            found.append(name)
    return found


def topics() -> dict[str, list[str]]:
    """Return the public names by topic, as the docstring of `neurosim` lists them."""
    found = {}
    for topic, names in TOPIC.findall(neurosim.__doc__ or ""):
        found[topic] = re.findall(r"\w+", names)
    return found


def heading(text: str, line: str = "=") -> str:
    """Return a heading in reStructuredText."""
    return f"{text}\n{line * len(text)}\n"


def write(folder: Path) -> None:
    """Write all pages into a folder, and remove those that are no longer written."""
    texts = dict(pages())
    folder.mkdir(exist_ok=True, parents=True)
    for old in folder.glob("*.*"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    shown = examples()
    yield "names.rst", _index()
    for names in topics().values():
        for name in names:
            value = getattr(neurosim, name)
            yield f"{_file(name, value)}.rst", _page(name, value, shown)
    for name in MODULES:
        yield f"module-{name}.rst", _module_page(name, shown)
    yield "model-files.md", _model_files()
    yield "command-line.md", _command_line()
    yield "variables.md", _variables()
    yield "glossary.md", _glossary()
    yield "models.md", _models()
    yield "evidence.md", _evidence()
    yield "benchmarks.md", benchmarks(BENCHMARKS)


def _file(name: str, value: Any) -> str:
    """Return the name of a page; `Alignment` and `alignment` differ by more than case."""
    return f"{'class' if isinstance(value, type) else 'function'}-{name}"


def _index() -> str:
    lines = [heading("Public names"), "All are attributes of ``neurosim``, here ``ns``.\n"]
    for topic, names in topics().items():
        lines.append(heading(topic, "-"))
        lines.append(".. toctree::\n   :maxdepth: 1\n")
        for name in names:
            lines.append(f"   {name} <{_file(name, getattr(neurosim, name))}>")
        lines.append("")
    lines.append(heading("Modules", "-"))
    lines.append(".. toctree::\n   :maxdepth: 1\n")
    lines += [f"   {name} <module-{name}>" for name in MODULES]
    return "\n".join(lines) + "\n"


def _page(name: str, value: Any, shown: dict[str, str]) -> str:
    parts = [heading(name), ".. currentmodule:: neurosim\n"]
    if isinstance(value, type):
        parts.append(f".. autoclass:: neurosim.{name}\n   :members:\n")
    else:
        parts.append(f".. autofunction:: neurosim.{name}\n")
    parts += _example(name, shown)
    parts += [heading("In the gallery", "-"), f".. minigallery:: neurosim.{name}\n"]
    return "\n".join(parts)


def _example(name: str, shown: dict[str, str]) -> list[str]:
    if name not in shown:
        return []
    code = "\n".join(f"   {line}".rstrip() for line in shown[name].splitlines())
    return [heading("Example", "-"), f".. code-block:: python\n\n{code}\n"]


def _module_page(name: str, shown: dict[str, str]) -> str:
    module = module_named(name)
    own = module.__name__
    parts = [heading(f"neurosim.{name}"), f".. automodule:: {own}\n", *_example(name, shown)]
    parts.append(f".. currentmodule:: neurosim.{name}\n")
    for public in public_names(module):
        value = getattr(module, public)
        if isinstance(value, type):
            parts.append(f".. autoclass:: {own}.{public}\n   :members:\n")
        elif callable(value):
            parts.append(f".. autofunction:: {own}.{public}\n")
        else:
            parts.append(f".. autodata:: {own}.{public}\n   :no-value:\n")
    return "\n".join(parts)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _model_files() -> str:
    from neurosim.experiments.schema import IN_SECONDS, TABLES

    lines = [
        "# Keys of a model file",
        "",
        "A model file is TOML. A key that is left out has the default of the constructor that it is",
        'passed to. Times are written `"10 ms"` or in seconds. `neurosim models` lists the built-in',
        "files, and every key can be set from the command line: `--set flow.rho=2`.",
        "",
    ]
    for place, table in TABLES.items():
        if not place:
            continue
        name = ".".join(place)
        lines += [f"## [{name}]", "", (table.__doc__ or "").replace("``", "`").split("\n\n")[0], ""]
        for key, field in table.model_fields.items():
            unit = ", s" if IN_SECONDS in field.metadata else ""
            needed = ", required" if field.is_required() else ""
            about = field.description or "A table or list of its own, see the how-to guides."
            default = _default(place, key)
            lines += [
                f"`{key}` ({_kind(field.annotation)}{unit}{needed}{default})",
                f": {about}",
                "",
            ]
    return "\n".join(lines) + "\n"


def _default(place: tuple[str, ...], key: str) -> str:
    """Return the default of a key in words, as the constructors that take it have it; "" if none."""
    import inspect

    ns = neurosim
    simulation = (ns.Simulation, ns.Simulation.relax, ns.Simulation.train)
    schedules = (ns.Presentations, ns.Simultaneous, ns.LocalPropagation, ns.Simulation.train)
    takers: dict[tuple[str, ...], tuple[Any, ...]] = {
        ("network",): (ns.Network.mlp,),
        ("network", "populations"): (ns.Population,),
        ("network", "projections"): (ns.Projection,),
        ("network", "losses"): (ns.Loss,),
        ("flow",): (ns.Flow,),
        ("simulation",): simulation,
        ("train",): schedules,
        ("train", "pruning"): (ns.Pruning,),
        ("train", "growing"): (ns.Growing,),
        ("stream",): (ns.Simulation.stream,),
        ("data",): (module_named("datasets").load,),
    }
    for taker in takers.get(place, ()):
        parameter = inspect.signature(taker).parameters.get(key)
        if parameter is None or parameter.default in (inspect.Parameter.empty, None):
            continue
        text = repr(parameter.default)
        if len(text) <= 40 and "object at" not in text and "<" not in text:
            return f", default {text}"
    return ""


def _kind(annotation: Any) -> str:
    """Return a type in words of TOML."""
    text = str(annotation).replace("typing.", "").replace("<class '", "").replace("'>", "")
    text = re.sub(r"neurosim\.experiments\.schema\.", "", text)
    text = re.sub(r"Optional\[(.*)\]$", r"\1", text)
    text = re.sub(r" \| None|Annotated\[|, (Before|After)Validator\(.*?\)", "", text)
    words = {"str": "string", "bool": "boolean", "float": "number", "int": "integer"}
    for old, new in words.items():
        text = re.sub(rf"\b{old}\b", new, text)
    if text.startswith("Union["):
        parts = re.split(r", (?![^\[]*\])", text.removeprefix("Union[").removesuffix("]"))
        text = " or ".join(part for part in parts if part != "NoneType")
    return "any" if len(text) > 60 or "function" in text else text.replace("Any", "any")


def _command_line() -> str:
    import typer

    from neurosim.cli import app

    command: Any = typer.main.get_command(app)
    lines = ["# The command line", "", (command.help or "").strip(), ""]
    lines += ["Completion in the shell: `neurosim --install-completion`.", ""]
    for name, sub in command.commands.items():
        lines += [f"## neurosim {name}", "", _plain(sub.help or ""), ""]
        for parameter in sub.params:
            about = _plain(getattr(parameter, "help", "") or "")
            if parameter.param_type_name == "argument":
                lines += [f"`{parameter.name.upper()}`", f": {about or 'See above.'}", ""]
            else:
                options = "`, `".join([*parameter.opts, *parameter.secondary_opts])
                lines += [f"`{options}`", f": {about or 'See above.'}", ""]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return help as one paragraph per paragraph, without what Markdown would take as markup."""
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").replace("\f", ""))
    joined = [" ".join(part.split()) for part in paragraphs]
    escaped = [re.sub(r"([*_<>\[\]|])", r"\\\1", part) for part in joined if part]
    return "\n\n".join(escaped)


def _variables() -> str:
    from neurosim.results.traces import VARIABLES

    lines = [
        "# Variables that can be recorded",
        "",
        '`relax(..., record=("x", "lam"))`. All have unit 1. `record="e"` or `"e:input->hidden1"`',
        "names a variable of a learning rule, and the variables of an `Extension` have their names.",
        "",
        "| name | meaning |",
        "|---|---|",
    ]
    lines += [_row(f"`{name}`", meaning) for name, meaning in VARIABLES.items()]
    return "\n".join(lines) + "\n"


def _glossary() -> str:
    text = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Glossary", 1)[1].split("\n## ", 1)[0]
    lines = ["# Glossary", "", "One term for each thing, in code, messages and pages.", ""]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or cells[0] == "term":
            continue
        term, meaning, others = (*cells, "", "")[:3]
        about = meaning + (f" Not: {others}." if others else "")
        lines += [term, f": {about or 'As in the field.'}", ""]
    return "\n".join(lines) + "\n"


def _evidence() -> str:
    """Return the kept figures of `python -m tests.evidence`, each with where it was measured."""
    lines = ["# Figures as they were measured", ""]
    lines += [
        "`python -m tests.evidence NAME` measures a row again, and `--compare",
        "docs/findings/evidence.json` prints what has changed since.",
        "",
    ]
    for name, row in json.loads(EVIDENCE.read_text(encoding="utf-8")).items():
        lines += [f"## {name}", "", "```text"]
        lines += row["figures"].strip().replace("; ", "\n").splitlines()
        lines += ["```", "", f"Measured on {_where(row)}.", ""]
    return "\n".join(lines)


def benchmarks(path: Path) -> str:
    """Return the kept rows of `python -m tests.benchmarks` as tables, beside the last release's."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    lines = ["# Benchmarks as they were measured", ""]
    lines += [
        "`python -m tests.benchmarks NAME --json docs/findings/benchmarks.json` measures a table",
        "again, and prints which ratios have left the quartiles that were kept. A ratio is time (or",
        "memory) of neurosim over that of the yardstick, median of paired samples. Nothing is kept",
        "while others use more than 0.1 cores of the machine.",
        "",
    ]
    if not kept:
        lines += ["Nothing is kept yet.", ""]
    for name, entry in kept.items():
        lines += [f"## {name}", "", *_benchmark(entry), ""]
        lines += [f"Measured on {_where(entry)}; others used {entry['others']:.2f} cores.", ""]
        if "released" in entry:
            lines += [f"Before: {_where(entry['released'])}.", ""]
    return "\n".join(lines)


def _benchmark(entry: dict[str, Any]) -> list[str]:
    """Return the table of a benchmark; a row without a yardstick has its own median."""
    released = {}
    for row in entry.get("released", {"rows": []})["rows"]:
        released[row["what"], row["yardstick"]] = row["ratio"]
    head = ["what", "against", "ratio", "lower quartile", "upper quartile", "samples", "before"]
    lines = [_row(*head), _row(*["---"] * len(head))]
    for row in entry["rows"]:
        ratio = row["ratio"]
        if ratio is None:
            value = f"{median(row['ours']):.3g} {row['unit']}"
            cells = [value, "", "", str(len(row["ours"]))]
        else:
            low, _, high = quantiles(row["ratios"], n=4, method="inclusive")
            cells = [f"{ratio:.3g}", f"{low:.3g}", f"{high:.3g}", str(len(row["ratios"]))]
        before = released.get((row["what"], row["yardstick"]))
        shown = "" if before is None else f"{before:.3g}"
        lines.append(_row(row["what"], row["yardstick"], *cells, shown))
    return lines


def _where(row: dict[str, Any]) -> str:
    """Return where figures were measured."""
    where = f"{row['date']}, version {row['version']}, commit {row['commit']}"
    return where + f", {row['machine']}, Python {row['python']}"


def _models() -> str:
    """Return all built-in model files but the grids of studies, each as it is."""
    from neurosim.experiments import modelfile

    lines = ["# The built-in models", ""]
    lines.append(
        "`neurosim run NAME` runs one, `neurosim models NAME` prints it. Pictures of those"
    )
    lines += ["that run in seconds are in the [gallery](../../gallery/index.rst).", ""]
    for name, path in modelfile.built_in().items():
        if "/" in name:
            continue
        text = path.read_text(encoding="utf-8")
        lines += [
            f"## {name}",
            "",
            modelfile.headline(text),
            "",
            "```toml",
            text.rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)
