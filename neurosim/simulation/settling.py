"""Refuse what patterns that settle one by one cannot be combined with.

Beside `compatibility`, below `running`. Start at `check_settling`.
"""

from __future__ import annotations

from neurosim.errors import ModelError
from neurosim.simulation.compatibility import Chosen, refuse_more_than_the_flow


def check_settling(chosen: Chosen, backend: str, has_objects: bool) -> None:
    """Refuse patterns that settle one by one where a step is not that of each pattern alone.

    Parameters
    ----------
    chosen : Chosen
    backend : str
    has_objects : bool
        Whether there are user-supplied objects.

    Raises
    ------
    ModelError
        Events, imperfections, extensions, user-supplied objects, shared weights, or a backend that
        steps whole populations.
    """
    name = "settle_each = True"
    shared = [q for q in chosen.net.projections if chosen.net.between(q) is not None]
    refuse_more_than_the_flow(name, chosen)
    if has_objects:
        raise ModelError(
            f"{name} with objects of sim.add, which may read any pattern; try it without them"
        )
    if shared:
        raise ModelError(
            f"{name} with weights that sites share in {', '.join(shared)}; "
            "allowed: dense and sparse projections; try settle_each=False"
        )
    if backend == "cython":
        raise ModelError(
            f"{name} with backend = 'cython', which steps whole populations; "
            "allowed: numpy, standalone, auto"
        )
