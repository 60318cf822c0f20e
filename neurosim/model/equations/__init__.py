"""The flow as equation text in Brian2's notation.

Start at `lagrangian`; `imperfections` and `events` add what a circuit lacks and what is sent as
events.
"""
