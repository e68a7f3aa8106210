import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rufous.video import probe, read_video, write_video
from rufous.video.read import read_frames, stated_size, stream_frames, timeline_of

# name, codec, pixel format, codec options
FILES = [
    ("long_gop.mp4", "libx264", "yuv420p", {"g": "250", "bf": "3", "preset": "veryfast"}),
    ("short_gop.mp4", "libx264", "yuv420p", {"g": "10", "bf": "2", "preset": "veryfast"}),
    ("open_gop.mkv", "libx264", "yuv420p", {"g": "9", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
    ("ten_bit.mkv", "libx264", "yuv420p10le", {"preset": "veryfast"}),
    ("four_four_four.mov", "libx264", "yuv444p", {"preset": "veryfast"}),
    ("stream.ts", "libx264", "yuv420p", {"g": "12", "preset": "veryfast"}),
    ("raw.h264", "libx264", "yuv420p", {"g": "12", "preset": "veryfast"}),
    ("hevc.mp4", "libx265", "yuv420p", {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12"}),
    ("vp9.webm", "libvpx-vp9", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "g": "15"}),
    ("vp8.webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "8", "deadline": "good"}),
    ("xvid.avi", "mpeg4", "yuv420p", {"bf": "2", "g": "12"}),
    ("mpeg4.mp4", "mpeg4", "yuv420p", {"bf": "2", "g": "12"}),
    ("mpeg2.mpg", "mpeg2video", "yuv420p", {"bf": "2", "g": "12"}),
    ("interlaced.mpg", "mpeg2video", "yuv420p", {"flags": "+ildct+ilme", "g": "12"}),
    ("ffv1.mkv", "ffv1", "bgr0", {}),
    ("ffv1_alpha.mkv", "ffv1", "bgra", {}),
    ("prores.mov", "prores_ks", "yuv422p10le", {}),
    ("motion_jpeg.avi", "mjpeg", "yuvj420p", {}),
]


@pytest.mark.parametrize(("name", "codec", "pixel_format", "options"), FILES, ids=[f[0] for f in FILES])
def test_any_file_gives_every_frame_and_samples_equal_to_decoding_it_all(
    name, codec, pixel_format, options, encode, decode_all
):
    path = encode(name, codec, pixel_format=pixel_format, options=options)
    expected = decode_all(path)
    info = probe(path)
    assert (info.num_frames, info.width, info.height) == (len(expected), 64, 48)
    assert info.num_frames == 40

    frames, times = read_video(path)
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), expected)
    assert times.dtype == torch.float64
    assert times[0] == 0
    wanted = [39, 0, 21, 22, 38, 21]
    sampled, sampled_times = read_video(path, indices=wanted, num_threads=1)
    assert torch.equal(sampled, frames[wanted])
    assert torch.equal(sampled_times, times[wanted])


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.ts"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(8), Fraction(30000, 1001)])
def test_a_constant_rate_is_found_exactly(name, rate, encode):
    codec = {"a.webm": "libvpx-vp9", "a.avi": "mpeg4"}.get(name, "libx264")
    options = {"deadline": "realtime", "cpu-used": "8"} if name == "a.webm" else {}
    info = probe(encode(name, codec, rate=rate, num_frames=12, options=options))
    assert (info.fps, info.is_variable_fps) == (rate, False)
    assert info.duration_s == pytest.approx(12 / rate, abs=0.002)


@pytest.mark.parametrize("name", ["variable.mp4", "variable.mkv"])
def test_a_variable_rate_keeps_its_times_and_seeks_exactly(name, encode, decode_all):
    pts_ms = np.cumsum([0, *([40] * 9), *([100, 20] * 10), *([500] * 10)]).tolist()
    path = encode(name, "libx264", num_frames=40, pts_ms=pts_ms, options={"g": "7", "bf": "2"})
    info = probe(path)
    assert info.is_variable_fps
    assert float(info.fps) == pytest.approx(39 / (pts_ms[-1] / 1000))
    frames, times = read_video(path, num_frames=5)
    assert times.tolist() == pytest.approx([pts_ms[i] / 1000 for i in (0, 10, 20, 29, 39)])
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), decode_all(path)[[0, 10, 20, 29, 39]])


@pytest.mark.parametrize(
    ("degrees", "mirrored", "clockwise", "upright"),
    [
        (0, False, 0, lambda image: image),
        (-90, False, 90, lambda image: np.rot90(image, -1)),
        (90, False, 270, lambda image: np.rot90(image)),
        (180, False, 180, lambda image: np.rot90(image, 2)),
        (0, True, 0, lambda image: image[:, ::-1]),
    ],
)
def test_a_display_matrix_turns_the_frames_upright(degrees, mirrored, clockwise, upright, encode, decode_all):
    path = encode("turned.mp4", "libx264", num_frames=3, rotation=degrees, mirrored=mirrored)
    frames, _ = read_video(path)
    info = probe(path)
    assert info.rotation == clockwise
    assert (info.height, info.width) == tuple(frames.shape[-2:])
    assert np.array_equal(frames[1].permute(1, 2, 0).numpy(), upright(decode_all(path)[1]))


def test_a_slanted_display_matrix_is_refused(encode):
    with pytest.raises(ValueError, match="30 degrees; only quarter turns"):
        probe(encode("slanted.mp4", "libx264", num_frames=3, rotation=-30))


@pytest.mark.parametrize("size", [(33, 65), (1, 1), (17, 250)])
def test_odd_sizes_are_read_whole(size, encode, decode_all):
    path = encode("odd.mkv", "ffv1", pixel_format="yuv420p", num_frames=3, height=size[0], width=size[1])
    frames, _ = read_video(path)
    assert tuple(frames.shape) == (3, 3, *size)
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), decode_all(path))


def test_sound_beside_the_picture_is_noticed_and_ignored(encode):
    path = encode("sound.mp4", "libx264", num_frames=12, sound=True)
    assert probe(path).has_audio
    assert probe(path).num_frames == len(read_video(path)[0]) == 12
    assert not probe(encode("silent.mp4", "libx264", num_frames=12)).has_audio


@pytest.mark.parametrize("name", ["plain.jpg", "plain.png"])
def test_a_still_image_is_a_clip_of_one_frame(name, tmp_path):
    Image.new("RGB", (20, 10), (200, 30, 30)).save(tmp_path / name)
    frames, times = read_video(tmp_path / name)
    assert (tuple(frames.shape), times.tolist()) == ((1, 3, 10, 20), [0.0])
    assert probe(tmp_path / name).num_frames == 1


def test_names_that_look_like_protocols_or_hold_spaces_are_read(encode):
    assert probe(encode("pipe:1 a,b [c].mp4", "libx264", num_frames=3)).num_frames == 3


def one_line_error(path: Path, call: Callable = probe, **kwargs) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        call(path, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize("call", [probe, read_video])
def test_files_without_video_say_why_in_one_line(call, tmp_path, silent_file):
    assert one_line_error(tmp_path / "absent.mp4", call) == "no such file"
    (tmp_path / "empty.mp4").touch()
    assert one_line_error(tmp_path / "empty.mp4", call) == "empty file"
    assert one_line_error(silent_file("sound.m4a", "aac"), call) == "no video stream, only audio"
    assert one_line_error(silent_file("sound.wav", "pcm_s16le"), call) == "no video stream, only audio"
    (tmp_path / "notes.txt").write_text("not a video\n" * 50)
    assert one_line_error(tmp_path / "notes.txt", call) == "a text file, not a video"
    for name in ("text.mp4", "text.mkv", "text.webp", "text.gif"):
        (tmp_path / name).write_text("not a video\n" * 50)
        assert "not a" in one_line_error(tmp_path / name, call)
    (tmp_path / "folder").mkdir()
    assert one_line_error(tmp_path / "folder", call) == "no PNG frames there"


@pytest.mark.parametrize("name", ["cut.mp4", "fast_start.mp4", "cut.mkv", "cut.webm", "cut.avi"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(name, part, encode):
    codec = {"cut.webm": "libvpx-vp9", "cut.avi": "mpeg4"}.get(name, "libx264")
    options = {"deadline": "realtime", "cpu-used": "8"} if name == "cut.webm" else {"g": "5"}
    movflags = {"movflags": "+faststart"} if name == "fast_start.mp4" else {}
    path = encode(name, codec, options=options, container_options=movflags)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    reason = one_line_error(path)
    assert "truncated" in reason or "damaged" in reason
    assert one_line_error(path, read_video, num_frames=2) == reason


@pytest.mark.parametrize(("name", "part"), [("cut.ts", 0.5), ("cut.ts", 0.9), ("fragments.mp4", 0.9)])
def test_formats_made_to_be_cut_anywhere_give_the_frames_that_are_there(name, part, encode, decode_all):
    movflags = {"movflags": "frag_keyframe+empty_moov"} if name == "fragments.mp4" else {}
    path = encode(name, "libx264", options={"g": "5"}, container_options=movflags)
    whole = decode_all(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    frames, _ = read_video(path)
    assert 0 < probe(path).num_frames == len(frames) < len(whole)
    assert np.array_equal(frames.permute(0, 2, 3, 1).numpy(), whole[: len(frames)])


def test_a_hole_in_the_middle_is_an_error_and_never_a_silent_gap(encode):
    path = encode("damaged.mkv", "ffv1", pixel_format="yuv420p", num_frames=12)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(bytes(data))
    reason = one_line_error(path, read_video)
    assert "damaged" in reason or "truncated" in reason


def test_frames_that_do_not_exist_are_refused(encode):
    path = encode("short.mp4", "libx264", num_frames=5)
    assert "no frame 5: the file holds frames 0 to 4" in one_line_error(path, read_video, indices=[0, 5])
    assert "no frame -1" in one_line_error(path, read_video, indices=[-1])
    assert "more than the 5 frames" in one_line_error(path, read_video, num_frames=6)
    assert "indices is empty" in one_line_error(path, read_video, indices=[])
    with pytest.raises(ValueError, match="not both"):
        read_video(path, indices=[0], num_frames=1)


def test_a_size_that_changes_midway_is_refused(encode):
    small = encode("small.h264", "libx264", num_frames=4).read_bytes()
    large = encode("large.h264", "libx264", num_frames=4, height=96).read_bytes()
    path = encode("both.h264", "libx264", num_frames=1)
    path.write_bytes(small + large)
    assert "the frame size changes, to 64x96 at frame 4" in one_line_error(path, read_video)


def test_images_are_described_like_videos(tmp_path, moving_frames):
    for name in ("clip.webp", "frames", "clip.gif"):
        write_video(tmp_path / name, moving_frames(6), fps=12.5, metadata={"prompt": "a bird"})
        info = probe(tmp_path / name)
        assert (info.num_frames, info.fps, info.is_variable_fps) == (6, Fraction(25, 2), False)
        assert (info.width, info.height, info.metadata["prompt"]) == (64, 48, "a bird")
        frames, times = read_video(tmp_path / name, indices=[5, 0])
        assert torch.allclose(times, torch.tensor([0.4, 0.0], dtype=torch.float64))
        assert torch.equal(frames, read_video(tmp_path / name)[0][[5, 0]])


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webp", "frames"])
def test_frames_chosen_by_their_times_need_no_second_look(name, tmp_path, moving_frames):
    path = write_video(tmp_path / name, moving_frames(12), fps=12.5)
    timeline = timeline_of(path)
    assert timeline.times_s == pytest.approx([i / 12.5 for i in range(12)])
    assert timeline.duration_s == pytest.approx(12 / 12.5)
    assert timeline.frame_rate() == (Fraction(25, 2), False)
    frames, times = read_frames(timeline, [11, 3, 3], num_threads=1)
    expected, expected_times = read_video(path, indices=[11, 3, 3])
    assert torch.equal(frames, expected)
    assert torch.equal(times, expected_times)
    with pytest.raises(ValueError, match="no frame 12: the file holds frames 0 to 11"):
        read_frames(timeline, [12])


def test_an_animation_without_times_has_no_rate(tmp_path):
    pictures = [Image.new("RGB", (16, 16), (60 * i, 0, 0)) for i in range(3)]
    path = tmp_path / "a.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=0, lossless=True)
    with pytest.raises(ValueError, match=r"a\.webp: all of its 3 frames are shown at time 0"):
        probe(path)
    assert len(read_video(path)[0]) == 3


@pytest.mark.parametrize("name", ["a.mp4", "turned.mp4", "vp8.webm", "a.webp"])
def test_streamed_frames_are_those_of_reading_made_small(name, encode, moving_frames):
    if name == "a.webp":
        path = write_video(
            encode("x.mp4", "libx264").with_name(name), moving_frames(12), fps=8, lossless=True
        )
    else:
        codec = "libvpx" if name.endswith("webm") else "libx264"
        path = encode(name, codec, rotation=-90 if name == "turned.mp4" else None)
    timeline, wanted = timeline_of(path), [0, 3, 4, 11]
    streamed = list(stream_frames(timeline, wanted, short_side=24, full={3, 11}))
    frames = read_video(path, indices=wanted)[0].permute(0, 2, 3, 1).numpy()
    assert [frame.index for frame in streamed] == wanted
    assert [frame.full is not None for frame in streamed] == [False, True, False, True]
    height, width = (32, 24) if name == "turned.mp4" else (24, 32)
    for frame, whole in zip(streamed, frames, strict=True):
        assert frame.small.shape == (height, width, 3)
        assert frame.small.flags["C_CONTIGUOUS"]
        means = whole.reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        assert np.abs(frame.small - means).mean() < 2  # chroma is halved before or after
        if frame.full is not None:
            assert np.array_equal(frame.full, whole)


def test_frames_smaller_than_asked_for_keep_their_size(encode):
    path = encode("a.mp4", "libx264", num_frames=3)
    assert next(stream_frames(timeline_of(path), [1], short_side=500)).small.shape == (48, 64, 3)


def test_a_header_is_read_without_its_frames(encode, tmp_path):
    size = stated_size(encode("a.mp4", "libx264", num_frames=12))
    assert (size.width, size.height, size.num_frames) == (64, 48, 12)
    with pytest.raises(ValueError, match="no such file"):
        stated_size(tmp_path / "absent.mp4")


@pytest.mark.parametrize("name", ["my%20dog.mp4", "100%2dogs.mp4", "a%03d.mkv"])
def test_a_per_cent_sign_in_the_name_of_a_video_is_no_pattern(name, encode):
    path = encode(name, "libx264", num_frames=5)
    assert stated_size(path).num_frames in (0, 5)
    assert len(timeline_of(path).index.pts) == 5
    assert len(read_video(path)[0]) == 5
    with pytest.raises(ValueError, match="no such file"):
        stated_size(path.with_name("no%20dog.mp4"))


def test_streaming_tells_frames_that_are_not_there(encode):
    path = encode("a.mp4", "libx264", num_frames=12)
    with pytest.raises(ValueError, match="no frame 12: the file holds frames 0 to 11"):
        next(stream_frames(timeline_of(path), [3, 12], short_side=24))
