"""An epoch of presentations (adjoint, dt = tau), against SGD in PyTorch.

Digits with 64-32-10, and random patterns with larger nets. Only training is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from sklearn.datasets import load_digits

import neurosim as ns
from tests.benchmarks.peers import Peer, interpreter, missing
from tests.benchmarks.timing import Row, Setting, in_turns

PATTERNS = 1437
LARGE = ([784, 512, 512, 10], [784, *[256] * 9, 10])


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
        for widths in () if setting.quick else LARGE:
            asked = partial(torch, "train", batch=64, epochs=3, patterns=1024, widths=widths)
            samples = in_turns(
                {
                    "neurosim": lambda w=widths: of_random_patterns(w),
                    "PyTorch": lambda a=asked: a()["seconds"],
                },
                setting.repeat,
            )
            name = f"an epoch of {'-'.join(map(str, widths))}, batches of 64"
            yield Row(name, samples["neurosim"], "PyTorch", samples["PyTorch"], "<= 1.2")


def of_random_patterns(widths: list[int], batch: int = 64, epochs: int = 3) -> float:
    """Return seconds per epoch of 1,024 random patterns."""
    rng = np.random.default_rng(0)
    X, Y = rng.random((1024, widths[0])), rng.integers(widths[-1], size=1024)
    net = ns.Network.mlp(widths, loss="cross_entropy", seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="0.1 s"), dt="10 ms", backend="standalone")
    steps = 2 * len(widths) - 1  # 2 L + 1
    share = (steps - 1) / steps
    sim.train(
        X,
        Y,
        ns.Presentations(batch=batch, present=steps * 10e-3, plastic_from=share, epochs=epochs),
    )
    return sim.loop_time / epochs


def learnt(batch: int, epochs: int) -> tuple[float, float]:
    """Return seconds per epoch, and the accuracy on the training patterns."""
    X, Y = load_digits(return_X_y=True)
    X, Y = X[:PATTERNS] / 16, Y[:PATTERNS]
    net = ns.Network.mlp([64, 32, 10], loss="cross_entropy", seed=0)
    sim = ns.Simulation(net, ns.Flow.adjoint(tau_w="0.1 s"), dt="10 ms", backend="standalone")
    # 5 steps per presentation: 2 per layer until lam is exact, and one in which the weights move
    sim.train(X, Y, ns.Presentations(batch=batch, present="50 ms", plastic_from=0.8, epochs=epochs))
    return sim.loop_time / epochs, float((sim.predict(X).argmax(1) == Y).mean())
