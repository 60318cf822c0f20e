"""Configuration of the documentation site: ``sphinx-build -W docs docs/_build``."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated

from neurosim import __version__

generated.write(HERE / "reference" / "generated")

project = "neurosim"
author = "the neurosim authors"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
    "mathematics",
]
templates_path = []
exclude_patterns = [
    "_build",
    "examples/*",
    "sg_execution_times.rst",
    "gallery/sg_execution_times.rst",
    *(f"gallery/*.{suffix}" for suffix in ("ipynb", "py", "zip", "md5", "json")),
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
root_doc = "index"
default_role = "code"
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = f"neurosim {version}"
html_math_renderer = "mathml"
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "article_header_end": [],
}
autodoc_typehints = "none"  # the docstrings have types and shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
suppress_warnings = ["config.cache", "mystnb.unknown_mime_type", "autodoc.mocked_object"]
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 120
nb_execution_raise_on_error = True
nb_kernel_rgx_aliases = {".*": "python3"}
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "backreferences_dir": "reference/generated/uses",
    "doc_module": ("neurosim",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 10,
    "matplotlib_animations": False,
}


def escape(app, what, name, obj, options, lines):
    """Escape what reStructuredText would take as markup in docstrings: |g| and names such as w_."""
    code = False
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", "=====")):
            continue
        if code and line and not line.startswith("    "):
            code = False
        if line.rstrip().endswith("::"):
            code = True
            continue
        if not code:
            escaped = re.sub(r"(?<!\\)\|", r"\\|", line)
            lines[i] = re.sub(r"(?<=\w)_(?=[\s,.;:)]|$)", r"\\_", escaped)


def skip(app, what, name, obj, skipped, options):
    """Leave out what scikit-learn adds to estimators, whose texts refer to its own glossary."""
    if name.endswith("_request") or name == "get_metadata_routing":
        return True
    return skipped


def setup(app):
    """Connect both."""
    app.connect("autodoc-process-docstring", escape, priority=900)  # after numpydoc
    app.connect("autodoc-skip-member", skip)
