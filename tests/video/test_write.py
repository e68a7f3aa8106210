import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from PIL import Image

import rufous.video
from rufous.video import probe, read_video, write_video
from rufous.video.write import ENCODERS, SUFFIXES, exact_fps, manifest_path

VIDEO_NAMES = [f"clip{suffix}" for suffix in ENCODERS]
ALL_NAMES = [*VIDEO_NAMES, "clip.gif", "clip.webp", "frames", "frame_%03d.png"]


def mean_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().mean().item()


@pytest.mark.parametrize("name", ALL_NAMES)
def test_what_is_written_comes_back(name, tmp_path, moving_frames):
    frames = moving_frames(12)
    metadata = {"prompt": 'a red "hummingbird";\nline=2, caf\u00e9', "seed": 2**63, "manifest_id": "ab12"}
    assert write_video(tmp_path / name, frames, fps=24, metadata=metadata) == tmp_path / name
    info = probe(tmp_path / name)
    assert (info.num_frames, info.fps, info.is_variable_fps) == (12, 24, False)
    assert (info.width, info.height) == (64, 48)
    assert {key: info.metadata[key] for key in metadata} == {
        key: str(value) for key, value in metadata.items()
    }
    assert mean_difference(read_video(tmp_path / name)[0], frames) < 8


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webp", "frames", "x_%d.png"])
def test_lossless_formats_keep_every_pixel_of_any_size(name, tmp_path):
    frames = torch.randint(256, (5, 3, 33, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_video(tmp_path / name, frames, fps=8, lossless=True)
    assert torch.equal(read_video(tmp_path / name)[0], frames)


def test_the_index_stands_before_the_pictures(tmp_path, moving_frames):
    data = write_video(tmp_path / "clip.mp4", moving_frames(), fps=8).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (24, Fraction(24)),
        (23.976, Fraction(24000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        (8.0, Fraction(8)),
        (0.1, Fraction(1, 10)),
        (Fraction(10**6, 41708), Fraction(10**6, 41708)),
    ],
)
def test_a_frame_rate_becomes_the_fraction_it_means(fps, exact):
    assert exact_fps(fps) == exact


@pytest.mark.parametrize("fps", [0, -8.0, float("nan"), float("inf"), 1e-9, 2000])
def test_senseless_frame_rates_are_refused(fps):
    with pytest.raises(ValueError, match="fps="):
        exact_fps(fps)


@pytest.mark.parametrize("name", ALL_NAMES)
@pytest.mark.parametrize("fps", [23.976, 12.5, 7])
def test_the_frame_rate_is_kept_exactly(name, fps, tmp_path, moving_frames):
    write_video(tmp_path / name, moving_frames(9, 16, 16), fps=fps)
    info = probe(tmp_path / name)
    assert (info.fps, info.is_variable_fps) == (exact_fps(fps), False)
    assert info.duration_s == pytest.approx(9 / exact_fps(fps), abs=0.006)


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.mp4", "frames"])
def test_equal_frames_are_not_merged(name, tmp_path, moving_frames):
    write_video(tmp_path / name, moving_frames(1).repeat(7, 1, 1, 1), fps=10)
    assert probe(tmp_path / name).num_frames == 7


@pytest.mark.parametrize("name", [*VIDEO_NAMES, "clip.gif", "clip.webp"])
@pytest.mark.parametrize("size", [(64, 96), (720, 128)], ids=["bt601", "bt709"])
def test_colours_come_back(name, size, tmp_path):
    colours = [(255, 0, 0), (0, 200, 30), (20, 40, 250), (255, 255, 255), (0, 0, 0), (128, 128, 128)]
    frames = torch.zeros(2, 3, *size, dtype=torch.uint8)
    width = size[1] // len(colours)
    for i, colour in enumerate(colours):
        frames[..., i * width : (i + 1) * width] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    read, _ = read_video(write_video(tmp_path / name, frames, fps=8, crf=8))
    for i, colour in enumerate(colours):
        patch = read[1, :, size[0] // 2, i * width + width // 2]
        assert (patch.int() - torch.tensor(colour)).abs().max() <= 5, colour


@pytest.mark.parametrize(("height", "matrix"), [(64, 6), (720, 1)])
def test_the_colour_tags_say_which_matrix_was_used(height, matrix, tmp_path, moving_frames):
    write_video(tmp_path / "clip.mp4", moving_frames(1, height, 32), fps=8)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (matrix, 1, 1, 1)


def test_a_gif_of_few_colours_keeps_them_and_is_played_for_ever(tmp_path):
    frames = (
        torch.randint(6, (4, 3, 20, 20), generator=torch.Generator().manual_seed(0)).mul(51).to(torch.uint8)
    )
    write_video(tmp_path / "clip.gif", frames, fps=10)
    assert (read_video(tmp_path / "clip.gif")[0].int() - frames).abs().max() <= 1
    with Image.open(tmp_path / "clip.gif") as image:
        assert (image.n_frames, image.info["loop"], image.info["duration"]) == (4, 0, 100)
        assert json.loads(image.info["comment"]) == {"fps": "10"}


def test_a_webp_is_what_pillow_takes_for_an_animation(tmp_path, moving_frames):
    write_video(tmp_path / "clip.webp", moving_frames(5, 17, 9), fps=30)
    with Image.open(tmp_path / "clip.webp") as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (5, (9, 17), 0)


def test_the_manifest_lies_beside_the_clip(tmp_path, moving_frames):
    write_video(tmp_path / "clip.mp4", moving_frames(2), fps=8, manifest={"prompt": "caf\u00e9", "steps": 4})
    assert json.loads((tmp_path / "clip.json").read_text("utf-8")) == {"prompt": "caf\u00e9", "steps": 4}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.json", "clip.mp4"]
    assert manifest_path("a/frames") == Path("a/frames.json")
    assert manifest_path("a/shot_%05d.png") == Path("a/shot.json")
    assert manifest_path("a/%05d.png") == Path("a/frames.json")


def test_a_manifest_that_is_no_json_stops_before_anything_is_written(tmp_path, moving_frames):
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_video(tmp_path / "clip.mp4", moving_frames(2), fps=8, manifest={"weights": torch.zeros(1)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("height", "width", "even"), [(33, 64, "64x32"), (48, 65, "64x48"), (1, 1, "2x2")])
def test_odd_sizes_say_which_even_size_to_use(height, width, even, tmp_path, moving_frames):
    with pytest.raises(ValueError, match=rf"{width}x{height} .* is odd.*{even}"):
        write_video(tmp_path / "clip.mp4", moving_frames(2, height, width), fps=8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip.avi", {}, "unknown suffix '.avi': use " + ", ".join(SUFFIXES)),
        ("clip.mp4", {"crf": 52}, "crf=52"),
        ("clip.mp4", {"lossless": True}, "cannot be lossless"),
        ("clip.gif", {"lossless": True}, "cannot be lossless"),
        ("clip.gif", {"fps": 60}, "too fast for .gif"),
        ("clip.png", {}, "need one number in the name, for example clip_%05d.png"),
        ("clip.mp4", {"metadata": {"Prompt": "a"}}, "metadata key 'Prompt' must be lower-case"),
    ],
)
def test_what_a_format_cannot_do_is_refused(name, options, message, tmp_path, moving_frames):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        write_video(tmp_path / name, moving_frames(2), **{"fps": 8, **options})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "frames", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8).byte(), torch.zeros(0, 3, 8, 8).byte()]
)
def test_frames_of_another_kind_are_refused(frames, tmp_path):
    with pytest.raises((ValueError, TypeError)):  # the shape checker speaks first where it is on
        write_video(tmp_path / "clip.mp4", frames, fps=8)
    assert not list(tmp_path.iterdir())


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """Refuse to let any file grow beyond the limit; Python turns the signal into an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.webm", "clip.gif", "clip.webp", "frames"])
def test_a_full_disk_leaves_the_earlier_clip_and_nothing_else(name, tmp_path, moving_frames):
    write_video(tmp_path / name, moving_frames(3), fps=8)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for limit_bytes in (0, 200):
        with full_disk(limit_bytes), pytest.raises(OSError, match=r"."):
            write_video(tmp_path / name, moving_frames(12), fps=8, manifest={})
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webp", "frames"])
def test_an_interrupt_leaves_the_earlier_clip_and_nothing_else(name, tmp_path, moving_frames, monkeypatch):
    write_video(tmp_path / name, moving_frames(3), fps=8)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    calls = iter(range(100))

    def interrupt_at_the_third(original):
        def replacement(*args, **kwargs):
            if next(calls) == 2:
                raise KeyboardInterrupt
            return original(*args, **kwargs)

        return replacement

    monkeypatch.setattr(av, "VideoFrame", FrameMaker(interrupt_at_the_third(av.VideoFrame.from_ndarray)))
    monkeypatch.setattr(Image, "fromarray", interrupt_at_the_third(Image.fromarray))
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / name, moving_frames(12), fps=8)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert not [p for p in tmp_path.rglob(".*")]


class FrameMaker:
    """Stands in for PyAV's frame class where only its constructor from arrays is used."""

    def __init__(self, from_ndarray):
        self.from_ndarray = from_ndarray


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path, moving_frames):
    (tmp_path / "file").write_text("")
    for name in ("clip.mp4", "clip.webp", "frames"):
        with pytest.raises(OSError, match="file"):
            write_video(tmp_path / "file" / name, moving_frames(2), fps=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_error(tmp_path, moving_frames):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        write_video(tmp_path / "clip.mp4", moving_frames(2), fps=8)


def test_small_clips_are_written_in_milliseconds(tmp_path, moving_frames):
    frames = moving_frames(16, 64, 64)
    cpu_s = []
    for _ in range(3):
        start = time.process_time()
        write_video(tmp_path / "clip.mp4", frames, fps=8)
        cpu_s.append(time.process_time() - start)
    assert min(cpu_s) < 0.1


def test_no_module_imports_pyav_before_a_file_is_opened():
    for path in Path(rufous.video.__file__).parent.glob("*.py"):
        top_level = [
            line for line in path.read_text("utf-8").splitlines() if line.startswith(("import ", "from "))
        ]
        assert not [line for line in top_level if line.split()[1].split(".")[0] == "av"], path
