import os

import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.media import ClipMedia
from rufous.data.stages.cut import Cut
from rufous.video import read_video
from tests.data.drawings import camera_over, noise_picture, write


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    frames = camera_over(rng, noise_picture(rng, 96, 128, roughness=0.5), 48, 48, 64, speed=1.0)
    options = {"g": "12", "keyint_min": "12", "sc_threshold": "0", "flags": "+cgop"}
    return write(tmp_path / "a b.mp4", frames, options=options)


def clip_of(path, source: str = "a b.mp4", **times: float) -> Clip:
    return Clip(source=source, media=ClipMedia(path, **times), **times)


def test_each_clip_is_written_once_below_the_folder(source, tmp_path):
    cut, out = Cut(folder=str(tmp_path / "out")), tmp_path / "out"
    (first,) = cut.process(clip_of(source, start_s=0.5, end_s=1.5))
    (second,) = cut.process(clip_of(source, start_s=0.25, end_s=1.5))
    assert (first.tags["cut"], second.tags["cut"]) == ("copied", "encoded")
    assert (first.info["cut_frames"], second.info["cut_frames"]) == (24, 30)
    for clip in (first, second):
        assert len(read_video(out / clip.info["cut_file"])[0]) == clip.info["cut_frames"]
        assert clip.source == "a b.mp4"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.mp4")) == sorted(
        clip.info["cut_file"] for clip in (first, second)
    )
    assert "a-b-" in first.info["cut_file"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/x.mp4", "..", "a/../../b.mp4", "\u00e9\n;.mp4"])
def test_no_name_leads_out_of_the_folder(source, tmp_path, name):
    out = tmp_path / "deep" / "out"
    (clip,) = Cut(folder=str(out)).process(clip_of(source, name))
    assert (out / clip.info["cut_file"]).resolve().is_relative_to(out.resolve())
    assert [path for path in tmp_path.rglob("*.mp4") if not path.is_relative_to(out)] == [source]


def test_a_link_out_of_the_folder_is_refused(source, tmp_path):
    out, clip = tmp_path / "out", clip_of(source)
    (done,) = Cut(folder=str(out)).process(clip)
    place = (out / done.info["cut_file"]).parent
    (out / done.info["cut_file"]).unlink()
    place.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.symlink(elsewhere, place)
    with pytest.raises(ValueError, match="leads out of"):
        Cut(folder=str(out)).process(clip)
    assert list(elsewhere.iterdir()) == []


def test_without_a_folder_it_says_what_to_set(source):
    assert "cut.folder" in (Cut().missing() or "")
    assert Cut(folder="out").missing() is None
    with pytest.raises(ValueError, match=r"set cut\.folder"):
        Cut().process(clip_of(source))


@pytest.mark.parametrize("wrong", [{"crf": 52}, {"keyframe_s": 0.0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        Cut(**wrong)
