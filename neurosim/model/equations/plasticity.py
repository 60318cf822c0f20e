"""A learning rule split into products: sums of terms c(synapse) f(post) g(pre).

While f and g do not read the synapse, the mean of f g over the patterns of a batch is one matrix
product, and c is one pass over the weights. What does not separate is evaluated for each pattern at
each synapse. Above `model.plasticity`, below the engines. Start at `split`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from neurosim.model.formulas import to_text
from neurosim.model.plasticity import Plasticity
from neurosim.model.rule_text import OF_UNIT

if TYPE_CHECKING:
    import sympy

PRE, POST = "pre", "post"
MEAN = "rule_mean"  # prefix of the arrays that hold sums over patterns of f g
SHARE = "rule_share"  # 1 / patterns
AT = "rule_at"  # prefix of the arrays that hold one pattern's values at every synapse


@dataclass(frozen=True)
class Product:
    """The sum over patterns of f(post) g(pre), for every synapse.

    Attributes
    ----------
    array : str
    post, pre : str
        f and g, as text in variables such as ``delta_post`` and parameters; empty for 1.
    """

    array: str
    post: str
    pre: str


@dataclass(frozen=True)
class Direct:
    """The sum over patterns of an expression that does not separate.

    Attributes
    ----------
    array : str
    expression : str
        Text in the synapse's variables and in those of `read`.
    read : tuple of (str, str)
        Variables of the two ends, as (name, end); in the text each is ``rule_at_<name>_<end>``.
    """

    array: str
    expression: str
    read: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Move:
    """The step of one variable of a synapse.

    Attributes
    ----------
    variable : str
    rate : str
        Right-hand side in the synapse's variables, sums over patterns and shared names, 1/s.
    noise : str
        Factor of white noise, 1/sqrt(s); empty for none.
    direct : Direct or None
        Sum that is computed just before, by the present values of the synapse.
    """

    variable: str
    rate: str
    noise: str
    direct: Direct | None


@dataclass(frozen=True)
class Split:
    """A rule as products and moves.

    Attributes
    ----------
    products : tuple of Product
        Computed first; they do not read the synapse.
    moves : tuple of Move
        In the order of the equations.
    after : tuple of (str, str)
        Assignments after the moves: variable and expression.
    """

    products: tuple[Product, ...]
    moves: tuple[Move, ...]
    after: tuple[tuple[str, str], ...]

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of sums over patterns."""
        found = [product.array for product in self.products]
        found += [move.direct.array for move in self.moves if move.direct]
        return tuple(found)

    @property
    def at_synapses(self) -> tuple[tuple[str, str], ...]:
        """Variables of the two ends that are read at every synapse for each pattern."""
        found: dict[tuple[str, str], None] = {}
        for move in self.moves:
            for read in move.direct.read if move.direct else ():
                found[read] = None
        return tuple(found)

    @property
    def separates(self) -> bool:
        """Whether the whole rule consists of matrix products and passes over the weights."""
        return not self.at_synapses


def at(name: str, end: str) -> str:
    """Return the name of the array that holds a variable of one end at every synapse."""
    return f"{AT}_{name}_{end}"


@lru_cache(maxsize=256)
def split(rule: Plasticity, of_biases: bool = False) -> Split:
    """Split a rule into matrix products and passes over the weights.

    Parameters
    ----------
    rule : Plasticity
    of_biases : bool
        Whether its synapses are biases, whose `x_pre` is 1.

    Examples
    --------
    >>> found = split(Plasticity("dw/dt = x_post*(x_pre - x_post*w)/tau_w : 1"))
    >>> [(product.post, product.pre) for product in found.products]
    [('((x_post)*(x_post))', ''), ('x_post', 'x_pre')]
    >>> found.moves[0].rate
    '-rule_mean0*rule_share*w/tau_w + rule_mean1*rule_share/tau_w'
    >>> split(Plasticity("dw/dt = max(x_pre - w, 0)*delta_post/tau_w : 1")).separates
    False
    """
    import sympy

    arrays: dict[tuple[str, str], str] = {}
    parts = []
    for equation in rule.flow:
        rate = equation.rate
        if of_biases:
            rate = rate.subs(sympy.Symbol("x_pre", real=True), 1)
        parts.append((equation, rate, _terms(rate, rule.constants)))
    pairs = set()
    for _, _, terms in parts:
        for _, post, pre in terms or ():
            if post or pre:
                pairs.add((post, pre))
    for number, pair in enumerate(sorted(pairs)):
        arrays[pair] = f"{MEAN}{number}"
    moves: list[Move] = []
    for equation, rate, terms in parts:
        noise = "" if equation.noise == 0 else to_text(equation.noise)
        if terms is None:
            name = f"{MEAN}{len(arrays) + len(moves)}"
            direct = _direct(name, rate)
            moves.append(Move(equation.variable, f"{SHARE}*{name}", noise, direct))
        else:
            moves.append(Move(equation.variable, _rate(terms, arrays), noise, None))
    products = [Product(array, post, pre) for (post, pre), array in arrays.items()]
    after = [(variable, to_text(formula)) for variable, formula in rule.assignments]
    return Split(tuple(products), tuple(moves), tuple(after))


Term = tuple["sympy.Expr", str, str]  # factor at the synapse; f and g as text


def _terms(rate: sympy.Expr, constants: Collection[str]) -> list[Term] | None:
    """Return an expression as terms c f g, with equal f g collected; None if it does not separate.

    A power of a sum is expanded as well, so that ``(x_post - w)**2`` separates. `constants` are the
    names of the parameters.
    """
    import sympy

    collected: dict[tuple[str, str], sympy.Expr] = {}
    for term in sympy.Add.make_args(sympy.expand(rate)):
        of_end = {PRE: sympy.Integer(1), POST: sympy.Integer(1)}
        factor = sympy.Integer(1)
        for part in sympy.Mul.make_args(term):
            ends = _ends(part)
            if not ends:
                factor *= part
            elif len(ends) == 1 and not _reads_synapse(part, constants):
                of_end[ends.pop()] *= part
            else:
                return None
        pair = tuple("" if of_end[end] == 1 else to_text(of_end[end]) for end in (POST, PRE))
        post, pre = pair
        collected[post, pre] = collected.get((post, pre), sympy.Integer(0)) + factor
    return [(factor, *pair) for pair, factor in sorted(collected.items(), key=lambda own: own[0])]


def _ends(part: sympy.Expr) -> set[str]:
    """Return the ends, "pre" and "post", whose variables an expression reads."""
    found = set()
    for symbol in part.free_symbols:
        match = OF_UNIT.fullmatch(str(symbol))
        if match:
            found.add(match[2])
    return found


def _reads_synapse(part: sympy.Expr, constants: Collection[str]) -> bool:
    """Return whether an expression reads anything but variables of the two ends and parameters."""
    names = {str(symbol) for symbol in part.free_symbols} - set(constants)
    return any(not OF_UNIT.fullmatch(name) for name in names)


def _rate(terms: Iterable[Term], arrays: dict[tuple[str, str], str]) -> str:
    """Return the text of a rate, with products replaced by the arrays that hold them."""
    import sympy

    total = sympy.Integer(0)
    for factor, post, pre in terms:
        own = factor
        if post or pre:
            own = factor * sympy.Symbol(arrays[post, pre], real=True)
            own *= sympy.Symbol(SHARE, real=True)
        total += own
    return to_text(total)


def _direct(array: str, rate: sympy.Expr) -> Direct:
    """Return the sum of an expression that is evaluated for each pattern at each synapse."""
    import sympy

    read = []
    values = {}
    for symbol in sorted(rate.free_symbols, key=str):
        match = OF_UNIT.fullmatch(str(symbol))
        if match:
            read.append((match[1], match[2]))
            values[symbol] = sympy.Symbol(at(match[1], match[2]), real=True)
    return Direct(array, to_text(rate.subs(values)), tuple(read))
