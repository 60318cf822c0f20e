"""Weight mirrors: feedback weights learnt from a network's responses to noise, without errors.

Above `reference`, whose activations it uses; below `session`, which mirrors before every row of a
training's log. Start at `mirror`.

References
----------
Akrout, Wilson, Humphreys, Lillicrap & Tweed, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurosim.model.feedback import MIRROR
from neurosim.model.network import Network
from neurosim.model.weights import synapses, transposed, with_values
from neurosim.reference.functions import hebbian, product, sigma

NOISE = 0.5  # standard deviation of the noise that presynaptic units send
PATTERNS = 64  # of noise per batch
RATE = 0.1  # of B, per batch
ROUNDS = 30  # batches per call; 0.9^30 = 4 % of the earlier B is left


def mirror(net: Network, seed: Sequence[int]) -> None:
    """Let every B of kind mirror approach Wᵀ, in place.

    In one projection at a time, the presynaptic units send Gaussian noise xi. The postsynaptic
    units respond with sigma(W xi), without biases; y is that response less its mean. Each synapse
    correlates the two::

        B <- B + rate (mean(xi yᵀ) / noise² - B)

    In expectation mean(xi yᵀ) = noise² Wᵀ diag(E[sigma']). So B settles at Wᵀ times the mean slope
    of each postsynaptic unit, up to the noise of a finite average.

    Parameters
    ----------
    net : Network
        Its `feedback` is changed; its weights are not.
    seed : sequence of int
        Seed of the noise; each projection draws its own.
    """
    for number, (name, q) in enumerate(net.projections.items()):
        if q.feedback != MIRROR:
            continue
        rng, w = np.random.default_rng([*seed, number]), net.weights[name]
        back = synapses(net.returning(name)).copy()
        activation = net.populations[q.post].activation
        for _ in range(ROUNDS):
            noise = rng.normal(scale=NOISE, size=(PATTERNS, net.populations[q.pre].size))
            response = sigma(activation, product(net, name, noise))
            correlation = hebbian(net, name, response - response.mean(axis=0), noise)
            back += RATE * (correlation / NOISE**2 - back)
        net.feedback[name] = transposed(with_values(w, back))
