import math

import pytest

from rufous.data.clip import Clip

CLIP = Clip(
    source="a/b.mp4",
    start_s=1.0,
    end_s=2.5,
    info={"width": 320, "sha256": "f" * 64},
    scores={"flow": 2.0},
    tags={"camera_motion": "static"},
    captions={"original": "A"},
    errors={"text": "no"},
)


def test_a_clip_comes_back_from_its_dict():
    assert Clip.from_dict(CLIP.to_dict()) == CLIP
    assert "media" not in CLIP.to_dict()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"start_s": -1.0}, "start_s=-1.0 is no time"),
        ({"start_s": math.inf}, "start_s=inf is no time"),
        ({"end_s": 0.0}, "end_s=0.0 must be"),
        ({"start_s": 2.0, "end_s": math.nan}, "end_s=nan must be"),
        ({"scores": {"flow": math.nan}}, r"scores\['flow'\]=nan is no number"),
    ],
)
def test_times_and_scores_that_are_none_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        Clip(source="a.mp4", **values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"source": "a", "colour": 1}, "unknown colour: a clip has captions"),
        ({"source": ""}, "source='' is no path"),
        ({}, "source=None is no path"),
    ],
)
def test_dicts_that_are_no_clips_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        Clip.from_dict(values)


def test_what_is_known_grows_and_the_clip_stays():
    more = CLIP.with_scores(technical=0.5).with_tags(shot="first").with_captions(described="B")
    more = more.with_info(height=180).with_error("ocr", "no model")
    assert (more.scores, more.tags["shot"]) == ({"flow": 2.0, "technical": 0.5}, "first")
    assert (more.captions, more.info["height"]) == ({"original": "A", "described": "B"}, 180)
    assert more.errors == {"text": "no", "ocr": "no model"}
    assert CLIP.scores == {"flow": 2.0}


def test_the_first_reason_to_drop_stands():
    assert CLIP.drop("probe", "empty").drop("flow", "slow").dropped == "probe: empty"


def test_the_content_id_is_that_of_bytes_and_times_wherever_the_file_lies():
    moved = Clip(source="c.mp4", start_s=1.0, end_s=2.5, info={"sha256": "f" * 64})
    later = Clip(source="c.mp4", start_s=1.1, end_s=2.5, info={"sha256": "f" * 64})
    ids = [clip.identified().content_id for clip in (CLIP, moved, later)]
    assert ids[0] == ids[1] != ids[2]


def test_frames_need_a_worker():
    with pytest.raises(ValueError, match="has no media here"):
        CLIP.frames()
