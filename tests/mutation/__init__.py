"""Mutation testing of the formulas: ``python -m tests.mutation``.

Cosmic Ray's operators change one operator or one number of a formula at a time, in the code and in
the equation text that it writes; the tests of that formula must fail. What survives is printed, and
must be killed by a test or explained in `explained.toml`.
"""
