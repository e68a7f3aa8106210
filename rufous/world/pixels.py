"""Arithmetic on the pixels of whole clips, each step on all frames at once.

Reductions over an axis of three, and the median of numpy, take several times as long as what stands here; the
results are the same to the last bit.
"""

import numpy as np


def squared_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum over the last axis, of three channels, of the squared differences; the others broadcast."""
    total = np.square(first[..., 0] - second[..., 0])
    for channel in (1, 2):
        total += np.square(first[..., channel] - second[..., channel])
    return total


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distance over the last axis, of three channels; the others broadcast."""
    return np.sqrt(squared_distance(first, second))


def squared_length(vectors: np.ndarray) -> np.ndarray:
    """Sum of squares over the last axis, of three channels."""
    red, green, blue = (vectors[..., channel] for channel in range(3))
    return red * red + green * green + blue * blue


def planar(video: np.ndarray) -> np.ndarray:
    """The same [f h w c], each channel for itself in memory: steps on single channels are faster so."""
    return np.ascontiguousarray(video.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


def averaged_down(frames: np.ndarray, factor: int) -> np.ndarray:
    """Means of ``factor`` x ``factor`` pixels.

    Args:
        frames: Bytes [f c h w]; rows and columns beyond a whole multiple of ``factor`` are left out.
        factor: 2 or more.

    Returns:
        Float32 [f h w c]; sums are whole numbers, so no order of summing rounds them.
    """
    height, width = (size // factor for size in frames.shape[2:])
    cut = frames[:, :, : height * factor, : width * factor]
    total = np.zeros((*cut.shape[:2], height, width), dtype=np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += cut[:, :, row::factor, column::factor]
    return (total.astype(np.float32) / np.float32(factor**2)).transpose(0, 2, 3, 1)


def blurred(video: np.ndarray) -> np.ndarray:
    """Binomial 3 x 3 blur of [f h w ...] over h and w; the edges are repeated."""
    for axis in (1, 2):
        first, last = (_part(video.ndim, axis, *ends) for ends in ((0, 1), (-1, None)))
        but_first, but_last = (_part(video.ndim, axis, *ends) for ends in ((1, None), (None, -1)))
        total = 2 * video
        for place, beside in ((but_first, but_last), (first, first), (but_last, but_first), (last, last)):
            total[place] += video[beside]
        video = total
    return video / 16


def grown(mask: np.ndarray, reach: int) -> np.ndarray:
    """The mask [f h w] with all pixels within ``reach`` rows and columns."""
    return highest_nearby(mask, reach)


def highest_nearby(values: np.ndarray, reach: int) -> np.ndarray:
    """Largest value [f h w] within ``reach`` rows and columns."""
    for axis in (1, 2):
        highest = values.copy()
        for step in range(1, reach + 1):
            later, earlier = _part(3, axis, step, None), _part(3, axis, None, -step)
            np.maximum(highest[later], values[earlier], out=highest[later])
            np.maximum(highest[earlier], values[later], out=highest[earlier])
        values = highest
    return values


def around(mask: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """All frames, and the rows and columns of [f h w] within ``margin`` of what the mask has in any frame."""
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    first_row, first_column = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return slice(None), slice(first_row, rows[-1] + margin + 1), slice(first_column, columns[-1] + margin + 1)


def median_of(vectors: np.ndarray) -> np.ndarray:
    """Median [c] of each column of [n c], n at least 1; what ``np.median`` gives along the first axis."""
    half, is_odd = divmod(len(vectors), 2)
    if is_odd:
        return np.partition(vectors, half, axis=0)[half]
    ordered = np.partition(vectors, (half - 1, half), axis=0)
    return (ordered[half - 1] + ordered[half]) / 2


def quantile_of(values: np.ndarray, share: float) -> float:
    """What ``np.quantile`` gives for [n] values, n at least 1: linear between the two nearest."""
    place = (len(values) - 1) * share
    below = int(place)
    above = min(below + 1, len(values) - 1)
    ordered = np.partition(values, (below, above))
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def label_blobs(mask: np.ndarray) -> np.ndarray:
    """Number the 8-connected blobs of each frame.

    Args:
        mask: Pixels [f h w], bool.

    Returns:
        Labels [f h w]: 0 outside, else a number that no other blob of the clip has.
    """
    num_frames, height, width = mask.shape
    stride = width + 1  # one column beyond each row is outside, which ends its last span
    padded = np.zeros(num_frames * height * stride + 1, dtype=bool)
    padded[1:].reshape(-1, stride)[:, :width] = mask.reshape(-1, width)
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    starts, ends = edges[::2], edges[1::2]
    labels = np.zeros(mask.shape, dtype=np.int32)
    labels[mask] = np.repeat(
        _last_linked(len(starts), *_touching(starts, ends, stride, height)) + 1, ends - starts
    )
    return labels


def _touching(
    starts: np.ndarray, ends: np.ndarray, stride: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of spans that touch: a span's number, and that of one in the row above.

    Args:
        starts: Of each span of pixels, row * stride + column, ascending.
        ends: The same of the first column after it.
        stride: Places a row takes.
        height: Rows of a frame; the first one has nothing above.
    """
    first = np.searchsorted(ends, starts - stride, side="left")
    last = np.searchsorted(starts, ends - stride, side="right")
    count = np.where(starts // stride % height == 0, 0, last - first)
    below = np.repeat(np.arange(len(starts)), count)
    place_in_run = np.arange(len(below)) - np.repeat(np.cumsum(count) - count, count)
    return below, first[below] + place_in_run


def _last_linked(count: int, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Of each of ``count`` spans the largest number among those it is linked with, directly or not."""
    largest = np.arange(count)
    while True:
        ends = largest[below], largest[above]
        if np.array_equal(*ends):
            return largest
        np.maximum.at(largest, np.minimum(*ends), np.maximum(*ends))
        while not np.array_equal(shorter := largest[largest], largest):
            largest = shorter


def _part(num_axes: int, axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    """Index that cuts one axis and leaves the others whole."""
    return tuple(slice(start, stop) if each == axis else slice(None) for each in range(num_axes))
