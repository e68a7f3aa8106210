import numpy as np
import pytest

from rufous.data.media import ClipMedia, MediaSettings
from rufous.video.read import read_frames, read_video, stream_frames, timeline_of
from tests.data.drawings import camera_over, noise_picture, spoilt, write


def test_small_and_full_frames_come_of_one_pass(write_clip):
    path = write_clip("a.mkv", num_frames=12, fps=8, size=48)
    media = ClipMedia(path, settings=MediaSettings(short_side=24, num_full=3))
    assert media.small.shape == (12, 24, 24, 3)
    assert media.full.shape == (3, 48, 48, 3)
    frames = read_video(path)[0].permute(0, 2, 3, 1).numpy()
    assert np.array_equal(media.full, frames[[2, 6, 10]])
    assert media.decoded.full_times_s.tolist() == pytest.approx([0.25, 0.75, 1.25], abs=0.002)
    shrunk = frames.reshape(12, 24, 2, 24, 2, 3).mean(axis=(2, 4))
    assert np.abs(media.small - shrunk).max() <= 1
    assert media.fps == pytest.approx(8.0)


def test_clips_of_one_file_read_its_index_once(write_clip, monkeypatch):
    path, read = write_clip("a.mkv"), []
    monkeypatch.setattr(
        "rufous.data.media.timeline_of", lambda *a, **k: read.append(a[0]) or timeline_of(*a, **k)
    )
    assert ClipMedia(path, end_s=0.5).timeline is ClipMedia(path, start_s=0.5).timeline
    assert read == [path]
    path = write_clip("a.mkv", num_frames=12)
    assert len(ClipMedia(path).timeline.times_s) == 12


def test_small_files_keep_their_size_and_grey_is_luma(write_clip):
    media = ClipMedia(write_clip("a.mkv", grey=200, num_frames=4))
    assert media.small.shape == (4, 32, 32, 3)
    assert media.gray.shape == (4, 32, 32)
    assert np.abs(media.gray.astype(int) - media.small.mean(axis=-1)).max() <= 1


def test_a_stretch_holds_the_frames_whose_middle_lies_in_it(write_clip):
    path = write_clip("a.mkv", num_frames=16, fps=8)
    assert ClipMedia(path, start_s=0.5, end_s=1.0).frame_numbers == range(4, 8)
    assert ClipMedia(path, start_s=0.45, end_s=1.08).frame_numbers == range(4, 9)
    assert ClipMedia(path, start_s=0.45, end_s=1.08).edges_s.tolist() == [0.5, 0.625, 0.75, 0.875, 1.0, 1.125]
    assert ClipMedia(path, start_s=0.45, end_s=1.08).length_s == 0.625
    whole = ClipMedia(path)
    parts = [whole.part(0.0, 0.7), whole.part(0.7, None)]
    assert [number for part in parts for number in part.frame_numbers] == list(range(16))
    assert parts[1].small[0].max() == whole.small[parts[1].frame_numbers[0]].max()


def test_too_many_frames_are_thinned_out(write_clip):
    media = ClipMedia(write_clip("a.mkv", num_frames=10, fps=8), settings=MediaSettings(max_small=4))
    assert (len(media.small), media.decoded.stride) == (4, 3)
    assert media.decoded.small_times_s.tolist() == pytest.approx([0.0, 0.375, 0.75, 1.125], abs=0.002)


def test_the_same_stretch_shares_what_was_decoded_and_release_forgets_it(write_clip):
    media = ClipMedia(write_clip("a.mkv"))
    small = media.small
    assert media.part(0.0, None).small is small
    assert media.part(0.0, 0.5).small is not small
    media.release()
    assert media.small is not small
    assert np.array_equal(media.small, small)


def test_a_stretch_without_frames_is_told(write_clip):
    media = ClipMedia(write_clip("a.mkv"), start_s=5.0, end_s=6.0)
    with pytest.raises(ValueError, match=r"no frame between 5.0 s and 6.0 s"):
        _ = media.small


def test_a_file_that_cannot_be_read_is_tried_once(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    tried = []
    monkeypatch.setattr(
        "rufous.data.media.timeline_of", lambda path, **_: tried.append(path) or timeline_of(path)
    )
    media = ClipMedia(tmp_path / "a.mp4")
    for _ in range(3):
        with pytest.raises(ValueError, match="damaged"):
            _ = media.small
    assert len(tried) == 1
    assert media.failure is not None


def film(folder):
    """36 frames, with a key frame each twelfth."""
    rng = np.random.default_rng(0)
    frames = camera_over(rng, noise_picture(rng, 96, 128, roughness=0.8), 36, 48, 64, speed=0.8)
    return write(folder / "a.mkv", frames, codec="mpeg4", options={"g": "12"})


def test_damaged_frames_are_counted_and_no_stage_gets_them(tmp_path):
    path = film(tmp_path)
    assert ClipMedia(path).decoded.damaged == ()
    media = ClipMedia(spoilt(path, 18))
    assert media.decoded.damaged == tuple(range(18, 24))
    told = "damaged: 6 of 36 frames were decoded with errors, the first at 0.75 s"
    for _ in range(2):
        for name in ("small", "full", "gray"):
            with pytest.raises(ValueError, match=told):
                getattr(media, name)
    assert media.failure is not None
    assert len(media.part(0.0, 0.75).small) == 18
    assert len(media.part(1.0, None).small) == 12


def test_who_reads_frames_is_told_of_damage_unless_they_take_it(tmp_path):
    path = film(tmp_path)
    timeline = timeline_of(spoilt(path, 18))
    for wanted in ([20], list(range(36))):
        first = max(wanted[0], 18)
        with pytest.raises(ValueError, match=f"damaged: frame {first} of 36 was decoded with errors"):
            read_frames(timeline, wanted)
    assert read_frames(timeline, [17, 24])[0].shape == (2, 3, 48, 64)
    taken = stream_frames(timeline, range(36), short_side=48, takes_damaged=True)
    assert [frame.index for frame in taken if frame.is_damaged] == list(range(18, 24))


def test_where_nobody_reads_small_frames_those_of_full_size_alone_are_decoded(write_clip):
    path = write_clip("a.mp4", num_frames=40)
    whole, few = ClipMedia(path, start_s=1.0), ClipMedia(path, start_s=1.0, is_few=True)
    assert (len(whole.small), len(few.small)) == (32, 8)
    np.testing.assert_array_equal(few.full, whole.full)
    np.testing.assert_array_equal(few.decoded.full_times_s, whole.decoded.full_times_s)
    assert len(few.part(2.0, 5.0).small) == 8
