import logging
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from rufous.video.images import (
    is_image_clip,
    metadata_from_json,
    open_image_clip,
    png_pattern,
    stated_fps,
    stated_frames,
    write_png_frames,
    write_webp,
)


def grey(num_frames: int, height: int = 6, width: int = 4) -> np.ndarray:
    return np.stack([np.full((height, width, 3), 10 * i, np.uint8) for i in range(num_frames)])


def test_a_shorter_clip_replaces_a_longer_one_and_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other_00009.png").write_bytes(b"mine too")
    write_png_frames(tmp_path, grey(12), metadata={})
    write_png_frames(tmp_path, grey(3), metadata={})
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["frame_00000.png", "frame_00001.png", "frame_00002.png", "notes.txt", "other_00009.png"]


def test_frames_are_ordered_by_number_and_not_by_name(tmp_path):
    write_png_frames(tmp_path / "x_%d.png", grey(12), metadata={"fps": "8"})
    clip = open_image_clip(tmp_path / "x_%d.png")
    assert [int(frame[0, 0, 0]) for frame in clip.read([2, 10, 11])] == [20, 100, 110]
    assert clip.timestamps_s[10] == Fraction(10, 8)


def test_a_folder_of_foreign_png_files_is_read_by_name_with_a_warning_on_the_rate(tmp_path, caplog):
    for name, level in (("b.png", 20), ("a.png", 10)):
        Image.new("RGBA", (4, 6), (level, level, level, 0)).save(tmp_path / name)
    with caplog.at_level(logging.WARNING):
        clip = open_image_clip(tmp_path)
    assert "no frame rate" in caplog.text
    assert clip.timestamps_s == (0, Fraction(1, 25))
    assert [frame[0, 0].tolist() for frame in clip.read([0, 1])] == [[10] * 3, [20] * 3]


def test_png_frames_of_another_size_or_damaged_are_refused(tmp_path):
    write_png_frames(tmp_path, grey(3), metadata={"fps": "8"})
    Image.new("RGB", (5, 5)).save(tmp_path / "frame_00001.png")
    (tmp_path / "frame_00002.png").write_bytes((tmp_path / "frame_00000.png").read_bytes()[:60])
    clip = open_image_clip(tmp_path)
    with pytest.raises(ValueError, match=r"frame_00001.png: 5x5 among frames of 4x6"):
        clip.read([1])
    with pytest.raises(ValueError, match=r"frame_00002.png: damaged"):
        clip.read([2])


@pytest.mark.parametrize("name", ["clip.png", "a%d_%d.png", "100%_%d.png", "%s.png"])
def test_a_pattern_has_exactly_one_number(name, tmp_path):
    with pytest.raises(ValueError, match="one number in the name"):
        png_pattern(tmp_path / name)


def test_only_names_of_images_that_are_not_there_are_patterns(tmp_path):
    (tmp_path / "one%02d.png").touch()
    told = {
        name: is_image_clip(tmp_path / name) for name in ("f%d.png", "f%d", "f%d.mp4", "one%02d.png", "f.png")
    }
    assert told == {"f%d.png": True, "f%d": True, "f%d.mp4": False, "one%02d.png": False, "f.png": False}


def test_headers_tell_size_and_frames_without_decoding(tmp_path, monkeypatch):
    path = tmp_path / "clip.webp"
    write_webp(path, grey(20), fps=Fraction(8), lossless=True, metadata={})
    write_png_frames(tmp_path / "frames", grey(3), metadata={"fps": "8"})
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", lambda self: pytest.fail("it was decoded"))
    assert stated_frames(path) == (4, 6, 20)
    assert stated_frames(tmp_path / "frames") == (4, 6, 3)
    path.write_bytes(b"RIFF no image")
    with pytest.raises(ValueError, match=r"clip.webp: damaged or not an image"):
        stated_frames(path)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_times_do_not_drift(lossless, tmp_path):
    path = tmp_path / "clip.webp"
    write_webp(path, grey(20), fps=Fraction(24000, 1001), lossless=lossless, metadata={"prompt": "caf\u00e9"})
    clip = open_image_clip(path)
    assert len(clip.timestamps_s) == 20
    assert all(
        abs(time - i * Fraction(1001, 24000)) <= Fraction(1, 2000) for i, time in enumerate(clip.timestamps_s)
    )
    assert clip.metadata == {"prompt": "caf\u00e9"}


def test_a_truncated_webp_is_refused(tmp_path):
    write_webp(tmp_path / "a.webp", grey(20), fps=Fraction(8), lossless=True, metadata={})
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"a.webp: damaged"):
        open_image_clip(tmp_path / "a.webp").read([19])


def test_what_webp_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="milliseconds"):
        write_webp(tmp_path / "a.webp", grey(2), fps=Fraction(2000), lossless=True, metadata={})
    with pytest.raises(ValueError, match="too large"):
        write_webp(tmp_path / "a.webp", grey(1, 1, 16384), fps=Fraction(8), lossless=True, metadata={})


def test_foreign_text_is_no_metadata():
    assert (
        metadata_from_json("made with love") == metadata_from_json("[1, 2]") == metadata_from_json("") == {}
    )
    assert [stated_fps({"fps": text}) for text in ("fast", "1/0", "-3", "30000/1001")] == [
        None,
        None,
        None,
        Fraction(30000, 1001),
    ]
    assert stated_fps({}) is None
