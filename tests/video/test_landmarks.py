"""Films whose packets do not tell: late frames are those of decoding from the start, and are sought."""

from dataclasses import replace

import av
import numpy as np
import pytest

from rufous.video.landmarks import Landmarks, Survey, checksum_of
from rufous.video.read import read_frames, timeline_of
from rufous.video.seek import decode_at
from tests.video.seek_counter import SeekCounter

FILMS = [
    ("a.avi", "mpeg4", {"g": "8", "bf": "2"}),
    ("b.mp4", "mpeg4", {"g": "8"}),
    ("c.mkv", "mpeg4", {"g": "8", "bf": "2"}),
    ("d.webm", "libvpx", {"g": "8", "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    ("e.mpg", "mpeg2video", {"g": "8", "bf": "2"}),
    ("f.ts", "mpeg2video", {"g": "8", "bf": "2"}),
    ("g.wmv", "wmv2", {"g": "8"}),
    ("h.avi", "libx264", {"g": "8", "bf": "2"}),
    ("i.avi", "msmpeg4", {"g": "8"}),
]


@pytest.fixture(params=FILMS, ids=lambda film: f"{film[1]}-{film[0]}")
def film(request, encode):
    name, codec, options = request.param
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot encode {codec}")
    return encode(name, codec, options=options, num_frames=60)


def test_late_frames_are_those_of_decoding_from_the_start(film, decode_all):
    whole, timeline = decode_all(film), timeline_of(film)
    assert timeline.index.landmarks is not None
    assert len(whole) == len(timeline.index.pts) == 60
    for wanted in ([59], [3, 30, 52], list(range(35, 50))):
        frames, _ = read_frames(timeline, wanted)
        assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), whole[wanted])


def test_late_frames_are_sought(film):
    index = timeline_of(film).index
    with av.open(str(film)) as container:
        counted = SeekCounter(container)
        frames = list(decode_at(counted, container.streams.video[0], index, [2, 50], can_seek=True))
    assert counted.num_seeks == 1
    assert [index.landmarks.is_frame(i, frame) for i, (frame, _) in zip([2, 50], frames, strict=True)] == [
        True,
        True,
    ]


def test_a_seek_that_gives_other_frames_is_not_believed(encode, decode_all):
    path = encode("a.mp4", "mpeg4", options={"g": "8"}, num_frames=60)
    timeline, whole = timeline_of(path), decode_all(path)
    landmarks = timeline.index.landmarks
    false = [0 if i > 40 else each for i, each in enumerate(landmarks.checksums)]
    late = [(number, dts + 4096 if number else dts) for number, dts in landmarks.keys]
    for wrong in (replace(landmarks, checksums=false), replace(landmarks, keys=tuple(late))):
        doubtful = replace(timeline, index=replace(timeline.index, landmarks=wrong))
        with av.open(str(path)) as container:
            assert not list(
                decode_at(container, container.streams.video[0], doubtful.index, [50], can_seek=True)
            )
        frames, _ = read_frames(doubtful, [50])
        assert np.array_equal(frames[0].permute(1, 2, 0).numpy(), whole[50])


def test_the_key_before_a_frame_is_found():
    landmarks = Landmarks(keys=((0, -2), (8, 6), (16, 14)), checksums=[0] * 20)
    assert [landmarks.key_before(i) for i in (0, 7, 8, 19)] == [(0, -2), (0, -2), (8, 6), (16, 14)]
    assert Landmarks(keys=((8, 6),), checksums=[0] * 20).key_before(3) == (0, 0)


def test_pixels_that_no_checksum_covers_leave_no_landmarks():
    for pixel_format, is_there in (("yuv420p", True), ("yuv420p10le", False), ("rgb24", False)):
        survey, frame = Survey(), av.VideoFrame(18, 10, pixel_format)
        survey.see_key_packet(0)
        frame.key_frame = True
        survey.see_frame(frame)
        assert (survey.landmarks() is not None) == is_there


def test_a_checksum_is_that_of_the_pixels_and_not_of_the_padding():
    picture = np.random.default_rng(0).integers(
        0, 256, (15, 18), dtype=np.uint8
    )  # rows are padded to 32 or more
    one, other = (av.VideoFrame.from_ndarray(picture, format="yuv420p") for _ in range(2))
    for frame, padding in ((one, 1), (other, 2)):
        plane = np.frombuffer(frame.planes[0], np.uint8)
        rows = plane[: frame.height * frame.planes[0].line_size].reshape(frame.height, -1).copy()
        rows[:, frame.width :] = padding
        frame.planes[0].update(rows.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    assert checksum_of(one) == checksum_of(other)
    picture[0, 0] ^= 1
    assert checksum_of(av.VideoFrame.from_ndarray(picture, format="yuv420p")) != checksum_of(one)
