"""Peer program: layers of tanh by SGD in PyTorch, a plain loop on one thread in double precision.

It does not import neurosim, and answers one line of JSON with another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def data(patterns: int, widths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return digits for 64 inputs, random patterns for others."""
    if widths[0] == 64:
        X, Y = load_digits(return_X_y=True)
        return torch.tensor(X[:patterns] / 16), torch.tensor(Y[:patterns])
    rng = np.random.default_rng(0)
    X = rng.random((patterns, widths[0]))
    return torch.tensor(X), torch.tensor(rng.integers(widths[-1], size=patterns))


def train(
    batch: int,
    epochs: int,
    patterns: int = 1437,
    rate: float = 0.1,
    widths: Sequence[int] = (64, 32, 10),
) -> dict[str, Any]:
    """Return seconds per epoch, and the accuracy on the training patterns."""
    X, Y = data(patterns, widths)
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    descent = torch.optim.SGD(model.parameters(), lr=rate)
    orders = [
        torch.tensor(np.random.default_rng(epoch).permutation(patterns)) for epoch in range(epochs)
    ]
    begin = perf_counter()
    for order in orders:
        for chosen in order[: patterns // batch * batch].reshape(-1, batch):
            descent.zero_grad()
            torch.nn.functional.cross_entropy(model(X[chosen]), Y[chosen]).backward()
            descent.step()
    seconds = (perf_counter() - begin) / epochs
    accuracy = float((model(X).argmax(1) == Y).double().mean())
    return {"seconds": seconds, "accuracy": accuracy}


for line in sys.stdin:
    function, arguments = json.loads(line)
    print(json.dumps(train(**arguments)), flush=True)
