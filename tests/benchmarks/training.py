"""Digits 64-32-10, an epoch of presentations (adjoint, dt = tau), against SGD in PyTorch.

Only training is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sklearn.datasets import load_digits

import neurosim as ns
from tests.benchmarks.peers import Peer, interpreter, missing
from tests.benchmarks.timing import Row, Setting, in_turns

PATTERNS = 1437


def measure(setting: Setting) -> Iterator[Row]:
    """Time batches of 1, 16 and 64 patterns."""
    if interpreter("torch") is None:
        yield Row("all of it", (), "PyTorch", note=missing("torch"))
        return
    with Peer("torch_peer.py", modules=("torch",)) as torch:
        for batch in (1, 16, 64):
            epochs = 2 if setting.quick else 20
            asked = partial(torch, "train", batch=batch, epochs=epochs)
            ours, theirs = learnt(batch, epochs), asked()
            samples = in_turns(
                {
                    "neurosim": lambda b=batch, n=epochs: learnt(b, n)[0],
                    "PyTorch": lambda a=asked: a()["seconds"],
                },
                setting.repeat,
            )
            note = f"accuracy on the training patterns {ours[1]:.3f} and {theirs['accuracy']:.3f}"
            yield Row(
                f"an epoch, batches of {batch}",
                samples["neurosim"],
                "PyTorch",
                samples["PyTorch"],
                note=note,
            )


def learnt(batch: int, epochs: int) -> tuple[float, float]:
    """Return seconds per epoch, and the accuracy on the training patterns."""
    X, Y = load_digits(return_X_y=True)
    X, Y = X[:PATTERNS] / 16, Y[:PATTERNS]
    net = ns.Network.mlp([64, 32, 10], loss="cross_entropy", seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="0.1 s"), dt="10 ms", backend="standalone")
    # 5 steps per presentation: 2 per layer until lam is exact, and one in which the weights move
    sim.train(X, Y, ns.Presentations(batch=batch, present="50 ms", plastic_from=0.8, epochs=epochs))
    return sim.loop_time / epochs, float((sim.predict(X).argmax(1) == Y).mean())
