"""Streams of frames: digits that move over a canvas, and events of a changing image. Start at
`moving_digits`.

Any array (time, features) is a stream as it stands: `Simulation.stream` takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.errors import DataError, out_of_range, whole

Array = np.ndarray
SIDE = 8  # of scikit-learn's digits, pixels


@dataclass(frozen=True)
class Stream:
    """Frames and what they show.

    Attributes
    ----------
    X : (time, features), unit 1
    Y : (time,) labels
    side : int
        Width and height of the canvas, pixels.
    """

    X: Array
    Y: Array
    side: int


def moving_digits(
    frames: int, *, speed: float = 0.05, side: int = 16, dwell: int = 200, seed: int = 0
) -> Stream:
    """scikit-learn's handwritten digits, one at a time, on straight ways over a canvas from whose
    edges they bounce.

    Between pixels an image is interpolated linearly, so that a slow digit changes every frame a
    little.

    Parameters
    ----------
    frames : int
    speed : float
        Pixels a frame.
    side : int
        Width and height of the canvas, at least 8 pixels.
    dwell : int
        Frames after which another digit, place and direction are drawn.
    seed : int

    Returns
    -------
    Stream
        Grey values 0 to 1.

    Raises
    ------
    ModelError
        A number out of range.
    """
    from scipy.ndimage import shift
    from sklearn.datasets import load_digits

    whole("frames", frames, 1)
    whole("dwell", dwell, 1)
    if whole("side", side, SIDE) and (not np.isfinite(speed) or speed < 0):
        raise out_of_range("speed", speed, "a finite number of pixels a frame, from 0", "0.05")
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    room = float(side - SIDE)
    X, Y = np.zeros((frames, side * side)), np.zeros(frames, dtype=int)
    for first in range(0, frames, dwell):
        number, start, angle = (
            rng.integers(len(images)),
            rng.uniform(0, room, 2),
            rng.uniform(0, 2 * np.pi),
        )
        steps = np.arange(min(dwell, frames - first))[:, None]
        way = _bounced(start + speed * steps * np.array([np.sin(angle), np.cos(angle)]), room)
        canvas = np.zeros((side, side))
        canvas[:SIDE, :SIDE] = images[number].reshape(SIDE, SIDE) / 16
        for k, place in enumerate(way):
            X[first + k] = shift(canvas, place, order=1, mode="grid-constant").ravel()
        Y[first : first + len(way)] = labels[number]
    return Stream(X, Y, side)


def dvs(frames: Any, theta: float = 0.1) -> Array:
    """Events of an image sensor: +1 or -1 where a pixel differs by more than `theta` from its value
    at its last event.

    Parameters
    ----------
    frames : (time, features)
    theta : float
        Above 0.

    Returns
    -------
    (time, features) of -1, 0 or 1
        At the first frame against darkness (0).

    Raises
    ------
    DataError, ModelError
        Frames that are no finite (time, features); a threshold that is not above 0.
    """
    values = np.asarray(frames, dtype=float)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(
            f"frames have shape {values.shape}; allowed: finite numbers, (time, features)"
        )
    if not 0 < theta < np.inf:
        raise out_of_range("theta", theta, "a finite number above 0", "0.1")
    events, level = np.zeros(values.shape), np.zeros(values.shape[1])
    for now, said in zip(values, events, strict=True):
        change = now - level
        spoke = np.abs(change) > theta
        said[spoke] = np.sign(change[spoke])
        level[spoke] = now[spoke]
    return events


def _bounced(place: Array, room: float) -> Array:
    """Places on a line of length `room` whose ends are mirrors."""
    if room == 0:
        return np.zeros_like(place)
    turn = np.mod(place, 2 * room)
    return np.asarray(np.where(turn > room, 2 * room - turn, turn))
