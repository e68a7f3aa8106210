"""Scores in words: written in one way, read in all of Open-Sora's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rufous.data.clip import Clip
from rufous.data.score_suffix import (
    CAMERA_MOTIONS,
    ScoreSuffix,
    some_of,
    split_suffix,
    suffix_of,
    with_suffix,
)

FULL = ScoreSuffix(aesthetic=6.5, motion=5.0, camera="pan left")
SCORE = st.none() | st.floats(-1000, 1000).map(lambda value: round(value, 1) + 0.0)
SUFFIX = st.builds(
    ScoreSuffix, aesthetic=SCORE, motion=SCORE, camera=st.none() | st.sampled_from(CAMERA_MOTIONS)
)
CAPTION = st.text("abc .,:5-", max_size=30).map(lambda text: text.strip(" ,"))


def test_the_wording_is_that_of_open_sora_at_inference():
    assert with_suffix("A cat.", FULL) == (
        "A cat. aesthetic score: 6.5. motion score: 5.0. camera motion: pan left."
    )
    assert with_suffix("A cat", ScoreSuffix(motion=12.349)) == "A cat motion score: 12.3."
    assert with_suffix("A cat", ScoreSuffix()) == "A cat"


@given(caption=CAPTION, suffix=SUFFIX)
def test_what_is_written_is_read_back(caption, suffix):
    text = with_suffix(caption, suffix)
    assert split_suffix(text) == (caption, suffix)
    assert with_suffix(text, suffix) == text


@pytest.mark.parametrize(
    ("text", "caption", "suffix"),
    [
        (
            "a cat [aesthetic score: 5.5, motion score: 10.2]",
            "a cat",
            ScoreSuffix(aesthetic=5.5, motion=10.2),
        ),
        (
            "A cat. Camera motion: zoom in. [motion score: 3.0]",
            "A cat.",
            ScoreSuffix(motion=3.0, camera="zoom in"),
        ),
        (
            "a cat. camera motion: tilt up. aesthetic score: 5.5, motion score: 3.0",
            "a cat.",
            ScoreSuffix(aesthetic=5.5, motion=3.0, camera="tilt up"),
        ),
        (
            "a cat, aesthetic score: 5.5, motion score: 10, camera motion: pan left.",
            "a cat",
            ScoreSuffix(aesthetic=5.5, motion=10.0, camera="pan left"),
        ),
        (
            "an aesthetic score: 5 is shown on a sign",
            "an aesthetic score: 5 is shown on a sign",
            ScoreSuffix(),
        ),
        ("camera motion: sideways.", "camera motion: sideways.", ScoreSuffix()),
    ],
    ids=["training", "with camera", "cleaned", "report", "not at the end", "unknown motion"],
)
def test_all_three_published_forms_are_read(text, caption, suffix):
    assert split_suffix(text) == (caption, suffix)


def test_what_a_prompt_says_already_stays():
    text = with_suffix("a cat aesthetic score: 7.0.", FULL)
    assert text == "a cat aesthetic score: 7.0. motion score: 5.0. camera motion: pan left."


def test_a_clip_gives_its_scores_and_leaves_out_motions_without_a_word():
    clip = Clip(
        source="a.mp4", scores={"aesthetic": 6.46, "flow_open_sora": 4.0}, tags={"camera_motion": "pan_left"}
    )
    assert suffix_of(clip) == ScoreSuffix(aesthetic=6.46, motion=4.0, camera="pan left")
    assert suffix_of(clip.with_tags(camera_motion="pan_left+zoom_in"), motion="other").camera is None
    assert suffix_of(Clip(source="a.mp4")) == ScoreSuffix()


def test_scores_are_dropped_as_often_as_published_and_the_camera_never():
    generator = torch.Generator().manual_seed(0)
    drawn = [some_of(FULL, generator) for _ in range(2000)]
    for name in ("aesthetic", "motion"):
        kept = sum(getattr(each, name) is not None for each in drawn) / len(drawn)
        assert kept == pytest.approx(0.8, abs=0.03)
    assert {each.camera for each in drawn} == {"pan left"}
    assert some_of(FULL, generator, keep=1.0) == FULL
    with pytest.raises(ValueError, match=r"keep=2\.0 is no probability"):
        some_of(FULL, generator, keep=2.0)


def test_what_is_no_score_is_refused():
    with pytest.raises(ValueError, match="camera='dolly zoom'"):
        ScoreSuffix(camera="dolly zoom")
    with pytest.raises(ValueError, match="motion=nan is no score"):
        ScoreSuffix(motion=float("nan"))
