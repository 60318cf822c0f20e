"""The Brian2 backend: a plan becomes a Brian2 network, stepped in runtime mode or as a C++ program.

Nothing above this floor holds Brian2 objects. Start at `build.build`; `cache` and `plan` are
importable without Brian2.
"""
