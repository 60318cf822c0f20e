"""Brian2's C++ mode: one compiled program per structure.

Start at `codegen`; `program` runs what it made without importing Brian2.
"""
