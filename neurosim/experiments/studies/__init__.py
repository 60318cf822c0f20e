"""Studies: questions that take many trainings, each answered by one command.

A study is a file of ``models/studies`` and the class that its ``[study] kind`` names. `load` reads
the file; the class (`neurosim.experiments.studies.study.Study`) defines the **cells**, measures one
of them, and draws table and figure. `run` measures the cells in the workers that also run sweeps
(`neurosim.experiments.pool`) and keeps each result in a file of its own, so that a study that was
stopped, or killed, resumes. `gather` reads the results into one dataset; `write` writes dataset,
table and figure. Start at `load` and `run`.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from neurosim.errors import ModelError, unknown
from neurosim.experiments import modelfile
from neurosim.experiments.dotted_keys import override, parsed
from neurosim.experiments.schema import TABLES
from neurosim.experiments.studies.runner import gather as gather
from neurosim.experiments.studies.runner import run as run
from neurosim.experiments.studies.runner import write as write
from neurosim.experiments.studies.shared import spread_note as spread_note
from neurosim.experiments.studies.study import Study

# module and class by kind
KINDS = {
    "conv": ("convolution", "ConvolutionStudy"),
    "exits": ("exits", "ExitsStudy"),
    "graphs": ("graphs", "GraphsStudy"),
    "hebb": ("hebb", "HebbStudy"),
    "hebb_conv": ("hebb_convolution", "HebbConvolutionStudy"),
    "imperfections": ("imperfections", "ImperfectionsStudy"),
    "local_propagation": ("local_propagation", "LocalPropagationStudy"),
    "policy": ("policy", "PolicyStudy"),
    "prospective": ("prospective", "ProspectiveStudy"),
    "rivals": ("rivals", "RivalsStudy"),
    "skips": ("skips", "SkipsStudy"),
    "time": ("recurrence", "TimeStudy"),
    "transport": ("weight_transport", "WeightTransportStudy"),
    "video": ("video", "VideoStudy"),
}


def built_in() -> dict[str, Path]:
    """Return the files of ``models/studies`` by name."""
    folder = modelfile.folder() / modelfile.STUDIES
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load(source: str | Path, overrides: Iterable[str] = (), quick: bool = False) -> Study[Any]:
    """Load a study by the path of its file, or a built-in one by name, with overrides.

    Parameters
    ----------
    source : str or Path
        ``"transport"``, or ``"mine.toml"``.
    overrides : iterable of str
        ``"study.seeds=10"``: values are written as in TOML; anything else is text. They win over
        the file and over `quick`. The path of a data file starts from the current folder; in the
        file of the study it starts from that file's folder.
    quick : bool
        Whether to measure less: fewer seeds, patterns and epochs, so that it takes a minute.

    Raises
    ------
    FileError
        A file that does not exist, is not readable or is not TOML.
    ModelError
        An unknown key or an invalid value.

    Examples
    --------
    >>> study = load("skips", ["study.seeds=1", "study.depths=[4]"])
    >>> len(study.cells)
    8
    """
    path = modelfile.find_among("study", source, built_in())
    text = modelfile.text_of(path)
    raw = modelfile.parse_toml(text, f"study {str(path)!r}")
    modelfile.resolve_data(raw, path.parent)
    kind = _kind(raw)  # before the overrides, which need the table
    module, name = KINDS[kind]
    made: type[Study[Any]] = getattr(import_module(f"{__name__}.{module}"), name)
    if quick:
        raw["study"] |= made.quick_settings
        for table, settings in made.quick_tables.items():
            raw[table] = raw.get(table, {}) | settings
    for given in overrides:
        _override(raw, given)
    modelfile.resolve_data(raw, Path())
    if _kind(raw) != kind:
        raise ModelError(
            f"--set study.kind={raw['study']['kind']} of a study of kind {kind!r}; "
            "allowed: its own kind; try another file"
        )
    modelfile.check_tables({name: table for name, table in raw.items() if name != "study"})
    for table in raw:
        if table not in ("study", *made.reads):
            raise unknown(f"table of a study of kind {kind!r}", table, ("study", *made.reads))
    _check_built(raw)
    return made(path.stem, raw, quick, modelfile.headline(text))


def _check_built(raw: dict[str, Any]) -> None:
    """Build the network of a study, and find its data set, before any cell is measured.

    Raises
    ------
    ModelError
        Values that fit their types, but not together.
    """
    from neurosim.data import datasets
    from neurosim.data.files import reader_of

    if "network" in raw:
        TABLES["network",].model_validate(raw["network"]).build()  # type: ignore[attr-defined]
    name = raw.get("data", {}).get("name")
    if name is not None and name not in datasets.BUILT_IN:
        reader_of(Path(name))


def _kind(raw: dict[str, Any]) -> str:
    """Return the kind of a study.

    Raises
    ------
    ModelError
        A missing or an unknown kind.
    """
    table = raw.get("study")
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown("study.kind", kind, KINDS)
    return kind


def _override(raw: dict[str, Any], text: str) -> None:
    """Set a key of ``[study]``, or of a table of the model."""
    key, equals, value = text.partition("=")
    table, _, name = key.strip().partition(".")
    if table != "study":
        override(raw, text)
        return
    if not equals or not name:
        raise ModelError(f"--set {text!r}; allowed: study.KEY=VALUE, e.g. study.seeds=10")
    raw["study"][name] = parsed(value)
