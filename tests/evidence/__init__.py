"""Measure the figures of the README again: ``python -m tests.evidence [NAME ...]``."""
