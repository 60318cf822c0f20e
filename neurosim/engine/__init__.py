"""The Brian2 backend: a plan becomes a Brian2 network that is stepped in runtime mode or as a C++ program.

Nothing above this floor knows Brian2 objects. Start at `build`.
"""

from neurosim.engine.build import build
from neurosim.engine.engine import Engine
from neurosim.engine.plan import Extension, Plan, Recorded

__all__ = ["Engine", "Extension", "Plan", "Recorded", "build"]
