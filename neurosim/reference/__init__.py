"""Yardsticks in plain NumPy: backpropagation, and the same flows integrated in SciPy.

Beside `engine`; neither imports the other. Two independent derivations that agree are the proof.
Start at `backprop` and `solve_ivp`.
"""

from neurosim.reference.backpropagation import Adjoint, backprop, forward, multipliers
from neurosim.reference.descent import adam, sgd
from neurosim.reference.losses import loss
from neurosim.reference.ode import Rates, lagrangian, right_hand_side
from neurosim.reference.trajectory import Trajectory, solve_ivp

__all__ = [
    "Adjoint",
    "Rates",
    "Trajectory",
    "adam",
    "backprop",
    "forward",
    "lagrangian",
    "loss",
    "multipliers",
    "right_hand_side",
    "sgd",
    "solve_ivp",
]
