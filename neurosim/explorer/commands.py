"""The command ``neurosim explore``: a model file or a saved run. Start at `run`.

Slow imports stand inside the functions: the cyclic garbage collector rests while they run.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from neurosim.errors import ModelError

if TYPE_CHECKING:
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
        Name of a data set or file, in place of the model's table ``[data]``, whose keys are of
        another set; ``--set data.KEY=VALUE`` gives its own.
    port : int
    browser : bool

    Raises
    ------
    FileError, ModelError, DataError
        A source that cannot be opened; overrides beside a saved run.
    """
    overrides = list(sets)
    if data is not None and source.endswith(SAVED):
        raise ModelError(f"--data {data} beside {source!r}, which is a saved run with its own data")
    if data is not None:
        overrides.insert(0, f"data={{name = {json.dumps(data)}}}")
    with _without_collection():
        from neurosim.explorer.explorer import start

        exploration = _opened(source, overrides)
    start(exploration, port=port, browser=browser)


def _opened(source: str, overrides: Sequence[str]) -> Exploration:
    from neurosim.explorer.opening import open_model
    from neurosim.explorer.playback import open_run
    from neurosim.explorer.session import Exploration

    if not source.endswith(SAVED):
        return Exploration(open_model(source, overrides=overrides))
    if overrides:
        raise ModelError(f"--set {overrides[0]} beside {source!r}, which is a saved run")
    return open_run(Path(source))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Leave out the cyclic garbage collector, which takes a fifth of the time of imports."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
