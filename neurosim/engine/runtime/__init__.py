"""Brian2's runtime mode: NumPy or Cython in this process.

Start at `engine`; `step` is one step, and a method is a file of `steppers`.
"""
