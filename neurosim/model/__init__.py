"""Networks, flows and everything else that defines a simulation; nothing here runs one.

Imports nothing above `errors`. Start at `network` and `flow`.
"""
