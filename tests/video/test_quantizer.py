import pytest

from rufous.video.read import stream_frames, timeline_of


def steps_of(path):
    frames = list(stream_frames(timeline_of(path), range(12), short_side=32))
    return [frame.quantizer for frame in frames]


def h264(parameter):
    """Every block and every kind of frame at one parameter."""
    params = f"qp={parameter}:ipratio=1:pbratio=1:aq-mode=0:mbtree=0"
    return {"preset": "veryfast", "x264-params": f"{params}:log-level=none"}


@pytest.mark.parametrize(("parameter", "step"), [(0, 0.625), (24, 10.0), (36, 40.0), (51, 226.3)])
def test_the_step_of_h264_doubles_every_six_parameters(encode, parameter, step):
    path = encode("a.mp4", "libx264", num_frames=12, options=h264(parameter))
    assert steps_of(path) == pytest.approx([step] * 12, rel=1e-3)


def test_ten_bits_are_told_in_levels_of_eight(encode):
    """Two more bits are twelve more parameters for the same step of the picture."""
    path = encode("a.mp4", "libx264", pixel_format="yuv420p10le", num_frames=12, options=h264(24 + 12))
    assert steps_of(path) == pytest.approx([10.0] * 12, rel=1e-3)


@pytest.mark.parametrize(("codec", "name"), [("mpeg4", "a.avi"), ("mpeg2video", "a.mpg")])
def test_mpeg_tells_twice_its_scale(encode, codec, name):
    for scale in (2, 8, 31):
        path = encode(name, codec, num_frames=12, options={"qmin": str(scale), "qmax": str(scale)})
        told = [step for step in steps_of(path) if step is not None]
        assert told == pytest.approx([2.0 * scale] * len(told))
        assert len(told) >= 11  # FFmpeg's MPEG-2 decoder says nothing of the frame that it is flushed for


def test_vp9_tells_its_index(encode):
    found = []
    for scale in (8, 30, 63):
        options = {"qmin": str(scale), "qmax": str(scale), "crf": str(scale), "b": "0"}
        found.append(max(steps_of(encode("a.webm", "libvpx-vp9", num_frames=12, options=options))))
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1828 / 8)


@pytest.mark.parametrize(("codec", "name"), [("ffv1", "a.mkv"), ("libvpx", "a.webm")])
def test_a_decoder_that_tells_nothing_leaves_none(encode, codec, name):
    assert steps_of(encode(name, codec, num_frames=12)) == [None] * 12
