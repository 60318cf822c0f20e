"""Data sets, and the validation and encoding of user-supplied X and Y.

Start at `patterns` and `datasets`.
"""
