"""Names of the integration methods, and which of them share a property."""

from __future__ import annotations

EULER, SEMI_IMPLICIT, EXPONENTIAL_EULER = "euler", "semi_implicit", "exponential_euler"
HEUN, RK4 = "heun", "rk4"
ADAPTIVE = "adaptive"  # Dormand-Prince 5(4); `relax(adaptive=True)`
ADAM = "adam"  # steps of Local Propagation, which are not a flow in time

FIXED_STEP = (EULER, SEMI_IMPLICIT, EXPONENTIAL_EULER, HEUN, RK4)  # accepted by Simulation
RUNGE_KUTTA = (HEUN, RK4)
STAGED = (*RUNGE_KUTTA, ADAPTIVE)  # messages are sent anew at every stage
ONCE_A_STEP = (EULER, EXPONENTIAL_EULER)  # messages are sent once per step
ALL = (*FIXED_STEP, ADAPTIVE, ADAM)
