from collections import Counter
from dataclasses import replace

import pytest
import torch

from rufous.data.buckets import Bucket
from rufous.data.clip import Clip
from rufous.data.curated_clips import (
    CuratedClips,
    CuratedSampling,
    choose_caption,
    cover,
)
from rufous.data.score_suffix import ScoreSuffix, with_suffix
from rufous.video.write import write_video

BUCKET = Bucket("24x32", 4, 24, 32, 2)
INFO = {"num_frames": 20, "height": 40, "width": 64, "fps": 10.0}
CLIP = Clip(source="a.mkv", info=INFO, captions={"original": "a red circle"}, content_id="1")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A lossless file whose frames tell their number, brighter from left to right."""
    folder = tmp_path_factory.mktemp("curated")
    ramp = torch.arange(64, dtype=torch.uint8).expand(3, 40, 64)
    frames = torch.stack([ramp + 9 * number for number in range(20)])
    write_video(folder / "a.mkv", frames, fps=10, lossless=True)
    return folder


def clips(root, clip=CLIP, **sampling):
    return CuratedClips([clip], root, CuratedSampling(**sampling), seed=5)


def test_rows_that_were_dropped_or_have_no_caption_are_left_out_and_counted(root, caplog):
    rows = [CLIP, CLIP.drop("technical", "blurred"), replace(CLIP, captions={"tags": "x"})]
    rows += [CLIP.with_info(num_frames=0)]
    with caplog.at_level("INFO", logger="rufous"):
        data = CuratedClips(rows, root)
    assert len(data) == 1
    assert "4 clips, 1 dropped by curation, 1 without a caption" in caplog.text
    assert "original, 1 without a frame" in caplog.text
    with pytest.raises(ValueError, match="nothing to train on: 3 clips, 1 dropped"):
        CuratedClips(rows[1:], root)


def test_an_example_depends_on_seed_epoch_and_number_alone(root):
    settings = {"strides": (1, 4), "crop": "random"}
    one, other = clips(root, **settings), clips(root, **settings)
    first = [one.example(0, BUCKET, epoch) for epoch in range(6)]
    for epoch in reversed(range(6)):
        again = other.example(0, BUCKET, epoch)
        assert torch.equal(again.frames, first[epoch].frames)
        assert again.fps == first[epoch].fps
    assert len({each.frames.sum().item() for each in first}) > 3
    assert {each.frames.shape for each in first} == {(4, 3, 24, 32)}


def test_frames_come_at_the_stride_that_their_rate_tells(root):
    for epoch in range(6):
        found = clips(root, strides=(1, 4)).example(0, BUCKET, epoch)
        steps = found.frames.float().mean(dim=(1, 2, 3)).diff() / 9
        assert steps.tolist() == pytest.approx([10.0 / found.fps] * 3, abs=0.15)


def test_a_stretch_of_a_file_gives_frames_of_that_stretch_only(root):
    part = replace(CLIP, start_s=0.5, end_s=1.0).with_info(num_frames=5)
    assert clips(root, part).shapes.num_frames.tolist() == [5]
    for epoch in range(4):
        numbers = (
            clips(root, part).example(0, BUCKET, epoch).frames.float().mean(dim=(1, 2, 3)) / 9 - 31.5 / 9
        )
        assert 4.8 < numbers.min() < numbers.max() < 9.2


def test_half_are_mirrored_on_request_but_none_that_say_left_or_right(root):
    def mirrored(clip, **sampling):
        data = clips(root, clip, **sampling)
        shown = [data.example(0, BUCKET, epoch).frames.float() for epoch in range(12)]
        return sum(bool(frames[..., 0].mean() > frames[..., -1].mean()) for frames in shown)

    assert mirrored(CLIP) == 0
    assert 2 < mirrored(CLIP, mirror=True) < 10
    sided = replace(CLIP, captions={"original": "a circle moving Left"})
    assert mirrored(sided, mirror=True) == 0


def test_captions_are_drawn_by_weight_among_those_there_are():
    clip = CLIP.with_captions(described="d", rewritten="r")

    def drawn(clip, **weights):
        sampling = CuratedSampling(captions=weights) if weights else CuratedSampling()
        generator = torch.Generator().manual_seed(0)
        return Counter(choose_caption(clip, sampling, generator) for _ in range(200))

    assert drawn(clip) == {"r": 200}
    assert drawn(CLIP) == {"a red circle": 200}
    assert drawn(CLIP.with_captions(described="d")) == {"d": 200}
    counts = drawn(clip, rewritten=3.0, original=1.0)
    assert set(counts) == {"r", "a red circle"}
    assert 120 < counts["r"] < 180


def test_cover_cuts_the_middle_or_elsewhere():
    frame = torch.arange(12, dtype=torch.uint8).expand(3, 6, 12)
    middle = cover(frame, height=6, width=6, place=(0.5, 0.5))
    assert middle[0, 0].tolist() == [3, 4, 5, 6, 7, 8]
    assert cover(frame, height=6, width=6, place=(0.0, 0.0))[0, 0, 0] == 0
    assert cover(frame, height=6, width=6, place=(0.999, 0.999))[0, 0, -1] == 11
    assert cover(frame, height=12, width=12, place=(0.5, 0.5)).shape == (3, 12, 12)


def test_what_cannot_be_trained_on_is_refused(root, tmp_path):
    for call, message in [
        (lambda: clips(root, replace(CLIP, info={})), "info has no num_frames"),
        (lambda: clips(root, replace(CLIP, source="../a.mkv")), "leaves root"),
        (lambda: clips(tmp_path / "none"), "no such folder"),
        (lambda: CuratedSampling(strides=(0, 1)), "strides="),
        (lambda: CuratedSampling(captions={}), "captions="),
        (lambda: CuratedSampling(captions={"a": -1.0}), "captions"),
        (lambda: clips(root).example(0, replace(BUCKET, num_frames=21), 0), "too short"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_fingerprint_tells_captions_and_order(root):
    two = [CLIP, replace(CLIP, start_s=1.0)]
    prints = {CuratedClips(rows, root).fingerprint for rows in (two, two[::-1], two[:1])}
    prints.add(CuratedClips([CLIP.with_captions(original="b"), two[1]], root).fingerprint)
    assert len(prints) == 4


def test_scores_are_written_into_captions_on_request(root):
    clip = CLIP.with_scores(aesthetic=5.5, flow_open_sora=3.21).with_tags(camera_motion="pan_left")
    assert clips(root, clip).example(0, BUCKET, 0).caption == "a red circle"
    data = clips(root, clip, scores=True)
    found = {data.example(0, BUCKET, epoch).caption for epoch in range(30)}
    assert found <= {
        str(with_suffix("a red circle", ScoreSuffix(aesthetic=a, motion=m, camera="pan left")))
        for a in (None, 5.5)
        for m in (None, 3.21)
    }
    assert "a red circle aesthetic score: 5.5. motion score: 3.2. camera motion: pan left." in found
    assert len(found) > 1
    assert clips(root, CLIP, scores=True).example(0, BUCKET, 0).caption == "a red circle"
    assert data.fingerprint != clips(root, clip.with_scores(aesthetic=6.0), scores=True).fingerprint
    assert clips(root, clip).fingerprint == clips(root, CLIP).fingerprint
