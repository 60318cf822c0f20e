"""Figures that pyplot knows and that a notebook shows once. Imported where a figure is made."""

from __future__ import annotations

import io
from typing import Any, cast

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


class ShownFigure(Figure):
    """Figure that ``plt.show()`` shows, and a notebook too, but not twice where it ends a cell."""

    def _ipython_display_(self) -> None:
        """Display the figure, and take it out of those that the end of the cell displays."""
        from IPython import display

        backend = plt.get_backend().lower()
        is_known = getattr(self, "number", None) in plt.get_fignums()
        if is_known and not ("inline" in backend or backend == "agg"):
            return  # it has a window or a widget
        if is_known and "inline" in backend:
            plt.close(self)
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=self.dpi)
        data = {"image/png": image.getvalue(), "text/plain": repr(self)}
        cast("Any", display).display(data, raw=True)


def shown_figure(width: float, height: float) -> Figure:
    """Return a new figure of pyplot, inches."""
    return plt.figure(figsize=(width, height), layout="constrained", FigureClass=ShownFigure)
