"""Peer program: learn digits by predictive coding, as PCX's first tutorial does.

``python digits_pcx.py DATA.npz``
"""

import json
import sys

import jax
import numpy as np
import optax
import pcx as px
import pcx.functional as pxf
import pcx.nn as pxnn
import pcx.predictive_coding as pxc
import pcx.utils as pxu

BATCH, EPOCHS, STEPS, RATE = 32, 4, 4, 1e-2
STATES = pxu.M(pxc.VodeParam | pxc.VodeParam.Cache).to((None, 0))
given = np.load(sys.argv[1])
X, Y = given["X"].astype(np.float32), given["Y"]
Y = (np.eye(10)[Y.astype(int)] if Y.ndim == 1 else Y).astype(np.float32)


class Model(pxc.EnergyModule):
    """64-32-10, tanh, cross entropy."""

    def __init__(self):
        super().__init__()
        self.layers = [pxnn.Linear(64, 32), pxnn.Linear(32, 10)]
        self.vodes = [pxc.Vode(), pxc.Vode(pxc.ce_energy)]
        self.vodes[-1].h.frozen = True

    def __call__(self, x, y):
        x = self.vodes[0](jax.nn.tanh(self.layers[0](x)))
        self.vodes[1](self.layers[1](x))
        if y is not None:
            self.vodes[1].set("h", y)
        return self.vodes[1].get("u")


@pxf.vmap(STATES, in_axes=(0, 0), out_axes=0)
def forward(x, y, *, model):
    """Return the outputs."""
    return model(x, y)


@pxf.vmap(STATES, in_axes=(0,), out_axes=(None, 0), axis_name="batch")
def energy(x, *, model):
    """Return the mean energy, and the outputs."""
    y = model(x, None)
    return jax.lax.pmean(model.energy().sum(), "batch"), y


@pxf.jit()
def learn(x, y, *, model, optim_w, optim_h):
    """Infer the states, then take one step of the weights."""
    model.train()
    with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
        forward(x, y, model=model)
    for _ in range(STEPS):
        with pxu.step(model, clear_params=pxc.VodeParam.Cache):
            states = pxu.M_hasnot(pxc.VodeParam, frozen=True).to([False, True])
            _, g = pxf.value_and_grad(states, has_aux=True)(energy)(x, model=model)
        optim_h.step(model, g["model"])
    with pxu.step(model, clear_params=pxc.VodeParam.Cache):
        _, g = pxf.value_and_grad(pxu.M(pxnn.LayerParam).to([False, True]), has_aux=True)(energy)(
            x, model=model
        )
    optim_w.step(model, g["model"])


@pxf.jit()
def predict(x, *, model):
    """Return the predicted classes."""
    model.eval()
    with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
        return forward(x, None, model=model).argmax(axis=-1)


px.RKG.seed(0)
model = Model()
with pxu.step(model, pxc.STATUS.INIT, clear_params=pxc.VodeParam.Cache):
    forward(np.zeros((BATCH, 64), np.float32), None, model=model)
    optim_h = pxu.Optim(
        lambda: optax.sgd(1e-1 * BATCH), pxu.M_hasnot(pxc.VodeParam, frozen=True)(model)
    )
    optim_w = pxu.Optim(lambda: optax.adamw(RATE), pxu.M(pxnn.LayerParam)(model))
rng = np.random.default_rng(0)
for _ in range(EPOCHS):
    for batch in rng.permutation(len(X))[: len(X) // BATCH * BATCH].reshape(-1, BATCH):
        learn(X[batch], Y[batch], model=model, optim_w=optim_w, optim_h=optim_h)
labels, tests = given["Y_test"], given["X_test"].astype(np.float32)
if labels.ndim > 1:
    labels = labels.argmax(1)
batches = -(-len(tests) // BATCH)
padded = np.resize(tests, (batches, BATCH, 64))  # states keep their batch size
classes = np.concatenate([predict(batch, model=model) for batch in padded])[: len(tests)]
print(json.dumps({"accuracy": float((classes == labels).mean())}))
