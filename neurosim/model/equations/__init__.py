"""The flow as equation text in Brian2's notation.

Start at `lagrangian`. `imperfections` and `events` add the equations of an imperfect circuit and of
messages that are sent as events.
"""
