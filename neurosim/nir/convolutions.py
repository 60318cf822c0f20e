"""Convolutions and pools of a NIR graph: fields read as `sites.Conv` and `sites.Pool`, and written.

NIR's arrays are (features, sites), neurosim's units have their features last. Below `graph`. Start
at `read_convolution`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosim.errors import ModelError, out_of_range
from neurosim.model.sites import SAME, VALID, Conv, Pool

if TYPE_CHECKING:
    from neurosim.model.network import Network
    from neurosim.model.populations import Projection

Array = np.ndarray
Shape = tuple[int, ...]

CONV1, CONV2, POOL, FLATTEN = "Conv1d", "Conv2d", "AvgPool2d", "Flatten"
CONVOLUTIONS = {CONV1: 1, CONV2: 2}  # axes of sites


def features_last(shape: Shape) -> Shape:
    """Return (sites, features) of (features, sites).

    Examples
    --------
    >>> features_last((8, 28, 30))
    (28, 30, 8)
    """
    return (*shape[1:], shape[0])


def features_first(shape: Shape) -> Shape:
    """Return (features, sites) of (sites, features)."""
    return (shape[-1], *shape[:-1])


def units_of(array: Array) -> Array:
    """Return an array (features, sites) as units, features last, (units,)."""
    return np.moveaxis(array, 0, -1).reshape(-1)


def array_of(units: Array, shape: Shape) -> Array:
    """Return units as an array (features, sites); `shape` is (sites, features)."""
    return np.moveaxis(units.reshape(shape), -1, 0).copy()


def flat_order(shape: Shape) -> Array:
    """Return which unit stands at each place of NIR's flattened array, (units,).

    Examples
    --------
    >>> flat_order((2, 3))  # two sites, three features
    array([0, 3, 1, 4, 2, 5])
    """
    units = np.arange(math.prod(shape))
    return array_of(units, shape).reshape(-1)


# Read


def read_convolution(node_name: str, node: Any, before: Shape) -> tuple[Conv, Array]:
    """Return a convolution and its weights, (terms, post features, pre features).

    Parameters
    ----------
    node_name : str
    node : nir.Conv1d or nir.Conv2d
    before : tuple of int
        Shape of what the node reads, (features, sites).

    Raises
    ------
    ModelError
        A field that `sites.Conv` cannot express, or another shape; the message has its name.
    """
    axes = CONVOLUTIONS[type(node).__name__]
    weight = np.asarray(node.weight)
    shown = f"NIR node {node_name!r}"
    if weight.ndim != axes + 2:
        allowed = f"{axes + 2}-D, (post features, pre features, *kernel)"
        raise out_of_range(f"shape of weight of {shown}", weight.shape, allowed)
    expected = (weight.shape[1], *_input_sites(node_name, node, before))
    if before != expected or len(before) != axes + 1:
        allowed = f"{expected}, as its weight and input_shape say"
        raise out_of_range(f"shape that {shown} reads", before, allowed)
    dilation = _whole(f"dilation of {shown}", node.dilation, axes)
    if dilation != (1,) * axes:
        raise out_of_range(f"dilation of {shown}", dilation, "1", "a kernel with zeros")
    groups = _whole(f"groups of {shown}", node.groups, 1)
    if groups != (1,):
        allowed = "1, as every feature reads all features"
        raise out_of_range(f"groups of {shown}", groups[0], allowed, "weights with zeros")
    kernel = tuple(int(size) for size in weight.shape[2:])
    stride = _whole(f"stride of {shown}", node.stride, axes, 1)
    padding = _padding(shown, node.padding, kernel, stride)
    terms = np.moveaxis(weight, (0, 1), (-2, -1)).reshape(-1, *weight.shape[:2])
    return Conv(kernel, stride, padding), np.ascontiguousarray(terms)


def read_pool(node_name: str, node: Any) -> Pool:
    """Return the pool of an average over blocks.

    Raises
    ------
    ModelError
        Blocks that overlap or leave sites out, or padding.
    """
    shown = f"NIR node {node_name!r}"
    size = _whole(f"kernel_size of {shown}", node.kernel_size, 2, 1)
    stride = _whole(f"stride of {shown}", node.stride, 2)
    padding = _whole(f"padding of {shown}", node.padding, 2)
    if stride != size:
        raise out_of_range(f"stride of {shown}", stride, f"{size}, its kernel_size")
    if padding != (0, 0):
        raise out_of_range(f"padding of {shown}", padding, "0")
    return Pool(size)


def check_flatten(node_name: str, node: Any, before: Shape) -> None:
    """Refuse a node that does not flatten all axes of what it reads."""
    first = _whole(f"start_dim of NIR node {node_name!r}", node.start_dim, 1)[0]
    last = _whole(f"end_dim of NIR node {node_name!r}", node.end_dim, 1)[0]
    if (first, last % len(before)) != (0, len(before) - 1):
        raise ModelError(
            f"NIR node {node_name!r} flattens the axes {first} to {last} of {before}; allowed: all "
            "axes, start_dim = 0 and end_dim = -1"
        )
    given = node.input_type.get("input")
    if given is not None and tuple(np.asarray(given).tolist()) != before:
        read = tuple(np.asarray(given).tolist())
        raise out_of_range(
            f"input_type of NIR node {node_name!r}", read, f"{before}, what it reads"
        )


def _input_sites(node_name: str, node: Any, before: Shape) -> Shape:
    """Return the sites that a node expects: its input_shape, or those before it."""
    if node.input_shape is None:
        return before[1:]
    axes = CONVOLUTIONS[type(node).__name__]
    return _whole(f"input_shape of NIR node {node_name!r}", node.input_shape, axes)


def _padding(shown: str, given: Any, kernel: Shape, stride: Shape) -> Any:
    """Return the padding as `sites.Conv` takes it."""
    if isinstance(given, bytes):
        given = given.decode()
    if not isinstance(given, str):
        return _whole(f"padding of {shown}", given, len(kernel), 0)
    if given == SAME and any(size % 2 == 0 for size in kernel):
        allowed = f"numbers, as a kernel of {kernel} has no middle"
        raise out_of_range(f"padding of {shown}", given, allowed)
    if given == SAME and stride != (1,) * len(kernel):
        allowed = f"numbers, as sites cannot stay the same with stride {stride}"
        raise out_of_range(f"padding of {shown}", given, allowed)
    if given not in (SAME, VALID):
        raise out_of_range(f"padding of {shown}", given, "'same', 'valid' or numbers")
    return given


def _whole(shown: str, given: Any, axes: int, least: int | None = None) -> Shape:
    """Return whole numbers, one per axis, at least `least`."""
    array = np.asarray(given)
    is_whole = array.dtype.kind in "iuf" and bool((array == np.round(array)).all())
    fits = is_whole and array.size in (1, axes) and array.ndim <= 1
    if not fits or (least is not None and (array < least).any()):
        allowed = "a whole number" if axes == 1 else f"one or {axes} whole numbers"
        bound = "" if least is None else f" >= {least}"
        raise out_of_range(shown, given, f"{allowed}{bound}")
    numbers = tuple(int(number) for number in array.reshape(-1))
    return numbers * axes if len(numbers) == 1 else numbers


# Write


def shaped_populations(net: Network) -> set[str]:
    """Return the populations that are written as (features, sites): all ends of convolutions.

    A pool on two axes hands this on from one of its ends to the other.
    """
    found: set[str] = set()
    for q in net.projections.values():
        if q.shares and isinstance(q.over, Conv):
            found |= {q.pre, q.post}
    grown = True
    while grown:
        before = len(found)
        for q in net.projections.values():
            on_image = len(net.populations[q.pre].sites) == 2
            if isinstance(q.over, Pool) and on_image and found & {q.pre, q.post}:
                found |= {q.pre, q.post}
        grown = len(found) > before
    return found


def written_convolution(nir: Any, net: Network, q: Projection) -> Any:
    """Return the node of a projection with shared weights over `sites.Conv`.

    Raises
    ------
    ModelError
        Sites or a kernel for which NIR has no node.
    """
    pre, post = net.populations[q.pre], net.populations[q.post]
    axes = len(pre.sites)
    if axes not in (1, 2):
        allowed = "one or two axes of sites"
        raise out_of_range(f"sites of {q.pre}, for a node of NIR,", pre.sites, allowed)
    sizes = q.over.numbers(pre.sites)
    kernel, stride, padding = (tuple(own) for own in zip(*sizes, strict=True))
    weight = net.weights[q.name].reshape(*kernel, post.features, pre.features)
    weight = np.moveaxis(weight, (-2, -1), (0, 1)).copy()
    bias = np.zeros(post.features)
    same = all(size % 2 for size in kernel) and stride == (1,) * axes
    text = SAME if same and q.over.padding == SAME else None
    if axes == 1:
        node = nir.Conv1d(
            pre.sites[0], weight, stride[0], text or padding[0], dilation=1, groups=1, bias=bias
        )
    else:
        node = nir.Conv2d(
            pre.sites, weight, stride, text or padding, dilation=1, groups=1, bias=bias
        )
    found = tuple(np.asarray(node.output_type["output"]).tolist())
    if found != features_first((*post.sites, post.features)):
        raise ModelError(
            f"{q.name} over {q.over}, whose output the package nir takes for {found}: it reads one "
            "number of the kernel for both axes; allowed: a square kernel, or padding 'same' with "
            "stride 1 and odd kernels"
        )
    return node


def written_pool(nir: Any, net: Network, q: Projection) -> Any:
    """Return the node of a pool on two axes of sites."""
    size = q.over.size * 2 if len(q.over.size) == 1 else q.over.size
    return nir.AvgPool2d(np.array(size), np.array(size), np.zeros(2, dtype=int))
