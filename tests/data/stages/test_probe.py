import struct
from pathlib import Path

import av
import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.stages.probe import Probe


def probed(path: Path, *, stage: Probe | None = None, **times) -> Clip:
    clip = Clip(source=path.name, **times, media=ClipMedia(path, **times))
    (found,) = (stage or Probe()).process(clip)
    return found


def test_a_file_says_what_it_is(write_clip):
    path = write_clip("a.mp4", num_frames=12, fps=8)
    found = probed(path)
    assert found.dropped is None
    told = {
        name: found.info[name] for name in ("width", "height", "fps", "num_frames", "duration_s", "codec")
    }
    assert told == {
        "width": 32,
        "height": 32,
        "fps": 8.0,
        "num_frames": 12,
        "duration_s": 1.5,
        "codec": "h264",
    }
    assert found.info["num_bytes"] == path.stat().st_size
    assert not found.info["has_audio"]


def test_the_same_bytes_and_times_have_the_same_id(write_clip, tmp_path):
    path = write_clip("a.mp4")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(path.read_bytes())
    ids = {probed(path).content_id, probed(copy).content_id}
    assert len(ids) == 1
    assert (
        len(ids | {probed(path, end_s=0.5).content_id, probed(write_clip("b.mp4", grey=90)).content_id}) == 3
    )


def test_a_part_of_a_file_says_its_own_length_and_that_of_the_file(write_clip):
    found = probed(write_clip("a.mp4", num_frames=12, fps=8), start_s=0.5, end_s=1.0)
    names = ("num_frames", "duration_s", "file_num_frames", "file_duration_s")
    assert [found.info[name] for name in names] == [4, 0.5, 12, 1.5]


def test_what_cannot_be_read_is_dropped_with_the_reason(tmp_path, write_clip):
    whole = write_clip("whole.mp4", num_frames=30).read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_text("a text\n" * 50)
    reasons = {
        name: probed(tmp_path / f"{name}.mp4").dropped for name in ("absent", "empty", "noise", "cut", "text")
    }
    assert reasons["absent"] == "probe: no such file"
    assert reasons["empty"] == "probe: empty file"
    assert all(reason and str(tmp_path) not in reason for reason in reasons.values())
    assert probed(tmp_path / "empty.mp4").errors == {"probe": "empty file"}


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for i in range(16):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            samples.sample_rate, samples.pts = 16000, i * 1024
            container.mux(stream.encode(samples))
        container.mux(stream.encode())
    assert probed(path).dropped == "probe: no video stream, only audio"


def test_a_stretch_after_the_end_is_told(write_clip):
    found = probed(write_clip("a.mp4", num_frames=8, fps=8), start_s=4.0)
    assert found.dropped == "probe: no frame between 4.0 s and the end: the file lasts 1.0 s"


def test_a_header_that_claims_2_31_frames_is_not_believed(write_clip, tmp_path):
    data = bytearray(write_clip("a.mp4", num_frames=8).read_bytes())
    for box in (b"stts", b"stsz"):  # samples of one byte each: no table that would have to be there
        struct.pack_into(">I", data, data.index(box) + 12, 2**31 - 1)
    struct.pack_into(">I", data, data.index(b"stsz") + 8, 1)
    path = tmp_path / "absurd.mp4"
    path.write_bytes(data)
    assert probed(path).dropped == (
        f"probe: its header claims 2147483647 frames in {len(data)} bytes; at most one a byte and "
        "max_frames=10000000 are believed"
    )


def test_frames_that_no_memory_holds_are_refused_before_they_are_decoded(write_clip, monkeypatch):
    path = write_clip("a.mp4")
    monkeypatch.setattr("rufous.data.stages.probe.describe", lambda _: pytest.fail("it was decoded"))
    found = probed(path, stage=Probe(max_frame_px=1000))
    assert found.dropped == (
        "probe: its frames of 32x32 are more than max_frame_px=1000: scale the file down, or allow more"
    )
    found = probed(path, stage=Probe(max_frames=5))
    assert found.dropped is not None
    assert "its header claims 8 frames" in found.dropped


def test_settings_that_allow_nothing_are_refused():
    with pytest.raises(ValueError, match="max_frames=0"):
        Probe(max_frames=0)
