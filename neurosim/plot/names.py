"""Fit names into the room that a picture has for them: broken into lines, then shortened.

Widths are measured with the glyphs of the font, without a renderer. Start at `shortened_all`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

BREAKS = re.compile(r"(?<=[_\s.>])|(?<=[a-z0-9])(?=[A-Z])")  # where a name may end a line
ELLIPSIS = "…"


def text_width(text: str, size: float) -> float:
    """Return the width of a text in Matplotlib's font, in points."""
    import matplotlib as mpl

    return _width(text, size, tuple(mpl.rcParams["font.family"]))


@lru_cache(maxsize=4096)
def _width(text: str, size: float, family: tuple[str, ...]) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(family=list(family), size=size), ismath=False
    )
    return float(width)


def shortened(text: str, width: float, size: float) -> str:
    """Return a text that is at most `width` points wide, without its middle if it is too long.

    Examples
    --------
    >>> shortened("layer_23_excitatory_left_hemisphere", 90, 8)
    'layer_23_…emisphere'
    """
    return "".join(wrapped(text, width, 1, size))


def shortened_all(texts: Sequence[str], width: float, size: float) -> list[str]:
    """Return different texts, shortened where needed, so that they still differ.

    Examples
    --------
    >>> names = ["left_layer_of_area_1_excitatory", "left_layer_of_area_2_excitatory"]
    >>> shortened_all(names, 50, 8)
    ['…1_excita…', '…2_excita…']
    """
    found = [shortened(text, width, size) for text in texts]
    alike: dict[str, list[int]] = {}
    for i, text in enumerate(found):
        alike.setdefault(text, []).append(i)
    for group in alike.values():
        if len(group) > 1:
            cut = _cut_outside(sorted({texts[i] for i in group}), width, size)
            for i in group:
                found[i] = cut[texts[i]]
    return found


def _cut_outside(texts: Sequence[str], width: float, size: float) -> dict[str, str]:
    """Return texts around the part in which they differ, as wide as there is room."""
    start = _shared(texts)
    tail = min(_shared([text[::-1] for text in texts]), min(map(len, texts)) - start)
    grown = True
    while grown:
        grown = False
        for fewer in ((start - 1, tail), (start, tail - 1)):
            cut = _around(texts, *fewer)
            if min(fewer) >= 0 and all(text_width(own, size) <= width for own in cut.values()):
                start, tail = fewer
                grown = True
    return _around(texts, start, tail)


def _shared(texts: Sequence[str]) -> int:
    """Return with how many letters all texts begin."""
    count = 0
    for letters in zip(*texts, strict=False):
        if len(set(letters)) > 1:
            break
        count += 1
    return count


def _around(texts: Sequence[str], start: int, tail: int) -> dict[str, str]:
    """Return each text without its first `start` and last `tail` letters."""
    cut = {}
    for text in texts:
        before = ELLIPSIS if start > 0 else ""
        after = ELLIPSIS if tail > 0 else ""
        cut[text] = before + text[start : len(text) - tail] + after
    return cut


def wrapped(text: str, width: float, lines: int, size: float) -> list[str]:
    """Return a text in at most `lines` lines of at most `width` points each.

    Lines end at underscores, spaces, points and capitals where they can. What does not fit is left
    out of the middle.

    Examples
    --------
    >>> wrapped("layer_23_excitatory_left_hemisphere", 100, 3, 8)
    ['layer_23_excitatory_left_', 'hemisphere']
    """
    whole = _lines(text, width, size)
    if len(whole) <= lines:
        return whole
    fits, fails = 0, len(text)  # numbers of letters that are kept
    while fails - fits > 1:
        kept = (fits + fails) // 2
        if len(_lines(_cut(text, kept), width, size)) <= lines:
            fits = kept
        else:
            fails = kept
    return _lines(_cut(text, fits), width, size)[:lines]


def _cut(text: str, kept: int) -> str:
    """Return the beginning and the end of a text, of `kept` letters together."""
    tail = kept // 2
    return text[: kept - tail] + ELLIPSIS + text[len(text) - tail :]


def _lines(text: str, width: float, size: float) -> list[str]:
    """Return a text in lines of at most `width` points each, or of one letter."""
    found = [""]
    for part in _pieces(text, width, size):
        if found[-1] and text_width(found[-1] + part, size) > width:
            found.append("")
        found[-1] += part
    return found


def _pieces(text: str, width: float, size: float) -> list[str]:
    """Return the parts of a text that stay together, none wider than a line."""
    pieces = []
    for part in BREAKS.split(text):
        start = 0
        for end in range(1, len(part) + 1):
            if end - start > 1 and text_width(part[start:end], size) > width:
                pieces.append(part[start : end - 1])
                start = end - 1
        pieces.append(part[start:])
    return [piece for piece in pieces if piece]
