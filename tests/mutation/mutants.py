"""List the mutants of a module: one for each place where a mutation operator applies.

Messages, checks of arguments, annotations and imports are left out. Start at `mutants_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutation.operators import operators

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes
    ----------
    module : str
        Dotted name.
    operator : str
        Name of the mutation operator.
    occurrence : int
        Number of the place among all where the operator applies in the module, from 0.
    function : str
        Place of the change: dotted names of classes and functions, the name that is assigned at
        module level, or "".
    before, after : str
        The first line that changes, without indentation.
    """

    module: str
    operator: str
    occurrence: int
    function: str
    before: str
    after: str

    def source(self) -> str:
        """Return the text of the mutated module."""
        found = mutate_code(
            path_of(self.module).read_text(), operators()[self.operator], self.occurrence
        )
        assert found is not None
        return str(found)

    @property
    def key(self) -> str:
        """Name by which a survivor is explained, which does not depend on line numbers."""
        return f"{self.module}:{self.function}: {self.before} -> {self.after}"


def path_of(module: str) -> Path:
    """Return the file of a module of the package."""
    return ROOT / f"{module.replace('.', '/')}.py"


def mutants_of(module: str, functions: Sequence[str] = ()) -> list[Mutant]:
    """List the mutants of a module, or of some of its functions, classes and module-level names."""
    source = path_of(module).read_text()
    tree = get_ast(source)
    lines = source.splitlines()
    found = []
    for name, operator in operators().items():
        occurrence = 0
        for node in ast_nodes(tree):
            for _ in operator.mutation_positions(node):
                where = _place(node)
                wanted = not functions or where.split(".")[0] in functions
                if wanted and not _is_check(node):
                    mutant = _described(module, name, occurrence, where, source, lines)
                    if mutant is not None:
                        found.append(mutant)
                occurrence += 1
    return found


def _described(
    module: str, operator: str, occurrence: int, where: str, source: str, lines: list[str]
) -> Mutant | None:
    mutated = mutate_code(source, operators()[operator], occurrence)
    if mutated is None:
        return None
    changed = [
        (old.strip(), new.strip())
        for old, new in zip(lines, mutated.splitlines(), strict=False)
        if old != new
    ]
    if not changed:
        return None
    return Mutant(module, operator, occurrence, where, *changed[0])


def _place(node: Any) -> str:
    names: list[str] = []
    child = node
    while child is not None:
        if child.type in ("funcdef", "classdef"):
            names.insert(0, child.name.value)
        if child.type == "expr_stmt" and child.parent.parent.type == "file_input":
            names.insert(0, child.children[0].get_code(include_prefix=False))
        child = child.parent
    return ".".join(names)


def _is_check(node: Any) -> bool:
    """Return whether a place belongs to an error, assertion, annotation or import."""
    while node is not None:
        if node.type in (
            "raise_stmt",
            "assert_stmt",
            "import_from",
            "import_name",
            "tfpdef",
            "annassign",
        ):
            return True
        if node.type == "if_stmt" and any(c.type == "suite" and _raises(c) for c in node.children):
            return True
        node = node.parent
    return False


def _raises(suite: Any) -> bool:
    statements = [c for c in suite.children if c.type == "simple_stmt"]
    return bool(statements) and statements[0].children[0].type == "raise_stmt"
