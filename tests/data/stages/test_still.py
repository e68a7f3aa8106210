import numpy as np
import pytest

from rufous.data.stages.still import Still
from tests.data.drawings import camera_over, held, noise_picture


def moving(num_frames: int, speed: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    picture = noise_picture(rng, 192, 320, roughness=0.8)
    return camera_over(rng, picture, num_frames, 96, 160, speed=speed)


def scores(frames: np.ndarray) -> dict[str, float]:
    (clip,) = Still().process(held(frames))
    return dict(clip.scores)


def test_a_moving_clip_has_no_repeats():
    assert scores(moving(12)) == {"still": 0.0, "still_longest_s": 0.0}


def test_frozen_frames_are_counted_and_the_longest_run_is_told():
    frames = moving(25)
    frames[5:8], frames[12:19] = frames[4], frames[11]
    found = scores(frames)
    assert found["still"] == pytest.approx(10 / 24)
    assert found["still_longest_s"] == pytest.approx(7 / 24)


def test_noise_of_compression_is_no_motion_but_a_small_thing_that_moves_is():
    still = np.repeat(moving(1), 10, axis=0)
    noisy = still + np.random.default_rng(1).integers(0, 2, still.shape, dtype=np.uint8) // 2
    assert scores(noisy)["still"] == 1.0
    for i, frame in enumerate(still):
        frame[40:46, 10 + 3 * i : 16 + 3 * i] = 255
    assert scores(still)["still"] == 0.0


def test_a_slow_fade_is_no_repetition():
    flat = np.stack([np.full((90, 160, 3), 60 + i, np.uint8) for i in range(20)])
    assert scores(flat)["still"] == 0.0


def test_a_single_frame_stands_still():
    assert scores(moving(1))["still"] == 1.0


def test_a_run_lasts_as_long_as_it_is_shown_where_the_rate_varies():
    frames = moving(12)
    frames[2:4], frames[7:10] = frames[1], frames[6]
    edges = [*range(0, 2001, 500), *range(2010, 2081, 10)]
    (clip,) = Still().process(held(frames, edges_ms=edges))
    assert clip.scores["still_longest_s"] == pytest.approx(1.0)
