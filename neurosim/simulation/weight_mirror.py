"""Weight mirrors: feedback weights learnt from a network's own answers to noise, with no errors
about.

Above `reference`, whose activations it uses, below `session`, which lets a network mirror before
every row of a training's log: a night between two days. Start at `mirror`.

References
----------
Akrout, Wilson, Humphreys, Lillicrap & Tweed, NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurosim.model.network import Network
from neurosim.model.weights import synapses, transposed, with_values
from neurosim.reference.functions import hebbian, sigma

NOISE = 0.5  # standard deviation of what units say
PATTERNS = 64  # of noise that are heard at once
RATE = 0.1  # of B, a batch of noise
ROUNDS = 30  # batches a night: of the B before, 0.9^30 = 4 % is left


def mirror(net: Network, seed: Sequence[int]) -> None:
    """Let every B of kind mirror come near Wᵀ, in place.

    The presynaptic units say noise xi, one projection at a time and with silent biases; what the
    postsynaptic ones answer, y less its mean, meets xi at the same synapse: ``B <- B + rate
    (mean(xi y^T)/noise² - B)``. For Gaussian noise mean(xi y^T) is noise² E[sigma'] Wᵀ, so that B
    settles at Wᵀ times each unit's mean slope, but for the noise of a finite average.

    Parameters
    ----------
    net : Network
        Of weights that rest meanwhile; its `feedback` is changed.
    seed : sequence of int
        Of the noise; each projection has its own.
    """
    for number, (name, q) in enumerate(net.projections.items()):
        if q.feedback != "mirror":
            continue
        rng, w = np.random.default_rng([*seed, number]), net.weights[name]
        back = synapses(net.returning(name)).copy()
        for _ in range(ROUNDS):
            noise = rng.normal(scale=NOISE, size=(PATTERNS, net.populations[q.pre].size))
            answer = sigma(net.populations[q.post].activation, noise @ w.T)
            back += RATE * (hebbian(w, answer - answer.mean(axis=0), noise) / NOISE**2 - back)
        net.feedback[name] = transposed(with_values(w, back))
