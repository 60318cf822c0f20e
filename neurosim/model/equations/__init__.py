"""The flow as equation text in Brian2's notation.

`imperfections` and `events` add the equations of imperfect circuits and of messages sent as events.
Start at `lagrangian`.
"""
