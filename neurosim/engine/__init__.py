"""The Brian2 backend: a plan becomes a Brian2 network that is stepped in runtime mode or as a C++
program.

Nothing above this floor knows Brian2 objects. Start at `build.build`; `cache` and `plan` need no
Brian2.
"""
