from itertools import pairwise

import numpy as np
import pytest

from rufous.world.pixels import (
    around,
    averaged_down,
    blurred,
    distance,
    grown,
    highest_nearby,
    label_blobs,
    median_of,
    quantile_of,
    squared_distance,
    squared_length,
)

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(0, 80, size=(4, 9, 11, 3)).astype(np.float32)


def labels_by_filling(mask: np.ndarray) -> np.ndarray:
    """The blobs of each frame, one pixel after the other."""
    labels = np.zeros(mask.shape, dtype=int)
    for number, start in enumerate(np.argwhere(mask).tolist(), start=1):
        waiting = [] if labels[tuple(start)] else [start]
        while waiting:
            f, y, x = waiting.pop()
            labels[f, y, x] = number
            beside = [(f, y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            waiting += [p for p in beside if is_in(mask, p) and mask[p] and not labels[p]]
    return labels


def is_in(mask: np.ndarray, place: tuple[int, int, int]) -> bool:
    return all(0 <= value < size for value, size in zip(place, mask.shape, strict=True))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_labels_are_those_of_filling_blob_by_blob(share):
    mask = np.random.default_rng(int(10 * share)).random((3, 17, 13)) < share
    labels, filled = label_blobs(mask), labels_by_filling(mask)
    pairs = np.unique(np.stack([labels.ravel(), filled.ravel()], axis=1), axis=0)
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(filled))
    assert ((labels > 0) == mask).all()


def test_labels_rise_from_frame_to_frame():
    labels = label_blobs(RNG.random((6, 20, 20)) < 0.4)
    for earlier, later in pairwise(labels):
        assert earlier.max() < later[later > 0].min()


def test_a_long_winding_blob_is_one():
    mask = np.zeros((1, 41, 21), dtype=bool)
    mask[0, ::2] = True
    mask[0, 1::4, -1] = mask[0, 3::4, 0] = True
    assert len(np.unique(label_blobs(mask)[mask])) == 1


def test_blobs_touch_by_their_corners_and_are_numbered_over_the_whole_clip():
    mask = np.zeros((2, 5, 7), dtype=bool)
    mask[0, 1, 1] = mask[0, 2, 2] = True
    mask[0, :, 5] = mask[1, :, 5] = True
    labels = label_blobs(mask)
    assert labels[0, 1, 1] == labels[0, 2, 2] > 0
    assert len(np.unique(labels)) == 4
    assert ((labels > 0) == mask).all()


def test_the_arms_of_a_u_are_one_blob():
    mask = np.zeros((1, 4, 5), dtype=bool)
    mask[0, :, [0, 4]] = mask[0, 3] = True
    assert len(np.unique(label_blobs(mask)[mask])) == 1


def test_growing_reaches_so_many_rows_and_columns():
    mask = np.zeros((1, 9, 9), dtype=bool)
    mask[0, 4, 4] = True
    assert grown(mask, 2).sum() == 25


def test_a_blur_keeps_flat_colors_and_the_sum():
    gray = np.full((8, 64, 64, 3), 128, dtype=np.float32)
    assert np.array_equal(blurred(gray), gray)
    point = np.zeros((1, 5, 5, 1), dtype=np.float32)
    point[0, 2, 2] = 16
    assert blurred(point)[0, 2, 1:4, 0].tolist() == [2, 4, 2]
    assert blurred(point).sum() == 16


def test_lengths_are_those_of_numpy():
    assert np.array_equal(squared_length(VECTORS), (VECTORS**2).sum(axis=-1))
    point = VECTORS[0, 0, 0]
    assert np.array_equal(distance(VECTORS, point), np.linalg.norm(VECTORS - point, axis=-1))
    assert np.array_equal(squared_distance(VECTORS, point), squared_length(VECTORS - point))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 31, 32])
def test_medians_and_quantiles_are_those_of_numpy(count):
    rows = RNG.normal(size=(count, 3)).astype(np.float32)
    assert np.array_equal(median_of(rows), np.median(rows, axis=0))
    for share in (0.0, 0.25, 0.75, 1.0):
        assert quantile_of(rows[:, 0], share) == pytest.approx(
            float(np.quantile(rows[:, 0], share)), abs=1e-6
        )


@pytest.mark.parametrize("factor", [2, 3])
def test_averaging_down_gives_the_means_of_squares(factor):
    frames = RNG.integers(0, 256, size=(2, 3, 13, 16), dtype=np.uint8)
    small = averaged_down(frames, factor)
    assert small.shape == (2, 13 // factor, 16 // factor, 3)
    square = frames[1, 2, factor : 2 * factor, 2 * factor : 3 * factor]
    assert small[1, 1, 2, 2] == np.float32(square.mean())


def test_the_highest_value_nearby_is_that_of_the_square_around():
    values = RNG.random((2, 9, 8)).astype(np.float32)
    found = highest_nearby(values, 2)
    assert found[1, 4, 3] == values[1, 2:7, 1:6].max()
    assert found[0, 0, 7] == values[0, :3, 5:].max()


def test_what_is_around_a_mask_ends_at_the_frame():
    mask = np.zeros((3, 20, 30), dtype=bool)
    mask[0, 2, 15] = mask[2, 6, 20] = True
    assert around(mask, 4) == (slice(None), slice(0, 11), slice(11, 25))
