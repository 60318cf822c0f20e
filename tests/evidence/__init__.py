"""The figures that neurosim answers for, measured anew: ``python -m tests.evidence [NAME ...]``."""
