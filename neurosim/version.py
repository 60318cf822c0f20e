"""The version of neurosim, for the package, its files and its wheel."""

__version__ = "0.2.0"
