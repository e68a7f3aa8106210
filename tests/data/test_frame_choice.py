import pytest

from rufous.data.best_caption import caption_of
from rufous.data.clip import Clip
from rufous.data.frame_choice import frames_at, spread_frames
from tests.data.tiny_clips import clip_of, numbered


def levels(frames):
    return frames[:, 0, 0, 0].tolist()


def test_the_nearest_full_size_frame_is_taken_and_of_two_the_earlier():
    media = clip_of(numbered(41)).frames()  # full-size ones: 2, 7, 12, 17, 23, 28, 33, 38
    assert levels(frames_at(media, (0.0, 0.1, 0.9, 1.0))) == [2, 2, 38, 38]
    assert levels(frames_at(media, (0.5,))) == [17]
    assert frames_at(media, (0.5,)).shape == (1, 3, 20, 28)
    for points in ((), (1.2,), (-0.1, 0.5)):
        with pytest.raises(ValueError, match="use one or more numbers"):
            frames_at(media, points)


def test_frames_are_spread_and_no_more_than_there_are():
    assert levels(spread_frames(clip_of(numbered(41)).frames(), 4)) == [2, 12, 28, 38]
    assert levels(spread_frames(clip_of(numbered(3)).frames(), 4)) == [0, 1, 2]


def test_the_best_caption_is_the_latest_there_is():
    clip = Clip(source="a.mp4", captions={"original": "a cat", "described": " "})
    assert caption_of(clip) == "a cat"
    clip = clip.with_captions(described="a grey cat", rewritten="a gray cat")
    assert [caption_of(clip, kind) for kind in ("best", "described")] == ["a gray cat", "a grey cat"]
    with pytest.raises(ValueError, match=r"a\.mp4 has no caption of the kind rewritten"):
        caption_of(Clip(source="a.mp4"), "rewritten")
