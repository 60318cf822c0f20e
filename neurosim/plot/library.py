"""Import Matplotlib without the settings of the working folder.

Every module of the package that imports Matplotlib is loaded after this one, as
`tests/test_folder.py` holds.
"""

from neurosim import folder_settings

__all__ = ["matplotlib"]

with folder_settings.ignored():
    import matplotlib
