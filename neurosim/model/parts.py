"""The mappings of a network: what is written into them is checked, and arrays are copied.

A network keeps plain dicts; an attribute such as `net.weights` is a view of one of them, made when
it is read. Above `populations` and `graphs`, below `network`. Start at `Parts`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Self

import numpy as np

from neurosim.errors import ModelError, ReadOnlyError, unknown
from neurosim.model import graphs
from neurosim.model.display import html_table
from neurosim.model.frozen import ReadOnly
from neurosim.model.populations import Loss, Population, Projection
from neurosim.model.shared import Between
from neurosim.model.weights import Weights

Array = np.ndarray
KINDS = {"populations": Population, "projections": Projection, "losses": Loss}
KEYS = {"populations": "name", "projections": "name", "losses": "population"}
# arguments that determine the parameters, which exist already when a part is replaced
FIXED = {
    "populations": ("size", "shape", "clamped", "bias_init"),
    "projections": ("feedback", "init", "over", "shared"),
}
GIVEN = ("weights", "feedback_weights")  # arguments of a projection that are read only at first


class Parts(ReadOnly):
    """Base of `Network`: its graph and its parameters, each a mapping that can be written to.

    Objects of the graph are checked at once, together with the others. Arrays are copied at once,
    and checked by `Network.check_parameters` before they are used.
    """

    _populations: dict[str, Population]
    _projections: dict[str, Projection]
    _losses: dict[str, Loss]
    _weights: dict[str, Weights]
    _biases: dict[str, Array]
    _feedback: dict[str, Weights]
    _between: dict[str, Between]  # by projection with `over`

    @property
    def populations(self) -> MutableMapping[str, Population]:
        """Populations by name."""
        return Graph(self, "populations")

    @populations.setter
    def populations(self, given: Mapping[str, Population]) -> None:
        Graph(self, "populations").replace(given)

    @property
    def projections(self) -> MutableMapping[str, Projection]:
        """Projections by ``"pre->post"``."""
        return Graph(self, "projections")

    @projections.setter
    def projections(self, given: Mapping[str, Projection]) -> None:
        Graph(self, "projections").replace(given)

    @property
    def losses(self) -> MutableMapping[str, Loss]:
        """Losses by population."""
        return Graph(self, "losses")

    @losses.setter
    def losses(self, given: Mapping[str, Loss]) -> None:
        Graph(self, "losses").replace(given)

    @property
    def weights(self) -> MutableMapping[str, Weights]:
        """Weights by projection, (n_post, n_pre)."""
        return Parameters(self, "weights")

    @weights.setter
    def weights(self, given: Mapping[str, Weights]) -> None:
        Parameters(self, "weights").replace(given)

    @property
    def biases(self) -> MutableMapping[str, Array]:
        """Biases by population that is not clamped, (n,)."""
        return Parameters(self, "biases")

    @biases.setter
    def biases(self, given: Mapping[str, Any]) -> None:
        Parameters(self, "biases").replace(given)

    @property
    def feedback(self) -> MutableMapping[str, Weights]:
        """Feedback weights B by projection whose feedback is not symmetric, (n_pre, n_post)."""
        return Parameters(self, "feedback")

    @feedback.setter
    def feedback(self, given: Mapping[str, Weights]) -> None:
        Parameters(self, "feedback").replace(given)

    def sharing(self, **changed: Mapping[str, Any]) -> Self:
        """Return the same graph on the same arrays, some mappings replaced without any check.

        Parameters
        ----------
        **changed : dict
            Mappings by attribute, such as `weights`; their arrays are not copied.
        """
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        for name in (*KINDS, "weights", "biases", "feedback"):
            found = changed.get(name)
            if found is None:
                found = vars(self)[f"_{name}"]
            vars(twin)[f"_{name}"] = dict(found)
        return twin

    def __copy__(self) -> Self:
        return self.sharing()

    def _repr_html_(self) -> str:
        rows = {}
        for name, population in vars(self)["_populations"].items():
            kind = "clamped" if population.clamped else population.activation
            rows[name] = f"{population.size} units, {kind}"
        for name, loss in vars(self)["_losses"].items():
            rows[f"loss on {name}"] = str(loss.kind)
        for name, weights in vars(self)["_weights"].items():
            rows[name] = f"{weights.shape[0]} × {weights.shape[1]} weights"
        return html_table(repr(self), rows)


class _View(MutableMapping[str, Any]):
    """View of one of a network's dicts."""

    def __init__(self, net: Parts, attribute: str) -> None:
        self._net, self._attribute = net, attribute

    @property
    def _entries(self) -> dict[str, Any]:
        found: dict[str, Any] = vars(self._net)[f"_{self._attribute}"]
        return found

    def __getitem__(self, name: str) -> Any:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __repr__(self) -> str:
        return repr(self._entries)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def __reduce__(self) -> Any:  # without its network it is a plain dict
        return dict, (dict(self),)

    def copy(self) -> dict[str, Any]:
        """Return a dict with the same entries."""
        return dict(self)


class Graph(_View):
    """View of populations, projections or losses; each change is checked with the whole graph."""

    def __setitem__(self, name: str, item: Any) -> None:
        self.replace({**self, name: item})

    def __delitem__(self, name: str) -> None:
        self.replace({other: item for other, item in self.items() if other != name})

    def replace(self, given: Mapping[str, Any]) -> None:
        """Replace all entries.

        Raises
        ------
        ModelError
            An object of another kind or under another name, a part that the parameters do not fit,
            or a graph that is not allowed.
        """
        attribute = self._attribute
        _check_mapping(attribute, given)
        named = graphs.by_name(attribute, list(given.values()), KINDS[attribute], KEYS[attribute])
        if list(named) != list(given):
            raise ModelError(
                f"{attribute} have the keys {', '.join(map(str, given))}; allowed: the names of "
                f"their values, {', '.join(named)}"
            )
        if attribute in FIXED:
            self._check_fixed(named)
        parts = {name: vars(self._net)[f"_{name}"] for name in KINDS} | {attribute: named}
        graphs.check(**parts)
        vars(self._net)[f"_{attribute}"] = named

    def _check_fixed(self, named: Mapping[str, Any]) -> None:
        """Refuse parts that the network's parameters do not fit."""
        attribute = self._attribute
        if set(named) != set(self):
            raise ReadOnlyError(
                f"{attribute} = {', '.join(named)}; allowed: those of the network, "
                f"{', '.join(self)}; try a new Network"
            )
        for name, item in named.items():
            before = self[name]
            for argument in FIXED[attribute]:
                value, present = getattr(item, argument), getattr(before, argument)
                if value != present:
                    raise ReadOnlyError(
                        f"{argument} of {name} = {value!r}; allowed: {present!r}, as the network "
                        "has its parameters; try a new Network"
                    )
            for argument in GIVEN if attribute == "projections" else ():
                value = getattr(item, argument)
                if value is not None and value is not getattr(before, argument):
                    where = "feedback" if argument == "feedback_weights" else "weights"
                    raise ReadOnlyError(
                        f"{argument} of {name} are read when a network is built; allowed: None; "
                        f"try net.{where}[{name!r}] = ..."
                    )


class Parameters(_View):
    """View of weights, biases or feedback weights; what is written is copied."""

    def __setitem__(self, name: str, value: Any) -> None:
        allowed = self._names()
        if name not in allowed:
            raise unknown(f"a key of {self._attribute}", name, allowed)
        if value is not self._entries.get(name):
            self._entries[name] = copied(value)

    def __delitem__(self, name: str) -> None:
        raise ReadOnlyError(
            f"{self._attribute}[{name!r}] cannot be deleted; allowed: other values; "
            "try a new Network, or a mask"
        )

    def replace(self, given: Mapping[str, Any]) -> None:
        """Replace all entries.

        Raises
        ------
        ModelError
            An unknown or a missing name.
        """
        _check_mapping(self._attribute, given)
        missing = [name for name in self._names() if name not in given]
        if missing:
            raise ModelError(f"{self._attribute} have no entry for {', '.join(missing)}")
        given = dict(given)
        vars(self._net)[f"_{self._attribute}"] = dict(self._entries)
        for name, value in given.items():
            self[name] = value

    def _names(self) -> list[str]:
        net = self._net
        if self._attribute == "biases":
            return [name for name, p in net.populations.items() if not p.clamped]
        if self._attribute == "weights":
            return list(net.projections)
        return [name for name, q in net.projections.items() if q.draws_feedback]


def copied(value: Any) -> Any:
    """Return a copy of an array that keeps its mask and unit, which are checked later."""
    if isinstance(value, np.ndarray):
        return np.array(value, subok=True)
    return value.copy() if hasattr(value, "toarray") else copy.deepcopy(value)


def _check_mapping(attribute: str, given: Any) -> None:
    if not isinstance(given, Mapping):
        raise ModelError(
            f"{attribute} is a {type(given).__name__}; allowed: a mapping; "
            f"try net.{attribute}[name] = ..."
        )
