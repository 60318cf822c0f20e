"""Relax, train and predict: the interface that users call, and the code that drives an engine.

Start at `simulation`, then read `running`: a loop over `segments` of one `session`.
"""
