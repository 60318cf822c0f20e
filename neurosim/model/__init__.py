"""Networks, flows and everything else that a user chooses, without anything that runs.

Start at `network` and `flow`. Imports nothing above `errors`.
"""
