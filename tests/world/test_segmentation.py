import numpy as np
import pytest

from rufous.world.scene import COLORS
from rufous.world.segmentation import MIN_BLOB, segment_things

GRAY = np.full((8, 64, 64, 3), 128, dtype=np.float32)
FACES = (slice(10, 26), slice(8, 24))
"""Rows and columns of a box of 16 x 16 pixels."""
NARROW = (slice(30, 37), slice(20, 40))
"""A box of 7 x 20 pixels; a half of it is too narrow to hold a pixel two away from any border."""


def painted(*boxes: tuple[tuple[slice, slice], str]) -> np.ndarray:
    video = GRAY.copy()
    for (rows, columns), color in boxes:
        video[:, rows, columns] = COLORS[color]
    return video


def test_a_thing_is_found_with_its_color_and_its_pixels():
    (thing,) = segment_things(painted((FACES, "red")), GRAY)
    assert (thing.color, thing.color_doubt) == ("red", None)
    assert thing.rgb == pytest.approx(COLORS["red"], abs=1)
    assert thing.alpha.sum(axis=(1, 2)) == pytest.approx(np.full(8, 16 * 16), rel=0.01)
    assert thing.light == pytest.approx(np.full(8, np.mean(COLORS["red"])), abs=1)


def test_two_things_of_different_colors_are_two_and_the_larger_comes_first():
    things = segment_things(painted((FACES, "red"), ((slice(12, 22), slice(40, 50)), "blue")), GRAY)
    assert [thing.color for thing in things] == ["red", "blue"]
    assert [thing.alpha.sum(axis=(1, 2)).mean() for thing in things] == pytest.approx([256, 100], rel=0.01)


def test_two_things_that_touch_for_a_while_stay_two():
    video = painted((FACES, "red"))
    for frame in range(8):
        start = 24 + 2 * max(frame - 2, 0)  # beside the red box in three frames, apart in five
        video[frame, 12:22, start : start + 10] = COLORS["blue"]
    assert [thing.color for thing in segment_things(video, GRAY)] == ["red", "blue"]


def test_two_colors_that_never_part_are_one_thing_without_a_color():
    (thing,) = segment_things(painted((FACES, "red"), ((slice(12, 22), slice(24, 34)), "blue")), GRAY)
    assert thing.color is None


def test_two_things_of_one_color_are_two():
    things = segment_things(painted((FACES, "green"), ((slice(40, 54), slice(40, 54)), "green")), GRAY)
    assert [thing.color for thing in things] == ["green", "green"]
    assert not (things[0].mask & things[1].mask).any()


def test_a_short_clip_of_a_tiny_thing_has_a_thing_without_a_color():
    video = painted(((slice(20, 23), slice(20, 23)), "white"))[:2]
    (thing,) = segment_things(video, GRAY[:2])
    assert thing.color is None
    assert "too few pixels" in thing.color_doubt


def test_a_blob_below_the_smallest_size_is_ignored():
    speck = (slice(50, 52), slice(50, 52))
    assert MIN_BLOB * 64**2 > 2 * 2
    assert len(segment_things(painted((FACES, "red"), (speck, "blue")), GRAY)) == 1
    assert segment_things(painted((speck, "blue")), GRAY) == ()
    assert segment_things(GRAY, GRAY) == ()


def test_a_thing_is_followed_and_its_light_is_unknown_where_it_is_absent():
    video = GRAY.copy()
    for frame in range(6):
        video[frame, 20:36, 4 + 6 * frame : 20 + 6 * frame] = COLORS["yellow"]
    (thing,) = segment_things(video, GRAY)
    columns = [np.flatnonzero(mask.any(axis=0)).mean() for mask in thing.mask[:6]]
    assert np.diff(columns) == pytest.approx(np.full(5, 6.0), abs=0.2)
    assert np.isnan(thing.light[6:]).all()
    assert not thing.mask[6:].any()


@pytest.mark.parametrize("box", [FACES, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("axis", [1, 2], ids=["upper", "left"])
@pytest.mark.parametrize("other", [None, "purple", "green"])
def test_a_half_that_is_faded_or_recolored_takes_the_name_of_the_color(box, axis, other):
    video, whole = painted((box, "cyan")), painted((box, other or "cyan"))
    half = [slice(None), *box]
    start, end = half[axis].start, half[axis].stop
    half[axis] = slice(start, (start + end) // 2)
    video[tuple(half)] = whole[tuple(half)] if other else (video[tuple(half)] + GRAY[tuple(half)]) / 2
    things = segment_things(video, GRAY)
    assert all(thing.color != "cyan" for thing in things), [thing.color for thing in things]


def test_a_thing_that_fades_with_time_has_no_color():
    share = np.linspace(0, 0.5, 8, dtype=np.float32)[:, None, None, None]
    (thing,) = segment_things(painted((FACES, "red")) * (1 - share) + GRAY * share, GRAY)
    assert thing.color is None
    assert thing.color_doubt is not None


@pytest.mark.parametrize("frames", [slice(4, 8), slice(1, 8, 2)], ids=["once", "every other frame"])
def test_a_thing_that_changes_its_color_is_one_thing_without_a_color(frames):
    video = painted((FACES, "red"))
    video[frames] = painted((FACES, "white"))[frames]
    (thing,) = segment_things(video, GRAY)
    assert thing.color is None
