"""Sphinx extension: formulas as MathML, which every browser shows offline and without a script."""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def inline(translator: Any, node: nodes.Element) -> None:
    """Write a formula within a line."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def display(translator: Any, node: nodes.Element) -> None:
    """Write a formula on its own line, with its number if it has a label."""
    number = ""
    if node.get("number"):
        number = f'<span class="eqno">({escape(str(node["number"]))})</span>'
    name = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    text = node.astext().strip()
    for word in ("aligned", "align", "align*", "equation"):
        text = text.removeprefix(rf"\begin{{{word}}}").removesuffix(rf"\end{{{word}}}")
    rows = [row.replace("&", "").strip() for row in text.split(r"\\")]
    formulas = "".join(convert(row, display="block") for row in rows if row)
    translator.body.append(f'<div class="math"{name}>{number}{formulas}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.add_css_file("site.css")
    return {"parallel_read_safe": True, "version": "1"}
