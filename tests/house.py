"""Measure how the package reads: ``python -m tests.house [--places]``.

The command prints a table of measures and targets; `tests/test_house.py` asserts the targets. Lines
of code are lines that are not blank, comments or docstrings.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "neurosim"
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IS_NO = re.compile(r"(?<!there )\b(?:is|are) no (?!longer\b|more\b)[a-z]+", re.IGNORECASE)


@dataclass
class Measures:
    """Counts of a package, and the places behind them, as ``file:line``.

    Attributes
    ----------
    modules, floors : int
        Modules at the top level; layers of the import contract.
    lines, expressions, conditionals, raises : int
        Lines of code; expression nodes; conditional expressions; `raise` statements, bare ones left
        out.
    longest : (int, str)
        Lines and name of the longest file.
    nested, long_functions, openings, is_no, silent, skipped : list of str
        Places of nested comprehensions, of functions over 60 lines of code, of docstrings that
        begin with "What" or "Of", of "is no <noun>", of errors that show no value, of "fmt: skip".
    circles : list of list of str
        Modules that import each other.
    """

    modules: int = 0
    floors: int = 0
    lines: int = 0
    expressions: int = 0
    conditionals: int = 0
    longest: tuple[int, str] = (0, "")
    nested: list[str] = field(default_factory=list)
    long_functions: list[str] = field(default_factory=list)
    openings: list[str] = field(default_factory=list)
    is_no: list[str] = field(default_factory=list)
    raises: int = 0
    silent: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    circles: list[list[str]] = field(default_factory=list)

    @property
    def density(self) -> float:
        """Expression nodes per line of code."""
        return self.expressions / self.lines

    @property
    def conditional_share(self) -> float:
        """Conditional expressions per 1000 lines of code."""
        return 1000 * self.conditionals / self.lines

    @property
    def showing(self) -> float:
        """Share of the counted `raise` statements that show a value, from 0 to 1."""
        return 1 - len(self.silent) / max(self.raises, 1)


def measure(package: Path = PACKAGE) -> Measures:
    """Return the measures of a package, or of a folder below the repository."""
    found = Measures()
    found.modules = len([p for p in package.glob("*.py") if p.name != "__init__.py"])
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    found.floors = len(next(c for c in contracts if c["type"] == "layers")["layers"])
    for path in sorted(package.rglob("*.py")):
        _measure_file(path, found)
    found.circles = circles(package)
    return found


def _measure_file(path: Path, found: Measures) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    name = path.relative_to(ROOT).as_posix()
    code = code_lines(text, tree)
    found.lines += len(code)
    found.longest = max(found.longest, (text.count("\n"), name))
    for number, line in enumerate(text.splitlines(), start=1):
        if "fmt: skip" in line:
            found.skipped.append(f"{name}:{number}")
        if IS_NO.search(line):
            found.is_no.append(f"{name}:{number}: {line.strip()}")
    for node in ast.walk(tree):
        place = f"{name}:{getattr(node, 'lineno', 1)}"
        found.expressions += isinstance(node, ast.expr)
        found.conditionals += isinstance(node, ast.IfExp)
        if isinstance(node, COMPREHENSIONS) and _is_nested(node):
            found.nested.append(place)
        if isinstance(node, DOCUMENTED) and re.match(r"(What|Of)\b", ast.get_docstring(node) or ""):
            found.openings.append(place)
        if isinstance(node, FUNCTIONS):
            length = len(code & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))
            if length > 60:
                found.long_functions.append(f"{place}: {node.name}, {length} lines")
        if isinstance(node, ast.Raise) and node.exc is not None:
            found.raises += 1
            if not _shows_a_value(node.exc):
                found.silent.append(f"{place}: {ast.unparse(node.exc)[:90]}")


def code_lines(text: str, tree: ast.Module) -> set[int]:
    """Return the numbers of the lines that hold code, from 1."""
    lines: set[int] = set()
    ignored = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ignored:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            doc = node.body[0]
            lines -= set(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    return lines


def _is_nested(node: ast.expr) -> bool:
    assert isinstance(node, COMPREHENSIONS)
    inner = [n for n in ast.walk(node) if n is not node and isinstance(n, COMPREHENSIONS)]
    return len(node.generators) > 1 or bool(inner)


def _shows_a_value(error: ast.expr) -> bool:
    """Return whether an error shows a value: in an f-string, or as an argument of a helper."""
    if any(isinstance(node, ast.FormattedValue) for node in ast.walk(error)):
        return True
    if not isinstance(error, ast.Call):
        return False
    name = ast.unparse(error.func).split(".")[-1]
    arguments = [*error.args, *(k.value for k in error.keywords)]
    return name.islower() and not all(isinstance(a, ast.Constant) for a in arguments)


def circles(package: Path = PACKAGE) -> list[list[str]]:
    """Return the groups of modules that import each other.

    Imports for type checkers and within functions count, too.
    """
    import networkx as nx

    graph = nx.DiGraph()
    for module, imported in imports(package):
        graph.add_edge(module, imported)
    groups = [sorted(group) for group in nx.strongly_connected_components(graph)]
    return [group for group in groups if len(group) > 1]


def imports(package: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    """Yield the pairs (module, module that it imports), both within the package."""
    names = {_module(path): path for path in package.rglob("*.py")}
    for module, path in names.items():
        for node in ast.walk(ast.parse(path.read_text())):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    targets.append(whole if whole in names else node.module)
            for target in targets:
                if target in names and module not in (target, PACKAGE.name):
                    yield module, target


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def table(found: Measures) -> list[tuple[str, str, str]]:
    """Return the name, figure and target of every measure, as text."""
    return [
        ("modules at the package's top level", f"{found.modules}", "10"),
        ("import floors", f"{found.floors}", "11"),
        ("import circles", f"{len(found.circles)}", "0"),
        ("expression nodes per line", f"{found.density:.2f}", "4.8"),
        ("nested comprehensions", f"{len(found.nested)}", "0"),
        ("conditional expressions per 1000 lines", f"{found.conditional_share:.1f}", "20"),
        ("lines of the longest file", f"{found.longest[0]} ({found.longest[1]})", "500"),
        ("functions over 60 lines of code", f"{len(found.long_functions)}", "0"),
        ("docstrings that begin with What or Of", f"{len(found.openings)}", "0"),
        ("'is no <noun>'", f"{len(found.is_no)}", "0"),
        (
            "raise statements that show a value",
            f"{100 * found.showing:.1f} % of {found.raises}",
            "95 %",
        ),
        ("fmt: skip", f"{len(found.skipped)}", "0"),
        ("lines of code", f"{found.lines}", ""),
    ]


def main() -> None:
    """Print the table; with ``--places`` also the places behind its counts."""
    import argparse

    parser = argparse.ArgumentParser("python -m tests.house", description=__doc__)
    parser.add_argument(
        "--places", action="store_true", help="list the places behind the counts, too"
    )
    parser.add_argument(
        "--below",
        type=Path,
        default=PACKAGE,
        help="measure only this folder; floors are those of the package",
    )
    asked = parser.parse_args()
    found = measure(asked.below.resolve())
    for name, figure, target in table(found):
        print(f"{name:42}{figure:40}{target}")
    if asked.places:
        for title in (
            "nested",
            "long_functions",
            "openings",
            "is_no",
            "silent",
            "skipped",
            "circles",
        ):
            print(f"\n{title}:")
            for place in getattr(found, title):
                print(f"  {place}")


if __name__ == "__main__":
    main()
