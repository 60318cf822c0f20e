"""Coefficients of the explicit Runge-Kutta methods and of Adam.

References
----------
Dormand & Prince, J. Comput. Appl. Math. 6, 19-26 (1980); Kingma & Ba, ICLR 2015.
"""

from __future__ import annotations

from neurosim.model.methods import HEUN, RK4

# Nodes c and weights b of methods whose stage i starts from stage i - 1 alone:
# y_i = y + h c_i k_(i-1)
TABLEAUS = {
    HEUN: ((0.0, 1.0), (1 / 2, 1 / 2)),
    RK4: ((0.0, 1 / 2, 1 / 2, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}

# Dormand & Prince: stages a, nodes c, and weights of the difference between orders 5 and 4
DORMAND_PRINCE = (
    (
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (1 / 5, 0.0, 0.0, 0.0, 0.0, 0.0),
        (3 / 40, 9 / 40, 0.0, 0.0, 0.0, 0.0),
        (44 / 45, -56 / 15, 32 / 9, 0.0, 0.0, 0.0),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0.0, 0.0),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0.0),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
)

# Adam: decay rates beta_1 and beta_2 of the running means of the force and of its square; epsilon,
# which keeps the quotient finite
ADAM = (0.9, 0.999, 1e-8)

# Anderson acceleration: changes of a pattern that extrapolate; growth of its step after which they
# are forgotten
ANDERSON_DEPTH = 10
ANDERSON_RESTART = 100.0

# Largest error of one adaptive step, as a share of the remaining motion max |tau dz/dt|. With 0.1
# and 0.05 some nets take steps beyond their stable length near rest, and the residual hovers at ten
# times the tolerance.
SETTLING_SHARE = 0.01
