import numpy as np
import pytest

from rufous.data.stages.flashing import Flashing
from tests.data.drawings import camera_over, held, pattern_picture


def flashes(frames: np.ndarray, fps: int = 24) -> float:
    (clip,) = Flashing().process(held(frames, fps=fps))
    return clip.scores["flashing"]


def pulsing(period: int, *, low: int = 60, high: int = 220, share: float = 1.0) -> np.ndarray:
    frames = np.full((48, 80, 160, 3), low, np.uint8)
    frames[np.arange(48) % period < period // 2, :, : round(160 * share)] = high
    return frames


@pytest.mark.parametrize(("period", "per_second"), [(4, 6.0), (6, 4.0), (12, 2.0)])
def test_flashes_of_a_second_are_counted(period, per_second):
    assert flashes(pulsing(period)) == pytest.approx(per_second, abs=0.5)


def test_small_swings_and_small_areas_do_not_count():
    assert flashes(pulsing(4, low=100, high=110)) == 0.0
    assert flashes(pulsing(4, share=0.1)) == 0.0
    assert flashes(pulsing(4, share=0.5)) > 5


def test_a_cut_is_half_a_flash_at_most_and_a_pan_is_none():
    cut = np.full((24, 80, 160, 3), 30, np.uint8)
    cut[12:] = 220
    assert flashes(cut) == 0.5
    rng = np.random.default_rng(3)
    pan = camera_over(rng, pattern_picture(rng, 192, 320), 24, 96, 160, speed=2.0)
    assert flashes(pan) <= 1.0


def test_a_clip_shorter_than_a_second_counts_what_is_there():
    assert flashes(pulsing(4)[:9]) == pytest.approx(2.0, abs=0.5)
    assert flashes(pulsing(4)[:1]) == 0.0


def test_the_worst_second_is_a_second_where_the_rate_varies():
    frames = pulsing(2)[:30]  # 5 frames a second, then 60
    edges = [*range(0, 4001, 200), *(4000 + round(i * 1000 / 60) for i in range(1, 11))]
    (clip,) = Flashing().process(held(frames, edges_ms=edges))
    assert clip.scores["flashing"] == pytest.approx(
        7.0, abs=0.5
    )  # 5 of 10 frames, and 2 of the second before
    (clip,) = Flashing().process(held(frames[:20], edges_ms=edges[:21]))
    assert clip.scores["flashing"] == pytest.approx(2.5)
