"""Data sets, and the validation and encoding of what users pass as X and Y.

Start at `patterns` and `datasets`.
"""
