"""Rivals in the same frame: other local ways to backpropagation's gradient.

They take the same network, data and measures, in plain NumPy and without a simulator. There is one
function for each method; `neurosim.alignment` accepts its result in place of a run:

============================ ====== =================== ============================================
method                       phases numbers per unit    backward messages
============================ ====== =================== ============================================
`predictive_coding`          1      x                   errors g through Wᵀ
`pc_alm`                     1      x, lam, in turns    mu = lam + rho g through Wᵀ
`growing_penalty`            1      x, and a schedule   rho g through Wᵀ
`equilibrium_propagation`    3      s, s⁺, s⁻           s itself through Wᵀ
`dual_propagation`           1      s⁺, s⁻              the difference s⁺ - s⁻ through Wᵀ
`relax` (any `Flow`)         1      x, lam              mu = lam + rho g through Wᵀ
============================ ====== =================== ============================================

`equilibrium_propagation` descends the loss at another equilibrium.

Each takes any acyclic network, with skips, inner losses and sparse projections, and treats its
constraints as `lin`. Start at `train`, or at a method.
"""

from neurosim.reference.rivals.dual import dual_propagation
from neurosim.reference.rivals.energy import (
    curvature,
    growing_penalty,
    pc_alm,
    predictive_coding,
    relax,
)
from neurosim.reference.rivals.equilibrium import (
    equilibrium_adjoint,
    equilibrium_propagation,
    symmetric,
)
from neurosim.reference.rivals.frame import Frame, Inferred
from neurosim.reference.rivals.training import METHODS, train

__all__ = [
    "METHODS",
    "Frame",
    "Inferred",
    "curvature",
    "dual_propagation",
    "equilibrium_adjoint",
    "equilibrium_propagation",
    "growing_penalty",
    "pc_alm",
    "predictive_coding",
    "relax",
    "symmetric",
    "train",
]
