"""Runs, logs, traces, recordings, files and operation counts.

Start at `runs`.
"""
