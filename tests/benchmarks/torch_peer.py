"""Peer program: 64-32-10 by SGD in PyTorch, a plain loop on one thread in double precision.

It does not import neurosim, and answers one line of JSON with another.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def train(batch: int, epochs: int, patterns: int = 1437, rate: float = 0.1) -> dict[str, Any]:
    """Return seconds per epoch, and the accuracy on the training patterns."""
    X, Y = load_digits(return_X_y=True)
    X, Y = torch.tensor(X[:patterns] / 16), torch.tensor(Y[:patterns])
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
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
