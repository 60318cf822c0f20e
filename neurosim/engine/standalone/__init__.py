"""Brian2's C++ mode: one compiled program per structure.

`code` gathers what the templates read, `kernels` has the code objects of a step, `codegen` the
program. `program` runs it without importing Brian2, and `key` finds it again. Start at `codegen`.
"""
