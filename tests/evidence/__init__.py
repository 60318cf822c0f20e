"""Measure the figures of the findings again: ``python -m tests.evidence [NAME ...]``."""
