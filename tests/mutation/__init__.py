"""Mutation testing of the formulas: ``python -m tests.mutation [MODULE ...]``.

Each mutant changes one operator or one number of a formula, in code (by Cosmic Ray's operators) or
in equation text. The tests that `targets.toml` lists for the module must then fail. A mutant that
survives is printed; a test has to kill it, or `explained.toml` has to explain it.
"""
