"""The base class of all studies, with a typed table of settings, and the types of settings.

A study is a subclass of `Study` in a module of its own, with a settings dataclass whose fields are
the keys of ``[study]``. Start at `Study`.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic.dataclasses import dataclass

import neurosim.plot.library  # noqa: F401  before a study imports Matplotlib
from neurosim.errors import ModelError, number, out_of_range, shown, unknown, whole
from neurosim.experiments.refusals import explained

if TYPE_CHECKING:
    import xarray as xr

Cell = dict[str, Any]  # labels of one training, by name
Numbers = dict[str, float]  # results of a cell, by name

STRICT = ConfigDict(strict=True, extra="forbid")  # of every settings dataclass


MOST = 1_000_000  # of a count, and of the cells of a study


def _at_least_one(value: int, info: ValidationInfo) -> int:
    return _bounded(value, info, 1)


def _at_least_zero(value: int, info: ValidationInfo) -> int:
    return _bounded(value, info, 0)


def _bounded(value: int, info: ValidationInfo, least: int) -> int:
    name = f"study.{info.field_name}"
    if whole(name, value, least) > MOST:
        raise out_of_range(name, value, f"{least} to {MOST}")
    return value


def _positive(value: float, info: ValidationInfo) -> float:
    return number(f"study.{info.field_name}", value, above=0)


REPEATED = ("seeds", "folds")  # counts of cells that differ in nothing else


def _not_negative(value: float, info: ValidationInfo) -> float:
    return number(f"study.{info.field_name}", value, least=0)


def _finite(value: float, info: ValidationInfo) -> float:
    return number(f"study.{info.field_name}", value)


def _filled(values: Any, info: ValidationInfo) -> Any:
    if not values:
        raise out_of_range(f"study.{info.field_name}", values, "at least one value")
    return values


# types of settings
Count = Annotated[int, AfterValidator(_at_least_one)]
Whole = Annotated[int, AfterValidator(_at_least_zero)]
Positive = Annotated[float, AfterValidator(_positive)]
NotNegative = Annotated[float, AfterValidator(_not_negative)]
Finite = Annotated[float, AfterValidator(_finite)]
filled = AfterValidator(_filled)  # for `Annotated`: a list or table that is not empty


def one_of(allowed: Collection[str]) -> AfterValidator:
    """Return a check, for `Annotated`, that all names or keys of a setting are allowed."""

    def check(names: Any, info: ValidationInfo) -> Any:
        for name in names:
            if name not in allowed:
                kind = " key" if isinstance(names, Mapping) else ""
                raise unknown(f"study.{info.field_name}{kind}", name, tuple(allowed))
        return names

    return AfterValidator(check)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StudySettings:
    """The key of ``[study]`` that all studies have: `kind`, which selects the class."""

    kind: str


Settings = TypeVar("Settings", bound=StudySettings)


class Study(ABC, Generic[Settings]):
    """A question that takes many trainings, read from a file of ``models/studies``.

    A subclass defines its cells, measures one of them, and shows the results as a table and a
    figure.

    Parameters
    ----------
    name : str
        The name of the file, without ``.toml``.
    tables : dict
        The tables of the file as TOML reads them, with what a quick study and the user set;
        ``tables["study"]`` has the study's settings.
    quick : bool
        Whether to leave out what takes long; `load` has entered `quick_settings`.
    comment : str
        The first line of the file's opening comment.

    Attributes
    ----------
    settings : dataclass
        The settings, checked.

    Raises
    ------
    ModelError
        An unknown or missing key of the settings, or an invalid value.
    """

    question: ClassVar[str]
    settings_type: ClassVar[type[StudySettings]]
    # settings, besides `seeds`, that only select the cells
    varied: ClassVar[tuple[str, ...]] = ()
    # what --quick sets, below what the user sets: of [study], and of tables of the model
    quick_settings: ClassVar[Mapping[str, Any]] = {}
    quick_tables: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    reads: ClassVar[tuple[str, ...]] = ()  # tables of the model; others are refused

    settings: Settings

    def __init__(
        self, name: str, tables: Mapping[str, Any], quick: bool = False, comment: str = ""
    ) -> None:
        self.name = name
        self.tables = tables
        self.quick = quick
        self.comment = comment
        self.settings = self._validated(tables["study"])
        self._check_number_of_cells()

    def _check_number_of_cells(self) -> None:
        """Refuse settings with more than `MOST` combinations, before any cell is listed."""
        combinations = 1
        for field in fields(self.settings_type):
            value = getattr(self.settings, field.name)
            if isinstance(value, list):
                combinations *= max(len(value), 1)
            elif field.name in REPEATED:
                combinations *= value
        if combinations > MOST:
            raise out_of_range("combinations of study", combinations, f"at most {MOST}", "--quick")

    def _validated(self, table: Mapping[str, Any]) -> Any:
        try:
            return self.settings_type(**table)
        except ValidationError as error:
            keys = [field.name for field in fields(self.settings_type)]
            raise explained(error, ("study",), keys) from None

    @cached_property
    def cells(self) -> list[Cell]:
        """The labels of all cells.

        Raises
        ------
        ModelError
            The settings select none.
        """
        cells = self.make_cells()
        if not cells:
            raise ModelError(
                f"study {self.name!r} has no cells, as lists in [study] are empty; "
                "allowed: settings that select at least one"
            )
        return cells

    @abstractmethod
    def make_cells(self) -> list[Cell]:
        """Return the labels of all cells."""

    def check(self) -> None:
        """Build what the cells will build, before any of them is measured.

        A subclass overrides it where values may fit their types, but not each other or the data.

        Raises
        ------
        ModelError, DataError, FileError
            What no cell, or only some, could be measured with.
        """
        _ = self.cells

    @abstractmethod
    def measure(self, cell: Cell) -> Numbers:
        """Return the numbers of one cell.

        Raises
        ------
        DivergenceError, ConvergenceError
            The cell then has no numbers; the study goes on.
        """

    @abstractmethod
    def table(self, data: xr.Dataset) -> Any:
        """Return the results as a rich table."""

    @abstractmethod
    def figure(self, data: xr.Dataset) -> Any:
        """Return the results as a figure."""

    def path(self, cell: Cell) -> Path:
        """Return the file of a cell's result, below the folder of the study.

        It does not depend on the other cells: neither on the number of seeds nor on the settings in
        `varied`.
        """
        own = dict(self.tables["study"])
        for key in ("seeds", *self.varied):
            own.pop(key, None)
        tables = dict(self.tables) | {"study": own}
        text = json.dumps([cell, tables, self.quick], sort_keys=True, default=str)
        return Path("cells", f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.json")

    def network_keys(self, *own: str) -> dict[str, Any]:
        """Return the keys of the study's ``[network]``.

        Parameters
        ----------
        *own : str
            Keys that the study sets itself.

        Raises
        ------
        ModelError
            The file does not have that table, or has one of the study's own keys.
        """
        if "network" not in self.tables:
            raise ModelError(
                f"network is missing in study {self.name!r}; "
                "allowed: a table, e.g. sizes = [64, 16, 10]"
            )
        for key in own:
            if key in self.tables["network"]:
                raise ModelError(
                    f"network.{key} = {shown(self.tables['network'][key])} in study {self.name!r}, "
                    "which sets it itself; allowed: other keys of [network]; try to remove it"
                )
        return dict(self.tables["network"])
