"""Peer program: learn digits by predictive coding, ``python digits_jpc.py DATA.npz``.

It follows jpc's advanced usage. jpc accepts any callables as layers; they are defined here, as
the initialisation of ``jpc.make_mlp`` takes 0.8 s more to compile.
"""

import json
import sys
from collections.abc import Callable

import equinox as eqx
import jax
import jpc
import numpy as np
import optax

BATCH, EPOCHS, STEPS, RATE = 64, 4, 2, 2e-2
given = np.load(sys.argv[1])
X, Y = given["X"].astype(np.float32), given["Y"]
Y = (np.eye(10)[Y.astype(int)] if Y.ndim == 1 else Y).astype(np.float32)
optim_w = optax.adam(RATE)
optim_z = optax.sgd(1e-1 * BATCH)  # jpc's energy is a mean over the batch
rng = np.random.default_rng(0)


class Layer(eqx.Module):
    """An activation and its weights, as in ``jpc.make_mlp``."""

    w: jax.Array
    b: jax.Array
    activation: Callable = eqx.field(static=True)

    def __call__(self, x):
        return self.w @ self.activation(x) + self.b


@eqx.filter_jit
def learn(model, state, x, y):
    """Infer the activities, then take one step of the weights; the loss is the cross entropy."""
    z = jpc.init_activities_with_ffwd(model, x)
    inference = optim_z.init(z)
    for _ in range(STEPS):
        done = jpc.update_activities((model, None), z, optim_z, inference, y, input=x, loss_id="ce")
        z, inference = done["activities"], done["opt_state"]
    done = jpc.update_params((model, None), z, optim_w, state, y, input=x, loss_id="ce")
    return done["model"], done["opt_state"]


model = [
    Layer(
        (rng.normal(size=(m, n)) / np.sqrt(n)).astype(np.float32),
        np.zeros(m, np.float32),
        activation,
    )
    for m, n, activation in ((32, 64, lambda x: x), (10, 32, jax.numpy.tanh))
]
state = eqx.filter_jit(optim_w.init)((model, None))
for _ in range(EPOCHS):
    for batch in rng.permutation(len(X))[: len(X) // BATCH * BATCH].reshape(-1, BATCH):
        model, state = learn(model, state, X[batch], Y[batch])
labels = given["Y_test"]
if labels.ndim > 1:
    labels = labels.argmax(1)
outputs = jpc.init_activities_with_ffwd(model, given["X_test"].astype(np.float32))[-1]
found = np.asarray(outputs).argmax(1)
print(json.dumps({"accuracy": float((found == labels).mean())}))
