"""Brian2's runtime mode: NumPy or Cython in this process.

Start at `engine`. `step` does one step; `steppers` has one file per integration method.
"""
