"""Names of the integration methods, and which of them share a property.

Exponential Euler solves each unit's own leak exactly, (kappa (rho + weight of mse) + gamma)/tau_x
of x and gamma/tau_lam of lam, and holds everything else during a step; its order is 1, as Euler's.
With much augmentation the leak and its drive rho sigma(a) nearly cancel, which Euler keeps and
exponential Euler loses. It is worth using where relaxation prevails, gamma >= kappa rho, above all
with `Flow.adjoint`, where every step is stable on an acyclic graph. Elsewhere take "euler", or
"rk4" for accuracy. Measured by ``python -m tests.evidence exponential_euler``: its error over that
of Euler against SciPy after 2 tau, with steps of 0.2 and 0.5 times Euler's largest stable one
(geometric mean over 8 nets 6-8-4), and its largest stable step over Euler's (smallest).

| flow | error at 0.2 | error at 0.5 | stable step |
|---|---|---|---|
| augmented(1) | 1.29 | 1.31 | 1.00 |
| augmented(4) | 4.2 | 4.4 | 1.4 |
| rho = 16, equal times | 196 | 202 | 1.3 |
| damped | 0.77 | 0.77 | 1.3 |
| rotated(75 deg) | 0.88 | 0.76 | any |
| adjoint | 0.85 | 0.49 | any |
"""

from __future__ import annotations

EULER, SEMI_IMPLICIT, EXPONENTIAL_EULER = "euler", "semi_implicit", "exponential_euler"
HEUN, RK4 = "heun", "rk4"
ADAPTIVE = "adaptive"  # Dormand-Prince 5(4); `relax(adaptive=True)`
ANDERSON = "anderson"  # extrapolated Euler steps, `relax(accelerate=)`; not a flow in time
ADAM = "adam"  # steps of Local Propagation, which are not a flow in time

FIXED_STEP = (EULER, SEMI_IMPLICIT, EXPONENTIAL_EULER, HEUN, RK4)  # accepted by Simulation
RUNGE_KUTTA = (HEUN, RK4)
STAGED = (*RUNGE_KUTTA, ADAPTIVE)  # messages are sent anew at every stage
ONCE_A_STEP = (EULER, EXPONENTIAL_EULER)  # messages are sent once per step
ONE_EVALUATION = (EULER, SEMI_IMPLICIT, EXPONENTIAL_EULER)  # of each right-hand side per step
ALL = (*FIXED_STEP, ADAPTIVE, ANDERSON, ADAM)
