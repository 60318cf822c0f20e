"""Brian2's C++ mode: one compiled program per structure.

`code` gathers the facts that the templates read, `kernels` makes the code objects of a step, and
`codegen` the program. `program` runs it without importing Brian2, and `key` names its structure, so
that it is found again. Start at `codegen`.
"""
