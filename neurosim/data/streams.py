"""Generate streams of frames: digits that move over a canvas, and events of an image sensor.

`Simulation.stream` accepts any array (time, features). Start at `moving_digits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosim.errors import DataError, number, whole
from neurosim.model.arrays import real_array
from neurosim.model.display import short_repr

Array = np.ndarray
SIDE = 8  # width and height of scikit-learn's digits, pixels
BRIGHTEST = 16  # largest grey value of scikit-learn's digits


@dataclass(frozen=True, repr=False)
class Stream:
    """Frames and their labels.

    Attributes
    ----------
    X : (time, side * side), unit 1
        Grey values of each frame, row by row.
    Y : (time,) of int
        Label of each frame.
    side : int
        Width and height of the canvas, pixels.
    """

    X: Array
    Y: Array
    side: int

    __repr__ = short_repr


def moving_digits(
    frames: int,
    *,
    speed: float = 0.05,
    side: int = 16,
    dwell: int = 200,
    seed: int = 0,
) -> Stream:
    """Generate frames in which one of scikit-learn's handwritten digits moves over a canvas.

    A digit moves in a straight line and bounces off the edges. Its image is interpolated linearly
    between pixels, so that a slow digit changes a little in every frame.

    Parameters
    ----------
    frames : int
        Number of frames, >= 1.
    speed : float
        Speed of the digit, pixels per frame, >= 0.
    side : int
        Width and height of the canvas, pixels, >= 8.
    dwell : int
        Number of frames, >= 1, after which a new digit, place and direction are drawn.
    seed : int
        Seed of the digits, places and directions.

    Returns
    -------
    Stream
        Grey values 0 to 1.

    Raises
    ------
    ModelError
        A number out of range.

    Examples
    --------
    >>> moving_digits(400, side=12).X.shape
    (400, 144)
    """
    from scipy.ndimage import shift
    from sklearn.datasets import load_digits

    whole("frames", frames, 1)
    whole("dwell", dwell, 1)
    whole("side", side, SIDE)
    number("speed", speed, least=0, try_="0.05")
    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    room = float(side - SIDE)
    X = np.zeros((frames, side * side))
    Y = np.zeros(frames, dtype=int)
    for first in range(0, frames, dwell):
        # results of a seed depend on the order of these draws
        chosen = rng.integers(len(images))
        start = rng.uniform(0, room, 2)
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        length = min(dwell, frames - first)
        steps = np.arange(length)[:, None]
        places = _bounced(start + speed * steps * direction, room)
        image = images[chosen].reshape(SIDE, SIDE)
        canvas = np.zeros((side, side))
        canvas[:SIDE, :SIDE] = image / BRIGHTEST
        for frame, place in enumerate(places, start=first):
            X[frame] = shift(canvas, place, order=1, mode="grid-constant").ravel()
            Y[frame] = labels[chosen]
    return Stream(X, Y, side)


def dvs(frames: Any, theta: float = 0.1) -> Array:
    """Return the events that a dynamic vision sensor sends for the frames, pixel by pixel.

    A pixel sends the sign of its change once it differs by more than `theta` from its value at its
    last event.

    Parameters
    ----------
    frames : (time, features), unit 1
    theta : float
        Threshold, unit 1, > 0.

    Returns
    -------
    (time, features) of -1, 0 or 1
        The first frame is compared with darkness (0).

    Raises
    ------
    DataError
        Frames of another shape, or not finite.
    ModelError
        A threshold that is not above 0.

    Examples
    --------
    >>> dvs([[0.0], [0.05], [0.2], [0.0]], theta=0.1).ravel()
    array([ 0.,  0.,  1., -1.])
    """
    values = real_array("frames", frames)
    if values.ndim != 2:
        raise DataError(f"frames have shape {values.shape}; allowed: (time, features)")
    number("theta", theta, above=0, try_="0.1")
    events = np.zeros(values.shape)
    level = np.zeros(values.shape[1])  # value of each pixel at its last event
    for frame, sent in zip(values, events, strict=True):
        change = frame - level
        beyond = np.abs(change) > theta
        sent[beyond] = np.sign(change[beyond])
        level[beyond] = frame[beyond]
    return events


def _bounced(place: Array, room: float) -> Array:
    """Return places reflected at both ends of a line from 0 to `room`."""
    if room == 0:
        return np.zeros_like(place)
    there = np.mod(place, 2 * room)
    back = 2 * room - there
    return np.asarray(np.where(there > room, back, there))
