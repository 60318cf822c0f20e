"""Model files, sweeps, tuning and studies.

Start at `modelfile` and `sweep`.
"""
