"""Style, figures, axes, fonts and colours that all pictures share.

Matplotlib's settings win where the user has changed them. Below every other module of pictures
except `names`. Start at `styled`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from neurosim.arguments import checked
from neurosim.errors import ModelError, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")
Size = tuple[float, float]  # inches

# Okabe & Ito 2008 without yellow, which is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Tol 2021, "rainbow", without its pale colours: for populations beyond the palette, by depth.
RAINBOW = (
    *("#6F4C9B", "#5568B8", "#4D8AC6", "#54AEBB", "#60B07D", "#9CAF3C"),
    *("#D9AD3C", "#E78C35", "#E4632D", "#DA2222", "#95211B", "#521A13"),
)
WIDEST = 100  # inches
PADS = 10  # points between axes, the names of ticks and a label
LINE_SPACING = 1.25  # height of a line of text over the size of its font
STYLE: Any = MappingProxyType(  # typed Any: matplotlib's stubs require literal keys
    {
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 9,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.2,
        "figure.dpi": 120,
        "savefig.dpi": 300,
        "pdf.fonttype": 42,  # keeps text as text
        "svg.fonttype": "none",
    }
)


@contextmanager
def style() -> Iterator[None]:
    """Return a context in which Matplotlib draws in the style of all pictures.

    Settings that differ from Matplotlib's own defaults are kept: a style sheet or
    ``matplotlib.rcParams`` set before a picture is drawn win. Colours of lines are those of
    ``axes.prop_cycle`` where it was set. Matplotlib's own context would also undo what a backend
    sets when its first figure is made, after which a notebook shows no figures.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> with style():
    ...     figure, ax = plt.subplots()
    >>> plt.close(figure)
    """
    import matplotlib as mpl

    before, ours = {}, {}
    for name, value in STYLE.items():
        if mpl.rcParams[name] == mpl.rcParamsDefault[name]:
            before[name], ours[name] = mpl.rcParams[name], value
    _scale_sizes(ours)
    mpl.rcParams.update(ours)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def _scale_sizes(ours: dict[str, Any]) -> None:
    """Scale the sizes of texts with a ``font.size`` that the user has set."""
    import matplotlib as mpl

    if "font.size" in ours or mpl.rcParams["font.size"] == STYLE["font.size"]:
        return
    scale = mpl.rcParams["font.size"] / STYLE["font.size"]
    for name, value in ours.items():
        if name.endswith("size"):
            ours[name] = scale * value


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that it checks its arguments and draws in the style of all pictures.

    NumPy's warnings about numbers that are not finite are off, since runs that diverged are drawn
    too. A picture that fails leaves no figure behind.
    """

    draw = checked(function)

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib.pyplot as plt

        before = plt.get_fignums()
        try:
            with style(), np.errstate(over="ignore", invalid="ignore"):
                return draw(*args, **kwargs)
        except BaseException:
            for number in set(plt.get_fignums()) - set(before):
                plt.close(number)
            raise

    return inner


# Figures and axes


def checked_size(figsize: Size) -> Size:
    """Return the width and height of a figure, inches, if it can be drawn.

    Raises
    ------
    ModelError
        Not two numbers above 0, or one above `WIDEST`.
    """
    if not isinstance(figsize, tuple | list) or len(figsize) != 2:
        raise ModelError(f"figsize = {figsize!r}; allowed: (width, height), inches; try (3.5, 2.6)")
    width, height = figsize
    return (
        number("figsize[0]", width, above=0, most=WIDEST, try_="3.5"),
        number("figsize[1]", height, above=0, most=WIDEST, try_="2.6"),
    )


def new_figure(width: float, height: float, figsize: Size | None = None) -> Figure:
    """Return a new pyplot figure that a notebook shows once.

    Parameters
    ----------
    width, height : float
        Default size, inches.
    figsize : (float, float), optional
        Size that is asked for, inches.
    """
    from neurosim.plot.shown import shown_figure

    if figsize is not None:
        width, height = checked_size(figsize)
    return shown_figure(width, height)


def given_axes(ax: Axes | None, figsize: Size | None = None, size: Size = (4.8, 3.2)) -> Axes:
    """Return the given axes, or those of a new pyplot figure.

    Parameters
    ----------
    ax : Axes, optional
    figsize : (float, float), optional
        Size of a new figure, inches.
    size : (float, float)
        Default size of a new figure, inches.

    Raises
    ------
    ModelError
        Both axes and a size are given, or the size cannot be drawn.
    """
    if ax is not None:
        if figsize is not None:
            raise ModelError(
                f"figsize = {figsize!r} with ax=; allowed: one of the two; "
                "try the size where the figure of these axes is made"
            )
        return ax
    import matplotlib.pyplot as plt

    own = size if figsize is None else checked_size(figsize)
    return plt.subplots(figsize=own, layout="constrained")[1]


def shown_axes(ax: Axes | None, size: Size, figsize: Size | None = None) -> Axes:
    """Return the given axes, or the only ones of a new figure that a notebook shows once.

    Parameters
    ----------
    ax : Axes, optional
    size : (float, float)
        Default size of a new figure, inches.
    figsize : (float, float), optional
        Size that is asked for, inches.
    """
    if ax is not None:
        return given_axes(ax, figsize)
    axes: Axes = new_figure(*size, figsize).subplots()
    return axes


def figure_of(ax: Axes) -> Figure:
    """Return the figure that holds axes, also of those in a part of one."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def lay_out(ax: Axes) -> None:
    """Lay out the figure of axes now, where a layout engine is on, so that sizes are final."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def size_in_points(ax: Axes) -> Size:
    """Return width and height of axes; as they will be drawn only after `lay_out`."""
    width = 72 * ax.bbox.width / ax.figure.dpi
    height = 72 * ax.bbox.height / ax.figure.dpi
    return width, height


def room_at_left(ax: Axes, share: float, *, label: bool = True) -> float:
    """Return the points that names of ticks at the left of axes may take.

    A share of the width where a layout engine makes room. Otherwise what is free up to other axes
    or the edge of the figure.

    Parameters
    ----------
    label : bool
        Whether the axis has a label too.
    """
    figure = figure_of(ax)
    if figure.get_layout_engine() is not None:
        return share * size_in_points(ax)[0]
    left = float(ax.get_position().x0)
    edge = 0.0
    for other in figure.axes:
        right = float(other.get_position().x1)
        if edge < right <= left:
            edge = right
    beside = LINE_SPACING * float(ax.yaxis.label.get_fontsize()) + PADS if label else PADS
    return float(72 * figure.get_figwidth() * (left - edge) - beside)


# Fonts


def _font(setting: str) -> float:
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties

    settings: Any = mpl.rcParams
    return float(FontProperties(size=settings[setting]).get_size_in_points())


def small_font() -> float:
    """Return the size of names, legends and notes, points."""
    return _font("legend.fontsize")


def title_font() -> float:
    """Return the size of titles and labels of axes, points."""
    return _font("axes.labelsize")


def tick_font(axis: Any) -> float:
    """Return the size of the names of an axis' ticks, points; that of given axes is their own."""
    return float(axis.get_major_ticks(1)[0].label1.get_fontsize())


def line_height() -> float:
    """Return the height of a line of small text, points."""
    return LINE_SPACING * small_font()


# Colours


def palette() -> tuple[str, ...]:
    """Return the colours of lines: `PALETTE`, or the user's own ``axes.prop_cycle``."""
    import matplotlib as mpl

    cycle = mpl.rcParams["axes.prop_cycle"]
    if cycle == mpl.rcParamsDefault["axes.prop_cycle"]:
        return PALETTE
    return tuple(cycle.by_key().get("color", PALETTE))


def palette_color(i: int) -> str:
    """Return a colour of the palette, which repeats."""
    colors = palette()
    return colors[i % len(colors)]


def distinct_color(i: int, count: int) -> str:
    """Return colour i of `count` different ones: of the palette if it suffices, else a rainbow."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    if count <= len(palette()):
        return palette_color(i)
    rainbow = LinearSegmentedColormap.from_list("rainbow", RAINBOW)
    return to_hex(rainbow(i / (count - 1)))
