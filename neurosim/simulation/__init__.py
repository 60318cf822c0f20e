"""Relax, train and predict: what a user calls, and what drives an engine.

Start at `simulation`, then read `running`: a loop over `segments` of one `session`.
"""
