"""What neurosim is measured against: backpropagation and the same flows in SciPy, in plain NumPy.

Beside `engine`, and never imported by it nor importing it: two independent derivations that agree
are the proof. Start at `backprop` and `solve_ivp`.
"""

from neurosim.reference.backpropagation import Adjoint, backprop, forward, multipliers
from neurosim.reference.descent import adam, sgd
from neurosim.reference.functions import loss
from neurosim.reference.ode import Rates, Trajectory, lagrangian, right_hand_side, solve_ivp

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
