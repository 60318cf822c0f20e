"""Networks given to an estimator, and inputs with axes of sites. Below `base`. Start at `built`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosim.errors import DataError, ModelError, out_of_range, shown
from neurosim.model.arrays import refuse_lossy
from neurosim.model.network import Network

Array = np.ndarray
Shape = tuple[int, ...]
ALLOWED = "None, a Network, or a function of shape, outputs and seed that returns one"


def built(given: Any, shape: Shape, outputs: int, seed: int) -> Network:
    """Return the network to train: a copy of the given one, or what a function returns.

    Parameters
    ----------
    given : Network or callable
    shape : tuple of int
        Of a pattern; a grey image has a feature axis of 1.
    outputs : int
        Classes or targets.
    seed : int
        Of weights that a function draws.

    Raises
    ------
    ModelError
        Something else, or a network without a single input, or whose output or loss does not fit.
    """
    net = given.copy() if isinstance(given, Network) else given
    if callable(given):
        net = given(shape=shape, outputs=outputs, seed=seed)
    if not isinstance(net, Network):
        raise out_of_range("network", given, ALLOWED, "ns.Network.convolutional")
    if len(net.inputs) != 1:
        raise ModelError(f"network has the inputs {', '.join(net.inputs)}; allowed: one of them")
    if not net.losses or not net.losses[net.output].term.targeted:
        raise ModelError(f"network = {net!r} has no loss with targets; allowed: one on its output")
    size = net.populations[net.output].size
    if size != outputs:
        raise ModelError(
            f"network has {size} units in {net.output!r}; allowed: {outputs}, one per class or "
            "target"
        )
    return net


def refuse_beside(network: Any, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse arguments of a network beside a network, which has its own.

    Raises
    ------
    ModelError
        The first argument that is not its default.
    """
    for name, default in defaults.items():
        value = given[name]
        if value is not default and (isinstance(value, np.ndarray) or value != default):
            raise ModelError(
                f"{name} = {shown(value)} beside network = {shown(network)}, which has its own; "
                f"allowed: {default!r}"
            )


def pattern_shape(shape: Shape) -> Shape:
    """Return the shape of a pattern, with a feature axis of 1 for two axes (rows, columns).

    Examples
    --------
    >>> pattern_shape((8, 8)), pattern_shape((8, 8, 3)), pattern_shape((64,))
    ((8, 8, 1), (8, 8, 3), (64,))
    """
    return (*shape, 1) if len(shape) == 2 else shape


def flat(X: Any) -> Any:
    """Return inputs with axes of sites as rows, (patterns, units); others as they are.

    Raises
    ------
    DataError
        Values that are not real numbers.
    """
    if hasattr(X, "toarray") or np.ndim(X) <= 2:
        return X
    refuse_lossy("X", X)
    array = np.asarray(X)
    return array.reshape(len(array), -1)


def check_fits(net: Network, shape: Shape) -> None:
    """Refuse patterns whose shape is not that of the network's input.

    Parameters
    ----------
    net : Network
    shape : tuple of int
        Of a pattern as it was given, (features,), (*sites,) or (*sites, features).

    Raises
    ------
    DataError
        Another shape.
    """
    (name,) = net.inputs
    p = net.populations[name]
    allowed: list[Shape] = [(p.size,)]
    if p.shape is not None:
        allowed.insert(0, p.shape)
        if p.features == 1:
            allowed.insert(1, p.sites)
    if shape not in allowed:
        texts = ", ".join(str(("patterns", *own)).replace("'", "") for own in allowed)
        given = str(("patterns", *shape)).replace("'", "")
        raise DataError(f"X has shape {given}; allowed: {texts}, as the input {name!r} of network")
