import numpy as np
import pytest

from rufous.data import pair_flow as module
from rufous.data.media import MediaSettings
from rufous.data.pair_flow import MAX_PAIRS, pair_flow, pair_starts
from tests.data.camera_clips import media_of


def clip_of(num_frames: int, *, height: int = 32, width: int = 48) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, size=(height, width, 3), dtype=np.uint8)
    return np.stack([np.roll(noise, i, axis=1) for i in range(num_frames)])


def test_pairs_follow_each_other():
    first, gap = pair_starts(media_of(clip_of(9)))
    assert (list(first), gap) == ([0, 2, 4, 6], 2)


def test_many_frames_are_sampled_over_the_whole_clip():
    first, gap = pair_starts(media_of(clip_of(400)))
    assert len(first) == MAX_PAIRS
    assert (first[0], first[-1] + gap) == (0, 399)


def test_two_frames_make_one_pair():
    flow = pair_flow(media_of(clip_of(2), fps=10.0))
    assert (list(flow.first), flow.gap, list(flow.seconds)) == ([0], 1, [0.1])
    assert flow.flow.shape == (1, 32, 48, 2)


def test_stages_share_one_computation_until_the_frames_are_released(monkeypatch):
    calls = list[int]()
    original = module.flow_between
    monkeypatch.setattr(module, "flow_between", lambda *given: (calls.append(1), original(*given))[1])
    media = media_of(clip_of(5))
    assert pair_flow(media) is pair_flow(media)
    assert len(calls) == 1
    decoded = media.decoded
    media.release()
    media.__dict__["decoded"] = decoded
    pair_flow(media)
    assert len(calls) == 2


def test_a_clip_without_pairs_is_refused():
    with pytest.raises(ValueError, match="one frame shows no motion"):
        pair_flow(media_of(clip_of(1)))
    with pytest.raises(ValueError, match="48x8 are too small"):
        pair_flow(media_of(clip_of(3, height=8)))


def test_small_frames_are_what_it_looks_at():
    assert MediaSettings().short_side >= module.MIN_SIDE
