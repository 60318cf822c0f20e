"""Relax, train and predict: what a user calls, and what drives an engine.

Start at `simulation`.
"""
