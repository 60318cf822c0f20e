"""Analyses of networks, flows and runs: alignment, checks, stability, continuation, support."""
