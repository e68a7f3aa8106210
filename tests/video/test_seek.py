from fractions import Fraction

import av
import pytest

from rufous.video.seek import FrameIndex, decode_at, frame_rate, index_by_decoding, index_by_packets
from tests.video.seek_counter import SeekCounter


def index_of(pts: list[int], time_base: Fraction, *rates: Fraction) -> FrameIndex:
    return FrameIndex(pts=pts, end=pts[-1] + 1, time_base=time_base, stated_rates=rates)


def test_times_rounded_to_their_unit_are_a_constant_rate():
    for rate in (Fraction(24), Fraction(24000, 1001), Fraction(60), Fraction(15, 2)):
        pts = [round(i * 1000 / rate) for i in range(300)]
        assert frame_rate(index_of(pts, Fraction(1, 1000), rate)) == (rate, False)


def test_a_rate_the_file_misstates_is_found_from_its_times():
    pts = [round(i * 90000 * 1001 / 30000) for i in range(200)]
    assert frame_rate(index_of(pts, Fraction(1, 90000), Fraction(90000))) == (Fraction(30000, 1001), False)


def test_a_steady_rate_that_is_neither_whole_nor_ntsc_is_not_variable():
    rate, is_variable = frame_rate(index_of([i * 137 for i in range(50)], Fraction(1, 1000)))
    assert (rate, is_variable) == (Fraction(1000, 137), False)


def test_a_pause_makes_the_rate_variable_and_the_mean_is_given():
    pts = [*range(0, 400, 40), *range(1000, 1400, 40)]
    assert frame_rate(index_of(pts, Fraction(1, 1000), Fraction(25))) == (Fraction(19 * 1000, 1360), True)


def test_a_single_frame_has_the_stated_rate_or_that_of_its_duration():
    assert frame_rate(index_of([0], Fraction(1, 8), Fraction(24))) == (24, False)
    assert frame_rate(index_of([0], Fraction(1, 8))) == (8, False)


def test_images_keep_their_times_exactly():
    times = [i * Fraction(1001, 24000) for i in range(30)]
    index = FrameIndex.of_times(times, 30 * Fraction(1001, 24000))
    assert [pts * index.time_base for pts in index.pts] == times
    assert frame_rate(index) == (Fraction(24000, 1001), False)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_packets_and_decoding_agree_on_every_time(name, encode):
    path = encode(name, "libx264", options={"g": "9", "bf": "3", "x264-params": "open-gop=1:scenecut=0"})
    with av.open(str(path)) as container:
        by_packets = index_by_packets(path, container, container.streams.video[0])
    with av.open(str(path)) as container:
        by_decoding = index_by_decoding(container, container.streams.video[0])
    assert by_packets is not None
    assert by_decoding is not None
    assert by_packets.pts == by_decoding.pts
    assert len(by_packets.keys) >= 4


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.h264", "libx264"), ("a.gif", "gif")])
def test_packets_that_do_not_tell_frames_are_not_trusted(name, codec, encode):
    path = encode(name, codec, pixel_format="rgb8" if codec == "gif" else "yuv420p", num_frames=8)
    with av.open(str(path)) as container:
        assert index_by_packets(path, container, container.streams.video[0]) is None


def test_a_far_frame_is_sought_and_a_near_one_decoded_on(encode):
    path = encode("a.mp4", "libx264", options={"g": "5", "bf": "0"})
    with av.open(str(path)) as container:
        index = index_by_packets(path, container, container.streams.video[0])
    assert index is not None
    for wanted, can_seek, num_seeks in (([0, 38], True, 1), ([0, 7], True, 0), ([0, 38], False, 0)):
        with av.open(str(path)) as container:
            counted = SeekCounter(container)
            frames = list(decode_at(counted, container.streams.video[0], index, wanted, can_seek=can_seek))
        assert [frame.pts for frame, _ in frames] == [index.pts[i] for i in wanted]
        assert counted.num_seeks == num_seeks


def test_a_frame_that_never_comes_ends_the_reading(encode):
    path = encode("a.mp4", "libx264", num_frames=4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        false_index = FrameIndex(pts=[0, 1], end=2, time_base=Fraction(1, 24), keys=((0, 0),))
        assert len(list(decode_at(container, stream, false_index, [0, 1], can_seek=True))) == 1
