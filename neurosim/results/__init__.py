"""Runs, logs, traces and files.

Start at `runs`.
"""
