"""Measure the figures of the README anew: ``python -m tests.evidence [NAME ...]``."""
