from fractions import Fraction

import av
import pytest

from rufous.video.excerpt import write_excerpt
from rufous.video.read import probe, read_video, timeline_of

GOP = {"g": "10", "keyint_min": "10", "sc_threshold": "0", "bf": "2"}


def excerpt(path, numbers, stem, **settings):
    return write_excerpt(timeline_of(path), numbers, stem, **settings)


def test_a_stretch_between_key_frames_is_copied_bit_for_bit(encode, tmp_path):
    path = encode("a.mp4", "libx264", options=GOP | {"flags": "+cgop"})
    done = excerpt(path, range(10, 30), tmp_path / "out" / "b")
    assert (done.is_copied, done.num_frames, done.path.name) == (True, 20, "b.mp4")
    frames, times = read_video(done.path)
    wanted, their_times = read_video(path, indices=range(10, 30))
    assert frames.equal(wanted)
    assert times.tolist() == pytest.approx((their_times - their_times[0]).tolist(), abs=1e-3)


def test_the_end_of_a_file_is_copied_though_no_key_frame_follows(encode, tmp_path):
    path = encode("a.mkv", "libx264", options=GOP)
    done = excerpt(path, range(20, 40), tmp_path / "b")
    assert done.is_copied
    assert read_video(done.path)[0].equal(read_video(path, indices=range(20, 40))[0])


def test_a_codec_that_mp4_does_not_take_is_copied_into_mkv(encode, tmp_path):
    path = encode("a.webm", "libvpx-vp9", options={"g": "10", "deadline": "realtime", "cpu-used": "8"})
    done = excerpt(path, range(40), tmp_path / "b")
    assert (done.is_copied, done.path.suffix) == (True, ".mkv")


@pytest.mark.parametrize("numbers", [range(3, 17), range(10, 18)], ids=["start", "end within B-frames"])
def test_elsewhere_exactly_these_frames_are_encoded_anew(encode, tmp_path, numbers):
    path = encode("a.mp4", "libx264", options=GOP)
    done = excerpt(path, numbers, tmp_path / "b", crf=4, keyframe_s=0.25)
    frames, _ = read_video(done.path)
    wanted, _ = read_video(path, indices=numbers)
    assert len(frames) == len(numbers)
    assert (frames.float() - wanted.float()).abs().mean() < 3
    if numbers.start == 3:
        assert not done.is_copied
        with av.open(str(done.path)) as container:
            keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
        assert sum(keys) >= 2


def test_varying_times_and_rotation_are_kept(encode, tmp_path):
    times = [0, 40, 120, 140, 260, 300, 420, 430, 500, 620, 640, 700]
    path = encode("a.mkv", "libx264", num_frames=12, pts_ms=times, rotation=None)
    done = excerpt(path, range(2, 11), tmp_path / "b", may_copy=False)
    _, found = read_video(done.path)
    assert found.tolist() == pytest.approx([(t - 120) / 1000 for t in times[2:11]], abs=0.002)
    turned = encode("b.mp4", "libx264", num_frames=12, rotation=90)
    done = excerpt(turned, range(2, 9), tmp_path / "c", may_copy=False)
    assert (probe(done.path).width, probe(done.path).height) == (48, 64)
    done = excerpt(turned, range(12), tmp_path / "d")
    assert done.is_copied
    assert probe(done.path).rotation == probe(turned).rotation


def test_odd_sides_lose_a_row(encode, tmp_path):
    path = encode("a.mkv", "ffv1", pixel_format="bgr0", num_frames=6, height=33, width=47)
    done = excerpt(path, range(1, 5), tmp_path / "b", may_copy=False)
    info = probe(done.path)
    assert (info.width, info.height, info.num_frames) == (46, 32, 4)


@pytest.mark.parametrize("numbers", [range(0), range(35, 41), range(0, 10, 2)])
def test_frames_that_are_not_there_are_refused(encode, tmp_path, numbers):
    path = encode("a.mp4", "libx264")
    with pytest.raises(ValueError, match="cannot be cut out"):
        excerpt(path, numbers, tmp_path / "b")
    assert Fraction(24) == timeline_of(path).frame_rate()[0]


def test_nothing_is_left_where_writing_fails(encode, tmp_path, monkeypatch):
    path = encode("a.mp4", "libx264")
    out = tmp_path / "out"
    out.mkdir()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rufous.video.write._picture", full)
    with pytest.raises(OSError, match="No space"):
        excerpt(path, range(3, 9), out / "b")
    assert list(out.iterdir()) == []
