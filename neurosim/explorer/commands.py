"""The command ``neurosim explore``: a model file or a saved run. Start at `run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurosim.errors import ModelError
from neurosim.explorer.explorer import start
from neurosim.explorer.opening import open_model
from neurosim.explorer.playback import open_run
from neurosim.explorer.session import Exploration

SAVED = ".nc"


def run(source: str, sets: Sequence[str], data: str | None, *, port: int, browser: bool) -> None:
    """Serve a model or a saved run until Ctrl-C.

    Parameters
    ----------
    source : str
        A model file, the name of a built-in model, or the path of a ``.nc`` file.
    sets : sequence of str
        Overrides, as in `modelfile.load`.
    data : str, optional
        Name of a data set or file, in place of the model's own.
    port : int
    browser : bool

    Raises
    ------
    FileError, ModelError, DataError
        A source that cannot be opened; overrides beside a saved run.
    """
    overrides = list(sets)
    if data is not None:
        overrides.append(f"data.name={data}")
    if source.endswith(SAVED):
        if overrides:
            raise ModelError(f"--set {overrides[0]} beside {source!r}, which is a saved run")
        start(open_run(Path(source)), port=port, browser=browser)
        return
    start(Exploration(open_model(source, overrides=overrides)), port=port, browser=browser)
