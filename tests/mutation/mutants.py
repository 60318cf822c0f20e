"""List the mutants of a module: one for each place where a mutation operator applies.

Messages, checks of arguments, annotations and imports are left out. Start at `mutants_of`, which
lists all of a module, and `sample`, which draws from several.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True)
class Site:
    """A place where a mutation operator applies; the attributes are those of `Mutant`."""

    module: str
    operator: str
    occurrence: int
    function: str

    def mutant(self) -> Mutant | None:
        """Return the mutant, or None if the change leaves the text as it is."""
        source = path_of(self.module).read_text()
        mutated = mutate_code(source, operators()[self.operator], self.occurrence)
        if mutated is None:
            return None
        for old, new in zip(source.splitlines(), mutated.splitlines(), strict=False):
            if old != new:
                return Mutant(
                    self.module,
                    self.operator,
                    self.occurrence,
                    self.function,
                    old.strip(),
                    new.strip(),
                )
        return None


def mutants_of(module: str, functions: Sequence[str] = ()) -> list[Mutant]:
    """List the mutants of a module, or of some of its functions, classes and module-level names."""
    made = [site.mutant() for site in sites_of(module, functions)]
    return [mutant for mutant in made if mutant is not None]


def sample(sites: Iterable[Site], count: int, seed: int) -> list[Mutant]:
    """Draw `count` mutants, or all if there are fewer; only those that are drawn are made."""
    waiting = list(sites)
    random.Random(seed).shuffle(waiting)
    found: list[Mutant] = []
    for site in waiting:
        if len(found) == count:
            break
        mutant = site.mutant()
        if mutant is not None:
            found.append(mutant)
    return found


def sites_of(module: str, functions: Sequence[str] = ()) -> list[Site]:
    """List the sites of a module, or of some of its functions, classes and module-level names."""
    tree = get_ast(path_of(module).read_text())
    found = []
    for name, operator in operators().items():
        occurrence = 0
        for node in ast_nodes(tree):
            for _ in operator.mutation_positions(node):
                where = _place(node)
                wanted = not functions or where.split(".")[0] in functions
                if wanted and not _is_check(node):
                    found.append(Site(module, name, occurrence, where))
                occurrence += 1
    return found


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
